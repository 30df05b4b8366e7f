"""Kernels that exist for speed on a CPU alone, behind one switch: `enabled`.

- `Conv2D`, `Conv2DTranspose`: convolutions between images of few channels and maps of many, which are a generator's
  last layer and a discriminator's first. oneDNN's transposed convolution to an image of one channel reaches a fifteenth
  of what its others reach, and so do the gradients of a convolution to one; here they are products of matrices, whose
  columns XLA adds up where kernels overlap (64 images of 28x28, 64 filters: 0.6 in place of 3.9 CPU-milliseconds;
  64x64x3: 10 in place of 25; a convolution of 128 maps of 28x28x32 to one channel, with its gradients: 16 in place of
  86). Between small deep maps and larger ones, which are a generator's first layers and a discriminator's last, the
  same product is faster (64 maps of 4x4x512 to 8x8x256: 76 in place of 501).
- `UpsampledConv2D`: upsampling, padding and a convolution as one linear map, in the network "bilinear". 4.3 times fewer
  multiplications for 5x5x64 -> 32, twice fewer for 12x12x32 -> 16.
- `RepeatedConv2D`: nearest upsampling by two and a 3x3 convolution as one transposed convolution, in the network
  "upsampling": 4/9 of the multiplications, and no map of four times the pixels.
- `relu`, `leaky_relu`: for discriminators whose penalty is differentiated twice. The second derivative of a
  piecewise-linear function is 0, but TensorFlow takes that for a tensor of zeros, and passes it back through all
  preceding convolutions; here it ends where it begins.
- `fused_batch_norm`: feature maps are normalized by one operation in place of a dozen.
- `Adam`: a weight is updated by one operation in place of a dozen, so that weights and moments pass through memory once
  per step. A DCGAN at 64x64 trains as fast as in PyTorch with it.

Each computes the same as the operations that it replaces, up to rounding (tests/nn/test_cpu_kernels.py), and has the
same weights, so a checkpoint fits either way. `Conv2D` and `Conv2DTranspose` are used only where all devices are CPUs.
For measurements see tools/README.md, `tools/bench_train.py` and `tools/bench_upsampling.py`.
"""

import contextlib
import math

import keras
import numpy as np
import tensorflow as tf

_switch = {"on": True}


def enabled() -> bool:
    """Whether the kernels of this module are used; read when a model or a training step is traced."""
    return _switch["on"]


@contextlib.contextmanager
def disabled():
    """While the context lasts, everything that is traced uses the operations of Keras and TensorFlow."""
    before, _switch["on"] = _switch["on"], False
    try:
        yield
    finally:
        _switch["on"] = before


# Strided convolutions between images and feature maps -----------------------------------------------------------------

FEW_CHANNELS = 4
"""Most channels of an image with which the kernel is faster."""
LEAST_SIDE = 16
"""Of an image, in pixels: smaller ones gain less in a short training than XLA's compilation takes."""
FEW_PLACES, MANY_FILTERS = 64, 128
"""Most places, and fewest filters, of maps between which and larger ones the kernels with a stride are faster."""


def conv2d_transpose(maps, kernel, bias, size: tuple[int, int], strides: tuple[int, int]):
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
            return (
                conv2d(images, kernel, none, strides),
                _kernel_gradient(images, kernel, maps, strides),
                _bias_gradient(images),
            )

        return _product_and_fold(maps, kernel, bias, size, strides), gradients

    return run(maps, kernel, bias)


def conv2d(images, kernel, bias, strides: tuple[int, int]):
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
                conv2d_transpose(maps, kernel, none, size, strides),
                _kernel_gradient(images, kernel, maps, strides),
                _bias_gradient(maps),
            )

        return tf.nn.bias_add(tf.nn.conv2d(images, kernel, strides, "SAME"), bias), gradients

    return run(images, kernel, bias)


@tf.function(jit_compile=True, autograph=False)
def conv2d_to_few(maps, kernel, bias):
    """The convolution of stride 1 with padding "same" to few channels; differentiable twice.

    Every pixel is multiplied with the whole kernel; the products of each tap, shifted to where they belong, are added.

    Args:
        maps: [B, height, width, channels] float32.
        kernel: [kernel height, kernel width, channels, filters].
        bias: [filters].

    Returns:
        [B, height, width, filters] float32.
    """
    rows, columns, channels, filters = kernel.shape
    height, width = maps.shape[1:3]
    product = tf.matmul(
        tf.reshape(maps, [-1, channels]), tf.reshape(tf.transpose(kernel, [2, 0, 1, 3]), [channels, -1])
    )
    of_taps = tf.unstack(tf.reshape(product, [-1, height, width, rows * columns, filters]), axis=3)
    around = [[0, 0], [(rows - 1) // 2, rows // 2], [(columns - 1) // 2, columns // 2], [0, 0]]
    shifted = []
    for tap, values in enumerate(of_taps):
        top, left = divmod(tap, columns)
        shifted.append(tf.pad(values, around)[:, top : top + height, left : left + width])
    return tf.add_n(shifted) + bias


def _kernel_gradient(images, kernel, maps, strides):
    """The gradient of the kernel, from the gradient `maps` of the maps."""
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images, filter_sizes=tf.shape(kernel), out_backprop=maps, strides=[1, *strides, 1], padding="SAME"
    )


def _bias_gradient(outputs):
    return tf.raw_ops.BiasAddGrad(out_backprop=outputs)


def is_faster(
    layer: keras.layers.Layer, images: tuple, channels: int | None, filters: int, *, stride_1: bool = False
) -> bool:
    """Whether these kernels are on, apply (float32, "same", CPUs alone) and are faster.

    They are between images of few channels and maps of many, and, with a stride, where maps are small and deep.

    Args:
        layer: built or not.
        images: (height, width).
        channels: of the images.
        filters: of the maps.
        stride_1: whether the kernel is one for a stride of 1, or of more.
    """
    if (
        not enabled()
        or None in (*images, channels)
        or (max(layer.strides) > 1 if stride_1 else min(layer.strides) == 1)
        or layer.padding != "same"
        or layer.compute_dtype != "float32"
        or {device.device_type for device in tf.config.list_logical_devices()} != {"CPU"}
    ):
        return False
    if channels <= FEW_CHANNELS:
        return min(images) >= LEAST_SIDE and filters > FEW_CHANNELS
    places = math.prod(-(-side // stride) for side, stride in zip(images, layer.strides, strict=True))
    return not stride_1 and places <= FEW_PLACES and filters >= MANY_FILTERS


@keras.saving.register_keras_serializable("kgen")
class Conv2D(keras.layers.Conv2D):
    """Keras' layer, with faster gradients in training; sampling and exports use Keras' own operation."""

    def call(self, inputs, training: bool = False):
        size, channels = tuple(inputs.shape[1:3]), inputs.shape[-1]
        if training and is_faster(self, size, channels, self.filters):
            return self.activation(conv2d(inputs, *_weights(self, self.filters), self.strides))
        if training and is_faster(self, size, self.filters, channels, stride_1=True):
            return self.activation(conv2d_to_few(inputs, *_weights(self, self.filters)))
        return super().call(inputs)


@keras.saving.register_keras_serializable("kgen")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras' layer, with the faster product in training; sampling and exports use Keras' own operation."""

    def call(self, inputs, training: bool = False):
        size = tuple(self.compute_output_shape((1, *inputs.shape[1:]))[1:3])
        if not training or not is_faster(self, size, self.filters, inputs.shape[-1]):
            return super().call(inputs)
        return self.activation(conv2d_transpose(inputs, *_weights(self, self.filters), size, self.strides))


def _weights(layer: keras.layers.Layer, outputs: int) -> tuple:
    """Kernel and bias; a bias of zeros where it has none."""
    return tf.convert_to_tensor(layer.kernel), tf.convert_to_tensor(layer.bias) if layer.use_bias else tf.zeros(outputs)


@tf.function(jit_compile=True, autograph=False)
def _product_and_fold(maps, kernel, bias, size, strides):
    filters = kernel.shape[-1]
    columns = tf.matmul(tf.reshape(maps, [-1, filters]), tf.reshape(kernel, [-1, filters]), transpose_b=True)
    columns = tf.reshape(columns, [tf.shape(maps)[0], *maps.shape[1:3], *kernel.shape[:3]])
    columns = _fold(columns, 1, size[0], strides[0])  # [B, height, w, kernel width, channels]
    columns = tf.transpose(columns, [0, 2, 1, 3, 4])  # [B, w, height, kernel width, channels]
    return tf.transpose(_fold(columns, 1, size[1], strides[1]), [0, 2, 1, 3]) + bias


def _fold(x, axis: int, size: int, stride: int):
    """[B, n, m, taps, ...] -> [B, size, m, ...]: tap p of position i is added to position stride * i + p - before."""
    count, taps = x.shape[axis], x.shape[axis + 2]
    before = max((count - 1) * stride + taps - size, 0) // 2
    phases = []
    for phase in range(stride):
        parts = [_shifted(x[:, :, :, p], (p - before) // stride) for p in range(taps) if (p - before) % stride == phase]
        phases.append(sum(parts) if parts else tf.zeros_like(x[:, :, :, 0]))
    whole = tf.stack(phases, axis=2)
    return tf.reshape(whole, [tf.shape(x)[0], count * stride, *whole.shape[3:]])[:, :size]


def _shifted(x, by: int):
    """x shifted along axis 1, filled with zeros."""
    rest = [[0, 0]] * (len(x.shape) - 2)
    if by >= 0:
        return tf.pad(x[:, : x.shape[1] - by], [[0, 0], [by, 0], *rest])
    return tf.pad(x[:, -by:], [[0, 0], [0, -by], *rest])


# Upsampling and convolution -------------------------------------------------------------------------------------------

TAPS = 3
"""Rows and columns of the kernel."""


class _Enlarging(keras.layers.Layer):
    """A layer that enlarges maps, with the weights of a `Conv2D` of 3x3.

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

    def get_config(self):
        initializer = keras.initializers.serialize(self.kernel_initializer)
        own = {"filters": self.filters, "use_bias": self.use_bias, "kernel_initializer": initializer}
        return super().get_config() | own


@keras.saving.register_keras_serializable("kgen")
class UpsampledConv2D(_Enlarging):
    """Bilinear upsampling by two, zero padding of two pixels, and a 3x3 convolution, as one linear map.

    [B, h, w, C] -> [B, 2h + 2, 2w + 2, filters]. Weights are those of a `Conv2D`. Both steps are linear, so the
    channels are mixed first, where pixels are few, once for each of the nine taps; then one fixed matrix upsamples and
    shifts the columns of all taps, and one the rows.

    Corner pixels stay in the corners, as in PyTorch's `UpsamplingBilinear2d` (align_corners=True). Keras'
    `UpSampling2D` has half-pixel centres, and gives other images.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.rows, self.columns = (upsample_and_shift(side) for side in input_shape[1:3])

    def call(self, x):
        return self._product(x) if enabled() else self._separate_steps(x)

    def _separate_steps(self, x):
        size = [2 * side for side in x.shape[1:3]]
        x = tf.cast(tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True), self.compute_dtype)
        x = tf.pad(x, [[0, 0], [TAPS - 1] * 2, [TAPS - 1] * 2, [0, 0]])
        x = tf.nn.conv2d(x, tf.cast(tf.convert_to_tensor(self.kernel), x.dtype), 1, "VALID")
        return x + tf.cast(self.bias, x.dtype) if self.use_bias else x

    def _product(self, x):
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


def bilinear_matrix(side: int) -> np.ndarray:
    """The matrix [2 side, side] that upsamples a row of pixels by two; the first and last pixel stay in place."""
    positions = np.linspace(0, side - 1, 2 * side)
    return np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(side)))


def upsample_and_shift(side: int) -> np.ndarray:
    """[2 side + 2, 3 side]: weights of each (pixel of the input, tap) in each pixel of the output."""
    upsampled, last = bilinear_matrix(side), TAPS - 1
    shifted = [np.pad(upsampled, ((last - tap, tap), (0, 0))) for tap in range(TAPS)]
    return np.stack(shifted, axis=2).reshape(2 * side + last, -1)


REPEATED = ((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0))
"""[4, 3]: share of each of three taps, on pixels that are repeated twice, in the four taps on single pixels."""


@keras.saving.register_keras_serializable("kgen")
class RepeatedConv2D(_Enlarging):
    """Nearest upsampling by two (every pixel is repeated 2x2 times), and a 3x3 convolution with padding "same".

    [B, h, w, C] -> [B, 2h, 2w, filters]. Weights are those of a `Conv2D`. A pixel of the output sees only 2x2 different
    pixels: the taps on equal ones are added up, which leaves the kernel of a 4x4 transposed convolution of stride 2.
    """

    strides, padding = (2, 2), "same"  # of the transposed convolution

    def call(self, x, training: bool = False):
        kernel, bias = (tf.cast(weight, self.compute_dtype) for weight in _weights(self, self.filters))
        if not enabled():
            for axis in (1, 2):
                x = tf.repeat(x, 2, axis)
            return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)
        added = tf.constant(REPEATED, self.compute_dtype)
        kernel = tf.einsum("ai,bj,ijcf->abfc", added, added, kernel)
        size = tuple(2 * side for side in x.shape[1:3])
        if training and is_faster(self, size, self.filters, x.shape[-1]):
            return conv2d_transpose(x, kernel, bias, size, self.strides)
        x = tf.nn.conv2d_transpose(x, kernel, (tf.shape(x)[0], *size, self.filters), self.strides, "SAME")
        return tf.nn.bias_add(x, bias)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (batch, 2 * height, 2 * width, self.filters)


# Piecewise-linear activations -----------------------------------------------------------------------------------------

SLOPE = 0.2
"""Of a leaky ReLU below 0: Keras' default, and that of Radford et al. 2016."""


def relu(x):
    """max(x, 0)."""
    return _relu(x) if enabled() else tf.nn.relu(x)


def leaky_relu(x):
    """x above 0, SLOPE * x below."""
    return _leaky_relu(x) if enabled() else tf.nn.leaky_relu(x, alpha=SLOPE)


@tf.custom_gradient
def _relu(x):
    def gradient(upstream):
        return tf.raw_ops.ReluGrad(gradients=upstream, features=tf.stop_gradient(x))

    return tf.nn.relu(x), gradient


@tf.custom_gradient
def _leaky_relu(x):
    def gradient(upstream):
        return tf.raw_ops.LeakyReluGrad(gradients=upstream, features=tf.stop_gradient(x), alpha=SLOPE)

    return tf.nn.leaky_relu(x, alpha=SLOPE), gradient


PIECEWISE_LINEAR = {"relu": relu, "leaky_relu": leaky_relu}
"""Keras name of an activation -> the function."""


# Batch normalization --------------------------------------------------------------------------------------------------


def fused_batch_norm(x, gamma, beta, epsilon: float):
    """Feature maps normalized per channel, with the mean and the (biased) variance of the batch.

    Args:
        x: [B, H, W, C] float32.
        gamma, beta: [C], scale and offset.
        epsilon: added to the variance.

    Returns:
        ([B, H, W, C], mean [C], variance [C]).
    """
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon
    )
    count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return outputs, mean, variance * (tf.maximum(count - 1.0, 1.0) / count)  # the operation's variance is unbiased


# Optimizer ------------------------------------------------------------------------------------------------------------


class Adam(keras.optimizers.Adam):
    """Keras' Adam, whose update of a weight is one operation of TensorFlow.

    The same rule (Kingma & Ba 2015, https://arxiv.org/abs/1412.6980, with the step size of section 2), the same
    variables and checkpoints.
    """

    def update_step(self, gradient, variable, learning_rate):
        if not enabled() or self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, learning_rate)
        dtype, index = variable.dtype, self._get_variable_index(variable)
        steps = tf.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), steps),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), steps),
            lr=tf.cast(learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )
