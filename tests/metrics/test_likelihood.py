"""The arithmetic of likelihoods, against models whose log p(x) is known in closed form or by quadrature."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from kgen.images import to_unit
from kgen.losses.elbo import LOG_2_PI
from kgen.metrics import likelihood
from kgen.metrics.likelihood import RunningWeights, bits_per_dim, elbo, encode, kls, log_likelihood
from kgen.models import build_model
from kgen.sampling import GaussianMixture, StandardNormal
from kgen.spec import DataSpec

PIXELS, CODE = 6, 2
PRIOR = StandardNormal((CODE,))
SPEC = DataSpec("toy", (4, 5, 1))


class Linear:
    """Probabilistic PCA: x = W z + b + s e, so log p(x) = log N(x; b, W W' + s^2 I).

    W has orthogonal columns w_j, so the exact posterior is diagonal: its variance is s^2 / (|w_j|^2 + s^2), its mean
    W'(x - b) / (|w_j|^2 + s^2).

    Args:
        stretch: of the posterior's standard deviation; 1 is exact.
        shift: of its mean.
    """

    def __init__(self, *, stretch: float = 1.0, shift: float = 0.0):
        generator = np.random.default_rng(0)
        self.w = np.linalg.qr(generator.normal(size=(PIXELS, CODE)))[0] * [1.5, 0.7]
        self.b, self.s = generator.normal(size=PIXELS), 0.5
        self.stretch, self.shift = stretch, shift
        self.rows = tf.Variable(0, dtype=tf.int64)
        self.batches = []

    def posterior(self, images, labels=None):
        x = tf.reshape(images, (-1, PIXELS)) - self.b.astype(np.float32)
        scale = np.square(self.w).sum(axis=0) + self.s**2
        mean = x @ (self.w / scale).astype(np.float32) + self.shift
        log_var = np.log(self.s**2 / scale) + 2 * math.log(self.stretch)
        return mean, tf.zeros_like(mean) + log_var.astype(np.float32)

    def nll(self, images, code, labels=None):
        self.rows.assign_add(tf.shape(code, tf.int64)[0])
        self.batches.append(code.shape[0])
        mean = code @ self.w.T.astype(np.float32) + self.b.astype(np.float32)
        square = tf.reduce_sum(tf.square(tf.reshape(images, (-1, PIXELS)) - mean), axis=1)
        return 0.5 * (PIXELS * (LOG_2_PI + 2 * math.log(self.s)) + square / self.s**2)

    def sample(self, count: int) -> np.ndarray:
        generator = np.random.default_rng(1)
        z, noise = generator.normal(size=(count, CODE)), generator.normal(size=(count, PIXELS))
        return (z @ self.w.T + self.b + self.s * noise).reshape(count, PIXELS, 1, 1).astype(np.float32)

    def exact(self, images, mean=(0, 0), covariance=((1, 0), (0, 1))) -> np.ndarray:
        """log p(x) for a normal prior."""
        marginal = self.w @ np.asarray(covariance) @ self.w.T + self.s**2 * np.eye(PIXELS)
        return multivariate_normal(self.b + self.w @ np.asarray(mean), marginal).logpdf(images.reshape(-1, PIXELS))


def few_rows(monkeypatch, rows: int):
    """Calls of at most so many rows."""
    monkeypatch.setattr(likelihood, "MOST_ROWS", rows)


def standard_error(values) -> float:
    return np.std(values, ddof=1) / math.sqrt(len(values))


# Known answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 7])
def test_with_the_exact_posterior_every_sample_gives_the_likelihood(samples):
    model = Linear()
    images = model.sample(20)
    found = log_likelihood(model, PRIOR, images, None, samples=samples)
    np.testing.assert_allclose(found.log_likelihood, model.exact(images), atol=1e-4)
    np.testing.assert_allclose(found.bound, model.exact(images), atol=1e-4)
    np.testing.assert_allclose(found.effective_samples, samples, rtol=1e-4)


def test_with_another_posterior_the_likelihood_is_the_same():
    """Weights whose relative variance is (K / effective - 1) leave an error of the root of 1 / effective - 1 / K."""
    model = Linear(stretch=1.4, shift=0.2)
    images = model.sample(200)
    found = log_likelihood(model, PRIOR, images, None, samples=2_000)
    off = found.log_likelihood - model.exact(images)
    assert abs(off.mean()) < 3 * standard_error(off) < 0.02 < standard_error(found.log_likelihood)
    assert (np.abs(off) < 5 * np.sqrt(1 / found.effective_samples - 1 / 2_000)).all()
    assert (found.bound < model.exact(images) - 0.05).all()  # the bound is loose, the estimate is not
    assert 100 < np.median(found.effective_samples) < 1_900


def test_a_prior_with_another_mean_and_covariance():
    mean, covariance = np.array([0.3, -0.5]), np.array([[0.8, 0.3], [0.3, 0.5]])
    prior = GaussianMixture([[1.0]], [[mean]], [[np.linalg.cholesky(covariance)]], latent_shape=(CODE,))
    model = Linear(stretch=1.3)
    images = model.sample(100)
    found = log_likelihood(model, prior, images, None, samples=2_000)
    exact = model.exact(images, mean, covariance)
    assert found.log_likelihood.mean() == pytest.approx(exact.mean(), abs=0.02)
    assert abs(exact.mean() - model.exact(images).mean()) > 0.1  # another prior, another likelihood


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "gaussian_learned"])
def test_a_vae_agrees_with_quadrature(kind):
    """One latent dimension: log p(x) is an integral over a line."""
    model = build_model("vae", SPEC, hidden=[8], latent_dim=1, likelihood=kind, stddev=0.5)
    generator = np.random.default_rng(0)
    for weight in model.decoder.trainable_variables:  # far from constant in z
        weight.assign(generator.normal(0, 0.7, weight.shape))
    pixels = to_unit((255 * generator.integers(0, 2, (12, 4, 5, 1))).astype(np.uint8))
    prior, line = StandardNormal((1,)), np.linspace(-8, 8, 1_601, dtype=np.float32)
    exact = []
    for image in pixels:
        images = np.repeat(image[None], len(line), axis=0)
        log_joint = prior.log_density(line[:, None]) - np.asarray(model.nll(images, line[:, None]), np.float64)
        exact.append(logsumexp(log_joint) + math.log(line[1] - line[0]))
    found = log_likelihood(model, prior, pixels, None, samples=4_000)
    assert (np.abs(found.log_likelihood - exact) < 5 / np.sqrt(found.effective_samples)).all()
    assert np.mean(found.log_likelihood) == pytest.approx(np.mean(exact), abs=0.05)
    assert np.std(exact) > 0.5  # not one number for all


def test_the_likelihood_is_above_the_bound_and_does_not_fall_with_more_samples():
    model = Linear(stretch=1.5, shift=0.3)
    images = model.sample(200)
    found = {k: log_likelihood(model, PRIOR, images, None, samples=k).log_likelihood for k in (1, 5, 50, 500)}
    bound = elbo(model, PRIOR, images, None)
    assert -found[500].mean() < (bound.reconstruction + bound.kl).mean()
    for few, many in zip((1, 5, 50), (5, 50, 500), strict=True):
        gain = found[many] - found[few]
        assert gain.mean() > -3 * standard_error(gain), (few, many)
    assert found[500].mean() - found[1].mean() > 0.1


# The bound ------------------------------------------------------------------------------------------------------------


def test_the_terms_of_the_bound():
    """Rate: 1/2 (v + m^2 - 1 - ln v) of each dimension. Distortion: in closed form its expectation is
    D/2 ln(2 pi s^2) + (|x - b - W m|^2 + sum_j v_j |w_j|^2) / 2 s^2."""
    model = Linear(stretch=1.2)
    images = model.sample(50)
    mean, log_var = (np.asarray(part, np.float64) for part in model.posterior(images))
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var)
    np.testing.assert_allclose(kls(encode(model, images, None)), kl, rtol=1e-5, atol=1e-7)
    found = elbo(model, PRIOR, images, None, samples=3_000)
    np.testing.assert_allclose(found.kl, kl.sum(axis=1), rtol=1e-5)
    residual = np.square(images.reshape(-1, PIXELS) - model.b - mean @ model.w.T).sum(axis=1)
    spread = (np.exp(log_var) * np.square(model.w).sum(axis=0)).sum(axis=1)
    expected = 0.5 * PIXELS * math.log(2 * math.pi * 0.25) + (residual + spread) / 0.5
    np.testing.assert_allclose(found.reconstruction, expected, atol=0.15)  # one sample has a deviation of some 1.5 nats
    assert found.reconstruction.mean() == pytest.approx(expected.mean(), abs=0.02)


def test_a_rate_that_is_drawn_agrees_with_the_exact_one():
    """A mixture of one component that is N(0, I): the same prior, but its kl is of the samples."""
    prior = GaussianMixture([[1.0]], [[[0.0, 0.0]]], [[np.eye(CODE)]], latent_shape=(CODE,))
    model = Linear(stretch=1.2)
    images = model.sample(50)
    drawn, exact = (elbo(model, p, images, None, samples=2_000) for p in (prior, PRIOR))
    np.testing.assert_array_equal(drawn.reconstruction, exact.reconstruction)
    np.testing.assert_allclose(drawn.kl, exact.kl, atol=0.15)
    assert drawn.kl.mean() == pytest.approx(exact.kl.mean(), abs=0.02)
    one, other = (log_likelihood(model, p, images, None, samples=40) for p in (prior, PRIOR))
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, atol=1e-9)
    forty = elbo(model, prior, images, None, samples=40)  # L_1 of the same samples
    np.testing.assert_allclose(one.bound, -(forty.reconstruction + forty.kl), atol=1e-9)


def test_the_bound_is_that_of_the_training():
    model = build_model("vae", SPEC, hidden=[8], latent_dim=3)
    pixels = to_unit((255 * np.random.default_rng(0).integers(0, 2, (40, 4, 5, 1))).astype(np.uint8))
    found = elbo(model, StandardNormal((3,)), pixels, None, samples=500)
    terms = model.elbo_terms(tf.constant(pixels), None)  # of one sample
    np.testing.assert_allclose(found.kl, terms["kl"], rtol=1e-4, atol=1e-6)
    assert found.reconstruction.mean() == pytest.approx(np.mean(terms["reconstruction"]), abs=0.2)


# Samples and chunks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("samples", "rows", "shapes"), [(103, 10, {10, 3}), (100, 15, {10}), (9, 40, {36, 18})])
def test_exactly_as_many_samples_as_were_asked_for(samples, rows, shapes, monkeypatch):
    """103 is prime: ten calls of 10 and one of 3. 100: ten of 10, not of 15. Nine fit into a call of four images."""
    few_rows(monkeypatch, rows)
    model, seen = Linear(), []
    images = model.sample(6)
    log_likelihood(model, PRIOR, images, None, samples=samples, progress=seen.append)
    assert model.rows.numpy() == 6 * samples == sum(seen)
    assert {*model.batches} - {1, 2} == shapes  # traced once or twice; one and two rows to know their size


@pytest.mark.slow
def test_chunks_do_not_change_the_result(monkeypatch):
    model = Linear(stretch=1.5)
    images, expected = model.sample(11), None
    for rows in (5_000, 400, 64, 7, 1):
        few_rows(monkeypatch, rows)
        found = log_likelihood(model, PRIOR, images, None, samples=101)
        expected = expected or found
        for name in ("log_likelihood", "bound", "effective_samples"):
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), rtol=2e-5, err_msg=f"{rows} {name}"
            )


def test_samples_are_functions_of_seed_and_image(monkeypatch):
    model = Linear(stretch=1.5)
    images = model.sample(8)
    first, again, other = (log_likelihood(model, PRIOR, images, None, samples=20, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.log_likelihood, again.log_likelihood)
    assert (first.log_likelihood != other.log_likelihood).all()
    some = log_likelihood(model, PRIOR, images[:3], None, samples=20, seed=3)
    np.testing.assert_allclose(some.log_likelihood, first.log_likelihood[:3], rtol=1e-6)
    same = log_likelihood(model, PRIOR, np.repeat(images[:1], 8, axis=0), None, samples=20, seed=3)
    assert len({*same.log_likelihood}) == 8  # every image has samples of its own


def test_labels_reach_the_model():
    """A conditional model, many codes per image: as one by one."""
    spec = DataSpec("toy", (4, 5, 1), num_classes=3)
    model = build_model("cvae", spec, hidden=[8], latent_dim=2)
    pixels = to_unit((255 * np.random.default_rng(0).integers(0, 2, (6, 4, 5, 1))).astype(np.uint8))
    labels = np.array([0, 1, 2, 2, 1, 0], np.int32)
    whole = log_likelihood(model, PRIOR, pixels, labels, samples=30)
    np.testing.assert_allclose(
        log_likelihood(model, PRIOR, pixels[:1], labels[:1], samples=30).log_likelihood, whole.log_likelihood[:1],
        rtol=1e-5,
    )  # fmt: skip
    swapped = log_likelihood(model, PRIOR, pixels, (labels + 1) % 3, samples=30)
    assert (np.abs(swapped.log_likelihood - whole.log_likelihood) > 1e-4).all()


@pytest.mark.slow
def test_a_model_may_offer_a_faster_way():
    model = build_model(
        "pixel_vae", SPEC, latent_dim=CODE, network="mlp", hidden=[4], width=4, layers=2, conditioned_layers=1,
        condition=2,
    )  # fmt: skip
    pixels = to_unit((255 * np.random.default_rng(0).integers(0, 2, (3, 4, 5, 1))).astype(np.uint8))
    asked = []
    nll_many = model.nll_many
    model.nll_many = lambda *given: asked.append(given) or nll_many(*given)
    found = log_likelihood(model, PRIOR, pixels, None, samples=20)
    assert asked
    model.nll_many = None
    slow = log_likelihood(model, PRIOR, pixels, None, samples=20)
    np.testing.assert_allclose(found.log_likelihood, slow.log_likelihood, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vae", {"hidden": [64, 64]}),
        ("vae", {"network": "conv", "filters": [8], "batch_norm": True}),
        ("pixel_vae", {"network": "mlp", "hidden": [4], "width": 8, "layers": 2, "conditioned_layers": 1}),
    ],
)
def test_a_call_computes_no_more_than_its_budget(name, arguments, monkeypatch):
    """And nearly all of it, or else the chunks would be needlessly small."""
    spec = DataSpec("toy", (16, 16, 1))
    model = build_model(name, spec, latent_dim=3, **arguments)
    many = getattr(model, "nll_many", None) or likelihood._tiled(model)
    images = np.zeros((4, 16, 16, 1), np.uint8)

    def bytes_of(draws, count):
        shapes = ((count, 16, 16, 1), (draws, count, 3))
        return likelihood.graph_bytes(many, *(tf.TensorSpec(shape) for shape in shapes), None)

    weights = bytes_of(1, 1)
    monkeypatch.setattr(likelihood, "BUDGET_BYTES", 2**24)
    draws, count = likelihood._chunk(many, images, None, 3, 10_000)
    assert count == 1 and bytes_of(draws, 1) <= 2**24 + weights
    assert draws > likelihood.MOST_ROWS // 2 or bytes_of(2 * draws + 2, 1) > 2**24
    draws, count = likelihood._chunk(many, images, None, 3, 5)
    assert draws == 5 and count > 1 and bytes_of(5, count) <= 2**24 + weights
    monkeypatch.setattr(likelihood, "BUDGET_BYTES", 1)
    assert likelihood._chunk(many, images, None, 3, 10_000) == (1, 1)  # less is not possible


def test_graph_bytes_by_hand():
    """x (2 x 3), W (3 x 4), their product (2 x 4), its square and the copy that is returned: 42 numbers of 4 bytes."""
    w = tf.ones((3, 4))

    def square(x):
        return tf.square(tf.matmul(x, w))

    assert likelihood.graph_bytes(square, tf.TensorSpec((2, 3))) == 4 * 42


def test_chunks_are_alike_where_that_costs_little():
    assert [likelihood.divided(5_000, most) for most in (5_000, 6_000, 4_999, 62, 1)] == [5_000, 5_000, 2_500, 50, 1]
    assert likelihood.divided(103, 10) == 10 and likelihood.divided(7, 0) == 1


# Sums -----------------------------------------------------------------------------------------------------------------


def test_streamed_sums_are_those_of_scipy():
    generator = np.random.default_rng(0)
    logs = generator.normal([0, -5_000, 5_000, -90], 30, (1_000, 4))
    logs[:3, 3] = -np.inf  # samples of no weight come first
    running = RunningWeights(4)
    for chunk in np.split(logs, [1, 3, 400, 990]):
        for rows in (slice(0, 3), slice(3, 4)):
            running.add(rows, chunk[:, rows])
    np.testing.assert_allclose(running.log_mean, logsumexp(logs, axis=0) - math.log(1_000), rtol=1e-13)
    np.testing.assert_allclose(running.mean_log[:3], logs[:, :3].mean(axis=0), rtol=1e-12)
    effective = np.exp(2 * logsumexp(logs, axis=0) - logsumexp(2 * logs, axis=0))
    np.testing.assert_allclose(running.effective, effective, rtol=1e-9)


def test_weights_of_nothing():
    running = RunningWeights(1)
    running.add(slice(0, 1), np.full((3, 1), -np.inf))
    assert running.log_mean == -np.inf
    running.add(slice(0, 1), np.zeros((1, 1)))
    assert running.log_mean == pytest.approx(math.log(1 / 4)) and running.effective == pytest.approx(1)


def test_bits_per_dimension_by_hand():
    """A fair coin a pixel: ln 2 nats. A density of 1 everywhere says nothing of 256 grey levels: 8 bits."""
    assert bits_per_dim(784 * math.log(2), 784, density=False) == pytest.approx(1)
    assert bits_per_dim(86.76, 784, density=False) == pytest.approx(0.15965, abs=1e-5)
    assert bits_per_dim(0.0, 3 * 64 * 64, density=True) == pytest.approx(8)
    # Grey levels that are known to 1 of 16 have a density of 16: 4 bits are left.
    assert bits_per_dim(-100 * math.log(16), 100, density=True) == pytest.approx(4)
