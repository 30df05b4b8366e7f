"""Fully connected encoder and decoder: 784-400-20 and its mirror is the network of Kingma & Welling 2014."""

import math

import keras

from kgen.nn.networks import NETWORKS, NetworkOptions

WIDENING = (2048, 1024, 512, 256, 128)
"""Widths from the image to the latent of `widening_mlp`; as `hidden` of `mlp_decoder` they make a GAN's generator."""


def mlp_decoder(options: NetworkOptions, name: str = "decoder") -> keras.Model:
    """Dense layers of `options.hidden`, the last first, from z (and the label's one-hot vector) to an image's logits.

    Returns:
        z [B, latent_dim] (and labels [B] when conditional) -> logits [B, H, W, C] float32.
    """
    inputs, x = options.latent_and_label()
    x = options.hidden_layers(x, "decoder", mirrored=True)
    x = options.dense(math.prod(options.output_shape), "logits", dtype=keras.config.floatx())(x)
    logits = keras.layers.Reshape(options.output_shape, name="image", dtype=keras.config.floatx())(x)
    return keras.Model(options.given(inputs), logits, name=name)


@NETWORKS.register("mlp", jit_compile_on_cpu=True)
class MLP:
    """Dense layers of `options.hidden`; labels join as one-hot vectors. One layer of 100 or 400 is `hidden=(100,)`."""

    @staticmethod
    def encoder(options: NetworkOptions) -> keras.Model:
        inputs, x = options.image_and_label(flat=True)
        x = options.hidden_layers(x, "encoder")
        return options.encoder_of(inputs, x)

    decoder = staticmethod(mlp_decoder)


@NETWORKS.register("widening_mlp", jit_compile_on_cpu=True, model_args={"hidden": WIDENING})
class WideningMLP(MLP):
    """The decoder 128-256-512-1024-2048, as generators of dense GANs have it, and its mirror as encoder: an `mlp`."""
