"""Labels in arrays beside the images: numbers, words, one-hot rows, with or without the names of the classes.

`read_labels` makes of them one whole number per image, from 0 to K-1 over all splits, -1 for images without a label.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kgen.data.sources.base import order_class_names
from kgen.errors import UserError


@dataclass(frozen=True)
class ArrayLabels:
    """The labels of a set of arrays.

    Attributes:
        numbers: split -> [N] int32; None for an unlabelled set.
        class_names: one per class.
        findings: what was ignored, and what is ambiguous.
    """

    numbers: dict[str, np.ndarray] | None = None
    class_names: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


def label_counts(array: np.ndarray) -> set[int]:
    """How many images an array may hold the labels of: one value, or one row, per image."""
    if _is_vector(array):
        return {array.size}
    if array.ndim != 2:
        return set()
    return {array.shape[1]} if _is_one_hot(array.T) and not _is_one_hot(array) else {array.shape[0]}


def are_labels(array: np.ndarray, count: int) -> bool:
    """Whether an array is one whole number or word per image: [N], [N, 1] or [1, N], or one-hot rows [N, K]."""
    if _is_vector(array):
        if array.size != count:
            return False
        return array.dtype.kind in "buiUS" or (array.dtype.kind == "f" and bool(np.all(array == np.rint(array))))
    return _one_hot_rows(array, count) is not None


def read_labels(
    labels: Mapping[str, tuple[str, np.ndarray]],
    counts: Mapping[str, int],
    names: tuple[str, np.ndarray] | None,
    where: str,
) -> ArrayLabels:
    """The labels of all splits as numbers from 0 to K-1, with the names of the classes.

    Args:
        labels: split -> (key, array).
        counts: split -> how many images it has.
        names: (key, array) of the names of the classes, if there are some.
        where: the file, for messages.

    Raises:
        UserError: an array is no list of labels for as many images.
    """
    for split, (key, array) in labels.items():
        if are_labels(array, counts[split]):
            continue
        if array.ndim == 2 and counts[split] in array.shape and array.dtype.kind in "buif":
            return ArrayLabels(
                findings=(
                    f"{where}: {key!r} {array.shape} holds no single label per image (more than one class, or shares "
                    "of classes); it is not used",
                )
            )
        raise UserError(
            f"{where}: {key!r} must hold one whole number for each of the {counts[split]} images, one word, or one row "
            f"of zeros and a single one. Received: shape {array.shape}, dtype {array.dtype}"
            + (", with NaN" if array.dtype.kind == "f" and np.isnan(array).any() else "")
        )
    rows = {split: _one_hot_rows(array, counts[split]) for split, (_, array) in labels.items()}
    if all(r is not None for r in rows.values()):
        width = max(r.shape[1] for r in rows.values())
        numbers = {split: r.argmax(1).astype(np.int32) for split, r in rows.items()}
        return _named(numbers, tuple(map(str, range(width))), np.arange(width), names, where)
    values = {split: _words(array) for split, (_, array) in labels.items()}
    distinct = np.unique(np.concatenate(list(values.values())))
    unlabelled = _marks_unlabelled(distinct)
    if unlabelled:
        distinct = distinct[1:]
    of = {_name(value): value for value in distinct.tolist()}
    class_names = order_class_names(of)
    classes = np.array([of[name] for name in class_names])
    order = np.argsort(classes, kind="stable")
    numbers = {}
    for split, y in values.items():
        place = np.searchsorted(classes, y, sorter=order)
        numbers[split] = np.where(y == -1, -1, order[np.minimum(place, len(order) - 1)]) if unlabelled else order[place]
        numbers[split] = numbers[split].astype(np.int32)
    found = _named(numbers, class_names, classes, names, where)
    if unlabelled:
        count = sum(int((y == -1).sum()) for y in values.values())
        words = f"{where}: {count} images have the label -1, that is none, and are left out"
        found = ArrayLabels(found.numbers, found.class_names, (words, *found.findings))
    return found


def _named(numbers, class_names, classes: np.ndarray, names: tuple[str, np.ndarray] | None, where) -> ArrayLabels:
    """`numbers`, with the given names of the classes where they fit.

    Args:
        classes: [K] the label in the file of each class.
    """
    if names is None or (classes.dtype.kind not in "bui" and not _all_whole(classes)):
        return _with_empty(numbers, class_names, where)
    key, array = names
    given = tuple(_name(value) for value in _words(array).tolist())
    if len(given) != len(classes) and any(len(given) == len(y) for y in numbers.values()):
        return _with_empty(numbers, class_names, where)  # names of the images
    first = 0 if classes.min() >= 0 and classes.max() < len(given) else 1
    if len(set(given)) == len(given) and classes.min() >= first and classes.max() < len(given) + first:
        new = np.asarray(classes, np.int64) - first
        moved = {split: np.where(y < 0, -1, new[y]).astype(np.int32) for split, y in numbers.items()}
        return _with_empty(moved, given, where)
    words = f"{where}: {key!r} holds {len(given)} names ({', '.join(given[:5])}{', ...' if len(given) > 5 else ''})"
    if len(set(given)) == len(given) == len(classes):
        by_value = np.argsort(np.argsort(classes))
        named = tuple(given[i] for i in by_value)
        return ArrayLabels(numbers, named, (f"{words} for the labels {_list(classes)}: taken in their order",))
    return ArrayLabels(numbers, class_names, (f"{words}, which do not fit the labels {_list(classes)}: not used",))


def _with_empty(numbers: Mapping[str, np.ndarray], class_names: tuple[str, ...], where: str) -> ArrayLabels:
    seen = np.unique(np.concatenate(list(numbers.values())))
    empty = [name for i, name in enumerate(class_names) if i not in set(seen.tolist())]
    if not empty:
        return ArrayLabels(dict(numbers), class_names)
    more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
    return ArrayLabels(dict(numbers), class_names, (f"{where}: no image has the class {', '.join(empty[:5])}{more}",))


def _marks_unlabelled(distinct: np.ndarray) -> bool:
    """Whether the label -1 means none: beside others from 0 on. Beside 1 alone it is a class."""
    if distinct.dtype.kind not in "if" or len(distinct) < 2 or distinct[0] != -1:
        return False
    return distinct[1] >= 0 and distinct[1:].tolist() != [1]


def _is_vector(array: np.ndarray) -> bool:
    return array.ndim > 0 and sum(n != 1 for n in array.shape) <= 1


def _is_one_hot(array: np.ndarray) -> bool:
    """Whether every row of a matrix is zeros and a single one."""
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "buif":
        return False
    return bool(np.all(np.count_nonzero(array, axis=1) == 1) and np.all(array.max(1) == 1))


def _one_hot_rows(array: np.ndarray, count: int) -> np.ndarray | None:
    """[N, K] of one-hot rows or columns; None for other arrays."""
    if array.ndim != 2:
        return None
    return next((a for a in (array, array.T) if len(a) == count and _is_one_hot(a)), None)


def _words(array: np.ndarray) -> np.ndarray:
    """[N] of labels or names; bytes are decoded, and the spaces that pad MATLAB's words are cut off."""
    flat = array.reshape(-1)
    if flat.dtype.kind == "S":
        flat = np.char.decode(flat, "utf-8", "replace")
    return np.char.rstrip(flat) if flat.dtype.kind == "U" else flat


def _name(value) -> str:
    return str(int(value)) if isinstance(value, float) else str(value)


def _all_whole(classes: np.ndarray) -> bool:
    return classes.dtype.kind == "f" and bool(np.all(classes == np.rint(classes)))


def _list(classes: np.ndarray) -> str:
    shown = ", ".join(_name(value) for value in classes.tolist()[:5])
    return shown + (" ..." if len(classes) > 5 else "")
