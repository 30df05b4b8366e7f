"""Data sets that are arrays: `ArraySource`, and NumPy's .npz and .npy files as one.

`open_arrays` makes a source of named arrays, whatever file they come from: it finds images, labels and names by their
keys, with or without splits (`roles`), arranges their axes (`axes`), numbers the labels (`array_labels`), and converts
the pixels (`kgen.data.value_range`). What it does not use, it names.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kgen import random
from kgen.cache import digest
from kgen.config import DataConfig
from kgen.data import value_range
from kgen.data.shared_arrays import read_member
from kgen.data.sources.array_labels import are_labels, label_counts, read_labels
from kgen.data.sources.axes import PixelOrder, arrange
from kgen.data.sources.base import BLOCK, Source, file_identity
from kgen.data.sources.label_files import NONE, NoLabels, read_rows
from kgen.errors import UserError

IMAGE_WORDS = ("images", "image", "x", "data", "imgs", "img", "pixels", "pictures", "faces", "fea", "arr0", "arr1")
LABEL_WORDS = ("labels", "label", "y", "targets", "target", "gnd", "finelabels", "finelabel", "lbl", "lbls")
WEAK_LABEL_WORDS = ("classes", "class", "ids", "id", "arr1", "arr0")
"""Keys of labels only if there is one whole number or word per image."""
NAME_WORDS = ("classnames", "labelnames", "targetnames", "finelabelnames", "classes", "names", "categories")
LABEL_COLUMN_WORDS = (*LABEL_WORDS, "class", "classes", "classid", "classname", "category")
LABEL_SUFFIXES = (".npz", ".npy", ".csv", ".tsv", ".txt", ".jsonl", ".json")
SPLIT_WORDS = {
    "train": ("train", "training", "trn", "tr"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "tst", "te"),
}
OBJECTS = "Python objects"
HELP = (
    "expected images [N, H, W] or [N, H, W, C] under one of the keys images, x, data (with labels or y beside it), or "
    "x_train, y_train, x_val, x_test, y_test; --mat_key NAME says which array holds the images"
)
NUMPY_ORDER = PixelOrder(True, "as NumPy stores them", True)
ROW_NAMES = 8  # keys that a message lists


class ArraySource(Source):
    """Images that are one array per split: the digits, .npz, .npy and .mat files.

    Args:
        name: of the data set.
        arrays: split -> [N, H, W, C] uint8; all of one size.
        labels: split -> [N] int32, -1 for images without a label; empty for unlabelled data.
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
        """As stored; images sorted by class are shuffled once, so that the first ones show every class.

        Images without a label are left out.
        """
        labels, order = self._labels[split], super().order(split)
        if labels.size and labels[0] != labels[-1] and np.all(np.diff(labels) >= 0):
            order = random.generator(0, "mix", split).permutation(len(labels))
        return order if labels.min(initial=0) >= 0 else order[labels[order] >= 0]

    def records(self, split: str, indices: Any):
        return self._records(split, indices, None)

    def blocks(self, split: str, indices: np.ndarray):
        return self._records(split, indices, BLOCK)

    def _records(self, split: str, indices: Any, block: int | None):
        import tensorflow as tf

        shape = (self.size[0], self.size[1], self.channels)
        with tf.device("CPU:0"):
            labels = tf.constant(self._labels[split])

        def read(index):
            image = tf.numpy_function(lambda i: self._arrays[split][i], [index], tf.uint8, stateful=False)
            return index, tf.ensure_shape(image, shape if block is None else (None, *shape)), tf.gather(labels, index)

        numbers = tf.data.Dataset.from_tensor_slices(tf.cast(indices, tf.int64))
        return (numbers if block is None else numbers.batch(block)).map(read)

    def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """All images and labels of a stored split, as they lie in memory."""
        return self._arrays[split], self._labels[split]

    def content(self) -> Any:
        arrays = [x for split in sorted(self._arrays) for x in (split, self._arrays[split], self._labels[split])]
        return digest(list(self.class_names), *arrays)

    def release(self, split: str) -> None:
        del self._arrays[split]


def open_npz(path: Path, config: DataConfig) -> ArraySource:
    """Reads the images of an .npz file, with their labels and splits.

    Raises:
        UserError: not an .npz file, no images in it, shapes or ranges that are no images, or labels of another length.
    """
    return open_arrays(*_load_npz(path), path, config, NUMPY_ORDER)


def open_npy(path: Path, config: DataConfig) -> ArraySource:
    """Reads an .npy file: one array of images, without labels unless `config.labels` names their file.

    Raises:
        UserError: see `open_npz`.
    """
    return open_arrays({"images": _load_npy(path)}, {}, path, config, NUMPY_ORDER)


def _load_npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file, and what its other members are in words."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not hasattr(file, "files"):
                raise UserError(f"{path} is no .npz archive but a single array; rename it to .npy")
            refuse_beyond_memory(sum(info.file_size for info in file.zip.infolist()), path)
            content = {key: _member(file, key, path) for key in file.files}
            arrays = {key: value for key, value in content.items() if isinstance(value, np.ndarray)}
            return arrays, {key: OBJECTS for key in content if key not in arrays}
    except UserError:
        raise
    except Exception as error:  # a broken file makes numpy and zipfile raise many kinds
        raise UserError(f"{path} cannot be read as an .npz file: {error}. Write it with numpy.savez") from error


def _load_npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a broken file makes numpy raise many kinds
        if "Python objects" in str(error):
            raise UserError(
                f"{path} holds {OBJECTS}, which are not read; save images of one size as a plain array: "
                "numpy.save('images.npy', numpy.stack(images))"
            ) from error
        raise UserError(f"{path} cannot be read as an .npy file: {error}. Write it with numpy.save") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path} is no .npy file but an archive; rename it to .npz")
    refuse_beyond_memory(array.size, path)
    return array


def _member(file, key: str, path: Path) -> np.ndarray | None:
    """An array of an .npz file; None where it holds Python objects."""
    try:
        return read_member(file.zip, f"{key}.npy") if f"{key}.npy" in file.zip.namelist() else file[key]
    except ValueError as error:
        if "Object arrays" in str(error):
            return None
        raise


# Named arrays as a source ---------------------------------------------------------------------------------------------


def open_arrays(
    content: dict[str, np.ndarray], unread: Mapping[str, str], path: Path, config: DataConfig, order: PixelOrder
) -> ArraySource:
    """The source of the named arrays of a file.

    Args:
        content: key -> array.
        unread: key -> what it is, for those that are no arrays.
        path: of the file.
        config: `mat_key`, `mat_orientation`, `mat_image_shape`, `value_range` and `labels`.
        order: how pictures are unfolded in files of this kind.

    Raises:
        UserError: there are no images, or it is not clear how they are meant.
    """
    _refuse_unread(content, unread, path, config)
    roles = find_roles(content, path, config)
    where = f"{path}: {', '.join(map(repr, dict.fromkeys(roles.images.values())))}"
    arrays = {split: content[key] for split, key in roles.images.items()}
    arrays = {split: np.squeeze(array) if array.ndim > 4 else array for split, array in arrays.items()}
    if not all(array.size for array in arrays.values()):
        shapes = {key: content[key].shape for key in roles.images.values()}
        raise UserError(f"{where} must be [N, H, W] or [N, H, W, C] with N of at least 1. Received shapes: {shapes}")
    for array in arrays.values():
        value_range.check_numbers(array, where)
    if config.labels:
        labels = _labels_of(config.labels, path, content, roles.images)
    else:
        labels = {split: (key, content[key]) for split, key in roles.labels.items()}
    pictures, notes, doubts = arrange(
        arrays, {s: label_counts(y) for s, (_, y) in labels.items()}, config, order, where
    )
    counts = {split: len(p) for split, p in pictures.items()}
    if not config.labels:
        labels = {
            split: (key, y)
            for split, (key, y) in labels.items()
            if _plain(key, split) not in WEAK_LABEL_WORDS or are_labels(y, counts[split])
        }
    findings = doubts
    if "train" not in labels and labels:
        findings.append(f"labels of {', '.join(labels)} are not used: the training images have none")
        labels = {}
    if labels and set(labels) != set(pictures):
        for split in sorted(set(pictures) - set(labels)):
            findings.append(
                f"split {split} ({roles.images[split]!r}) is left out: its {counts[split]} images have no labels, and "
                "those of train have"
            )
            del pictures[split], counts[split]
    names = roles.names if roles.names != next(iter(labels.values()), ("", None))[0] else None
    read = read_labels(labels, counts, names and (names, content[names]), str(path)) if labels else None
    bounds = value_range.decide(
        {split: value_range.measure(p, where, config.value_range) for split, p in pictures.items()},
        where,
        config.value_range,
    )
    pixels = {split: value_range.to_pixels(p, bounds.bounds) for split, p in pictures.items()}
    numbers, class_names = (read.numbers, read.class_names) if read and read.numbers else (None, ())
    label_file = _label_path(config.labels, path.parent)[0] if config.labels and labels else path
    files = [path] if label_file.samefile(path) else [path, label_file]
    identity = tuple(part for file in files for part in file_identity(file))
    source = ArraySource(path.stem, pixels, numbers, class_names, identity)
    source.value_range = bounds.bounds
    used = {*roles.images.values(), *(key for key, _ in labels.values()), *([names] if names and labels else [])}
    unused = [key for key in content if key not in used]
    said_labels = f"labels from {', '.join(repr(k) for k, _ in labels.values())}" if numbers else "no labels"
    source.notes += [f"{note}; {said_labels}" if i == 0 else note for i, note in enumerate(notes)]
    source.notes += [*roles.notes, *bounds.notes, *_small(unused, content, unread)]
    source.findings += [*findings, *(read.findings if read else ()), *bounds.findings, *_transparent(pixels, where)]
    source.findings += _large(unused, content, path, counts["train"])
    if numbers is None and not config.labels:
        source.findings += _neighbours(path)
    return source


@dataclass
class Roles:
    """Which key holds what.

    Attributes:
        images: split -> key; with "train".
        labels: split -> key.
        names: key of the names of the classes.
        notes: what is unusual.
    """

    images: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    names: str | None = None
    notes: list[str] = field(default_factory=list)


def find_roles(content: Mapping[str, np.ndarray], path: Path, config: DataConfig) -> Roles:
    """The keys of images, labels and class names: by their names, else by their shapes.

    Raises:
        UserError: no array can be the images, or several can.
    """
    names = next((key for word in NAME_WORDS for key in content if _is_names(key, word, content[key])), None)
    labels = {s: key for s in SPLIT_WORDS if (key := _pick(content, LABEL_WORDS, s)) is not None}
    shapes = ", ".join(f"{k} {v.shape}" for k, v in content.items()) or "nothing"

    def unsplit_labels(images: str) -> str | None:
        return _first({k: v for k, v in content.items() if k not in (images, names)}, LABEL_WORDS + WEAK_LABEL_WORDS)

    if config.mat_key is not None:
        if config.mat_key not in content:
            raise UserError(f"data.mat_key is {config.mat_key!r}, but {path} holds {shapes}; name one of these")
        split = next((s for s in SPLIT_WORDS if _plain(config.mat_key, s) != _plain(config.mat_key)), "train")
        label = labels.get(split) or unsplit_labels(config.mat_key)
        return Roles({"train": config.mat_key}, {"train": label} if label else {}, names)
    matrices = {k: v for k, v in content.items() if sum(n > 1 for n in v.shape) >= 2 or v.ndim > 2 or len(content) == 1}
    images = {s: key for s in SPLIT_WORDS if (key := _pick(matrices, (*IMAGE_WORDS, ""), s)) is not None}
    labels = {s: key for s, key in labels.items() if s in images or s == "train"}
    if "train" not in images:
        key = _first(matrices, IMAGE_WORDS)
        others = {*labels.values(), unsplit_labels(""), names, *images.values()}
        if key is None and images and not _candidates(content, others):
            if len(images) > 1:
                flags = " or ".join(f"--mat_key {key}" for key in images.values())
                raise UserError(f"{path} holds {shapes}, none of them for training; say which: {flags}")
            ((split, key),) = images.items()
            note = f"there is no training split: the images of {key!r} are read as one"
            return Roles({"train": key}, {"train": labels[split]} if split in labels else {}, names, [note])
        if key is None:
            key = _by_shape(content, path, others, shapes)
        images = {"train": key, **images}
        label = unsplit_labels(key)
        labels |= {"train": label} if label else {}
    return Roles(images, labels, names)


def _plain(key: str, split: str | None = None) -> str:
    """A key in lower case without separators, and without the word of a split at its end or its beginning.

    Of the fields of a struct, dataset.train.images, the last name counts, and those that are words of splits.
    """
    *above, last = key.lower().split(".")
    words = {word for words in SPLIT_WORDS.values() for word in words}
    plain = re.sub(r"[^a-z0-9]", "", "".join([word for word in above if word in words] + [last]))
    for word in SPLIT_WORDS.get(split, ()):
        if plain.endswith(word):
            return plain.removesuffix(word)
        if plain.startswith(word):
            return plain.removeprefix(word)
    return plain


def _pick(content: Mapping[str, np.ndarray], words: tuple[str, ...], split: str) -> str | None:
    """The key of a split that is one of `words`, the first of these first."""
    keys = {}
    for key in content:
        plain = _plain(key)
        for word in SPLIT_WORDS[split]:
            for bare in {plain.removesuffix(word), plain.removeprefix(word)} - {plain}:
                keys.setdefault(bare, key)
    found = (keys[word] for word in words if word in keys and (word or content[keys[word]].ndim >= 2))
    return next(found, None)


def _first(content: Mapping[str, np.ndarray], words: tuple[str, ...]) -> str | None:
    keys = {_plain(key): key for key in reversed(content)}
    return next((keys[word] for word in words if word in keys), None)


def _is_names(key: str, word: str, array: np.ndarray) -> bool:
    return _plain(key) == word and array.dtype.kind in "US" and array.ndim > 0 and len(np.unique(array)) == array.size


def _candidates(content: Mapping[str, np.ndarray], others: set) -> list[str]:
    """The keys of matrices of numbers that are none of `others`."""
    return [
        key
        for key, array in content.items()
        if array.dtype.kind in "buif" and key not in others and sum(n > 1 for n in array.shape) >= 2
    ]


def _by_shape(content: Mapping[str, np.ndarray], path: Path, others: set, shapes: str) -> str:
    """The only array that can be images; in a .mat file, the largest."""
    numeric = [k for k, v in content.items() if v.dtype.kind in "buif" and k not in others]
    candidates = _candidates(content, others)
    if len(content) == 1 and (path.suffix.lower() == ".npz" or numeric):
        candidates = list(content)
    if not candidates:
        shapes = f"{shapes}, none of which can be images" if numeric else f"no numeric variable ({shapes})"
        raise UserError(f"{path} holds {shapes}; {HELP}")
    largest = max(candidates, key=lambda k: content[k].size)
    equal = [k for k in candidates if content[k].size == content[largest].size]
    if len(equal) > 1 or (path.suffix.lower() == ".npz" and len(numeric) > 1):
        flags = " or ".join(f"--mat_key {key}" for key in (equal if len(equal) > 1 else candidates))
        raise UserError(f"{path} holds {shapes}; which of them are the images? Give {flags}; {HELP}")
    return largest


# What is not used -----------------------------------------------------------------------------------------------------


def _refuse_unread(
    content: Mapping[str, np.ndarray], unread: Mapping[str, str], path: Path, config: DataConfig
) -> None:
    """Raises UserError if something that is no array is meant to be used, by its key, or if there are no arrays."""
    words = {*IMAGE_WORDS, *NAME_WORDS, *(() if config.labels else LABEL_WORDS)}
    needed = [
        key
        for key in unread
        if key == config.mat_key
        or (config.mat_key is None and any(_plain(key, split) in words for split in (None, *SPLIT_WORDS)))
    ]
    if needed or (unread and not content):
        keys = needed or list(unread)
        named = ", ".join(f"{key!r} ({unread[key]})" for key in keys[:ROW_NAMES])
        raise UserError(
            f"{path}: {named} cannot be read; save plain arrays: images of one size as numpy.stack(images), words as "
            "numpy.array(words, str)"
        )


def _small(unused: list[str], content: Mapping[str, np.ndarray], unread: Mapping[str, str]) -> list[str]:
    """A note of the keys that hold a single value, and of those that are no arrays."""
    keys = [repr(key) for key in unused if content[key].size <= 1] + [f"{key!r} ({unread[key]})" for key in unread]
    more = f" and {len(keys) - ROW_NAMES} more" if len(keys) > ROW_NAMES else ""
    return [f"not used: {', '.join(keys[:ROW_NAMES])}{more}"] if keys else []


def _large(unused: list[str], content: Mapping[str, np.ndarray], path: Path, count: int) -> list[str]:
    """A finding of the arrays that are not used, and how those that may be labels of `count` images would be."""
    large = [key for key in unused if content[key].size > 1]
    keys = [f"{key!r} {list(content[key].shape)}" for key in large]
    more = f" and {len(keys) - ROW_NAMES} more" if len(keys) > ROW_NAMES else ""
    labels = [
        key for key in large if are_labels(content[key], count) and 1 < len(np.unique(content[key])) <= count // 2
    ]
    flags = (
        f"; as labels: {' or '.join('--labels ' + shlex.quote(f'{path}:{key}') for key in labels[:2])}"
        if labels
        else ""
    )
    return [f"{path}: not used: {', '.join(keys[:ROW_NAMES])}{more}{flags}"] if keys else []


def _transparent(pixels: Mapping[str, np.ndarray], where: str) -> list[str]:
    """A finding of a last channel that is read as transparency and is not opaque throughout."""
    channels = next(iter(pixels.values())).shape[3]
    if channels not in (2, 4) or all(np.all(p[..., -1] == value_range.WHITE) for p in pixels.values()):
        return []
    return [
        f"{where}: the last of {channels} channels is read as transparency, and the images are laid over white; if it "
        f"is another channel, save the array without it: x[..., :{channels - 1}]"
    ]


def _neighbours(path: Path) -> list[str]:
    """A finding of the files beside `path` that look like its labels."""
    own = _plain(path.stem)
    swaps = {own.replace(a, b) for a, b in (("images", "labels"), ("image", "label"), ("data", "labels"), ("x", "y"))}
    swaps |= {f"{own}{word}" for word in LABEL_WORDS} | set(LABEL_WORDS)
    found = sorted(
        other.name
        for other in path.absolute().parent.iterdir()
        if other.suffix.lower() in LABEL_SUFFIXES and _plain(other.stem) in swaps - {own} and other.is_file()
    )
    return [f"{path} has no labels; {name} beside it is not used: --labels {name} reads it" for name in found[:1]]


# Labels of another file -----------------------------------------------------------------------------------------------


def _labels_of(
    name: str, image_file: Path, arrays: Mapping[str, np.ndarray], images: Mapping[str, str]
) -> dict[str, tuple[str, np.ndarray]]:
    """split -> (the file and the key, the labels) of the file that `--labels` names; empty for "none".

    Args:
        name: the value of `--labels`.
        image_file: the file of the images, which may hold the labels too.
        arrays: what is in it.
        images: split -> key of the images.
    """
    if name == NONE:
        return {}
    path, column = _label_path(name, image_file.parent)
    if path.samefile(image_file) and column in arrays:
        return {"train": (column, arrays[column])}
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return {"train": (path.name, np.array(_load_npy(path)))}
    if suffix != ".npz":
        return {"train": (path.name, _load_table(path, column))}
    content, _ = _load_npz(path)
    if column and column not in content:
        raise UserError(f"data.labels is {name!r}, but {path} holds {', '.join(content)}; name one of these")
    found = {s: key for s in images if not column and (key := _pick(content, (*LABEL_WORDS, ""), s)) is not None}
    if not found:
        key = column or _first(content, LABEL_WORDS + WEAK_LABEL_WORDS)
        key = next(iter(content)) if key is None and len(content) == 1 else key
        if key is None:
            raise UserError(
                f"data.labels is {name!r}, which holds {', '.join(content)}; say which: --labels {name}:KEY"
            )
        found = {"train": key}
    return {split: (f"{path.name}: {key}", content[key]) for split, key in found.items()}


def _label_path(name: str, folder: Path) -> tuple[Path, str]:
    """(the file, the column or key) of FILE or FILE:COLUMN, relative to the current folder or to that of the images."""
    file, _, column = name.rpartition(":")
    for text, rest in ((name, ""), (file, column)):
        for path in (Path(text).expanduser(), folder / text):
            if text and path.is_file():
                return path, rest
    raise UserError(f"data.labels is {name!r}, which is no file, neither in {Path.cwd()} nor in {folder}")


def _load_table(path: Path, column: str) -> np.ndarray:
    """[N] labels of a table, in the order of its rows, or of its numbers of the images where it has these."""
    try:
        tables = list(read_rows(path.name, path.read_bytes()))
    except NoLabels as error:
        raise UserError(f"data.labels is {str(path)!r}: {error}") from error
    if not tables:  # one column
        lines = path.read_bytes().decode("utf-8-sig", "replace").splitlines()
        tables = [[[line.strip()] for line in lines if line.strip()]]
    rows = tables[0]
    header = [_plain(cell) for cell in rows[0]] if rows else []
    known = [
        i for i, cell in enumerate(header) if cell in ((_plain(column) and [_plain(column)]) or LABEL_COLUMN_WORDS)
    ]
    if column and not known:
        raise UserError(f"data.labels names the column {column!r}, but {path} has {', '.join(rows[0])}")
    body = rows[1:] if known else rows
    if not body or any(len(row) != len(header) for row in body) or (len(header) > 2 and len(known) != 1):
        raise UserError(
            f"data.labels is {str(path)!r}; its first line is {rows[0] if rows else ''}. It must have one row per "
            "image and a column 'label'; with several columns, say which: --labels FILE:COLUMN"
        )
    place = known[0] if known else len(header) - 1
    labels = np.array([row[place].strip() for row in body])
    for i in range(len(header)):
        numbers = [row[i].strip() for row in body]
        if i != place and all(number.isdecimal() for number in numbers):
            order = np.array(numbers, np.int64)
            if np.array_equal(np.sort(order) - order.min(), np.arange(len(order))) and order.min() in (0, 1):
                return labels[np.argsort(order)]
    return labels


def refuse_beyond_memory(needed: int, path: Path) -> None:
    """Raises UserError when the arrays of a file, by the sizes that it declares, are larger than the free memory."""
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        raise UserError(
            f"{path} declares {needed / 2**30:.1f} GiB of arrays, and {free / 2**30:.1f} GiB of memory are free; write "
            "fewer images into it, or give them as a folder of pictures, which is read image by image"
        )
