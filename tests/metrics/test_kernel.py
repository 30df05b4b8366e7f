"""The kernel distance against sums done by hand and against TensorFlow-GAN."""

import numpy as np
import pytest
import tensorflow as tf
from check_metric import check_metric

from kgen import tfgan
from kgen.errors import UserError
from kgen.metrics import kernel
from kgen.metrics.kernel import kernel_distance, kernel_distance_all_pairs

PAIR = np.array([[1.0], [-1.0]])


def sets(num_real=90, num_fake=70, dimension=8):
    generator = np.random.default_rng(0)
    return generator.normal(size=(num_real, dimension)), generator.normal(0.3, 1.2, size=(num_fake, dimension))


@pytest.mark.parametrize("metric", [kernel_distance_all_pairs, lambda a, b: kernel_distance(a, b, subsets=3).value])
def test_identical_shifted_collapsed(metric):
    """k(a, b) = (a b + 1)^3 in one dimension; subsets as large as the sets are the sets."""
    check_metric(
        metric,
        # Within: k(1, -1) = 0, twice. Between: 8, 0, 0, 8, mean 4. Unbiased, so negative on the same images.
        identical=(PAIR, PAIR, -8.0),
        # {2, 0}: within k(2, 0) = 1; between k(1, 2), k(1, 0), k(-1, 2), k(-1, 0) = 27, 1, -1, 1, mean 7.
        shifted=(PAIR, PAIR + 1, 0 + 1 - 14.0),
        # {0, 0, 0}: k = 1 within and between.
        collapsed=(PAIR, np.zeros((3, 1)), 0 + 1 - 2.0),
    )


def test_all_pairs_are_tfgans():
    metrics = tfgan.module("eval.classifier_metrics")
    real, fake = sets()
    expected = metrics.kernel_classifier_distance_from_activations(tf.constant(real), tf.constant(fake), 1_000)
    assert kernel_distance_all_pairs(real, fake) == pytest.approx(float(expected), rel=1e-9)


def test_mean_and_error_are_those_of_tfgans_blocks(monkeypatch):
    """TensorFlow-GAN's subsets are consecutive blocks; given these in place of random ones, all values agree."""
    metrics = tfgan.module("eval.classifier_metrics")
    real, fake = sets(90, 90)
    mean, error = metrics.kernel_classifier_distance_and_std_from_activations(tf.constant(real), tf.constant(fake), 30)

    class Consecutive:
        drawn = 0

        def choice(self, count, size, replace):
            self.drawn += 1
            start = (self.drawn - 1) // 2 * size
            return np.arange(start, start + size)

    monkeypatch.setattr(kernel.random, "generator", lambda *names: Consecutive())
    found = kernel_distance(real, fake, subsets=3, subset_size=30)
    assert found.value == pytest.approx(float(mean), rel=1e-9)
    assert found.standard_error == pytest.approx(float(error), rel=1e-9)


def test_blocks_do_not_show(monkeypatch):
    real, fake = sets()
    whole = kernel_distance_all_pairs(real, fake)
    monkeypatch.setattr(kernel, "BLOCK", 16)
    assert kernel_distance_all_pairs(real, fake) == pytest.approx(whole, rel=1e-12)


def test_unbiased():
    """Two samples of one distribution: the mean over 200 pairs of sets is 0 within 4 standard errors."""
    generator = np.random.default_rng(0)
    values = [kernel_distance_all_pairs(*generator.normal(size=(2, 30, 5))) for _ in range(200)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)


def test_subsets_agree_with_all_pairs():
    real, fake = sets(600, 500)
    found = kernel_distance(real, fake, subsets=200, subset_size=100, seed=3)
    assert found.value == pytest.approx(kernel_distance_all_pairs(real, fake), abs=4 * found.standard_error)
    assert found == kernel_distance(real, fake, subsets=200, subset_size=100, seed=3)
    assert found.value != kernel_distance(real, fake, subsets=200, subset_size=100, seed=4).value
    assert found.subset_size == 100


def test_subset_size_is_lowered_to_the_smaller_set():
    real, fake = sets(90, 70)
    found = kernel_distance(real, fake, subsets=5)
    assert found.subset_size == 70


def test_float32_features_are_multiplied_in_float64():
    real, fake = (part.astype(np.float32) for part in sets())
    expected = kernel_distance_all_pairs(real.astype(np.float64), fake.astype(np.float64))
    assert kernel_distance_all_pairs(real, fake) == expected


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"from one extractor. Received: 8 and 4 dimensions"):
        kernel_distance(sets()[0], np.zeros((5, 4)))
    with pytest.raises(UserError, match="subsets=1, subset_size=1000"):
        kernel_distance(*sets(), subsets=1)
    with pytest.raises(UserError, match=r"fake: this metric needs at least 2 images. Received: 1"):
        kernel_distance_all_pairs(PAIR, PAIR[:1])
