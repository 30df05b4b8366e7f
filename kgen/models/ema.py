"""Exponential moving averages of weights (EMA; Polyak & Juditsky 1992): evaluated, sampled and exported in place of the
weights of the last step.

    average <- momentum * average + (1 - momentum) * weight, after every step; it starts at the weight

With a ramp-up (Karras et al. 2020, https://arxiv.org/abs/2006.06676, `ema_rampup` of its code) the half-life is at most
that share of the steps so far: the average is then as young as the training from the beginning.

The statistics of batch normalization are averaged with the weights. Weights and averages can be swapped: the model then
*is* the average. A checkpoint of a run holds each of both once (`kgen.checkpoints`). Keras' `save_weights` holds both
too: saved while swapped, it gives the average to a user who only samples; to resume, load, compile, `swap`.
"""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf


def momentum_of(halflife_images: float, batch_size: int) -> float:
    """The momentum per step with which the influence of an image on the average halves after `halflife_images` more."""
    return 0.5 ** (batch_size / halflife_images)


class WeightAverages(keras.layers.Layer):
    """An exponential moving average of each of some weights.

    Args:
        weights: to be averaged; integers (counters) are left out.
        momentum: in [0, 1).
        rampup: largest half-life as a share of the steps so far, above 0; None: that of the momentum at once.
    """

    def __init__(self, weights: Sequence, momentum: float, rampup: float | None = None):
        super().__init__(name="averages")
        followed = [w for w in weights if "float" in w.dtype]
        kept = [
            self.add_weight(
                shape=w.shape, dtype=w.dtype, trainable=False, name=f"average_{i}", autocast=False, initializer="zeros",
                aggregation="only_first_replica",
            )
            for i, w in enumerate(followed)
        ]  # fmt: skip
        pairs = tuple(zip(followed, kept, strict=True))
        object.__setattr__(self, "_pairs", pairs)  # or Keras would save the weights a second time, as this layer's
        self._exchange = tf.function(self._exchange_all, autograph=False)
        self.built = True
        self.start(momentum, rampup)

    def start(self, momentum: float, rampup: float | None = None):
        """Sets every average to its weight."""
        self.momentum, self.rampup = momentum, rampup
        for weight, average in self._pairs:
            average.assign(weight)

    @property
    def pairs(self) -> tuple:
        """(weight, its average) of each."""
        return self._pairs

    def update(self, steps):
        """Updates every average; call it once per step.

        Args:
            steps: taken before this one, a whole number or an integer tensor.
        """
        momentum = self.momentum_at(steps)
        for weight, average in self._pairs:
            average.assign(momentum * average + (1.0 - momentum) * weight)

    def momentum_at(self, steps):
        """The momentum of the step that comes after so many."""
        if self.rampup is None or not self.momentum:
            return self.momentum
        halflife = math.log(0.5) / math.log(self.momentum)  # in steps
        halflife = tf.minimum(halflife, self.rampup * (tf.cast(steps, tf.float32) + 1.0))
        return 0.5 ** (1.0 / halflife)

    def swap(self):
        """Exchanges weights and averages; a second call undoes it."""
        self._exchange()

    def _exchange_all(self):
        values = [(tf.identity(weight.value), tf.identity(average.value)) for weight, average in self._pairs]
        for (weight, average), (of_weight, of_average) in zip(self._pairs, values, strict=True):
            weight.assign(of_average)
            average.assign(of_weight)
