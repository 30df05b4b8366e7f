"""Pixels of a few levels: what an autoregressive decoder predicts, one after the other."""

import math

import keras
import tensorflow as tf

from kgen.losses.elbo import sum_per_example


def to_levels(images, levels: int):
    """images in [0, 1] -> the nearest of so many equally spaced levels, 0 to levels - 1, [B, H, W, C] float32."""
    return tf.round(tf.cast(images, keras.config.floatx()) * (levels - 1))


def signed(pixels, levels: int):
    """Levels -> what a network sees, [-1, 1]."""
    return pixels * (2.0 / (levels - 1)) - 1.0


def nll(pixels, logits):
    """-log p of pixels from logits: Bernoulli from one logit, categorical from one a level.

    Args:
        pixels: [B, H, W, C] float32 levels.
        logits: [B, H, W, C, 1] for two levels, or [B, H, W, C, levels].

    Returns:
        [B] float32, nats an image, with respect to the counting measure of the levels.
    """
    if logits.shape[-1] == 1:
        return sum_per_example(tf.nn.softplus(logits[..., 0]) - pixels * logits[..., 0])
    return sum_per_example(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.cast(pixels, tf.int32), logits=logits)
    )


def draw(logits, uniform):
    """The level that uniform noise picks, [...] float32: by the inverse distribution function, which of two levels
    gives the upper one to low noise, of more to high noise.

    Args:
        logits: [..., 1], or [..., levels].
        uniform: [...] in [0, 1].
    """
    if logits.shape[-1] == 1:
        return tf.cast(uniform < tf.sigmoid(logits[..., 0]), keras.config.floatx())
    below = tf.cumsum(tf.nn.softmax(logits), axis=-1)[..., :-1]
    return tf.reduce_sum(tf.cast(uniform[..., None] >= below, keras.config.floatx()), axis=-1)


def normal_cdf(x):
    """The standard normal distribution function to 2e-7, of operations that every runtime has (TFLite has no erf).

    Abramowitz & Stegun 1964, 26.2.17 with the constants of 7.1.26.
    """
    a = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    t = 1.0 / (1.0 + 0.3275911 / math.sqrt(2.0) * tf.abs(x))
    polynomial = t * (a[0] + t * (a[1] + t * (a[2] + t * (a[3] + t * a[4]))))
    tail = 0.5 * polynomial * tf.exp(-0.5 * x * x)
    return tf.where(x < 0, tail, 1.0 - tail)
