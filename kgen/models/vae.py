"""VAE: the variational autoencoder of Kingma & Welling 2014 (https://arxiv.org/abs/1312.6114).

    q(z|x) = N(z; mean(x), exp(log_var(x)));  p(z) = N(0, I);  p(x|z): see `kgen.nn.likelihoods`
    loss = distortion + beta * rate;  distortion = E_q[-log p(x|z)] (one draw);  rate = KL(q(z|x) || p(z))

With beta = 1 the loss is the negative ELBO in nats an image; beta > 1 is Eq. 4 of Higgins et al. 2017 (beta-VAE). The
rate that is reported is never clipped; free bits (Kingma et al. 2016) change the loss alone. The first choice for
small images: it trains in a minute, encodes as well as it generates, and its loss is a bound on the likelihood.
"""

import keras

from kgen.models.autoencoder import Autoencoder
from kgen.models.base import MODELS, check_at_least
from kgen.nn import NETWORKS, NetworkOptions
from kgen.nn.likelihoods import LIKELIHOODS
from kgen.spec import DataSpec


@MODELS.register("vae", learning_rates={"elbo": 1e-3})
@keras.saving.register_keras_serializable("kgen")
class VAE(Autoencoder):
    """A variational autoencoder.

    Args:
        spec: of the data.
        latent_dim: length of z.
        network: "mlp", "conv" (8 to 128 pixels a side), or that of an experiment, with defaults of its own for the
            next four: "conv_mlp", "pooled" (sides divisible by 8), "bilinear" (28x28), "widening_mlp"; see NETWORKS.
        hidden: widths of the dense layers, from the image to the latent; the decoder mirrors them.
        filters: of the convolutions, from the image to the latent; of "conv" one a halving of the image.
        activation: of the hidden layers, a Keras name.
        batch_norm: batch normalization in the hidden layers.
        likelihood: "bernoulli" (from logits), "gaussian" (fixed stddev), "gaussian_learned".
        stddev: of the Gaussian likelihoods, in units of [0, 1] pixels.
        beta: weight of the rate.
        kl_warmup_steps: training steps over which the weight of the rate rises linearly from 0 to beta.
        free_bits: nats of rate a latent dimension (mean over the batch) that training does not pay for: Eq. 15 of
            Kingma et al. 2016 (https://arxiv.org/abs/1606.04934). The reported rate is whole.
        seed: root of the initial weights and the noise.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        latent_dim: int = 20,
        network: str = "mlp",
        hidden: tuple[int, ...] = (400,),
        filters: tuple[int, ...] = (32, 64, 128, 256),
        activation: str = "relu",
        batch_norm: bool = False,
        likelihood: str = "bernoulli",
        stddev: float = 0.1,
        beta: float = 1.0,
        kl_warmup_steps: int = 0,
        free_bits: float = 0.0,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(spec, beta=beta, kl_warmup_steps=kl_warmup_steps, free_bits=free_bits, seed=seed, name=name)
        check_at_least(1, latent_dim=latent_dim, hidden=min(hidden, default=1), filters=min(filters, default=0))
        self._model_args = {
            "latent_dim": latent_dim, "network": network, "hidden": list(hidden), "filters": list(filters),
            "activation": activation, "batch_norm": batch_norm, "likelihood": likelihood, "stddev": stddev,
            "beta": beta, "kl_warmup_steps": kl_warmup_steps, "free_bits": free_bits,
        }  # fmt: skip
        self.latent_shape, self.code_dim = (latent_dim,), latent_dim
        options = NetworkOptions(
            spec, latent_dim, self.conditional, tuple(hidden), tuple(filters), activation, batch_norm, seed
        )
        self.encoder = NETWORKS[network].encoder(options)
        self.decoder = NETWORKS[network].decoder(options)
        self.likelihood = LIKELIHOODS[likelihood](stddev=stddev)
        self.levels = self.likelihood.levels

    def model_args(self):
        return dict(self._model_args)

    def elbo_networks(self):
        return (self.encoder, self.decoder, self.likelihood)

    def nll(self, images, code, labels=None, training: bool = False):
        return self.likelihood.nll(images, self.decoder(self.with_labels(code, labels), training=training))

    def generate(self, z, labels=None):
        """The mean image of p(x|z): [B, H, W, C] float32 in [0, 1]."""
        return self.likelihood(self.decoder(self.with_labels(z, labels), training=False))
