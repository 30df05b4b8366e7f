"""Two networks for images of any size, which differ in how the generator enlarges its maps.

`dcgan`: Radford et al. 2016 (https://arxiv.org/abs/1511.06434), transposed convolutions. `upsampling`: nearest
upsampling and 3x3 convolutions, which leave no checkerboard (Odena et al. 2016, https://distill.pub/2016/deconv-checkerboard).
"""

import math
from collections.abc import Callable
from functools import partial

import keras

from kgen.errors import UserError
from kgen.nn.conv import crop, halvings
from kgen.nn.networks import NETWORKS, NetworkOptions

KERNEL = 4
EXCITED_DOUBLINGS = 3
"""Between the maps that say how much of a channel is shown, and those whose channels they are."""


@NETWORKS.register("dcgan", jit_compile_on_cpu=False, skip_excitation=True)
class DCGAN:
    """4x4 convolutions of stride 2 and no other layers: resizing is learned.

    Decoder: z to maps of 4 to 7 pixels per side (at 64x64: 4x4, at 28x28: 7x7), then one transposed convolution per
    doubling; the last gives the image. Encoder: the mirror. `options.filters` are those of the maps, from the image
    side: (64, 128, 256, 512) at 64x64; where there are fewer halvings the first of them, where more the last again.
    A transposed convolution gets no bias where normalization follows. Labels join the encoder as constant maps (one
    channel per class) and the decoder as a one-hot vector beside z.
    """

    @staticmethod
    def encoder(options: NetworkOptions) -> keras.Model:
        inputs, x = options.image_and_label()
        for i, filters in enumerate(filters_of(options)):
            layer = options.conv(filters, f"encoder_conv_{i}", size=KERNEL, strides=2)
            x = options.activated(x, layer, normalized=i > 0 or options.normalizes_pixels)
        x = options.hidden_layers(keras.layers.Flatten(name="features")(x), "encoder_dense")
        return options.encoder_of(inputs, x)

    @staticmethod
    def decoder(options: NetworkOptions) -> keras.Model:
        return _decoder(options, partial(options.conv_transpose, size=KERNEL, strides=2))


@NETWORKS.register("upsampling", jit_compile_on_cpu=False, skip_excitation=True)
class Upsampling:
    """The encoder of `dcgan`; the decoder repeats every pixel of its maps 2x2 times before each 3x3 convolution.

    The last convolution gives the image. Sizes and `options.filters` are those of `dcgan`.
    """

    encoder = staticmethod(DCGAN.encoder)

    @staticmethod
    def decoder(options: NetworkOptions) -> keras.Model:
        return _decoder(options, options.repeated_conv)


def _decoder(options: NetworkOptions, doubling: Callable[..., keras.layers.Layer]) -> keras.Model:
    """z to the smallest maps by a dense layer, then `doubling(filters, name)` layers; odd sizes are cropped to.

    With `options.skip_excitation` maps are scaled by those EXCITED_DOUBLINGS before them.
    """
    channels, sizes, filters = options.output_shape[2], halvings(*options.output_shape[:2]), filters_of(options)
    if options.skip_excitation and len(filters) <= EXCITED_DOUBLINGS:
        raise UserError(
            "model_args.skip_excitation is for images whose sides are halved more than "
            f"{EXCITED_DOUBLINGS} times, from about 57 pixels on. Received: {options.output_shape[:2]}"
        )
    inputs, x = options.latent_and_label()
    x = options.hidden_layers(x, "decoder_dense", mirrored=True)
    small = (*sizes[-1], filters[-1])
    x = options.activated(x, options.dense(math.prod(small), "decoder_features"), maps=small)
    smaller = []
    for i in reversed(range(1, len(filters))):
        smaller.append(x)
        x = crop(options.activated(x, doubling(filters[i - 1], f"decoder_conv_{i}")), sizes[i], f"decoder_crop_{i}")
        if options.skip_excitation and len(smaller) >= EXCITED_DOUBLINGS:
            x = options.excited(x, smaller[-EXCITED_DOUBLINGS], f"decoder_excited_{i}")
    logits = doubling(channels, "logits", dtype=keras.config.floatx())(x)
    logits = crop(logits, sizes[0], "decoder_crop_0", dtype=keras.config.floatx())
    return keras.Model(options.given(inputs), logits, name="decoder")


def filters_of(options: NetworkOptions) -> list[int]:
    """Of the maps after each halving of the image."""
    count = max(len(halvings(*options.spec.image_shape[:2])) - 1, 1)
    return [options.filters[min(i, len(options.filters) - 1)] for i in range(count)]
