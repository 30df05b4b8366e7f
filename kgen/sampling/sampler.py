"""`Sampler`, the interface of whatever generates images; `ModelSampler`, over a model in this process; and `generate`.

The same seed gives the same image from all samplers: latent points are sampled here from a prior, never in a graph, and
the pixels agree to the rounding of what decodes them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kgen import images as kimages
from kgen import random
from kgen.errors import UserError
from kgen.gpu import full_float32
from kgen.provenance import drawn_by
from kgen.sampling.priors import PRIORS, Prior
from kgen.spec import LARGEST_NUMBER, WHOLE_NUMBER, DataSpec
from kgen.tables import counted

ROWS_PER_CALL = 32
"""Rows that each call of a graph decodes (the last is filled up): kernels sum in an order that depends on the batch
size, and an image should not depend on how many others were asked for."""
VALUES_PER_CALL = 2**25
"""Largest number of values of the images that a call decodes."""
MAX_CALLS = 8
"""Calls of ROWS_PER_CALL rows that one graph makes: TensorFlow's threads wake once for all of them."""


class Sampler(Protocol):
    """A generator as evaluation, exploration, export checks and commands use it.

    Attributes:
        spec: of the data it was trained on.
        latent_shape: of one latent point.
        density: the prior that z is sampled from.
        prior: its name.
        conditional: whether `decode` needs labels.
        encodes: whether there are `encode` and `reconstruct`.
        parameters: number of parameters of the whole model; None if unknown.
        weights_hash: hash of the parameters, the same for a run and its exports; None if unknown.
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
        """z [N, *latent_shape] float32, labels [N] int32 or None -> images [N, H, W, C] float32 in [0, 1].

        Labels are positions of classes, 0 to K - 1, not the numbers of `spec.class_numbers`: `spec.label` translates a
        name or a number. Where `spec` has no classes (a server), they are the numbers.
        """
        ...

    def encode(self, images: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """images [N, H, W, C] float32 in [0, 1] -> mean, log_var of q(z|x), each [N, *latent_shape] float32."""
        ...

    def reconstruct(self, images: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """images [N, H, W, C] float32 in [0, 1] -> images decoded from the means of q(z|x), of the same shape."""
        ...


class ReadableRepr:
    """The `repr` of a sampler: of which data, latent shape, prior and parameters it is."""

    def __repr__(self) -> str:
        parameters = "" if self.parameters is None else f", {self.parameters:,} parameters"
        latent = "x".join(map(str, self.latent_shape))
        return f"<{type(self).__name__}: {self.spec}; latent {latent}, prior {self.prior}{parameters}>"


class ModelSampler(ReadableRepr):
    """Samples from a GenerativeModel in this process.

    Args:
        model: a GenerativeModel.
        density: the prior that z is sampled from; None takes the one that the model is trained with.
    """

    def __init__(self, model, density: Prior | None = None):
        import tensorflow as tf

        self.spec, self.latent_shape, self.conditional = model.spec, tuple(model.latent_shape), model.conditional
        self.density = density or PRIORS[model.prior](model.latent_shape)
        self.prior = self.density.name
        self.encodes = model.has_encoder
        self.model = model
        self._generate = self._graph(model.generate)
        if self.encodes:
            self._encode = self._graph(lambda *rows: tf.stack(model.encode(*rows), 1))

    @property
    def parameters(self) -> int:
        return self.model.parameters

    @property
    def weights_hash(self) -> str:
        return self.model.weights_hash()

    def _graph(self, call: Callable):
        """A graph that makes `call` of up to MAX_CALLS times the rows that fit into one."""
        import tensorflow as tf

        call, size = tf.function(call, autograph=False), rows_per_call(self.spec)

        @tf.function(autograph=False)
        def calls(*rows):
            starts = range(0, rows[0].shape[0], size)
            return tf.concat([call(*(x[start : start + size] for x in rows)) for start in starts], 0)

        return calls

    @full_float32()
    def decode(self, z, labels=None):
        return in_chunks(self._generate, z, labels, self.spec, MAX_CALLS)

    @full_float32()
    def encode(self, images, labels=None):
        labels = labels if self.conditional else None
        return halves(in_chunks(self._encode, images, labels, self.spec, MAX_CALLS))

    def reconstruct(self, images, labels=None):
        labels = labels if self.conditional else None
        return self.decode(self.encode(images, labels)[0], labels)


def halves(stacked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N, 2, ...] -> two arrays [N, ...]."""
    return stacked[:, 0], stacked[:, 1]


def rows_per_call(spec: DataSpec) -> int:
    """ROWS_PER_CALL; of large images fewer, because maps of more than 2^31 values crash TensorFlow's convolutions."""
    return max(1, min(ROWS_PER_CALL, VALUES_PER_CALL // spec.num_pixels))


def in_chunks(call: Callable, rows: np.ndarray, labels: np.ndarray | None, spec: DataSpec, most: int = 1) -> np.ndarray:
    """`call(rows, labels)`, or `call(rows)` without labels, over some rows at a time, concatenated.

    Args:
        call: gives an array with as many rows.
        rows: [N, ...].
        labels: [N], or None.
        spec: of the images: `rows_per_call` rows are taken at a time; the last are filled up.
        most: times as many rows are given to `call` where there are so many, in powers of two.
    """
    count, size, parts, start = len(rows), rows_per_call(spec), [], 0
    most = max(1, min(most, VALUES_PER_CALL // (size * spec.num_pixels)))
    while start < count:
        calls = 2 ** min(most.bit_length() - 1, (-(-(count - start) // size)).bit_length() - 1)
        indices = np.minimum(np.arange(start, start + calls * size), count - 1)
        parts.append(np.asarray(call(rows[indices]) if labels is None else call(rows[indices], labels[indices])))
        start += calls * size
    return np.concatenate(parts)[:count]


# Generation -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Samples:
    """Generated images, and what they were generated from.

    Attributes:
        images: [N, H, W, C] float32 in [0, 1].
        labels: [N] int32, positions of classes as `Sampler.decode` takes them, or None from an unconditional model.
        z: [N, *latent_shape] float32.
        seed: the argument of `generate`.
    """

    images: np.ndarray
    labels: np.ndarray | None
    z: np.ndarray
    seed: int

    def __repr__(self) -> str:
        count, shape = len(self.images), "x".join(map(str, self.images.shape[1:]))
        labels = "" if self.labels is None else f", {counted(len(set(self.labels.tolist())), 'class')}"
        return f"<Samples: {counted(count, 'image')} of {shape}{labels}, seed {self.seed}>"

    def _repr_png_(self) -> bytes:
        """The picture in Jupyter."""
        return kimages.preview_png(self.images, drawn_by("generate", seed=self.seed))

    @property
    def pixels(self) -> np.ndarray:
        """[N, H, W, C] uint8."""
        return kimages.to_uint8(self.images)


def generate(
    sampler: Sampler,
    count: int,
    *,
    labels: int | str | Sequence[int | str] | None = None,
    seed: int = 0,
    temperature: float = 1.0,
) -> Samples:
    """Generates images from a seed.

    Args:
        sampler: see `kgen.sampling.opening.open_sampler`.
        count: the number of images, at least 1.
        labels: one class name or number (of `spec.class_numbers`) for all, or one per image; None gives a conditional
            model all classes in turn.
        seed: in [0, 2^31); image i is a function of (seed, i, its label).
        temperature: scales the deviation of latent points from the mean of the prior (of a mixture: of their
            component), at least 0; 1 is the prior itself.

    Raises:
        UserError: labels for an unconditional model, an unknown class, or a value out of range.
    """
    numbers = check_request(sampler, count, labels=labels, seed=seed, temperature=temperature)
    z = sampler.density.sample(seed, count, numbers, temperature=temperature)
    return Samples(np.asarray(sampler.decode(z, numbers), np.float32), numbers, z, seed)


class Described(Protocol):
    """What has to be known of a generator to check what is asked of it: a sampler knows it, and so does its file."""

    spec: DataSpec
    conditional: bool


def check_request(
    generator: Described, count: int, *, labels=None, seed: int = 0, temperature: float = 1.0
) -> np.ndarray | None:
    """The labels of what `generate` is asked for, [count] int32, or None of an unconditional model.

    Args, Raises: as of `generate`; nothing is opened for it.
    """
    if count < 1:
        raise UserError(f"--count must be at least 1. Received: {count}")
    if not 0 <= seed < random.SEED_LIMIT:
        raise UserError(f"--seed must lie in [0, 2^31). Received: {seed}")
    if not temperature >= 0:
        raise UserError(f"--temperature must be at least 0. Received: {temperature}")
    return _labels(generator, count, labels)


def _labels(sampler: Described, count: int, labels) -> np.ndarray | None:
    """Labels as a user writes them -> [count] int32."""
    if not sampler.conditional:
        if labels is not None:
            raise UserError(f"--label {labels!r} was given, but the model is unconditional: it takes no labels")
        return None
    if labels is None and not sampler.spec.num_classes:
        raise UserError(f"the classes of {sampler.spec.name!r} are not known here; give the number of one, --label 0")
    if labels is None:
        return np.arange(count, dtype=np.int32) % sampler.spec.num_classes
    if isinstance(labels, (str, int, np.integer)):
        labels = [labels] * count
    if len(labels) != count:
        raise UserError(f"--label takes one class for all images, or one per image ({count}). Received: {len(labels)}")
    if sampler.spec.num_classes:
        return np.array([sampler.spec.label(label) for label in labels], np.int32)
    if all(WHOLE_NUMBER.fullmatch(str(label)) and abs(int(label)) <= LARGEST_NUMBER for label in labels):
        return np.array(labels, np.int32)
    raise UserError(
        f"the class names of {sampler.spec.name!r} are not known here; give numbers. Received: {labels[0]!r}"
    )
