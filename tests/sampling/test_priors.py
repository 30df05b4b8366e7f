"""Priors: samples and densities against other implementations, and mixtures that are fitted to encodings."""

import math
from typing import get_args

import numpy as np
import pytest
from scipy import stats

from kgen import data, random
from kgen.config import DataConfig, PriorName
from kgen.errors import UserError
from kgen.sampling import PRIORS, GaussianMixture, StandardNormal, priors
from kgen.sampling.priors import Encodings, encode_training_images, fit_gaussian_mixture
from kgen.spec import DataSpec

WEIGHTS = np.array([[0.25, 0.75], [1.0, 0.0]])
MEANS = np.array([[[3.0, 0.0], [-1.0, 2.0]], [[0.0, 5.0], [0.0, 0.0]]])
FACTORS = np.array([[[[0.5, 0.0], [0.4, 0.3]], [[1.0, 0.0], [-0.5, 0.2]]], [[[0.1, 0.0], [0.0, 2.0]], np.eye(2)]])
STDDEVS = np.array([[[0.5, 2.0], [1.0, 0.1]], [[0.3, 0.3], [1.0, 1.0]]])


def two_classes(factors=FACTORS, latent_shape=(2,)) -> GaussianMixture:
    """Class 0 has two components, class 1 has one."""
    return GaussianMixture(WEIGHTS, MEANS, factors, latent_shape=latent_shape)


def one_mixture(latent_shape=(2,)) -> GaussianMixture:
    return GaussianMixture(WEIGHTS[:1], MEANS[:1], FACTORS[:1], latent_shape=latent_shape)


class Model:
    """What fitting needs of a model: its code are the first pixels, known to a standard deviation of 0.1."""

    conditional, code_dim = False, 2

    def __init__(self, classes: int = 0, code_dim: int = 2):
        self.spec = DataSpec("made", (28, 28, 1), classes)
        self.conditional, self.code_dim, self.latent_shape = bool(classes), code_dim, (code_dim + 3,)

    def weights_hash(self) -> str:
        return "0123456789abcdef"

    def posterior(self, images, labels=None):
        import tensorflow as tf

        mean = tf.reshape(images, (-1, 784))[:, 300 : 300 + self.code_dim]
        return mean, tf.fill(tf.shape(mean), 2 * math.log(0.1))


def test_the_names_are_those_of_the_settings():
    assert {*PRIORS} == {*get_args(PriorName)}
    assert all(prior.name == name for name, prior in PRIORS.items())


# The standard normal --------------------------------------------------------------------------------------------------


def test_the_standard_normal_draws_what_it_always_drew():
    prior = StandardNormal((2, 3))
    np.testing.assert_array_equal(prior.sample(7, 5, np.arange(5)), random.latents(7, 5, (2, 3)))
    np.testing.assert_array_equal(
        prior.sample(7, 5, first=3, temperature=0.5), random.latents(7, 5, (2, 3), first=3, temperature=0.5)
    )
    assert prior.hash is None


def test_the_density_of_the_standard_normal():
    code = np.random.default_rng(0).standard_normal((20, 4))
    expected = stats.norm.logpdf(code).sum(axis=1)
    np.testing.assert_allclose(StandardNormal((4,)).log_density(code), expected, rtol=1e-12)


# The mixture's density ------------------------------------------------------------------------------------------------


def by_scipy(code, weights, means, covariances) -> np.ndarray:
    parts = zip(weights, means, covariances, strict=True)
    return np.logaddexp.reduce([np.log(w) + stats.multivariate_normal(m, c).logpdf(code) for w, m, c in parts if w])


def test_the_density_agrees_with_scipy():
    code, labels = 3 * np.random.default_rng(0).standard_normal((40, 2)), np.arange(40) % 2
    full = [[factor @ factor.T for factor in factors] for factors in FACTORS]
    diagonal = [[np.diag(stddev**2) for stddev in stddevs] for stddevs in STDDEVS]
    for prior, covariances in ((two_classes(), full), (two_classes(STDDEVS), diagonal)):
        found = prior.log_density(code, labels)
        assert found.dtype == np.float64
        for y in (0, 1):
            expected = by_scipy(code[labels == y], WEIGHTS[y], MEANS[y], covariances[y])
            np.testing.assert_allclose(found[labels == y], expected, rtol=1e-9)


def test_a_density_far_from_everything_is_finite():
    """Its logarithm falls with the square of the distance where a density itself is 0 in float64."""
    found = one_mixture().log_density(np.array([[1e3, 0.0], [2e3, 0.0]]))
    assert np.isfinite(found).all() and found[1] < 3 * found[0] < -1e5


@pytest.mark.parametrize("code_dim", [3, priors.MAX_FULL_COVARIANCE_DIM + 1])
def test_a_fitted_density_is_that_of_scikit_learn(code_dim, monkeypatch):
    """Full and diagonal covariances."""
    from sklearn.mixture import GaussianMixture as Theirs

    fits = []
    monkeypatch.setattr(Theirs, "fit", lambda self, x, fit=Theirs.fit: fits.append((fit(self, x), x)) or self)
    monkeypatch.setattr(priors, "MIN_SAMPLES", 2000)
    rng = np.random.default_rng(0)
    mean = rng.standard_normal((1500, code_dim)) + 3 * (np.arange(1500)[:, None] % 2)
    encodings = Encodings(mean, np.full_like(mean, -3.0), np.zeros(1500, np.int32))
    prior = fit_gaussian_mixture(Model(code_dim=code_dim), encodings, seed=0)
    (theirs, codes), *others = fits
    assert not others and prior.factors.ndim == (4 if code_dim == 3 else 3)
    np.testing.assert_allclose(prior.log_density(codes[:500]), theirs.score_samples(codes[:500]), rtol=1e-8)


# The mixture's samples ------------------------------------------------------------------------------------------------


def test_a_draw_is_a_function_of_seed_place_and_label():
    prior, labels = two_classes(latent_shape=(2, 3)), np.arange(20) % 2
    whole = prior.sample(5, 20, labels)
    assert whole.shape == (20, 2, 3) and whole.dtype == np.float32
    parts = [prior.sample(5, 6, labels[:6]), prior.sample(5, 14, labels[6:], first=6)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not np.isin(prior.sample(6, 20, labels), whole).any()
    other = labels.copy()
    other[3] = 1 - other[3]
    changed = (prior.sample(5, 20, other) != whole).reshape(20, 6).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [3]


def test_the_moments_of_draws():
    """Mean and covariance of a mixture: sum w m, and sum w (C + m m') - mean mean'.

    40,000 samples of a standard deviation of about 2 estimate them to 0.01 and 0.03."""
    z = one_mixture().sample(0, 40_000).astype(np.float64)
    mean = WEIGHTS[0] @ MEANS[0]
    parts = [w * (f @ f.T + np.outer(m, m)) for w, m, f in zip(WEIGHTS[0], MEANS[0], FACTORS[0], strict=True)]
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.04)
    np.testing.assert_allclose(np.cov(z.T), sum(parts) - np.outer(mean, mean), atol=0.1)
    first = one_mixture().sample(0, 40_000, temperature=0.0)[:, 0] == MEANS[0, 0, 0]
    assert first.mean() == pytest.approx(0.25, abs=0.01)


def test_draws_agree_with_the_density():
    """-E[log p(z)] over samples is the entropy: of one Gaussian d/2 log(2 pi e) + log det of its factor."""
    prior = GaussianMixture([[1.0]], MEANS[:1, :1], FACTORS[:1, :1], latent_shape=(2,))
    entropy = math.log(2 * math.pi * math.e) + math.log(0.5 * 0.3)
    assert -prior.log_density(prior.sample(3, 20_000)).mean() == pytest.approx(entropy, abs=0.03)  # stddev 1, over 141


def test_temperature_scales_the_deviation_from_the_components_mean():
    prior = two_classes(STDDEVS, latent_shape=(5,))
    labels = np.arange(50) % 2
    cold, half, whole = (prior.sample(1, 50, labels, temperature=t) for t in (0.0, 0.5, 1.0))
    assert {tuple(z) for z in cold[:, :2]} == {(3.0, 0.0), (-1.0, 2.0), (0.0, 5.0)} and not cold[:, 2:].any()
    np.testing.assert_allclose(half, (cold + whole) / 2, atol=1e-6)


def test_what_follows_the_code_is_the_noise_of_the_standard_normal():
    z, noise = one_mixture(latent_shape=(7,)).sample(4, 30, first=2), random.latents(4, 30, (7,), first=2)
    np.testing.assert_array_equal(z[:, 2:], noise[:, 2:])
    assert (z[:, :2] != noise[:, :2]).all()


def test_a_component_without_weight_is_never_drawn():
    """Also when the weights add up to a little less than 1."""
    prior = GaussianMixture([[0.5, 0.5 - 1e-9, 0.0]], np.array([[[0.0], [0.0], [1e6]]]), np.full((1, 3, 1), 1e-3),
                            latent_shape=(1,))  # fmt: skip
    assert np.abs(prior.sample(0, 5000)).max() < 1


@pytest.mark.slow
@pytest.mark.parametrize("factors", [FACTORS, STDDEVS], ids=["full", "diagonal"])
def test_a_graph_samples_the_same(factors):
    """Rows with the seeds that the rows of one seed have; what follows the code too."""
    import tensorflow as tf

    prior, labels = two_classes(factors, latent_shape=(2, 3)), np.arange(200, dtype=np.int32) % 2
    seeds, temperature = random.row_seeds(5, 200), np.linspace(0, 2, 200, dtype=np.float32)
    sampled = tf.function(prior.graph_sample)(tf.constant(seeds), tf.constant(labels)).numpy()
    np.testing.assert_allclose(sampled, prior.sample(5, 200, labels), atol=2e-5)
    warm = prior.graph_sample(tf.constant(seeds), tf.constant(labels), tf.constant(temperature)).numpy()
    expected = [
        prior.sample(int(s), 1, [y], temperature=t)[0] for s, y, t in zip(seeds, labels, temperature, strict=True)
    ]
    np.testing.assert_allclose(warm, expected, atol=2e-5)
    one, plain = one_mixture(), StandardNormal((2, 3))
    np.testing.assert_allclose(one.graph_sample(tf.constant(seeds)), one.sample(5, 200), atol=2e-5)
    np.testing.assert_allclose(plain.graph_sample(tf.constant(seeds)), plain.sample(5, 200), atol=2e-5)
    half = plain.graph_sample(tf.constant(seeds), None, tf.fill([200], 0.5))
    np.testing.assert_allclose(half, 0.5 * plain.sample(5, 200), atol=2e-5)


def test_labels_that_will_not_do():
    prior = two_classes()
    for labels, words in (
        (None, r"'gaussian_mixture'.*\(2\): give labels"),
        ([0, 2], "numbers from 0 to 1"),
        ([1], "2 num"),
    ):
        with pytest.raises(UserError, match=words):
            prior.sample(0, 2, labels)
        with pytest.raises(UserError, match=words):
            prior.log_density(np.zeros((2, 2)), labels)
    one_mixture().sample(0, 2, [5, 9])  # does not depend on the label


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factors", [FACTORS, STDDEVS], ids=["full", "diagonal"])
def test_a_file_gives_the_same_draws(factors, tmp_path):
    prior = GaussianMixture(WEIGHTS, MEANS, factors, latent_shape=(2, 3), weights_hash="0123456789abcdef")
    found = GaussianMixture.load(prior.save(tmp_path / "priors" / "prior.npz"))
    np.testing.assert_array_equal(found.sample(1, 9, np.zeros(9, int)), prior.sample(1, 9, np.zeros(9, int)))
    assert (found.hash, found.weights_hash, found.latent_shape) == (prior.hash, prior.weights_hash, (2, 3))
    assert len(prior.hash) == 16 and {p.name for p in (tmp_path / "priors").iterdir()} == {"prior.npz"}


def test_the_hash_is_of_every_number():
    changed = [WEIGHTS * [[0.5, 1.0], [1.0, 1.0]], MEANS + 1e-12, FACTORS * (1 + 1e-15)]
    given = [WEIGHTS, MEANS, FACTORS]
    hashes = {two_classes().hash}
    for i in range(3):
        hashes.add(GaussianMixture(*given[:i], changed[i], *given[i + 1 :], latent_shape=(2,)).hash)
    assert len(hashes) == 4 and two_classes().hash in hashes


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_file_that_is_none(content, tmp_path):
    path = tmp_path / "prior.npz"
    if content is None:
        np.savez(path, weights=WEIGHTS, means=MEANS)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"prior\.npz cannot be read as a Gaussian mixture .*; remove it"):
        GaussianMixture.load(path)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="shapes of weights, means and factors"):
        GaussianMixture(WEIGHTS, MEANS[:1], FACTORS, latent_shape=(2,))


# Fitting --------------------------------------------------------------------------------------------------------------


def of_two_clusters(images: int = 4000) -> Encodings:
    """Means around (4, 0) for 1 of 4 images and around (-2, 1) for the others, with standard deviations of 0.3; the
    posteriors' own are 0.4 and 1.2. So samples have standard deviations of 0.5 and sqrt(0.09 + 1.44) = 1.2369."""
    rng, rare = np.random.default_rng(0), np.arange(images) % 4 == 0
    mean = np.where(rare[:, None], [4.0, 0.0], [-2.0, 1.0]) + 0.3 * rng.standard_normal((images, 2))
    return Encodings(mean, np.tile(2 * np.log([0.4, 1.2]), (images, 1)), rare.astype(np.int32))


def test_a_known_mixture_is_recovered(monkeypatch):
    """10,000 samples, 2500 of the rarer cluster, know a mean to 0.01 and 0.025, a variance to 0.007 and 0.04."""
    monkeypatch.setattr(priors, "MAX_COMPONENTS", 2)
    prior = fit_gaussian_mixture(Model(), of_two_clusters(), seed=0)
    order = np.argsort(prior.weights[0])
    np.testing.assert_allclose(prior.weights[0, order], [0.25, 0.75], atol=0.005)
    np.testing.assert_allclose(prior.means[0, order], [[4.0, 0.0], [-2.0, 1.0]], atol=0.08)
    covariances = prior.factors[0] @ prior.factors[0].transpose(0, 2, 1)
    np.testing.assert_allclose(covariances, np.tile(np.diag([0.25, 1.53]), (2, 1, 1)), atol=0.13)
    assert prior.latent_shape == (5,) and prior.weights_hash == "0123456789abcdef"
    assert prior.hash == fit_gaussian_mixture(Model(), of_two_clusters(), seed=0).hash
    assert prior.hash != fit_gaussian_mixture(Model(), of_two_clusters(), seed=1).hash


def test_a_conditional_model_has_a_mixture_a_class(monkeypatch):
    """Class 2 has no images: the standard normal."""
    monkeypatch.setattr(priors, "MAX_COMPONENTS", 1)
    prior = fit_gaussian_mixture(Model(classes=3), of_two_clusters(), seed=0)
    np.testing.assert_allclose(prior.means[:, 0], [[-2.0, 1.0], [4.0, 0.0], [0.0, 0.0]], atol=0.08)
    code = np.random.default_rng(1).standard_normal((9, 2))
    expected = StandardNormal((2,)).log_density(code)
    np.testing.assert_allclose(prior.log_density(code, np.full(9, 2)), expected, rtol=1e-12)


def test_few_images_give_few_components_and_the_width_of_their_posteriors(monkeypatch):
    """10 images per component and dimension: 200 of class 0 make 10, 39 of class 1 make 1; a single one is its q."""
    found = [priors.components(*given) for given in ((200, 2), (199, 2), (39, 2), (1, 2), (60_000, 64), (60_000, 700))]
    assert found == [10, 9, 1, 1, 10, 8]
    one = Encodings(np.array([[1.0, -1.0]]), 2 * np.log([[0.5, 2.0]]), np.zeros(1, np.int32))
    prior = fit_gaussian_mixture(Model(), one, seed=0)
    np.testing.assert_allclose(prior.means[0, 0], [1.0, -1.0], atol=0.08)
    np.testing.assert_allclose(np.diag(prior.factors[0, 0]), [0.5, 2.0], rtol=0.03)


def test_encodings_are_those_of_the_training_images(monkeypatch):
    dataset = data.load(DataConfig(limit=700))
    pixels, labels = dataset.arrays("train")
    found = encode_training_images(Model(), dataset, seed=0)
    np.testing.assert_allclose(found.mean, pixels.reshape(-1, 784)[:, 300:302] / 255, rtol=1e-6)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.log_var, 2 * math.log(0.1), rtol=1e-6)
    assert np.ptp(found.mean) > 0.5
    monkeypatch.setattr(priors, "MAX_IMAGES", 100)
    some = encode_training_images(Model(), dataset, seed=0)
    assert len(some.mean) == 100 and np.isin(some.mean[:, 0], found.mean[:, 0]).all()


def test_encodings_that_are_not_finite():
    model = Model()
    model.posterior = lambda images, labels: (math.nan * images[:, 0, :2, 0], images[:, 0, :2, 0])
    with pytest.raises(UserError, match="encodings of 'digits' are not finite"):
        encode_training_images(model, data.load(DataConfig(limit=20)), seed=0)
