"""Residual networks without normalization, for images of any size, in the manner of R3GAN (Huang et al. 2024,
https://arxiv.org/abs/2501.05441), with plain 3x3 convolutions: those in groups are slow on CPUs.
"""

import math

import keras

from kgen.nn.conv import crop, halvings
from kgen.nn.dcgan import KERNEL, filters_of
from kgen.nn.layers import BatchNormalization
from kgen.nn.networks import NETWORKS, NetworkOptions


@NETWORKS.register("residual", jit_compile_on_cpu=False, model_args={"batch_norm": False, "activation": "leaky_relu"})
class Residual:
    """A block for maps of each size: x + conv(act(conv(act(x)))), whose last convolution begins at 0 (Zhang et al.
    2019, Fixup, https://arxiv.org/abs/1901.09321), so that the network begins as its resampling layers alone.

    Encoder: a 4x4 convolution of stride 2 halves the maps before each block. Decoder: nearest upsampling and a 3x3
    convolution doubles them after each. Sizes and `options.filters` are those of `dcgan`.
    """

    @staticmethod
    def encoder(options: NetworkOptions) -> keras.Model:
        inputs, x = options.image_and_label()
        for i, filters in enumerate(filters_of(options)):
            x = options.conv(filters, f"encoder_conv_{i}", size=KERNEL, strides=2)(x)
            x = _block(options, x, f"encoder_block_{i}")
        x = keras.layers.Flatten(name="features")(_activated(options, x, "encoder_last"))
        return options.encoder_of(inputs, options.hidden_layers(x, "encoder_dense"))

    @staticmethod
    def decoder(options: NetworkOptions) -> keras.Model:
        channels, sizes, filters = options.output_shape[2], halvings(*options.output_shape[:2]), filters_of(options)
        inputs, x = options.latent_and_label()
        x = options.hidden_layers(x, "decoder_dense", mirrored=True)
        small = (*sizes[-1], filters[-1])
        x = keras.layers.Reshape(small, name="decoder_features_maps")(
            options.dense(math.prod(small), "decoder_features")(x)
        )
        for i in reversed(range(len(filters))):
            x = _block(options, x, f"decoder_block_{i}")
            if i:
                x = options.repeated_conv(filters[i - 1], f"decoder_conv_{i}")(x)
                x = crop(x, sizes[i], f"decoder_crop_{i}")
        x = _activated(options, x, "decoder_last")
        logits = options.repeated_conv(channels, "logits", dtype=keras.config.floatx())(x)
        logits = crop(logits, sizes[0], "decoder_crop_0", dtype=keras.config.floatx())
        return keras.Model(options.given(inputs), logits, name="decoder")


def _block(options: NetworkOptions, x, name: str):
    """x and what two convolutions add to it."""
    filters, added = x.shape[-1], x
    for i, conv in enumerate((options.conv, options.zero_conv)):
        added = conv(filters, f"{name}_conv_{i}")(_activated(options, added, f"{name}_{i}"))
    return keras.layers.Add(name=name)([x, added])


def _activated(options: NetworkOptions, x, name: str):
    """(Batch normalization, and) the activation."""
    if options.batch_norm:
        x = BatchNormalization(name=f"{name}_norm")(x)
    return options.nonlinear(x, name)
