"""Fits a Gaussian mixture to the aggregate posterior of a model: to draws of q(z|x) of its training images."""

import warnings
from dataclasses import dataclass

import numpy as np

from kgen import data, rng
from kgen.errors import UserError
from kgen.sampling.priors import GaussianMixture

COMPONENTS = 10
"""At most so many a mixture."""
IMAGES_A_COMPONENT_AND_DIMENSION = 10
"""A mixture has one component for so many images times the length of the code: a full covariance must be known."""
FULL_COVARIANCE_DIMENSIONS = 64
"""Longer codes get diagonal covariances."""
LEAST_DRAWS = 10_000
"""Where a mixture has fewer images, each is drawn from several times: the mixture is of q(z|x), not of its means."""
MOST_IMAGES = 50_000
"""Of a larger training split a seeded choice is encoded."""
BATCH = 512


@dataclass(frozen=True)
class Encodings:
    """Of N images.

    Attributes:
        mean, log_var: of q(code|x), [N, code_dim] float32.
        labels: [N] int32.
    """

    mean: np.ndarray
    log_var: np.ndarray
    labels: np.ndarray

    def draws(self, seed: int, label: int | None = None) -> np.ndarray:
        """Draws of q(code|x), of the images of one class or of all: [at least LEAST_DRAWS, code_dim] float64."""
        rows = slice(None) if label is None else self.labels == label
        mean, stddev = (x[rows].astype(np.float64) for x in (self.mean, np.exp(0.5 * self.log_var)))
        if not len(mean):
            return mean
        stream, times = rng.generator(seed, "prior", str(label)), -(-LEAST_DRAWS // len(mean))
        return np.concatenate([mean + stddev * stream.standard_normal(mean.shape) for _ in range(times)])


def encode(model, dataset: data.Dataset, seed: int) -> Encodings:
    """The posteriors of the training images (at most MOST_IMAGES) of a model with an encoder.

    Raises:
        UserError: the model's weights encode them into what is not finite.
    """
    import tensorflow as tf

    posterior, parts = tf.function(model.posterior, reduce_retracing=True), []
    limit = min(MOST_IMAGES, dataset.spec.examples["train"])
    for images, labels in dataset.batches("train", batch_size=BATCH, seed=seed, training=False, limit=limit):
        parts.append([np.asarray(x) for x in (*posterior(images, labels), labels)])
    mean, log_var, labels = map(np.concatenate, zip(*parts, strict=True))
    if not (np.isfinite(mean).all() and np.isfinite(log_var).all()):
        raise UserError(f"the encodings of {dataset.spec.name!r} are not finite: no prior can be fitted to them")
    return Encodings(mean, log_var, labels)


def fit_gaussian_mixture(model, encodings: Encodings, seed: int) -> GaussianMixture:
    """A Gaussian mixture over the codes of a model; in a conditional model one a class.

    A mixture has COMPONENTS components, and fewer where it has fewer than IMAGES_A_COMPONENT_AND_DIMENSION images times
    the length of the code for each. A class without images gets the standard normal.

    Args:
        model: a GenerativeModel with an encoder.
        encodings: of its training images.
        seed: of the draws, and of scikit-learn's start.
    """
    labels = range(model.spec.num_classes) if model.conditional else [None]
    counts = [len(encodings.labels) if y is None else int(np.sum(encodings.labels == y)) for y in labels]
    sizes = [components(count, model.code_dim) for count in counts]
    shape = (len(sizes), max(sizes), model.code_dim)
    full = model.code_dim <= FULL_COVARIANCE_DIMENSIONS
    weights, means = np.zeros(shape[:2]), np.zeros(shape)
    weights[:, 0] = 1.0
    factors = np.tile(np.eye(model.code_dim), (*shape[:2], 1, 1)) if full else np.ones(shape)
    for i, (label, size) in enumerate(zip(labels, sizes, strict=True)):
        if counts[i]:
            fitted = _fit(encodings.draws(seed, label), size, full, rng.seed_of(seed, "mixture", str(label)))
            weights[i, :size], means[i, :size], factors[i, :size] = fitted
    return GaussianMixture(weights, means, factors, latent_shape=model.latent_shape, weights_hash=model.weights_hash())


def components(images: int, code_dim: int) -> int:
    """How many components a mixture has that is fitted to the encodings of so many images."""
    return min(COMPONENTS, max(1, images // (IMAGES_A_COMPONENT_AND_DIMENSION * code_dim)))


def _fit(codes: np.ndarray, size: int, full: bool, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weights [K], means [K, d], Cholesky factors [K, d, d] or standard deviations [K, d])."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture as Mixture

    fitted = Mixture(size, covariance_type="full" if full else "diag", max_iter=300, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what 300 steps of EM give is a density as well
        fitted.fit(codes)
    factors = np.linalg.cholesky(fitted.covariances_) if full else np.sqrt(fitted.covariances_)
    return fitted.weights_, fitted.means_, factors
