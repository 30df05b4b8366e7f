"""Decoding of one picture file by Pillow: its header, and its pixels upright, over white, as 8-bit gray or RGB.

Everything that Pillow raises for a broken file, of any type, becomes `Unreadable` with a reason for the report.
"""

import functools
import re
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from kgen.data.sources.base import WHITE
from kgen.data.value_range import Bounds, to_pixels

NOT_READ = ("BUFR", "EPS", "FITS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "PSD", "WMF")
"""Formats that Pillow knows and that are no pictures of a data set, or need another program."""
COMMON = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that are tried first."""
START_BYTES = 32
"""Of a file, which show whether it is a picture."""
STARTS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|BM....\0\0\0\0|P[1-6]\s+[0-9#]|qoif"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51|....ftypavi[fs]",
    re.DOTALL,
)
"""The first bytes of the pictures that also stand in files without a suffix."""
OTHER_STARTS = {
    "a HEIC picture, which is not read; convert it to PNG or JPEG": rb"....ftyp(hei[cxfms]|hev[cx]|mif1|msf1)",
    "an AVIF picture, which this Pillow does not read; install Pillow 11.3 or later": rb"....ftypavi[fs]",
    "a web page, not an image": rb"\s*<(!doctype html|html|head)",
    "an SVG drawing, which is not read; convert it to PNG": rb"\s*(<\?xml|<svg)",
    "a TIFF of a kind that is not read, for example one of more than four channels; save its channels as RGB or gray "
    "pictures": rb"II\*\0|MM\0\*",
    "a pointer of Git LFS, not an image; run 'git lfs pull'": rb"version https://git-lfs",
}
"""What a file with the suffix of a picture may be instead."""
GRAY_MODES = ("1", "L", "LA", "La", "I", "F")
ORIENTATION = 0x0112  # EXIF
PLAIN_FORMATS = ("PNG", "JPEG")
SIDEWAYS = (5, 6, 7, 8)
SIXTEEN_BITS = (0.0, float(np.iinfo(np.uint16).max))
RESCALED = ("PPM", "JPEG2000")
"""Formats that declare their white; Pillow brings it to that of 16 bits."""


class Unreadable(ValueError):
    """A file that is not a picture, or is broken; the message is the reason, in a few words."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of a picture say.

    Attributes:
        size: (height, width), turned as EXIF says.
        gray: whether one channel holds it.
        frames: pages of a TIFF, frames of an animation.
        wide: whether the values have more than 8 bits and no declared range: which are black and white shows only in
            all images of a set together.
        cut: whether only the upper 8 bits of a wide picture can be read.
    """

    size: tuple[int, int]
    gray: bool
    frames: int = 1
    wide: bool = False
    cut: bool = False


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """The suffixes of pictures that this Pillow decodes, in lower case, with their dots."""
    from PIL import Image

    known = Image.registered_extensions()
    return frozenset(suffix for suffix, format in known.items() if format in _formats() or format == "MPO")


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats that are read, the common ones first and TGA, which has no first bytes of its own, last."""
    from PIL import Image

    known = set(Image.registered_extensions().values())  # not those that only guess at any file
    formats = [format for format in Image.ID if format in known and format not in (*COMMON, *NOT_READ, "TGA")]
    return (*(format for format in COMMON if format in known), *formats, "TGA")


def starts_like_picture(start: bytes) -> bool:
    """Whether the first bytes are those of a picture that is read."""
    match = STARTS.match(start)
    return bool(match) and (b"ftypavi" not in match[0] or ".avif" in picture_suffixes())


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
            gray, wide = _is_gray(picture), _is_wide(picture)
            return Header(
                (height, width), gray, _count_frames(picture), wide, wide and not gray and picture.format == "TIFF"
            )
        except Exception as error:
            raise Unreadable(_reason(error)) from error


def read_pixels(file: BinaryIO, gray: bool, narrow: Bounds | None = None, wide: Bounds = SIXTEEN_BITS) -> np.ndarray:
    """The first frame, turned as EXIF says, transparency laid over white.

    Args:
        file: open for reading.
        gray: one channel instead of RGB; the picture is gray.
        narrow: the values of black and white in pictures of 8 bits; None is 0 and 255.
        wide: those in pictures of more.

    Returns:
        [height, width, 1 or 3] uint8.

    Raises:
        Unreadable: not a picture, or broken.
    """
    from PIL import Image, ImageOps

    with _open(file) as picture:
        try:
            deep, fixed = _has_many_bits(picture), not _is_wide(picture)
            picture.load()
            if deep:
                picture = _narrowed(picture, _values(picture, file), SIXTEEN_BITS if fixed else wide)
            if picture.getexif().get(ORIENTATION, 1) != 1:  # it copies every picture
                picture = ImageOps.exif_transpose(picture)
            if narrow is not None and not deep:
                picture = _rescaled(picture, narrow)
            if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            mode = "L" if gray else "RGB"
            pixels = np.asarray(picture if picture.mode == mode else picture.convert(mode))
        except Exception as error:  # a broken file makes Pillow raise nearly any kind
            raise Unreadable(_reason(error)) from error
    return pixels[..., None] if gray else pixels


def is_plain(file: BinaryIO) -> bool:
    """Whether a picture is a PNG or JPEG of 8 bits, gray or RGB, upright and opaque: every program reads it alike.

    Raises:
        Unreadable: not a picture, or broken.
    """
    with _open(file) as picture:
        return (
            picture.format in PLAIN_FORMATS
            and picture.mode in ("L", "RGB")
            and not _has_many_bits(picture)
            and "transparency" not in picture.info
            and picture.getexif().get(ORIENTATION, 1) == 1
        )


def read_values(file: BinaryIO) -> np.ndarray:
    """The values of a picture as they stand in the file, without transparency, not turned.

    Returns:
        [height, width, 1 or 3] of integers, floats or, for a bilevel picture, truth values.

    Raises:
        Unreadable: see `read_pixels`; or a value is not finite.
    """
    with _open(file) as picture:
        try:
            deep = _has_many_bits(picture)
            picture.load()
            if deep:
                values, _ = _values(picture, file)
            else:
                plain = _plain_colours(picture)
                bands = len(plain.getbands()) - ("A" in plain.getbands())
                values = np.asarray(plain).reshape(*plain.size[::-1], -1)[..., :bands]
        except Exception as error:
            raise Unreadable(_reason(error)) from error
    if not np.isfinite(values).all():
        raise Unreadable(f"holds {int((~np.isfinite(values)).sum())} values that are not finite numbers")
    return values


def _open(file: BinaryIO):
    import logging
    import warnings

    from PIL import Image, UnidentifiedImageError

    logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)  # it writes a line per file that it cannot read
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(file, formats=_formats())
    except UnidentifiedImageError as error:
        file.seek(0)
        raise Unreadable(_what_else(file.read(START_BYTES))) from error
    except Exception as error:  # see read_pixels; also a size that is a decompression bomb
        raise Unreadable(_reason(error)) from error


def _what_else(start: bytes) -> str:
    """What a file is that Pillow does not know, by its first bytes."""
    if not start:
        return "empty: it has 0 bytes"
    found = (words for words, pattern in OTHER_STARTS.items() if re.match(pattern, start, re.DOTALL | re.IGNORECASE))
    return next(found, "not an image")


def _count_frames(picture) -> int:
    """The pages of a TIFF or the frames of an animation; the second picture of a camera's JPEG is a preview."""
    if picture.format in ("MPO", "ICNS"):
        return 1
    try:
        return getattr(picture, "n_frames", 1)
    except Exception:  # cut off after its first frame; see read_pixels
        return 1


def _is_gray(picture) -> bool:
    if picture.mode in GRAY_MODES or picture.mode.startswith("I;16"):
        return True
    if picture.mode in ("P", "PA") and picture.palette is not None:
        colours = np.frombuffer(bytes(picture.palette.palette), np.uint8)
        if picture.palette.mode == "RGB" and colours.size and colours.size % 3 == 0:
            return bool(np.all(colours.reshape(-1, 3) == colours.reshape(-1, 3)[:, :1]))
    return False


def _has_many_bits(picture) -> bool:
    """Whether the values of a picture, before it is loaded, have more than 8 bits."""
    if picture.mode.startswith(("I", "F")):
        return True
    if picture.format not in ("PNG", "TIFF") or not picture.tile:
        return False
    raw_mode = picture.tile[0][3]  # Pillow takes the upper 8 bits of these
    return ";16" in (raw_mode if isinstance(raw_mode, str) else str(raw_mode[0]))


def _is_wide(picture) -> bool:
    return picture.format not in RESCALED and _has_many_bits(picture)


def _values(picture, file: BinaryIO) -> tuple[np.ndarray, np.ndarray | None]:
    """(values [h, w, 1 or 3], transparency [h, w, 1] uint16 or None) of a loaded picture of many bits."""
    if picture.mode.startswith(("I", "F")):
        return np.asarray(picture)[..., None], None
    if picture.format == "PNG":
        import tensorflow as tf

        file.seek(0)
        values = tf.io.decode_png(file.read(), dtype=tf.uint16).numpy()
    else:  # Pillow decodes the upper 8 bits only
        upper = np.asarray(picture).reshape(*picture.size[::-1], -1)
        values = upper.astype(np.uint16) * int(SIXTEEN_BITS[1] // WHITE)
    colours = values.shape[2] - (values.shape[2] in (2, 4))
    return values[..., :colours], values[..., colours:] if colours < values.shape[2] else None


def _narrowed(picture, values: tuple[np.ndarray, np.ndarray | None], bounds: Bounds):
    """A picture of many bits as one of 8 bits, with its EXIF orientation."""
    from PIL import Image

    colours, alpha = values
    pixels = to_pixels(colours, bounds)
    if alpha is not None:
        pixels = np.concatenate([pixels, to_pixels(alpha, SIXTEEN_BITS)], 2)
    narrowed = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    orientation = picture.getexif().get(ORIENTATION)
    if orientation:
        narrowed.getexif()[ORIENTATION] = orientation
    return narrowed


def _plain_colours(picture):
    """A picture of 8 bits without a palette: bilevel, gray or RGB, with or without transparency."""
    if picture.mode == "1":
        return picture
    if "transparency" in picture.info or picture.mode in ("PA", "RGBa", "La"):
        return picture.convert("RGBA")
    return picture if picture.mode in ("L", "LA", "RGB", "RGBA") else picture.convert("RGB")


def _rescaled(picture, bounds: Bounds):
    """A picture of 8 bits in which the colours `bounds` are black and white; a bilevel one as it is."""
    if picture.mode == "1":
        return picture
    picture = _plain_colours(picture)
    levels = list(range(WHITE + 1))
    table = to_pixels(np.array(levels, np.uint8), bounds).tolist()
    return picture.point([level for band in picture.getbands() for level in (levels if band == "A" else table)])


def _reason(error: Exception) -> str:
    text = str(error).split("\n")[0].strip()
    return f"broken: {text}" if text else f"broken: {type(error).__name__}"
