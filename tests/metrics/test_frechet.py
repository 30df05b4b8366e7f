"""The Fréchet distance against closed forms, published vectors and the libraries that define it."""

import numpy as np
import pytest
import scipy.linalg
from check_metric import check_metric

from kgen import tfgan
from kgen.errors import UserError
from kgen.metrics.frechet import Moments, fid_infinity, frechet_distance, moments

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)


def fid(real, fake) -> float:
    return frechet_distance(moments(real), moments(fake))


def drawn(count: int, dimension: int, seed: int) -> np.ndarray:
    """Correlated features whose directions have standard deviations of 0.01 to 10."""
    generator = np.random.default_rng(seed)
    mix = np.linalg.qr(generator.normal(size=(dimension, dimension)))[0]
    return generator.normal(size=(count, dimension)) * np.geomspace(0.01, 10, dimension) @ mix + generator.normal()


def from_features(real, fake) -> float:
    """The trace from the centred features themselves: tr (S1 S2)^(1/2) = sum of the singular values of A B^T.

    No covariance is formed and no root of a small eigenvalue taken, so it holds to 1e-15 for any number of images.
    """
    a, b = ((part - part.mean(0)) / np.sqrt(len(part) - 1) for part in (real, fake))
    shift = real.mean(0) - fake.mean(0)
    return shift @ shift + (a**2).sum() + (b**2).sum() - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum()


def by_tfgan(real, fake) -> float:
    metrics = tfgan.module("eval.classifier_metrics")
    return float(metrics.frechet_classifier_distance_from_activations(real, fake))


def by_sqrtm(real, fake) -> float:
    (m1, s1), (m2, s2) = ((part.mean(0), np.cov(part, rowvar=False)) for part in (real, fake))
    return np.sum((m1 - m2) ** 2) + np.trace(s1 + s2 - 2 * scipy.linalg.sqrtm(s1 @ s2).real)


def by_torch_fidelity(real, fake) -> float:
    """torch_fidelity/metric_fid.py, `fid_statistics_to_metric`, version 0.4.0."""
    (mu1, sigma1), (mu2, sigma2) = ((part.mean(0), np.cov(part, rowvar=False)) for part in (real, fake))
    diff = mu1 - mu2
    tr_covmean = np.sum(np.sqrt(np.linalg.eigvals(sigma1.dot(sigma2)).astype("complex128")).real)
    return float(diff.dot(diff) + np.trace(sigma1) + np.trace(sigma2) - 2 * tr_covmean)


def test_identical_shifted_collapsed():
    check_metric(
        fid,
        identical=(CUBE, CUBE, 0.0),
        shifted=(CUBE, CUBE + np.array([1, 2, 3]), 14.0),  # equal covariances: 1 + 4 + 9
        collapsed=(CUBE, np.tile([2.0, 0, 0], (6, 1)), 4 + 24 / 7),  # 2^2, and the variance 8/7 of three axes
    )


def test_compare_gan():
    """Both constant in one feature: 4^2 + 8^2 + (sqrt(12.25) - sqrt(0.25))^2 100/99 = 89.0909."""
    real, fake = np.ones((100, 2)), 9 * np.ones((100, 2))
    real[:50, 0], fake[50:, 0] = 2, 2
    assert fid(real, fake) == pytest.approx(89.0909, abs=5e-5)
    assert fid(real, fake) == pytest.approx(80 + 900 / 99, rel=1e-12)


@pytest.mark.slow
def test_pytorch_fid():
    near, far = (Moments(np.full(2048, mean), np.eye(2048), 10_000) for mean in (0.0, 1.0))
    assert frechet_distance(near, far) == pytest.approx(2048, rel=1e-12)


@pytest.mark.parametrize(("a", "b"), [(1.0, 3.0), (0.1, 0.0), (2.0, 2.0)])
def test_isotropic_normals(a, b):
    first, second = (Moments(np.zeros(30), x**2 * np.eye(30), 100) for x in (a, b))
    assert frechet_distance(first, second) == pytest.approx(30 * (a - b) ** 2, abs=1e-12)


def test_moments_are_numpys():
    features = drawn(4_500, 7, 0)  # three blocks
    found = moments(features)
    np.testing.assert_allclose(found.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(features, rowvar=False), rtol=1e-10, atol=1e-13)
    assert found.count == 4_500
    np.testing.assert_allclose(found.root @ found.root.T, found.covariance, rtol=1e-10, atol=1e-13)


def test_moments_of_float32_are_taken_in_float64():
    features = (drawn(500, 5, 0) * 1e-2 + 1_000).astype(np.float32)  # float32 sums would lose the variance
    np.testing.assert_array_equal(moments(features).covariance, moments(features.astype(np.float64)).covariance)


@pytest.mark.parametrize("other", [by_tfgan, by_sqrtm, by_torch_fidelity, from_features])
@pytest.mark.parametrize("dimension", [3, 64])
def test_equal_to_the_other_implementations(other, dimension):
    real, fake = drawn(700, dimension, 1), drawn(500, dimension, 2)
    assert fid(real, fake) == pytest.approx(other(real, fake), rel=1e-9)


@pytest.mark.parametrize(("num_real", "num_fake"), [(20, 30), (20, 300), (300, 20), (2, 2)])
@pytest.mark.parametrize("constant", [False, True])
def test_fewer_images_than_dimensions(num_real, num_fake, constant):
    real, fake = drawn(num_real, 50, 3), drawn(num_fake, 50, 4)
    if constant:
        real[:, :3], fake[:, 2:4] = 0.1, 7.3
    assert fid(real, fake) == pytest.approx(from_features(real, fake), rel=1e-12)
    assert fid(fake, real) == pytest.approx(fid(real, fake), rel=1e-12)
    assert fid(real, real[::-1].copy()) == pytest.approx(0, abs=1e-12 * (real**2).sum())


def test_spans_that_meet_in_part():
    """Axes 0..5 and 3..8 of nine, variance 4 and 9: three shared axes of (2 - 3)^2, three each of 4 and 9.

    The quick way would take square roots of the three rounding errors: 1e-7.
    """
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 9)))[0]
    axes = [np.diag(np.isin(np.arange(9), span) * variance) for span, variance in ((range(6), 4.0), (range(3, 9), 9.0))]
    first, second = (Moments(np.zeros(9), turn @ axis @ turn.T, 100) for axis in axes)
    assert frechet_distance(first, second) == pytest.approx(3 + 12 + 27, rel=1e-13)


def test_spans_that_do_not_meet():
    first, second = (Moments(np.zeros(2), np.diag(variances), 9) for variances in ([4.0, 0.0], [0.0, 9.0]))
    assert frechet_distance(first, second) == pytest.approx(13)


def test_both_collapsed():
    assert fid(np.full((5, 3), 0.1), np.full((4, 3), 2.1)) == pytest.approx(12)


def test_extrapolation_removes_the_bias():
    """Samples of N(1/2, I) in 16 dimensions against N(0, I) exactly: 16 / 4 = 4."""
    real, plain, extrapolated = Moments(np.zeros(16), np.eye(16), 10**9), [], []
    for seed in range(20):
        fake = np.random.default_rng(seed).normal(0.5, size=(1_000, 16))
        found = fid_infinity(fake, real, seed=seed)
        plain.append(frechet_distance(moments(fake), real))
        extrapolated.append(found.value)
    assert found.sizes[0] == 100 and found.sizes[-1] == 1_000 and len(found.values) == 15
    assert found.values[-1] == pytest.approx(plain[-1], rel=1e-9)  # the largest subset is all of them
    slope, intercept = np.polyfit(1 / np.array(found.sizes), found.values, 1)
    assert found.value == pytest.approx(intercept) and found.slope == pytest.approx(slope)
    assert 0 < found.standard_error < 1
    error = np.std(plain) / np.sqrt(20)
    assert np.mean(plain) - 4 > 4 * error  # the bias is there,
    assert np.mean(extrapolated) == pytest.approx(4, abs=4 * np.std(extrapolated) / np.sqrt(20))  # and goes
    # Of a normal, the means are off by tr S / N = 16/1000, the roots of the covariance by about d^2 / (4 N) = 64/1000.
    assert np.mean(plain) == pytest.approx(4.08, abs=4 * error + 0.01)


def test_extrapolation_is_a_function_of_the_seed():
    fake, real = drawn(300, 4, 0), moments(drawn(300, 4, 1))
    assert fid_infinity(fake, real, seed=1) == fid_infinity(fake, real, seed=1)
    assert fid_infinity(fake, real, seed=1).value != fid_infinity(fake, real, seed=2).value


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"must be \[N, d\]. Received shape: \(3,\)"):
        moments(np.zeros(3))
    with pytest.raises(UserError, match=r"at least 2 images. Received: 1"):
        moments(np.zeros((1, 3)))
    with pytest.raises(UserError, match="must be finite"):
        moments(np.array([[1.0], [np.nan], [2.0]]))
    with pytest.raises(UserError, match="Received: 3 and 4 dimensions"):
        frechet_distance(moments(np.eye(3)), moments(np.eye(4)))
    with pytest.raises(UserError, match="Received: 30 samples, smallest subset 26"):
        fid_infinity(drawn(30, 10, 0), moments(drawn(30, 10, 1)))
    with pytest.raises(UserError, match="more images than the 10 dimensions"):
        fid_infinity(drawn(300, 10, 0), moments(drawn(30, 10, 1)), smallest=10)
    with pytest.raises(UserError, match="sizes must be at least 3"):
        fid_infinity(drawn(300, 10, 0), moments(drawn(30, 10, 1)), sizes=2)
