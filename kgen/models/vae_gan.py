"""VAEGAN: a GAN whose generator is a VAE's decoder, so that it can start from a trained one.

A VAE places everything within a minute of training, but blurred; the discriminator then sharpens it. With `--init_from
RUN` architecture and weights come from that run; the discriminator may start from its encoder. (There is no encoder in
the game itself, other than in Larsen et al. 2016, https://arxiv.org/abs/1512.09300.)
"""

import keras
import tensorflow as tf

from kgen.models.gan import GAN


@keras.saving.register_keras_serializable("kgen")
class VAEGAN(GAN):
    """The decoder of a VAE as generator, its encoder with one output as discriminator.

    Both take images in [0, 1], and the generator ends in a sigmoid, as in a VAE. Arguments are those of GAN.
    """

    def to_discriminator_input(self, images):
        return tf.cast(images, keras.config.floatx())

    def output_activation(self, logits):
        return tf.sigmoid(logits)

    def to_unit(self, x):
        return x
