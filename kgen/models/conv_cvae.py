"""ConvCVAE: a CVAE whose encoder and decoder are convolutional; see `cvae` for the equations.

The encoder sees the label as constant maps beside the image, one channel a class; the decoder as a one-hot vector
beside z.
"""

import keras

from kgen.models.base import MODELS
from kgen.models.conv_vae import ConvVAE
from kgen.models.cvae import CVAE


@MODELS.register("conv_cvae", learning_rates={"elbo": 1e-3})
@keras.saving.register_keras_serializable("kgen")
class ConvCVAE(ConvVAE, CVAE):
    """A conditional VAE of convolutions. Arguments are those of CVAE; the network is "conv" when no other is named."""
