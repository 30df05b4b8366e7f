"""WGAN-GP: the Wasserstein GAN with gradient penalty of Gulrajani et al. 2017 (https://arxiv.org/abs/1704.00028).

    critic: D(G(z)) - D(x) + 10 (|| grad D(x^) || - 1)^2, x^ between x and G(z) by U(0, 1);  generator: -D(G(z))

Five critic steps a step of the generator, each on real images of its own; no batch normalization in the critic.
"""

import keras

from kgen.models.adversarial import Adversarial
from kgen.models.base import MODELS
from kgen.spec import DataSpec

RATES = {"discriminator": 1e-4, "generator": 1e-4}
ADAM = {"optimizer": "adam", "beta_1": 0.0, "beta_2": 0.9}


@MODELS.register("wgan_gp", learning_rates=RATES, optimizer=ADAM)
@keras.saving.register_keras_serializable("kgen")
class WGANGP(Adversarial):
    """A DCGAN's networks with a penalized critic. Arguments are Adversarial's."""

    def __init__(
        self,
        spec: DataSpec,
        *,
        network: str = "dcgan",
        batch_norm: bool = True,
        loss: str = "wasserstein",
        critic_steps: int = 5,
        gradient_penalty: float = 10.0,
        **kwargs,
    ):
        super().__init__(
            spec, network=network, batch_norm=batch_norm, loss=loss, critic_steps=critic_steps,
            gradient_penalty=gradient_penalty, **kwargs,
        )  # fmt: skip


@MODELS.register("wcgan_gp", learning_rates=RATES, optimizer=ADAM)
@keras.saving.register_keras_serializable("kgen")
class WCGANGP(WGANGP):
    """A WGAN-GP whose networks are given the label. Arguments are those of WGANGP."""

    conditional = True
