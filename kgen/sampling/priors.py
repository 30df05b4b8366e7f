"""Priors: what z is drawn from.

Training pulls every q(z|x) towards N(0, I), but what the decoder learns to decode are draws of the aggregate posterior
q(z) = E_x[q(z|x)]. Where the two differ (a small beta, free bits, a large latent), a draw of N(0, I) may lie where the
decoder has seen nothing. A density fitted to encodings after the training puts that right without touching a weight:
ex-post density estimation, Sec. 4 of Ghosh et al. 2020 (https://arxiv.org/abs/1903.12436).

Every prior is a proper density of the code, so it gives samples and likelihoods alike.
"""

import hashlib
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from kgen import portable, rng
from kgen.errors import UserError
from kgen.files import write_aside
from kgen.registry import Registry

PRIORS = Registry("prior")


class Prior(Protocol):
    """What z is drawn from.

    Attributes:
        name: under which it is registered in PRIORS.
        hash: 16 hex digits of its numbers; None of the standard normal, which has none.
    """

    name: str
    hash: str | None

    def draw(
        self, seed: int, count: int, labels: np.ndarray | None = None, *, first: int = 0, temperature: float = 1.0
    ) -> np.ndarray:
        """Latent points, [count, *latent_shape] float32; row i is a function of (seed, first + i, its label) alone.

        Args:
            labels: [count] int32, where the prior depends on the label.
            first: the number of the first row.
            temperature: scales the deviation from the (component's) mean; 1 is the prior itself.
        """
        ...

    def graph_draw(self, seeds, labels=None, temperature=None):
        """`draw` with a seed a row, of tensors: seeds [B] int32, labels [B] int32, temperature [B] float32 -> z."""
        ...

    def log_density(self, code: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """log p(code | label) in nats, [N] float64, of the code [N, code_dim]: z without a PixelVAE's pixel noise."""
        ...


@PRIORS.register("standard_normal")
class StandardNormal:
    """N(0, I): the prior that a VAE is trained with.

    Args:
        latent_shape: of one latent point.
    """

    name, hash = "standard_normal", None

    def __init__(self, latent_shape: Sequence[int]):
        self.latent_shape = tuple(latent_shape)

    def draw(self, seed, count, labels=None, *, first=0, temperature=1.0):
        return rng.latents(seed, count, self.latent_shape, temperature=temperature, first=first)

    def graph_draw(self, seeds, labels=None, temperature=None):
        import tensorflow as tf

        z = portable.graph_normals(seeds, math.prod(self.latent_shape))
        z = z if temperature is None else temperature[:, None] * z
        return tf.reshape(z, (-1, *self.latent_shape))

    def log_density(self, code, labels=None):
        squares = np.einsum("nd,nd->n", code, code, dtype=np.float64)
        return -0.5 * (code.shape[1] * math.log(2 * math.pi) + squares)


@PRIORS.register("gaussian_mixture")
class GaussianMixture:
    """A mixture of K Gaussians over the code; in a conditional model one a class, since q(z|y) = E_{x|y}[q(z|x, y)].

    What follows the code in z (the pixel noise of a PixelVAE) stays standard normal, the same for the same seed and
    row under every prior.

    Args:
        weights: [C, K] probabilities of the components; C is 1, or the number of classes. Unused components weigh 0.
        means: [C, K, d], d entries of code.
        factors: [C, K, d, d] lower Cholesky factors of the covariances; or [C, K, d] standard deviations, where the
            covariances are diagonal.
        latent_shape: of one latent point; its first d entries are the code.
        weights_hash: of the model whose encodings it was fitted to; see `GenerativeModel.weights_hash`.
    """

    name = "gaussian_mixture"

    def __init__(self, weights, means, factors, *, latent_shape: Sequence[int], weights_hash: str = ""):
        self.weights, self.means, self.factors = (np.array(x, np.float64) for x in (weights, means, factors))
        self.latent_shape, self.weights_hash = tuple(int(n) for n in latent_shape), weights_hash
        shape, code_dim = self.means.shape, self.means.shape[-1]
        if self.weights.shape != shape[:-1] or self.factors.shape not in (shape, (*shape, code_dim)):
            raise ValueError(
                f"shapes of weights, means and factors: {self.weights.shape}, {shape}, {self.factors.shape}"
            )
        shares = np.cumsum(self.weights, axis=1) / self.weights.sum(axis=1, keepdims=True)
        self._thresholds = np.round(portable.FIELDS[0] * shares).astype(np.int32)

    @property
    def hash(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        for numbers in (self.weights, self.means, self.factors):
            digest.update(f"{numbers.shape};".encode() + numbers.tobytes())
        return digest.hexdigest()

    def draw(self, seed, count, labels=None, *, first=0, temperature=1.0):
        size, code_dim = math.prod(self.latent_shape), self.means.shape[-1]
        seeds, groups = portable.row_seeds(seed, count, first), self._groups(labels, count)
        z = temperature * portable.normals(seeds, size).astype(np.float64)  # the noise of the standard normal prior
        place = portable.elements(seeds, portable.after(size))[0]
        components = np.sum(place[:, None] >= self._thresholds[groups], axis=1)
        for row, chosen in enumerate(zip(groups, components, strict=True)):
            z[row, :code_dim] = self.means[chosen] + _times(self.factors[chosen], z[row, :code_dim])
        return z.reshape(count, *self.latent_shape).astype(np.float32)

    def graph_draw(self, seeds, labels=None, temperature=None):
        import tensorflow as tf

        size, (classes, most, code_dim) = math.prod(self.latent_shape), self.means.shape
        z = portable.graph_normals(seeds, size)
        z = z if temperature is None else temperature[:, None] * z
        group = tf.zeros_like(seeds) if classes == 1 else labels
        place = portable.elements(seeds, portable.after(size))[0][:, None]
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
        """Which of the C mixtures every row has, [count] integers."""
        classes = len(self.weights)
        if classes == 1:
            return np.zeros(count, np.int64)
        if labels is None:
            raise UserError(f"prior {self.name!r} has one mixture a class ({classes}): give labels, one a row")
        labels = np.asarray(labels)
        if labels.shape != (count,) or not np.isin(labels, np.arange(classes)).all():
            raise UserError(f"labels: {count} numbers from 0 to {classes - 1}. Received: {labels!r}")
        return labels

    # Files ----------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Writes it as .npz, whole or not at all."""
        arrays = {"weights": self.weights, "means": self.means, "factors": self.factors}
        about = {"latent_shape": self.latent_shape, "weights_hash": self.weights_hash}
        return write_aside(path, lambda aside: np.savez_compressed(aside, **arrays, **about))

    @classmethod
    def load(cls, path: str | Path) -> "GaussianMixture":
        """Raises UserError when the file is none that `save` wrote."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in ("weights", "means", "factors", "latent_shape")}
                return cls(**arrays, weights_hash=str(file["weights_hash"]))
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path} cannot be read as a Gaussian mixture ({error}); remove it, and write it anew"
            ) from error


def _times(factor: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """factor @ noise, added up in NumPy's own order: that of a BLAS differs between machines, and so would pixels."""
    return factor * noise if factor.ndim == 1 else (factor * noise).sum(axis=1)
