"""How critics are trained: the optimizers, and many steps a call."""

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from kgen import rng
from kgen.divergence.critics import Critics, classification_loss, wasserstein_loss

STEPS_PER_CALL = 10
ESTIMATORS = ("jsd", "wasserstein")
OPTIMIZERS = ("adam", "sgd")
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


def loss_of(estimator: str, penalty: float) -> Callable:
    """(critics, p, q, seed) -> [P]: what the critics of an estimator minimise."""
    if estimator == "wasserstein":
        return lambda critics, p, q, seed: wasserstein_loss(critics, p, q, penalty, seed)
    return lambda critics, p, q, seed: classification_loss(critics, p, q)


def train(
    critics: Critics,
    loss: Callable,
    draw: Callable,
    optimizer: keras.optimizers.Optimizer,
    steps: int,
    *,
    seed: int = 0,
    choose_by: tuple[tf.Tensor, tf.Tensor] | None = None,
    on_steps: Callable[[int], None] | None = None,
):
    """Trains in place.

    Args:
        critics: P of them; the sum of their losses is minimised, and no weight is shared.
        loss: (critics, p, q, seed) -> [P].
        draw: seed -> (p, q), the points of one step, [P, B, D] each.
        optimizer: new, without any state.
        steps: how many.
        seed: root of the streams that `draw` and `loss` get.
        choose_by: p and q that no step sees; the weights with the lowest loss on them are kept. None: the last ones.
        on_steps: called with the number of steps that were done since it was called last.
    """
    variables = critics.trainable_variables
    optimizer.build(variables)

    @tf.function
    def run(first, count):
        for step in tf.range(first, first + count):
            p, q = draw(rng.replica_seed(seed, step, "points"))
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(loss(critics, p, q, rng.replica_seed(seed, step, "loss")))
            optimizer.apply(tape.gradient(total, [variable.value for variable in variables]), variables)

    @tf.function
    def chosen_by():
        return tf.reduce_sum(loss(critics, *choose_by, rng.replica_seed(seed, 0, "choice")))

    lowest, best = (math.inf, None) if choose_by is None else (float(chosen_by()), critics.get_weights())
    for first in range(0, steps, STEPS_PER_CALL):
        count = min(STEPS_PER_CALL, steps - first)
        run(tf.constant(first), tf.constant(count))
        if choose_by is not None and (value := float(chosen_by())) < lowest:
            lowest, best = value, critics.get_weights()
        if on_steps is not None:
            on_steps(count)
    if best is not None:
        critics.set_weights(best)
