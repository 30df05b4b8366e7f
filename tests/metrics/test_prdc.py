"""Precision, recall, density and coverage against counts done by hand and against the `prdc` package."""

import contextlib
import io

import numpy as np
import pytest
from check_metric import check_metric
from prdc import compute_prdc

from kgen.errors import UserError
from kgen.metrics import distances
from kgen.metrics.distances import Frame, neighbours, squared_distances
from kgen.metrics.prdc import expected_coverage, prdc

LINE = np.arange(10.0)[:, None]


def package(real, fake, *, k_precision_recall=3, k_density_coverage=5) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        first, second = (compute_prdc(real, fake, k) for k in (k_precision_recall, k_density_coverage))
    return {name: float((first if name in ("precision", "recall") else second)[name]) for name in first}


def drawn(count, dimension, seed, dtype=np.float64):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(count, dimension)) * np.geomspace(0.3, 3, dimension) + 5).astype(dtype)


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(distances, "TILE", 64)
    monkeypatch.setattr(distances, "CHUNK", 1_000)


def test_identical_shifted_collapsed():
    """0 to 9 on a line. Third neighbours are 2 away (at the ends 3), fifth ones 3 (then 4 and 5 at the ends).

    Shifted by 6.5: the fakes below 12 are within 3 of 9, and by symmetry as many real ones. The fakes
    6.5, 7.5, ... are in 6, 5, 4, 3, 2, 2, 1, 1, 0, 0 balls of radius 3, 4 or 5, in all 24 of 5 * 10. The real 4 to 9
    are covered.
    Collapsed at -0.5: no ball around a fake has a size, and the balls of 0, 1 and 2 hold every fake.
    """
    check_metric(
        prdc,
        identical=(LINE, LINE.copy(), {"precision": 1, "recall": 1, "density": 1, "coverage": 1}),
        shifted=(LINE, LINE + 6.5, {"precision": 0.6, "recall": 0.6, "density": 0.48, "coverage": 0.6}),
        collapsed=(
            LINE,
            np.full((12, 1), -0.5),
            {"precision": 1, "recall": 0, "density": 0.6, "coverage": 0.3},
        ),
    )


def test_torch_fidelity():
    generator = np.random.default_rng(0)
    found = prdc(3 * generator.standard_normal((200, 16)), 0.1 * generator.standard_normal((200, 16)))
    assert found["precision"] > 0.8 and found["recall"] < 0.3


@pytest.mark.parametrize("dimension", [2, 300])
def test_identical_sets_as_in_the_package(dimension, small_tiles):
    real = drawn(150, dimension, 0)
    expected = {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}
    assert prdc(real, real) == prdc(real, real.copy()) == expected
    assert package(real, real) == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dimension", [2, 64, 300])
def test_equal_to_the_package(dimension, dtype, small_tiles):
    real, fake = drawn(300, dimension, 0, dtype), 0.9 * drawn(200, dimension, 1, dtype) + dtype(0.5)
    for k in ({}, {"k_precision_recall": 1, "k_density_coverage": 2}, {"k_precision_recall": 7}):
        assert prdc(real, fake, **k) == pytest.approx(package(real, fake, **k), rel=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 300])
def test_ties_are_outside_as_in_the_package(dimension, small_tiles):
    """Small whole numbers: every distance is exact in the package too, and most are ties or copies."""
    generator = np.random.default_rng(0)
    real, fake = np.zeros((200, dimension)), np.zeros((150, dimension))
    real[:, :2], fake[:, :2] = (generator.integers(0, 9, (len(part), min(dimension, 2))) for part in (real, fake))
    assert prdc(real, fake) == pytest.approx(package(real, fake), rel=1e-12)


def test_copies_of_real_images_far_from_the_origin():
    """Ties where rounding would decide: the real images are all there as fakes, and others too."""
    real = drawn(100, 20, 0) + 1_000
    fake = np.concatenate([real[::-1], real[:30]])
    found = prdc(real, fake)
    squared = ((real[:, None] - fake) ** 2).sum(-1)
    radii = np.sort(((real[:, None] - real) ** 2).sum(-1), axis=1)
    assert found["density"] == (squared < radii[:, 5:6]).sum() / (5 * 130)
    assert found["precision"] == found["recall"] == found["coverage"] == 1.0


def test_coverage_and_density_of_equal_distributions():
    """Coverage 1 - 2^-5 for as many fakes as real images (0.969 at 10,000), density 1."""
    assert expected_coverage(10_000, 10_000, 5) == pytest.approx(0.969, abs=5e-4)
    assert expected_coverage(3, 1, 2) == pytest.approx(1 - (2 * 1) / (3 * 2))  # by hand
    found = [prdc(drawn(400, 4, seed), drawn(300, 4, 100 + seed)) for seed in range(20)]
    for name, expected in (("coverage", expected_coverage(400, 300, 5)), ("density", 1.0)):
        values = [row[name] for row in found]
        assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / np.sqrt(20))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["plain", "tiny", "huge", "far", "heavy", "same"])
def test_bounds_hold(kind, dtype):
    """The float32 tiles hold the float64 distances between their bounds, whatever the numbers are like."""
    generator = np.random.default_rng(0)
    x, y = (
        {
            "plain": lambda size: generator.normal(size=size),
            "tiny": lambda size: 1e-30 * generator.normal(size=size),
            "huge": lambda size: 1e15 * generator.normal(size=size),
            "far": lambda size: 1e5 + generator.normal(size=size),
            "heavy": lambda size: generator.standard_cauchy(size=size) ** 5,
            "same": lambda size: np.full(size, 0.1),
        }[kind]((count, 40)).astype(dtype)
        for count in (50, 60)
    )
    frame = Frame(x, y)
    exact = ((x[:, None].astype(np.float64) - y) ** 2).sum(-1) * frame.unit
    (tile,) = frame.tiles(x, y)
    assert (tile.low <= exact).all()
    assert (exact <= tile.low + tile.slack_rows[:, None] + tile.slack_columns).all()
    if kind == "plain":
        assert (tile.slack_rows.max() + tile.slack_columns.max()) < 1e-3 * np.median(exact)  # and are of use


@pytest.mark.parametrize("dimension", [5, 300])
@pytest.mark.parametrize("k", [1, 4])
def test_neighbours_by_brute_force(dimension, k, small_tiles):
    x, y = drawn(150, dimension, 0), drawn(200, dimension, 1)
    for query, base in ((x, y), (y, y)):
        squared, index = neighbours(query, base, k)
        exact = ((query[:, None] - base) ** 2).sum(-1)
        np.testing.assert_array_equal(index, np.argsort(exact, axis=1)[:, :k])
        np.testing.assert_allclose(squared, np.sort(exact, axis=1)[:, :k], rtol=1e-13)


@pytest.mark.parametrize("dimension", [5, 300])
@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_neighbours_among_many_near_copies(dimension, noise, small_tiles):
    """Three modes of 60: more that float32 cannot tell apart than are kept."""
    fake = np.repeat(drawn(3, dimension, 0), 60, axis=0)
    fake += noise * np.random.default_rng(1).normal(size=fake.shape)
    exact = np.sort(((fake[:, None] - fake) ** 2).sum(-1), axis=1)[:, :4]
    np.testing.assert_allclose(neighbours(fake, fake, 4)[0], exact, rtol=0, atol=1e-13 * (fake**2).sum(1).max())


def test_a_distance_does_not_depend_on_where_the_vectors_stand():
    x, y = drawn(30, 77, 0), drawn(40, 77, 1)
    i, j = np.arange(30), np.arange(30) + 10
    forward, back = squared_distances(x, i, y, j), squared_distances(y, j, x, i)
    single = [squared_distances(x[n : n + 1], [0], y[n + 10 : n + 11], [0])[0] for n in range(30)]
    np.testing.assert_array_equal(forward, back)
    np.testing.assert_array_equal(forward, single)


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"k_density_coverage.*\(5\).*Received: 5"):
        prdc(LINE[:5], LINE)
    with pytest.raises(UserError, match=r"k_precision_recall.*\(3\).*Received: 3"):
        prdc(LINE, LINE[:3])
    with pytest.raises(UserError, match="real: features must be finite"):
        prdc(np.where(LINE == 3, np.inf, LINE), LINE)
    with pytest.raises(UserError, match="Received: 11 neighbours among 10"):
        neighbours(LINE, LINE, 11)
