"""Many training steps per Python call, and several of them in one XLA program.

Keras' own `steps_per_execution` loops over steps that are compiled one by one, returns the metrics of each, and runs
past `steps_per_epoch` when it does not divide it. Here `model.steps_per_graph` steps are unrolled into one program
(measured by `tools/bench_train.py`), metrics are read once per call, and the last call of an epoch is as short as it
must be.
"""

import time

import tensorflow as tf

SIGNAL_CHECK_SECONDS = 1.0
"""Upper bound on the time between two checks for a request to stop, e.g. SIGTERM, where a step is shorter than that."""


def train_function(model):
    """The function that Keras' `fit` calls with its iterator; it returns the metrics so far.

    Args:
        model: a compiled GenerativeModel.

    Returns:
        function(iterator) -> dict of scalars; raises StopIteration at the end of the data.
    """
    strategy, unrolled = model.distribute_strategy, min(model.steps_per_graph, model.steps_per_execution)

    def program():
        def run(batches):
            for batch in batches:
                model.train_step(batch)

        if strategy.num_replicas_in_sync == 1 and not model.run_eagerly:  # replicas may not meet inside a function
            run = tf.function(run, jit_compile=model._jit_steps, autograph=False)
        return lambda batches: strategy.run(run, args=(tuple(batches),))

    one, many = program(), program()

    def run_chunk(iterator, wanted: int):
        """Up to `wanted` steps; returns the number of steps that there was data for."""
        optionals = [iterator.get_next_as_optional() for _ in range(wanted)]
        present = [optional.has_value() for optional in optionals]

        def whole():
            (many if wanted > 1 else one)([optional.get_value() for optional in optionals])
            return tf.constant(wanted)

        def rest():
            for optional, there in zip(optionals[:-1], present, strict=False):
                tf.cond(there, lambda o=optional: _nothing(one([o.get_value()])), lambda: _nothing(None))
            return tf.reduce_sum(tf.cast(present, tf.int32))

        return tf.cond(present[-1], whole, rest)

    @tf.autograph.experimental.do_not_convert
    def steps(iterator, count):
        def loop(until, size):
            def body(done, _):
                ran = run_chunk(iterator, size)
                return done + ran, tf.equal(ran, size)

            return lambda done, more: tf.while_loop(
                lambda done, more: tf.logical_and(more, done + size <= until), body, [done, more]
            )

        done, more = tf.constant(0), tf.constant(True)
        if unrolled > 1:
            done, more = loop(count, unrolled)(done, more)
        done, _ = loop(count, 1)(done, more)
        return done

    if not model.run_eagerly:
        steps = tf.function(steps, reduce_retracing=True)

    def function(iterator):
        pace.begin()
        count = model.steps_per_execution
        if model._epoch_steps:
            count = min(count, model._epoch_steps - model._epoch_taken % model._epoch_steps)
        done = min(model._skipped, count)  # steps that were taken before the checkpoint
        model._skipped -= done
        while done < count and not (done and model.agreed(model.stop_asked())):
            wanted = min(int(model.agreed(pace.steps)), count - done)
            ran = int(steps(iterator, tf.constant(wanted)))
            if not ran:
                model._epoch_taken = 0
                raise StopIteration
            pace.took(wanted)
            done += wanted
        model._epoch_taken = model._epoch_taken % (model._epoch_steps or 1) + done
        return model.get_metrics_result()

    pace = _Pace(model.steps_per_execution, unrolled)
    return function


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


class _Pace:
    """The number of steps between two checks for a request to stop: about SIGNAL_CHECK_SECONDS, in whole programs.

    One program until the speed is known: a whole call of slow steps would take a minute.
    """

    def __init__(self, most: int, unrolled: int):
        self.steps, self.most, self.unrolled, self.calls = unrolled, most, unrolled, 0

    def begin(self):
        self.started = time.monotonic()

    def took(self, steps: int):
        now = time.monotonic()
        self.calls += 1
        if self.calls > 1:  # the first call compiles
            wanted = int(steps / max(now - self.started, 1e-9) * SIGNAL_CHECK_SECONDS)
            self.steps = min(self.most, max(wanted // self.unrolled, 1) * self.unrolled)
        self.started = now


def _nothing(_):
    return tf.constant(0)
