"""NumPy's .npz files: images and labels under the usual names, with or without splits."""

from pathlib import Path

import numpy as np

from kgen.data.arrays import are_labels, file_identity, number_labels, refuse_beyond_memory, to_pixels
from kgen.data.source import ArraySource
from kgen.errors import UserError

IMAGE_KEYS = ("images", "image", "x", "data", "arr_0")
LABEL_KEYS = ("labels", "label", "y", "targets", "target")
SPLIT_SUFFIXES = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
HELP = (
    "expected images [N, H, W] or [N, H, W, C] under one of the keys images, x, data (with labels or y beside it), or "
    "x_train, y_train, x_val, x_test, y_test"
)


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
