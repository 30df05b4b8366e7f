"""Spectral normalization: the norm that NumPy finds, and gradients that pass through it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.nn.spectral import SpectralConv2D, SpectralDense


def layer_of(kind: str):
    """A layer whose kernel has the singular values 3, 2, 1, 1/2 and 1/4: a step comes closer by (2 / 3)^2."""
    layer = SpectralDense(5, use_bias=False) if kind == "dense" else SpectralConv2D(5, 3, use_bias=False)
    layer.build((None, 7) if kind == "dense" else (None, 6, 6, 2))
    shape = layer._kernel.shape
    left, _, right = np.linalg.svd(np.random.default_rng(1).normal(size=(np.prod(shape[:-1]), 5)), full_matrices=False)
    layer._kernel.assign((left * [3, 2, 1, 0.5, 0.25] @ right).reshape(shape))
    return layer


def given(kind: str):
    shape = (4, 7) if kind == "dense" else (4, 6, 6, 2)
    return tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)


def plainly(kind: str, x, kernel):
    return tf.matmul(x, kernel) if kind == "dense" else tf.nn.conv2d(x, kernel, 1, "VALID")


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_after_some_steps_the_kernel_is_over_its_largest_singular_value(kind):
    layer, x = layer_of(kind), given(kind)
    for _ in range(100):
        layer(x, training=True)
    kernel = layer._kernel.numpy()
    sigma = np.linalg.svd(kernel.reshape(-1, 5), compute_uv=False)[0]
    np.testing.assert_allclose(layer(x), plainly(kind, x, kernel / sigma), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_gradients_pass_through_the_norm(kind):
    """W / sigma(W) does not change when W is multiplied by a number: the gradient has no part along W."""
    layer, x = layer_of(kind), given(kind)
    for _ in range(100):
        layer(x, training=True)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(layer(x)))
    kernel = layer._kernel
    gradient = tape.gradient(loss, kernel.value)
    along = float(tf.reduce_sum(gradient * kernel.value)) / float(tf.norm(gradient) * tf.norm(kernel.value))
    assert abs(along) < 1e-4


def test_only_training_moves_the_direction_and_a_checkpoint_keeps_it(tmp_path):
    def model(seed):
        layer = SpectralDense(5, kernel_initializer=keras.initializers.GlorotUniform(seed))
        return keras.Sequential([keras.Input((7,)), layer])

    one, other = model(1), model(2)
    first = one.layers[0].direction.numpy()
    one(given("dense"))
    np.testing.assert_array_equal(one.layers[0].direction, first)
    one(given("dense"), training=True)
    assert np.abs(one.layers[0].direction - first).max() > 1e-3
    one.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(other(given("dense")), one(given("dense")))
