"""WGAN: the Wasserstein GAN of Arjovsky et al. 2017 (https://arxiv.org/abs/1701.07875), with clipped weights.

    critic: D(G(z)) - D(x), every weight kept in [-clip, clip];  generator: -D(G(z))

The critic has no sigmoid and no batch normalization, and is trained with RMSprop: a momentum would work against a loss
that moves. With the published rates (5e-5, clip 0.01) training is slow; those here are larger. `wgan_gp` needs no clip.
"""

import keras

from kgen.models.adversarial import Adversarial
from kgen.models.base import MODELS
from kgen.spec import DataSpec


@MODELS.register("wgan", learning_rates={"discriminator": 5e-4, "generator": 5e-4}, optimizer={"optimizer": "rmsprop"})
@keras.saving.register_keras_serializable("kgen")
class WGAN(Adversarial):
    """A DCGAN's networks with a clipped critic, five steps a step of the generator. Arguments are Adversarial's."""

    def __init__(
        self,
        spec: DataSpec,
        *,
        network: str = "dcgan",
        batch_norm: bool = True,
        loss: str = "wasserstein",
        critic_steps: int = 5,
        clip: float | None = 0.03,
        **kwargs,
    ):
        super().__init__(
            spec, network=network, batch_norm=batch_norm, loss=loss, critic_steps=critic_steps, clip=clip, **kwargs
        )
