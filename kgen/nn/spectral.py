"""Spectral normalization (Miyato et al. 2018, https://arxiv.org/abs/1802.05957): a layer's kernel over its norm.

    W / sigma(W), sigma the largest singular value of W as a matrix [inputs, outputs], by one power iteration per step

Gradients pass through sigma (Eq. 7 to 12). Keras' own `SpectralNormalization` overwrites the kernel instead, so that
the optimizer's step is followed by a projection, that no gradient accounts for.
"""

import keras
import tensorflow as tf

from kgen.random import seed_of

EPSILON = 1e-12


class Spectral:
    """Mixed into a layer whose `_kernel` ends in an axis of outputs."""

    def build(self, input_shape):
        super().build(input_shape)
        seed = getattr(self.kernel_initializer, "seed", None)
        start = keras.initializers.RandomNormal(seed=seed_of(seed or 0, "spectral", self.name))
        self.direction = self.add_weight(
            shape=(self._kernel.shape[-1],), initializer=start, trainable=False, name="direction", autocast=False
        )

    @property
    def kernel(self):
        """The normalized kernel, inside a call; else the plain one."""
        return self._kernel if self._scale is None else tf.cast(self._kernel, self.compute_dtype) / self._scale

    _scale = None

    def call(self, inputs, training: bool = False):
        matrix = tf.reshape(tf.cast(self._kernel.value, keras.config.floatx()), (-1, self._kernel.shape[-1]))
        direction = tf.convert_to_tensor(self.direction.value)
        left = tf.stop_gradient(_unit(tf.linalg.matvec(matrix, direction)))
        right = tf.stop_gradient(_unit(tf.linalg.matvec(matrix, left, transpose_a=True)))
        if training and self.trainable:
            self.direction.assign(right)
        sigma = tf.tensordot(left, tf.linalg.matvec(matrix, right), 1)
        self._scale = tf.cast(sigma, self.compute_dtype)
        try:
            return super().call(inputs)
        finally:
            self._scale = None

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["direction"] = self.direction

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.direction.assign(store["direction"])


def _unit(vector):
    """The vector at length 1."""
    return vector / tf.sqrt(tf.reduce_sum(tf.square(vector)) + EPSILON)


@keras.saving.register_keras_serializable("kgen")
class SpectralDense(Spectral, keras.layers.Dense):
    """A dense layer with a spectrally normalized kernel."""


@keras.saving.register_keras_serializable("kgen")
class SpectralConv2D(Spectral, keras.layers.Conv2D):
    """A convolution with a spectrally normalized kernel, as a matrix [height * width * inputs, filters]."""
