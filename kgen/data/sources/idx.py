"""IDX files, the form of MNIST's first publication (train-images-idx3-ubyte, also .gz), in a folder or an archive.

The format is that of http://yann.lecun.com/exdb/mnist: two zero bytes, the type, the number of dimensions, the
dimensions as big-endian 32-bit integers, the values.
"""

import gzip
import math
import os
import re
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kgen.config import DataConfig
from kgen.data.sources.arrays import NUMPY_ORDER, ArraySource, open_arrays, refuse_beyond_memory
from kgen.data.sources.base import file_identity
from kgen.errors import UserError

NAME = re.compile(
    r"(?P<family>.*?)(?P<split>train|t10k|test|val|)[-_.]?(?P<role>images|labels)[-_.]idx\d[-_.]?(ubyte|int)?(\.gz)?",
    re.IGNORECASE,
)
SPLITS = {"": "train", "train": "train", "t10k": "test", "test": "test", "val": "val"}
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP = b"\x1f\x8b"


def is_idx(name: str) -> bool:
    """Whether a path is that of an IDX file of images or labels, by its name."""
    return NAME.fullmatch(os.path.basename(name)) is not None


def open_idx_file(path: Path, config: DataConfig) -> ArraySource:
    """The source of an IDX file and of those that go with it: of the same name except for split and role.

    Raises:
        UserError: see `open_idx`.
    """
    family = NAME.fullmatch(path.name)["family"]
    names = [name for name in os.listdir(path.parent) if is_idx(name) and NAME.fullmatch(name)["family"] == family]
    return open_idx(sorted(names), lambda name: open(path.parent / name, "rb"), path, config, file_identity(path))


def open_idx(
    names: Iterable[str], open_file: Callable[[str], BinaryIO], path: Path, config: DataConfig, identity: tuple
) -> ArraySource:
    """The source of the IDX files of one data set.

    Args:
        names: of the files; of two with the same content, one is used.
        open_file: of a name.
        path: of the folder or the archive.
        config: see `open_arrays`.
        identity: of the folder or the archive, see `Source`.

    Raises:
        UserError: they are of several data sets, broken, or without images.
    """
    families: dict[str, dict[str, list[str]]] = {}
    for name in sorted(names, key=lambda name: (name.lower().endswith(".gz"), name)):
        match = NAME.fullmatch(os.path.basename(name))
        key = ("x_" if match["role"].lower() == "images" else "y_") + SPLITS[match["split"].lower()]
        families.setdefault(match["family"].lower(), {}).setdefault(key, []).append(name)
    if len(families) > 1:
        first = [next(iter(keys.values()))[0] for keys in families.values()]
        raise UserError(
            f"{path} holds {len(families)} data sets of IDX files: {', '.join(sorted(first))}; give one of these "
            "files, or a folder of one set"
        )
    (family, keys), content, used = next(iter(families.items())), {}, []
    for key, candidates in keys.items():
        arrays = [_read(name, open_file, path) for name in candidates]
        if not all(np.array_equal(array, arrays[0]) for array in arrays):
            raise UserError(f"{path} holds IDX files of several data sets: {', '.join(candidates)}; give one folder")
        content[key] = arrays[0]
        used.append(candidates[0])
    if "x_train" not in content:  # a test split alone is what there is to train on
        content = {f"{key[0]}_train": array for key, array in content.items()}
    if "x_train" not in content:
        raise UserError(f"{path} holds IDX files of labels without images: {', '.join(used)}")
    notes = [f"read the IDX files {', '.join(used)}"]
    if "emnist" in family and config.mat_orientation == "auto":
        content = {key: array.swapaxes(1, 2) if key[0] == "x" else array for key, array in content.items()}
        notes.append("EMNIST stores its pictures transposed, which is undone; --mat_orientation rows leaves them so")
    source = open_arrays(content, {}, path, config, NUMPY_ORDER)
    source.notes[:0] = notes
    source.identity = (*identity, *(zlib.crc32(np.ascontiguousarray(array)) for array in content.values()))
    return source


def _read(name: str, open_file: Callable[[str], BinaryIO], path: Path) -> np.ndarray:
    where = path if path.name == name else f"{path}: {name}"
    try:
        with open_file(name) as file:
            packed = file.read(len(GZIP)) == GZIP
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if packed else file
            zeros, kind, dimensions = stream.read(2), stream.read(1)[0], stream.read(1)[0]
            if any(zeros) or kind not in TYPES:
                raise ValueError("its first bytes are those of another kind of file")
            shape = tuple(int(n) for n in np.frombuffer(stream.read(4 * dimensions), ">u4"))
            dtype = np.dtype(TYPES[kind])
            size = math.prod(shape) * dtype.itemsize
            refuse_beyond_memory(size, path)
            values = stream.read(size)
            if len(values) < size or len(shape) < dimensions:
                raise ValueError(f"it ends after {len(values)} of {size} bytes")
    except UserError:
        raise
    except Exception as error:  # a broken file makes gzip and NumPy raise many kinds
        raise UserError(f"{where} cannot be read as an IDX file: {error}; download it again") from error
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
