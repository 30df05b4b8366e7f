"""Likelihoods of images under a model with an encoder, in nats per image, summed in float64.

    ELBO(x) = -(reconstruction + kl);  reconstruction = E_q[-log p(x|z)];  kl = KL(q(z|x) || p(z))
    log p(x) >= L_K(x) = E[log 1/K sum_k w_k];  w_k = p(x|z_k) p(z_k) / q(z_k|x), z_k from q(z|x)

Kingma & Welling 2014 (https://arxiv.org/abs/1312.6114); Eq. 8 of Burda et al. 2016, importance weighted autoencoders
(https://arxiv.org/abs/1509.00519). L_1 is the ELBO, L_K does not fall with K, and tends to log p(x).

Sample k of image i is a function of (seed, i, k) alone, however the work is divided into calls. A model is any object
with `posterior(images, labels) -> mean, log_var [B, code_dim]` and `nll(images, code, labels) -> [B]`. It may have
`nll_many(images [B, ...], codes [K, B, code_dim], labels) -> [K, B]`, which computes once per image what does not
depend on the code. A prior is one of `kgen.sampling.PRIORS`; that whose `hash` is None is N(0, I).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kgen import random

LOG_2_PI = math.log(2.0 * math.pi)
GREY_LEVELS = 256
BUDGET_BYTES = 2**29
"""Bound of what one call computes, were nothing freed before its end. With TensorFlow itself and the scratch memory of
its kernels a process stays under 2 GiB."""
ENCODED_BYTES = 2**26
"""The same bound, of a call that encodes images: more at a time is not faster."""
MOST_ROWS = 5_000
"""A call of more rows is not faster."""
HOST_VECTORS = 8
"""Float64 vectors of the code's length that a sample costs outside of the graph."""


class Posterior(NamedTuple):
    """q(code|x) of N images: mean and log-variance, each [N, code_dim] float32."""

    mean: np.ndarray
    log_var: np.ndarray


class CodeSamples(NamedTuple):
    """K samples from the posteriors of B images.

    Attributes:
        rows: which images.
        log_ratio: log p(code) - log q(code|x): [K, B] float64, nats.
        nll: -log p(x|code): [K, B] float64, nats.
    """

    rows: slice
    log_ratio: np.ndarray
    nll: np.ndarray


@dataclass(frozen=True)
class Bound:
    """The two terms of the negative ELBO, each [N] float64, nats per image."""

    reconstruction: np.ndarray
    kl: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """Importance-sampled log-likelihoods, each [N] float64.

    Attributes:
        log_likelihood: L_K, nats per image.
        bound: L_1, of the same samples: the mean of the log-weights.
        effective_samples: (sum w)^2 / sum w^2, between 1 and K; of a few the estimate lies far below log p(x).
    """

    log_likelihood: np.ndarray
    bound: np.ndarray
    effective_samples: np.ndarray


def encode(model, images: np.ndarray, labels: np.ndarray | None) -> Posterior:
    """The posteriors of images.

    Args:
        model: see above.
        images: [N, H, W, C] float32 as the model takes them: an array, or what gives such arrays when it is sliced.
        labels: [N] int32 for a conditional model, else None.
    """
    import tensorflow as tf

    one, two = (graph_bytes(model.posterior, *_signature(images, labels, count)) for count in (1, 2))
    size = max(1, min(MOST_ROWS, ENCODED_BYTES // (two - one)))
    posterior, parts = tf.function(model.posterior, autograph=False), []
    for rows in _slices(len(images), size):
        parts.append([np.asarray(part) for part in posterior(*_some(images, labels, rows))])
    return Posterior(*map(np.concatenate, zip(*parts, strict=True)))


def elbo(model, prior, images, labels, *, seed: int = 0, posterior: Posterior | None = None, samples: int = 1) -> Bound:
    """The terms of the ELBO.

    The reconstruction is of `samples` samples per image. The KL is exact for the standard normal prior, of the same
    samples (log q - log p) for any other.

    Args:
        model, prior: see above.
        images, labels: see `encode`.
        seed: of the samples.
        posterior: of the images, where it is known.
        samples: per image.
    """
    posterior = posterior or encode(model, images, labels)
    reconstruction, kl = np.zeros(len(images)), np.zeros(len(images))
    for part in sample_codes(model, prior, images, labels, posterior, samples=samples, seed=seed):
        reconstruction[part.rows] += part.nll.sum(axis=0) / samples
        kl[part.rows] -= part.log_ratio.sum(axis=0) / samples
    return Bound(reconstruction, kls(posterior).sum(axis=1) if prior.hash is None else kl)


def kls(posterior: Posterior) -> np.ndarray:
    """KL(q(code|x) || N(0, I)) of each latent dimension: [N, code_dim] float64, nats."""
    mean, log_var = (part.astype(np.float64) for part in posterior)
    return 0.5 * (np.exp(log_var) + np.square(mean) - 1.0 - log_var)


def log_likelihood(
    model,
    prior,
    images,
    labels,
    *,
    samples: int = 5_000,
    seed: int = 0,
    posterior: Posterior | None = None,
    progress: Callable[[int], None] = lambda decoded: None,
) -> Estimate:
    """L_K of each image, of exactly K = `samples` samples from its posterior.

    Args:
        model, prior, images, labels, seed, posterior: see `elbo`.
        samples: K.
        progress: called with the number of codes that were decoded.
    """
    posterior = posterior or encode(model, images, labels)
    weights = RunningWeights(len(images))
    for part in sample_codes(model, prior, images, labels, posterior, samples=samples, seed=seed):
        weights.add(part.rows, part.log_ratio - part.nll)
        progress(part.nll.size)
    return Estimate(weights.log_mean, weights.mean_log, weights.effective)


def sample_codes(
    model, prior, images, labels, posterior: Posterior, *, samples: int, seed: int
) -> Iterator[CodeSamples]:
    """Samples from the posterior of every image, in as many chunks as memory requires.

    A chunk holds all samples of several images, or some of one. Calls have one shape, and one more for each remainder.
    """
    import tensorflow as tf

    nll_many = getattr(model, "nll_many", None) or _tiled(model)
    size, batch = _chunk(nll_many, images, labels, posterior.mean.shape[1], samples)
    decode, seed = tf.function(nll_many, autograph=False), random.seed_of(seed, "importance")
    for rows in _slices(len(images), batch):
        some, some_labels = _some(images, labels, rows)
        mean, log_var = (part[rows] for part in posterior)
        stddev, log_scale = np.exp(0.5 * log_var), (LOG_2_PI + log_var.astype(np.float64)).sum(axis=1)
        streams = [random.row_generator(seed, image) for image in range(rows.start, rows.stop)]
        for chunk in _slices(samples, size):
            count = chunk.stop - chunk.start
            noise = np.stack([s.standard_normal((count, mean.shape[1]), np.float32) for s in streams], axis=1)
            code = mean + stddev * noise
            nll = np.asarray(decode(some, code, some_labels), np.float64)
            many_labels = None if some_labels is None else np.tile(some_labels, count)
            log_p = prior.log_density(code.reshape(-1, code.shape[-1]), many_labels).reshape(nll.shape)
            squares = np.einsum("kbd,kbd->kb", noise, noise, dtype=np.float64)
            log_q = -0.5 * (squares + log_scale)
            yield CodeSamples(rows, log_p - log_q, nll)


class RunningWeights:
    """Sums over weights of N images whose logarithms come in chunks, each in units of the largest weight so far."""

    def __init__(self, count: int):
        self._largest = np.full(count, -np.inf)
        self._total, self._squares, self._logs, self._number = (np.zeros(count) for _ in range(4))

    def add(self, rows: slice, log_weights: np.ndarray):
        """Adds [K, B] log-weights of the images `rows`."""
        largest = np.maximum(self._largest[rows], log_weights.max(axis=0))
        unit = np.where(np.isfinite(largest), largest, 0.0)  # weights that are all 0 have no largest
        before, weights = np.exp(self._largest[rows] - unit), np.exp(log_weights - unit)
        self._total[rows] = self._total[rows] * before + weights.sum(axis=0)
        self._squares[rows] = self._squares[rows] * before**2 + np.square(weights).sum(axis=0)
        self._logs[rows] += log_weights.sum(axis=0)
        self._number[rows] += len(log_weights)
        self._largest[rows] = largest

    @property
    def log_mean(self) -> np.ndarray:
        """log 1/K sum_k w_k, [N]."""
        with np.errstate(divide="ignore"):
            return self._largest + np.log(self._total) - np.log(self._number)

    @property
    def mean_log(self) -> np.ndarray:
        """1/K sum_k log w_k, [N]."""
        return self._logs / self._number

    @property
    def effective(self) -> np.ndarray:
        """(sum_k w_k)^2 / sum_k w_k^2, [N]."""
        return np.square(self._total) / self._squares


def bits_per_dim(nats: float, dimensions: int, *, density: bool) -> float:
    """Bits per pixel and channel of a negative log-likelihood in nats per image.

    Args:
        nats: per image.
        dimensions: H * W * C.
        density: with respect to pixels of 256 grey levels in [0, 1], whose density is 256 times that of their levels.
    """
    return (nats / dimensions + (math.log(GREY_LEVELS) if density else 0.0)) / math.log(2.0)


# Calls of a bounded size ----------------------------------------------------------------------------------------------


def _tiled(model) -> Callable:
    """`nll_many` of a model that has none: `nll` of every image repeated."""
    import tensorflow as tf

    def nll_many(images, codes, labels=None):
        count, batch, size = codes.shape
        code = tf.reshape(codes, (count * batch, size))
        images = tf.tile(images, [count, *[1] * (len(images.shape) - 1)])
        labels = None if labels is None else tf.tile(labels, [count])
        return tf.reshape(model.nll(images, code, labels), (count, batch))

    return nll_many


def _chunk(nll_many, images, labels, code_dim: int, samples: int) -> tuple[int, int]:
    """(samples, images) of one call: all samples of several images, or some of one image."""
    import tensorflow as tf

    def total(count: int, batch: int) -> int:
        some, some_labels = _signature(images, labels, batch)
        return graph_bytes(nll_many, some, tf.TensorSpec((count, batch, code_dim)), some_labels)

    one = total(1, 1)
    a_sample = total(2, 1) - one + 8 * HOST_VECTORS * code_dim
    an_image = total(1, 2) - one  # with one sample
    size = divided(samples, min(MOST_ROWS, (BUDGET_BYTES - an_image) // a_sample))
    if size < samples:
        return size, 1
    batch = min(MOST_ROWS // samples, BUDGET_BYTES // (an_image + samples * a_sample))
    return samples, max(1, batch)


def graph_bytes(function, *signature) -> int:
    """The bytes of all tensors that a function computes for such arguments: an upper bound of what lives at a time.

    Args:
        function: of tensors.
        signature: a tf.TensorSpec, or None, for each of its arguments; every size known.
    """
    import tensorflow as tf

    operations = tf.function(function, autograph=False).get_concrete_function(*signature).graph.get_operations()
    tensors = [t for operation in operations for t in operation.outputs if t.dtype.size]
    known = [t.shape.num_elements() * t.dtype.size for t in tensors if t.shape.is_fully_defined()]
    return sum(known) + (len(tensors) - len(known)) * max(known)


def divided(count: int, most: int) -> int:
    """The size of chunks of `count` things: at most `most`; all alike, where chunks of half as many or more can be."""
    most = max(1, min(count, most))
    return next((size for size in range(most, most // 2, -1) if count % size == 0), most)


def _signature(images, labels, count: int):
    import tensorflow as tf

    labels = None if labels is None else tf.TensorSpec((count,), tf.int32)
    return tf.TensorSpec((count, *images.shape[1:]), tf.float32), labels


def _some(images, labels, rows: slice):
    """Some of the images, and their labels."""
    return np.asarray(images[rows]), None if labels is None else labels[rows]


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
