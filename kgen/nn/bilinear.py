"""The convolutional network of the binarized MNIST experiment: valid convolutions, pooling, bilinear upsampling."""

import keras

from kgen.errors import UserError
from kgen.nn.networks import NETWORKS, NetworkOptions
from kgen.nn.upsampling import UpsampledConv2D

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
    Labels join the encoder as constant maps (one channel a class) and the decoder as a one-hot vector beside z.
    """

    @staticmethod
    def encoder(options: NetworkOptions) -> keras.Model:
        first, second, third = _filters(options)
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
        first, second, third = _filters(options)
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


def _filters(options: NetworkOptions) -> tuple[int, int, int]:
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
