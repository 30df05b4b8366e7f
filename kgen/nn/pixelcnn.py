"""A gated PixelCNN decoder, p(x | c) = prod_i p(x_i | x_<i, c): pixels in raster order, channels in order in a pixel.

van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders" (https://arxiv.org/abs/1606.05328): a
vertical stack sees the rows above, a horizontal stack the pixels to the left and, through the vertical one, everything
above. No kernel is masked: kernels are only as large as their receptive field. Two things are simpler than in the
paper: the units are a * sigmoid(b) (Dauphin et al. 2017, https://arxiv.org/abs/1612.08083), and the channels of a pixel
are distinguished in the last layer alone, which sees the earlier channels of its own pixel. Both stacks are residual:
the vertical one, which is not in the paper, dies out otherwise, because a gate halves what passes it.

The condition c (computed from a latent and a label, one vector per pixel) joins the horizontal stack of the last
`conditioned` layers. Everything before depends on the image alone, and is computed once for many conditions.

In this file: the distribution of a pixel of a few levels, the layers, the network (`PixelCNN`: training, by teacher
forcing), and sampling (`sample_pixels`).
"""

import math
from typing import NamedTuple

import keras
import tensorflow as tf

from kgen.losses.elbo import bernoulli_nll, sum_per_example
from kgen.nn.networks import NetworkOptions

# Pixels of a few levels -----------------------------------------------------------------------------------------------


def to_levels(images, levels: int):
    """images in [0, 1] -> the nearest of so many equally spaced levels, 0 to levels - 1, [B, H, W, C] float32."""
    return tf.round(tf.cast(images, keras.config.floatx()) * (levels - 1))


def signed(pixels, levels: int):
    """Levels -> the range of a network's input, [-1, 1]."""
    return pixels * (2.0 / (levels - 1)) - 1.0


def pixel_nll(pixels, logits):
    """-log p of pixels from logits: Bernoulli from one logit, categorical from one per level.

    Args:
        pixels: [B, H, W, C] float32 levels.
        logits: [B, H, W, C, 1] for two levels, or [B, H, W, C, levels].

    Returns:
        [B] float32, nats per image, with respect to the counting measure of the levels.
    """
    if logits.shape[-1] == 1:
        return bernoulli_nll(pixels, logits[..., 0])
    return sum_per_example(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.cast(pixels, tf.int32), logits=logits)
    )


def sample_levels(logits, uniform):
    """A sample of each pixel, as levels, [...] float32: the inverse distribution function of uniform noise.

    Low noise gives the upper of two levels; of more levels high noise gives the upper ones.

    Args:
        logits: [..., 1], or [..., levels].
        uniform: [...] in [0, 1].
    """
    if logits.shape[-1] == 1:
        return tf.cast(uniform < tf.sigmoid(logits[..., 0]), keras.config.floatx())
    below = tf.cumsum(tf.nn.softmax(logits), axis=-1)[..., :-1]
    return tf.reduce_sum(tf.cast(uniform[..., None] >= below, keras.config.floatx()), axis=-1)


def normal_cdf(x):
    """The standard normal distribution function to 2e-7, from operations that every runtime has (TFLite has no erf).

    Abramowitz & Stegun 1964, 26.2.17 with the constants of 7.1.26.
    """
    a = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    t = 1.0 / (1.0 + 0.3275911 / math.sqrt(2.0) * tf.abs(x))
    polynomial = t * (a[0] + t * (a[1] + t * (a[2] + t * (a[3] + t * a[4]))))
    tail = 0.5 * polynomial * tf.exp(-0.5 * x * x)
    return tf.where(x < 0, tail, 1.0 - tail)


# Layers ---------------------------------------------------------------------------------------------------------------

FIRST_ROWS, FIRST_COLUMNS = 3, 3
"""Reach of the first layer: rows above, and columns to each side."""


class ImageFeatures(NamedTuple):
    """What depends on the image alone.

    Attributes:
        horizontal: the horizontal stack before the first conditioned layer, [B, H, W, p].
        vertical: of each conditioned layer, what the vertical stack adds to the horizontal one, [B, H, W, 2 p].
    """

    horizontal: tf.Tensor
    vertical: tuple[tf.Tensor, ...]


class CausalLayer(keras.layers.Layer):
    """A layer whose weights have each an initializer with its own seed."""

    def __init__(self, options: NetworkOptions, name: str, **kwargs):
        super().__init__(name=name, **kwargs)
        self.options = options

    def weight(self, name: str, shape, zeros: bool = False):
        initial = "zeros" if zeros else self.options.initializer(f"{self.name}_{name}")
        return self.add_weight(shape=shape, initializer=initial, name=name, autocast=False)  # see `cast`

    def cast(self, *tensors):
        return [tf.cast(tensor, self.compute_dtype) for tensor in tensors]


def convolve(x, kernel, padding):
    """A convolution with zeros around, padded first: the gradients of conv2d's own padding take twice the time."""
    return tf.nn.conv2d(tf.pad(x, padding), kernel, 1, "VALID")


def rows_above(x, kernel, top: int):
    """A convolution over the rows down to the pixel's own, with `top` rows of zeros above."""
    side = kernel.shape[1] // 2
    return convolve(x, kernel, [[0, 0], [top, 0], [side, side], [0, 0]])


def columns_left(x, kernel):
    """A convolution over the columns up to the pixel's own, with zeros at the left."""
    return convolve(x, kernel, [[0, 0], [0, 0], [kernel.shape[1] - 1, 0], [0, 0]])


def gate(x):
    """[..., 2 p] -> [..., p]: a * sigmoid(b)."""
    a, b = tf.split(x, 2, axis=-1)
    return a * tf.sigmoid(b)


class First(CausalLayer):
    """Pixels -> the first activations of both stacks: neither sees the pixel itself."""

    def __init__(self, options: NetworkOptions, width: int):
        super().__init__(options, "first")
        channels = options.spec.image_shape[2]
        self.rows = self.weight("rows", (FIRST_ROWS, 2 * FIRST_COLUMNS + 1, channels, width))
        self.rows_bias = self.weight("rows_bias", (width,), zeros=True)
        self.columns = self.weight("columns", (1, FIRST_COLUMNS, channels, width))
        self.columns_bias = self.weight("columns_bias", (width,), zeros=True)
        self.built = True

    def call(self, pixels):
        """[B, H, W, C] -> vertical and horizontal, [B, H, W, p]."""
        down = tf.pad(pixels, [[0, 0], [1, 0], [0, 0], [0, 0]])[:, :-1]
        right = tf.pad(pixels, [[0, 0], [0, 0], [1, 0], [0, 0]])[:, :, :-1]
        right, columns, bias = self.cast(right, self.columns, self.columns_bias)
        return self.vertical(down, top=FIRST_ROWS - 1), columns_left(right, columns) + bias

    def vertical(self, above, top: int):
        """Rows above, [B, ., W, C] -> [B, ., W, p]."""
        above, rows, bias = self.cast(above, self.rows, self.rows_bias)
        return rows_above(above, rows, top) + bias

    def pixel(self, before):
        """The FIRST_COLUMNS pixels before one, [B, FIRST_COLUMNS * C] -> its horizontal stack, [B, p]."""
        before, columns, bias = self.cast(before, self.columns, self.columns_bias)
        return tf.matmul(before, tf.reshape(columns, (-1, columns.shape[-1]))) + bias


class Gated(CausalLayer):
    """One gated layer of both stacks; `condition` is the length of c, or 0 where it does not join."""

    def __init__(self, options: NetworkOptions, width: int, condition: int, name: str):
        super().__init__(options, name)
        self.rows = self.weight("rows", (2, 3, width, 2 * width))
        self.rows_bias = self.weight("rows_bias", (2 * width,), zeros=True)
        self.columns = self.weight("columns", (1, 2, width, 2 * width))
        self.columns_bias = self.weight("columns_bias", (2 * width,), zeros=True)
        self.down = self.weight("down", (1, 1, width, 2 * width))
        self.out = self.weight("out", (1, 1, width, width))
        self.out_bias = self.weight("out_bias", (width,), zeros=True)
        self.condition = self.weight("condition", (1, 1, condition, 2 * width)) if condition else None
        self.built = True

    def vertical(self, v, top: int = 1):
        """The vertical stack's next activations, and what it adds to the horizontal one before its gate.

        Args:
            v: [B, H, W, p], or, with top = 0, the row above and the row, [B, 2, W, p].

        Returns:
            [B, H, W, p] and [B, H, W, 2 p]; H = 1 with top = 0.
        """
        v, rows, bias, down, columns_bias = self.cast(v, self.rows, self.rows_bias, self.down, self.columns_bias)
        v = v[:, 1 - top :] + gate(rows_above(v, rows, top) + bias)
        return v, tf.nn.conv2d(v, down, 1, "VALID") + columns_bias

    def condition_shift(self, c):
        """What the condition adds to the horizontal stack before its gate: [B, H, W, .] -> [B, H, W, 2 p]."""
        c, kernel = self.cast(c, self.condition)
        return tf.nn.conv2d(c, kernel, 1, "VALID")

    def horizontal(self, h, shift):
        """The horizontal stack's next activations, [B, H, W, p], from h [B, H, W, p] and the shift [B, H, W, 2 p]."""
        h, columns, out, out_bias = self.cast(h, self.columns, self.out, self.out_bias)
        return h + tf.nn.conv2d(gate(columns_left(h, columns) + shift), out, 1, "VALID") + out_bias

    def pixel(self, before, h, shift):
        """`horizontal` at one pixel, from the stack at the previous pixel and here, [B, p], and the shift [B, 2 p]."""
        h, columns, out, out_bias = self.cast(h, self.columns, self.out, self.out_bias)
        x = tf.matmul(tf.concat([before, h], axis=-1), tf.reshape(columns, (-1, columns.shape[-1])))
        return h + tf.matmul(gate(x + shift), out[0, 0]) + out_bias


class Head(CausalLayer):
    """Horizontal stack, condition and earlier channels of the pixel -> logits, channel after channel, in float32."""

    def __init__(self, options: NetworkOptions, width: int, condition: int, outputs: int):
        super().__init__(options, "head", dtype=keras.config.floatx())
        channels = options.spec.image_shape[2]
        self.hidden = [self.weight(f"hidden_{c}", (width + condition + c, width)) for c in range(channels)]
        self.hidden_bias = [self.weight(f"hidden_bias_{c}", (width,), zeros=True) for c in range(channels)]
        self.logits = [self.weight(f"logits_{c}", (width, outputs)) for c in range(channels)]
        self.logits_bias = [self.weight(f"logits_bias_{c}", (outputs,), zeros=True) for c in range(channels)]
        self.built = True

    def channel(self, c: int, x, earlier):
        """The output of `merge`, [..., .], and the pixel's channels before c, [..., c] -> logits [..., outputs]."""
        if c:
            x = tf.concat([x, tf.cast(earlier, keras.config.floatx())], axis=-1)
        # tensordot, for oneDNN's matmul of 4 dimensions may abort
        x = tf.nn.relu(tf.tensordot(x, self.hidden[c], 1) + self.hidden_bias[c])
        return tf.tensordot(x, self.logits[c], 1) + self.logits_bias[c]

    @staticmethod
    def merge(h, condition):
        """Horizontal stack [..., p] and condition [..., .], which thus also reaches the logits directly."""
        return tf.concat(
            [tf.nn.relu(tf.cast(h, keras.config.floatx())), tf.cast(condition, keras.config.floatx())], axis=-1
        )

    def call(self, h, condition, pixels):
        """h [B, H, W, p], condition [B, H, W, .], pixels [B, H, W, C] -> [B, H, W, C, outputs]."""
        x = self.merge(h, condition)
        return tf.stack([self.channel(c, x, pixels[..., :c]) for c in range(len(self.hidden))], axis=-2)


# The network ----------------------------------------------------------------------------------------------------------


class PixelCNN(keras.layers.Layer):
    """The whole decoder.

    Args:
        options: gives the image shape and the seed of the initial weights.
        width: p, channels of each stack.
        layers: gated layers after the first.
        conditioned: number of the last of them that the condition joins.
        condition: length of c at each pixel.
        outputs: logits per pixel and channel: 1 for black and white, else one per level.
    """

    def __init__(
        self, options: NetworkOptions, *, width: int, layers: int, conditioned: int, condition: int, outputs: int
    ):
        super().__init__(name="pixel_cnn")
        self.width, self.free = width, layers - conditioned
        self.first = First(options, width)
        self.gated = [Gated(options, width, condition if i >= self.free else 0, f"gated_{i}") for i in range(layers)]
        self.head = Head(options, width, condition, outputs)
        self.built = True

    def call(self, pixels, condition):
        """Teacher forcing: pixels [B, H, W, C] in [-1, 1], condition [B, H, W, .] -> logits [B, H, W, C, outputs]."""
        return self.logits(self.image_features(pixels), condition, pixels)

    def image_features(self, pixels) -> ImageFeatures:
        """The part that does not depend on the condition; pixels [B, H, W, C] in [-1, 1]."""
        v, h = self.first(pixels)
        shifts = []
        for layer in self.gated:
            v, shift = layer.vertical(v)
            shifts.append(shift)
        for layer, shift in zip(self.gated[: self.free], shifts, strict=False):
            h = layer.horizontal(h, shift)
        return ImageFeatures(h, tuple(shifts[self.free :]))

    def logits(self, features: ImageFeatures, condition, pixels):
        """Logits [B, H, W, C, outputs] from the features of the pixels and a condition."""
        h = features.horizontal
        for layer, shift in zip(self.gated[self.free :], features.vertical, strict=True):
            h = layer.horizontal(h, shift + layer.condition_shift(condition))
        return self.head(h, condition, pixels)


# Sampling -------------------------------------------------------------------------------------------------------------
#
# Recomputing the image for every pixel costs a pass over all pixels for each of them. Here each activation is computed
# once: the vertical stacks of a row when the rows above are known, the horizontal ones pixel by pixel, from the stored
# activations of the row above and of the pixel to the left. That is the work of about one pass in all (Ramachandran et
# al. 2017, https://arxiv.org/abs/1704.06001).


def sample_pixels(network: PixelCNN, condition, noise, levels: int):
    """A sample of p(x | condition), pixel by pixel in raster order.

    Args:
        network: p(x | condition).
        condition: [B, H, W, .].
        noise: [B, H, W, C] uniform in [0, 1].
        levels: of a pixel.

    Returns:
        [B, H, W, C] float32 levels.
    """
    batch, (height, width, _) = tf.shape(noise)[0], noise.shape[1:]
    shifts = _condition_shifts(network, condition)

    def row(i, sampled, above, kept):
        shift, kept = _vertical(network, above, kept)
        line = _row(network, shift + shifts[:, i], condition[:, i], noise[:, i], levels)
        sampled += tf.reshape(tf.one_hot(i, height), (1, height, 1, 1)) * line[:, None]
        return i + 1, sampled, tf.concat([above[:, 1:], signed(line, levels)[:, None]], axis=1), kept

    above = tf.zeros((batch, FIRST_ROWS, *noise.shape[2:]))
    kept = tf.zeros((batch, len(network.gated), width, network.width), network.compute_dtype)
    start = (tf.constant(0), tf.zeros_like(noise), above, kept)
    return tf.while_loop(lambda i, *_: i < height, row, start)[1]


def _condition_shifts(network: PixelCNN, condition):
    """What the condition adds in each layer at each pixel, zeros where it does not join: [B, H, W, layers, 2 p]."""
    shifts = [layer.condition_shift(condition) for layer in network.gated[network.free :]]
    return tf.stack([tf.zeros_like(shifts[0])] * network.free + shifts, axis=3)


def _vertical(network: PixelCNN, above, kept):
    """The vertical stacks of one row.

    Args:
        above: [B, FIRST_ROWS, W, C], the image's rows above it.
        kept: [B, layers, W, p], the input of each layer in the row above.

    Returns:
        What they add to the horizontal stacks, [B, W, layers, 2 p], and the next `kept`.
    """
    v, inputs, shifts = network.first.vertical(above, top=0), [], []
    for i, layer in enumerate(network.gated):
        inputs.append(v)
        v, shift = layer.vertical(tf.concat([kept[:, i : i + 1], v], axis=1), top=0)
        shifts.append(shift)
    return tf.stack([shift[:, 0] for shift in shifts], axis=2), tf.concat(inputs, axis=1)


def _row(network: PixelCNN, shift, condition, noise, levels: int):
    """The pixels of one row, from the left: [B, W, C] levels.

    Args:
        shift: [B, W, layers, 2 p], added to the horizontal stacks before their gates.
        condition: [B, W, .].
        noise: [B, W, C] uniform.
    """
    batch, (width, channels) = tf.shape(noise)[0], noise.shape[1:]

    def pixel(j, line, before, kept):
        h, inputs = network.first.pixel(before), []
        for i, layer in enumerate(network.gated):
            inputs.append(h)
            h = layer.pixel(kept[:, i], h, shift[:, j, i])
        x, sampled = network.head.merge(h, condition[:, j]), tf.zeros((batch, 0))
        for c in range(channels):
            logits = network.head.channel(c, x, signed(sampled, levels))
            sampled = tf.concat([sampled, sample_levels(logits, noise[:, j, c])[:, None]], axis=1)
        line += tf.reshape(tf.one_hot(j, width), (1, width, 1)) * sampled[:, None]
        before = tf.concat([before[:, channels:], signed(sampled, levels)], axis=1)
        return j + 1, line, before, tf.stack(inputs, axis=1)

    before = tf.zeros((batch, FIRST_COLUMNS * channels))
    kept = tf.zeros((batch, len(network.gated), network.width), network.compute_dtype)
    return tf.while_loop(lambda j, *_: j < width, pixel, (tf.constant(0), tf.zeros_like(noise), before, kept))[1]
