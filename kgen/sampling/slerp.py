"""Spherical interpolation between latent points."""

import tensorflow as tf

EPSILON = 1e-12
SMALL_SINE = 1e-4
"""Below this sine of the angle, directions are interpolated linearly."""


def slerp(z0, z1, t):
    """The points at shares t of the way from z0 to z1: directions by slerp, lengths linearly.

    Slerp of Shoemake 1985, for latent points after White 2016 (https://arxiv.org/abs/1609.04468): samples of N(0, I)
    lie near a sphere, and a straight line between two of them leaves it. Slerp of the points themselves diverges near
    opposite directions where their lengths differ, so only the directions are interpolated by it. The angle is Kahan's,
    which is accurate also for points that nearly coincide; there the weights are those of a straight line.

    Args:
        z0, z1: [B, *latent_shape] float32.
        t: [B] float32 in [0, 1].

    Returns:
        [B, *latent_shape] float32.
    """
    axes = tuple(range(1, z0.shape.rank))
    t = tf.reshape(t, (-1, *(1 for _ in axes)))

    def length(x):
        return tf.sqrt(tf.reduce_sum(tf.square(x), axis=axes, keepdims=True))

    lengths = length(z0), length(z1)
    u0, u1 = z0 / tf.maximum(lengths[0], EPSILON), z1 / tf.maximum(lengths[1], EPSILON)
    angle = 2.0 * tf.atan2(length(u0 - u1), length(u0 + u1))
    curved = tf.sin(angle) > SMALL_SINE
    sine = tf.where(curved, tf.sin(angle), tf.ones_like(angle))
    w0 = tf.where(curved, tf.sin((1.0 - t) * angle) / sine, 1.0 - t)
    w1 = tf.where(curved, tf.sin(t * angle) / sine, t)
    return (w0 * u0 + w1 * u1) * ((1.0 - t) * lengths[0] + t * lengths[1])
