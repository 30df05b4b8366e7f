"""Draws images: latent points from a seed, labels as a user writes them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgen import images as kimages
from kgen import rng
from kgen.errors import UserError
from kgen.sampling.sampler import Sampler


@dataclass(frozen=True)
class Samples:
    """What `generate` returns.

    Attributes:
        images: [N, H, W, C] float32 in [0, 1].
        labels: [N] int32, or None from an unconditional model.
        z: [N, *latent_shape] float32.
        seed: that they were drawn with.
    """

    images: np.ndarray
    labels: np.ndarray | None
    z: np.ndarray
    seed: int

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
    """Draws images.

    Args:
        sampler: from `open_sampler`.
        count: how many.
        labels: one class name or number for all, or one an image; None gives a conditional model all classes in turn.
        seed: in [0, 2^31); image i is a function of (seed, i, its label).
        temperature: scales how far latent points lie from the mean of the prior (of a mixture: of their component); 1
            is the prior itself.

    Raises:
        UserError: labels for an unconditional model, an unknown class, or a value out of range.
    """
    if count < 1:
        raise UserError(f"--count must be at least 1. Received: {count}")
    if not 0 <= seed < rng.SEED_LIMIT:
        raise UserError(f"--seed must lie in [0, 2^31). Received: {seed}")
    if not temperature >= 0:
        raise UserError(f"--temperature must be at least 0. Received: {temperature}")
    numbers = _labels(sampler, count, labels)
    z = sampler.density.draw(seed, count, numbers, temperature=temperature)
    return Samples(np.asarray(sampler.decode(z, numbers), np.float32), numbers, z, seed)


def _labels(sampler: Sampler, count: int, labels) -> np.ndarray | None:
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
        raise UserError(f"labels: one for all, or one an image ({count}). Received: {len(labels)}")
    if sampler.spec.num_classes:
        return np.array([sampler.spec.label(label) for label in labels], np.int32)
    if all(str(label).isdigit() for label in labels):
        return np.array(labels, np.int32)
    raise UserError(
        f"the class names of {sampler.spec.name!r} are not known here; give numbers. Received: {labels[0]!r}"
    )
