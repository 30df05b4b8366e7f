"""Penalties on the slope of a discriminator, per example.

TensorFlow-GAN's gradient penalty needs variable scopes of TensorFlow 1; these are kgen's own.
"""

from collections.abc import Callable

import tensorflow as tf

from kgen.losses.elbo import sum_per_example

SMALLEST_SQUARE = 1e-12
"""Added under the root: its gradient at 0 would be infinite, and times 0 not a number."""


def squared_slopes(discriminator: Callable, images):
    """|| gradient of D(x) with respect to x ||^2 of every image, and D(x).

    Args:
        discriminator: images -> logits [B]; an image's logit depends on that image alone.
        images: [B, H, W, C].

    Returns:
        ([B], [B]) float32.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = discriminator(images)
    return sum_per_example(tf.square(tape.gradient(logits, images))), logits


def gradient_penalty(discriminator: Callable, real, fake, weights):
    """(|| gradient of D at x^ || - 1)^2 between real and generated images: Gulrajani et al. 2017, Eq. 3
    (https://arxiv.org/abs/1704.00028).

    Args:
        discriminator: images -> logits [B].
        real, fake: [B, H, W, C].
        weights: [B], samples of U(0, 1): x^ = weight * real + (1 - weight) * fake.

    Returns:
        [B] float32, not yet multiplied by lambda.
    """
    weights = tf.reshape(weights, [-1, 1, 1, 1])
    squares, _ = squared_slopes(discriminator, weights * real + (1.0 - weights) * fake)
    return tf.square(tf.sqrt(squares + SMALLEST_SQUARE) - 1.0)


def zero_centered(discriminator: Callable, images):
    """1/2 || gradient of D at x ||^2: R1 at real images, R2 at generated ones; Mescheder et al. 2018, Eq. 9 and 10
    (https://arxiv.org/abs/1801.04406).

    Returns:
        ([B] float32, not yet multiplied by gamma; D(x) [B]).
    """
    squares, logits = squared_slopes(discriminator, images)
    return 0.5 * squares, logits
