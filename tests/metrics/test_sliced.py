"""The sliced Wasserstein distance against scipy and a closed form."""

import math

import numpy as np
import pytest
from check_metric import check_metric
from scipy.stats import wasserstein_distance

from kgen.errors import UserError
from kgen.metrics.sliced import sliced_wasserstein, wasserstein_columns


def test_identical_shifted_collapsed():
    """In one dimension the directions are 1 and -1, and the distance is the Wasserstein distance itself."""
    line = np.array([[0.0], [1.0], [2.0], [3.0]])
    check_metric(
        lambda real, fake: sliced_wasserstein(real, fake, projections=5).value,
        identical=(line, line, 0.0),
        shifted=(line, line + 2.5, 2.5),
        collapsed=(line, np.full((3, 1), 1.0), (1 + 0 + 1 + 2) / 4),
    )


@pytest.mark.parametrize("dimension", [2, 3, 50])
def test_shift_in_many_dimensions(dimension):
    """E|<v, u>| = |v| Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)) over unit vectors u: 2/pi for d = 2, 1/2 for d = 3."""
    real, shift = np.random.default_rng(0).normal(size=(40, dimension)), np.arange(1.0, dimension + 1)
    found = sliced_wasserstein(real, real + shift, projections=4_000)
    mean = math.exp(math.lgamma(dimension / 2) - math.lgamma((dimension + 1) / 2)) / math.sqrt(math.pi)
    assert {2: 2 / math.pi, 3: 0.5}.get(dimension, mean) == pytest.approx(mean)
    assert found.value == pytest.approx(np.linalg.norm(shift) * mean, abs=4 * found.standard_error)
    assert found.standard_error < 0.02 * found.value
    assert found.projections == 4_000


@pytest.mark.parametrize("sizes", [(30, 30), (30, 47), (30, 45), (1, 6)])
def test_every_column_is_scipys(sizes):
    generator = np.random.default_rng(0)
    a, b = (generator.normal(n, 1 + n, size=(size, 5)) for n, size in enumerate(sizes))
    b[: len(b) // 2] = np.round(b[: len(b) // 2])  # ties
    expected = [wasserstein_distance(a[:, n], b[:, n]) for n in range(5)]
    np.testing.assert_allclose(wasserstein_columns(a, b), expected, rtol=1e-12)


def test_many_images_do_not_overflow():
    """100,000 against 99,999 images: in units of 1 / (N M) there are 10^10 steps."""
    a, b = np.linspace(0, 1, 100_000)[:, None], np.linspace(0, 1, 99_999)[:, None] + 3
    assert wasserstein_columns(a, b)[0] == pytest.approx(3, rel=1e-6)


def test_a_function_of_the_seed():
    real, fake = np.random.default_rng(0).normal(size=(2, 20, 6))
    assert sliced_wasserstein(real, fake, seed=1) == sliced_wasserstein(real, fake, seed=1)
    assert sliced_wasserstein(real, fake, seed=1) != sliced_wasserstein(real, fake, seed=2)


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"at least 2 projections. Received: 1"):
        sliced_wasserstein(np.zeros((3, 2)), np.zeros((3, 2)), projections=1)
