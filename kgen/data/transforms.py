"""Pixel transforms of the pipeline: one shape for all images (step 2), and binarization (step 5).

`make_transform` brings images of any size and number of channels to one shape, uint8. It computes in whole numbers
(Pillow resizes with weights that it rounds to 2^-22), so that an image has the same pixels, and a data set the same
content hash, on every processor. TensorFlow's resizing, in float32, gives other grey levels on arm64.

`flip_at_random` mirrors images of training batches; `can_be_mirrored` asks a set whether it may.

`binarize_threshold` and the two `binarize_sample*` make black-and-white images: by a threshold, or by sampling every
pixel with its grey value as the probability of white (Salakhutdinov & Murray 2008): again each time that an image is
seen in training, once for each image in evaluation.
"""

from collections.abc import Callable

import numpy as np

from kgen.data.sources.base import WHITE

TRANSFORM_VERSION = 2
"""Raised with any change that gives other pixels, so that decoded images kept before it are not taken for these."""
ALL = slice(None)
LUMA = (299, 587, 114)  # ITU-R BT.601, in thousandths


# One shape ------------------------------------------------------------------------------------------------------------


def make_transform(
    channels: int, image_shape: tuple[int, int, int], fit: str, size: tuple[int, int] | None
) -> Callable | None:
    """A function images [B, h, w, channels] uint8 -> [B, H, W, C] uint8, or None when there is nothing to do.

    Alpha is laid over white; colour becomes luma, or gray becomes RGB, as the number of channels asks; the centre is
    cut out ("crop") or white is added ("pad") until the aspect ratio fits; then the images are resized (bilinear, with
    antialiasing when they shrink; Pillow's BILINEAR).

    Args:
        channels: of the input: 1, 2 (gray, alpha), 3 or 4 (RGBA).
        image_shape: of the output, (H, W, C).
        fit: see DataConfig.
        size: (h, w) when every input has it, else None.
    """
    height, width, out_channels = image_shape
    if size == (height, width) and channels == out_channels:
        return None

    def transform_array(pixels: np.ndarray) -> np.ndarray:
        return _resize(_crop_or_pad(_to_channels(pixels, out_channels), height, width, fit), height, width)

    def transform(pixels):
        import tensorflow as tf

        found = tf.numpy_function(transform_array, [pixels], tf.uint8)
        return tf.ensure_shape(found, (None, height, width, out_channels))

    return transform


def _to_channels(pixels: np.ndarray, out_channels: int) -> np.ndarray:
    if pixels.shape[-1] in (2, 4):
        alpha = pixels[..., -1:].astype(np.int32)
        pixels = ((pixels[..., :-1] * alpha + WHITE * (WHITE - alpha) + WHITE // 2) // WHITE).astype(np.uint8)
    if pixels.shape[-1] == 3 and out_channels == 1:
        luma = np.sum(pixels * np.array(LUMA, np.int32), axis=-1, keepdims=True)
        return ((luma + sum(LUMA) // 2) // sum(LUMA)).astype(np.uint8)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 and out_channels == 3 else pixels


def _crop_or_pad(pixels: np.ndarray, height: int, width: int, fit: str) -> np.ndarray:
    """The window with the aspect ratio of the output: the largest inside the image, or the smallest around it."""
    h, w = pixels.shape[1:3]
    window_h, window_w = (_scaled(w, height, width), _scaled(h, width, height))
    if fit == "crop":
        window_h, window_w = min(h, window_h), min(w, window_w)
        top, left = (h - window_h) // 2, (w - window_w) // 2
        return pixels[:, top : top + window_h, left : left + window_w]
    more_h, more_w = max(window_h - h, 0), max(window_w - w, 0)
    padding = [(0, 0), (more_h // 2, more_h - more_h // 2), (more_w // 2, more_w - more_w // 2), (0, 0)]
    return np.pad(pixels, padding, constant_values=WHITE)


def _scaled(length: int, numerator: int, denominator: int) -> int:
    """round(length * numerator / denominator), at least 1."""
    return max((2 * length * numerator + denominator) // (2 * denominator), 1)


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image

    if pixels.shape[1:3] == (height, width):
        return np.ascontiguousarray(pixels)
    gray = pixels.shape[-1] == 1
    resized = [
        np.asarray(Image.fromarray(one[..., 0] if gray else one).resize((width, height), Image.Resampling.BILINEAR))
        for one in pixels
    ]
    return np.stack(resized).reshape(len(pixels), height, width, -1)


# Binarization ---------------------------------------------------------------------------------------------------------

SIXTEEN_BITS = 2**16


def flip_at_random(pixels, key, places: slice = ALL, size: int | None = None):
    """Training images [B, H, W, C], each mirrored left to right with probability 1/2.

    Args:
        pixels: of any type.
        key: [2] int64; the same key mirrors the same images.
        places: of the images in a batch of `size`, of which others have the rest.
        size: None: these are all.
    """
    import tensorflow as tf

    size = tf.shape(pixels)[0] if size is None else size
    mirrored = tf.random.stateless_uniform([size], key)[places] < 0.5
    return tf.where(mirrored[:, None, None, None], pixels[:, :, ::-1], pixels)


def can_be_mirrored(pixels: np.ndarray) -> bool:
    """Whether mirrored images are as near to a set as its own: digits and letters are not, most photographs are.

    Args:
        pixels: [N, H, W, C] uint8; about a thousand are enough.

    Returns:
        Whether `mirror_distance` and its standard deviation are at most MIRROR_TOLERANCE: not where few images leave it
        open.
    """
    return len(pixels) > 1 and bool(max(mirror_distance(pixels)) <= MIRROR_TOLERANCE)


def mirror_distance(pixels: np.ndarray) -> tuple[float, float]:
    """The energy distance (Székely & Rizzo 2013, https://doi.org/10.1016/j.jspi.2013.03.018) of a set to its mirrored
    images, unbiased, as a share of the mean distance of an image to another mirrored one.

    Args:
        pixels: [N, H, W, C] uint8, N at least 2.

    Returns:
        (the distance; its standard deviation where each image is mirrored at random: that changes the signs of its
        terms, and nothing else).
    """
    count = len(pixels)
    plain, mirrored = (_small(x) for x in (pixels, pixels[:, :, ::-1]))
    across = _distances(plain, mirrored)
    grown = across - _distances(plain, plain)
    np.fill_diagonal(grown, 0)
    pairs = count * (count - 1)
    mean = max((across.sum() - np.trace(across)) / pairs, 1e-12)
    return 2 * grown.sum() / pairs / mean, 2 * np.sqrt(2 * np.square(grown).sum()) / pairs / mean


MIRROR_TOLERANCE, MIRROR_SIDE = 0.01, 16
"""Energy distance that is none, and the side that images are averaged to."""


def _small(pixels: np.ndarray) -> np.ndarray:
    """[N, H, W, C] -> [N, d] float32: means over windows, about MIRROR_SIDE of them per side."""
    count, height, width, channels = pixels.shape
    windows = [max(side // MIRROR_SIDE, 1) for side in (height, width)]
    rows, columns = height // windows[0], width // windows[1]
    kept = pixels[:, : rows * windows[0], : columns * windows[1]].astype(np.float32)
    return kept.reshape(count, rows, windows[0], columns, windows[1], channels).mean(axis=(2, 4)).reshape(count, -1)


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[N, M] float64 of [N, d] and [M, d]."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    squares = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1) - 2 * (one @ other.T)
    return np.sqrt(np.maximum(squares, 0))


def binarize_threshold(pixels):
    """uint8 -> float32 tensor: 1 from a grey value of 0.5 on, otherwise 0."""
    import tensorflow as tf

    return tf.cast(pixels >= np.uint8((WHITE + 1) // 2), tf.float32)


def binarize_sample(pixels, key, places: slice = ALL, size: int | None = None):
    """A Bernoulli sample of each pixel.

    Args:
        pixels: [B, H, W, C] uint8 tensor; the probability of white is pixels / 255, exact for black and for white.
        key: [2] integer tensor; the same key gives the same sample.
        places, size: see `flip_at_random`.

    Returns:
        [B, H, W, C] float32 tensor of 0 and 1.
    """
    import tensorflow as tf

    shape = tf.shape(pixels) if size is None else tf.concat([[size], tf.shape(pixels)[1:]], 0)
    count = tf.reduce_prod(shape)
    words = tf.random.stateless_uniform([(count + 1) // 2], key, minval=None, maxval=None, dtype=tf.uint32)
    uniforms = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:count], shape)[places]
    return _is_white(pixels, tf.cast(uniforms, tf.int32))


def binarize_sample_by_index(pixels, indices, stream: int):
    """A Bernoulli sample of each pixel that is a function of (stream, index of the image) alone, whatever the batch.

    Args:
        pixels: [B, H, W, C] uint8 tensor.
        indices: [B] int64 tensor, the index of each image in its source.
        stream: a seed.

    Returns:
        [B, H, W, C] float32 tensor of 0 and 1.
    """
    import tensorflow as tf

    sampler = _uniform_sampler(tuple(pixels.shape[1:]), stream)
    uniforms = tf.numpy_function(sampler, [indices], tf.int32, stateful=False)
    return _is_white(pixels, tf.ensure_shape(uniforms, (None, *pixels.shape[1:])))


def _is_white(pixels, uniforms):
    """1 where uniform / 2^16 < pixel / 255, in whole numbers."""
    import tensorflow as tf

    return tf.cast(uniforms * WHITE < tf.cast(pixels, tf.int32) * SIXTEEN_BITS, tf.float32)


def _uniform_sampler(image_shape: tuple[int, ...], stream: int) -> Callable:
    """Indices [B] -> [B, *image_shape] int32 from 0 to 2^16 - 1, by SplitMix64 (Steele et al. 2014) on a counter."""
    values = int(np.prod(image_shape))
    words = -(-values // 4)
    start = _splitmix64(np.array([stream], np.uint64))

    def sample(indices):
        counter = indices.astype(np.uint64)[:, None] * np.uint64(words) + np.arange(words, dtype=np.uint64)
        mixed = _splitmix64(start + counter * np.uint64(0x9E3779B97F4A7C15))
        return mixed.view(np.uint16)[:, :values].reshape(-1, *image_shape).astype(np.int32)

    return sample


def _splitmix64(z: np.ndarray) -> np.ndarray:
    """The output function of SplitMix64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
