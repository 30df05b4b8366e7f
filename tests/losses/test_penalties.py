"""Gradient penalties of discriminators whose slope is known."""

import numpy as np
import pytest
import tensorflow as tf

from kgen.losses import penalties

REAL, FAKE = (np.random.default_rng(seed).normal(size=(3, 2, 2, 1)).astype(np.float32) for seed in (0, 1))


def linear(x):
    """Slope (3, 4, 0, 0) everywhere: of length 5."""
    return tf.reduce_sum(x * tf.reshape([3.0, 4.0, 0.0, 0.0], (1, 2, 2, 1)), axis=(1, 2, 3))


def quadratic(x):
    """|| x ||^2 / 2: its gradient is x."""
    return 0.5 * tf.reduce_sum(tf.square(x), axis=(1, 2, 3))


def test_gradient_penalty_of_a_known_slope():
    found = penalties.gradient_penalty(linear, tf.constant(REAL), FAKE, tf.ones(3))
    np.testing.assert_allclose(found, [16.0] * 3, rtol=1e-5)


def test_gradient_penalty_is_taken_between_the_images():
    weights = tf.constant([0.0, 0.25, 1.0])
    mixed = np.reshape(weights, (3, 1, 1, 1)) * REAL + np.reshape(1 - weights, (3, 1, 1, 1)) * FAKE
    expected = np.square(np.sqrt(np.square(mixed).sum(axis=(1, 2, 3))) - 1)
    found = penalties.gradient_penalty(quadratic, tf.constant(REAL), FAKE, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_zero_centered_penalty_is_half_the_square_of_the_slope():
    penalty, logits = penalties.zero_centered(linear, tf.constant(REAL))
    np.testing.assert_allclose(penalty, [12.5] * 3, rtol=1e-6)
    np.testing.assert_allclose(logits, linear(REAL))


@pytest.mark.parametrize("jit", [False, True])
def test_a_slope_of_zero_has_a_finite_gradient(jit):
    weight = tf.Variable(0.0)

    @tf.function(jit_compile=jit)
    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(penalties.gradient_penalty(lambda x: weight * quadratic(x), REAL, FAKE, tf.ones(3)))
        return loss, tape.gradient(loss, weight)

    loss, slope = gradient()
    assert float(loss) == pytest.approx(3.0, rel=1e-5)
    assert np.isfinite(slope)
