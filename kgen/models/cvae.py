"""CVAE: the conditional variational autoencoder of Sohn et al. 2015
(https://papers.nips.cc/paper/5775-learning-structured-output-representation-using-deep-conditional-generative-models).

    q(z|x, y) and p(x|z, y) see the label y; p(z) = N(0, I) does not.

z has to say only what the label does not (slant, weight, style), so keep it small: a large latent takes over what the
label should say, and samples then disagree with their labels.
"""

import keras

from kgen.models.base import MODELS
from kgen.models.vae import VAE
from kgen.spec import DataSpec


@MODELS.register("cvae", learning_rates={"elbo": 1e-3})
@keras.saving.register_keras_serializable("kgen")
class CVAE(VAE):
    """A VAE whose encoder and decoder are given the label. Arguments are those of VAE."""

    conditional = True

    def __init__(self, spec: DataSpec, *, latent_dim: int = 2, **kwargs):
        super().__init__(spec, latent_dim=latent_dim, **kwargs)
