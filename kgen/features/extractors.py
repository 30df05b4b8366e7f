"""Extractors: networks (or none) that turn images into the vectors that sets of images are compared by.

Their names are those of `kgen.features.EXTRACTORS`. Here are the interface, the two extractors that need neither
training nor a file, and `open_extractor`.
"""

import importlib
from typing import TYPE_CHECKING

import numpy as np

from kgen import images as kimages
from kgen import random
from kgen.cache import digest
from kgen.errors import UserError
from kgen.features import EXTRACTORS, check_installed
from kgen.gpu import full_float32

if TYPE_CHECKING:
    from kgen.data.reference import Reference

BATCH = 256


class Extractor:
    """Images to feature vectors; a vector does not depend on the other images, but for rounding.

    Attributes:
        name: that in EXTRACTORS.
        hash: 16 hex digits of its weights; values by extractors of different hashes do not compare.
        dimension: of a feature vector.
        num_classes: of its logits; 0 when it is no classifier.
        resizer: how images are resized for it, in words.
        value_range: of the pixels that it takes, in words.
        batch_size: images per call; the last call is padded.
    """

    name: str
    hash: str
    dimension: int
    num_classes = 0
    resizer = "none"
    value_range = "uint8 / 255"
    batch_size = BATCH

    @full_float32()
    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """pixels [N, H, W, C] uint8 -> features [N, dimension] float32, and logits [N, num_classes] float32 or None."""
        from tqdm import tqdm

        count, parts = len(pixels), []
        with tqdm(total=count, desc=f"{self.name} features", unit="img", delay=2, leave=False, disable=None) as bar:
            for start in range(0, count, self.batch_size):
                rows = np.minimum(np.arange(start, start + self.batch_size), count - 1)
                parts.append([None if x is None else np.asarray(x) for x in self.batch(np.asarray(pixels[rows]))])
                bar.update(min(self.batch_size, count - start))
        features, logits = zip(*parts, strict=True)
        return (
            np.concatenate(features)[:count].astype(np.float32),
            None if logits[0] is None else np.concatenate(logits)[:count].astype(np.float32),
        )

    def batch(self, pixels: np.ndarray):
        """(features, logits or None) of batch_size images."""
        raise NotImplementedError(f"{type(self).__name__} must define batch()")


class Pixels(Extractor):
    """Features: the pixels in [0, 1], flattened."""

    name = "pixels"

    def __init__(self, reference: "Reference"):
        self.dimension = reference.spec.num_pixels
        self.hash = digest("pixels", self.dimension)

    def batch(self, pixels):
        return kimages.to_unit(pixels).reshape(len(pixels), -1), None


class RandomNetwork(Extractor):
    """Three strided 3x3 convolutions with He-normal weights from a fixed seed, ReLU, means over a grid of 2 x 2."""

    name = "random"
    FILTERS = (32, 64, 32)

    def __init__(self, reference: "Reference"):
        generator = random.generator(0, "random features")
        self._kernels, channels = [], reference.spec.image_shape[2]
        for filters in self.FILTERS:
            scale = np.sqrt(2 / (9 * channels))
            self._kernels.append((scale * generator.standard_normal((3, 3, channels, filters))).astype(np.float32))
            channels = filters
        self.dimension = 4 * self.FILTERS[-1]
        self.hash = digest("random", *self._kernels)

    def batch(self, pixels):
        import tensorflow as tf

        x = tf.constant(kimages.to_unit(pixels))
        for kernel in self._kernels:
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 2 if min(x.shape[1:3]) > 4 else 1, "SAME"))
        top, left = (x.shape[1] + 1) // 2, (x.shape[2] + 1) // 2
        parts = [half for rows in (x[:, :top], x[:, -top:]) for half in (rows[:, :, :left], rows[:, :, -left:])]
        return tf.concat([tf.reduce_mean(part, (1, 2)) for part in parts], axis=1), None


def open_extractor(name: str, reference: "Reference", weights: str | None = None) -> Extractor:
    """An extractor by its name.

    Args:
        name: of EXTRACTORS.
        reference: the data set; the classifier learns from its training images.
        weights: a file, for those that take one; e.g. see `kgen.features.inception.open_inception`.

    Raises:
        UserError: an unknown name, weights that are not there, or data that the extractor cannot use.
    """
    entry = EXTRACTORS[name]
    if weights is not None and not entry.takes_weights:
        takers = " or ".join(name for name, other in EXTRACTORS.items() if other.takes_weights)
        raise UserError(f"--feature_weights was given, but the extractor is {name!r}; add --features {takers}")
    check_installed(name)
    module, opener = entry.opener.split(":")
    opener = getattr(importlib.import_module(module), opener)
    return opener(weights) if entry.takes_weights else opener(reference)
