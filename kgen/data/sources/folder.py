"""A folder of pictures, or a .zip of one, as a Source: any sizes, any formats that Pillow reads.

Sub-folders are classes, and sub-folders named train, test or val are splits. Files that are not pictures or are broken
are left out and named. Many threads read and decode at once; `picture` decodes one file.
"""

import hashlib
import os
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from kgen.data.sources.base import BLOCK, Skipped, Source, file_identity
from kgen.data.sources.picture import SUFFIXES, Unreadable, read_header, read_pixels
from kgen.errors import ImageLost, UserError

THREADS = min(16, 4 * (os.cpu_count() or 1))
IMAGES_PER_TASK = 256


def open_folder(path: Path) -> "FolderSource":
    """The source of a folder or a .zip of pictures.

    Raises:
        UserError: there are none, or the zip is broken or encrypted.
    """
    files = FolderFiles(path) if path.is_dir() else ZipFiles(path)
    if not files.names:
        raise UserError(
            f"{path} holds no images ({files.others} other files); images are files that end in {' '.join(SUFFIXES)}, "
            "in upper or lower case"
        )
    return FolderSource(path, files)


class FolderSource(Source):
    """The pictures of a folder or a zip; `open_folder` makes one."""

    def __init__(self, path: Path, files: "FolderFiles"):
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

    def labels(self, split: str) -> np.ndarray | None:
        return self._labels[split] if self.num_classes else None

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
        """Decodes every image once and adds those that fail to `skipped`; one that fails later raises ImageLost."""
        good = _map_in_threads(lambda index: bool(self._read(split, index)[1]), indices)
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
                    f"read any more: {error}. Restore the file and resume the run"
                ) from error
            self._skip(name, error)
            return np.zeros((*(self.size or (1, 1)), self.channels), np.uint8), np.bool_(False)

    def _each(self, split: str, indices: np.ndarray, function) -> list:
        """`function` of every open file, by many threads; None where it failed. Equal results are one object."""
        known = {}

        def apply(index):
            name = self._paths[split][index]
            try:
                with self._files.open(name) as file:
                    result = function(file)
                return known.setdefault(result, result)
            except (Unreadable, OSError) as error:
                self._skip(name, error)
                return None

        return _map_in_threads(apply, indices)

    def _skip(self, name: str, error: Exception) -> None:
        with self._lock:
            if all(s.name != name for s in self.skipped):
                self.skipped.append(Skipped(name, str(error)))


def _map_in_threads(function: Callable, indices: np.ndarray) -> list:
    """`function` of every index; a task takes many, since a million futures would take a gigabyte."""
    parts = np.split(indices, range(IMAGES_PER_TASK, len(indices), IMAGES_PER_TASK))
    with ThreadPoolExecutor(THREADS) as pool:
        done = pool.map(lambda part: [function(index) for index in part.tolist()], parts)
        return [result for part in done for result in part]


# Files of a folder or a zip -------------------------------------------------------------------------------------------

MAX_PICTURE_BYTES = 2**28
"""Of one picture in a zip: a few bytes may unpack to any number of them."""
ENCRYPTED = 1
"""Bit of an entry's flags."""


class FolderFiles:
    """The pictures of a folder.

    Attributes:
        path: of the folder.
        names: of the pictures, relative to it, with forward slashes, sorted.
        others: how many other files there are.
        identity: JSON values that change whenever a picture does.
    """

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


class ZipFiles(FolderFiles):
    """The pictures of a zip; many threads may read at once.

    One open `zipfile.ZipFile` serves all threads: it locks only the reading of bytes, not their decompression. Its
    directory takes about 600 bytes of memory per picture.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # a broken file makes zipfile raise many kinds
            raise UserError(f"{path} cannot be read as a zip file: {error}; pack it again") from error
        entries = [info for info in self._zip.infolist() if not info.is_dir()]
        if any(info.flag_bits & ENCRYPTED for info in entries):
            raise UserError(f"{path} is encrypted; unpack it and give the folder")
        self.names = sorted({info.filename for info in entries if is_picture(info.filename)})
        self.others = len(entries) - len(self.names)
        self.identity = file_identity(path)

    def open(self, name: str) -> BinaryIO:
        try:
            with self._zip.open(name) as file:  # of entries with one name, the last
                content = file.read(MAX_PICTURE_BYTES + 1)
        except Exception as error:
            raise Unreadable(f"broken in the zip: {str(error) or type(error).__name__}") from error
        if len(content) > MAX_PICTURE_BYTES:
            raise Unreadable(f"is larger than {MAX_PICTURE_BYTES >> 20} MiB in the zip")
        return BytesIO(content)


# Splits and classes by folder -----------------------------------------------------------------------------------------

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
    """What the paths of a folder or a zip mean.

    Attributes:
        paths: split -> the paths of its pictures.
        labels: split -> their labels, all 0 when there are no classes.
        class_names: one per class, sorted; empty when there are no classes.
        skipped: pictures that belong to no split or no class.
    """

    paths: dict[str, list[str]]
    labels: dict[str, list[int]]
    class_names: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def read_layout(paths: Sequence[str]) -> Layout:
    """The splits, classes and labels that the paths of a data set mean.

    Sub-folders named train, test, val ... are splits; sub-folders in these, or else of the data set, are classes; a top
    folder that all paths share means nothing. Within a split, the order is that of a hash of the path: the same
    everywhere, and the first images show every class.

    Args:
        paths: of the pictures, with forward slashes, relative to the data set.
    """
    parts_of = _strip_common_top({path: PurePosixPath(path).parts for path in paths})
    skipped: list[Skipped] = []
    tops = {parts[0].lower() for parts in parts_of.values() if len(parts) > 1}
    in_splits = any(SPLIT_NAMES.get(top) == "train" for top in tops) or (tops and tops <= set(SPLIT_NAMES))
    by_split: dict[str, dict[str, tuple]] = {}
    for path, parts in parts_of.items():
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
                kept.append((_path_hash(path), path, classes.index(parts[0]) if labelled else 0))
        kept.sort()
        result[split] = [path for _, path, _ in kept]
        labels[split] = [label for _, _, label in kept]
    return Layout(result, labels, tuple(classes) if labelled else (), tuple(skipped))


def _strip_common_top(parts_of: dict[str, tuple]) -> dict[str, tuple]:
    while True:
        tops = {parts[0] for parts in parts_of.values()}
        alone = len(tops) == 1 and all(len(parts) > 1 for parts in parts_of.values())
        if not alone or next(iter(tops)).lower() in SPLIT_NAMES:
            return parts_of
        parts_of = {path: parts[1:] for path, parts in parts_of.items()}


def _path_hash(path: str) -> bytes:
    return hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def is_picture(path: str) -> bool:
    """Whether a path is that of a picture, by its suffix; hidden files and macOS' `__MACOSX` are not."""
    parts = PurePosixPath(path).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and path.lower().endswith(SUFFIXES)
