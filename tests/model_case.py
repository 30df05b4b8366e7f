"""A model under check, and what its checks share: to train it a little, to compare its states, two replicas."""

import contextlib
import functools
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kgen import random
from kgen.models import build_model
from kgen.spec import DataSpec

SPEC = DataSpec("toy", (12, 10, 1), num_classes=3)
BATCH = 4


@dataclass(frozen=True)
class Case:
    """A model to check.

    Attributes:
        name: registered.
        spec: of made-up images; keep them small.
        model_args: of the model; keep it small.
    """

    name: str
    spec: DataSpec = SPEC
    model_args: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int = 0):
        return build_model(self.name, self.spec, seed=seed, **self.model_args)

    def compiled(self, rate: float = 1e-3, *, optimizer=keras.optimizers.Adam, seed: int = 0, **kwargs):
        """A new model with one such optimizer a phase."""
        model = self.build(seed)
        model.compile({phase.name: optimizer(rate) for phase in model.phases()}, **kwargs)
        return model

    def examples(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Random images in [0, 1] and labels."""
        generator = random.generator(0, "examples")
        images = generator.uniform(size=(count, *self.spec.image_shape)).astype(np.float32)
        return images, (np.arange(count) % max(self.spec.num_classes, 1)).astype(np.int32)

    def batches(self, count: int, size: int = BATCH) -> tf.data.Dataset:
        """So many full batches."""
        return tf.data.Dataset.from_tensor_slices(self.examples(count * size)).batch(size)

    def latents(self, model, count: int):
        """(z, labels): the arguments of `generate`; labels only for a conditional model."""
        z = random.latents(1, count, model.latent_shape)
        labels = (np.arange(count) % max(self.spec.num_classes, 1)).astype(np.int32)
        return (z, labels) if model.conditional else (z,)


def fit(model, batches, epochs: int = 1, **kwargs) -> dict[str, list[float]]:
    """Keras' fit, silent; returns the history."""
    return model.fit(batches, epochs=epochs, verbose=0, shuffle=False, **kwargs).history


def train(model, images, labels, *, size: int = BATCH, after_each=lambda: None):
    """A step per batch, one by one: what `fit` must equal (see the fused steps).

    The first is eager; so are all of a few, where the graph of a step would take longer than they do.
    """
    step = model.train_step
    for i in range(0, len(images), size):
        if i == size and len(images) > 4 * size:
            step = tf.function(step, autograph=False)
        step((tf.constant(images[i : i + size]), tf.constant(labels[i : i + size])))
        after_each()


_TRAINED: dict[str, Any] = {}
"""Of the last case that asked."""


def trained(case: Case):
    """A compiled model after two steps; for all checks of a case that leave it as it is."""
    if repr(case) not in _TRAINED:
        model = case.compiled()
        train(model, *case.examples(2 * BATCH))
        _TRAINED.clear()
        _TRAINED[repr(case)] = model
    return _TRAINED[repr(case)]


def values(variables) -> list[np.ndarray]:
    return [v.numpy() for v in variables]


def state_of(model) -> dict[str, np.ndarray]:
    """Everything that a resumed training needs, by name."""
    found = {f"{i} {w.name}": w.numpy() for i, w in enumerate(model.weights)}
    for phase, optimizer in model.phase_optimizers.items():
        found |= {f"{phase} optimizer {i} {v.name}": v.numpy() for i, v in enumerate(optimizer.variables)}
    return found


def assert_same_state(one: dict, other: dict, message: str):
    """Exactly equal, not a bit of difference."""
    assert one.keys() == other.keys(), f"{message}: other variables: {one.keys() ^ other.keys()}"
    drifted = {
        k: np.abs(np.subtract(one[k], other[k], dtype=np.float64)).max() for k in one if (one[k] != other[k]).any()
    }
    assert not drifted, f"{message}; largest differences: {drifted}"


@contextlib.contextmanager
def float64():
    """Models that are built here compute in float64."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


@functools.cache
def two_replicas():
    """A strategy over two halves of the CPU; one per process: a second would number its collectives like it."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
