"""The terms of the evidence lower bound, per example, in nats: ELBO = -(distortion + rate).

Kingma & Welling 2014 (https://arxiv.org/abs/1312.6114), Eq. 3; `log_var` is always the logarithm of a variance.
"""

import math

import tensorflow as tf

LOG_2_PI = math.log(2.0 * math.pi)


def sum_per_example(values):
    """[B, ...] -> [B]: the sum over everything but the batch, in float32."""
    values = tf.cast(values, tf.float32)
    return tf.reduce_sum(tf.reshape(values, [tf.shape(values)[0], -1]), axis=1)


def bernoulli_nll(images, logits):
    """-log p(x | logits) = sum_i softplus(l_i) - x_i l_i, from logits: no probability is ever clipped.

    Args:
        images: [B, H, W, C] in [0, 1]. A likelihood for 0 and 1 only; for grey values it is a cross-entropy.
        logits: [B, H, W, C].

    Returns:
        [B] float32, nats an image.
    """
    images, logits = tf.cast(images, tf.float32), tf.cast(logits, tf.float32)
    return sum_per_example(tf.nn.softplus(logits) - images * logits)


def gaussian_nll(images, mean, log_var):
    """-log N(x; mean, exp(log_var)), summed over pixels; a density with respect to pixels in [0, 1].

    Args:
        images, mean: [B, H, W, C].
        log_var: log-variance, of any shape that broadcasts to the images'.

    Returns:
        [B] float32, nats an image (negative when the density exceeds 1).
    """
    images, mean = tf.cast(images, tf.float32), tf.cast(mean, tf.float32)
    log_var = tf.cast(log_var, tf.float32)
    return sum_per_example(0.5 * (LOG_2_PI + log_var + tf.square(images - mean) * tf.exp(-log_var)))


def standard_normal_kl(mean, log_var):
    """KL(N(mean, exp(log_var)) || N(0, I)) = 1/2 sum(exp(log_var) + mean^2 - 1 - log_var).

    Appendix B of Kingma & Welling 2014.

    Args:
        mean, log_var: [B, *latent_shape].

    Returns:
        [B] float32, nats an image.
    """
    mean, log_var = tf.cast(mean, tf.float32), tf.cast(log_var, tf.float32)
    return sum_per_example(0.5 * (tf.exp(log_var) + tf.square(mean) - 1.0 - log_var))


def reparameterize(mean, log_var, noise):
    """z = mean + exp(log_var / 2) * noise: a draw of N(mean, exp(log_var)) that gradients pass through.

    Args:
        mean, log_var, noise: [B, *latent_shape]; the noise is standard normal.
    """
    return mean + tf.exp(0.5 * log_var) * noise
