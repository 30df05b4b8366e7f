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
    return open_arrays(content, path, config, order, unread)


def _read(path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...], PixelOrder]:
    """Every variable of numbers or words by name, the names of the others, and how pictures unfold."""
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
    everything = {k: _plain_words(v) for k, v in everything.items() if not k.startswith("__")}
    content = {k: v for k, v in everything.items() if _is_plain(v)}
    if CIFAR_KEY in everything:
        order = PixelOrder(True, f"as in the files of CIFAR, which have {CIFAR_KEY!r} too", False)
    elif header.startswith(SCIPY_HEADERS):
        order = PixelOrder(True, "as NumPy stores them: scipy.io.savemat wrote the file", False)
    else:
        order = PixelOrder(False, "as MATLAB stores them", False)
    return content, tuple(k for k in everything if k not in content), order


def _is_plain(value) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "buifcUS" and value.size > 0


def _plain_words(value):
    """A cell array of words as an array of words; anything else as it is."""
    if not isinstance(value, np.ndarray) or value.dtype != object:
        return value
    cells = value.reshape(-1).tolist()
    if cells and all(isinstance(c, np.ndarray) and c.dtype.kind == "U" and c.size == 1 for c in cells):
        return np.array([str(c.reshape(-1)[0]) for c in cells])
    return value


def _read_hdf5(path: Path, header: bytes) -> tuple[dict[str, np.ndarray], tuple[str, ...], PixelOrder]:
    """See `_read`. MATLAB lists the dimensions backwards in HDF5; h5py, which writes no header, does not."""
    import h5py

    content, unread, rows = {}, [], False
    backwards = header.startswith(b"MATLAB")
    try:
        with h5py.File(path, "r") as file:
            for key, value in file.items():
                if isinstance(value, h5py.Dataset) and value.dtype.kind in "buif" and value.size:
                    refuse_beyond_memory(value.nbytes, path)
                    rows = rows or any(name.startswith("Python.") for name in value.attrs)
                    content[key] = value[()].T if backwards or "MATLAB_class" in value.attrs else value[()]
                elif key != "#refs#":
                    unread.append(key)
    except UserError:
        raise
    except Exception as error:  # a broken file makes h5py raise many kinds
        raise UserError(f"{path} cannot be read as a .mat file of version 7.3: {error}") from error
    if rows or not backwards:
        order = PixelOrder(True, "as NumPy stores them: Python wrote the file", not backwards)
    else:
        order = PixelOrder(False, "as MATLAB stores them", False)
    return content, tuple(unread), order


def _bytes(kind: str) -> int:
    """Of one value of a MATLAB class: "uint8", "single", "double", "logical" ..."""
    bits = next(
        (n for n in (8, 16, 32, 64) if kind.endswith(str(n))), {"logical": 8, "char": 16, "single": 32}.get(kind)
    )
    return (bits or 64) // 8
