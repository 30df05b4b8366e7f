"""Images: the only conversions between units of pixels (uint8, [0, 1], [-1, 1]), grids, and PNG files."""

import functools
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kgen.content_credentials import Sign
from kgen.errors import UserError
from kgen.io import write_aside
from kgen.provenance import tagged

VIEW_SIDE = 48
"""Pixels of the longer side to which small images are enlarged, about."""
COMPRESSION = 4
"""Of PNG files, zlib's level: 2.4 times as fast as its usual 6 for a sheet of samples, and 1 % larger."""
TEXT_HEIGHT = 12
TEXT_LEVEL = 20
"""Grey value of text."""


def levels(images: np.ndarray) -> np.ndarray:
    """[0, 1] -> [0, 255] in float32, not rounded."""
    return np.asarray(images, np.float32) * np.float32(255)


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] -> uint8: clip(round(255 x)), halves to even."""
    return np.clip(np.rint(levels(images)), 0, 255).astype(np.uint8)


def to_uint8_tensor(images):
    """`to_uint8` of a float tensor."""
    import tensorflow as tf

    return tf.cast(tf.clip_by_value(tf.round(levels_tensor(images)), 0.0, 255.0), tf.uint8)


def levels_tensor(images):
    """`levels` of a float tensor."""
    return images * 255.0


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


def grid(
    images: np.ndarray,
    columns: int | None = None,
    *,
    names: Sequence[str] = (),
    scale: int = 1,
    padding: int = 2,
    background: int = 255,
) -> np.ndarray:
    """Joins many images to one picture, row by row.

    Args:
        images: [N, H, W, C] uint8, or float in [0, 1]; C is 1 or 3.
        columns: pictures per row; None makes the grid about square.
        names: of the rows, written beside them.
        scale: whole factor by which every image is enlarged; the nearest pixel is repeated.
        padding: pixels between two pictures and around them.
        background: grey value of the padding and of empty places.

    Returns:
        [rows * (H * scale + padding) + padding, left + columns * (W * scale + padding) + padding, C] uint8; `left` is
        the room for the names.
    """
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise UserError(f"grid takes at least one image, [N, H, W, C]. Received shape: {images.shape}")
    images = enlarged(images if images.dtype == np.uint8 else to_uint8(images), scale)
    count, height, width, channels = images.shape
    columns = min(columns or int(np.ceil(np.sqrt(count))), count)
    rows = -(-count // columns)
    margin = names_width(names)
    sheet = np.full(
        (rows * (height + padding) + padding, margin + columns * (width + padding) + padding, channels),
        background,
        np.uint8,
    )
    for i, image in enumerate(images):
        top = padding + (i // columns) * (height + padding)
        left = margin + padding + (i % columns) * (width + padding)
        sheet[top : top + height, left : left + width] = image
    for row, name in enumerate(names):
        _write_name(sheet[:, :margin], name, padding + row * (height + padding) + height / 2)
    return sheet


def without_frame(sheet: np.ndarray, image_shape: Sequence[int], names: Sequence[str] = (), padding: int = 2):
    """A grid at the size of its images, without the names of its rows, and a transparent pixel in place of the padding.

    Args:
        sheet: [height, width] or [height, width, 3] uint8, of `grid` with images enlarged by `view_scale`.
        image_shape: [H, W, C] of its images.
        names: of the rows, repeated where there are more rows.
        padding: of the sheet, see `grid`.

    Returns:
        ([rows * (H + 1) - 1, columns * (W + 1) - 1, 2 or 4] uint8, the names of the rows); (the sheet, []) if it is
        laid out differently.
    """
    scale, channels = view_scale(image_shape), 1 if sheet.ndim == 2 else sheet.shape[-1]
    height, width = (side * scale + padding for side in image_shape[:2])
    rows = (sheet.shape[0] - padding) // height
    names = [names[row % len(names)] for row in range(rows)] if names else []
    cells = sheet[padding:, names_width(names) + padding :]
    columns = cells.shape[1] // width
    if not (rows and columns) or cells.shape[:2] != (rows * height, columns * width):
        return sheet, []
    cells = cells.reshape(rows, height, columns, width, channels)
    if (cells[:, -padding:] != 255).any() or (cells[:, :, :, -padding:] != 255).any():
        return sheet, []
    bare = np.zeros((rows, image_shape[0] + 1, columns, image_shape[1] + 1, channels + 1), np.uint8)
    bare[:, :-1, :, :-1, :-1] = cells[:, :-padding:scale, :, :-padding:scale]
    bare[:, :-1, :, :-1, -1] = 255
    joined = bare.reshape(rows * (image_shape[0] + 1), columns * (image_shape[1] + 1), channels + 1)
    return np.ascontiguousarray(joined[:-1, :-1]), names


def class_grid(images: np.ndarray, names: Sequence[str], *, scale: int = 1) -> np.ndarray:
    """A grid with a named row per class, of images of all classes in turn: image i is of class i % K.

    Args:
        images: [N, H, W, C] uint8, or float in [0, 1].
        names: of the K classes.
        scale: see `grid`.
    """
    images, rows = np.asarray(images), min(len(names), len(images))
    columns = -(-len(images) // rows)
    images = images if images.dtype == np.uint8 else to_uint8(images)
    blank = np.full((rows * columns - len(images), *images.shape[1:]), 255, np.uint8)
    places = np.arange(rows * columns).reshape(columns, rows).T.ravel()
    return grid(np.concatenate([images, blank])[places], columns, names=names[:rows], scale=scale)


def enlarged(images: np.ndarray, scale: int) -> np.ndarray:
    """[..., H, W, C] -> [..., H * scale, W * scale, C]: every pixel is repeated."""
    return images if scale == 1 else images.repeat(scale, -3).repeat(scale, -2)


def view_scale(image_shape: Sequence[int], smallest: int = VIEW_SIDE) -> int:
    """The whole factor that makes images of [H, W, C] about `smallest` pixels large; 1 of larger ones."""
    return max(1, round(smallest / max(image_shape[:2])))


@functools.cache
def font():
    """The font of names and captions."""
    from PIL import ImageFont

    return ImageFont.load_default(TEXT_HEIGHT)


def names_width(names: Sequence[str]) -> int:
    """Pixels that the names of rows take beside a grid."""
    return max((round(font().getlength(name)) + TEXT_HEIGHT for name in names), default=0)


def _write_name(margin: np.ndarray, name: str, middle: float):
    """Writes a name into the margin of a sheet, to the right, at the height `middle`."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(margin[..., 0])
    place = (margin.shape[1] - TEXT_HEIGHT // 3, middle)
    ImageDraw.Draw(picture).text(place, name, fill=TEXT_LEVEL, font=font(), anchor="rm")
    margin[...] = np.asarray(picture)[..., None]


def to_view(image: np.ndarray, smallest: int = VIEW_SIDE, largest: int = 96) -> np.ndarray:
    """An image at a size to look at: small ones are enlarged by whole multiples, large ones are shrunk.

    Args:
        image: [H, W, C] uint8.
        smallest, largest: pixels of the longer side, about.
    """
    from PIL import Image

    side = max(image.shape[:2])
    if side <= largest:
        return enlarged(image, view_scale(image.shape, smallest))
    height, width = (max(1, round(n * largest / side)) for n in image.shape[:2])
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).resize((width, height))
    return np.asarray(picture).reshape(height, width, -1)


PREVIEW_IMAGES = 64
"""Largest number of images of a preview."""


def preview_png(images: np.ndarray, made: Mapping[str, Any]) -> bytes:
    """A PNG file that shows the first PREVIEW_IMAGES of some images as a grid: the picture of an object in Jupyter.

    Args:
        images: [N, H, W, C] uint8, or float in [0, 1]; small ones are enlarged, see `to_view`.
        made: what made it, for the file: see `kgen.provenance`.
    """
    images = np.asarray(images[:PREVIEW_IMAGES])
    images = images if images.dtype == np.uint8 else to_uint8(images)
    return tagged(png_bytes(grid(np.stack([to_view(image) for image in images]))), made)


def png_bytes(image: np.ndarray) -> bytes:
    """One image, [H, W, C] uint8, as PNG file."""
    from PIL import Image

    file = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.save(file, format="PNG", compress_level=COMPRESSION)
    return file.getvalue()


def save_png(
    path: str | os.PathLike, image: np.ndarray, made: Mapping[str, Any] | None = None, sign: Sign | None = None
) -> Path:
    """Writes one image as PNG: aside first, then renamed.

    Args:
        path: of the file.
        image: [H, W, C] uint8 or float in [0, 1].
        made: what made it, for the file: see `kgen.provenance`.
        sign: signs the file: see `kgen.content_credentials`.
    """
    content = png_bytes(image if image.dtype == np.uint8 else to_uint8(image))
    content = tagged(content, made) if made else content
    content = sign(content) if sign else content
    return write_aside(path, lambda aside: aside.write_bytes(content))


def save_pngs(
    folder: str | os.PathLike,
    images: np.ndarray,
    names: Sequence[str],
    made: Sequence[Mapping[str, Any] | None] | None = None,
    sign: Sign | None = None,
) -> list[Path]:
    """Writes every image of [N, H, W, C] as `folder/NAME.png`; `made`: of each, see `save_png`."""
    return [
        save_png(Path(folder) / f"{name}.png", image, one, sign)
        for name, image, one in zip(names, images, made or [None] * len(names), strict=True)
    ]
