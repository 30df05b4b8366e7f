"""VAE: the variational autoencoder of Kingma & Welling 2014 (https://arxiv.org/abs/1312.6114).

    q(z|x) = N(z; mean(x), exp(log_var(x)));  p(z) = N(0, I);  p(x|z): see `kgen.nn.likelihoods`
    loss = reconstruction + beta * kl;  reconstruction = E_q[-log p(x|z)] (one sample);  kl = KL(q(z|x) || p(z))

With beta = 1 the loss is the negative ELBO in nats per image; beta > 1 is Eq. 4 of Higgins et al. 2017 (beta-VAE). The
kl that is reported is never clipped; free bits (Kingma et al. 2016) change the loss alone. A conditional VAE (Sohn et
al. 2015) gives the label to encoder and decoder: q(z|x, y) and p(x|z, y).

`Autoencoder` is what every variational autoencoder shares: the encoder, the bound and its one phase. `VAE` decodes
in one pass; `kgen.models.pixel_vae` pixel by pixel.
"""

import keras
import tensorflow as tf

from kgen.losses import elbo
from kgen.models.base import GenerativeModel, Phase, check_at_least
from kgen.nn import NETWORKS, NetworkOptions
from kgen.nn.likelihoods import LIKELIHOODS
from kgen.spec import DataSpec

LOG_VAR_RANGE = (-30.0, 20.0)
"""Of the posterior: beyond it exp(log_var) under- or overflows in float32 arithmetic. The range of the first stage of
Rombach et al. 2022 (https://arxiv.org/abs/2112.10752), class DiagonalGaussianDistribution."""


class Autoencoder(GenerativeModel):
    """Base of the variational autoencoders. A subclass builds `encoder`, and defines `elbo_networks` and `nll`.

    Args:
        spec: of the data.
        beta: weight of the KL term.
        kl_warmup_steps: training steps over which the weight of the KL term rises linearly from 0 to beta.
        free_bits: nats of KL per latent dimension that are free in training; see `kgen.losses.elbo.free_bits_kl`.
        conditional: the networks are given the label.
        seed: root of the initial weights and the noise.
        name: of the preset that it was built from.

    Attributes:
        encoder: images (and labels) -> mean, log_var of q(code | x).
    """

    has_encoder = has_likelihood = True
    latent_network = "decoder"
    encoder: keras.Model

    def __init__(
        self,
        spec: DataSpec,
        *,
        beta: float,
        kl_warmup_steps: int,
        free_bits: float,
        conditional: bool = False,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(spec, conditional=conditional, seed=seed, name=name)
        check_at_least(0, beta=beta, kl_warmup_steps=kl_warmup_steps, free_bits=free_bits)
        self.beta, self.kl_warmup_steps, self.free_bits = beta, kl_warmup_steps, free_bits

    @classmethod
    def default_args(cls, args):
        """Defaults of a network that was made for one experiment, e.g. an activation."""
        return NETWORKS.defaults(args["network"]).get("model_args", {}) if "network" in args else {}

    # To define in a subclass ----------------------------------------------------------------------------------------

    def elbo_networks(self) -> tuple[keras.layers.Layer, ...]:
        """The networks that the phase "elbo" trains."""
        raise NotImplementedError(f"{type(self).__name__} must define elbo_networks()")

    def nll(self, images, code, labels=None, training: bool = False):
        """-log p(images | code): [B] float32, nats per image; code: [B, code_dim]."""
        raise NotImplementedError(f"{type(self).__name__} must define nll()")

    # The bound ------------------------------------------------------------------------------------------------------

    def phases(self):
        return (Phase("elbo", self.elbo_terms, self.elbo_networks(), ("loss", "reconstruction", "kl")),)

    def elbo_terms(self, images, labels, training: bool = False):
        """{"loss", "reconstruction", "kl"}: each [B] float32, nats per image."""
        mean, log_var = self.posterior(images, labels, training=training)
        code = elbo.reparameterize(mean, log_var, self.noise(tf.shape(mean), "z", training=training))
        reconstruction = self.nll(images, code, labels, training=training)
        kl_per_dimension = elbo.standard_normal_kl(mean, log_var)
        kl = tf.reduce_sum(kl_per_dimension, axis=1)
        penalized = elbo.free_bits_kl(kl_per_dimension, self.free_bits) if training and self.free_bits else kl
        loss = reconstruction + self.kl_weight(training) * penalized
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl}

    def kl_weight(self, training: bool):
        """beta, or its share so far during the KL warm-up."""
        if not training or not self.kl_warmup_steps:
            return self.beta
        return self.beta * tf.minimum(tf.cast(self.step, keras.config.floatx()) / self.kl_warmup_steps, 1.0)

    def posterior(self, images, labels=None, training: bool = False):
        """mean and log_var of q(code|x), each [B, code_dim] float32, log_var in LOG_VAR_RANGE.

        Args:
            images: [B, H, W, C] in [0, 1].
            labels: [B] int32, for a conditional model.
            training: whether batch normalization takes the statistics of the batch.
        """
        mean, log_var = self.encoder(self.with_labels(images, labels), training=training)
        return mean, tf.clip_by_value(log_var, *LOG_VAR_RANGE)

    def encode(self, images, labels=None):
        """mean and log_var of q(z|x), each [B, *latent_shape] float32; images: [B, H, W, C] in [0, 1].

        Where z also holds the noise of pixels, the posterior of that noise is its prior.
        """
        rest = [[0, 0], [0, self.latent_shape[0] - self.code_dim]]
        return tuple(tf.pad(part, rest) if rest[1][1] else part for part in self.posterior(images, labels))

    def call(self, inputs, training: bool = False):
        """(images, labels) -> the reconstruction from the posterior's mean, [B, H, W, C] in [0, 1]."""
        images, labels = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        return self.generate(self.encode(images, labels)[0], labels)

    def model_args(self):
        return dict(self._model_args)


@keras.saving.register_keras_serializable("kgen")
class VAE(Autoencoder):
    """A variational autoencoder.

    Args:
        spec: of the data.
        latent_dim: length of z.
        network: a name in NETWORKS. "conv" takes 8 to 128 pixels per side. Those of an experiment have defaults of
            their own for the next four; of them "pooled" takes sides divisible by 8, and "bilinear" takes 28x28.
        hidden: widths of the dense layers, from the image to the latent; the decoder mirrors them.
        filters: of the convolutions, from the image to the latent; of "conv" one per halving of the image.
        activation: of the hidden layers, a Keras name.
        batch_norm: batch normalization in the hidden layers.
        likelihood: "bernoulli" (from logits), "gaussian" (fixed stddev), "gaussian_learned".
        stddev: of the Gaussian likelihoods, in units of [0, 1] pixels.
        beta: weight of the KL term.
        kl_warmup_steps: training steps over which the weight of the KL term rises linearly from 0 to beta.
        free_bits: nats of KL per latent dimension (mean over the batch) that are free in training: Eq. 15 of Kingma et
            al. 2016 (https://arxiv.org/abs/1606.04934). The reported KL is whole.
        conditional: encoder and decoder are given the label.
        seed: root of the initial weights and the noise.
        name: of the preset that it was built from.

    Attributes:
        decoder: z (and labels) -> logits of p(x|z).
        likelihood: p(x|z) from those logits.
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
        conditional: bool = False,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(
            spec, beta=beta, kl_warmup_steps=kl_warmup_steps, free_bits=free_bits, conditional=conditional, seed=seed,
            name=name,
        )  # fmt: skip
        check_at_least(1, latent_dim=latent_dim, hidden=min(hidden, default=1), filters=min(filters, default=0))
        self._model_args = {
            "latent_dim": latent_dim, "network": network, "hidden": list(hidden), "filters": list(filters),
            "activation": activation, "batch_norm": batch_norm, "likelihood": likelihood, "stddev": stddev,
            "beta": beta, "kl_warmup_steps": kl_warmup_steps, "free_bits": free_bits,
        }  # fmt: skip
        self.latent_shape, self.code_dim = (latent_dim,), latent_dim
        options = NetworkOptions(
            spec, latent_dim, conditional, tuple(hidden), tuple(filters), activation, batch_norm, seed
        )
        self.encoder = NETWORKS[network].encoder(options)
        self.decoder = NETWORKS[network].decoder(options)
        self.likelihood = LIKELIHOODS[likelihood](stddev=stddev)
        self.levels = self.likelihood.levels

    def elbo_networks(self):
        return (self.encoder, self.decoder, self.likelihood)

    def nll(self, images, code, labels=None, training: bool = False):
        return self.likelihood.nll(images, self.decoder(self.with_labels(code, labels), training=training))

    def generate(self, z, labels=None):
        """The mean image of p(x|z): [B, H, W, C] float32 in [0, 1]."""
        return self.likelihood(self.decoder(self.with_labels(z, labels), training=False))
