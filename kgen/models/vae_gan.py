"""VAEGAN: a GAN whose generator is a VAE's decoder, so that it can start from a trained one.

A VAE knows after a minute where everything is, and blurs it; the discriminator then teaches it what is sharp. With
`--init_from RUN` architecture and weights come from the run; the discriminator may start from its encoder.
"""

import keras
import tensorflow as tf

from kgen.models.base import MODELS
from kgen.models.gan import DCGAN_ADAM, DCGAN_RATES, Adversarial
from kgen.spec import DataSpec


@MODELS.register("vae_gan", learning_rates=DCGAN_RATES, optimizer=DCGAN_ADAM)
@keras.saving.register_keras_serializable("kgen")
class VAEGAN(Adversarial):
    """The decoder of a VAE as generator, its encoder with one output as discriminator.

    Both see images in [0, 1], and the generator ends in a sigmoid, as in a VAE. Arguments are Adversarial's.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: int = 20,
        hidden: tuple[int, ...] = (400,),
        filters: tuple[int, ...] = (32, 64, 128, 256),
        r1: float = 1.0,
        **kwargs,
    ):
        super().__init__(spec, latent_dim=latent_dim, hidden=hidden, filters=filters, r1=r1, **kwargs)

    def shown(self, images):
        return tf.cast(images, keras.config.floatx())

    def painted(self, logits):
        return tf.sigmoid(logits)

    def unit(self, x):
        return x
