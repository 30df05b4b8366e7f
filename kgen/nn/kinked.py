"""Activations of straight pieces for discriminators, quick where a penalty differentiates twice.

The slope of such a function does not change with its input: its second derivative is 0, but TensorFlow takes that for a
tensor of zeros, and passes it back through all convolutions before. Here it ends where it begins.
"""

import tensorflow as tf

SLOPE = 0.2
"""Of a leaky ReLU below 0: Keras' default, and that of Radford et al. 2016."""


@tf.custom_gradient
def relu(x):
    """max(x, 0)."""

    def gradient(upstream):
        return tf.raw_ops.ReluGrad(gradients=upstream, features=tf.stop_gradient(x))

    return tf.nn.relu(x), gradient


@tf.custom_gradient
def leaky_relu(x):
    """x above 0, SLOPE * x below."""

    def gradient(upstream):
        return tf.raw_ops.LeakyReluGrad(gradients=upstream, features=tf.stop_gradient(x), alpha=SLOPE)

    return tf.nn.leaky_relu(x, alpha=SLOPE), gradient


KINKED = {"relu": relu, "leaky_relu": leaky_relu}
"""Keras name -> the function."""
