"""Dropout that can be repeated, the product of labels and features, clipped weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.nn.layers import Clip, Dropout, LabelProduct


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    layer, x = Dropout(0.3, seed=1), tf.ones((200, 500))
    dropped = layer(x, training=True).numpy()
    assert np.mean(dropped == 0) == pytest.approx(0.3, abs=0.005)  # 3.5 standard errors
    np.testing.assert_allclose(dropped[dropped > 0], 1 / 0.7, rtol=1e-6)
    np.testing.assert_array_equal(layer(x, training=False), x)


def test_masks_differ_from_call_to_call_and_go_on_after_a_checkpoint(tmp_path):
    def model():
        return keras.Sequential([keras.Input((50,)), Dropout(0.5, seed=3)])

    one, x = model(), tf.ones((1, 50))
    first, second, third = (one(x, training=True).numpy() for _ in range(3))
    assert (first != second).any() and (second != third).any()
    again = model()
    np.testing.assert_array_equal(again(x, training=True), first)
    again(x, training=True)
    again.save_weights(tmp_path / "w.weights.h5")
    resumed = model()
    resumed.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(resumed(x, training=True), third)


def test_label_product_by_hand():
    layer = LabelProduct(3)
    features, labels = tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([2, 0])
    layer([features, labels])
    layer.embeddings.assign([[1.0, 0.0], [9.0, 9.0], [0.5, -1.0]])
    np.testing.assert_allclose(layer([features, labels]), [0.5 - 2.0, 3.0])


def test_clip():
    np.testing.assert_array_equal(Clip(0.5)(tf.constant([-2.0, 0.25, 0.75])), [-0.5, 0.25, 0.5])
