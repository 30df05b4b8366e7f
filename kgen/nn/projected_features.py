"""Projected features, and the heads that tell real from generated images by them: Sauer et al. 2021
(https://arxiv.org/abs/2111.01007).

A network that was trained on ImageNet, and stays as it is, gives feature maps of four resolutions, with strides from 4
to 32. The channels of each are standardized and mixed by a fixed random rotation, so that a head cannot look at a few
of them alone; one small network with spectral normalization for each resolution is then trained as a discriminator.

Images keep their size (the paper enlarges them to 224 pixels and more): of 64x64 the maps have 16x16 to 2x2 places. The
paper's second mixing, across resolutions, is left out.
"""

import importlib

import keras
import numpy as np
import tensorflow as tf

from kgen import random
from kgen.nn.spectral import SpectralConv2D
from kgen.pretrained import PRETRAINED, check_package

WIDTH = 64
"""Channels of the hidden layers of a head."""
LEAST_SIDE = 4
"""Of the maps of a head's outputs, in places, where the features have as many."""


class ProjectedFeatures:
    """Feature maps of images, standardized and mixed; nothing in it is trained, and no checkpoint holds it.

    (It is no Keras layer: what a model's layers hold is saved with the model.)

    Args:
        name: of PRETRAINED.
        image_shape: (height, width, channels); one channel is repeated.
        seed: of the rotations.

    Attributes:
        shapes: (height, width, channels) of each map.
    """

    def __init__(self, name: str, image_shape: tuple[int, int, int], seed: int):
        self.name, self.image_shape, self.seed = name, tuple(image_shape), seed
        self._network = importlib.import_module(PRETRAINED[name].network)
        self.shapes = self._network.map_shapes(self.image_shape[:2])
        self._maps, self._projections = None, []

    def load(self):
        """Reads the weights, once. A model that is only sampled from does without.

        Raises:
            UserError: the package that brings them is not installed.
        """
        if self._maps is not None:
            return
        check_package(PRETRAINED[self.name].package, f"model_args.feature_discriminator={self.name}")
        maps, statistics = self._network.load_maps(self.image_shape[:2])
        self._projections = [projection(*of, self.seed, level) for level, of in enumerate(statistics)]
        self._maps = maps

    def build_network(self) -> keras.Model:
        """The frozen network without its weights: to count what it takes."""
        return self._network.build_maps(self.image_shape[:2])

    def __call__(self, images) -> list:
        """images [B, *image_shape] in [0, 1] -> the maps, each [B, *shape]."""
        if self._maps is None:
            with tf.init_scope():
                self.load()
        # Not `tf.repeat`: XLA does not compile its gradient inside a condition.
        colour = images if self.image_shape[2] == 3 else tf.concat([images] * 3, axis=3)
        maps, dtype = self._maps(colour), keras.config.floatx()
        return [
            tf.tensordot(tf.cast(x, dtype), tf.constant(kernel, dtype), 1) + tf.constant(bias, dtype)
            for x, (kernel, bias) in zip(maps, self._projections, strict=True)
        ]


def projection(mean: np.ndarray, stddev: np.ndarray, seed: int, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Standardization of the channels, and a random rotation of them: (x - mean) / stddev @ Q = x @ kernel + bias.

    The 1x1 convolution of Sauer et al.; a rotation keeps all information, and its outputs have a variance of 1, too.

    Args:
        mean, stddev: [C].
        seed: of the model.
        level: number of the map; each has a rotation of its own.

    Returns:
        kernel [C, C], bias [C], float64.
    """
    normals = random.generator(seed, "projected features", level).standard_normal((len(mean), len(mean)))
    rotation, _ = np.linalg.qr(normals)
    return rotation / stddev[:, None], -(mean / stddev) @ rotation


def build_heads(shapes: list[tuple[int, int, int]], seed: int) -> keras.Model:
    """A discriminator for each feature map.

    Args:
        shapes: (height, width, channels) of the maps.
        seed: of the initial weights.

    Returns:
        maps, each [B, *shape] -> logits, each [B, places] float32: convolutions of stride 2 down to 4x4 places, or one
        of stride 1 where there are no more. The last has no bias: its gradient is 0 while every logit is in [-1, 1].
    """
    inputs = [keras.Input(shape, name=f"features_{level}") for level, shape in enumerate(shapes)]
    outputs = [_head(x, f"head_{level}", seed) for level, x in enumerate(inputs)]
    return keras.Model(inputs, outputs, name="feature_heads")


def _head(x, name: str, seed: int):
    def conv(filters: int, window: int, stride: int, name: str, **kwargs):
        start = keras.initializers.GlorotUniform(seed=random.seed_of(seed, "init", name))
        return SpectralConv2D(filters, window, stride, "same", kernel_initializer=start, name=name, **kwargs)

    def window(x) -> int:
        return 3 if min(x.shape[1:3]) > 1 else 1

    layer = 0
    while not layer or min(x.shape[1:3]) > LEAST_SIDE:
        size, stride = (4, 2) if min(x.shape[1:3]) > LEAST_SIDE else (window(x), 1)
        x = conv(WIDTH, size, stride, f"{name}_conv_{layer}")(x)
        x = keras.layers.Activation("leaky_relu", name=f"{name}_conv_{layer}_leaky_relu")(x)
        layer += 1
    x = conv(1, window(x), 1, f"{name}_logit", use_bias=False, dtype=keras.config.floatx())(x)
    return keras.layers.Reshape((-1,), name=f"{name}_logits", dtype=keras.config.floatx())(x)
