"""Strided convolutions between images of few channels and maps of many, trained faster on a CPU.

oneDNN's transposed convolution to an image of one channel reaches a fifteenth of what its others reach. As one product
of matrices, whose columns XLA adds up where kernels overlap, it took 0.6 CPU-milliseconds in place of 3.9 (64 images of
28x28, 64 filters) and 10 in place of 25 (64x64x3). It is what a generator's last layer computes, and the slope at the
images that a discriminator's first layer is asked for.
"""

import keras
import numpy as np
import tensorflow as tf

FEW_CHANNELS = 4
LEAST_SIDE = 16
"""Of an image: smaller ones gain less in a short training than XLA's compilation takes."""


def transposed(maps, kernel, bias, size: tuple[int, int], strides: tuple[int, int]):
    """The transposed convolution with padding "same"; differentiable twice.

    Args:
        maps: [B, h, w, filters] float32.
        kernel: [kernel height, kernel width, channels, filters].
        bias: [channels].
        size: (height, width) of the image.
        strides: of the convolution.

    Returns:
        [B, height, width, channels] float32.
    """

    @tf.custom_gradient
    def run(maps, kernel, bias):
        def gradients(images):
            none = tf.zeros(kernel.shape[-1:])
            return convolved(images, kernel, none, strides), _of_kernel(images, kernel, maps, strides), _of_bias(images)

        return _folded_product(maps, kernel, bias, size, strides), gradients

    return run(maps, kernel, bias)


def convolved(images, kernel, bias, strides: tuple[int, int]):
    """The convolution with padding "same"; differentiable twice.

    Args:
        images: [B, height, width, channels] float32.
        kernel: [kernel height, kernel width, channels, filters].
        bias: [filters].
        strides: of the convolution.

    Returns:
        [B, h, w, filters] float32.
    """

    @tf.custom_gradient
    def run(images, kernel, bias):
        def gradients(maps):
            none, size = tf.zeros(kernel.shape[2:3]), tuple(images.shape[1:3])
            return (
                transposed(maps, kernel, none, size, strides),
                _of_kernel(images, kernel, maps, strides),
                _of_bias(maps),
            )

        return tf.nn.bias_add(tf.nn.conv2d(images, kernel, strides, "SAME"), bias), gradients

    return run(images, kernel, bias)


def _of_kernel(images, kernel, maps, strides):
    """The kernel's gradient, when that of the maps is `maps`."""
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images, filter_sizes=tf.shape(kernel), out_backprop=maps, strides=[1, *strides, 1], padding="SAME"
    )


def _of_bias(outputs):
    return tf.raw_ops.BiasAddGrad(out_backprop=outputs)


def pays_off(layer: keras.layers.Layer, images: tuple, channels: int | None) -> bool:
    """Whether this way is the faster one, and its conditions are met: float32, stride above 1, "same", CPUs alone.

    Args:
        layer: built or not.
        images: (height, width).
        channels: of the images.
    """
    return (
        channels is not None
        and channels <= FEW_CHANNELS
        and None not in images
        and min(images) >= LEAST_SIDE
        and min(layer.strides) > 1
        and layer.padding == "same"
        and layer.compute_dtype == "float32"
        and {device.device_type for device in tf.config.list_logical_devices()} == {"CPU"}
    )


@keras.saving.register_keras_serializable("kgen")
class Conv2D(keras.layers.Conv2D):
    """Keras' own, with the faster gradient while it trains; what is exported and sampled from is Keras' own."""

    def call(self, inputs, training: bool = False):
        if not training or not pays_off(self, tuple(inputs.shape[1:3]), inputs.shape[-1]):
            return super().call(inputs)
        return self.activation(convolved(inputs, *_weights(self, self.filters), self.strides))


@keras.saving.register_keras_serializable("kgen")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras' own, the faster way while it trains; what is exported and sampled from is Keras' own."""

    def call(self, inputs, training: bool = False):
        size = tuple(self.compute_output_shape((1, *inputs.shape[1:]))[1:3])
        if not training or not pays_off(self, size, self.filters):
            return super().call(inputs)
        return self.activation(transposed(inputs, *_weights(self, self.filters), size, self.strides))


def _weights(layer: keras.layers.Layer, outputs: int) -> tuple:
    """Kernel and bias; a bias of zeros where it has none."""
    return tf.convert_to_tensor(layer.kernel), tf.convert_to_tensor(layer.bias) if layer.use_bias else tf.zeros(outputs)


@tf.function(jit_compile=True, autograph=False)
def _folded_product(maps, kernel, bias, size, strides):
    filters = kernel.shape[-1]
    columns = tf.matmul(tf.reshape(maps, [-1, filters]), tf.reshape(kernel, [-1, filters]), transpose_b=True)
    columns = tf.reshape(columns, [tf.shape(maps)[0], *maps.shape[1:3], *kernel.shape[:3]])
    columns = _folded(columns, 1, size[0], strides[0])  # [B, height, w, kernel width, channels]
    columns = tf.transpose(columns, [0, 2, 1, 3, 4])  # [B, w, height, kernel width, channels]
    return tf.transpose(_folded(columns, 1, size[1], strides[1]), [0, 2, 1, 3]) + bias


def _folded(x, axis: int, size: int, stride: int):
    """[B, n, m, taps, ...] -> [B, size, m, ...]: tap p of place i is added to place stride * i + p - before."""
    count, taps = x.shape[axis], x.shape[axis + 2]
    before = max((count - 1) * stride + taps - size, 0) // 2
    phases = []
    for phase in range(stride):
        parts = [_moved(x[:, :, :, p], (p - before) // stride) for p in range(taps) if (p - before) % stride == phase]
        phases.append(sum(parts) if parts else tf.zeros_like(x[:, :, :, 0]))
    whole = tf.stack(phases, axis=2)
    return tf.reshape(whole, [tf.shape(x)[0], count * stride, *whole.shape[3:]])[:, :size]


def _moved(x, by: int):
    """Along axis 1, with zeros behind."""
    rest = [[0, 0]] * (len(x.shape) - 2)
    if by >= 0:
        return tf.pad(x[:, : x.shape[1] - by], [[0, 0], [by, 0], *rest])
    return tf.pad(x[:, -by:], [[0, 0], [0, -by], *rest])


# Upsampling -----------------------------------------------------------------------------------------------------------
# Upsampling and a convolution as one linear map.


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
        use_bias: adds one number per channel.
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


# Kinked ---------------------------------------------------------------------------------------------------------------
# Activations of straight pieces for discriminators, quick where a penalty differentiates twice.
#
# The slope of such a function does not change with its input: its second derivative is 0, but TensorFlow takes that
# for a
# tensor of zeros, and passes it back through all convolutions before. Here it ends where it begins.


SLOPE = 0.2
"""Of a leaky ReLU below 0: Keras' default, and that of Radford et al. 2016."""


@tf.custom_gradient
def relu(x):
    """max(x, 0)."""

    def gradient(upstream):
        return tf.raw_ops.ReluGrad(gradients=upstream, features=tf.stop_gradient(x))

    return tf.nn.relu(x), gradient


@tf.custom_gradient
def leaky_relu(x):
    """x above 0, SLOPE * x below."""

    def gradient(upstream):
        return tf.raw_ops.LeakyReluGrad(gradients=upstream, features=tf.stop_gradient(x), alpha=SLOPE)

    return tf.nn.leaky_relu(x, alpha=SLOPE), gradient


KINKED = {"relu": relu, "leaky_relu": leaky_relu}
"""Keras name -> the function."""
