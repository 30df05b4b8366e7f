"""Many small critics as one batched network, their losses, and their training.

The weights of P critics have a leading axis of length P, and so have their points: one matrix product serves all.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from kgen import random


class Critics(keras.layers.Layer):
    """Multilayer perceptrons that do not share weights, [P, B, D] -> [P, B].

    The last layer starts at zero: every critic is then the constant 0, and its first step goes where the two sets
    differ, instead of having to turn away from a random slope (at |phi| = 0.1 that takes hundreds of steps).

    Args:
        count: P, how many.
        num_inputs: D.
        hidden: widths of the hidden layers.
        activation: of the hidden layers.
        last_bias: leave it out under the Wasserstein loss, where its gradient is exactly zero.
        seed: of the initial weights (Glorot & Bengio's uniform ones).
    """

    def __init__(
        self,
        count: int,
        num_inputs: int,
        *,
        hidden: Sequence[int] = (64, 128),
        activation: str = "relu",
        last_bias: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        self.activation = keras.activations.get(activation)
        self.kernels, self.biases = [], []
        widths = (num_inputs, *hidden, 1)
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            last = i == len(hidden)
            limit = math.sqrt(6.0 / (fan_in + fan_out))
            uniform = keras.initializers.RandomUniform(-limit, limit, seed=random.seed_of(seed, "critic", i))
            kernel = self.add_weight(
                name=f"kernel_{i}", shape=(count, fan_in, fan_out), initializer="zeros" if last else uniform
            )
            self.kernels.append(kernel)
            if last_bias or not last:
                self.biases.append(self.add_weight(name=f"bias_{i}", shape=(count, 1, fan_out), initializer="zeros"))
        self.built = True

    def call(self, points):
        x = points
        for i, kernel in enumerate(self.kernels):
            x = tf.matmul(x, kernel)
            if i < len(self.biases):
                x += self.biases[i]
            if i < len(self.kernels) - 1:
                x = self.activation(x)
        return tf.squeeze(x, axis=-1)


def gradient_norms(critics: Critics, points: tf.Tensor) -> tf.Tensor:
    """Norm of every critic's gradient at its points, [P, B, D] -> [P, B].

    The gradient of a square root at 0 is not a number; 1e-12 under the root keeps it finite (and adds at most 1e-6).
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(points)
        total = tf.reduce_sum(critics(points))
    gradient = tape.gradient(total, points)
    return tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=-1) + 1e-12)


def interpolate_points(p: tf.Tensor, q: tf.Tensor, seed) -> tf.Tensor:
    """Points on the straight lines from p to q, with weights from U(0, 1); all [P, B, D]."""
    weights = tf.random.stateless_uniform([*p.shape[:2], 1], seed, alg="philox")
    return p + weights * (q - p)


def classification_loss(critics: Critics, p: tf.Tensor, q: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of a discriminator, from logits: p is to get 1, q is to get 0.

    The best logit is log(n_p p(x) / (n_q q(x))), with n_p and n_q points of each.

    Args:
        p: [P, n_p, D]
        q: [P, n_q, D]

    Returns:
        [P], twice the mean in nats: at n_p = n_q the best value is 2 (log 2 - JSD).
    """
    logits_p, logits_q = critics(p), critics(q)
    total = tf.reduce_sum(tf.nn.softplus(-logits_p), axis=1) + tf.reduce_sum(tf.nn.softplus(logits_q), axis=1)
    return 2.0 * total / (p.shape[1] + q.shape[1])


def wasserstein_loss(critics: Critics, p: tf.Tensor, q: tf.Tensor, penalty: float, seed) -> tf.Tensor:
    """E_q f - E_p f + penalty (|gradient| - 1)^2, Eq. 3 of Gulrajani et al. 2017 (https://arxiv.org/abs/1704.00028).

    Args:
        p, q: [P, B, D].
        penalty: lambda.
        seed: [2] int32 tensor, of the interpolation weights of p and q for the penalty.

    Returns:
        [P]
    """
    difference = tf.reduce_mean(critics(q), axis=1) - tf.reduce_mean(critics(p), axis=1)
    excess = tf.square(gradient_norms(critics, interpolate_points(p, q, seed)) - 1.0)
    return difference + penalty * tf.reduce_mean(excess, axis=1)


# Training -------------------------------------------------------------------------------------------------------------

STEPS_PER_CALL = 10
LEARNING_RATES = {
    ("jsd", "adam"): 1e-2,
    ("jsd", "sgd"): 3e-1,
    ("wasserstein", "adam"): 3e-2,
    ("wasserstein", "sgd"): 3e-3,  # at 1e-2 the penalty of 100 makes it diverge
}


def make_optimizer(name: str, learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
    """Adam with short memories (0.5, 0.9), or plain gradient descent; the rate falls to zero along a cosine."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    if name == "adam":
        return keras.optimizers.Adam(schedule, beta_1=0.5, beta_2=0.9)
    return keras.optimizers.SGD(schedule)


def make_loss(estimator: str, penalty: float) -> Callable:
    """(critics, p, q, seed) -> [P]: what the critics of an estimator minimise."""
    if estimator == "wasserstein":
        return lambda critics, p, q, seed: wasserstein_loss(critics, p, q, penalty, seed)
    return lambda critics, p, q, seed: classification_loss(critics, p, q)


def train_critics(
    critics: Critics,
    loss: Callable,
    sample_points: Callable,
    optimizer: keras.optimizers.Optimizer,
    steps: int,
    *,
    seed: int = 0,
    validation: tuple[tf.Tensor, tf.Tensor] | None = None,
    on_steps: Callable[[int], None] | None = None,
):
    """Trains critics in place, many steps per call.

    Args:
        critics: P of them; the sum of their losses is minimised, and no weight is shared.
        loss: (critics, p, q, seed) -> [P].
        sample_points: seed -> (p, q), the points of one step, [P, B, D] each.
        optimizer: new, without any state.
        steps: how many.
        seed: root of the streams that `sample_points` and `loss` get.
        validation: p and q that no step sees; the weights with the lowest loss on them are kept. None: the last ones.
        on_steps: called with the number of steps that were done since it was called last.
    """
    variables = critics.trainable_variables
    optimizer.build(variables)

    @tf.function
    def run(first, count):
        for step in tf.range(first, first + count):
            p, q = sample_points(random.replica_seed(seed, step, "points"))
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(loss(critics, p, q, random.replica_seed(seed, step, "loss")))
            optimizer.apply(tape.gradient(total, [variable.value for variable in variables]), variables)

    @tf.function
    def validation_loss():
        return tf.reduce_sum(loss(critics, *validation, random.replica_seed(seed, 0, "choice")))

    lowest, best = (math.inf, None) if validation is None else (float(validation_loss()), critics.get_weights())
    for first in range(0, steps, STEPS_PER_CALL):
        count = min(STEPS_PER_CALL, steps - first)
        run(tf.constant(first), tf.constant(count))
        if validation is not None and (value := float(validation_loss())) < lowest:
            lowest, best = value, critics.get_weights()
        if on_steps is not None:
            on_steps(count)
    if best is not None:
        critics.set_weights(best)
