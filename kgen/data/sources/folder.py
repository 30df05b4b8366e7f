"""One picture file by Pillow: its header, and its pixels upright, over white, as 8-bit gray or RGB."""

import hashlib
import os
import sys
import threading
import zipfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from kgen import images
from kgen.data.sources.arrays import file_identity
from kgen.data.sources.base import BLOCK, Skipped, Source
from kgen.errors import ImageLost, UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
GRAY_MODES = ("1", "L", "LA", "La", "I", "F")
ORIENTATION = 0x0112  # EXIF
SIDEWAYS = (5, 6, 7, 8)
SIXTEEN_BIT = np.iinfo(np.uint16).max


class Unreadable(ValueError):
    """A file that is no picture, or a broken one; the message is the reason, in a few words."""


@dataclass(frozen=True)
class Header:
    """What a picture's first bytes say: (height, width) as it is shown, and whether it is gray."""

    size: tuple[int, int]
    gray: bool


def read_header(file: BinaryIO) -> Header:
    """Raises Unreadable."""
    with _opened(file) as picture:
        width, height = picture.size
        try:
            if picture.format != "TIFF" and "exif" in picture.info and picture.getexif().get(ORIENTATION) in SIDEWAYS:
                width, height = height, width
            return Header((height, width), _is_gray(picture))
        except Exception as error:
            raise Unreadable(_words(error)) from error


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

    with _opened(file) as picture:
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
            raise Unreadable(_words(error)) from error
    return pixels[..., None] if gray else pixels


def _opened(file: BinaryIO):
    import warnings

    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(file)
    except UnidentifiedImageError as error:
        raise Unreadable("not an image") from error
    except Exception as error:  # see read_pixels; also a size that is a decompression bomb
        raise Unreadable(_words(error)) from error


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


def _words(error: Exception) -> str:
    text = str(error).split("\n")[0].strip()
    return f"broken: {text}" if text else f"broken: {type(error).__name__}"


# Layout ---------------------------------------------------------------------------------------------------------------
# What the paths inside a folder or a zip mean: splits, classes, and what is left out.


SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}


@dataclass(frozen=True)
class Layout:
    """Split -> paths; split -> labels beside them (all 0 without classes); the class names; what is left out."""

    paths: dict[str, list[str]]
    labels: dict[str, list[int]]
    class_names: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def is_picture(path: str) -> bool:
    """By its suffix; hidden files and macOS' `__MACOSX` are none."""
    parts = PurePosixPath(path).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and path.lower().endswith(SUFFIXES)


def read_layout(paths: Sequence[str]) -> Layout:
    """Splits are sub-folders named train, test, val ...; classes are sub-folders; one common top folder is nothing.

    Within a split, the order is that of a hash of the path, the same everywhere, so that the first images show every
    class.

    Args:
        paths: of the pictures, with forward slashes, relative to the data set.
    """
    split_of = {path: PurePosixPath(path).parts for path in paths}
    skipped: list[Skipped] = []
    split_of = _without_common_top(split_of)
    tops = {parts[0].lower() for parts in split_of.values() if len(parts) > 1}
    in_splits = any(SPLIT_NAMES.get(top) == "train" for top in tops) or (tops and tops <= set(SPLIT_NAMES))
    by_split: dict[str, dict[str, tuple]] = {}
    for path, parts in split_of.items():
        split = SPLIT_NAMES.get(parts[0].lower()) if in_splits and len(parts) > 1 else None if in_splits else "train"
        if split is None:
            skipped.append(Skipped(path, "beside the folders of the splits"))
        else:
            by_split.setdefault(split, {})[path] = parts[1:] if in_splits else parts
    classes = sorted({parts[0] for group in by_split.values() for parts in group.values() if len(parts) > 1})
    labelled = len(classes) > 1
    result, labels = {}, {}
    for split, group in by_split.items():
        kept = []
        for path, parts in group.items():
            if labelled and len(parts) == 1:
                skipped.append(Skipped(path, "has no label: it lies beside the class folders"))
            else:
                kept.append((_mixed(path), path, classes.index(parts[0]) if labelled else 0))
        kept.sort()
        result[split] = [path for _, path, _ in kept]
        labels[split] = [label for _, _, label in kept]
    return Layout(result, labels, tuple(classes) if labelled else (), tuple(skipped))


def _without_common_top(split_of: dict[str, tuple]) -> dict[str, tuple]:
    while True:
        tops = {parts[0] for parts in split_of.values()}
        alone = len(tops) == 1 and all(len(parts) > 1 for parts in split_of.values())
        if not alone or next(iter(tops)).lower() in SPLIT_NAMES:
            return split_of
        split_of = {path: parts[1:] for path, parts in split_of.items()}


def _mixed(path: str) -> bytes:
    return hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest()


# Folder ---------------------------------------------------------------------------------------------------------------
# A folder of pictures, or a .zip of one: any sizes, any formats that Pillow reads, broken files left out and named.


MOST_BYTES = 2**28
"""Of one picture in a zip: a few bytes may unpack to any number of them."""
THREADS = min(16, 4 * (os.cpu_count() or 1))
IN_A_TASK = 256
INDEX = ("header_offset", "compress_type", "compress_size", "file_size", "CRC", "flag_bits")
"""What is kept of each entry of a zip: all that reading one needs."""


class FolderSource(Source):
    """Pictures of a folder or a zip; `open_folder` makes one."""

    def __init__(self, path: Path, files: "Files"):
        layout = read_layout(files.names)
        super().__init__(
            path.stem if path.is_file() else path.resolve().name,
            {split: len(names) for split, names in layout.paths.items()},
            layout.class_names,
            files.identity,
        )
        self.skipped += layout.skipped
        self._paths, self._files = layout.paths, files
        self._labels = {split: np.array(labels, np.int32) for split, labels in layout.labels.items()}
        self._sizes: Counter = Counter()
        self._lock = threading.Lock()
        self._checked: set[str] = set()

    def scan(self, chosen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Reads every chosen header; those that cannot be read are added to `skipped`."""
        kept, gray = {}, True
        for split, indices in chosen.items():
            headers = self.headers(split, indices)
            kept[split] = indices[[h is not None for h in headers]]
            headers = [h for h in headers if h is not None]
            self._sizes.update(h.size for h in headers)
            gray = gray and all(h.gray for h in headers)
        self.size = next(iter(self._sizes)) if len(self._sizes) == 1 else None
        self.channels = 1 if gray else 3
        return kept

    def check(self, split: str, indices: np.ndarray) -> np.ndarray:
        """Decodes every image once; those that fail are added to `skipped`. One that fails later raises ImageLost."""
        good = _by_threads(lambda index: bool(self._read(split, index)[1]), indices)
        self._checked.add(split)
        return indices[np.array(good, bool)]

    def name_of(self, split: str, index: int) -> str:
        return self._paths[split][index]

    @property
    def sizes(self) -> Counter:
        """(height, width) -> how many images have it; known after `scan`."""
        return self._sizes

    def headers(self, split: str, indices: np.ndarray) -> list:
        """The header of each image; None where it cannot be read."""
        return self._each(split, indices, read_header)

    def describe_sizes(self) -> str:
        shown = [f"{h}x{w} ({count})" for (h, w), count in self._sizes.most_common(5)]
        more = f" and {len(self._sizes) - 5} more" if len(self._sizes) > 5 else ""
        return f"{len(self._sizes)} different sizes, height x width: {', '.join(shown)}{more}"

    def records(self, split: str, indices: Any):
        import tensorflow as tf

        with tf.device("CPU:0"):
            labels = tf.constant(self._labels[split])

        def read(index):
            pixels, good = tf.numpy_function(
                lambda i: self._read(split, int(i)), [index], (tf.uint8, tf.bool), stateful=False
            )
            height, width = self.size or (None, None)
            return index, tf.ensure_shape(pixels, (height, width, self.channels)), tf.gather(labels, index), good

        records = tf.data.Dataset.from_tensor_slices(tf.cast(indices, tf.int64))
        records = records.map(read, num_parallel_calls=THREADS, deterministic=True)

        def is_good(index, pixels, label, good):
            return good

        def without_flag(index, pixels, label, good):
            return index, pixels, label

        return records.filter(is_good).map(without_flag)

    def blocks(self, split: str, indices: np.ndarray):
        import tensorflow as tf

        with tf.device("CPU:0"):
            labels = tf.constant(self._labels[split])

        def read_all(numbers):
            pairs = [self._read(split, int(i)) for i in numbers]
            return np.stack([pixels for pixels, _ in pairs]), np.array([good for _, good in pairs], bool)

        def read(numbers):
            pixels, good = tf.numpy_function(read_all, [numbers], (tf.uint8, tf.bool), stateful=False)
            pixels, good = tf.ensure_shape(pixels, (None, *self.size, self.channels)), tf.ensure_shape(good, (None,))
            return tuple(tf.boolean_mask(x, good) for x in (numbers, pixels, tf.gather(labels, numbers)))

        numbers = tf.data.Dataset.from_tensor_slices(tf.cast(indices, tf.int64)).batch(BLOCK)
        return numbers.map(read, num_parallel_calls=THREADS, deterministic=True)

    def _read(self, split: str, index: int) -> tuple[np.ndarray, np.bool_]:
        name = self._paths[split][index]
        try:
            with self._files.open(name) as file:
                pixels = read_pixels(file, self.channels == 1)
            if self.size is not None and pixels.shape[:2] != self.size:
                raise Unreadable(f"is {pixels.shape[0]}x{pixels.shape[1]}, not {self.size[0]}x{self.size[1]}")
            return pixels, np.bool_(True)
        except (Unreadable, OSError) as error:
            if split in self._checked:
                raise ImageLost(
                    f"image {name} of {self._files.path} could be read when the data set was opened, and cannot be "
                    f"read any more: {error}. Bring the file back and go on"
                ) from error
            self._skip(name, error)
            return np.zeros((*(self.size or (1, 1)), self.channels), np.uint8), np.bool_(False)

    def _each(self, split: str, indices: np.ndarray, function) -> list:
        """`function` of every open file, by many threads; None where it failed. Equal results are one object."""
        known = {}

        def one(index):
            name = self._paths[split][index]
            try:
                with self._files.open(name) as file:
                    result = function(file)
                return known.setdefault(result, result)
            except (Unreadable, OSError) as error:
                self._skip(name, error)
                return None

        return _by_threads(one, indices)

    def _skip(self, name: str, error: Exception) -> None:
        with self._lock:
            if all(s.name != name for s in self.skipped):
                self.skipped.append(Skipped(name, str(error)))


def _by_threads(function: Callable, indices: np.ndarray) -> list:
    """`function` of every index; a thread takes many at once, since a million futures would take a gigabyte."""
    parts = np.split(indices, range(IN_A_TASK, len(indices), IN_A_TASK))
    with ThreadPoolExecutor(THREADS) as pool:
        done = pool.map(lambda part: [function(index) for index in part.tolist()], parts)
        return [result for part in done for result in part]


class Files:
    """The pictures of a folder: their names with forward slashes, and how to open one."""

    def __init__(self, path: Path):
        self.path = path
        listing, digest = [], hashlib.blake2b(digest_size=16)
        for folder, folders, files in os.walk(path, followlinks=True):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for file in files:
                listing.append((Path(folder) / file).relative_to(path).as_posix())
        self.names = sorted(filter(is_picture, listing))
        for name in self.names:
            try:
                status = (path / name).stat()
            except OSError:  # a link to nowhere; `scan` leaves it out
                status = (path / name).lstat()
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        self.others = len(listing) - len(self.names)
        self.identity = (str(path.resolve()), digest.hexdigest())

    def open(self, name: str) -> BinaryIO:
        return open(self.path / name, "rb")


class ZippedFiles(Files):
    """The pictures of a zip; many threads may read at once."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # a broken file makes zipfile raise many kinds
            raise UserError(f"{path} cannot be read as a zip file: {error}; pack it anew") from error
        names, self._index, self._originals, self.others = self._take_index()
        self.names = names.split("\0") if names else []
        self.identity = file_identity(path)

    def _take_index(self) -> tuple[str, np.ndarray, dict[str, str], int]:
        """The pictures' names (NUL between), where they lie, other spellings that the zip has of them; others' count.

        Of a million entries zipfile's objects take half a gigabyte, more than the pictures may take decoded. They are
        forgotten here, and so are their names, which lie among them and would hold their memory.
        """
        listing = [info for info in self._zip.infolist() if not info.is_dir()]
        if any(info.flag_bits & 1 for info in listing):
            raise UserError(f"{self.path} is encrypted; unpack it and give the folder")
        pictures = {info.filename: info for info in listing if is_picture(info.filename)}  # the last of one name
        names = sorted(pictures)
        most = sys.maxsize  # a damaged entry may tell more, and cannot be read either way
        entries = [tuple(min(getattr(pictures[name], field), most) for field in INDEX) for name in names]
        originals = {i.filename: i.orig_filename for i in pictures.values() if i.filename != i.orig_filename}
        self._zip.filelist.clear()
        self._zip.NameToInfo.clear()
        index = np.array(entries, [(field, np.int64) for field in INDEX])
        return "\0".join(names), index, originals, len(listing) - len(names)

    def open(self, name: str) -> BinaryIO:
        entry = zipfile.ZipInfo(self._originals.get(name, name))
        try:
            for field, value in zip(INDEX, self._index[bisect_left(self.names, name)].tolist(), strict=True):
                setattr(entry, field, value)
            with self._zip.open(entry) as file:
                content = file.read(min(entry.file_size, MOST_BYTES) + 1)
        except Exception as error:
            raise Unreadable(f"broken in the zip: {str(error) or type(error).__name__}") from error
        if len(content) > MOST_BYTES:
            raise Unreadable(f"is larger than {MOST_BYTES >> 20} MiB in the zip")
        return BytesIO(content)


def open_folder(path: Path) -> FolderSource:
    """The pictures of a folder or a .zip.

    Raises:
        UserError: there are none, or the zip is broken or encrypted.
    """
    files = Files(path) if path.is_dir() else ZippedFiles(path)
    if not files.names:
        raise UserError(
            f"{path} holds no images ({files.others} other files); images are files that end in {' '.join(SUFFIXES)}, "
            "in upper or lower case"
        )
    return FolderSource(path, files)
