"""The interface of a Sampler, and the one over a model in this process."""

from typing import Protocol

import numpy as np

from kgen.sampling.priors import PRIORS, Prior
from kgen.spec import DataSpec

ROWS_A_CALL = 32
"""Every call of a graph decodes so many rows (the last is filled up): kernels sum in an order that depends on the size
of the batch, and an image should not depend on how many others were asked for."""


class Sampler(Protocol):
    """What evaluation, export checks and commands need of a generator.

    Attributes:
        spec: of the data it was trained on.
        latent_shape: of one latent point.
        density: what z is drawn from.
        prior: its name.
        conditional: `decode` needs labels.
        encodes: `encode` and `reconstruct` work.
        parameters: how many numbers the whole model has; None when it cannot be known.
        weights_hash: of those numbers, the same for a run and its exports; None when it cannot be known.
    """

    spec: DataSpec
    latent_shape: tuple[int, ...]
    density: Prior
    prior: str
    conditional: bool
    encodes: bool
    parameters: int | None
    weights_hash: str | None

    def decode(self, z: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """z [N, *latent_shape] float32, labels [N] int32 or None -> images [N, H, W, C] float32 in [0, 1]."""
        ...

    def encode(self, images: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """images [N, H, W, C] float32 in [0, 1] -> mean, log_var of q(z|x), each [N, *latent_shape] float32."""
        ...

    def reconstruct(self, images: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """images [N, H, W, C] float32 in [0, 1] -> what the mean of their posterior decodes to, alike."""
        ...


class ModelSampler:
    """Samples from a GenerativeModel in this process.

    Args:
        model: is kept as an attribute.
        density: what z is drawn from; None takes the prior that the model is trained with.
    """

    def __init__(self, model, density: Prior | None = None):
        import tensorflow as tf

        self.spec, self.latent_shape, self.conditional = model.spec, tuple(model.latent_shape), model.conditional
        self.density = density or PRIORS[model.prior](model.latent_shape)
        self.prior = self.density.name
        self.encodes = model.has_encoder
        self.model = model
        self._generate = tf.function(model.generate, reduce_retracing=True)
        if self.encodes:
            self._encode = tf.function(model.encode, reduce_retracing=True)

    @property
    def parameters(self) -> int:
        return self.model.parameters

    @property
    def weights_hash(self) -> str:
        return self.model.weights_hash()

    def decode(self, z, labels=None):
        return in_chunks(self._generate, z, labels)

    def encode(self, images, labels=None):
        return halves(in_chunks(lambda *x: np.stack(self._encode(*x), 1), images, labels if self.conditional else None))

    def reconstruct(self, images, labels=None):
        labels = labels if self.conditional else None
        return self.decode(self.encode(images, labels)[0], labels)


def halves(stacked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N, 2, ...] -> two of [N, ...]."""
    return stacked[:, 0], stacked[:, 1]


def in_chunks(call, rows: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """`call(rows, labels)` over ROWS_A_CALL rows at a time, joined."""
    count = len(rows)
    places = np.minimum(np.arange(-(-count // ROWS_A_CALL) * ROWS_A_CALL), count - 1).reshape(-1, ROWS_A_CALL)
    parts = [np.asarray(call(rows[i]) if labels is None else call(rows[i], labels[i])) for i in places]
    return np.concatenate(parts)[:count]
