"""Many training steps per Python call, and a loop over several of them in one XLA program.

Keras' own `steps_per_execution` loops over steps that are compiled one by one, returns the metrics of each, and runs
past `steps_per_epoch` when it does not divide it. Here metrics are read once per call, the last call of an epoch is as
short as it must be, and XLA compiles one program that takes any number of steps up to `model.steps_per_graph`: weights
and moments stay in its buffers from step to step, and a step is computed in the same way in whichever call it falls
(measured by `tools/bench_train.py`).
"""

import functools
import time

import tensorflow as tf

from kgen.gpu import full_float32

SIGNAL_CHECK_SECONDS = 1.0
"""Upper bound on the time between two checks for a request to stop, e.g. SIGTERM, where a step is shorter than that."""

STACKED_BYTES = 2**23
"""Most bytes of the batches that are stacked for one XLA program: what does not fit into caches is read twice."""


def train_function(model):
    """The function that Keras' `fit` calls with its iterator; it returns the metrics so far.

    Args:
        model: a compiled GenerativeModel.

    Returns:
        function(iterator) -> dict of scalars; raises StopIteration at the end of the data.
    """
    at_once = min(model.steps_per_graph, model.steps_per_execution)
    if not model._jit_steps or model.run_eagerly:
        at_once = 1
    one, several = _one_step(model), _several_steps(model)

    @tf.autograph.experimental.do_not_convert
    def steps(iterator, count):
        """Up to `count` steps; returns the number of steps that there was data for."""
        most = min(at_once, _that_fit(iterator.element_spec)) if at_once > 1 else 1
        take = functools.partial(several, most) if most > 1 else one

        def body(done, _):
            wanted = tf.minimum(count - done, most)
            taken = take(iterator, wanted)
            return done + taken, tf.equal(taken, wanted)

        start = tf.constant(0), tf.constant(True)
        return tf.while_loop(lambda done, more: tf.logical_and(more, done < count), body, start)[0]

    if not model.run_eagerly:
        steps = tf.function(steps, reduce_retracing=True)

    def function(iterator):
        with model.timed("steps"):
            return call(iterator)

    def call(iterator):
        pace.begin()
        count = model.steps_per_execution
        if model._epoch_steps:
            count = min(count, model._epoch_steps - model._epoch_taken % model._epoch_steps)
        done = min(model._skipped, count)  # steps that were taken before the checkpoint
        model._skipped -= done
        while done < count and not (done and model.agreed(model.stop_asked())):
            wanted = min(int(model.agreed(pace.steps)), count - done)
            with model.timed("steps" if pace.calls else "compilation"):
                ran = int(steps(iterator, tf.constant(wanted)))
            if not ran:
                model._epoch_taken = 0
                raise StopIteration
            pace.took(wanted)
            model.steps_taken(wanted)
            done += wanted
        model._epoch_taken = model._epoch_taken % (model._epoch_steps or 1) + done
        return model.get_metrics_result()

    pace = _Pace(model.steps_per_execution, at_once)
    return function


def _that_fit(spec) -> int:
    """The number of batches of a spec that make STACKED_BYTES; 1 where their shapes are not known."""
    tensors = tf.nest.flatten(spec)
    if not all(x.shape.is_fully_defined() for x in tensors):
        return 1
    return STACKED_BYTES // sum(x.dtype.size * x.shape.num_elements() for x in tensors)


def _one_step(model):
    """function(iterator, wanted) -> 1 after one step, 0 at the end of the data."""
    step = model.train_step
    if model.distribute_strategy.num_replicas_in_sync == 1 and not model.run_eagerly:
        # Replicas may not meet inside a function.
        step = tf.function(step, jit_compile=model._jit_steps, autograph=False)

    def take(iterator, wanted):
        optional = iterator.get_next_as_optional()

        def present():
            model.distribute_strategy.run(step, args=(optional.get_value(),))
            return tf.constant(1)

        return tf.cond(optional.has_value(), present, lambda: tf.constant(0))

    return take


def _several_steps(model):
    """function(most, iterator, wanted) -> the number of steps taken, at most `most`, all in one XLA program.

    The batches have one shape: they are stacked, and the program loops over them.
    """

    @tf.function(jit_compile=True, autograph=False)
    def program(batches, count):
        def body(i):
            model.train_step(tf.nest.map_structure(lambda x: x[i], batches))
            return i + 1

        tf.while_loop(lambda i: i < count, body, [tf.constant(0)])

    def take(most, iterator, wanted):
        spec = iterator.element_spec

        def collect(count, _, arrays):
            optional = iterator.get_next_as_optional()

            def present():
                parts = tf.nest.flatten(optional.get_value())
                return count + 1, True, [array.write(count, x) for array, x in zip(arrays, parts, strict=True)]

            return tf.cond(optional.has_value(), present, lambda: (count, False, arrays))

        arrays = [tf.TensorArray(x.dtype, size=most, element_shape=x.shape) for x in tf.nest.flatten(spec)]
        count, _, arrays = tf.while_loop(
            lambda count, more, _: tf.logical_and(more, count < wanted), collect, (tf.constant(0), True, arrays)
        )
        batches = tf.nest.pack_sequence_as(spec, [array.stack() for array in arrays])
        model.distribute_strategy.run(program, args=(batches, count))
        return count

    return take


def test_function(model):
    """The function that Keras' `evaluate` calls with its iterator, where there are several workers.

    Keras' own takes many steps in one graph, in which workers cannot meet, and fails to reduce scalars over workers.
    """
    step = tf.function(lambda batch: _nothing(model.distribute_strategy.run(model.test_step, args=(batch,))))

    def function(iterator):
        for done in range(model.steps_per_execution):
            optional = iterator.get_next_as_optional()
            if not optional.has_value():
                if not done:
                    raise StopIteration
                break
            step(optional.get_value())
        return dict.fromkeys((metric.name for metric in model.metrics), 0.0)  # Keras reads the metrics at the end

    return function


def evaluation_function(model, batches, steps: int):
    """A function that evaluates a model on the same batches at each call.

    Keras' `evaluate` starts an iterator each time, traces what reads it, and waits for tf.data's threads when it ends:
    50 ms for two batches, and seconds with several workers. Here one iterator goes round and round.

    Args:
        model: a compiled GenerativeModel.
        batches: of a split again and again, a `tf.data.Dataset` or what a strategy made of one.
        steps: batches in one pass.

    Returns:
        function() -> what `model.evaluate(batches.take(steps), return_dict=True)` returns, to the bit.
    """
    iterator = iter(batches)
    if model.evaluation_step is None:
        step = _evaluation_step(model)
        model.evaluation_step = step if model.run_eagerly else tf.function(step, autograph=False)

    def evaluate():
        with model.evaluating(), full_float32():
            for i in range(steps):  # a loop in the graph is rounded differently
                model.evaluation_step(iterator, i == 0)
            return {key: float(value) for key, value in model.get_metrics_result().items()}

    return evaluate


def _evaluation_step(model):
    """function(iterator, first): the metrics after one more batch of a pass; one graph, whatever the split."""

    def step(iterator, first: bool):
        def of_replica(batch):
            if first:
                model.reset_metrics()
            model.test_step(batch)

        model.distribute_strategy.run(of_replica, args=(next(iterator),))

    return step


class _Pace:
    """The number of steps between two checks for a request to stop: about SIGNAL_CHECK_SECONDS, in whole programs.

    One program until the speed is known: a whole call of slow steps would take a minute.
    """

    def __init__(self, most: int, at_once: int):
        self.steps, self.most, self.at_once, self.calls = at_once, most, at_once, 0

    def begin(self):
        self.started = time.monotonic()

    def took(self, steps: int):
        now = time.monotonic()
        self.calls += 1
        if self.calls > 1:  # the first call compiles
            wanted = int(steps / max(now - self.started, 1e-9) * SIGNAL_CHECK_SECONDS)
            self.steps = min(self.most, max(wanted // self.at_once, 1) * self.at_once)
        self.started = now


def _nothing(_):
    return tf.constant(0)
