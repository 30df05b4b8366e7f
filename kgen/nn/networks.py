"""The registry of networks, and what all of them are built from."""

from dataclasses import dataclass

import keras

from kgen.errors import UserError
from kgen.nn.layers import OneHot
from kgen.registry import Registry
from kgen.rng import seed_of
from kgen.spec import DataSpec

NETWORKS = Registry("network")
"""Name -> a class with `encoder(options)` and `decoder(options)`, both of them returning a `keras.Model`:

encoder: images [B, H, W, C] (and labels [B] when conditional) -> mean, log_var, each [B, latent_dim] float32.
decoder: z [B, latent_dim] (and labels [B] when conditional) -> logits [B, H, W, C] float32.
"""


@dataclass(frozen=True)
class NetworkOptions:
    """What an encoder and a decoder are built from.

    Attributes:
        spec: gives the image shape and the number of classes.
        latent_dim: length of z.
        conditional: the networks take labels as a second input.
        hidden: widths of the dense layers from the image side to the latent side; the decoder mirrors them.
        filters: of the convolutions, one a halving; the last is repeated.
        activation: of the hidden layers.
        batch_norm: batch normalization before each activation.
        seed: of the initial weights.
    """

    spec: DataSpec
    latent_dim: int
    conditional: bool = False
    hidden: tuple[int, ...] = (400,)
    filters: tuple[int, ...] = (32, 64, 128, 256)
    activation: str = "relu"
    batch_norm: bool = False
    seed: int = 0

    def __post_init__(self):
        try:
            keras.activations.get(self.activation)
        except ValueError as error:
            raise UserError(
                f"unknown model_args.activation {self.activation!r}: give a name of keras.activations, e.g. relu, elu, "
                "silu, tanh"
            ) from error

    def initializer(self, layer_name: str) -> keras.initializers.Initializer:
        """Glorot's uniform initializer with a seed of the layer's own."""
        return keras.initializers.GlorotUniform(seed=seed_of(self.seed, "init", layer_name))

    def dense(self, width: int, name: str, **kwargs) -> keras.layers.Layer:
        return keras.layers.Dense(width, kernel_initializer=self.initializer(name), name=name, **kwargs)

    def activated(self, x, linear: keras.layers.Layer):
        """linear -> (batch normalization) -> activation; the layers' names derive from the linear layer's."""
        linear.use_bias = not self.batch_norm  # normalization would take any bias away again
        x = linear(x)
        if self.batch_norm:
            x = keras.layers.BatchNormalization(name=f"{linear.name}_norm")(x)
        return keras.layers.Activation(self.activation, name=f"{linear.name}_{self.activation}")(x)

    def image_input(self):
        return keras.Input(self.spec.image_shape, name="images")

    def label_input(self):
        return keras.Input((), dtype="int32", name="labels")

    def latent_and_label(self):
        """A decoder's inputs, and its first tensor: z, with the label's one-hot vector beside it when conditional."""
        z = keras.Input((self.latent_dim,), name="z")
        if not self.conditional:
            return [z], z
        labels = self.label_input()
        one_hot = OneHot(self.spec.num_classes, name="label_one_hot")(labels)
        return [z, labels], keras.layers.Concatenate(name="z_and_label")([z, one_hot])

    def given(self, inputs: list):
        """How a network is called: with [x, labels] when conditional, else with x."""
        return inputs if self.conditional else inputs[0]

    def posterior(self, x) -> list:
        """The encoder's last layers: mean and log-variance, in float32 whatever the precision policy."""
        return [self.dense(self.latent_dim, name, dtype="float32")(x) for name in ("mean", "log_var")]
