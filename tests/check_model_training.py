"""How every model must train: on replicas, in phases, in mixed precision, many steps per call (see check_model)."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_case import BATCH, Case, assert_same_state, fit, float64, state_of, train, two_replicas, values

# Replicas -------------------------------------------------------------------------------------------------------------


def same_noise_for_all(model):
    """Replaces the model's noise by one fixed row for every example, replica and step."""

    def noise(shape, *names, training=True):
        row = tf.random.stateless_normal(shape[1:], [len("".join(names)), 1], alg="philox")
        return tf.cast(tf.broadcast_to(row, shape), keras.config.floatx())

    model.noise = noise
    model.uniform = lambda shape, *names, training=True: tf.cast(tf.fill(shape, 0.3), keras.config.floatx())
    return model


def sees_its_neighbours(model) -> bool:
    """Whether an example's terms depend on the rest of its batch, or on its place there, by design."""
    normalized = any(isinstance(layer, keras.layers.BatchNormalization) for layer in model._flatten_layers())
    return normalized or max(phase.repeats for phase in model.phases()) > 1


def batch_for_replicas(case: Case, model, size: int = 2 * BATCH):
    """A batch of which each of two replicas can make the same of its half that one replica makes of the whole."""
    if not sees_its_neighbours(model):
        return case.examples(size)  # nothing in common between the halves
    block = case.examples(2)
    shares = max(phase.repeats for phase in model.phases())
    return tuple(np.concatenate([part] * 2 * shares) for part in block)


def assert_same_moves(moves: list[list[np.ndarray]], paths: list[str]):
    """Weight by weight: one replica's move against that of two.

    Of float32, sums of some thousand terms in another order, which is 1e-4 of a sum that nearly cancels; of float64
    the same within 1e-10.
    """
    own, all_together = (1e-10, 1e-12) if moves[0][0].dtype == np.float64 else (1e-4, 1e-6)
    farthest = max(np.abs(move).max() for move in moves[0])
    rounding = 2 * np.spacing(moves[0][0].dtype.type(1))  # of a move, taken as the difference of weights about 1
    for path, one, two in zip(paths, *moves, strict=True):
        assert np.abs(one).max() > 0, f"{path} did not move"
        ratio = float((two * one).sum() / (one * one).sum())
        assert np.abs(two - one).max() <= own * np.abs(one).max() + all_together * farthest + rounding, (
            f"an SGD step on two replicas is {ratio:.3f} times that on one ({path}): the gradients that Keras adds up "
            "over replicas must be shares of the mean over all examples"
        )


def _moves_by(case: Case, steps, strategies) -> tuple[list[list[np.ndarray]], list]:
    """How far each trainable weight goes under each strategy, and the models."""
    moves, models = [], []
    for strategy in strategies:
        with strategy.scope() if strategy else contextlib.nullcontext():
            model = same_noise_for_all(case.compiled(1e-3, optimizer=keras.optimizers.SGD))
        before = values(model.trainable_variables)
        steps(model, strategy)
        moves.append([b - a for a, b in zip(before, values(model.trainable_variables), strict=True)])
        models.append(model)
    return moves, models


def paths_of(model) -> list[str]:
    return [w.path for w in model.trainable_variables]


def check_sgd_step_equal_on_replicas(case: Case):
    """One train_step on two replicas moves every weight as far as on one, and twenty steps do.

    In float64, where rounding that twenty steps amplify stays below 1e-10: of all weights, the statistics of batch
    normalization and the metrics. A float32 step is `check_sgd_fit_equal_on_replicas`.
    """
    with float64():
        _check_sgd_steps_equal_on_replicas(case)


def _check_sgd_steps_equal_on_replicas(case: Case):
    images, labels = batch_for_replicas(case, case.build())

    half = len(images) // 2
    steps = {}  # a model -> its step, traced once

    def traced(model, strategy):
        if strategy is None:
            batch = tf.constant(images), tf.constant(labels)
            return tf.function(lambda: model.train_step(batch), autograph=False)

        def data(context):
            rows = slice(context.replica_id_in_sync_group * half, (context.replica_id_in_sync_group + 1) * half)
            return tf.constant(images[rows]), tf.constant(labels[rows])

        per_replica = strategy.experimental_distribute_values_from_function(data)
        return tf.function(lambda: strategy.run(model.train_step, args=(per_replica,)), autograph=False)

    def step(model, strategy, count: int = 1):
        if model not in steps:
            steps[model] = traced(model, strategy)
        for _ in range(count):
            steps[model]()

    strategies = [None, two_replicas()]
    moves, models = _moves_by(case, step, strategies)
    assert_same_moves(moves, paths_of(models[0]))
    for model, strategy in zip(models, strategies, strict=True):
        step(model, strategy, count=19)
    for one, two in zip(*(model.weights for model in models), strict=True):
        apart = np.abs(one.numpy() - two.numpy()).max(initial=0.0)
        assert apart <= 1e-10 * max(1.0, np.abs(one.numpy()).max(initial=0.0)), (
            f"after 20 SGD steps {one.path} on two replicas is {apart:.1e} from what it is on one"
        )
    results = [{key: float(tracker.result()) for key, tracker in model.trackers.items()} for model in models]
    assert results[1] == pytest.approx(results[0], rel=1e-10, abs=1e-12), "metrics on two replicas are not those on one"


def check_sgd_fit_equal_on_replicas(case: Case):
    """Two steps of fit, likewise; and with a short last batch, which splits unequally over replicas."""
    model = case.build()
    batch = batch_for_replicas(case, model)
    size = len(batch[0])
    last = size if sees_its_neighbours(model) else size - 3  # 5 examples: 4 for one replica, 1 for the other
    both = tuple(np.concatenate([part, part[:last]]) for part in batch)
    batches = tf.data.Dataset.from_tensor_slices(both).batch(size)
    moves, models = _moves_by(case, lambda model, _: fit(model, batches), [None, two_replicas()])
    assert_same_moves(moves, paths_of(models[0]))
    for one, two in zip(*(model.weights for model in models), strict=True):  # statistics of batch normalization too
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-5, err_msg=one.path)
    results = [{key: float(tracker.result()) for key, tracker in model.trackers.items()} for model in models]
    assert results[1] == pytest.approx(results[0], rel=1e-4, abs=1e-6), "metrics on two replicas are not those on one"


def check_replicas_draw_different_noise(case: Case):
    """Noise differs between replicas, steps, names and seeds; it is standard normal, and the same seed repeats it."""

    strategy = two_replicas()
    with strategy.scope():
        model = case.compiled()

    def noises(seed: int, training: bool, *names: str) -> list[np.ndarray]:
        def noise():
            return model.noise((500, 4), *names, training=training)

        model.seed = seed
        samples = []
        for step in (0, 1):
            model.step.assign(step)
            samples += [part.numpy() for part in strategy.experimental_local_results(strategy.run(noise))]
        return samples

    samples = noises(0, True, "z")
    assert not np.allclose(samples[0], samples[1]), (
        "two replicas have the same noise: fold the replica's number into the seed"
    )
    assert not np.allclose(samples[0], samples[2]), "two steps have the same noise: fold the step into the seed"
    for what, others in {
        "the same seed gives other noise": noises(0, True, "z"),
        "another seed gives the same noise": noises(1, True, "z"),
        "another name gives the same noise": noises(0, True, "w"),
        "evaluation has the noise of the training": noises(0, False, "z"),
    }.items():
        same = all(np.array_equal(a, b) for a, b in zip(samples, others, strict=True))
        assert same == what.startswith("the same seed"), what
    everything = np.concatenate(samples)  # 8,000 samples: a mean beyond 0.05 is 4.5 standard errors off
    assert abs(everything.mean()) < 0.05 and abs(everything.std() - 1) < 0.05, "noise is not standard normal"


# Steps ----------------------------------------------------------------------------------------------------------------


def check_phases_move_their_own_weights(case: Case):
    """A few steps move every weight of a phase, and only those; together the phases own every trainable weight."""
    names = [phase.name for phase in case.build().phases()]
    for name in names:
        model = case.build()
        model.compile({n: keras.optimizers.SGD(1e-3 if n == name else 0.0) for n in names})
        phases = {phase.name: phase for phase in model.phases()}
        own = {id(w) for w in phases[name].weights}
        before = values(model.trainable_variables)
        train(model, *case.examples(3 * BATCH))
        moves = [np.abs(w.numpy() - old).max() for w, old in zip(model.trainable_variables, before, strict=True)]
        farthest = max(moves)  # a gradient that is only rounding errors is none
        for weight, move in zip(model.trainable_variables, moves, strict=True):
            if id(weight) in own:
                assert move > 1e-6 * farthest, (
                    f"{weight.path} never moves: phase {name!r} has no use for it; leave it out"
                )
            else:
                assert not move, f"phase {name!r} moves {weight.path}, which is not its own"
    owned = [id(w) for phase in model.phases() for w in phase.weights]
    assert len(owned) == len({*owned}), "two phases own the same weight"
    assert {*owned} == {id(w) for w in model.trainable_variables}, "a trainable weight belongs to no phase"


def last_layers(model):
    """(network, layer): the last layers with weights before each output of the networks."""
    for phase in model.phases():
        for network in phase.networks:
            for tensor in getattr(network, "outputs", ()):
                layer = tensor._keras_history.operation
                while not layer.weights and not isinstance(layer.input, list):
                    layer = layer.input._keras_history.operation
                yield network.name, layer


def check_mixed_precision_trains(case: Case):
    """mixed_float16: finite losses, weights that move, float32 out."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = case.compiled()
        assert any(layer.compute_dtype == "float16" for layer in model._flatten_layers()), "nothing computes in float16"
        before = values(model.trainable_variables)
        train(model, *case.examples(8 * BATCH))
        results = {metric.name: float(metric.result()) for metric in model.metrics}
        assert np.isfinite(list(results.values())).all(), f"losses are not finite: {results}"
        assert int(model.step.numpy()) == 8 and int(model.failed_step.numpy()) == -1
        assert all(np.isfinite(v).all() for v in values(model.weights)), "a weight is not finite"
        still = [w.path for w, old in zip(model.trainable_variables, before, strict=True) if (w.numpy() == old).all()]
        assert not still, f"8 steps of mixed_float16 leave {still} where they were"
        outputs = [model.generate(*case.latents(model, 3)), model(case.examples(3))]
        if model.has_encoder:
            outputs += model.encode(*case.examples(3))
        assert {o.dtype.name for o in outputs} == {"float32"}, "the model's outputs are not float32"
        for name, layer in last_layers(model):
            assert layer.compute_dtype == "float32", f"{name} must end in a float32 layer; {layer.name} is not"
        assert all(np.isfinite(o).all() for o in outputs)
    finally:
        keras.mixed_precision.set_global_policy("float32")


def check_metrics_exact_with_short_batch(case: Case):
    """The mean over examples, not over batches; and an evaluation repeats."""
    images, labels = case.examples(BATCH)
    images[-1] = 0.0  # the example that is alone in the last batch is unlike the others
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH - 1)
    for where, strategy in {"one replica": None, "two replicas": two_replicas()}.items():
        with strategy.scope() if strategy else contextlib.nullcontext():
            model = same_noise_for_all(case.compiled())
        expected = {}
        for phase in model.phases():
            terms = phase.terms(tf.constant(images), tf.constant(labels), training=False)
            prefix = "" if len(model.phases()) == 1 else f"{phase.name}_"
            assert {*terms} == {*phase.reports}, (
                f"phase {phase.name!r} reports {phase.reports}, its terms are {[*terms]}"
            )
            for key, term in terms.items():
                assert term.shape == (BATCH,) and term.dtype == tf.float32, f"{key} is not [B] float32: {term}"
                expected[f"{prefix}{key}"] = term.numpy().mean()
        found = model.evaluate(batches, verbose=0, return_dict=True)
        assert found == pytest.approx(expected, rel=1e-5), f"an evaluation on {where} gives no means over examples"
    model = case.compiled(steps_per_execution=3)  # with the noise that it draws itself
    results = [model.evaluate(batches, verbose=0, return_dict=True) for _ in range(2)]
    assert results[0] == results[1], "two evaluations of the same weights differ"


def check_same_seed_same_training(case: Case):
    """The seed fixes the first weights and the noise; another seed changes both."""

    def trained():
        model = case.compiled()
        first = state_of(model)
        train(model, *case.examples(2 * BATCH))
        return first, [float(metric.result()) for metric in model.metrics], state_of(model)

    first, losses, last = trained()
    again, losses_again, last_again = trained()
    assert_same_state(first, again, "the same seed gives other first weights")
    assert losses == losses_again, "the same seed gives other losses"
    assert_same_state(last, last_again, "the same seed gives another training")
    other = state_of(case.compiled(seed=1))
    same = [k for k in first if "kernel" in k and "optimizer" not in k and np.array_equal(first[k], other[k])]
    assert not same, f"another seed gives the same first weights: {same}"


# Many steps per call -----------------------------------------------------------------------------------------------


def check_fit_equals_eager_steps(case: Case):
    """Many steps per call: see below."""
    _fit_equals_eager_steps(case, steps_per_execution=3)


def check_xla_fit_equals_eager_steps(case: Case):
    """Many steps per call, some in one XLA program: see below."""
    _fit_equals_eager_steps(case, steps_per_execution=5, jit_compile=True, steps_per_graph=2)


_SINGLE_STEPS: dict[str, list] = {}
"""Of the last case that asked."""


def _single_steps(case: Case) -> list[list[np.ndarray]]:
    """The trainable weights before the first of 22 single steps over 11 batches, and after each; for two checks."""
    if repr(case) not in _SINGLE_STEPS:
        model = case.compiled(optimizer=keras.optimizers.SGD)
        found = [values(model.trainable_variables)]
        twice = (np.concatenate([part, part]) for part in case.examples(11 * BATCH))
        train(model, *twice, after_each=lambda: found.append(values(model.trainable_variables)))
        _SINGLE_STEPS.clear()
        _SINGLE_STEPS[repr(case)] = found
    return _SINGLE_STEPS[repr(case)]


def _fit_equals_eager_steps(case: Case, **how):
    """fit takes as many steps as asked, and comes to the weights that single steps give.

    Neither the epochs nor the data divide by the steps of a call.
    """
    plans = {
        "11 batches repeated, 7 steps per epoch": (lambda data: data.repeat(), {"epochs": 2, "steps_per_epoch": 7}, 14),
        "11 batches": (lambda data: data, {"epochs": 1}, 11),
        "11 batches, their number unknown": (lambda data: data.filter(lambda *_: True), {"epochs": 2}, 22),
    }
    single = _single_steps(case)
    model = case.compiled(optimizer=keras.optimizers.SGD, **how)
    start = [(variable, variable.numpy()) for variable in model.variables]
    for plan, (arrange, arguments, steps) in plans.items():
        for variable, value in start:
            variable.assign(value)
        fit(model, arrange(case.batches(11)), **arguments)
        taken = int(model.step.numpy())
        assert taken == steps, f"{plan}, {how}: {taken} steps taken, {steps} were asked for"
        for weight, old, one, fused in zip(
            model.trainable_variables, single[0], single[steps], values(model.trainable_variables), strict=True
        ):
            assert np.abs(fused - one).max() <= 1e-5 + 1e-3 * np.abs(one - old).max(), (
                f"{plan}, {how}: {weight.path} is {np.abs(fused - one).max():.1e} from where single steps bring it"
            )


def check_failed_step_is_exact(case: Case):
    """The first step whose loss is not finite is remembered, however many steps per call makes."""
    images, labels = case.examples(6 * BATCH)
    images[5 * BATCH - 1] = np.nan  # an example of step 4
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH)
    single, fused = case.compiled(), case.compiled(steps_per_execution=3, steps_per_graph=2)
    assert int(single.failed_step.numpy()) == -1
    train(single, images, labels)
    fit(fused, batches)
    for how, model in {"single steps": single, "3 steps per call": fused}.items():
        found = int(model.failed_step.numpy())
        assert found == 4, f"{how}: the loss fails at step 4, failed_step says {found}"
