"""Source: the one interface that every kind of data set (digits, TFDS, folder, .mat, .npz) offers to the pipeline."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgen import images, random

BLOCK = 256  # images read at once
WHITE = int(images.to_uint8(np.float32(1)))


@dataclass(frozen=True)
class Skipped:
    """An image that is left out: its name within the data set, and why."""

    name: str
    reason: str


class Source:
    """Images as they lie in files: of any size, undecoded until asked for.

    Attributes:
        name: a slug, fit for a directory name.
        counts: images per split as stored, e.g. {"train": 1437, "test": 360}.
        class_names: one per class, in the order of the labels.
        identity: JSON values that change whenever the stored images do (path, size, time of change).
        random_access: `records` reads any order of indices; else only ascending ones.
        default_size: (height, width) that the images are brought to when no size is asked for; None keeps theirs.
        size: (height, width) of every image, or None when they differ. Known after `scan`.
        channels: 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGBA). Known after `scan`.
        notes: sentences for the log.
        skipped: images left out.
    """

    random_access = True
    default_size: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    channels: int = 1

    def __init__(self, name: str, counts: Mapping[str, int], class_names=(), identity: tuple = ()):
        self.name = slug(name)
        self.counts = dict(counts)
        self.class_names = tuple(map(str, class_names))
        self.identity = identity
        self.notes: list[str] = []
        self.skipped: list[Skipped] = []

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def order(self, split: str) -> np.ndarray:
        """Every index of a stored split in the order in which it is kept and evaluated, [N] int64."""
        return np.arange(self.counts[split])

    def choose(self, split: str, candidates: np.ndarray, limit: int, seed: int) -> np.ndarray:
        """At most `limit` of `candidates`, a seeded random choice in the order of `candidates`."""
        if len(candidates) <= limit:
            return candidates
        chosen = random.generator(seed, "limit", split).choice(len(candidates), limit, replace=False)
        return candidates[np.sort(chosen)]

    def scan(self, chosen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Finds `size` and `channels` of the chosen images; returns those whose header can be read."""
        return dict(chosen)

    def check(self, split: str, indices: np.ndarray) -> np.ndarray:
        """The indices whose image can be decoded and labelled; reads every one of them where that is in doubt."""
        return indices

    def describe_sizes(self) -> str:
        """The sizes that the images have, in words, when they differ."""
        return "sizes that differ"

    def name_of(self, split: str, index: int) -> str:
        """What a report calls one image."""
        return f"image {index} of {split}"

    def records(self, split: str, indices: Any):
        """A `tf.data.Dataset` of (index int64, image [h, w, channels] uint8, label int32).

        Args:
            split: a stored split.
            indices: [n] int64, an array or (with `random_access`) a tensor. Images that fail are left out.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how its records are read")

    def blocks(self, split: str, indices: np.ndarray):
        """What `records` yields, many at once: (indices [b], images [b, h, w, channels], labels [b]); needs `size`."""
        return self.records(split, indices).batch(BLOCK)


class ArraySource(Source):
    """Images that are one array a split: the digits, .npz and .mat files.

    Args:
        name: of the data set.
        arrays: split -> [N, H, W, C] uint8; all of one size.
        labels: split -> [N] int32; empty for unlabelled data.
        class_names: one per class.
        identity: see Source.
    """

    def __init__(self, name: str, arrays: Mapping[str, np.ndarray], labels=None, class_names=(), identity=()):
        super().__init__(name, {split: len(a) for split, a in arrays.items()}, class_names, identity)
        self._arrays = dict(arrays)
        self._labels = {
            split: np.asarray(labels[split] if labels else np.zeros(len(a)), np.int32) for split, a in arrays.items()
        }
        self.size = next(iter(arrays.values())).shape[1:3]
        self.channels = next(iter(arrays.values())).shape[3]

    def order(self, split: str) -> np.ndarray:
        """As stored; images that are stored class by class are mixed once, so that the first ones show every class."""
        labels = self._labels[split]
        if labels.size and labels[0] != labels[-1] and np.all(np.diff(labels) >= 0):
            return random.generator(0, "mix", split).permutation(len(labels))
        return super().order(split)

    def records(self, split: str, indices: Any):
        return self._gathered(split, indices, None)

    def blocks(self, split: str, indices: np.ndarray):
        return self._gathered(split, indices, BLOCK)

    def _gathered(self, split: str, indices: Any, block: int | None):
        import tensorflow as tf

        arrays, shape = self._arrays[split], (self.size[0], self.size[1], self.channels)
        with tf.device("CPU:0"):
            labels = tf.constant(self._labels[split])

        def read(index):
            image = tf.numpy_function(lambda i: arrays[i], [index], tf.uint8, stateful=False)
            return index, tf.ensure_shape(image, shape if block is None else (None, *shape)), tf.gather(labels, index)

        numbers = tf.data.Dataset.from_tensor_slices(tf.cast(indices, tf.int64))
        return (numbers if block is None else numbers.batch(block)).map(read)

    def take(self, split: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels at `indices`: what `records` yields, at once."""
        return self._arrays[split][indices], self._labels[split][indices]


def slug(text: str) -> str:
    """`text` as a directory's name: lower-case letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "data"
