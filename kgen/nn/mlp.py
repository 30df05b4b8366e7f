"""Fully connected encoder and decoder: 784-400-20 and its mirror is the network of Kingma & Welling 2014."""

import keras

from kgen.nn.layers import OneHot
from kgen.nn.networks import NETWORKS, NetworkOptions


@NETWORKS.register("mlp", jit_compile_on_cpu=True)
class MLP:
    """Dense layers of `options.hidden`; labels join as one-hot vectors."""

    @staticmethod
    def encoder(options: NetworkOptions) -> keras.Model:
        inputs = [options.image_input()]
        x = keras.layers.Flatten(name="pixels")(inputs[0])
        if options.conditional:
            inputs.append(options.label_input())
            x = keras.layers.Concatenate(name="pixels_and_label")(
                [x, OneHot(options.spec.num_classes, name="label_one_hot")(inputs[1])]
            )
        for i, width in enumerate(options.hidden):
            x = options.activated(x, options.dense(width, f"encoder_{i}"))
        return keras.Model(options.given(inputs), options.posterior(x), name="encoder")

    @staticmethod
    def decoder(options: NetworkOptions) -> keras.Model:
        inputs, x = options.latent_and_label()
        for i, width in enumerate(reversed(options.hidden)):
            x = options.activated(x, options.dense(width, f"decoder_{i}"))
        x = options.dense(options.spec.num_pixels, "logits", dtype="float32")(x)
        logits = keras.layers.Reshape(options.spec.image_shape, name="image", dtype="float32")(x)
        return keras.Model(options.given(inputs), logits, name="decoder")
