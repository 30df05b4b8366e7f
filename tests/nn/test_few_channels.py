"""The faster convolutions between images and maps against TensorFlow's own, with their first and second derivatives."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.nn import cpu_kernels

SIZES = [((28, 28), 4, 2), ((7, 9), 3, 2), ((9, 7), 5, 3), ((5, 6), 2, 3), ((8, 8), 4, 4)]


def normal(*shape, seed=0):
    return tf.constant(np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(("size", "taps", "stride"), SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_both_equal_tensorflows(size, taps, stride, channels):
    images, kernel = normal(2, *size, channels), normal(taps, taps, channels, 6)
    expected = tf.nn.conv2d(images, kernel, stride, "SAME") + normal(6)
    found = cpu_kernels.convolved(images, kernel, normal(6), (stride, stride))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    maps = normal(*expected.shape)
    expected = tf.nn.conv2d_transpose(maps, kernel, images.shape, stride, "SAME") + normal(channels)
    found = cpu_kernels.transposed(maps, kernel, normal(channels), size, (stride, stride))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("jit", [False, True])
def test_slopes_and_the_gradients_of_slopes_equal_tensorflows(jit):
    """What a gradient penalty needs: the gradient, with respect to all weights, of the size of a gradient."""
    images, kernel, bias, head = normal(2, 8, 8, 1), normal(4, 4, 1, 6), normal(6), normal(6, seed=1)

    @tf.function(jit_compile=jit)
    def derivatives(convolve):
        with tf.GradientTape() as outer:
            outer.watch([images, kernel, bias])
            with tf.GradientTape() as inner:
                inner.watch(images)
                logits = tf.reduce_sum(tf.tanh(convolve(images)) * head)
            slope = inner.gradient(logits, images)
            size = tf.reduce_sum(tf.square(slope))
        return [slope, *outer.gradient(size, [images, kernel, bias])]

    expected = derivatives(lambda x: tf.nn.bias_add(tf.nn.conv2d(x, kernel, 2, "SAME"), bias))
    found = derivatives(lambda x: cpu_kernels.convolved(x, kernel, bias, (2, 2)))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_layers_train_as_keras_own(bias):
    mine = cpu_kernels.Conv2DTranspose(3, 4, 2, padding="same", use_bias=bias, activation="tanh")
    keras_own = keras.layers.Conv2DTranspose(3, 4, 2, padding="same", use_bias=bias, activation="tanh")
    for layer in (mine, keras_own):
        layer.build((None, 9, 8, 6))
    keras_own.set_weights(mine.get_weights())
    maps = normal(2, 9, 8, 6)

    def gradients(layer):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            loss = tf.reduce_sum(tf.square(layer(maps, training=True)))
        return [loss, *tape.gradient(loss, [maps, *(w.value for w in layer.trainable_weights)])]

    for one, other in zip(gradients(mine), gradients(keras_own), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_what_is_sampled_and_exported_is_keras_own_operation():
    layer = cpu_kernels.Conv2DTranspose(1, 4, 2, padding="same")
    layer.build((None, 8, 8, 8))

    def operations(training):
        traced = tf.function(lambda x: layer(x, training=training)).get_concrete_function(tf.TensorSpec((2, 8, 8, 8)))
        return {operation.type for operation in traced.graph.get_operations()}

    assert "Conv2DBackpropInput" in operations(False)
    assert "Conv2DBackpropInput" not in operations(True)


def test_small_images_many_channels_stride_one_and_half_precision_stay_with_keras():
    assert not cpu_kernels.pays_off(cpu_kernels.Conv2D(8, 4, 2, padding="same"), (28, 8), 1)
    assert not cpu_kernels.pays_off(cpu_kernels.Conv2D(8, 4, 2, padding="same"), (28, 28), 11)
    assert not cpu_kernels.pays_off(cpu_kernels.Conv2D(8, 4, 1, padding="same"), (28, 28), 1)
    assert not cpu_kernels.pays_off(cpu_kernels.Conv2D(8, 4, 2, padding="valid"), (28, 28), 1)
    assert not cpu_kernels.pays_off(cpu_kernels.Conv2D(8, 4, 2, padding="same", dtype="mixed_bfloat16"), (28, 28), 1)
    assert cpu_kernels.pays_off(cpu_kernels.Conv2D(8, 4, 2, padding="same"), (28, 28), 1)
