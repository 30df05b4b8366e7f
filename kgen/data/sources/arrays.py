"""Data sets that are arrays: `ArraySource`, and NumPy's .npz files as one.

`open_npz` finds images and labels under the usual names, with or without splits. What it shares with .mat files (`mat`)
is below: numbers of unknown range become uint8, labels of any kind become 0 ... K-1.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kgen import images, random
from kgen.data.sources.base import BLOCK, WHITE, Source, file_identity
from kgen.errors import UserError

IMAGE_KEYS = ("images", "image", "x", "data", "arr_0")
LABEL_KEYS = ("labels", "label", "y", "targets", "target")
SPLIT_SUFFIXES = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
HELP = (
    "expected images [N, H, W] or [N, H, W, C] under one of the keys images, x, data (with labels or y beside it), or "
    "x_train, y_train, x_val, x_test, y_test"
)
SIXTEEN_BIT = np.iinfo(np.uint16).max


class ArraySource(Source):
    """Images that are one array per split: the digits, .npz and .mat files.

    Args:
        name: of the data set.
        arrays: split -> [N, H, W, C] uint8; all of one size.
        labels: split -> [N] int32; empty for unlabelled data.
        class_names: one per class.
        identity: see Source.
    """

    def __init__(self, name: str, arrays: Mapping[str, np.ndarray], labels=None, class_names=(), identity=()):
        super().__init__(name, {split: len(a) for split, a in arrays.items()}, class_names, identity)
        self._arrays = dict(arrays)
        self._labels = {
            split: np.asarray(labels[split] if labels else np.zeros(len(a)), np.int32) for split, a in arrays.items()
        }
        self.size = next(iter(arrays.values())).shape[1:3]
        self.channels = next(iter(arrays.values())).shape[3]

    def labels(self, split: str) -> np.ndarray | None:
        return self._labels[split] if self.num_classes else None

    def order(self, split: str) -> np.ndarray:
        """As stored; images sorted by class are shuffled once, so that the first ones show every class."""
        labels = self._labels[split]
        if labels.size and labels[0] != labels[-1] and np.all(np.diff(labels) >= 0):
            return random.generator(0, "mix", split).permutation(len(labels))
        return super().order(split)

    def records(self, split: str, indices: Any):
        return self._records(split, indices, None)

    def blocks(self, split: str, indices: np.ndarray):
        return self._records(split, indices, BLOCK)

    def _records(self, split: str, indices: Any, block: int | None):
        import tensorflow as tf

        arrays, shape = self._arrays[split], (self.size[0], self.size[1], self.channels)
        with tf.device("CPU:0"):
            labels = tf.constant(self._labels[split])

        def read(index):
            image = tf.numpy_function(lambda i: arrays[i], [index], tf.uint8, stateful=False)
            return index, tf.ensure_shape(image, shape if block is None else (None, *shape)), tf.gather(labels, index)

        numbers = tf.data.Dataset.from_tensor_slices(tf.cast(indices, tf.int64))
        return (numbers if block is None else numbers.batch(block)).map(read)

    def take(self, split: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels at `indices`: what `records` yields, at once."""
        return self._arrays[split][indices], self._labels[split][indices]


def open_npz(path: Path) -> ArraySource:
    """Reads a .npz file: uint8, bool, or floats in [0, 1] or [0, 255].

    Raises:
        UserError: not an .npz file, no images in it, shapes or ranges that are no images, or labels of another length.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if not hasattr(file, "files"):
                raise UserError(f"{path} is no .npz archive but a single array; {HELP}")
            refuse_beyond_memory(sum(info.file_size for info in file.zip.infolist()), path)
            content = {key: _member(file, key, path) for key in file.files}
            content = {key: value for key, value in content.items() if isinstance(value, np.ndarray)}
    except UserError:
        raise
    except Exception as error:  # a broken file makes numpy and zipfile raise many kinds
        raise UserError(f"{path} cannot be read as an .npz file: {error}. Write it with numpy.savez") from error
    found, labels = _find(content, path)
    shaped = {split: _four_dimensions(array, key, path) for split, (key, array) in found.items()}
    if len({a.shape[1:] for a in shaped.values()}) > 1:
        raise UserError(
            f"{path}: the splits have images of different shapes: { {s: a.shape for s, a in shaped.items()} }"
        )
    arrays = to_pixels(shaped, str(path))
    numbered, names, notes = None, (), []
    if set(labels) == set(arrays):
        for split, (key, y) in labels.items():
            if not are_labels(y, len(arrays[split])):
                raise UserError(
                    f"{path}: {key!r} must hold one whole number for each of the {len(arrays[split])} images of "
                    f"{found[split][0]!r}. Received: shape {y.shape}, dtype {y.dtype}"
                )
        numbered, names = number_labels({split: y for split, (_, y) in labels.items()})
    elif labels:
        missing = sorted(set(arrays) - set(labels))
        notes.append(f"labels are not used: split {', '.join(missing)} has none")
    source = ArraySource(path.stem, arrays, numbered, names, file_identity(path))
    source.notes += notes
    return source


def _member(file, key: str, path: Path) -> np.ndarray:
    try:
        return file[key]
    except ValueError as error:
        raise UserError(
            f"{path}: {key!r} holds Python objects, which are not read ({error}); save plain arrays"
        ) from error


def _find(content: dict, path: Path) -> tuple[dict, dict]:
    """(split -> (key, images), split -> (key, labels))."""
    by_lower = {key.lower(): key for key in content}

    def pick(keys):
        key = next((by_lower[k] for k in keys if k in by_lower), None)
        return None if key is None else (key, content[key])

    found, labels = {}, {}
    for split, suffixes in SPLIT_SUFFIXES.items():
        found[split] = pick([f"{k}_{s}" for k in IMAGE_KEYS for s in suffixes])
        labels[split] = pick([f"{k}_{s}" for k in LABEL_KEYS for s in suffixes])
    if not any(found.values()):
        found = {"train": pick(IMAGE_KEYS)}
        labels = {"train": pick(LABEL_KEYS)}
        if found["train"] is None and len(content) == 1:
            found["train"] = next(iter(content.items()))
    found = {split: value for split, value in found.items() if value is not None}
    if "train" not in found:
        shapes = ", ".join(f"{k} {v.shape}" for k, v in content.items()) or "nothing"
        raise UserError(f"{path} holds {shapes}; {HELP}")
    return found, {split: value for split, value in labels.items() if value is not None and split in found}


def _four_dimensions(array: np.ndarray, key: str, path: Path) -> np.ndarray:
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 2, 3, 4) or not array.size:
        hint = (
            "; channels come last, so transpose(0, 2, 3, 1) it" if array.ndim == 4 and array.shape[1] in (1, 3) else ""
        )
        raise UserError(
            f"{path}: {key!r} must be [N, H, W] or [N, H, W, C] with C of 1, 3 or 4. Received shape: "
            f"{array.shape}{hint}"
        )
    return array


# Shared with .mat files -----------------------------------------------------------------------------------------------


def to_pixels(arrays: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """Arrays of one data set as uint8; the range is found over all of them together.

    bool and integers of 0 and 1 only are black and white; other integers are 0 ... 255 (uint16: 0 ... 65535);
    floats lie in [0, 1] or in [0, 255].

    Args:
        arrays: split -> an array of any shape.
        where: the file and the variable, for messages.

    Raises:
        UserError: another range, or values that are not finite.
    """
    filled = [a for a in arrays.values() if a.size]
    if not filled:
        raise UserError(f"{where} holds no images: its shapes are {[a.shape for a in arrays.values()]}")
    if any(a.dtype.kind not in "buif" for a in filled):
        raise UserError(f"{where} must hold numbers. Received dtype: {[str(a.dtype) for a in filled]}")
    low, high = min(a.min() for a in filled), max(a.max() for a in filled)
    whole = all(a.dtype.kind in "bui" for a in filled)
    wide = whole and any(a.dtype == np.uint16 for a in filled)
    if not (low >= 0 and high <= (SIXTEEN_BIT if wide else WHITE)):
        raise UserError(
            f"{where} holds values from {low} to {high}; pixels must lie in [0, 1] or in [0, 255], so rescale them, "
            "for example (x - x.min()) / (x.max() - x.min())"
        )
    if high <= 1:
        return {split: images.to_uint8(a) for split, a in arrays.items()}
    if high > WHITE:
        return {split: images.to_uint8(a / np.float32(SIXTEEN_BIT)) for split, a in arrays.items()}
    return {split: a if a.dtype == np.uint8 else np.rint(a).astype(np.uint8) for split, a in arrays.items()}


def number_labels(labels: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels as int32 from 0 to K-1, and the K names: the distinct values over all splits, sorted."""
    values = {split: np.asarray(y).reshape(-1) for split, y in labels.items()}
    classes = np.unique(np.concatenate(list(values.values())))
    names = tuple(str(int(c)) if classes.dtype.kind == "f" else str(c) for c in classes.tolist())
    return {split: np.searchsorted(classes, y).astype(np.int32) for split, y in values.items()}, names


def are_labels(array: np.ndarray, count: int) -> bool:
    """Whether an array is one whole number or word per image: [N], [N, 1] or [1, N]."""
    if array.size != count or sum(n != 1 for n in array.shape) > 1:
        return False
    return array.dtype.kind in "buiU" or (array.dtype.kind == "f" and bool(np.all(array == np.rint(array))))


def refuse_beyond_memory(needed: int, path: Path) -> None:
    """Raises UserError when the arrays of a file, by the sizes that it declares, are larger than the free memory."""
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        raise UserError(
            f"{path} declares {needed / 2**30:.1f} GiB of arrays, and {free / 2**30:.1f} GiB of memory are free; write "
            "fewer images into it, or give them as a folder of pictures, which is read image by image"
        )
