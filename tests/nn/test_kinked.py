"""Activations of straight pieces: TensorFlow's values and slopes, and no work for a second derivative that is zero."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.losses import penalties
from kgen.nn import NETWORKS, DiscriminatorOptions, cpu_kernels
from kgen.spec import DataSpec

THEIRS = {"relu": tf.nn.relu, "leaky_relu": lambda x: tf.nn.leaky_relu(x, 0.2)}
X = (-3.0, -0.5, 0.0, 0.25, 2.0)


@pytest.mark.parametrize("name", cpu_kernels.KINKED)
def test_values_and_slopes_are_those_of_tensorflow(name):
    found = []
    for function in (cpu_kernels.KINKED[name], THEIRS[name], keras.activations.get(name)):
        with tf.GradientTape() as tape:
            tape.watch(x := tf.constant(X))
            y = function(x)
        found.append((y, tape.gradient(y, x, output_gradients=tf.range(5.0))))
    for ours, theirs in ((found[0], found[1]), (found[0], found[2])):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def penalty_gradients(monkeypatch, plain: bool):
    """The gradients of a gradient penalty, and how many operations of each kind they take."""
    with monkeypatch.context() as patch:
        if plain:
            patch.setattr(DiscriminatorOptions, "activation_function", property(lambda options: options.activation))
        options = DiscriminatorOptions(DataSpec("toy", (20, 20, 1)), 1, filters=(3, 4), activation="leaky_relu")
        critic = NETWORKS["dcgan"].encoder(options)
    weights = [w.value for w in critic.trainable_weights]
    images = [np.random.default_rng(i).uniform(-1, 1, (5, 20, 20, 1)).astype(np.float32) for i in (0, 1)]

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            penalty = penalties.gradient_penalty(critic, *map(tf.constant, images), tf.fill([5], 0.3))
        return tape.gradient(penalty, weights, unconnected_gradients="zero")

    return gradients(), Counter(node.op for node in gradients.get_concrete_function().graph.as_graph_def().node)


def test_a_penalty_has_the_same_gradient_for_less_work(monkeypatch):
    """TensorFlow's zeros would pass back through the two convolutions that led to the slope."""
    (ours, few), (theirs, many) = (penalty_gradients(monkeypatch, plain) for plain in (False, True))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    assert max(np.abs(gradient).max() for gradient in ours) > 0
    assert many["Conv2DBackpropFilter"] - few["Conv2DBackpropFilter"] == 2
    assert few["Conv2D"] == many["Conv2D"]
