"""Upsampling and convolution in one step, against the two steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.nn.cpu_kernels import UpsampledConv2D, bilinear


def two_steps(x, kernel, bias):
    """TensorFlow's own resize, padding and convolution."""
    size = [2 * side for side in x.shape[1:3]]
    x = tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True)
    return tf.nn.conv2d(tf.pad(x, [[0, 0], [2, 2], [2, 2], [0, 0]]), kernel, 1, "VALID") + bias


def example(shape, filters: int):
    generator = np.random.default_rng(0)
    layer = UpsampledConv2D(filters)
    layer.build(shape)
    layer.bias.assign(generator.normal(size=filters))
    return layer, tf.constant(generator.normal(size=shape), tf.float32)


@pytest.mark.parametrize("shape", [(2, 5, 5, 4), (2, 3, 7, 1), (1, 1, 2, 3)])
def test_it_is_upsampling_then_padding_then_convolution(shape):
    layer, x = example(shape, 3)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        one, two = layer(x), two_steps(x, layer.kernel.value, layer.bias.value)
        losses = tf.reduce_sum(one**3), tf.reduce_sum(two**3)
    assert one.shape == layer.compute_output_shape(shape) == (shape[0], 2 * shape[1] + 2, 2 * shape[2] + 2, 3)
    np.testing.assert_allclose(one, two, atol=1e-5)
    for source in (x, layer.kernel.value, layer.bias.value):
        moves = [tape.gradient(loss, source) for loss in losses]
        np.testing.assert_allclose(*moves, rtol=1e-4, atol=1e-4)


def test_corner_pixels_stay_in_the_corners():
    # Six places on three pixels: 0, 0.4, 0.8, 1.2, 1.6, 2.
    expected = [[1, 0, 0], [0.6, 0.4, 0], [0.2, 0.8, 0], [0, 0.8, 0.2], [0, 0.4, 0.6], [0, 0, 1]]
    np.testing.assert_allclose(bilinear(3), expected, atol=1e-12)
    np.testing.assert_array_equal(bilinear(1), [[1], [1]])


def test_it_comes_back_from_its_configuration():
    layer = UpsampledConv2D(2, use_bias=False, kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    x = np.ones((1, 2, 2, 1), np.float32)
    np.testing.assert_array_equal(again(x), layer(x))
    assert len(again.weights) == 1
