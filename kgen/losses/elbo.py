"""The terms of the evidence lower bound, per example, in nats: ELBO = -(reconstruction + kl).

Kingma & Welling 2014 (https://arxiv.org/abs/1312.6114), Eq. 3; `log_var` is always the logarithm of a variance.
"""

import math

import keras
import tensorflow as tf

LOG_2_PI = math.log(2.0 * math.pi)


def sum_per_example(values):
    """[B, ...] -> [B]: the sum over everything but the batch, in Keras' floatx (float32)."""
    values = tf.cast(values, keras.config.floatx())
    return tf.reduce_sum(tf.reshape(values, [tf.shape(values)[0], -1]), axis=1)


def bernoulli_nll(images, logits):
    """-log p(x | logits) = sum_i softplus(l_i) - x_i l_i, from logits: no probability is ever clipped.

    Args:
        images: [B, H, W, C] in [0, 1]. A likelihood for 0 and 1 only; for grey values it is a cross-entropy.
        logits: [B, H, W, C].

    Returns:
        [B] float32, nats per image.
    """
    images, logits = tf.cast(images, keras.config.floatx()), tf.cast(logits, keras.config.floatx())
    return _bernoulli_nll(images, logits)


@tf.custom_gradient
def _bernoulli_nll(images, logits):
    """softplus(l) = max(l, 0) + log(1 + e) and sigmoid(l) = (1 where l >= 0, else e) / (1 + e), both of e = exp(-|l|).

    So the pixels need one exponential, which XLA computes once for the loss and its gradient.
    """

    def gradients(upstream):
        upstream, e = tf.reshape(upstream, [-1] + [1] * (len(logits.shape) - 1)), tf.exp(-tf.abs(logits))
        sigmoid = tf.where(logits >= 0, tf.ones_like(e), e) / (1.0 + e)
        return -upstream * logits, upstream * (sigmoid - images)

    softplus = tf.maximum(logits, 0.0) + tf.math.log1p(tf.exp(-tf.abs(logits)))
    return sum_per_example(softplus - images * logits), gradients


def gaussian_nll(images, mean, log_var):
    """-log N(x; mean, exp(log_var)), summed over pixels; a density with respect to pixels in [0, 1].

    Args:
        images, mean: [B, H, W, C].
        log_var: log-variance, of any shape that broadcasts to the images'.

    Returns:
        [B] float32, nats per image (negative when the density exceeds 1).
    """
    images, mean = tf.cast(images, keras.config.floatx()), tf.cast(mean, keras.config.floatx())
    log_var = tf.cast(log_var, keras.config.floatx())
    return sum_per_example(0.5 * (LOG_2_PI + log_var + tf.square(images - mean) * tf.exp(-log_var)))


def standard_normal_kl(mean, log_var):
    """KL(N(mean, exp(log_var)) || N(0, 1)) = 1/2 (exp(log_var) + mean^2 - 1 - log_var) of every latent dimension.

    Appendix B of Kingma & Welling 2014; the KL of the posterior is their sum.

    Args:
        mean, log_var: [B, d].

    Returns:
        [B, d] float32, nats.
    """
    mean, log_var = tf.cast(mean, keras.config.floatx()), tf.cast(log_var, keras.config.floatx())
    return 0.5 * (tf.exp(log_var) + tf.square(mean) - 1.0 - log_var)


def free_bits_kl(kl, free_nats: float):
    """sum_j max(free_nats, mean_b kl_bj), Eq. 15 of Kingma et al. 2016 (https://arxiv.org/abs/1606.04934), per example.

    A dimension whose mean over the batch exceeds `free_nats` costs each example its own KL, any other the constant
    `free_nats`. Under a distribution strategy the batch is that of a replica.

    Args:
        kl: [B, d] nats, from `standard_normal_kl`.
        free_nats: threshold per dimension, in nats.

    Returns:
        [B] float32, nats per image.
    """
    above = tf.reduce_mean(kl, axis=0, keepdims=True) > free_nats
    return tf.reduce_sum(tf.where(above, kl, free_nats), axis=1)


def reparameterize(mean, log_var, noise):
    """z = mean + exp(log_var / 2) * noise: a sample of N(mean, exp(log_var)) that gradients pass through.

    Args:
        mean, log_var, noise: [B, *latent_shape]; the noise is standard normal.
    """
    return mean + tf.exp(0.5 * log_var) * noise
