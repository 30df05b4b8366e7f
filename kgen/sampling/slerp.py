"""The way between two latent points."""

import tensorflow as tf

TINY = 1e-12
NEARLY_STRAIGHT = 1e-4
"""The sine of an angle below which a great circle is taken for a line."""


def slerp(z0, z1, t):
    """The point per share t of the way from z0 to z1 along a great circle; t: [B] in [0, 1].

    Slerp of Shoemake 1985, for latent points after White 2016 (https://arxiv.org/abs/1609.04468): normal points lie
    near a sphere, and the straight line between two of them runs through where there are none. The direction goes along
    the great circle and the length along the line from one to the other: weights of the points themselves explode near
    opposite directions when their lengths differ. The angle is Kahan's, exact also for points that nearly coincide, and
    the weights are those of the straight line where they do.
    """
    axes = tuple(range(1, z0.shape.rank))
    t = tf.reshape(t, (-1, *(1 for _ in axes)))

    def length(x):
        return tf.sqrt(tf.reduce_sum(tf.square(x), axis=axes, keepdims=True))

    lengths = length(z0), length(z1)
    one, other = z0 / tf.maximum(lengths[0], TINY), z1 / tf.maximum(lengths[1], TINY)
    angle = 2.0 * tf.atan2(length(one - other), length(one + other))
    curved = tf.sin(angle) > NEARLY_STRAIGHT
    sine = tf.where(curved, tf.sin(angle), tf.ones_like(angle))
    first = tf.where(curved, tf.sin((1.0 - t) * angle) / sine, 1.0 - t)
    second = tf.where(curved, tf.sin(t * angle) / sine, t)
    return (first * one + second * other) * ((1.0 - t) * lengths[0] + t * lengths[1])
