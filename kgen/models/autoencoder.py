"""Autoencoder: what all variational autoencoders share: an encoder, the rate, and the phase that lowers the bound.

    loss = distortion + beta * rate;  distortion = E_q[-log p(x|z)] (one draw);  rate = KL(q(z|x) || p(z))

Kingma & Welling 2014 (https://arxiv.org/abs/1312.6114). A subclass builds `encoder`, says of what networks its phase
is made, and what p(x|z) is (`nll`).
"""

import keras
import tensorflow as tf

from kgen.losses import elbo
from kgen.models.base import GenerativeModel, Phase, check_at_least
from kgen.nn import NETWORKS
from kgen.spec import DataSpec


class Autoencoder(GenerativeModel):
    """Base of the variational autoencoders.

    Args:
        spec: of the data.
        beta: weight of the rate.
        kl_warmup_steps: training steps over which the weight of the rate rises linearly from 0 to beta.
        free_bits: nats of rate a latent dimension that training does not pay for; see `kgen.losses.elbo.paid_rate`.
        seed: root of the initial weights and the noise.

    Attributes:
        code_dim: length of what is encoded: the leading entries of z. In a model whose z also holds the noise of every
            pixel, that noise follows.
        encoder: images (and labels) -> mean, log_var of q(code | x).
        levels: of a pixel, where `nll` is a probability of pixels that have only so many (with respect to the counting
            measure); None where it is a density of pixels in [0, 1].
        rounds: whether `nll` rounds pixels to those levels, and so is a probability also for those that lie between.
    """

    code_dim: int
    encoder: keras.Model
    levels: int | None
    rounds = False

    def __init__(
        self,
        spec: DataSpec,
        *,
        beta: float,
        kl_warmup_steps: int,
        free_bits: float,
        seed: int = 0,
        name: str | None = None,
    ):
        super().__init__(spec, seed=seed, name=name)
        check_at_least(0, beta=beta, kl_warmup_steps=kl_warmup_steps, free_bits=free_bits)
        self.beta, self.kl_warmup_steps, self.free_bits = beta, kl_warmup_steps, free_bits

    @classmethod
    def default_args(cls, args):
        """What the network brings along that was made for one experiment, e.g. an activation."""
        return NETWORKS.defaults(args["network"]).get("model_args", {}) if "network" in args else {}

    # What a subclass says -------------------------------------------------------------------------------------------

    def elbo_networks(self) -> tuple[keras.layers.Layer, ...]:
        """The networks that the phase "elbo" moves."""
        raise NotImplementedError(f"{type(self).__name__} must define elbo_networks()")

    def nll(self, images, code, labels=None, training: bool = False):
        """-log p(images | code): [B] float32, nats an image; code: [B, code_dim]."""
        raise NotImplementedError(f"{type(self).__name__} must define nll()")

    # What they share ------------------------------------------------------------------------------------------------

    def phases(self):
        return (Phase("elbo", self.elbo_terms, self.elbo_networks(), ("loss", "distortion", "rate")),)

    def elbo_terms(self, images, labels, training: bool = False):
        """{"loss", "distortion", "rate"}: each [B] float32, nats an image."""
        mean, log_var = self.posterior(images, labels, training=training)
        code = elbo.reparameterize(mean, log_var, self.noise(tf.shape(mean), "z", training=training))
        distortion = self.nll(images, code, labels, training=training)
        rates = elbo.standard_normal_kls(mean, log_var)
        rate = tf.reduce_sum(rates, axis=1)
        paid = elbo.paid_rate(rates, self.free_bits) if training and self.free_bits else rate
        return {"loss": distortion + self.rate_weight(training) * paid, "distortion": distortion, "rate": rate}

    def rate_weight(self, training: bool):
        """beta, or its share so far during the KL warm-up."""
        if not training or not self.kl_warmup_steps:
            return self.beta
        return self.beta * tf.minimum(tf.cast(self.step, keras.config.floatx()) / self.kl_warmup_steps, 1.0)

    def posterior(self, images, labels=None, training: bool = False):
        """mean and log_var of q(code|x), each [B, code_dim] float32; images: [B, H, W, C] in [0, 1]."""
        return self.encoder(self.with_labels(images, labels), training=training)

    def encode(self, images, labels=None):
        """mean and log_var of q(z|x), each [B, *latent_shape] float32; images: [B, H, W, C] in [0, 1].

        Of the noise of pixels, where z holds any, an image says nothing: its posterior is the prior.
        """
        rest = [[0, 0], [0, self.latent_shape[0] - self.code_dim]]
        return tuple(tf.pad(part, rest) if rest[1][1] else part for part in self.posterior(images, labels))

    def call(self, inputs, training: bool = False):
        """(images, labels) -> the reconstruction from the posterior's mean, [B, H, W, C] in [0, 1]."""
        images, labels = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        return self.generate(self.encode(images, labels)[0], labels)
