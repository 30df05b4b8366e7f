"""The options of a discriminator: any network's encoder, with one number as its output."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from kgen.nn import cpu_kernels
from kgen.nn.layers import Clip, Dropout, LabelProduct
from kgen.nn.networks import NetworkOptions
from kgen.nn.spectral import SpectralConv2D, SpectralDense
from kgen.random import seed_of


@dataclass(frozen=True)
class DiscriminatorOptions(NetworkOptions):
    """The options of a discriminator (a critic where its output is no logit).

    An encoder that is built from them ends in one number per image, [B] float32, and is named "discriminator"; its
    layers have the names of the encoder's.

    Attributes:
        dropout: share of the hidden units that are set to 0 in training.
        spectral_norm: divides every kernel by its largest singular value (Miyato et al. 2018).
        clip: every weight stays in [-clip, clip] (Arjovsky et al. 2017).
        projection: the label enters by an inner product with the last features (Miyato & Koyama 2018, Eq. 3), instead
            of beside the image.
        bias: the last layer has a bias; useless where the loss does not change when all logits are shifted.
    """

    dropout: float = 0.0
    spectral_norm: bool = False
    clip: float | None = None
    projection: bool = False
    bias: bool = True

    @property
    def label_beside_image(self) -> bool:
        return self.conditional and not self.projection

    @property
    def activation_function(self) -> str | Callable:
        return cpu_kernels.PIECEWISE_LINEAR.get(self.activation, self.activation)

    @property
    def normalizes_pixels(self) -> bool:
        """Never: the first layer sees what normalization would remove (Radford et al. 2016)."""
        return False

    def initializer(self, layer_name: str) -> keras.initializers.Initializer:
        if self.clip is None or self.initial_stddev is not None:
            return super().initializer(layer_name)
        seed = seed_of(self.seed, "init", layer_name)  # Glorot's range is often wider than the clip
        return keras.initializers.RandomUniform(-self.clip, self.clip, seed=seed)

    def _bound(self, kwargs: dict) -> dict:
        """Constraints for a layer's arguments."""
        if self.clip is None:
            return kwargs
        return kwargs | {"kernel_constraint": Clip(self.clip), "bias_constraint": Clip(self.clip)}

    def dense(self, width: int, name: str, **kwargs) -> keras.layers.Layer:
        layer = SpectralDense if self.spectral_norm else keras.layers.Dense
        return layer(width, kernel_initializer=self.initializer(name), name=name, **self._bound(kwargs))

    def conv(self, filters: int, name: str, *, size: int = 3, padding: str = "same", **kwargs) -> keras.layers.Layer:
        layer = SpectralConv2D if self.spectral_norm else cpu_kernels.Conv2D
        return layer(
            filters, size, padding=padding, kernel_initializer=self.initializer(name), name=name, **self._bound(kwargs)
        )

    def zero_conv(self, filters: int, name: str) -> keras.layers.Layer:
        """With spectral normalization an ordinary one: 0 has no norm to be divided by."""
        return self.conv(filters, name) if self.spectral_norm else super().zero_conv(filters, name)

    def nonlinear(self, x, name: str):
        x = super().nonlinear(x, name)
        if not self.dropout:
            return x
        name = f"{name}_dropout"
        return Dropout(self.dropout, seed=seed_of(self.seed, "dropout", name), name=name)(x)

    def encoder_of(self, inputs: list, x) -> keras.Model:
        last = self.dense(1, "logit", use_bias=self.bias, dtype=keras.config.floatx())(x)
        logit = keras.layers.Reshape((), name="logits", dtype=keras.config.floatx())(last)
        if self.conditional and self.projection:
            product = LabelProduct(
                self.spec.num_classes,
                initializer=self.initializer("label_product"),
                constraint=None if self.clip is None else Clip(self.clip),
                name="label_product",
                dtype=keras.config.floatx(),
            )
            logit = keras.layers.Add(name="logits_and_product", dtype=keras.config.floatx())(
                [logit, product([x, inputs[1]])]
            )
        return keras.Model(self.given(inputs), logit, name="discriminator")
