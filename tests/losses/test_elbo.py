"""The terms of the ELBO against numbers worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from kgen.losses import elbo


def test_kl_of_shifted_and_scaled_normals():
    ones = np.ones((2, 10), np.float32)
    # 1/2 (s^2 + m^2 - 1 - ln s^2) a dimension. N(1, 1): 1/2; N(0, e): (e - 2) / 2; N(0, 1): 0.
    for mean, log_var, nats in ((1, 0, 0.5), (0, 1, (math.e - 2) / 2), (0, 0, 0.0)):
        found = elbo.standard_normal_kl(mean * ones, log_var * ones)
        np.testing.assert_allclose(found, np.full((2, 10), nats), rtol=1e-6)


def test_kl_is_what_sampling_finds():
    """KL = E_q[log q(z) - log p(z)], over 200,000 draws."""
    mean, log_var = np.array([0.7, -1.2]), np.array([-0.5, 0.8])
    stddev = np.exp(log_var / 2)
    z = np.random.default_rng(0).normal(mean, stddev, size=(200_000, 2))
    ratio = (norm(mean, stddev).logpdf(z) - norm(0, 1).logpdf(z)).sum(1)
    standard_error = ratio.std() / math.sqrt(len(ratio))
    assert standard_error < 0.01
    found = float(tf.reduce_sum(elbo.standard_normal_kl(mean[None], log_var[None])))
    assert found == pytest.approx(ratio.mean(), abs=4 * standard_error)


def test_free_nats_are_of_a_dimension_and_of_the_batch():
    """Means over the batch 0.2 and 4: the first is free, and costs 0.5 whatever it is; the second its own nats."""
    kls = tf.Variable([[0.1, 3.0], [0.3, 5.0]])
    with tf.GradientTape() as tape:
        paid = elbo.free_bits_kl(kls, 0.5)
        total = tf.reduce_sum(paid)
    np.testing.assert_allclose(paid, [3.5, 5.5], rtol=1e-6)
    np.testing.assert_array_equal(tape.gradient(total, kls), [[0.0, 1.0], [0.0, 1.0]])


def test_bernoulli_at_logits_of_zero_is_ln_2_a_pixel():
    images = np.random.default_rng(0).uniform(size=(2, 4, 3, 1)).astype(np.float32)  # whatever they are
    np.testing.assert_allclose(elbo.bernoulli_nll(images, np.zeros_like(images)), [12 * math.log(2)] * 2, rtol=1e-6)


def test_bernoulli_by_its_probabilities():
    # p = 1/4 is a logit of -ln 3: -ln(1/4) for a one, -ln(3/4) for a zero.
    images = np.array([[1.0, 0.0], [1.0, 1.0]]).reshape(2, 2, 1, 1)
    expected = [math.log(4) + math.log(4 / 3), 2 * math.log(4)]
    np.testing.assert_allclose(elbo.bernoulli_nll(images, np.full((2, 2, 1, 1), -math.log(3))), expected, rtol=1e-6)


def test_bernoulli_is_finite_where_probabilities_would_be_clipped():
    images, logits = np.array([1.0, 0.0]).reshape(2, 1, 1, 1), np.array([-200.0, -200.0]).reshape(2, 1, 1, 1)
    np.testing.assert_allclose(elbo.bernoulli_nll(images, logits), [200.0, 0.0], atol=1e-6)
    logits = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = elbo.bernoulli_nll(images, logits)
    np.testing.assert_allclose(tf.reshape(tape.gradient(loss, logits), [-1]), [-1.0, 0.0], atol=1e-6)  # sigmoid(l) - x


@pytest.mark.parametrize("stddev", [0.05, 0.1, 1.0])
def test_gaussian_is_scipys(stddev):
    generator = np.random.default_rng(1)
    images, mean = generator.uniform(size=(2, 3, 4, 5, 3))
    expected = -norm(mean, stddev).logpdf(images).sum((1, 2, 3))
    np.testing.assert_allclose(elbo.gaussian_nll(images, mean, 2 * math.log(stddev)), expected, rtol=1e-4)


def test_gaussian_takes_a_log_variance_a_pixel():
    images, mean = np.zeros((1, 1, 2, 1)), np.array([1.0, 2.0]).reshape(1, 1, 2, 1)
    log_var = np.log([1.0, 4.0]).reshape(1, 1, 2, 1)
    expected = -norm([1.0, 2.0], [1.0, 2.0]).logpdf(0.0).sum()
    np.testing.assert_allclose(elbo.gaussian_nll(images, mean, log_var), [expected], rtol=1e-6)


def test_reparameterized_draws_have_the_moments_and_pass_gradients():
    noise = tf.random.stateless_normal((100_000, 1), [1, 2])
    mean, log_var = tf.constant([[2.0]]), tf.constant([[math.log(9.0)]])
    with tf.GradientTape() as tape:
        tape.watch([mean, log_var])
        z = elbo.reparameterize(mean, log_var, noise)
    assert float(tf.reduce_mean(z)) == pytest.approx(2.0, abs=0.04)  # stddev 3: 4 standard errors are 0.038
    assert float(tf.math.reduce_std(z)) == pytest.approx(3.0, abs=0.03)  # 4 / sqrt(2 n) of 3
    by_mean, by_log_var = tape.gradient(z, [mean, log_var])
    assert float(by_mean[0, 0]) == pytest.approx(100_000)  # dz/dm = 1
    # dz/d log_var = (z - m) / 2
    assert float(by_log_var[0, 0]) == pytest.approx(float(tf.reduce_sum((z - 2.0) / 2)), rel=1e-2, abs=1.0)


def test_terms_are_float32_from_float16():
    half = tf.ones((2, 3, 3, 1), tf.float16) * 200  # a sum of squares would leave float16
    assert elbo.gaussian_nll(half, half * 0, 0.0).dtype == tf.float32
    # 9 pixels of 1/2 (ln 2 pi + 200^2)
    np.testing.assert_allclose(
        elbo.gaussian_nll(half, half * 0, 0.0), [4.5 * (math.log(2 * math.pi) + 40_000)] * 2, rtol=1e-6
    )
