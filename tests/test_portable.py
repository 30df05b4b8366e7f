"""The portable generator: uniform, without memory from seed to seed, and the same in NumPy, TensorFlow, XLA, TFLite."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from kgen import random
from kgen.export.quantization import float16, weights8
from kgen.export.signatures import ExportSignature
from kgen.export.tflite import convert
from kgen.sampling.exported import TFLiteRuntime

SEEDS = 10**6


def by_hand(seed: int, k: int) -> tuple[int, int]:
    """The same function in Python's own integers, written from its definition."""
    found = []
    for field, constants in zip((46337, 46307), random.ROUNDS, strict=True):
        low, middle, high = seed & 0x7FFF, seed >> 15 & 0x7FFF, seed >> 30
        keys = [low, middle, k % field + 20011 * high, low, middle, k % field]
        x = k % field
        for key, constant in zip(keys, constants, strict=True):
            x = pow(x + key + constant, 3, field)
        found.append(x)
    return tuple(found)


def test_elements_are_those_of_the_definition_and_stay_below_two_to_31():
    seeds = np.array([0, 1, 32767, 32768, 2**30 - 1, 2**30, 2**31 - 1], np.int32)
    for k in (0, 1, 700, 46306, 46307, 46337, 2**30):
        a, b = random.field_elements(seeds, np.int32(k))
        assert a.dtype == b.dtype == np.int32  # nothing was widened: nothing may overflow
        assert list(zip(a.tolist(), b.tolist(), strict=True)) == [by_hand(seed, k) for seed in seeds.tolist()]
    assert max(random.FIELDS) ** 2 < 2**31 and random.NUM_PAIRS < 2**31
    assert all((field - 1) % 3 for field in random.FIELDS)  # 3 divides no group order: cubes have one root


def uniforms(seeds, k: int) -> np.ndarray:
    a, b = random.field_elements(seeds, np.int32(k))
    return (a.astype(np.int64) * random.FIELDS[1] + b + 0.5) / random.NUM_PAIRS


@pytest.mark.slow
@pytest.mark.parametrize("seeds", ["consecutive", "rows of one seed"])
def test_a_million_seeds_are_uniform_uncorrelated_and_distinct(seeds):
    seeds = np.arange(SEEDS, dtype=np.int32) if seeds == "consecutive" else random.row_seeds(7, SEEDS)
    columns = [uniforms(seeds, k) for k in range(3)]
    for u in columns:
        assert stats.kstest(u, "uniform").statistic < 0.00195  # the critical value of 10^6 draws at 0.1 %
        for lag in (1, 2, 3, 7, 100, 32768):
            assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 0.004  # 4 standard errors
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert abs(np.corrcoef(columns[one], columns[other])[0, 1]) < 0.004
    pairs = [(columns[0][:-1], columns[0][1:]), (columns[0], columns[1])]
    for x, y in pairs:  # in the plane too: 64 x 64 cells
        counts = np.histogram2d(x, y, bins=64, range=[[0, 1], [0, 1]])[0]
        assert stats.chi2.sf(np.sum((counts - len(x) / 4096) ** 2) / (len(x) / 4096), 4095) > 1e-3
    assert len(np.unique(np.stack(columns[:2], axis=1), axis=0)) == SEEDS


def test_seeds_that_share_a_remainder_are_no_aliases():
    seeds = np.arange(10_000, dtype=np.int64)
    for apart in (*random.FIELDS, random.LIMB, 2**30):
        assert abs(np.corrcoef(uniforms(seeds, 0), uniforms((seeds + apart) % 2**31, 0))[0, 1]) < 0.04


def test_normals_are_normal():
    z = random.portable_normals(random.row_seeds(0, 50_000), 5)
    assert z.shape == (50_000, 5) and z.dtype == np.float32
    for column in z.T.astype(np.float64):
        assert stats.kstest(column, "norm").statistic < 0.0087  # the critical value of 50,000 draws at 0.1 %
    np.testing.assert_allclose(np.corrcoef(z.T), np.eye(5), atol=0.018)  # 4 standard errors
    assert abs(np.corrcoef(np.abs(z).T) - np.eye(5)).max() < 0.018  # the two of a pair share a radius, and not more


def test_every_number_has_a_finite_normal():
    ends = np.array([1, 2, random.NUM_PAIRS - 1, random.NUM_PAIRS])
    u = np.float32(ends) / np.float32(random.NUM_PAIRS)
    assert (u > 0).all() and (u <= 1).all() and random._log_near_one(np.float32(0)) == 0
    # at the seam of the series and the logarithm, both give the same
    t = np.float32(random.NEAR_ONE)
    assert random._log_near_one(t) == pytest.approx(-2 * np.log1p(-np.float64(t)), rel=1e-6)


def test_rows_have_seeds_of_their_own():
    seeds = random.row_seeds(5, 50_000)
    assert seeds[0] == 5 and seeds.dtype == np.int32 and len(np.unique(seeds)) == 50_000
    np.testing.assert_array_equal(random.row_seeds(5, 30, first=20), seeds[20:50])
    near = [random.row_seeds(seed, 50_000) for seed in (6, 7, 100, 18_999)]
    assert not np.isin(np.concatenate(near), seeds).any()


@pytest.fixture(scope="module")
def module():
    class Noise(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="seed")])
        def draw(self, seed):
            return {"z": random.portable_normals_tensor(seed, 21)}

    return Noise()


@pytest.mark.slow
def test_numpy_tensorflow_and_xla_agree(module):
    seeds = random.row_seeds(3, 100_000)
    expected = random.portable_normals(seeds, 21)
    np.testing.assert_allclose(module.draw(seeds)["z"], expected, atol=2e-6)
    compiled = tf.function(lambda s: random.portable_normals_tensor(s, 21), jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant(seeds)), expected, atol=5e-6)


@pytest.mark.slow
@pytest.mark.parametrize("quantize", [bytes, float16, partial(weights8, dynamic=True)])
def test_tflite_agrees_with_builtin_operators_alone(quantize, tmp_path):
    """Also when the file keeps its constants in half precision, or in 8 bits."""
    seed = tf.TensorSpec([1000], tf.int32, name="seed")
    draw = ExportSignature(lambda seed: {"z": random.portable_normals_tensor(seed, 21)}, (seed,))
    (tmp_path / "draw.tflite").write_bytes(quantize(convert({"draw": draw})))
    runtime, seeds = TFLiteRuntime(tmp_path / "draw.tflite"), random.row_seeds(3, 100_000)
    runs = [runtime.run("draw", seed=part)["z"] for part in seeds.reshape(-1, 1000)]
    np.testing.assert_allclose(np.concatenate(runs), random.portable_normals(seeds, 21), atol=2e-5)
