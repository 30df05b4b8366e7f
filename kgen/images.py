"""Images: the only conversions between units of pixels (uint8, [0, 1], [-1, 1]), grids, and PNG files."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kgen.errors import UserError
from kgen.io import write_aside


def levels(images: np.ndarray) -> np.ndarray:
    """[0, 1] -> [0, 255] in float32, not rounded."""
    return np.asarray(images, np.float32) * np.float32(255)


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] -> uint8: clip(round(255 x)), halves to even."""
    return np.clip(np.rint(levels(images)), 0, 255).astype(np.uint8)


def to_uint8_tensor(images):
    """`to_uint8` of a float tensor."""
    import tensorflow as tf

    return tf.cast(tf.clip_by_value(tf.round(images * 255.0), 0.0, 255.0), tf.uint8)


def to_unit(pixels):
    """Pixels of 0 to 255 (a NumPy array or a float tensor) -> [0, 1] in float32."""
    if isinstance(pixels, np.ndarray):
        pixels = pixels.astype(np.float32)
    return pixels / 255.0


def to_tanh(images):
    """[0, 1] -> [-1, 1], the range of a tanh output."""
    return images * 2.0 - 1.0


def from_tanh(images):
    """[-1, 1] -> [0, 1]."""
    return (images + 1.0) / 2.0


def grid(images: np.ndarray, columns: int | None = None, *, padding: int = 2, background: int = 255) -> np.ndarray:
    """Joins many images to one picture, row by row.

    Args:
        images: [N, H, W, C] uint8, or float in [0, 1]; C is 1 or 3.
        columns: pictures per row; None makes the grid about square.
        padding: pixels between two pictures and around them.
        background: grey value of the padding and of empty places.

    Returns:
        [rows * (H + padding) + padding, columns * (W + padding) + padding, C] uint8.
    """
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise UserError(f"grid takes at least one image, [N, H, W, C]. Received shape: {images.shape}")
    images = images if images.dtype == np.uint8 else to_uint8(images)
    count, height, width, channels = images.shape
    columns = min(columns or int(np.ceil(np.sqrt(count))), count)
    rows = -(-count // columns)
    sheet = np.full(
        (rows * (height + padding) + padding, columns * (width + padding) + padding, channels), background, np.uint8
    )
    for i, image in enumerate(images):
        top = padding + (i // columns) * (height + padding)
        left = padding + (i % columns) * (width + padding)
        sheet[top : top + height, left : left + width] = image
    return sheet


def to_view(image: np.ndarray, smallest: int = 48, largest: int = 96) -> np.ndarray:
    """An image at a size to look at: small ones are enlarged by whole multiples, large ones are shrunk.

    Args:
        image: [H, W, C] uint8.
        smallest, largest: pixels of the longer side, about.
    """
    from PIL import Image

    side = max(image.shape[:2])
    if side <= largest:
        factor = max(1, round(smallest / side))
        return image.repeat(factor, 0).repeat(factor, 1)
    height, width = (max(1, round(n * largest / side)) for n in image.shape[:2])
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).resize((width, height))
    return np.asarray(picture).reshape(height, width, -1)


PREVIEW_IMAGES = 64
"""Largest number of images of a preview."""


def preview_png(images: np.ndarray) -> bytes:
    """A PNG file that shows the first PREVIEW_IMAGES of some images as a grid: the picture of an object in Jupyter.

    Args:
        images: [N, H, W, C] uint8, or float in [0, 1]; small ones are enlarged, see `to_view`.
    """
    from PIL import Image

    images = np.asarray(images[:PREVIEW_IMAGES])
    images = images if images.dtype == np.uint8 else to_uint8(images)
    sheet = grid(np.stack([to_view(image) for image in images]))
    file = io.BytesIO()
    Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet).save(file, format="PNG")
    return file.getvalue()


def save_png(path: str | os.PathLike, image: np.ndarray) -> Path:
    """Writes one image, [H, W, C] uint8 or float in [0, 1], as PNG: aside first, then renamed."""
    from PIL import Image

    image = image if image.dtype == np.uint8 else to_uint8(image)
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return write_aside(path, lambda aside: picture.save(aside, format="PNG"))


def save_pngs(folder: str | os.PathLike, images: np.ndarray, names: Sequence[str]) -> list[Path]:
    """Writes every image of [N, H, W, C] as `folder/NAME.png`."""
    return [save_png(Path(folder) / f"{name}.png", image) for name, image in zip(names, images, strict=True)]
