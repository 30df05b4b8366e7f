"""The registry of networks, and the options that all of them are built from."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from kgen.errors import UserError
from kgen.nn import cpu_kernels
from kgen.nn.layers import BatchNormalization, LabelMaps, OneHot
from kgen.random import seed_of
from kgen.registry import Registry
from kgen.spec import DataSpec

SMALLEST_MAPS = 4
"""Pixels of the shorter side that excitation looks at."""

NETWORKS = Registry("network")
"""Name -> a class with `encoder(options)` and `decoder(options)`, both of them returning a `keras.Model`:

encoder: images [B, H, W, C] (and labels [B] when conditional) -> mean, log_var, each [B, latent_dim] float32; from
    `DiscriminatorOptions` a discriminator: one number per image, from the same layers.
decoder: z [B, latent_dim] (and labels [B] when conditional) -> logits [B, H, W, C] float32.

Registered with `jit_compile_on_cpu` (whether XLA was measured to help there, in long trainings), with
`skip_excitation` where it knows that option, and, where the network is that of one experiment, with `model_args`: its
own defaults of arguments that nobody gave, e.g. {"activation": "elu"}.
"""


@dataclass(frozen=True)
class NetworkOptions:
    """The options of an encoder and a decoder, and the parts that networks share.

    Attributes:
        spec: gives the image shape and the number of classes.
        latent_dim: length of z.
        conditional: the networks take labels as a second input.
        hidden: widths of the dense layers from the image side to the latent side; the decoder mirrors them.
        filters: of the convolutions, from the image side; see each network for their use.
        activation: of the hidden layers.
        batch_norm: batch normalization before each activation.
        seed: of the initial weights.
        outputs: channels of the decoder's output; None: those of the image.
        initial_stddev: of the normal distribution of the initial kernels; None: Glorot's uniform distribution.
        skip_excitation: the decoder's larger maps are scaled by what the smaller ones say, in networks that know it.
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
    initial_stddev: float | None = None
    skip_excitation: bool = False

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
        """Of the decoder's output: (height, width, channels)."""
        return (*self.spec.image_shape[:2], self.outputs or self.spec.image_shape[2])

    @property
    def label_beside_image(self) -> bool:
        """Whether the label is part of the encoder's input."""
        return self.conditional

    @property
    def activation_function(self) -> str | Callable:
        """Of the hidden layers, as a Keras layer takes it."""
        return self.activation

    @property
    def normalizes_pixels(self) -> bool:
        """Whether batch normalization may follow the first layer, too."""
        return True

    def initializer(self, layer_name: str) -> keras.initializers.Initializer:
        """Of a layer's kernel; the layer's name is part of its seed."""
        seed = seed_of(self.seed, "init", layer_name)
        if self.initial_stddev is None:
            return keras.initializers.GlorotUniform(seed=seed)
        return keras.initializers.RandomNormal(stddev=self.initial_stddev, seed=seed)

    def dense(self, width: int, name: str, **kwargs) -> keras.layers.Layer:
        return keras.layers.Dense(width, kernel_initializer=self.initializer(name), name=name, **kwargs)

    def conv(self, filters: int, name: str, *, size: int = 3, padding: str = "same", **kwargs) -> keras.layers.Layer:
        return cpu_kernels.Conv2D(
            filters, size, padding=padding, kernel_initializer=self.initializer(name), name=name, **kwargs
        )

    def conv_transpose(self, filters: int, name: str, *, size: int = 3, padding: str = "same", **kwargs):
        return cpu_kernels.Conv2DTranspose(
            filters, size, padding=padding, kernel_initializer=self.initializer(name), name=name, **kwargs
        )

    def zero_conv(self, filters: int, name: str) -> keras.layers.Layer:
        """A convolution whose kernel begins at 0: the last of a residual block."""
        layer = self.conv(filters, name)
        layer.kernel_initializer = keras.initializers.Zeros()
        return layer

    def excited(self, x, small, name: str):
        """Maps whose channels are scaled, each by 0 to 1, by what much smaller maps of the same image say: skip-layer
        excitation (Liu et al. 2021, https://arxiv.org/abs/2101.04775, FastGAN)."""
        shrink = max(min(small.shape[1:3]) // SMALLEST_MAPS, 1)
        share = keras.layers.AveragePooling2D(shrink, name=f"{name}_pool")(small)
        share = keras.layers.Flatten(name=f"{name}_flat")(share)
        share = self.dense(x.shape[-1], f"{name}_dense")(share)
        share = keras.layers.Activation(self.activation_function, name=f"{name}_{self.activation}")(share)
        share = self.dense(x.shape[-1], f"{name}_share", activation="sigmoid")(share)
        share = keras.layers.Reshape((1, 1, x.shape[-1]), name=f"{name}_maps")(share)
        return keras.layers.Multiply(name=name)([x, share])

    def repeated_conv(self, filters: int, name: str, **kwargs) -> keras.layers.Layer:
        return cpu_kernels.RepeatedConv2D(filters, kernel_initializer=self.initializer(name), name=name, **kwargs)

    def activated(
        self,
        x,
        linear: keras.layers.Layer,
        *,
        maps: tuple[int, int, int] | None = None,
        normalized: bool = True,
    ):
        """linear -> (batch normalization) -> activation; the layers' names derive from the linear layer's.

        Args:
            x: input of the linear layer.
            linear: not yet built; gets no bias where normalization follows.
            maps: (height, width, channels) of the feature maps that a dense layer's output is reshaped to, so that
                normalization is per channel.
            normalized: False leaves batch normalization out, whatever the options are.
        """
        normalized = normalized and self.batch_norm
        linear.use_bias = not normalized  # normalization would subtract any bias again
        x = linear(x)
        if maps:
            x = keras.layers.Reshape(maps, name=f"{linear.name}_maps")(x)
        if normalized:
            x = BatchNormalization(name=f"{linear.name}_norm")(x)
        return self.nonlinear(x, linear.name)

    def nonlinear(self, x, name: str):
        """The activation of a hidden layer of that name, and what follows each of them."""
        return keras.layers.Activation(self.activation_function, name=f"{name}_{self.activation}")(x)

    def hidden_layers(self, x, names: str, *, mirrored: bool = False):
        """The dense layers of `hidden`, named `names`_0, `names`_1, ...; `mirrored` for a decoder."""
        for i, width in enumerate(reversed(self.hidden) if mirrored else self.hidden):
            x = self.activated(x, self.dense(width, f"{names}_{i}"))
        return x

    def image_input(self):
        return keras.Input(self.spec.image_shape, name="images")

    def label_input(self):
        return keras.Input((), dtype="int32", name="labels")

    def image_and_label(self, *, flat: bool = False):
        """An encoder's inputs, and its first tensor: the image, with the label beside it where it belongs there.

        Args:
            flat: the pixels as a vector, for dense layers: the label joins as a one-hot vector. Otherwise it joins as
                one constant map per class: a convolution has `num_classes` more input channels.
        """
        images = self.image_input()
        x = keras.layers.Flatten(name="pixels")(images) if flat else images
        if not self.conditional:
            return [images], x
        labels = self.label_input()
        if not self.label_beside_image:
            return [images, labels], x
        height, width, _ = self.spec.image_shape
        if flat:
            label, name = OneHot(self.spec.num_classes, name="label_one_hot"), "pixels_and_label"
        else:
            label, name = LabelMaps(self.spec.num_classes, height, width, name="label_maps"), "image_and_label"
        return [images, labels], keras.layers.Concatenate(name=name)([x, label(labels)])

    def latent_and_label(self):
        """A decoder's inputs, and its first tensor: z, with the label's one-hot vector beside it when conditional."""
        z = keras.Input((self.latent_dim,), name="z")
        if not self.conditional:
            return [z], z
        labels = self.label_input()
        one_hot = OneHot(self.spec.num_classes, name="label_one_hot")(labels)
        return [z, labels], keras.layers.Concatenate(name="z_and_label")([z, one_hot])

    def given(self, inputs: list):
        """The inputs as a network takes them: [x, labels] when conditional, else x."""
        return inputs if self.conditional else inputs[0]

    def encoder_of(self, inputs: list, x) -> keras.Model:
        """The encoder of these inputs and last features: mean and log-variance, in float32 whatever the policy."""
        posterior = [self.dense(self.latent_dim, name, dtype=keras.config.floatx())(x) for name in ("mean", "log_var")]
        return keras.Model(self.given(inputs), posterior, name="encoder")
