"""The closed forms, against integrals and against samples of the toys."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from kgen import random
from kgen.divergence.toy import DENSITIES, PHIS, TanhDensity, jsd_of_lines, sample_lines, wasserstein_of_lines

COUNT = 200_000


def test_there_are_21_phis():
    assert len(PHIS) == 21 and PHIS[0] == -1.0 and PHIS[10] == 0.0 and PHIS[13] == 0.3 and PHIS[-1] == 1.0


def test_lines_stand_where_they_should():
    p, q = (side.numpy() for side in sample_lines((-0.5, 0.25), COUNT, random.replica_seed(0, 0, "test")))
    assert p.shape == q.shape == (2, COUNT, 2)
    assert np.all(p[..., 0] == 0.0)
    np.testing.assert_array_equal(q[:, :2, 0], [[-0.5, -0.5], [0.25, 0.25]])
    # the mean of U(0, 1) is 1/2 with standard deviation sqrt(1/12): five standard errors are 0.0033
    for heights in (*p[..., 1], *q[..., 1]):
        assert abs(heights.mean() - 0.5) < 0.0033 and heights.min() >= 0.0 and heights.max() <= 1.0
    # independent of each other: a correlation has a standard error of 1 / sqrt(200,000) = 0.0022
    assert abs(np.corrcoef([*p[..., 1], *q[..., 1]]) - np.eye(4)).max() < 0.012


@pytest.mark.parametrize("phi", [-0.7, 0.0, 0.1])
def test_wasserstein_of_lines_is_what_scipy_finds(phi):
    # the heights are equal in law, so the distance is that of the places: points at 0 and points at phi
    assert wasserstein_of_lines(phi) == pytest.approx(stats.wasserstein_distance([0.0], [phi]), abs=1e-15)


def test_jsd_of_lines_is_the_integral():
    # On {0} x (0, 1) p is 1 and q is 0, the other way round on {phi} x (0, 1); both 1 where they coincide:
    # JSD = 1/2 int p log(p / m) + 1/2 int q log(q / m), with m = (p + q) / 2
    apart = 0.5 * math.log(1.0 / 0.5) + 0.5 * math.log(1.0 / 0.5)
    together = 0.5 * math.log(1.0 / 1.0) + 0.5 * math.log(1.0 / 1.0)
    assert jsd_of_lines(0.1) == jsd_of_lines(-1.0) == pytest.approx(apart) == pytest.approx(0.6931471805599453)
    assert jsd_of_lines(0.0) == together == 0.0


@pytest.mark.parametrize("name", ["tanh", "bimodal"])
def test_densities_have_mass_one(name):
    target = DENSITIES[name]
    mass, error = integrate.quad(lambda y: target.density(np.array([y]))[0], *target.bounds, limit=200)
    assert mass == pytest.approx(1.0, abs=1e-6) and error < 1e-6


@pytest.mark.parametrize("name", ["tanh", "bimodal"])
def test_densities_are_those_of_the_samples(name):
    target = DENSITIES[name]
    samples = target.sample(COUNT, random.replica_seed(0, 0, "test")).numpy().astype(np.float64)
    edges = np.linspace(-3.0, 3.0, 31)
    shares = np.histogram(samples, edges)[0] / COUNT
    bins = itertools.pairwise(edges)
    truths = [integrate.quad(lambda y: target.density(np.array([y]))[0], a, b)[0] for a, b in bins]
    # the share of a bin has a standard error of sqrt(p (1 - p) / N): the largest of 30 stays below 4 of them
    stderrs = np.sqrt(np.multiply(truths, np.subtract(1.0, truths)) / COUNT)
    assert np.all(np.abs(shares - truths) < 4.5 * stderrs + 1e-5)


def test_tanh_density_at_a_known_point():
    # z = -1/2: y = tanh(0) - 0.375 = -0.375, slope 2 + 0.75, and phi(1/2) = 0.3520653267642995
    assert TanhDensity.density(np.array([-0.375]))[0] == pytest.approx(0.3520653267642995 / 2.75, rel=1e-12)


def test_bimodal_density_at_a_known_point():
    # at 1 the second part is at its peak: 0.6 / (0.6 sqrt(2 pi)) = 0.3989423; the first is 6.25 stddevs away
    first = 0.4 / 0.4 * math.exp(-0.5 * 6.25**2) / math.sqrt(2.0 * math.pi)
    assert DENSITIES["bimodal"].density(np.array([1.0]))[0] == pytest.approx(0.3989422804014327 + first, rel=1e-12)
