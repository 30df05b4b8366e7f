"""Black-and-white images: a threshold, or every pixel drawn with its grey value as the probability of white."""

from collections.abc import Callable

import numpy as np

from kgen.data.source import WHITE

SIXTEEN_BITS = 2**16


def threshold(pixels):
    """uint8 -> float32 tensor: 1 from a grey value of 0.5 on, otherwise 0."""
    import tensorflow as tf

    return tf.cast(pixels >= np.uint8((WHITE + 1) // 2), tf.float32)


def sample(pixels, key):
    """A Bernoulli draw for each pixel.

    Args:
        pixels: [B, H, W, C] uint8 tensor; the probability of white is pixels / 255, exact for black and for white.
        key: [2] integer tensor; the same key, the same draw.

    Returns:
        [B, H, W, C] float32 tensor of 0 and 1.
    """
    import tensorflow as tf

    count = tf.size(pixels)
    words = tf.random.stateless_uniform([(count + 1) // 2], key, minval=None, maxval=None, dtype=tf.uint32)
    draws = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:count], tf.shape(pixels))
    return _compare(pixels, tf.cast(draws, tf.int32))


def sample_fixed(pixels, indices, stream: int):
    """A Bernoulli draw for each pixel that is a function of (stream, index of the image) alone, whatever the batch.

    Args:
        pixels: [B, H, W, C] uint8 tensor.
        indices: [B] int64 tensor, the number of each image.
        stream: a seed.
    """
    import tensorflow as tf

    draws = tf.numpy_function(_drawer(tuple(pixels.shape[1:]), stream), [indices], tf.int32, stateful=False)
    return _compare(pixels, tf.ensure_shape(draws, (None, *pixels.shape[1:])))


def _compare(pixels, draws):
    """1 where draw / 2^16 < pixel / 255, in whole numbers."""
    import tensorflow as tf

    return tf.cast(draws * WHITE < tf.cast(pixels, tf.int32) * SIXTEEN_BITS, tf.float32)


def _drawer(image_shape: tuple[int, ...], stream: int) -> Callable:
    """Indices [B] -> [B, *image_shape] int32 from 0 to 2^16 - 1, by SplitMix64 (Steele et al. 2014) on a counter."""
    values = int(np.prod(image_shape))
    words = -(-values // 4)
    start = _mix(np.array([stream], np.uint64))

    def draw(indices):
        counter = indices.astype(np.uint64)[:, None] * np.uint64(words) + np.arange(words, dtype=np.uint64)
        mixed = _mix(start + counter * np.uint64(0x9E3779B97F4A7C15))
        return mixed.view(np.uint16)[:, :values].reshape(-1, *image_shape).astype(np.int32)

    return draw


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
