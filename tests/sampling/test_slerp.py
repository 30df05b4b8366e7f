"""Slerp: known points, lengths near opposite directions, and degenerate cases."""

import numpy as np
import tensorflow as tf

from kgen import random
from kgen.sampling.slerp import slerp


def test_known_points():
    x, y = np.zeros((2, 5, 2)), None
    x[0, :, 0], x[1, :, 1] = 3.0, 3.0
    t = np.linspace(0, 1, 5)
    y = slerp(*tf.constant(x, tf.float32), tf.constant(t, tf.float32)).numpy()
    angle = t * np.pi / 2  # a quarter of a circle of radius 3
    np.testing.assert_allclose(y, 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1), atol=1e-6)
    nearly = tf.constant([[-1.0, 0.001]] * 5)  # opposite, and a third as long: lengths go from 3 to 1, none explodes
    lengths = np.linalg.norm(slerp(tf.constant(x[0], tf.float32), nearly, tf.constant(t, tf.float32)), axis=1)
    np.testing.assert_allclose(lengths, 3 - 2 * t, atol=6e-4)  # ten roundings to 6e-8 over the angle's sine, 0.001
    z = tf.constant(random.portable_normals(np.arange(4, dtype=np.int32), 8))
    np.testing.assert_allclose(slerp(z, z, tf.fill([4], 0.3)), z, atol=1e-6)  # a point and itself
    np.testing.assert_allclose(slerp(z, -z, tf.fill([4], 0.25)), z / 2, atol=1e-5)  # no circle is the shortest: a line
    np.testing.assert_array_equal(slerp(0 * z, 0 * z, tf.fill([4], 0.5)), 0 * z)
