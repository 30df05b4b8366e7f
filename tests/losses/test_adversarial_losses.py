"""Adversarial losses against the formulas worked out by hand, and against TensorFlow-GAN's own means."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kgen import tfgan
from kgen.errors import UserError
from kgen.losses.adversarial import LOSSES

REAL, FAKE = np.array([2.0, 0.0], np.float32), np.array([-1.0, 3.0], np.float32)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


CROSS_ENTROPY = [softplus(-2) + softplus(-1), softplus(0) + softplus(3)]
BY_HAND = {
    "non_saturating": (CROSS_ENTROPY, [softplus(1), softplus(-3)]),
    # log sigmoid(1) is a constant that TensorFlow-GAN adds
    "minimax": (CROSS_ENTROPY, [-softplus(-1) - softplus(-1), -softplus(-1) - softplus(3)]),
    "wasserstein": ([-3, 3], [1, -3]),
    "least_squares": ([0.5 * 1 + 0.5 * 1, 0.5 * 1 + 0.5 * 9], [0.5 * 4, 0.5 * 4]),
    "hinge": ([0 + 0, 1 + 4], [1, -3]),
    # means are 1 and 1: real - 1 = (1, -1), fake - 1 = (-2, 2)
    "relativistic": (
        [(softplus(-1) + softplus(1)) / 2 + (softplus(-2) + softplus(2)) / 2] * 2,
        [(softplus(1) + softplus(-1)) / 2 + (softplus(2) + softplus(-2)) / 2] * 2,
    ),
    # real - fake = (3, -3)
    "relativistic_pair": ([softplus(-3), softplus(3)], [softplus(3), softplus(-3)]),
}
THEIRS = {
    "non_saturating": ("modified_discriminator_loss", "modified_generator_loss"),
    "minimax": ("minimax_discriminator_loss", "minimax_generator_loss"),
    "wasserstein": ("wasserstein_discriminator_loss", "wasserstein_generator_loss"),
    "least_squares": ("least_squares_discriminator_loss", "least_squares_generator_loss"),
    "hinge": ("wasserstein_hinge_discriminator_loss", "wasserstein_hinge_generator_loss"),
    "relativistic": ("relativistic_discriminator_loss", "relativistic_generator_loss"),
}


def test_every_loss_is_checked():
    assert {*LOSSES} == {*BY_HAND} == {*THEIRS, "relativistic_pair"}  # TensorFlow-GAN has its average form alone


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name):
    loss = LOSSES[name]
    for found, expected in zip(
        (loss.discriminator(REAL, FAKE, 0.0), loss.generator(REAL, FAKE)), BY_HAND[name], strict=True
    ):
        assert found.shape == (2,) and found.dtype == tf.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", THEIRS)
def test_means_are_those_of_tensorflow_gan(name):
    theirs = [getattr(tfgan.losses.losses_impl, function) for function in THEIRS[name]]
    loss, generator = LOSSES[name], np.random.default_rng(0)
    real, fake = (generator.normal(size=7).astype(np.float32) for _ in range(2))
    smoothing = {"label_smoothing": 0.2} if loss.smooths else {}
    np.testing.assert_allclose(
        np.mean(loss.discriminator(real, fake, 0.2 if smoothing else 0.0)),
        theirs[0](real, fake, **smoothing),
        rtol=1e-5,
    )
    judged = (real, fake) if loss.relativistic else (fake,)
    np.testing.assert_allclose(np.mean(loss.generator(real, fake)), theirs[1](*judged), rtol=1e-5)


def test_relativistic_players_want_the_opposite():
    """Means are 1 and 0: real - 0 = (3, 0, 0), fake - 1 = (-2, -1, 0)."""
    real, fake = np.array([3, 0, 0], np.float32), np.array([-1, 0, 1], np.float32)
    loss, apart = LOSSES["relativistic"], (3, 0, 0, 2, 1, 0)
    assert float(np.mean(loss.discriminator(real, fake, 0.0))) == pytest.approx(
        sum(softplus(-x) for x in apart) / 3, rel=1e-5
    )
    assert float(np.mean(loss.generator(real, fake))) == pytest.approx(sum(softplus(x) for x in apart) / 3, rel=1e-5)


def test_label_smoothing_by_hand():
    """The target of real images falls to 1 - 0.2 / 2: 0.9 softplus(-2) + 0.1 softplus(2)."""
    found = LOSSES["non_saturating"].discriminator(REAL, FAKE, 0.2)
    assert float(found[0]) == pytest.approx(0.9 * softplus(-2) + 0.1 * softplus(2) + softplus(-1), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_said_to_be_free_of_shifts_is(name):
    loss = LOSSES[name]
    moved = np.abs(loss.discriminator(REAL + 1, FAKE + 1, 0.0) - loss.discriminator(REAL, FAKE, 0.0)).max()
    assert (moved < 1e-6) == loss.shift_free


def test_an_unknown_loss_names_the_nearest():
    with pytest.raises(UserError, match=r"'hing'.*'hinge'"):
        LOSSES["hing"]
