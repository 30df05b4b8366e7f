"""What .npz and .mat files have in common: numbers of unknown range -> uint8, labels of any kind -> 0 ... K-1."""

from collections.abc import Mapping

import numpy as np

from kgen import images
from kgen.data.source import WHITE
from kgen.errors import UserError

SIXTEEN_BIT = np.iinfo(np.uint16).max


def to_pixels(arrays: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """Arrays of one data set as uint8; the range is found over all of them together.

    bool and integers of 0 and 1 only are black and white; other integers are 0 ... 255 (uint16: 0 ... 65535);
    floats lie in [0, 1] or in [0, 255].

    Args:
        arrays: split -> an array of any shape.
        where: what is read, for messages.

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
    """Whether an array is one whole number or word an image: [N], [N, 1] or [1, N]."""
    if array.size != count or sum(n != 1 for n in array.shape) > 1:
        return False
    return array.dtype.kind in "buiU" or (array.dtype.kind == "f" and bool(np.all(array == np.rint(array))))


def refuse_beyond_memory(needed: int, path) -> None:
    """Raises UserError when the arrays of a file, by the sizes that it declares, are larger than the free memory."""
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        raise UserError(
            f"{path} declares {needed / 2**30:.1f} GiB of arrays, and {free / 2**30:.1f} GiB of memory are free; write "
            "fewer images into it, or give them as a folder of pictures, which is read image by image"
        )


def file_identity(path) -> tuple:
    """Path, size and time of change of a file: JSON values that change when it does."""
    status = path.stat()
    return (str(path.resolve()), status.st_size, status.st_mtime_ns)
