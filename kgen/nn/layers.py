"""Small layers and constraints: labels as input, repeatable dropout, batch normalization whose moving statistics can be
frozen, clipped weights.
"""

import contextlib
import contextvars
import threading

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kgen import random
from kgen.nn import cpu_kernels

_codes: contextvars.ContextVar[np.ndarray | None] = contextvars.ContextVar("codes", default=None)


@contextlib.contextmanager
def labels_compared_with(codes):
    """Within it, labels are compared with numbers of classes, and not looked up in a table; for graphs of devices.

    A delegate of a GPU takes the operators of that, not those of a look-up. A label of no class is no error then:
    `OneHot` gives zeros.

    Args:
        codes: of the classes, in the order of their positions, integers.
    """
    token = _codes.set(np.asarray(codes, np.int32))
    try:
        yield
    finally:
        _codes.reset(token)


@keras.saving.register_keras_serializable("kgen")
class OneHot(keras.layers.Layer):
    """labels [B] int -> [B, num_classes], 1 at the label; see `labels_compared_with`."""

    def __init__(self, num_classes: int, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes

    def call(self, labels):
        # Not `ops.one_hot`: TensorFlow Lite's 8-bit kernel of it returns other numbers than 0 and 1.
        if (codes := _codes.get()) is not None:
            # Not `tf.equal`: TensorFlow Lite's converter makes that very ONE_HOT of it.
            different = tf.not_equal(tf.reshape(labels, (-1, 1)), codes)
            return 1 - ops.cast(different, self.compute_dtype)
        rows = ops.cast(np.eye(self.num_classes, dtype="float32"), self.compute_dtype)  # a constant: any runtime has it
        return tf.gather(rows, ops.cast(labels, "int32"))  # not `ops.take`, in which -1 means the last class

    def get_config(self):
        return super().get_config() | {"num_classes": self.num_classes}


@keras.saving.register_keras_serializable("kgen")
class LabelMaps(OneHot):
    """labels [B] int -> [B, height, width, num_classes]: the label's channel is 1 everywhere, the others are 0."""

    def __init__(self, num_classes: int, height: int, width: int, **kwargs):
        super().__init__(num_classes, **kwargs)
        self.height, self.width = height, width

    def call(self, labels):
        return ops.tile(super().call(labels)[:, None, None, :], (1, self.height, self.width, 1))

    def get_config(self):
        return super().get_config() | {"height": self.height, "width": self.width}


@keras.saving.register_keras_serializable("kgen")
class LabelProduct(OneHot):
    """(features [B, d], labels [B] int) -> <embedding of the label, features>, [B]."""

    def __init__(self, num_classes: int, *, initializer="glorot_uniform", constraint=None, **kwargs):
        super().__init__(num_classes, **kwargs)
        self.initializer = keras.initializers.get(initializer)
        self.constraint = keras.constraints.get(constraint)

    def build(self, input_shape):
        shape = (self.num_classes, input_shape[0][-1])
        self.embeddings = self.add_weight(
            shape=shape, initializer=self.initializer, constraint=self.constraint, name="embeddings"
        )

    def call(self, inputs):
        features, labels = inputs
        embedded = ops.matmul(super().call(labels), self.embeddings)
        return ops.sum(embedded * ops.cast(features, self.compute_dtype), axis=-1)

    def get_config(self):
        return super().get_config() | {
            "initializer": keras.initializers.serialize(self.initializer),
            "constraint": keras.constraints.serialize(self.constraint),
        }


@keras.saving.register_keras_serializable("kgen")
class Dropout(keras.layers.Layer):
    """Srivastava et al. 2014, with masks that depend on the seed, the replica and the number of calls.

    Keras' own has the same mask on every replica, and does not save its position in the random stream.

    Args:
        rate: share of the units that are set to 0 in training; the others are divided by 1 - rate.
        seed: of the masks.
    """

    def __init__(self, rate: float, *, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed

    def build(self, input_shape):
        self.calls = self.add_weight(  # each replica counts its own: else none could drop out within a tf.cond
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="calls", autocast=False
        )

    def call(self, x, training: bool = False):
        if not training:
            return x
        kept = random.stateless_uniform(tf.shape(x), random.replica_seed(self.seed, self.calls.value)) >= self.rate
        self.calls.assign_add(1)
        return tf.where(kept, x / (1.0 - self.rate), tf.zeros_like(x))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("kgen")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer, with moving statistics that can be frozen while it normalizes by those of the batch.

    In an adversarial training every network also takes part in the phase of the other. What is frozen is local to the
    thread: each replica is traced by a thread of its own, and they take turns.
    """

    _thread = threading.local()

    @classmethod
    @contextlib.contextmanager
    def statistics_kept(cls, network: keras.Model):
        """While the context lasts, calls of `network` that are traced do not update its moving statistics."""
        before = getattr(cls._thread, "kept", frozenset())
        cls._thread.kept = before | {id(layer) for layer in network._flatten_layers() if isinstance(layer, cls)}
        try:
            yield
        finally:
            cls._thread.kept = before

    def call(self, inputs, training=None, mask=None):
        maps = len(inputs.shape) == 4 and self.axis in (-1, 3) and inputs.dtype == tf.float32
        fused = cpu_kernels.enabled() and training and self.trainable and maps
        if not fused or mask is not None or self.renorm:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = cpu_kernels.fused_batch_norm(inputs, self.gamma, self.beta, self.epsilon)
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + current * (1.0 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)

    @property
    def momentum(self) -> float:
        return 1.0 if id(self) in getattr(self._thread, "kept", ()) else self._momentum

    @momentum.setter
    def momentum(self, value: float):
        self._momentum = value


@keras.saving.register_keras_serializable("kgen")
class AtLeast(keras.constraints.Constraint):
    """Weights stay at or above a lower bound."""

    def __init__(self, lower: float):
        self.lower = lower

    def __call__(self, w):
        return ops.maximum(w, self.lower)

    def get_config(self):
        return {"lower": self.lower}


@keras.saving.register_keras_serializable("kgen")
class Clip(keras.constraints.Constraint):
    """Weights stay in [-limit, limit]."""

    def __init__(self, limit: float):
        self.limit = limit

    def __call__(self, w):
        return ops.clip(w, -self.limit, self.limit)

    def get_config(self):
        return {"limit": self.limit}
