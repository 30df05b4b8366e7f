"""Step 2 of the pipeline: images of any size and number of channels -> one shape, uint8."""

from collections.abc import Callable

from kgen.data.source import WHITE

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def make_shaper(
    channels: int, image_shape: tuple[int, int, int], fit: str, size: tuple[int, int] | None
) -> Callable | None:
    """A function images [B, h, w, channels] uint8 -> [B, H, W, C] uint8, or None when there is nothing to do.

    Alpha is laid over white; colour becomes luma, or gray becomes RGB, as the number of channels asks; the centre is
    cut out ("crop") or white is added ("pad") until the aspect ratio fits; then the images are resized (bilinear, with
    antialiasing when they shrink).

    Args:
        channels: of the input: 1, 2 (gray, alpha), 3 or 4 (RGBA).
        image_shape: of the output, (H, W, C).
        fit: "crop" or "pad".
        size: (h, w) when every input has it, else None.
    """
    height, width, out_channels = image_shape
    if size == (height, width) and channels == out_channels:
        return None

    def shaper(pixels):
        import tensorflow as tf

        pixels = tf.cast(pixels, tf.float32)
        pixels = _one_ratio(_one_colour(pixels, channels, out_channels), height, width, fit)
        if size is None or pixels.shape[1:3] != (height, width):
            pixels = tf.image.resize(pixels, (height, width), method="bilinear", antialias=True)
        pixels = tf.clip_by_value(tf.round(pixels), 0, WHITE)
        return tf.ensure_shape(tf.cast(pixels, tf.uint8), (None, height, width, out_channels))

    return shaper


def _one_colour(pixels, channels: int, out_channels: int):
    import tensorflow as tf

    if channels in (2, 4):
        alpha = pixels[..., -1:] / WHITE
        pixels = pixels[..., :-1] * alpha + WHITE * (1 - alpha)
    if pixels.shape[-1] == 3 and out_channels == 1:
        pixels = tf.reduce_sum(pixels * LUMA, axis=-1, keepdims=True)
    elif pixels.shape[-1] == 1 and out_channels == 3:
        pixels = tf.repeat(pixels, 3, axis=-1)
    return pixels


def _one_ratio(pixels, height: int, width: int, fit: str):
    import tensorflow as tf

    h, w = pixels.shape[1:3]
    if h is None or w is None:
        h, w = tf.unstack(tf.shape(pixels)[1:3])
    # The window of the target's aspect ratio: the largest inside the image, or the smallest around it.
    window_h, window_w = (_scaled(w, height, width), _scaled(h, width, height))
    if fit == "crop":
        window_h, window_w = _least(h, window_h), _least(w, window_w)
        top, left = (h - window_h) // 2, (w - window_w) // 2
        return pixels[:, top : top + window_h, left : left + window_w]
    more_h, more_w = -_least(h - window_h, 0), -_least(w - window_w, 0)
    paddings = [[0, 0], [more_h // 2, more_h - more_h // 2], [more_w // 2, more_w - more_w // 2], [0, 0]]
    return tf.pad(pixels, paddings, constant_values=float(WHITE))


def _scaled(length, numerator: int, denominator: int):
    """round(length * numerator / denominator), at least 1, for an int or a tensor."""
    rounded = (2 * length * numerator + denominator) // (2 * denominator)
    return -_least(-rounded, -1)


def _least(a, b):
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    import tensorflow as tf

    return tf.minimum(a, b)
