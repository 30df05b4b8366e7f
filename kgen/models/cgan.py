"""CGAN: the conditional GAN of Mirza & Osindero 2014 (https://arxiv.org/abs/1411.1784), of dense layers.

Generator and discriminator see the label as a one-hot vector beside z and beside the pixels.
"""

import keras

from kgen.models.base import MODELS
from kgen.models.gan import ADAM, GAN, RATES


@MODELS.register("cgan", learning_rates=RATES, optimizer=ADAM)
@keras.saving.register_keras_serializable("kgen")
class CGAN(GAN):
    """A GAN whose networks are given the label. Arguments are those of GAN."""

    conditional = True
