"""DCGAN: the deep convolutional GAN of Radford et al. 2016 (https://arxiv.org/abs/1511.06434).

    discriminator: softplus(-D(x)) + softplus(D(G(z))) + r1 / 2 || grad D(x) ||^2;  generator: softplus(-D(G(z)))

The discriminator has no batch normalization, and the R1 penalty of Mescheder et al. 2018
(https://arxiv.org/abs/1801.04406) instead: it then neither overpowers the generator nor lets it collapse.
"""

import keras

from kgen.models.adversarial import Adversarial
from kgen.models.base import MODELS
from kgen.spec import DataSpec

RATES = {"discriminator": 1e-3, "generator": 1e-3}
ADAM = {"optimizer": "adam", "beta_1": 0.0, "beta_2": 0.99}


@MODELS.register("dcgan", learning_rates=RATES, optimizer=ADAM)
@keras.saving.register_keras_serializable("kgen")
class DCGAN(Adversarial):
    """4x4 convolutions of stride 2, transposed in the generator; see `kgen.nn.dcgan`. Arguments are Adversarial's."""

    def __init__(self, spec: DataSpec, *, network: str = "dcgan", batch_norm: bool = True, r1: float = 1.0, **kwargs):
        super().__init__(spec, network=network, batch_norm=batch_norm, r1=r1, **kwargs)
