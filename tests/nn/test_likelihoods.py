"""What a decoder's output says of an image."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.nn.likelihoods import LIKELIHOODS, MIN_STDDEV


@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "gaussian_learned"])
def test_the_mean_image_is_the_sigmoid_of_the_logits(name):
    likelihood = LIKELIHOODS[name](stddev=0.1)
    logits = tf.constant([0.0, math.log(3), -math.log(3), 100.0], tf.float16)
    mean = likelihood(logits)
    assert mean.dtype == tf.float32
    np.testing.assert_allclose(mean, [0.5, 0.75, 0.25, 1.0], atol=1e-4)


def test_learned_stddev_starts_where_it_is_told():
    images, logits = np.random.default_rng(0).uniform(size=(2, 2, 3, 3, 1)).astype(np.float32)
    fixed, learned = (LIKELIHOODS[name](stddev=0.2) for name in ("gaussian", "gaussian_learned"))
    np.testing.assert_allclose(fixed.nll(images, logits), learned.nll(images, logits), rtol=1e-6)
    assert not fixed.trainable_variables and len(learned.trainable_variables) == 1
    learned.log_var.assign(0.0)  # N(x; m, 1): 1/2 ln 2 pi + 1/2 (x - m)^2, nine pixels
    expected = 4.5 * math.log(2 * math.pi) + 0.5 * np.square(images - 1 / (1 + np.exp(-logits))).sum((1, 2, 3))
    np.testing.assert_allclose(learned.nll(images, logits), expected, rtol=1e-5)


def test_learned_stddev_has_a_lower_bound():
    """On constant pixels that the mean meets, the likelihood grows without bound as the stddev falls."""
    likelihood = LIKELIHOODS["gaussian_learned"](stddev=0.1)
    images, logits = tf.fill((2, 3, 3, 1), 0.5), tf.zeros((2, 3, 3, 1))
    optimizer = keras.optimizers.SGD(1.0)
    for _ in range(20):  # the gradient is half the number of pixels: the bound is reached after a few steps
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(likelihood.nll(images, logits))
        optimizer.apply(tape.gradient(loss, [likelihood.log_var.value]), [likelihood.log_var])
    assert math.exp(0.5 * likelihood.log_var.numpy()) == pytest.approx(MIN_STDDEV, rel=1e-5)
    # 9 pixels at their mean: 9 (1/2 ln 2 pi + ln stddev)
    assert float(loss) == pytest.approx(9 * (0.5 * math.log(2 * math.pi) + math.log(MIN_STDDEV)), rel=1e-5)
    assert pytest.approx(np.std(np.linspace(-0.5, 0.5, 100_001)), rel=1e-4) == 255 * MIN_STDDEV  # of rounding
