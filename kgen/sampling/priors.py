"""Priors: the distributions that z is sampled from, fitting one to encodings, and the fitted priors of a run.

Training pulls every q(z|x) towards N(0, I), but the decoder is trained on samples of the aggregate posterior
q(z) = E_x[q(z|x)]. Where the two differ (a small beta, free bits, a large latent), samples of N(0, I) may lie where the
decoder was not trained. Fitting a density to encodings after the training corrects that without changing the weights:
ex-post density estimation, Sec. 4 of Ghosh et al. 2020 (https://arxiv.org/abs/1903.12436).

Every prior is a normalized density of the code, so it gives both samples and likelihoods.
"""

from __future__ import annotations

import hashlib
import math
import sys
import time
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, get_args

import numpy as np

from kgen import random
from kgen.config import PriorName
from kgen.errors import UserError
from kgen.gpu import full_float32
from kgen.io import write_aside
from kgen.registry import Registry

if TYPE_CHECKING:
    from kgen.data import Dataset
    from kgen.run import Run

PRIORS = Registry("prior")
STANDARD_NORMAL, GAUSSIAN_MIXTURE = get_args(PriorName)


class Prior(Protocol):
    """A distribution of z.

    Attributes:
        name: in PRIORS.
        hash: 16 hex digits over its parameters; None of the standard normal, which has none.
    """

    name: str
    hash: str | None

    def sample(
        self, seed: int, count: int, labels: np.ndarray | None = None, *, first: int = 0, temperature: float = 1.0
    ) -> np.ndarray:
        """Latent points, [count, *latent_shape] float32; row i is a function of (seed, first + i, its label) alone.

        Args:
            seed: in [0, 2^31).
            count: number of rows.
            labels: [count] int32, where the prior depends on the label.
            first: the number of the first row.
            temperature: scales the deviation from the (component's) mean; 1 is the prior itself.
        """
        ...

    def graph_sample(self, seeds, labels=None, temperature=None):
        """`sample` in a graph, with a seed per row.

        Args:
            seeds: [B] int32 tensor.
            labels: [B] int32 tensor, or None.
            temperature: [B] float32 tensor; None is 1.

        Returns:
            z: [B, *latent_shape] float32 tensor.
        """
        ...

    def log_density(self, code: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """log p(code | label) in nats, [N] float64.

        Args:
            code: [N, code_dim], z without the pixel noise of a PixelVAE.
            labels: [N] int32, where the prior depends on the label.
        """
        ...


@PRIORS.register(STANDARD_NORMAL)
class StandardNormal:
    """N(0, I): the prior that a VAE is trained with.

    Args:
        latent_shape: of one latent point.
    """

    name, hash = STANDARD_NORMAL, None

    def __init__(self, latent_shape: Sequence[int]):
        self.latent_shape = tuple(latent_shape)

    def sample(self, seed, count, labels=None, *, first=0, temperature=1.0):
        return random.latents(seed, count, self.latent_shape, temperature=temperature, first=first)

    def graph_sample(self, seeds, labels=None, temperature=None):
        import tensorflow as tf

        z = random.portable_normals_tensor(seeds, math.prod(self.latent_shape))
        z = z if temperature is None else temperature[:, None] * z
        return tf.reshape(z, (-1, *self.latent_shape))

    def log_density(self, code, labels=None):
        squares = np.einsum("nd,nd->n", code, code, dtype=np.float64)
        return -0.5 * (code.shape[1] * math.log(2 * math.pi) + squares)


@PRIORS.register(GAUSSIAN_MIXTURE)
class GaussianMixture:
    """A mixture of K Gaussians over the code; in a conditional model one per class, since q(z|y) = E_{x|y}[q(z|x, y)].

    The part of z after the code (the pixel noise of a PixelVAE) stays standard normal, and for a seed and row it is the
    same under every prior.

    Args:
        weights: [C, K] probabilities of the components; C is 1, or the number of classes. Unused components weigh 0.
        means: [C, K, d], d entries of code.
        factors: [C, K, d, d] lower Cholesky factors of the covariances; or [C, K, d] standard deviations, where the
            covariances are diagonal.
        latent_shape: of one latent point; its first d entries are the code.
        weights_hash: of the model whose encodings it was fitted to; see `GenerativeModel.weights_hash`.
    """

    name = GAUSSIAN_MIXTURE

    def __init__(self, weights, means, factors, *, latent_shape: Sequence[int], weights_hash: str = ""):
        self.weights, self.means, self.factors = (np.array(x, np.float64) for x in (weights, means, factors))
        self.latent_shape, self.weights_hash = tuple(int(n) for n in latent_shape), weights_hash
        shape, code_dim = self.means.shape, self.means.shape[-1]
        if self.weights.shape != shape[:-1] or self.factors.shape not in (shape, (*shape, code_dim)):
            raise ValueError(
                f"shapes of weights, means and factors: {self.weights.shape}, {shape}, {self.factors.shape}"
            )
        shares = np.cumsum(self.weights, axis=1) / self.weights.sum(axis=1, keepdims=True)
        self._thresholds = np.round(random.FIELDS[0] * shares).astype(np.int32)

    @property
    def hash(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        for numbers in (self.weights, self.means, self.factors):
            digest.update(f"{numbers.shape};".encode() + numbers.tobytes())
        return digest.hexdigest()

    def sample(self, seed, count, labels=None, *, first=0, temperature=1.0):
        size, code_dim = math.prod(self.latent_shape), self.means.shape[-1]
        seeds, groups = random.row_seeds(seed, count, first), self._groups(labels, count)
        # the noise of the standard normal prior
        z = temperature * random.portable_normals(seeds, size).astype(np.float64)
        place = random.field_elements(seeds, random.first_free_element(size))[0]
        components = np.sum(place[:, None] >= self._thresholds[groups], axis=1)
        for row, chosen in enumerate(zip(groups, components, strict=True)):
            z[row, :code_dim] = self.means[chosen] + _times(self.factors[chosen], z[row, :code_dim])
        return z.reshape(count, *self.latent_shape).astype(np.float32)

    def graph_sample(self, seeds, labels=None, temperature=None):
        import tensorflow as tf

        size, (classes, most, code_dim) = math.prod(self.latent_shape), self.means.shape
        z = random.portable_normals_tensor(seeds, size)
        z = z if temperature is None else temperature[:, None] * z
        group = tf.zeros_like(seeds) if classes == 1 else labels
        place = random.field_elements(seeds, random.first_free_element(size))[0][:, None]
        thresholds = tf.gather(tf.constant(self._thresholds, tf.int32), group)
        component = tf.reduce_sum(tf.cast(place >= thresholds, tf.int32), axis=1)
        chosen = group * most + component
        means, factors = (
            tf.gather(tf.constant(x.reshape(classes * most, *x.shape[2:]), tf.float32), chosen)
            for x in (self.means, self.factors)
        )
        noise = z[:, :code_dim]
        deviation = factors * noise if factors.shape.rank == 2 else tf.reduce_sum(factors * noise[:, None], axis=2)
        return tf.reshape(tf.concat([means + deviation, z[:, code_dim:]], axis=1), (-1, *self.latent_shape))

    def log_density(self, code, labels=None):
        from scipy.special import logsumexp

        code = np.asarray(code, np.float64)
        groups, found = self._groups(labels, len(code)), np.empty(len(code))
        for group in np.unique(groups):
            rows = np.flatnonzero(groups == group)
            used = np.flatnonzero(self.weights[group])
            terms = [self._log_component(group, k, code[rows]) + math.log(self.weights[group, k]) for k in used]
            found[rows] = logsumexp(terms, axis=0)
        return found

    def _log_component(self, group: int, component: int, code: np.ndarray) -> np.ndarray:
        """log N(code; mean, covariance) of one component, [N] float64."""
        from scipy.linalg import solve_triangular

        factor, deviation = self.factors[group, component], code - self.means[group, component]
        if factor.ndim == 1:
            scales, whitened = factor, deviation / factor
        else:
            scales, whitened = np.diag(factor), solve_triangular(factor, deviation.T, lower=True).T
        constant = 0.5 * code.shape[1] * math.log(2 * math.pi) + np.log(scales).sum()
        return -0.5 * np.square(whitened).sum(axis=1) - constant

    def _groups(self, labels, count: int) -> np.ndarray:
        """Index of the mixture of each row, [count] integers below C."""
        classes = len(self.weights)
        if classes == 1:
            return np.zeros(count, np.int64)
        if labels is None:
            raise UserError(f"prior {self.name!r} has one mixture per class ({classes}): give labels, one per row")
        labels = np.asarray(labels)
        if labels.shape != (count,) or not np.isin(labels, np.arange(classes)).all():
            raise UserError(f"labels: {count} numbers from 0 to {classes - 1}. Received: {labels!r}")
        return labels

    def save(self, path: str | Path) -> Path:
        """Writes a .npz file, whole or not at all."""
        arrays = {"weights": self.weights, "means": self.means, "factors": self.factors}
        about = {"latent_shape": self.latent_shape, "weights_hash": self.weights_hash}
        return write_aside(path, lambda aside: np.savez_compressed(aside, **arrays, **about))

    @classmethod
    def load(cls, path: str | Path) -> GaussianMixture:
        """The mixture in a file.

        Raises:
            UserError: the file was not written by `save`.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in ("weights", "means", "factors", "latent_shape")}
                return cls(**arrays, weights_hash=str(file["weights_hash"]))
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path} cannot be read as a Gaussian mixture ({error}); remove it to fit it again"
            ) from error


def _times(factor: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """factor @ noise, summed in NumPy's order: that of a BLAS differs between machines, and so would pixels."""
    return factor * noise if factor.ndim == 1 else (factor * noise).sum(axis=1)


# Fitting --------------------------------------------------------------------------------------------------------------
# A Gaussian mixture is fitted to the aggregate posterior of a model: to samples of q(z|x) of its training images.

MAX_COMPONENTS = 10
"""Per mixture."""
IMAGES_PER_COMPONENT_AND_DIMENSION = 10
"""A mixture gets a component per this many images times the length of the code: enough for a full covariance."""
MAX_FULL_COVARIANCE_DIM = 64
"""Longer codes get diagonal covariances."""
MIN_SAMPLES = 10_000
"""With fewer images, each posterior is sampled several times: the mixture is fitted to q(z|x), not to its means."""
MAX_IMAGES = 50_000
"""Of a larger training split, a seeded choice is encoded."""
BATCH_SIZE = 512


@dataclass(frozen=True)
class Encodings:
    """Posteriors of N images.

    Attributes:
        mean, log_var: of q(code|x), [N, code_dim] float32.
        labels: [N] int32.
    """

    mean: np.ndarray
    log_var: np.ndarray
    labels: np.ndarray

    def sample(self, seed: int, label: int | None = None) -> np.ndarray:
        """Samples of q(code|x) of the images of one class, or of all: [at least MIN_SAMPLES, code_dim] float64."""
        rows = slice(None) if label is None else self.labels == label
        mean, stddev = (x[rows].astype(np.float64) for x in (self.mean, np.exp(0.5 * self.log_var)))
        if not len(mean):
            return mean
        stream, times = random.generator(seed, "prior", str(label)), -(-MIN_SAMPLES // len(mean))
        return np.concatenate([mean + stddev * stream.standard_normal(mean.shape) for _ in range(times)])


@full_float32()
def encode_training_images(model, dataset: Dataset, seed: int) -> Encodings:
    """The posteriors of the training images (at most MAX_IMAGES) of a model with an encoder.

    Raises:
        UserError: an encoding is not finite.
    """
    import tensorflow as tf

    posterior, parts = tf.function(model.posterior, reduce_retracing=True, autograph=False), []
    limit = min(MAX_IMAGES, dataset.spec.examples["train"])
    for images, labels in dataset.batches("train", batch_size=BATCH_SIZE, seed=seed, training=False, limit=limit):
        parts.append([np.asarray(x) for x in (*posterior(images, labels), labels)])
    mean, log_var, labels = map(np.concatenate, zip(*parts, strict=True))
    if not (np.isfinite(mean).all() and np.isfinite(log_var).all()):
        raise UserError(f"the encodings of {dataset.spec.name!r} are not finite: no prior can be fitted to them")
    return Encodings(mean, log_var, labels)


def fit_gaussian_mixture(model, encodings: Encodings, seed: int) -> GaussianMixture:
    """A Gaussian mixture over the codes of a model; in a conditional model one per class.

    The number of components depends on the number of images, see `components`. A class without images gets the standard
    normal.

    Args:
        model: a GenerativeModel with an encoder.
        encodings: of its training images.
        seed: of the samples, and of the initialization of scikit-learn.
    """
    labels = range(model.spec.num_classes) if model.conditional else [None]
    counts = [len(encodings.labels) if y is None else int(np.sum(encodings.labels == y)) for y in labels]
    sizes = [components(count, model.code_dim) for count in counts]
    shape = (len(sizes), max(sizes), model.code_dim)
    full = model.code_dim <= MAX_FULL_COVARIANCE_DIM
    weights, means = np.zeros(shape[:2]), np.zeros(shape)
    weights[:, 0] = 1.0
    factors = np.tile(np.eye(model.code_dim), (*shape[:2], 1, 1)) if full else np.ones(shape)
    for i, (label, size) in enumerate(zip(labels, sizes, strict=True)):
        if counts[i]:
            fitted = _fit(encodings.sample(seed, label), size, full, random.seed_of(seed, "mixture", str(label)))
            weights[i, :size], means[i, :size], factors[i, :size] = fitted
    return GaussianMixture(weights, means, factors, latent_shape=model.latent_shape, weights_hash=model.weights_hash())


def components(images: int, code_dim: int) -> int:
    """The number of components for this many images: at most MAX_COMPONENTS, with enough images for each of them."""
    return min(MAX_COMPONENTS, max(1, images // (IMAGES_PER_COMPONENT_AND_DIMENSION * code_dim)))


def _fit(codes: np.ndarray, size: int, full: bool, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weights [K], means [K, d], Cholesky factors [K, d, d] or standard deviations [K, d])."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture as Mixture

    fitted = Mixture(size, covariance_type="full" if full else "diag", max_iter=300, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # after 300 steps of EM it is a density as well
        fitted.fit(codes)
    factors = np.linalg.cholesky(fitted.covariances_) if full else np.sqrt(fitted.covariances_)
    return fitted.weights_, fitted.means_, factors


# Priors of a run ------------------------------------------------------------------------------------------------------
# <run>/priors/NAME-CHECKPOINT.npz, each fitted when it is first needed.


def check_prior(name: str, model: str):
    """Raises UserError for an unknown prior, and for one that a model (its name) cannot have."""
    from kgen.models.presets import PRESETS

    if PRIORS[name] is GaussianMixture and not PRESETS[model].has_encoder:
        raise UserError(
            f"--prior {name} is fitted to encodings, and model {model!r} has no encoder; use --prior "
            f"{StandardNormal.name}, or a model that encodes, e.g. --model vae"
        )


def prior_of(run: Run, model, checkpoint: str, name: str, dataset: Dataset | None = None) -> Prior:
    """A prior of a run's checkpoint; unless one is stored for these weights, it is fitted and stored.

    Args:
        run: the run.
        model: with the weights of the checkpoint.
        checkpoint: "best" or "last".
        name: in PRIORS.
        dataset: of the run; None loads it if it is needed.

    Raises:
        UserError: the prior is unknown; the model has no encoder; the training images are missing, or have changed.
    """
    check_prior(name, run.config.model)
    if name == StandardNormal.name:
        return StandardNormal(model.latent_shape)
    path = _file(run, name, checkpoint)
    if (stored := _stored(path, model)) is not None:
        return stored
    dataset = dataset or _training_images(run, name)
    started = time.monotonic()
    encodings = encode_training_images(model, dataset, run.config.seed)
    prior = fit_gaussian_mixture(model, encodings, run.config.seed)
    fitted = (
        f"prior {name} of checkpoint {checkpoint!r}: {_components(prior)}, fitted to the encodings of "
        f"{len(encodings.labels)} training images in {time.monotonic() - started:.1f} seconds"
    )
    try:
        prior.save(path)
        run.log(f"{fitted}; stored as {path}")
    except OSError as error:  # the run is read-only
        print(f"{fitted}; not stored ({error.filename or path}: {error.strerror or error})", file=sys.stderr)
    return prior


def stored_priors(run: Run, model, checkpoint: str) -> list[Prior]:
    """The fitted priors that are stored for these weights of a run."""
    found = [_stored(_file(run, name, checkpoint), model) for name in PRIORS if name != StandardNormal.name]
    return [prior for prior in found if prior is not None]


def _file(run: Run, name: str, checkpoint: str) -> Path:
    return run.path / "priors" / f"{name}-{checkpoint}.npz"


def _stored(path: Path, model) -> GaussianMixture | None:
    """The prior in a file, if it was fitted to the encodings of this model."""
    if not path.is_file():
        return None
    prior = GaussianMixture.load(path)
    return prior if prior.weights_hash == model.weights_hash() else None


def _components(prior: GaussianMixture) -> str:
    used = (prior.weights > 0).sum(axis=1)
    count = str(used[0]) if min(used) == max(used) else f"{min(used)} to {max(used)}"
    return f"{count} component{'s' if max(used) > 1 else ''}{' per class' if len(used) > 1 else ''}"


def _training_images(run: Run, name: str) -> Dataset:
    try:
        return run.training_data.load()
    except UserError as error:
        raise UserError(
            f"--prior {name} is fitted to the training images of {run.path}, which cannot be loaded: {error}"
        ) from error
