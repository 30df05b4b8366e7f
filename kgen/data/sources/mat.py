"""MATLAB's .mat files, also version 7.3: their variables as named arrays, and who wrote the file.

`kgen.data.sources.arrays.open_arrays` makes a source of them. The writer decides how flattened pictures unfold: MATLAB
and Octave go column by column, Python's savemat keeps NumPy's rows.
"""

import math
from pathlib import Path

import numpy as np

from kgen.config import DataConfig
from kgen.data.sources.arrays import ArraySource, open_arrays, refuse_beyond_memory
from kgen.data.sources.axes import PixelOrder
from kgen.errors import UserError

SCIPY_HEADERS = (b"MATLAB 5.0 MAT-file Platform: posix", b"MATLAB 5.0 MAT-file Platform: nt")
"""What `scipy.io.savemat` writes; MATLAB's own header has a comma before "Platform"."""
CIFAR_KEY = "batch_label"
"""A variable of the .mat files of CIFAR-10 and CIFAR-100, whose rows are row by row."""


def open_mat(path: Path, config: DataConfig) -> ArraySource:
    """Reads the images of a .mat file.

    Args:
        path: the file.
        config: `mat_key`, `mat_orientation`, `mat_image_shape`, `value_range` and `labels`.

    Raises:
        UserError: not a .mat file, no images in it, or a layout that is not known.
    """
    content, unread, order = _read(path)
    return open_arrays(content, unread, path, config, order)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str], PixelOrder]:
    """Every variable of numbers or words by name, what the others are, and how pictures unfold.

    The fields of a struct are variables of their own: dataset.train.images.
    """
    import scipy.io

    with open(path, "rb") as file:
        header = file.read(128)
    try:
        declared = scipy.io.whosmat(path)
        refuse_beyond_memory(sum(math.prod(shape) * _bytes(kind) for _, shape, kind in declared), path)
        everything = scipy.io.loadmat(path)
    except NotImplementedError:  # version 7.3 is HDF5
        return _read_hdf5(path, header)
    except UserError:
        raise
    except Exception as error:  # scipy raises many kinds for a file that is no .mat file
        if header.startswith(b"\x89HDF"):
            return _read_hdf5(path, header)
        raise UserError(f"{path} cannot be read as a .mat file: {error}") from error
    everything = {key: value for name, v in everything.items() if name[:2] != "__" for key, value in _fields(name, v)}
    content = {key: value for key, value in everything.items() if _is_plain(value)}
    if CIFAR_KEY in everything:
        order = PixelOrder(True, f"as in the files of CIFAR, which have {CIFAR_KEY!r} too", False)
    elif header.startswith(SCIPY_HEADERS):
        order = PixelOrder(True, "as NumPy stores them: scipy.io.savemat wrote the file", False)
    else:
        order = PixelOrder(False, "as MATLAB stores them", False)
    return content, {k: _kind(v) for k, v in everything.items() if k not in content}, order


def _fields(name: str, value):
    """(name, value) of a variable; of a struct, those of its fields."""
    import scipy.sparse

    if isinstance(value, np.ndarray) and value.dtype.names and value.size == 1:
        for field in value.dtype.names:
            yield from _fields(f"{name}.{field}", value.reshape(-1)[0][field])
    elif scipy.sparse.issparse(value):
        yield name, value.toarray()
    else:
        yield name, _plain_cells(value)


def _kind(value) -> str:
    if not isinstance(value, np.ndarray) or value.size == 0:
        return "empty" if isinstance(value, np.ndarray) else type(value).__name__
    return "structs" if value.dtype.names else "cells of different shapes or kinds"


def _is_plain(value) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "buifcUS" and value.size > 0


def _plain_cells(value):
    """A cell array of words, or of pictures of one shape, as an array; anything else as it is."""
    if not isinstance(value, np.ndarray) or value.dtype != object:
        return value
    cells = value.reshape(-1).tolist()
    if cells and all(isinstance(c, np.ndarray) and c.dtype.kind == "U" and c.size == 1 for c in cells):
        return np.array([str(c.reshape(-1)[0]) for c in cells])
    if cells and all(_is_plain(c) and c.dtype.kind in "buif" and min(c.shape) > 1 for c in cells):
        return np.stack(cells) if len({c.shape for c in cells}) == 1 else value
    return value


def _read_hdf5(path: Path, header: bytes) -> tuple[dict[str, np.ndarray], dict[str, str], PixelOrder]:
    """See `_read`. MATLAB lists the dimensions backwards in HDF5; h5py, which writes no header, does not."""
    import h5py

    content, unread, rows = {}, {}, False
    backwards = header.startswith(b"MATLAB")
    try:
        with h5py.File(path, "r") as file:
            for key, value in _members(file):
                if isinstance(value, h5py.Dataset) and value.dtype.kind in "buif" and value.size:
                    refuse_beyond_memory(value.nbytes, path)
                    rows = rows or any(name.startswith("Python.") for name in value.attrs)
                    content[key] = value[()].T if backwards or "MATLAB_class" in value.attrs else value[()]
                else:
                    unread[key] = "cells or other references" if isinstance(value, h5py.Dataset) else "no array"
    except UserError:
        raise
    except Exception as error:  # a broken file makes h5py raise many kinds
        raise UserError(f"{path} cannot be read as a .mat file of version 7.3: {error}") from error
    if rows or not backwards:
        order = PixelOrder(True, "as NumPy stores them: Python wrote the file", not backwards)
    else:
        order = PixelOrder(False, "as MATLAB stores them", False)
    return content, unread, order


def _members(group, above: str = ""):
    """(name, value) of everything in an HDF5 file; structs are groups."""
    import h5py

    for name, value in group.items():
        if isinstance(value, h5py.Group) and name[0] != "#" and "MATLAB_sparse" not in value.attrs:
            yield from _members(value, f"{above}{name}.")
        elif name[0] != "#":
            yield f"{above}{name}", value


def _bytes(kind: str) -> int:
    """Of one value of a MATLAB class: "uint8", "single", "double", "logical" ..."""
    bits = next(
        (n for n in (8, 16, 32, 64) if kind.endswith(str(n))), {"logical": 8, "char": 16, "single": 32}.get(kind)
    )
    return (bits or 64) // 8
