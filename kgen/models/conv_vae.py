"""ConvVAE: a VAE whose encoder and decoder are convolutional; see `vae` for the equations.

The choice for images of 32 pixels or more a side, and for colour: it has fewer weights than dense layers need, and
keeps the edges that those blur.
"""

import keras

from kgen.models.base import MODELS
from kgen.models.vae import VAE
from kgen.spec import DataSpec


@MODELS.register("conv_vae", learning_rates={"elbo": 1e-3})
@keras.saving.register_keras_serializable("kgen")
class ConvVAE(VAE):
    """A VAE of convolutions. Arguments are those of VAE; the network is "conv" when no other is named."""

    def __init__(self, spec: DataSpec, *, network: str = "conv", **kwargs):
        super().__init__(spec, network=network, **kwargs)
