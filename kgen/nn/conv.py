"""Four convolutional networks, each an encoder and a decoder; the choice is `--set model_args.network=NAME`.

| name | encoder | decoder | images |
|---|---|---|---|
| `conv` | strided convolutions | transposed convolutions | any, from 8 pixels per side |
| `conv_mlp` | convolutions of stride 1 | dense layers | any |
| `pooled` | convolutions, batch normalization, average pooling | nearest upsampling, convolutions | even halvings |
| `bilinear` | valid convolutions, average pooling | bilinear upsampling, convolutions | 28x28 |

`conv` is the first choice; the others are those of single experiments, with defaults of their own. In all of them
labels join the encoder as constant maps (one channel per class) and the decoder as a one-hot vector beside z.
"""

import math

import keras

from kgen.errors import UserError
from kgen.nn.cpu_kernels import UpsampledConv2D
from kgen.nn.mlp import mlp_decoder
from kgen.nn.networks import NETWORKS, NetworkOptions

# conv -----------------------------------------------------------------------------------------------------------------

SMALLEST_SIDE = 7
"""Largest shorter side, in pixels, that is not halved any more."""


def halvings(height: int, width: int) -> list[tuple[int, int]]:
    """The sizes of an image and of its feature maps, e.g. (28, 28), (14, 14), (7, 7).

    Each convolution halves until the shorter side is at most SMALLEST_SIDE (64 -> 32 -> 16 -> 8 -> 4).
    """
    sizes = [(height, width)]
    while min(sizes[-1]) > SMALLEST_SIDE:
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return sizes


@NETWORKS.register("conv", jit_compile_on_cpu=False)
class Conv:
    """3x3 convolutions of stride 2, then the dense layers of `options.hidden`; at 64x64x3, the colour experiments'.

    One convolution per halving, with the numbers of `options.filters`, the last of which is repeated. The decoder is
    the mirror: it doubles, and crops the row or column that an odd size had too few.
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
    """x without its last rows and columns beyond `size`."""
    extra = tuple((0, has - wanted) for has, wanted in zip(x.shape[1:3], size, strict=True))
    return keras.layers.Cropping2D(extra, name=name, **kwargs)(x) if any(after for _, after in extra) else x


def _filters(options: NetworkOptions, halving: int) -> int:
    return options.filters[min(halving, len(options.filters) - 1)]


# conv_mlp -------------------------------------------------------------------------------------------------------------


@NETWORKS.register("conv_mlp", jit_compile_on_cpu=False, model_args={"filters": (16, 32)})
class ConvMLP:
    """Two convolutions (3x3, stride 1, padding 1) before the dense layers of `options.hidden`; an MLP as decoder.

    One convolution for each of `options.filters`, for any size of image; nothing is halved, so the first dense layer
    is large: 784 * 32 inputs at 28x28. The experiment fixed kernel, stride and padding; the filters are kgen's choice.
    """

    @staticmethod
    def encoder(options: NetworkOptions) -> keras.Model:
        inputs, x = options.image_and_label()
        for i, filters in enumerate(options.filters):
            x = options.activated(x, options.conv(filters, f"encoder_conv_{i}"))
        x = options.hidden_layers(keras.layers.Flatten(name="features")(x), "encoder_dense")
        return options.encoder_of(inputs, x)

    decoder = staticmethod(mlp_decoder)


# pooled ---------------------------------------------------------------------------------------------------------------


@NETWORKS.register(
    "pooled", jit_compile_on_cpu=False, model_args={"hidden": (), "filters": (16, 32, 64), "batch_norm": True}
)
class Pooled:
    """The network of the gray 64x64 experiments, whose latent was 64; for sides that halve evenly once per block.

    Encoder: a block for each of `options.filters`: 3x3 convolution, batch normalization, ReLU, 2x2 average pooling;
    then mean and log-variance (one dense layer of 2 x 64), or `options.hidden` before them.
    Decoder: a dense layer to the smallest maps; a block for each: batch normalization, ReLU, nearest upsampling, 3x3
    convolution. (Nearest upsampling repeats pixels, so after the normalization it gives what it would give before it.)
    """

    @staticmethod
    def encoder(options: NetworkOptions) -> keras.Model:
        _smallest(options)
        inputs, x = options.image_and_label()
        for i, filters in enumerate(options.filters):
            x = options.activated(x, options.conv(filters, f"encoder_conv_{i}"))
            x = keras.layers.AveragePooling2D(2, name=f"encoder_pool_{i}")(x)
        x = options.hidden_layers(keras.layers.Flatten(name="features")(x), "encoder_dense")
        return options.encoder_of(inputs, x)

    @staticmethod
    def decoder(options: NetworkOptions) -> keras.Model:
        height, width = _smallest(options)
        inputs, x = options.latent_and_label()
        x = options.hidden_layers(x, "decoder_dense", mirrored=True)
        maps = (height, width, options.filters[-1])
        x = options.activated(x, options.dense(math.prod(maps), "decoder_features"), maps=maps)
        for i in reversed(range(1, len(options.filters))):
            x = keras.layers.UpSampling2D(name=f"decoder_upsampling_{i}")(x)
            x = options.activated(x, options.conv(options.filters[i - 1], f"decoder_conv_{i}"))
        x = keras.layers.UpSampling2D(name="decoder_upsampling_0")(x)
        logits = options.conv(options.output_shape[2], "logits", dtype=keras.config.floatx())(x)
        return keras.Model(options.given(inputs), logits, name="decoder")


def _smallest(options: NetworkOptions) -> tuple[int, int]:
    """Height and width of the smallest maps."""
    height, width, _ = options.spec.image_shape
    factor = 2 ** len(options.filters)
    if height % factor or width % factor:
        fitting = [-(-side // factor) * factor for side in (height, width)]
        raise UserError(
            f"network 'pooled' halves an image once for each of its filters, {list(options.filters)}: sides must be "
            f"divisible by {factor}, but data set {options.spec.name!r} has {height}x{width}; give --image_size "
            f"{'x'.join(map(str, fitting))}, or --set model_args.network=conv, which takes any size"
        )
    return height // factor, width // factor


# bilinear -------------------------------------------------------------------------------------------------------------

SIDE = 28


@NETWORKS.register(
    "bilinear",
    jit_compile_on_cpu=False,
    model_args={"hidden": (), "filters": (32, 64, 256), "activation": "elu"},
)
class Bilinear:
    """28x28 images only; 32-64-256 filters, ELU, and a latent of 100 in the experiment.

    Encoder: 3x3 convolution (28 -> 26), 2x2 average pooling (13), 3x3 convolution (11), pooling (5), 5x5 convolution
    (1), all without padding, with `options.filters`; then mean and log-variance, or `options.hidden` before them.
    Decoder: a dense layer to the last of the filters, a 5x5 convolution with a padding of 4 (1 -> 5); then 3x3
    convolutions with a padding of 2, bilinear upsampling before the first two: 5 -> 10 -> 12 -> 24 -> 26 -> 28, with
    64, 32, 16 (half the first of the filters) and the image's channels.

    Three steps are computed in another way that is faster and gives the same: a convolution over all of a 5x5 map, or
    of a 1x1 map, is a dense layer (whose bias is free to differ from pixel to pixel); upsampling and convolution are
    one layer; and the last convolution is a transposed one, which needs no padding.
    """

    @staticmethod
    def encoder(options: NetworkOptions) -> keras.Model:
        first, second, third = _bilinear_filters(options)
        inputs, x = options.image_and_label()
        for i, filters in enumerate((first, second)):
            x = options.activated(x, options.conv(filters, f"encoder_conv_{i}", padding="valid"))
            x = keras.layers.AveragePooling2D(2, name=f"encoder_pool_{i}")(x)
        x = keras.layers.Flatten(name="features")(x)
        x = options.activated(x, options.dense(third, "encoder_conv_2"))
        x = options.hidden_layers(x, "encoder_dense")
        return options.encoder_of(inputs, x)

    @staticmethod
    def decoder(options: NetworkOptions) -> keras.Model:
        first, second, third = _bilinear_filters(options)
        inputs, x = options.latent_and_label()
        x = options.hidden_layers(x, "decoder_dense", mirrored=True)
        x = options.activated(x, options.dense(third, "decoder_features"))
        x = options.activated(x, options.dense(5 * 5 * second, "decoder_conv_0"), maps=(5, 5, second))
        for i, filters in enumerate((first, max(first // 2, 1)), start=1):
            name = f"decoder_conv_{i}"
            layer = UpsampledConv2D(filters, kernel_initializer=options.initializer(name), name=name)
            x = options.activated(x, layer)
        channels = options.output_shape[2]
        logits = options.conv_transpose(channels, "logits", padding="valid", dtype=keras.config.floatx())(x)
        return keras.Model(options.given(inputs), logits, name="decoder")


def _bilinear_filters(options: NetworkOptions) -> tuple[int, int, int]:
    height, width, _ = options.spec.image_shape
    if (height, width) != (SIDE, SIDE):
        raise UserError(
            f"network 'bilinear' is made for {SIDE}x{SIDE} images, but data set {options.spec.name!r} has "
            f"{height}x{width}; give --image_size {SIDE}, or --set model_args.network=conv, which takes any size"
        )
    if len(options.filters) != 3:
        raise UserError(
            "network 'bilinear' has three convolutions in its encoder: give model_args.filters three numbers, e.g. "
            f"[32, 64, 256]. Received: {list(options.filters)}"
        )
    return options.filters
