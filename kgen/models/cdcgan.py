"""CDCGAN: a DCGAN that is given the label.

The generator sees it as a one-hot vector beside z, the discriminator as constant maps beside the image, one channel a
class; or, with `projection`, by an inner product with its last features (Miyato & Koyama 2018,
https://arxiv.org/abs/1802.05637).
"""

import keras

from kgen.models.base import MODELS
from kgen.models.dcgan import ADAM, DCGAN, RATES


@MODELS.register("cdcgan", learning_rates=RATES, optimizer=ADAM)
@keras.saving.register_keras_serializable("kgen")
class CDCGAN(DCGAN):
    """A DCGAN whose networks are given the label. Arguments are those of DCGAN."""

    conditional = True
