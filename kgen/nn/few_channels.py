"""Strided convolutions between images of few channels and maps of many, trained faster on a CPU.

oneDNN's transposed convolution to an image of one channel reaches a fifteenth of what its others reach. As one product
of matrices, whose columns XLA adds up where kernels overlap, it took 0.6 CPU-milliseconds in place of 3.9 (64 images of
28x28, 64 filters) and 10 in place of 25 (64x64x3). It is what a generator's last layer computes, and the slope at the
images that a discriminator's first layer is asked for.
"""

import keras
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


def pays(layer: keras.layers.Layer, images: tuple, channels: int | None) -> bool:
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
        if not training or not pays(self, tuple(inputs.shape[1:3]), inputs.shape[-1]):
            return super().call(inputs)
        return self.activation(convolved(inputs, *_weights(self, self.filters), self.strides))


@keras.saving.register_keras_serializable("kgen")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras' own, the faster way while it trains; what is exported and sampled from is Keras' own."""

    def call(self, inputs, training: bool = False):
        size = tuple(self.compute_output_shape((1, *inputs.shape[1:]))[1:3])
        if not training or not pays(self, size, self.filters):
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
