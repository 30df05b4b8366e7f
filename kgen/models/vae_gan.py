"""VAEGAN: a GAN whose generator is a VAE's decoder, so that it can start from a trained one.

A VAE knows after a minute where everything is, and blurs it; the discriminator then teaches it what is sharp. With
`--init_from RUN` architecture and weights come from the run; the discriminator may start from its encoder.
"""

import keras
import tensorflow as tf

from kgen.models.gan import GAN


@keras.saving.register_keras_serializable("kgen")
class VAEGAN(GAN):
    """The decoder of a VAE as generator, its encoder with one output as discriminator.

    Both see images in [0, 1], and the generator ends in a sigmoid, as in a VAE. Arguments are GAN's.
    """

    def shown(self, images):
        return tf.cast(images, keras.config.floatx())

    def painted(self, logits):
        return tf.sigmoid(logits)

    def unit(self, x):
        return x
