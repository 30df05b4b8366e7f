"""Convolutions that keep the image's size, and a fully connected decoder."""

import keras

from kgen.nn.mlp import mlp_decoder
from kgen.nn.networks import NETWORKS, NetworkOptions


@NETWORKS.register("conv_mlp", jit_compile_on_cpu=False, model_args={"filters": (16, 32)})
class ConvMLP:
    """Two convolutions (3x3, stride 1, padding 1) before the dense layers of `options.hidden`; an MLP as decoder.

    One convolution for each of `options.filters`, for any size of image; nothing is halved, so the first dense layer
    is large: 784 * 32 inputs at 28x28. The experiment fixed kernel, stride and padding; the filters are kgen's choice.
    Labels join the encoder as constant maps (one channel a class) and the decoder as a one-hot vector beside z.
    """

    @staticmethod
    def encoder(options: NetworkOptions) -> keras.Model:
        inputs, x = options.image_and_label()
        for i, filters in enumerate(options.filters):
            x = options.activated(x, options.conv(filters, f"encoder_conv_{i}"))
        x = options.hidden_layers(keras.layers.Flatten(name="features")(x), "encoder_dense")
        return options.encoder_of(inputs, x)

    decoder = staticmethod(mlp_decoder)
