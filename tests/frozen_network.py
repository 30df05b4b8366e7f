"""A network of two convolutions in place of one that was trained on ImageNet: what uses its maps is tested sooner.

The interface is that of `kgen.nn.efficientnet`; a test that wants it puts NAME into PRETRAINED.
"""

import keras
import numpy as np

NAME, CHANNELS = "two convolutions", (4, 6)


def map_shapes(size):
    return [
        (*(-(-side // stride) for side in size), channels) for stride, channels in zip((4, 8), CHANNELS, strict=True)
    ]


def build_maps(size):
    first, second = (
        keras.layers.Conv2D(channels, 5, stride, "same", activation="relu", trainable=False,
                            kernel_initializer=keras.initializers.HeNormal(seed=stride))
        for channels, stride in zip(CHANNELS, (4, 2), strict=True)
    )  # fmt: skip
    images = keras.Input((*size, 3))
    maps = first(images)
    return keras.Model(images, [maps, second(maps)])


def load_maps(size):
    return build_maps(size), [(np.full(channels, 0.3), np.full(channels, 0.5)) for channels in CHANNELS]
