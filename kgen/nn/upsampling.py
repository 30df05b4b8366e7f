"""Upsampling and a convolution as one linear map."""

import keras
import numpy as np
import tensorflow as tf

TAPS = 3
"""Rows and columns of the kernel."""


@keras.saving.register_keras_serializable("kgen")
class UpsampledConv2D(keras.layers.Layer):
    """Bilinear upsampling by two, two rows and columns of zeros all around, a 3x3 convolution: the same, for less.

    [B, h, w, C] -> [B, 2h + 2, 2w + 2, filters]. Weights are those of a `Conv2D`. Both steps are linear, so the
    channels are mixed first, where pixels are few, once for each of the nine taps; then one fixed matrix upsamples and
    shifts the columns of all taps, and one the rows. For 5x5x64 -> 32 that takes 4.3 times fewer multiplications, for
    12x12x32 -> 16 twice fewer; for CPU-seconds see `tools/bench_upsampling.py`.

    Corner pixels stay in the corners: PyTorch's `UpsamplingBilinear2d` (align_corners=True). Keras' `UpSampling2D` has
    half-pixel centres, and gives other images.

    Args:
        filters: channels of the output.
        use_bias: adds one number a channel.
        kernel_initializer: of the kernel [3, 3, C, filters].
    """

    def __init__(self, filters: int, *, use_bias: bool = True, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.filters, self.use_bias = filters, use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        shape = (TAPS, TAPS, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.kernel_initializer, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        self.rows, self.columns = (upsample_and_shift(side) for side in input_shape[1:3])

    def call(self, x):
        height, width, channels = x.shape[1:]
        rows, columns = (tf.constant(matrix, self.compute_dtype) for matrix in (self.rows, self.columns))
        # Of one pixel [C] -> [column tap, row tap, filters]
        kernel = tf.reshape(tf.transpose(self.kernel, (2, 1, 0, 3)), (channels, -1))
        x = tf.matmul(tf.reshape(x, (-1, channels)), kernel)
        x = tf.matmul(columns, tf.reshape(x, (-1, width * TAPS, TAPS * self.filters)))
        x = tf.transpose(tf.reshape(x, (-1, len(self.columns), TAPS, self.filters)), (0, 2, 1, 3))
        x = tf.matmul(rows, tf.reshape(x, (-1, height * TAPS, len(self.columns) * self.filters)))
        x = tf.reshape(x, (-1, len(self.rows), len(self.columns), self.filters))
        return x + tf.cast(self.bias, x.dtype) if self.use_bias else x

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (batch, 2 * height + TAPS - 1, 2 * width + TAPS - 1, self.filters)

    def get_config(self):
        initializer = keras.initializers.serialize(self.kernel_initializer)
        own = {"filters": self.filters, "use_bias": self.use_bias, "kernel_initializer": initializer}
        return super().get_config() | own


def bilinear(side: int) -> np.ndarray:
    """The matrix [2 side, side] that upsamples a row of pixels by two; the first and last pixel stay where they are."""
    places = np.linspace(0, side - 1, 2 * side)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(side)))


def upsample_and_shift(side: int) -> np.ndarray:
    """[2 side + 2, 3 side]: what each pixel of the output takes from each (pixel of the input, tap)."""
    upsampled, last = bilinear(side), TAPS - 1
    shifted = [np.pad(upsampled, ((last - tap, tap), (0, 0))) for tap in range(TAPS)]
    return np.stack(shifted, axis=2).reshape(2 * side + last, -1)
