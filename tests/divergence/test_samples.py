"""Samples of one's own: what is refused, and estimates against scipy and closed forms."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from kgen.divergence.files import check_pair, check_samples, load_samples
from kgen.divergence.samples import (
    estimate_samples,
    split_samples,
    standardization,
)
from kgen.errors import UserError
from kgen.random import generator

STEPS = 250


def normals(name: str, *shape: int) -> np.ndarray:
    return generator(0, "test", name).normal(size=shape)


@pytest.mark.slow
def test_wasserstein_of_one_dimension_is_what_scipy_finds():
    p, q = normals("p", 8000), 1.0 + 2.0 * normals("q", 8000)
    found = estimate_samples("wasserstein", p, q, steps=STEPS)
    # of the whole sets; the estimate is of the held-out fifth, and a little below for want of a better critic
    truth = stats.wasserstein_distance(p, q)
    assert found.estimate == pytest.approx(truth, abs=3.0 * found.stderr + 0.02 * truth)
    assert found.stderr < 0.06
    assert found.interval[0] < found.estimate < found.interval[1]


@pytest.mark.slow
def test_wasserstein_is_in_the_units_of_the_samples():
    p, q = normals("p", 2000), 1.0 + normals("q", 2000)
    one, thousand = (estimate_samples("wasserstein", s * p, s * q - s, steps=60) for s in (1.0, 1024.0))
    assert thousand.estimate == pytest.approx(1024.0 * one.estimate, rel=1e-3)
    assert thousand.stderr == pytest.approx(1024.0 * one.stderr, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [2, 8])
def test_wasserstein_of_shifted_normals(dimension):
    shift = np.full(dimension, 3.0 / math.sqrt(dimension))  # length 3: W1 = 3 in any dimension
    p, q = normals("p", 6000, dimension), normals("q", 5000, dimension) + shift
    found = estimate_samples("wasserstein", p, q, steps=STEPS)
    assert found.estimate == pytest.approx(3.0, abs=3.0 * found.stderr + 0.1)
    assert found.counts == {"p": (3600, 1200, 1200), "q": (3000, 1000, 1000)}


@pytest.mark.slow
def test_jsd_of_normals_is_the_integral():
    p, q = normals("p", 8000), 1.0 + 2.0 * normals("q", 8000)

    def integrand(x):
        a, b = stats.norm.pdf(x), stats.norm.pdf(x, 1.0, 2.0)
        return 0.5 * a * math.log(2 * a / (a + b)) + 0.5 * b * math.log(2 * b / (a + b))

    truth = integrate.quad(integrand, -10.0, 12.0)[0]
    found = estimate_samples("jsd", p, q, steps=STEPS)
    assert found.estimate == pytest.approx(truth, abs=3.0 * found.stderr + 0.01)
    # log p/q is exact for normals: log 2 - x^2 / 2 + (x - 1)^2 / 8
    exact = math.log(2.0) - found.grid**2 / 2 + (found.grid - 1.0) ** 2 / 8
    middle = np.abs(found.grid - 0.5) < 2.0
    assert np.abs(found.logits - exact)[middle].max() < 0.6


@pytest.mark.slow
def test_equal_distributions_are_not_told_apart():
    p, q = normals("p", 300, 4), normals("q", 200, 4)
    for estimator in ("jsd", "wasserstein"):
        found = estimate_samples(estimator, p, q, steps=STEPS)
        assert abs(found.estimate) <= 3.0 * found.stderr + 0.02  # learned by heart, jsd would near log 2 in training


@pytest.mark.slow
def test_the_seed_decides():
    p, q = normals("p", 200, 3), normals("q", 100, 3) + 0.5

    def value(seed: int) -> float:
        return estimate_samples("jsd", p, q, steps=30, seed=seed).estimate

    assert value(1) == value(1) != value(2)


def test_parts_are_disjoint_and_whole():
    parts = split_samples(np.arange(101), 0, "p")
    assert [len(part) for part in parts] == [61, 20, 20]  # 60.6 -> 61, 80.8 -> 81
    assert sorted(np.concatenate(parts)) == list(range(101))


def test_one_scale_for_distances_and_one_a_column_for_jsd():
    p = np.array([[1.0, 10.0], [3.0, 10.0]])
    q = np.array([[1.0, 30.0], [3.0, 30.0]])
    center, scale = standardization("wasserstein", p, q)
    np.testing.assert_allclose(center, [2.0, 20.0])
    np.testing.assert_allclose(scale, math.sqrt((1.0 + 100.0) / 2))  # variances 1 and 100
    np.testing.assert_allclose(standardization("jsd", p, q)[1], [1.0, 10.0])


def test_columns_that_never_change_are_no_trouble():
    _, scale = standardization("jsd", np.full((60, 2), 5.0), np.full((60, 2), 5.0))
    np.testing.assert_array_equal(scale, 1.0)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(49), r"at least 50 samples, one per row. Received: shape \(49,\)"),
        (np.zeros(()), r"Received: shape \(\)"),
        (np.zeros((60, 0)), r"Received: shape \(60, 0\)"),
        (np.where(np.arange(120).reshape(60, 2) == 7, np.nan, 0.0), "in 1 of 60 rows, the first is row 3"),
        (np.linspace(0.0, 1e300, 60), "in 59 of 60 rows, the first is row 1"),
        (np.full(60, np.inf), "in 60 of 60 rows, the first is row 0"),
        (np.zeros(60, complex), "Received: dtype complex128"),
        (np.array(["a"] * 60), "Received: dtype <U1"),
    ],
)
def test_what_cannot_be_samples_is_refused(array, message):
    with pytest.raises(UserError, match=message):
        check_samples(array, "p")


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(UserError, match="2 numbers per row in p, 3 in q"):
        check_pair(np.zeros((60, 2)), np.zeros((60, 3)))


def test_files_are_read(tmp_path):
    np.save(tmp_path / "images.npy", np.arange(60 * 4, dtype=np.uint8).reshape(60, 2, 2, 1))
    rows = load_samples(tmp_path / "images.npy", "--p")
    assert rows.shape == (60, 4) and rows.dtype == np.float64 and rows[1].tolist() == [4.0, 5.0, 6.0, 7.0]
    np.save(tmp_path / "line.npy", np.arange(60))
    assert load_samples(tmp_path / "line.npy", "--p").shape == (60, 1)


def test_files_that_are_not_arrays_are_refused(tmp_path):
    path = tmp_path / "p.npy"
    with pytest.raises(UserError, match=r"--p .*Received: .*p\.npy.*not a file"):
        load_samples(path, "--p")
    np.save(path, np.array([{}] * 60), allow_pickle=True)
    with pytest.raises(UserError, match=r"--p is to be a \.npy file of numbers.*Python objects"):
        load_samples(path, "--p")
    for content in (b"", b"x,y\n1,2\n"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"--p is to be a \.npy file of numbers"):
            load_samples(path, "--p")
    np.save(path, np.zeros(1000))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"--p is to be a \.npy file of numbers"):
        load_samples(path, "--p")
