"""Densities from a discriminator, against closed forms."""

import numpy as np
import pytest
from scipy import stats

from kgen.divergence.density import (
    estimate_density,
    estimate_density_of_samples,
    log_density_ratio,
    total_variation,
)
from kgen.errors import UserError
from kgen.random import generator


def test_total_variation():
    x = np.linspace(-10.0, 11.0, 20_001)
    p, q = stats.norm.pdf(x), stats.norm.pdf(x, 1.0)
    assert total_variation(x, p, p) == 0.0
    # densities of equal spread cross half-way: TV = 2 Phi(1/2) - 1
    assert total_variation(x, p, q) == total_variation(x, q, p) == pytest.approx(2 * stats.norm.cdf(0.5) - 1, abs=1e-6)
    apart = stats.uniform.pdf(x, -5.0, 1.0), stats.uniform.pdf(x, 5.0, 1.0)
    assert total_variation(x, *apart) == pytest.approx(1.0, abs=0.002)


def test_ratio_of_unequal_counts():
    # with 3 points of f1 for each of f0 and f1 = f0, the best D is 3/4, its logit log 3, and the ratio 1
    assert log_density_ratio([np.log(3.0)], 3, 1) == pytest.approx([0.0], abs=1e-15)
    assert log_density_ratio([0.7], 5, 5) == pytest.approx([0.7])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tanh", "bimodal"])
def test_density_is_found(name):
    found = estimate_density(name)
    assert found.total_variation <= 0.01
    assert found.mass == pytest.approx(1.0, abs=0.01)
    # D / (1 - D) = f1 / f0, away from where D is 1 to the last digit
    inside = np.abs(found.x) < 3.0
    ratio = found.discriminator / (1.0 - found.discriminator)
    np.testing.assert_allclose((found.base * ratio)[inside], found.estimate[inside], rtol=1e-6)


@pytest.mark.slow
def test_density_from_unequal_counts_needs_its_correction():
    found = estimate_density("bimodal", steps=400, batch_size=1024, base_batch_size=3072)
    # uncorrected, the estimate would have mass 1/3 and a total variation of at least 1/3
    assert found.mass == pytest.approx(1.0, abs=0.05) and found.total_variation < 0.1


@pytest.mark.slow
def test_density_of_samples_of_ones_own():
    samples = generator(0, "test").normal(50.0, 10.0, 20_000)
    found = estimate_density_of_samples(samples, steps=200)
    assert found.truth is None and found.total_variation is None and found.counts == (12_000, 8_000)
    # f0 is the normal of the samples' mean and spread: nothing is left to correct
    assert total_variation(found.x, found.estimate, stats.norm.pdf(found.x, 50.0, 10.0)) < 0.03


@pytest.mark.slow
def test_density_of_two_heaps():
    samples = generator(0, "test").normal(size=20_000) + np.repeat([-3.0, 3.0], 10_000)
    found = estimate_density_of_samples(samples, steps=400)
    truth = 0.5 * stats.norm.pdf(found.x, -3.0) + 0.5 * stats.norm.pdf(found.x, 3.0)
    # the normal alone is 0.3 away: at 0 it is 0.126, the truth 0.0044
    assert total_variation(found.x, found.estimate, truth) < 0.05


def test_densities_of_planes_and_points_are_refused():
    with pytest.raises(UserError, match="Received: 2 per row in p"):
        estimate_density_of_samples(np.zeros((60, 2)))
    with pytest.raises(UserError, match="Received: 7 in every row of p"):
        estimate_density_of_samples(np.full(60, 7.0))


def test_an_unknown_density_names_the_known_ones():
    with pytest.raises(UserError, match="bimodal, tanh"):
        estimate_density("gauss")
