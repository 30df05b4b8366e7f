"""Decoding of one picture file by Pillow: its header, and its pixels upright, over white, as 8-bit gray or RGB.

Everything that Pillow raises for a broken file, of any type, becomes `Unreadable` with a reason for the report.
"""

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from kgen import images

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
GRAY_MODES = ("1", "L", "LA", "La", "I", "F")
ORIENTATION = 0x0112  # EXIF
SIDEWAYS = (5, 6, 7, 8)
SIXTEEN_BIT = np.iinfo(np.uint16).max


class Unreadable(ValueError):
    """A file that is not a picture, or is broken; the message is the reason, in a few words."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of a picture say.

    Attributes:
        size: (height, width), turned as EXIF says.
        gray: whether one channel holds it.
    """

    size: tuple[int, int]
    gray: bool


def read_header(file: BinaryIO) -> Header:
    """Size and kind of a picture, without decoding it.

    Raises:
        Unreadable: not a picture, or broken.
    """
    with _open(file) as picture:
        width, height = picture.size
        try:
            if picture.format != "TIFF" and "exif" in picture.info and picture.getexif().get(ORIENTATION) in SIDEWAYS:
                width, height = height, width
            return Header((height, width), _is_gray(picture))
        except Exception as error:
            raise Unreadable(_reason(error)) from error


def read_pixels(file: BinaryIO, gray: bool) -> np.ndarray:
    """The first frame, turned as EXIF says, transparency laid over white.

    Args:
        file: open for reading.
        gray: one channel instead of RGB; the picture is gray.

    Returns:
        [height, width, 1 or 3] uint8.

    Raises:
        Unreadable: not a picture, or broken.
    """
    from PIL import Image, ImageOps

    with _open(file) as picture:
        try:
            picture.load()
            picture = ImageOps.exif_transpose(picture)
            if picture.mode.startswith(("I", "F")):
                picture = Image.fromarray(_eight_bits(np.asarray(picture)))
            if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            pixels = np.asarray(picture.convert("L" if gray else "RGB"))
        except Exception as error:  # a broken file makes Pillow raise nearly any kind
            raise Unreadable(_reason(error)) from error
    return pixels[..., None] if gray else pixels


def _open(file: BinaryIO):
    import warnings

    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(file)
    except UnidentifiedImageError as error:
        raise Unreadable("not an image") from error
    except Exception as error:  # see read_pixels; also a size that is a decompression bomb
        raise Unreadable(_reason(error)) from error


def _is_gray(picture) -> bool:
    if picture.mode in GRAY_MODES or picture.mode.startswith("I;16"):
        return True
    if picture.mode in ("P", "PA") and picture.palette is not None:
        colours = np.frombuffer(bytes(picture.palette.palette), np.uint8)
        if picture.palette.mode == "RGB" and colours.size and colours.size % 3 == 0:
            return bool(np.all(colours.reshape(-1, 3) == colours.reshape(-1, 3)[:, :1]))
    return False


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """16-bit integers, or floats of [0, 1] or [0, 255] -> uint8."""
    if values.dtype.kind == "f":
        top = 1 if values.max() <= 1 else float(np.iinfo(np.uint8).max)
    else:
        top = SIXTEEN_BIT
    if not (values.min() >= 0 and values.max() <= top):
        raise ValueError(f"values from {values.min()} to {values.max()}")
    return images.to_uint8(values / np.float32(top))


def _reason(error: Exception) -> str:
    text = str(error).split("\n")[0].strip()
    return f"broken: {text}" if text else f"broken: {type(error).__name__}"
