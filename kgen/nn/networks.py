"""The registry of networks, and what all of them are built from."""

from dataclasses import dataclass

import keras

from kgen.errors import UserError
from kgen.nn.layers import LabelMaps, OneHot
from kgen.registry import Registry
from kgen.rng import seed_of
from kgen.spec import DataSpec

NETWORKS = Registry("network")
"""Name -> a class with `encoder(options)` and `decoder(options)`, both of them returning a `keras.Model`:

encoder: images [B, H, W, C] (and labels [B] when conditional) -> mean, log_var, each [B, latent_dim] float32.
decoder: z [B, latent_dim] (and labels [B] when conditional) -> logits [B, H, W, C] float32.

Registered with `jit_compile_on_cpu` (whether XLA was measured to help there) and, where the network is that of one
experiment, `model_args`: its own defaults of arguments that nobody gave, e.g. {"activation": "elu"}.
"""


@dataclass(frozen=True)
class NetworkOptions:
    """What an encoder and a decoder are built from.

    Attributes:
        spec: gives the image shape and the number of classes.
        latent_dim: length of z.
        conditional: the networks take labels as a second input.
        hidden: widths of the dense layers from the image side to the latent side; the decoder mirrors them.
        filters: of the convolutions, from the image side; each network says how it takes them.
        activation: of the hidden layers.
        batch_norm: batch normalization before each activation.
        seed: of the initial weights.
        outputs: channels of what the decoder gives; None: those of the image.
    """

    spec: DataSpec
    latent_dim: int
    conditional: bool = False
    hidden: tuple[int, ...] = (400,)
    filters: tuple[int, ...] = (32, 64, 128, 256)
    activation: str = "relu"
    batch_norm: bool = False
    seed: int = 0
    outputs: int | None = None

    def __post_init__(self):
        try:
            keras.activations.get(self.activation)
        except ValueError as error:
            raise UserError(
                f"unknown model_args.activation {self.activation!r}: give a name of keras.activations, e.g. relu, elu, "
                "silu, tanh"
            ) from error

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Of what the decoder gives: (height, width, channels)."""
        return (*self.spec.image_shape[:2], self.outputs or self.spec.image_shape[2])

    def initializer(self, layer_name: str) -> keras.initializers.Initializer:
        """Glorot's uniform initializer with a seed of the layer's own."""
        return keras.initializers.GlorotUniform(seed=seed_of(self.seed, "init", layer_name))

    def dense(self, width: int, name: str, **kwargs) -> keras.layers.Layer:
        return keras.layers.Dense(width, kernel_initializer=self.initializer(name), name=name, **kwargs)

    def conv(self, filters: int, name: str, *, size: int = 3, padding: str = "same", **kwargs) -> keras.layers.Layer:
        return keras.layers.Conv2D(
            filters, size, padding=padding, kernel_initializer=self.initializer(name), name=name, **kwargs
        )

    def conv_transpose(self, filters: int, name: str, *, size: int = 3, padding: str = "same", **kwargs):
        return keras.layers.Conv2DTranspose(
            filters, size, padding=padding, kernel_initializer=self.initializer(name), name=name, **kwargs
        )

    def activated(self, x, linear: keras.layers.Layer, *, maps: tuple[int, int, int] | None = None):
        """linear -> (batch normalization) -> activation; the layers' names derive from the linear layer's.

        A dense layer gives feature `maps` when their (height, width, channels) is told: normalization is by channel.
        """
        linear.use_bias = not self.batch_norm  # normalization would take any bias away again
        x = linear(x)
        if maps:
            x = keras.layers.Reshape(maps, name=f"{linear.name}_maps")(x)
        if self.batch_norm:
            x = keras.layers.BatchNormalization(name=f"{linear.name}_norm")(x)
        return keras.layers.Activation(self.activation, name=f"{linear.name}_{self.activation}")(x)

    def hidden_layers(self, x, names: str, *, mirrored: bool = False):
        """The dense layers of `hidden`, named `names`_0, `names`_1, ...; `mirrored` for a decoder."""
        for i, width in enumerate(reversed(self.hidden) if mirrored else self.hidden):
            x = self.activated(x, self.dense(width, f"{names}_{i}"))
        return x

    def image_input(self):
        return keras.Input(self.spec.image_shape, name="images")

    def label_input(self):
        return keras.Input((), dtype="int32", name="labels")

    def image_and_label(self):
        """A convolutional encoder's inputs, and its first tensor: the image, when conditional with the label's maps.

        There is one map a class, constant over the image: the first convolution sees `num_classes` more channels.
        """
        images = self.image_input()
        if not self.conditional:
            return [images], images
        height, width, _ = self.spec.image_shape
        labels = self.label_input()
        maps = LabelMaps(self.spec.num_classes, height, width, name="label_maps")(labels)
        return [images, labels], keras.layers.Concatenate(name="image_and_label")([images, maps])

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
