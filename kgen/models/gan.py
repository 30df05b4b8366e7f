"""GAN: the adversarial network of Goodfellow et al. 2014 (https://arxiv.org/abs/1406.2661), of dense layers.

    discriminator: softplus(-D(x)) + softplus(D(G(z)));  generator: softplus(-D(G(z)))

For small images, and to compare with: `dcgan` makes better ones in the same time.
"""

import keras

from kgen.models.adversarial import Adversarial
from kgen.models.base import MODELS
from kgen.spec import DataSpec

RATES = {"discriminator": 2e-4, "generator": 2e-4}
ADAM = {"optimizer": "adam", "beta_1": 0.5}
"""As most publications have them since Radford et al. 2016."""


@MODELS.register("gan", learning_rates=RATES, optimizer=ADAM)
@keras.saving.register_keras_serializable("kgen")
class GAN(Adversarial):
    """Dense generator 100-256-512-1024-image and discriminator image-1024-512-256-1. Arguments are Adversarial's."""

    def __init__(
        self,
        spec: DataSpec,
        *,
        hidden: tuple[int, ...] = (1024, 512, 256),
        activation: str = "leaky_relu",
        dropout: float = 0.3,
        **kwargs,
    ):
        super().__init__(spec, hidden=hidden, activation=activation, dropout=dropout, **kwargs)
