"""VAE: the variational autoencoder of Kingma & Welling 2014 (https://arxiv.org/abs/1312.6114).

    q(z|x) = N(z; mean(x), exp(log_var(x)));  p(z) = N(0, I);  p(x|z): see `kgen.nn.likelihoods`
    loss = distortion + beta * rate;  distortion = E_q[-log p(x|z)] (one draw);  rate = KL(q(z|x) || p(z))

With beta = 1 the loss is the negative ELBO in nats an image; beta > 1 is Eq. 4 of Higgins et al. 2017 (beta-VAE). The
rate that is reported is never clipped; free bits (Kingma et al. 2016) change the loss alone. The first choice for small images: it trains in a minute, encodes as well as it generates, and its loss is a bound on the
likelihood.
"""

import keras
import tensorflow as tf

from kgen.errors import UserError
from kgen.losses import elbo
from kgen.models.base import MODELS, GenerativeModel, Phase
from kgen.nn import NETWORKS, NetworkOptions
from kgen.nn.likelihoods import LIKELIHOODS
from kgen.spec import DataSpec


@MODELS.register("vae", learning_rates={"elbo": 1e-3})
@keras.saving.register_keras_serializable("kgen")
class VAE(GenerativeModel):
    """A variational autoencoder.

    Args:
        spec: of the data.
        latent_dim: length of z.
        network: "mlp", or "conv" (8 to 128 pixels a side).
        hidden: widths of the dense layers, from the image to the latent; the decoder mirrors them.
        filters: of the convolutions of "conv", one a halving of the image.
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
        super().__init__(spec, seed=seed, name=name)
        check_at_least(1, latent_dim=latent_dim, hidden=min(hidden, default=1), filters=min(filters, default=0))
        check_at_least(0, beta=beta, kl_warmup_steps=kl_warmup_steps, free_bits=free_bits)
        self._model_args = {
            "latent_dim": latent_dim, "network": network, "hidden": list(hidden), "filters": list(filters),
            "activation": activation, "batch_norm": batch_norm, "likelihood": likelihood, "stddev": stddev,
            "beta": beta, "kl_warmup_steps": kl_warmup_steps, "free_bits": free_bits,
        }  # fmt: skip
        self.latent_shape, self.code_dim = (latent_dim,), latent_dim
        self.beta, self.kl_warmup_steps, self.free_bits = beta, kl_warmup_steps, free_bits
        options = NetworkOptions(
            spec, latent_dim, self.conditional, tuple(hidden), tuple(filters), activation, batch_norm, seed
        )
        self.encoder = NETWORKS[network].encoder(options)
        self.decoder = NETWORKS[network].decoder(options)
        self.likelihood = LIKELIHOODS[likelihood](stddev=stddev)

    def model_args(self):
        return dict(self._model_args)

    def phases(self):
        networks = (self.encoder, self.decoder, self.likelihood)
        return (Phase("elbo", self.elbo_terms, networks, ("loss", "distortion", "rate")),)

    def elbo_terms(self, images, labels, training: bool = False):
        """{"loss", "distortion", "rate"}: each [B] float32, nats an image."""
        mean, log_var = self.posterior(images, labels, training=training)
        code = elbo.reparameterize(mean, log_var, self.noise(tf.shape(mean), "z", training=training))
        distortion = self.nll(images, code, labels, training=training)
        rates = elbo.standard_normal_kls(mean, log_var)
        rate = tf.reduce_sum(rates, axis=1)
        paid = elbo.paid_rate(rates, self.free_bits) if training and self.free_bits else rate
        return {"loss": distortion + self.rate_weight(training) * paid, "distortion": distortion, "rate": rate}

    def posterior(self, images, labels=None, training: bool = False):
        """mean and log_var of q(code|x), each [B, code_dim] float32; images: [B, H, W, C] in [0, 1]."""
        return self.encoder(self.with_labels(images, labels), training=training)

    def nll(self, images, code, labels=None, training: bool = False):
        """-log p(images | code): [B] float32, nats an image; code: [B, code_dim]."""
        return self.likelihood.nll(images, self.decoder(self.with_labels(code, labels), training=training))

    def rate_weight(self, training: bool):
        """beta, or its share so far during the KL warm-up."""
        if not training or not self.kl_warmup_steps:
            return self.beta
        return self.beta * tf.minimum(1.0, tf.cast(self.step, tf.float32) / self.kl_warmup_steps)

    def with_labels(self, x, labels):
        """What a network takes: x, or [x, labels] in a conditional model."""
        if not self.conditional:
            return x
        if labels is None:
            raise UserError(f"model {self.registered_name!r} is conditional: give labels, one an image")
        return [tf.convert_to_tensor(x), tf.convert_to_tensor(labels)]

    def generate(self, z, labels=None):
        """The mean image of p(x|z): [B, H, W, C] float32 in [0, 1]."""
        return self.likelihood(self.decoder(self.with_labels(z, labels), training=False))

    def encode(self, images, labels=None):
        """mean and log_var of q(z|x), each [B, latent_dim] float32; images: [B, H, W, C] in [0, 1]."""
        return self.posterior(images, labels)

    def call(self, inputs, training: bool = False):
        """(images, labels) -> the reconstruction from the posterior's mean, [B, H, W, C] in [0, 1]."""
        images, labels = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        return self.generate(self.encode(images, labels)[0], labels)


def check_at_least(least: float, **values: float):
    """Raises UserError for the first value under `least`."""
    for name, value in values.items():
        if not value >= least:
            raise UserError(f"model_args.{name} must be at least {least}. Received: {value}")
