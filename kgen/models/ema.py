"""Exponential moving averages of weights (EMA; Polyak & Juditsky 1992): evaluated, sampled and exported in place of the
weights of the last step.

    average <- momentum * average + (1 - momentum) * weight, after every step; it starts at the weight

The statistics of batch normalization are averaged with the weights. Weights and averages can be swapped: the model then
*is* the average. A checkpoint of a run holds each of both once (`kgen.checkpoints`). Keras' `save_weights` holds both
too: saved while swapped, it gives the average to a user who only samples; to resume, load, compile, `swap`.
"""

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
    """

    def __init__(self, weights: Sequence, momentum: float):
        super().__init__(name="averages")
        self.momentum = momentum
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
        for weight, average in pairs:
            average.assign(weight)

    @property
    def pairs(self) -> tuple:
        """(weight, its average) of each."""
        return self._pairs

    def update(self):
        """Updates every average; call it once per step."""
        for weight, average in self._pairs:
            average.assign(self.momentum * average + (1.0 - self.momentum) * weight)

    def swap(self):
        """Exchanges weights and averages; a second call undoes it."""
        self._exchange()

    def _exchange_all(self):
        values = [(tf.identity(weight.value), tf.identity(average.value)) for weight, average in self._pairs]
        for (weight, average), (of_weight, of_average) in zip(self._pairs, values, strict=True):
            weight.assign(of_average)
            average.assign(of_weight)
