"""The batched network: its parts do not touch each other, its slopes are gradients, its losses are the formulas."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kgen import random
from kgen.divergence.critics import (
    LEARNING_RATES,
    Critics,
    classification_loss,
    gradient_norms,
    interpolate_points,
    make_loss,
    make_optimizer,
    train_critics,
    wasserstein_loss,
)


def with_random_weights(critics: Critics) -> Critics:
    weights = [random.generator(0, "test", i).normal(0.0, 0.5, w.shape) for i, w in enumerate(critics.get_weights())]
    critics.set_weights(weights)
    return critics


def points(count: int, batch: int, dimension: int, name: str) -> tf.Tensor:
    return tf.constant(random.generator(0, "test", name).normal(size=(count, batch, dimension)), tf.float32)


def test_a_critic_is_a_multilayer_perceptron_by_itself():
    critics = with_random_weights(Critics(3, 2, hidden=(4, 5), activation="relu"))
    x = points(3, 6, 2, "x")
    together = critics(x).numpy()
    assert together.shape == (3, 6)
    for i in range(3):
        (k0, b0, k1, b1, k2, b2) = (weight[i] for weight in critics.get_weights())
        alone = np.maximum(np.maximum(x[i].numpy() @ k0 + b0, 0.0) @ k1 + b1, 0.0) @ k2 + b2
        np.testing.assert_allclose(together[i], alone[:, 0], rtol=1e-5, atol=1e-5)


def test_sizes_and_the_last_bias():
    # 2-64-128-1: 128 + 64 + 8192 + 128 + 128 weights per critic, and 1 more for the last bias
    assert Critics(21, 2, last_bias=False).count_params() == 21 * 8640
    assert Critics(21, 2).count_params() == 21 * 8641


def test_critics_start_as_the_constant_zero():
    assert not Critics(2, 3, seed=1)(points(2, 5, 3, "x")).numpy().any()


def test_slopes_of_a_linear_critic():
    critics = Critics(2, 2, hidden=(), last_bias=False)
    critics.set_weights([np.array([[[3.0], [4.0]], [[0.0], [0.0]]])])
    found = gradient_norms(critics, points(2, 5, 2, "x")).numpy()
    np.testing.assert_allclose(found[0], 5.0, rtol=1e-6)  # sqrt(3^2 + 4^2)
    np.testing.assert_allclose(found[1], 1e-6, rtol=1e-5)  # sqrt(0 + 1e-12)


def test_gradient_at_slope_zero_is_finite():
    critics = Critics(1, 2, last_bias=False)  # starts as the constant 0, with slope 0
    p, q = points(1, 8, 2, "p"), points(1, 8, 2, "q")
    with tf.GradientTape() as tape:
        loss = wasserstein_loss(critics, p, q, 100.0, random.replica_seed(0, 0, "mix"))
    gradients = tape.gradient(loss, [variable.value for variable in critics.trainable_variables])
    assert all(np.isfinite(gradient.numpy()).all() for gradient in gradients)


def test_mixed_points_lie_between_with_uniform_weights():
    p, q = tf.zeros([1, 20_000, 2]), tf.ones([1, 20_000, 2]) * [2.0, -4.0]
    between = interpolate_points(p, q, random.replica_seed(0, 0, "mix")).numpy()[0]
    np.testing.assert_allclose(between[:, 1], -2.0 * between[:, 0], rtol=1e-5)  # one weight for both coordinates
    weights = np.sort(between[:, 0] / 2.0)
    # Kolmogorov's distance to U(0, 1) exceeds 1.95 / sqrt(N) with probability 0.001; of a normal it would be > 0.1
    assert np.abs(weights - np.arange(20_000) / 20_000).max() < 1.95 / math.sqrt(20_000)


def test_wasserstein_loss_by_hand():
    critics = Critics(1, 1, hidden=(), last_bias=False)
    critics.set_weights([np.full((1, 1, 1), 1.5)])
    p, q = tf.constant([[[1.0], [3.0]]]), tf.constant([[[0.0], [1.0]]])
    # f = 1.5 x: E_q f - E_p f = 0.75 - 3 = -2.25; the slope is 1.5 everywhere: 10 (0.5)^2 = 2.5
    assert wasserstein_loss(critics, p, q, 10.0, random.replica_seed(0, 0, "mix")).numpy() == pytest.approx([0.25])


def test_classification_loss_by_hand():
    critics = Critics(1, 1, hidden=(), last_bias=False)
    critics.set_weights([np.full((1, 1, 1), 1.0)])
    p, q = tf.constant([[[1.0]]]), tf.constant([[[0.0], [-1.0], [2.0]]])
    # logits are the points: -log sigmoid(1), and -log(1 - sigmoid) of 0, -1 and 2; twice the mean of the four
    terms = [math.log1p(math.exp(-1)), math.log(2), math.log1p(math.exp(-1)), math.log1p(math.exp(2))]
    assert classification_loss(critics, p, q).numpy() == pytest.approx([2.0 * np.mean(terms)])


@pytest.mark.parametrize(("estimator", "optimizer"), [("jsd", "sgd"), ("wasserstein", "adam")])
def test_every_weight_moves_and_critics_do_not_touch_each_other(estimator, optimizer):
    def after(second: float):
        critics = with_random_weights(Critics(2, 1, hidden=(4, 4), activation="tanh", last_bias=estimator == "jsd"))
        before = critics.get_weights()
        p = tf.constant([[[0.0], [0.2], [0.4]]] * 2)
        q = p + tf.constant([[[1.0]], [[second]]])
        kind = make_optimizer(optimizer, LEARNING_RATES[estimator, optimizer], 12)
        train_critics(critics, make_loss(estimator, 10.0), lambda key: (p, q), kind, 12)
        return before, critics.get_weights()

    before, one = after(1.0)
    for old, new in zip(before, one, strict=True):
        assert np.all(old != new)
    _, other = after(-3.0)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-5, atol=1e-6)  # the first critic has the same points
        assert not np.allclose(a[1], b[1])


def test_the_best_weights_are_kept():
    def loss(critics, p, q, seed):  # trained towards +1 on p, chosen by the distance to 0.3
        return tf.reduce_mean(tf.square(critics(p) - tf.reduce_mean(q)), axis=1)

    critics, one = Critics(1, 1, hidden=(), last_bias=False), tf.ones([1, 1, 1])
    done = []
    optimizer = make_optimizer("sgd", 0.02, 95)
    train_critics(
        critics, loss, lambda key: (one, one), optimizer, 95, validation=(one, 0.3 * one), on_steps=done.append
    )
    assert done == [10] * 9 + [5]
    # w <- w + 0.04 (1 - w) comes to 0.34 after 10 steps and 0.56 after 20 (the rate hardly falls so early)
    assert float(critics(one)[0, 0]) == pytest.approx(0.34, abs=0.01)
