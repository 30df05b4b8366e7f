"""Strided convolutional encoder and its mirror, for any image of 8 pixels or more a side.

Each convolution halves the image until its shorter side is at most 7 pixels (28 -> 14 -> 7; 64 -> 32 -> 16 -> 8 -> 4);
the decoder doubles, and crops the row or column that an odd size had too few.
"""

import keras

from kgen.nn.networks import NETWORKS, NetworkOptions

SMALLEST_SIDE = 7


def halvings(height: int, width: int) -> list[tuple[int, int]]:
    """The sizes that an image passes through, itself first: (28, 28), (14, 14), (7, 7)."""
    sizes = [(height, width)]
    while min(sizes[-1]) > SMALLEST_SIDE:
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return sizes


@NETWORKS.register("conv", jit_compile_on_cpu=False)
class Conv:
    """3x3 convolutions of stride 2, then the dense layers of `options.hidden`; at 64x64x3, the colour experiments'.

    One convolution a halving; `options.filters` are theirs, the last is repeated.
    Labels join the encoder as constant maps (one channel a class) and the decoder as a one-hot vector beside z.
    """

    @staticmethod
    def encoder(options: NetworkOptions) -> keras.Model:
        height, width, _ = options.spec.image_shape
        inputs, x = options.image_and_label()
        for i in range(len(halvings(height, width)) - 1):
            x = options.activated(x, options.conv(_filters(options, i), f"encoder_conv_{i}", strides=2))
        x = keras.layers.Flatten(name="features")(x)
        x = options.hidden_layers(x, "encoder_dense")
        return options.encoder_of(inputs, x)

    @staticmethod
    def decoder(options: NetworkOptions) -> keras.Model:
        height, width, channels = options.output_shape
        sizes = halvings(height, width)
        inputs, x = options.latent_and_label()
        x = options.hidden_layers(x, "decoder_dense", mirrored=True)
        small = (*sizes[-1], _filters(options, max(len(sizes) - 2, 0)))
        x = options.activated(x, options.dense(small[0] * small[1] * small[2], "decoder_features"))
        x = keras.layers.Reshape(small, name="feature_maps")(x)
        for i in reversed(range(len(sizes) - 1)):
            filters = _filters(options, max(i - 1, 0))
            x = options.activated(x, options.conv_transpose(filters, f"decoder_conv_{i}", strides=2))
            x = crop(x, sizes[i], f"decoder_crop_{i}")
        logits = options.conv(channels, "logits", dtype=keras.config.floatx())(x)
        return keras.Model(options.given(inputs), logits, name="decoder")


def crop(x, size: tuple[int, int], name: str, **kwargs):
    """x without the last rows and columns that are more than `size`."""
    extra = tuple((0, has - wanted) for has, wanted in zip(x.shape[1:3], size, strict=True))
    return keras.layers.Cropping2D(extra, name=name, **kwargs)(x) if any(after for _, after in extra) else x


def _filters(options: NetworkOptions, halving: int) -> int:
    return options.filters[min(halving, len(options.filters) - 1)]
