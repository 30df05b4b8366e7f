"""The distribution of an image given the decoder's output, p(x | z), and its mean."""

import math

import keras
import tensorflow as tf

from kgen.errors import UserError
from kgen.losses import elbo
from kgen.nn.layers import AtLeast
from kgen.registry import Registry

LIKELIHOODS = Registry("likelihood")

MIN_STDDEV = 1.0 / (255.0 * math.sqrt(12.0))
"""Of a learned standard deviation: that of the rounding of 8-bit pixels, uniform over a grey level. Below it a density
describes the rounding, and on constant pixels the likelihood would grow without bound."""


class Likelihood(keras.layers.Layer):
    """p(x | logits).

    Args:
        stddev: of the Gaussian, in units of [0, 1] pixels; where it starts when it is learned.

    Attributes:
        levels: number of values of a pixel where p is a probability; None where it is a density of pixels in [0, 1].
    """

    levels: int | None = None

    def __init__(self, *, stddev: float = 0.1, **kwargs):
        super().__init__(dtype=keras.config.floatx(), name="likelihood", **kwargs)
        if not stddev > 0:
            raise UserError(f"model_args.stddev must be greater than 0. Received: {stddev}")
        self.initial_log_var = 2.0 * math.log(stddev)
        self.built = True

    def call(self, logits):
        """[B, H, W, C] logits -> the mean image, [B, H, W, C] float32 in [0, 1]."""
        return tf.sigmoid(tf.cast(logits, keras.config.floatx()))

    def nll(self, images, logits):
        """-log p(images | logits): [B] float32, nats per image."""
        return elbo.gaussian_nll(images, self(logits), self.initial_log_var)


@LIKELIHOODS.register("bernoulli")
class Bernoulli(Likelihood):
    """Independent binary pixels."""

    levels = 2

    def nll(self, images, logits):
        return elbo.bernoulli_nll(images, logits)


@LIKELIHOODS.register("gaussian")
class Gaussian(Likelihood):
    """Independent normal pixels of one fixed standard deviation; the mean is sigmoid(logits)."""


@LIKELIHOODS.register("gaussian_learned")
class GaussianLearned(Likelihood):
    """Independent normal pixels that share one learned standard deviation (Rybkin et al. 2021, sigma-VAE).

    The standard deviation stays at or above MIN_STDDEV.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.log_var = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self.initial_log_var), name="log_var",
            constraint=AtLeast(2.0 * math.log(MIN_STDDEV)),
        )  # fmt: skip

    def nll(self, images, logits):
        return elbo.gaussian_nll(images, self(logits), self.log_var)
