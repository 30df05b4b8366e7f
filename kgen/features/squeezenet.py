"""SqueezeNet v1.1, trained on ImageNet: 512 features per colour image, from a weights file that the user gives.

Iandola et al. 2016 (https://arxiv.org/abs/1602.07360), as DeepScale released v1.1 and keras-squeezenet converted it
(https://github.com/DeepScale/SqueezeNet, https://github.com/rcmalli/keras-squeezenet, MIT). Images keep their size. A
Fréchet distance of these features is none of Inception: it compares with no published FID.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers

from kgen.cache import digest
from kgen.errors import UserError
from kgen.features.extractors import Extractor

CODE_VERSION = 1
"""Incremented with anything that changes the features of the same weights."""
DIMENSION, LEAST_SIDE = 512, 31
MEAN_BGR = (103.939, 116.779, 123.68)
"""Of ImageNet, as networks from Caffe subtract it."""
FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
"""Number of a fire module -> filters of its squeeze and of each of its two expansions."""
POOLED = (3, 5)
"""Fire modules that a pooling follows."""


class SqueezeNetExtractor(Extractor):
    """The mean over all places of the last fire module.

    Args:
        network: images [B, H, W, 3] float32, BGR without the mean -> [B, 512].
        weights_hash: of its weights.
    """

    name = "squeezenet"
    dimension = DIMENSION
    value_range = "uint8 BGR - mean of ImageNet"
    batch_size = 64

    def __init__(self, network: Callable, weights_hash: str):
        self._network = network
        self.hash = digest("squeezenet", CODE_VERSION, weights_hash)

    def batch(self, pixels: np.ndarray):
        if min(pixels.shape[1:3]) < LEAST_SIDE:
            raise UserError(
                f"--features squeezenet takes images from {LEAST_SIDE} pixels per side. Received: "
                f"{pixels.shape[1]}x{pixels.shape[2]}; use --features random"
            )
        colour = np.repeat(pixels, 3 // pixels.shape[3], axis=3).astype(np.float32)
        return self._network(colour[..., ::-1] - np.float32(MEAN_BGR)), None


def open_squeezenet(weights: str | None = None) -> SqueezeNetExtractor:
    """The extractor with the weights of an HDF5 file of Keras, without its top (squeezenet_v1.1_notop.h5).

    Raises:
        UserError: no file was named, or it holds another network.
    """
    import tensorflow as tf

    choose = "give --feature_weights squeezenet_v1.1_notop.h5 with --features squeezenet"
    if weights is None:
        raise UserError(f"--features squeezenet needs its weights: {choose}")
    path = Path(weights).expanduser()
    if not path.is_file():
        raise UserError(f"there are no weights at {weights!r}; {choose}")
    network = build_network()
    try:
        with h5py.File(path) as file:
            for layer in network.layers:
                if layer.weights:
                    group = file[layer.name.replace(".", "/")]
                    layer.set_weights([np.asarray(group[name]) for name in group.attrs["weight_names"]])
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} does not hold the weights of SqueezeNet v1.1: {error}; {choose}") from error
    weights_hash = hashlib.sha256(path.read_bytes()).hexdigest()
    return SqueezeNetExtractor(tf.function(lambda x: network(x, training=False), autograph=False), weights_hash)


def build_network() -> keras.Model:
    """images [B, H, W, 3] -> [B, 512]; weights are 0 before they are set.

    The layers have the names of the file, with dots for slashes.
    """
    inputs = keras.Input((None, None, 3))
    x = _pooled(_conv(inputs, "conv1", 64, 3, strides=2, padding="valid"))
    for number, (squeeze, expand) in FIRES.items():
        x = _conv(x, f"fire{number}.squeeze1x1", squeeze, 1)
        x = layers.Concatenate()([_conv(x, f"fire{number}.expand{n}x{n}", expand, n) for n in (1, 3)])
        x = _pooled(x) if number in POOLED else x
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def _conv(x, name: str, filters: int, window: int, **kwargs):
    kwargs = {"padding": "same", "activation": "relu", "kernel_initializer": "zeros"} | kwargs
    return layers.Conv2D(filters, window, name=name, **kwargs)(x)


def _pooled(x):
    return layers.MaxPooling2D(3, 2)(x)
