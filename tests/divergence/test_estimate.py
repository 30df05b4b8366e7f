"""Estimates against closed forms: through the estimators alone, then through trained critics."""

import math

import numpy as np
import pytest
from scipy import stats

from kgen.divergence import estimate
from kgen.divergence.estimate import estimate_lines, jsd_from_logits, wasserstein_from_scores


@pytest.mark.parametrize("sure", [50.0, 1000.0, np.inf])
def test_a_sure_discriminator_finds_log_2(sure):
    value, stderr = jsd_from_logits(np.full(5, sure), np.full(7, -sure))
    assert value == pytest.approx(math.log(2.0), abs=1e-15) and stderr < 1e-30


def test_an_undecided_discriminator_finds_zero():
    assert jsd_from_logits(np.zeros(5), np.zeros(7))[0] == pytest.approx(0.0, abs=1e-15)


def test_a_wrong_discriminator_is_negative():
    # p and q swapped: logits of -3 on p and 3 on q give log 2 - softplus(3)
    assert jsd_from_logits([-3.0] * 2, [3.0] * 2)[0] == pytest.approx(math.log(2.0) - math.log1p(math.exp(3.0)))


def test_jsd_of_two_normals_by_the_best_discriminator():
    # the best logit of N(0, 1) against N(1, 1) is log p - log q = 1/2 - x
    x = np.linspace(-9.0, 10.0, 4001)
    p, q = stats.norm.pdf(x), stats.norm.pdf(x, 1.0)
    integral = np.trapezoid(0.5 * p * np.log(2 * p / (p + q)) + 0.5 * q * np.log(2 * q / (p + q)), x)
    middles = (np.arange(100_000) + 0.5) / 100_000  # quantiles: averages without sampling error
    at_p, at_q = stats.norm.ppf(middles), stats.norm.ppf(middles) + 1.0
    assert jsd_from_logits(0.5 - at_p, 0.5 - at_q)[0] == pytest.approx(integral, abs=1e-5)


def test_jsd_standard_error_by_hand():
    # 1/2 log D(p) takes log sigmoid(0)/2 and log sigmoid(inf)/2 = 0 by turns: variance (log(2)/2)^2 / 4 * 4/3, N = 4
    _, stderr = jsd_from_logits([0.0, np.inf, 0.0, np.inf], [-np.inf] * 3)
    assert stderr == pytest.approx(math.log(2.0) / 4.0 / math.sqrt(3.0))


def test_wasserstein_by_hand():
    # f = 2 x: (2 * 3 - 2 * 1) / 2 = 2; variances of f 4 * 2 and 0, halved by N = 2: sqrt(4) / 2 = 1
    value, stderr = wasserstein_from_scores([4.0, 8.0], [2.0, 2.0], [1.5, 2.0, 0.1])
    assert (value, stderr) == (pytest.approx(2.0), pytest.approx(1.0))
    assert wasserstein_from_scores([2.0, 2.0], [4.0, 8.0], [2.0])[0] == pytest.approx(-2.0)  # swapped: the sign


def test_the_overshoot_of_the_penalty_divides_out():
    # s W - lambda (s - 1)^2 is largest at s = 1 + W / (2 lambda): with W = 1 and lambda = 10, s = 1.05
    scores = 1.05 * np.linspace(0.0, 1.0, 11)
    raw = np.mean(scores + 1.05) - np.mean(scores)
    assert raw == pytest.approx(1.0 + 1.0 / 20.0)
    assert wasserstein_from_scores(scores + 1.05, scores, [1.05])[0] == pytest.approx(1.0)


@pytest.mark.slow
def test_wasserstein_of_some_lines():
    # without the division by the slope it would miss by 1/20 at phi = -1
    for row in estimate_lines("wasserstein", (-1.0, 0.0, 0.1), penalty=10.0):
        assert row.truth == abs(row.phi) and abs(row.error) < 0.01, row


def test_gradient_descent_falls_short_of_adam():
    sgd = estimate_lines("jsd", (0.1,), optimizer="sgd")[0]
    assert sgd.error < -0.1  # Adam is within 0.001: test_full_laboratory.py


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["jsd", "wasserstein"])
def test_the_seed_decides(estimator, monkeypatch):
    monkeypatch.setattr(estimate, "HELD_OUT_BATCHES", 2)

    def values(seed: int) -> list[float]:
        return [row.estimate for row in estimate_lines(estimator, (0.0, 0.5), steps=20, seed=seed)]

    assert values(3) == values(3) != values(4)
