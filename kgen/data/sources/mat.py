"""MATLAB's .mat files (also version 7.3): finds the images, their layout and orientation, and the labels."""

import math
from pathlib import Path

import numpy as np

from kgen.config import DataConfig
from kgen.data.sources.arrays import ArraySource, are_labels, number_labels, refuse_beyond_memory, to_pixels
from kgen.data.sources.base import file_identity
from kgen.errors import UserError

LABEL_KEYS = ("y", "labels", "label", "gnd", "targets", "target", "classes", "class", "ids", "id")


def open_mat(path: Path, config: DataConfig) -> ArraySource:
    """Reads the images of a .mat file, unsplit.

    Layouts: [H, W, C, N], [H, W, N], [N, H, W], [N, H, W, C], and flattened images, one per column [D, N] or
    per row [N, D]. MATLAB stores column by column, so a flattened image is reshaped in Fortran's order.

    Args:
        path: the file.
        config: `mat_key`, `mat_orientation` and `mat_image_shape`.

    Raises:
        UserError: not a .mat file, no images in it, or a layout that is not known.
    """
    content = _read(path)
    key = _image_key(content, config, path)
    array = np.squeeze(content[key]) if content[key].ndim > 4 else content[key]
    layout, images = _arrange(array, config, f"{path}: {key!r}")
    pixels = to_pixels({"train": np.ascontiguousarray(images)}, f"{path}: {key!r}")
    label_key = next((k for k in _labels_first(content) if k != key and are_labels(content[k], len(images))), None)
    labels, names = (None, ()) if label_key is None else number_labels({"train": content[label_key]})
    source = ArraySource(path.stem, pixels, labels, names, file_identity(path))
    count, height, width, channels = images.shape
    source.notes.append(
        f"{key!r} {array.shape} was read as {layout}: {count} images of {height}x{width}x{channels}"
        + (f", labels from {label_key!r}" if label_key else ", no labels")
    )
    return source


def _read(path: Path) -> dict[str, np.ndarray]:
    """Every numeric variable, by name."""
    import scipy.io

    try:
        declared = scipy.io.whosmat(path)
        refuse_beyond_memory(sum(math.prod(shape) * _bytes(kind) for _, shape, kind in declared), path)
        content = scipy.io.loadmat(path)
    except NotImplementedError:  # version 7.3 is HDF5
        return _read_hdf5(path)
    except UserError:
        raise
    except Exception as error:  # scipy raises many kinds for a file that is no .mat file
        raise UserError(f"{path} cannot be read as a .mat file: {error}") from error
    return {k: v for k, v in content.items() if isinstance(v, np.ndarray) and v.dtype.kind in "buif" and v.size}


def _read_hdf5(path: Path) -> dict[str, np.ndarray]:
    import h5py

    content = {}
    try:
        with h5py.File(path, "r") as file:
            for key, value in file.items():
                if isinstance(value, h5py.Dataset) and value.dtype.kind in "buif" and value.size:
                    refuse_beyond_memory(value.nbytes, path)
                    content[key] = value[()].T  # HDF5 lists MATLAB's dimensions backwards
    except UserError:
        raise
    except Exception as error:  # a broken file makes h5py raise many kinds
        raise UserError(f"{path} cannot be read as a .mat file of version 7.3: {error}") from error
    return content


def _bytes(kind: str) -> int:
    """Of one value of a MATLAB class: "uint8", "single", "double", "logical" ..."""
    bits = next(
        (n for n in (8, 16, 32, 64) if kind.endswith(str(n))), {"logical": 8, "char": 16, "single": 32}.get(kind)
    )
    return (bits or 64) // 8


def _image_key(content: dict, config: DataConfig, path: Path) -> str:
    shapes = ", ".join(f"{k} {v.shape}" for k, v in content.items()) or "no numeric variable"
    if config.mat_key is not None:
        if config.mat_key not in content:
            raise UserError(f"data.mat_key is {config.mat_key!r}, but {path} holds {shapes}; name one of these")
        return config.mat_key
    candidates = [k for k, v in content.items() if v.ndim >= 2 and sum(n > 1 for n in v.shape) >= 2]
    if not candidates:
        raise UserError(
            f"{path} holds {shapes}, none of which can be images; expected 2 to 4 dimensions, e.g. [H, W, N]"
        )
    return max(candidates, key=lambda k: content[k].size)


def _labels_first(content: dict) -> list[str]:
    lower = {k.lower(): k for k in content}
    return [lower[k] for k in LABEL_KEYS if k in lower]


def _arrange(array: np.ndarray, config: DataConfig, where: str) -> tuple[str, np.ndarray]:
    """(the layout in words, images [N, H, W, C])."""
    if array.ndim == 4:
        if array.shape[3] in (1, 3) and array.shape[2] not in (1, 3):
            return "[N, H, W, C]", array
        if array.shape[2] in (1, 3):
            return "[H, W, C, N]", np.transpose(array, (3, 0, 1, 2))
        raise UserError(f"{where} must be [H, W, C, N] or [N, H, W, C] with C of 1 or 3. Received shape: {array.shape}")
    if array.ndim == 3:
        if _images_come_first(array):
            return "[N, H, W]", array[..., None]
        return "[H, W, N]", np.transpose(array, (2, 0, 1))[..., None]
    if array.ndim == 2:
        return _unflatten(array, config, where)
    raise UserError(f"{where} must have 2 to 4 dimensions. Received shape: {array.shape}")


def _images_come_first(array: np.ndarray) -> bool:
    """[N, H, W] or [H, W, N]: the two equal sides are the image's; else the odd one out, the largest, is the count."""
    first, middle, last = array.shape
    if first == middle != last:
        return False
    if middle == last != first:
        return True
    return first > last


def _unflatten(array: np.ndarray, config: DataConfig, where: str) -> tuple[str, np.ndarray]:
    rows, columns = array.shape
    given = config.mat_image_shape
    if given is not None and len(given) not in (2, 3):
        raise UserError(
            f"data.mat_image_shape must be (height, width) or (height, width, channels) to read {where}. "
            f"Received: {given}"
        )
    shapes = {
        length: given if given and math.prod(given) == length else None if given else _guess(length)
        for length in array.shape
    }
    orientation = config.mat_orientation
    if orientation == "auto":
        fits = [o for o, length in (("columns", rows), ("rows", columns)) if shapes[length]]
        if len(fits) == 2 and rows != columns:  # both could be images: nearly always the longer side is the pixels
            fits = ["columns" if rows > columns else "rows"]
        orientation = fits[0] if fits else "columns"
    length = rows if orientation == "columns" else columns
    shape = shapes[length]
    if shape is None:
        raise UserError(
            f"{where} has shape {array.shape}; {length} values (one of its {orientation}) are no image"
            + (f" of data.mat_image_shape {tuple(given)}" if given else ", neither a square nor three squares")
            + "; set data.mat_image_shape to [height, width] or [height, width, channels], or data.mat_orientation to "
            "'columns' or 'rows'"
        )
    flat = array.T if orientation == "columns" else array
    height, width, channels = (*shape, 1)[:3]
    # Fortran's order: the first axis of the image runs fastest, so unfold backwards and turn the axes round.
    images = flat.reshape(-1, channels, width, height).transpose(0, 3, 2, 1)
    return f"one image in each of its {orientation}", images


def _guess(length: int) -> tuple[int, ...] | None:
    """The square, or the three squares, that a flattened image of `length` values is."""
    for channels in (1, 3):
        side = math.isqrt(length // channels)
        if side > 1 and side * side * channels == length:
            return (side, side, channels)
    return None
