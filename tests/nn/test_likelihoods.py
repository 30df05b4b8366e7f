"""What a decoder's output says of an image."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kgen.nn.likelihoods import LIKELIHOODS


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
