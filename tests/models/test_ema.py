"""Averaged weights: the arithmetic of the average, and what changes places when."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_case import Case, train

from kgen.models import ema

CASE = Case("vae", model_args={"hidden": [4], "latent_dim": 2})


def compiled(momentum: float = 0.75):
    model = CASE.build()
    model.compile({"elbo": keras.optimizers.SGD(1e-3)}, ema_momentum=momentum)
    return model


def weights(model) -> list[np.ndarray]:
    return [w.numpy() for w in model.trainable_variables]


def test_average_is_the_recursion_by_hand():
    """a <- 0.75 a + 0.25 w three times, from the first weights: 0.75^3 w0 + 0.25 (0.75^2 w1 + 0.75 w2 + w3)."""
    model = compiled()
    seen = [weights(model)]
    for _ in range(3):
        train(model, *CASE.examples(4))
        seen.append(weights(model))
    expected = [0.75**3 * w0 + 0.25 * (0.75**2 * w1 + 0.75 * w2 + w3) for w0, w1, w2, w3 in zip(*seen, strict=True)]
    model.averages.swap()
    for found, by_hand in zip(weights(model), expected, strict=True):
        np.testing.assert_allclose(found, by_hand, rtol=1e-5, atol=1e-7)
    model.averages.swap()
    for found, raw in zip(weights(model), seen[-1], strict=True):
        np.testing.assert_array_equal(found, raw)


def test_with_a_ramp_up_the_halflife_is_a_share_of_the_steps_so_far():
    """Of momentum 0.75 the half-life is log 0.5 / log 0.75 = 2.409 steps; half of 1, 2, 3 steps is less, of 5 more."""
    averages = ema.WeightAverages([], 0.75, rampup=0.5)
    found = [float(averages.momentum_at(tf.constant(steps, tf.int64))) for steps in (0, 1, 2, 4)]
    np.testing.assert_allclose(found, [0.5**2, 0.5, 0.5 ** (2 / 3), 0.75], rtol=1e-6)
    assert ema.WeightAverages([], 0.75).momentum_at(0) == 0.75
    model, plain = compiled(), compiled()
    model.averages.rampup = 1e-3  # every average is nearly the weight
    for one in (model, plain):
        train(one, *CASE.examples(4))
    model.averages.swap()
    for found, raw in zip(weights(model), weights(plain), strict=True):
        np.testing.assert_allclose(found, raw, rtol=1e-6)


def test_averages_start_at_the_weights():
    model = compiled()
    before = weights(model)
    model.averages.swap()
    for found, weight in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(found, weight)


def test_a_checkpoint_written_while_swapped_samples_from_the_average_and_resumes(tmp_path):
    model = compiled()
    for _ in range(2):
        train(model, *CASE.examples(4))
    model.averages.swap()
    average = weights(model)
    model.save_weights(tmp_path / "w.weights.h5")
    model.averages.swap()
    only_sampled, resumed = CASE.build(seed=9), compiled()
    only_sampled.load_weights(tmp_path / "w.weights.h5")
    for found, expected in zip(weights(only_sampled), average, strict=True):
        np.testing.assert_array_equal(found, expected)
    resumed.load_weights(tmp_path / "w.weights.h5")
    resumed.averages.swap()
    for one in (model, resumed):
        train(one, *CASE.examples(4))
    for found, expected in zip(weights(resumed), weights(model), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_statistics_of_batch_normalization_are_averaged_too_and_of_a_gan_only_the_generator():
    """One step of a generator: each average is a quarter of the way from what it was to what it is."""
    case = Case("dcgan", model_args={"filters": [3], "latent_dim": 2})
    model = case.build()
    model.compile({phase.name: keras.optimizers.SGD(1e-2) for phase in model.phases()}, ema_momentum=0.75)
    before = {w.path: w.numpy() for w in model.weights}
    train(model, *case.examples(4))
    after = {w.path: w.numpy() for w in model.weights}
    model.averages.swap()
    own = {w.path for w in model.generator.weights}
    assert any("moving_mean" in path for path in own)
    for w in (*model.generator.weights, *model.discriminator.weights):
        share = 0.25 if w.path in own else 1.0
        expected = (1 - share) * before[w.path] + share * after[w.path]
        np.testing.assert_allclose(w.numpy(), expected, rtol=1e-5, atol=1e-7, err_msg=w.path)


def test_influence_halves_after_the_halflife():
    momentum = ema.momentum_of(halflife_images=1000, batch_size=50)
    assert momentum ** (1000 / 50) == pytest.approx(0.5)
