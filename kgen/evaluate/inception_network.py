"""The Inception network that the Fréchet Inception distance was defined with, as a Keras model.

It is the frozen graph "inception-2015-12-05" of Szegedy et al. 2015 (https://arxiv.org/abs/1512.00567), with 1008
classes. `keras.applications.InceptionV3` and torchvision's network are later ones: they have other weights, 1000
classes, and another pooling in the last block. The layers carry the names of the state dictionaries of pytorch-fid and
torch-fidelity (https://github.com/mseitzer/pytorch-fid, https://github.com/toshas/torch-fidelity). Average pools do not
count the padding, as TensorFlow's never do.
"""

from collections.abc import Mapping

import keras
import numpy as np
from keras import layers

from kgen.errors import UserError

SIZE, DIMENSION, NUM_CLASSES = 299, 2048, 1008
EPSILON = 1e-3
"""Added to the variances of the batch normalizations."""
SHOWN = 3
"""So many wrong keys a message names."""


def build_network() -> keras.Model:
    """images [B, 299, 299, 3] in [-1, 1) -> (pool_3 [B, 2048], logits [B, 1008]); its weights are 0 before `load`."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = _conv(inputs, "Conv2d_1a_3x3", 32, 3, strides=2, padding="valid")
    x = _conv(x, "Conv2d_2a_3x3", 32, 3, padding="valid")
    x = _conv(x, "Conv2d_2b_3x3", 64, 3)
    x = layers.MaxPooling2D(3, 2)(x)
    x = _conv(x, "Conv2d_3b_1x1", 80, 1)
    x = _conv(x, "Conv2d_4a_3x3", 192, 3, padding="valid")
    x = layers.MaxPooling2D(3, 2)(x)
    x = _block_a(x, "Mixed_5b", 32)
    x = _block_a(x, "Mixed_5c", 64)
    x = _block_a(x, "Mixed_5d", 64)
    x = _block_b(x, "Mixed_6a")
    x = _block_c(x, "Mixed_6b", 128)
    x = _block_c(x, "Mixed_6c", 160)
    x = _block_c(x, "Mixed_6d", 160)
    x = _block_c(x, "Mixed_6e", 192)
    x = _block_d(x, "Mixed_7a")
    x = _block_e(x, "Mixed_7b", layers.AveragePooling2D)
    x = _block_e(x, "Mixed_7c", layers.MaxPooling2D)  # the 2015-12-05 graph has a maximum here, unlike the paper
    pool = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, [pool, layers.Dense(NUM_CLASSES, kernel_initializer="zeros", name="fc")(pool)])


def state_shapes(network: keras.Model) -> dict[str, tuple[int, ...]]:
    """Every key that a state dictionary must have, with its shape there."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in _weighted(network):
        *window, channels, filters = layer.kernel.shape
        if window:
            shapes[f"{layer.name}.conv.weight"] = (filters, channels, *window)
            shapes |= {
                f"{layer.name}.bn.{part}": (filters,) for part in ("weight", "bias", "running_mean", "running_var")
            }
        else:
            shapes |= {f"{layer.name}.weight": (filters, channels), f"{layer.name}.bias": (filters,)}
    return shapes


def load(network: keras.Model, state: Mapping[str, np.ndarray], source: str) -> None:
    """Sets the weights; each batch normalization becomes part of the convolution before it.

    Args:
        network: from `build_network`.
        state: a state dictionary; further keys do no harm.
        source: where it is from, for the message.

    Raises:
        UserError: keys are missing or have other shapes; the message names them.
    """
    shapes = state_shapes(network)
    missing = [key for key in shapes if key not in state]
    other = [
        f"{key} {state[key].shape}, not {shapes[key]}"
        for key in shapes
        if key in state
        if state[key].shape != shapes[key]
    ]
    wrong = [
        f"{len(keys)} {what}: {_some(keys)}" for what, keys in (("missing", missing), ("misshapen", other)) if keys
    ]
    if wrong:
        raise UserError(
            f"{source} is not the Inception network of 2015-12-05 ({'; '.join(wrong)}); "
            "give pytorch-fid's or torch-fidelity's file with --inception_weights"
        )
    for layer in _weighted(network):
        if isinstance(layer, layers.Dense):
            layer.set_weights([state[f"{layer.name}.weight"].T, state[f"{layer.name}.bias"]])
            continue
        gain, bias, mean, variance = (
            state[f"{layer.name}.bn.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + EPSILON)
        kernel = state[f"{layer.name}.conv.weight"].transpose(2, 3, 1, 0) * scale
        layer.set_weights([kernel, bias - mean * scale])


def _weighted(network: keras.Model) -> list:
    return [layer for layer in network.layers if layer.weights]


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")


def _conv(x, name: str, filters: int, window, *, strides: int = 1, padding: str = "same"):
    return layers.Conv2D(
        filters, window, strides, padding, activation="relu", kernel_initializer="zeros", name=name
    )(x)  # fmt: skip


def _chain(x, block: str, *steps):
    """Convolutions one after the other; a step is (name, filters, window)."""
    for name, filters, window in steps:
        x = _conv(x, f"{block}.{name}", filters, window)
    return x


def _halving(x, name: str, filters: int):
    return _conv(x, name, filters, 3, strides=2, padding="valid")


def _pooled(x, block: str, filters: int, pooling=layers.AveragePooling2D):
    return _conv(pooling(3, 1, "same")(x), f"{block}.branch_pool", filters, 1)


def _block_a(x, block: str, pool_filters: int):
    one = _chain(x, block, ("branch1x1", 64, 1))
    five = _chain(x, block, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5))
    three = _chain(x, block, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3))
    return layers.Concatenate()([one, five, three, _pooled(x, block, pool_filters)])


def _block_b(x, block: str):
    single = _halving(x, f"{block}.branch3x3", 384)
    double = _chain(x, block, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3))
    double = _halving(double, f"{block}.branch3x3dbl_3", 96)
    return layers.Concatenate()([single, double, layers.MaxPooling2D(3, 2)(x)])


def _block_c(x, block: str, filters: int):
    row, column = (1, 7), (7, 1)
    one = _chain(x, block, ("branch1x1", 192, 1))
    seven = _chain(x, block, ("branch7x7_1", filters, 1), ("branch7x7_2", filters, row), ("branch7x7_3", 192, column))
    double = _chain(
        x,
        block,
        ("branch7x7dbl_1", filters, 1),
        ("branch7x7dbl_2", filters, column),
        ("branch7x7dbl_3", filters, row),
        ("branch7x7dbl_4", filters, column),
        ("branch7x7dbl_5", 192, row),
    )
    return layers.Concatenate()([one, seven, double, _pooled(x, block, 192)])


def _block_d(x, block: str):
    three = _halving(_chain(x, block, ("branch3x3_1", 192, 1)), f"{block}.branch3x3_2", 320)
    seven = _chain(x, block, ("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7)), ("branch7x7x3_3", 192, (7, 1)))
    seven = _halving(seven, f"{block}.branch7x7x3_4", 192)
    return layers.Concatenate()([three, seven, layers.MaxPooling2D(3, 2)(x)])


def _block_e(x, block: str, pooling):
    one = _chain(x, block, ("branch1x1", 320, 1))
    single = _fork(_chain(x, block, ("branch3x3_1", 384, 1)), f"{block}.branch3x3_2")
    double = _chain(x, block, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
    double = _fork(double, f"{block}.branch3x3dbl_3")
    return layers.Concatenate()([one, *single, *double, _pooled(x, block, 192, pooling)])


def _fork(x, name: str) -> list:
    return [_conv(x, f"{name}a", 384, (1, 3)), _conv(x, f"{name}b", 384, (3, 1))]
