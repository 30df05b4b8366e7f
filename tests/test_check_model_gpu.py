"""The check of a model's steps against TensorFlow's register of kernels finds what a GPU cannot do."""

import keras
import tensorflow as tf
from check_model_gpu import troubles

MAPS = tf.TensorSpec((2, 8, 8, 3), tf.float32)


def slope(function):
    """The gradient of the sum of a function's results."""

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(function(x))
        return tape.gradient(total, x)

    return gradient


def test_what_a_gpu_cannot_do_is_found():
    png = troubles(lambda x: tf.image.encode_png(tf.cast(x[0], tf.uint8)), MAPS)
    assert {"no GPU kernel for EncodePng of uint8", "no XLA_GPU_JIT kernel for EncodePng of uint8"} <= {*png}
    enlarged = slope(lambda x: tf.image.resize(x, (16, 16), "nearest"))
    assert "no deterministic ResizeNearestNeighborGrad" in troubles(enlarged, MAPS)
    assert troubles(slope(keras.layers.MaxPooling2D()), MAPS) == ["no deterministic MaxPoolGrad"]
    scale = tf.ones(3)
    normalized = slope(lambda x: tf.compat.v1.nn.fused_batch_norm(x, scale, scale, scale, scale, is_training=False)[0])
    assert troubles(normalized, MAPS) == ["no deterministic FusedBatchNormGradV3"]
    assert troubles(lambda x: tf.nn.softmax(tf.image.resize(x, (16, 16))), MAPS) == []


def test_it_looks_into_what_a_function_calls():
    inner = tf.function(lambda x: tf.image.adjust_contrast(x, 2.0))
    branches = tf.function(lambda x: tf.cond(x[0, 0, 0, 0] > 0, lambda: inner(x), lambda: x))
    assert "no deterministic AdjustContrastv2" in troubles(branches, MAPS)
