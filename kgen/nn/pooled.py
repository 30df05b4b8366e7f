"""Convolutions with batch normalization, average pooling on the way in and nearest upsampling on the way out."""

import math

import keras

from kgen.errors import UserError
from kgen.nn.networks import NETWORKS, NetworkOptions


@NETWORKS.register(
    "pooled", jit_compile_on_cpu=False, model_args={"hidden": (), "filters": (16, 32, 64), "batch_norm": True}
)
class Pooled:
    """The network of the gray 64x64 experiments, whose latent was 64; for sides that halve evenly once a block.

    Encoder: a block for each of `options.filters`: 3x3 convolution, batch normalization, ReLU, 2x2 average pooling;
    then mean and log-variance (one dense layer of 2 x 64), or `options.hidden` before them.
    Decoder: a dense layer to the smallest maps; a block for each: batch normalization, ReLU, nearest upsampling, 3x3
    convolution. (Nearest upsampling repeats pixels, so after the normalization it gives what it would give before it.)
    Labels join the encoder as constant maps (one channel a class) and the decoder as a one-hot vector beside z.
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
