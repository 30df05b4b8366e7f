"""Step 2 of the pipeline: images of any size and number of channels -> one shape, uint8.

In whole numbers (Pillow resizes with weights that it rounds to 2^-22), so that an image has the same pixels, and a
data set the same content hash, on every processor. TensorFlow's resizing, in float32, gives other grey levels on arm64.
"""

from collections.abc import Callable

import numpy as np

from kgen.data.source import WHITE

SHAPING = 2
"""Raised with anything that gives other pixels, so that none that were kept before are taken for these."""
LUMA = (299, 587, 114)  # ITU-R BT.601, in thousandths


def make_shaper(
    channels: int, image_shape: tuple[int, int, int], fit: str, size: tuple[int, int] | None
) -> Callable | None:
    """A function images [B, h, w, channels] uint8 -> [B, H, W, C] uint8, or None when there is nothing to do.

    Alpha is laid over white; colour becomes luma, or gray becomes RGB, as the number of channels asks; the centre is
    cut out ("crop") or white is added ("pad") until the aspect ratio fits; then the images are resized (bilinear, with
    antialiasing when they shrink; Pillow's BILINEAR).

    Args:
        channels: of the input: 1, 2 (gray, alpha), 3 or 4 (RGBA).
        image_shape: of the output, (H, W, C).
        fit: "crop" or "pad".
        size: (h, w) when every input has it, else None.
    """
    height, width, out_channels = image_shape
    if size == (height, width) and channels == out_channels:
        return None

    def shape(pixels: np.ndarray) -> np.ndarray:
        return _resized(_one_ratio(_one_colour(pixels, out_channels), height, width, fit), height, width)

    def shaper(pixels):
        import tensorflow as tf

        return tf.ensure_shape(tf.numpy_function(shape, [pixels], tf.uint8), (None, height, width, out_channels))

    return shaper


def _one_colour(pixels: np.ndarray, out_channels: int) -> np.ndarray:
    if pixels.shape[-1] in (2, 4):
        alpha = pixels[..., -1:].astype(np.int32)
        pixels = ((pixels[..., :-1] * alpha + WHITE * (WHITE - alpha) + WHITE // 2) // WHITE).astype(np.uint8)
    if pixels.shape[-1] == 3 and out_channels == 1:
        luma = np.sum(pixels * np.array(LUMA, np.int32), axis=-1, keepdims=True)
        return ((luma + sum(LUMA) // 2) // sum(LUMA)).astype(np.uint8)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 and out_channels == 3 else pixels


def _one_ratio(pixels: np.ndarray, height: int, width: int, fit: str) -> np.ndarray:
    h, w = pixels.shape[1:3]
    # The window of the target's aspect ratio: the largest inside the image, or the smallest around it.
    window_h, window_w = (_scaled(w, height, width), _scaled(h, width, height))
    if fit == "crop":
        window_h, window_w = min(h, window_h), min(w, window_w)
        top, left = (h - window_h) // 2, (w - window_w) // 2
        return pixels[:, top : top + window_h, left : left + window_w]
    more_h, more_w = max(window_h - h, 0), max(window_w - w, 0)
    around = [(0, 0), (more_h // 2, more_h - more_h // 2), (more_w // 2, more_w - more_w // 2), (0, 0)]
    return np.pad(pixels, around, constant_values=WHITE)


def _scaled(length: int, numerator: int, denominator: int) -> int:
    """round(length * numerator / denominator), at least 1."""
    return max((2 * length * numerator + denominator) // (2 * denominator), 1)


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image

    if pixels.shape[1:3] == (height, width):
        return np.ascontiguousarray(pixels)
    gray = pixels.shape[-1] == 1
    found = [
        np.asarray(Image.fromarray(one[..., 0] if gray else one).resize((width, height), Image.Resampling.BILINEAR))
        for one in pixels
    ]
    return np.stack(found).reshape(len(pixels), height, width, -1)
