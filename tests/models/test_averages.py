"""Averaged weights: the arithmetic of the average, and what changes places when."""

import keras
import numpy as np
import pytest
from model_case import Case, train

from kgen.models import averages

CASE = Case("vae", model_args={"hidden": [4], "latent_dim": 2})


def compiled(momentum: float = 0.75):
    model = CASE.build()
    model.compile({"elbo": keras.optimizers.SGD(1e-3, use_ema=True, ema_momentum=momentum)})
    averages.start(model)
    return model


def weights(model) -> list[np.ndarray]:
    return [w.numpy() for w in model.trainable_variables]


def test_average_is_the_recursion_by_hand():
    """Keras takes the weights after the first step as the average, then a <- 0.75 a + 0.25 w."""
    model, seen = compiled(), []
    for _ in range(3):
        train(model, *CASE.examples(4))
        seen.append(weights(model))
    expected = [0.75 * (0.75 * w1 + 0.25 * w2) + 0.25 * w3 for w1, w2, w3 in zip(*seen, strict=True)]
    averages.swap(model)
    for found, by_hand in zip(weights(model), expected, strict=True):
        np.testing.assert_allclose(found, by_hand, rtol=1e-5, atol=1e-7)
    averages.swap(model)
    for found, raw in zip(weights(model), seen[-1], strict=True):
        np.testing.assert_array_equal(found, raw)


def test_averages_start_at_the_weights():
    model = compiled()
    before = weights(model)
    averages.swap(model)
    for found, weight in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(found, weight)


def test_a_checkpoint_written_while_swapped_samples_from_the_average_and_resumes(tmp_path):
    model = compiled()
    for _ in range(2):
        train(model, *CASE.examples(4))
    averages.swap(model)
    average = weights(model)
    model.save_weights(tmp_path / "w.weights.h5")
    averages.swap(model)
    only_sampled, resumed = CASE.build(seed=9), compiled()
    only_sampled.load_weights(tmp_path / "w.weights.h5")
    for found, expected in zip(weights(only_sampled), average, strict=True):
        np.testing.assert_array_equal(found, expected)
    resumed.load_weights(tmp_path / "w.weights.h5")
    averages.swap(resumed)
    for one in (model, resumed):
        train(one, *CASE.examples(4))
    for found, expected in zip(weights(resumed), weights(model), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_without_averages_nothing_changes_places():
    model = CASE.compiled()
    before = weights(model)
    averages.swap(model)
    for found, weight in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(found, weight)


def test_influence_halves_after_the_halflife():
    momentum = averages.momentum_of(halflife_images=1000, batch_size=50)
    assert momentum ** (1000 / 50) == pytest.approx(0.5)
