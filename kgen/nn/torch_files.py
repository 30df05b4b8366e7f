"""State dictionaries that PyTorch has saved (.pth, .pt), read without PyTorch and without running what they hold.

Such a file is a pickle, which may name any function for the reader to call. Here a pickle may name the few that a state
dictionary consists of, and everything else is refused (the restriction that Python's documentation of `pickle`
describes). Both forms are read: the archive of PyTorch 1.6 and later, and the sequence of pickles before it.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""What the older form begins with."""
STORAGES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "<?",
}  # fmt: skip
"""PyTorch's classes -> the type of their numbers."""


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dictionary by their keys.

    Raises:
        ValueError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, LookupError: it is none.
    """
    found = _read_archive(path) if zipfile.is_zipfile(path) else _read_sequence(path)
    if not isinstance(found, Mapping):
        raise ValueError(f"it holds a {type(found).__name__}, no state dictionary")
    return {key: value() for key, value in found.items() if isinstance(value, _Tensor)}


class _Storage:
    """Numbers that tensors are views of; they come when the pickle has been read."""

    def __init__(self, dtype: str):
        self.dtype, self.data = np.dtype(dtype), np.empty(0, dtype)


class _Tensor:
    """A tensor that is not yet there; a call gives it."""

    def __init__(self, storage: _Storage, offset: int, size: tuple, strides: tuple):
        self.storage, self.offset, self.size, self.strides = storage, int(offset), tuple(size), tuple(strides)

    def __call__(self) -> np.ndarray:
        data, strides = self.storage.data, self.strides
        last = self.offset + sum((length - 1) * step for length, step in zip(self.size, strides, strict=True))
        if min((self.offset, *self.size, *strides)) < 0 or (0 not in self.size and last >= len(data)):
            raise ValueError(f"a tensor of {self.size} is larger than its storage of {len(data)} numbers")
        steps = [step * data.itemsize for step in strides]
        return np.lib.stride_tricks.as_strided(data[self.offset :], self.size, steps).copy()


def _rebuild(storage, offset, size, strides, *_):
    return _Tensor(storage, offset, size, strides)


ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
} | {("torch", name): name for name in STORAGES}
"""All that a pickle may name."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it wants to call {module}.{name}, which no state dictionary needs")
        return ALLOWED[module, name]

    def persistent_load(self, identity):
        kind, storage, key, *_ = identity
        if kind != "storage" or storage not in STORAGES:
            raise pickle.UnpicklingError(f"it refers to {kind} {storage}, which is no storage of numbers")
        return self.storages.setdefault(key, _Storage(STORAGES[storage]))


def _read_archive(path: Path):
    with zipfile.ZipFile(path) as archive:
        (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")] or [""]
        with archive.open(pickled) as file:
            unpickler = _Unpickler(file)
            found = unpickler.load()
        for key, storage in unpickler.storages.items():
            name = f"{pickled.removesuffix('data.pkl')}data/{key}"
            storage.data = np.frombuffer(archive.read(name), storage.dtype)
    return found


def _read_sequence(path: Path):
    with open(path, "rb") as file:
        if [_Unpickler(file).load() for _ in range(2)] != [MAGIC, PROTOCOL]:
            raise ValueError("it does not begin as a file of PyTorch")
        _Unpickler(file).load()  # sizes of integers, byte order
        unpickler = _Unpickler(file)
        found = unpickler.load()
        for key in _Unpickler(file).load():
            storage, count = unpickler.storages[key], int.from_bytes(file.read(8), "little")
            data = file.read(count * storage.dtype.itemsize)
            if len(data) < count * storage.dtype.itemsize:
                raise EOFError("it ends too early")
            storage.data = np.frombuffer(data, storage.dtype)
    return found
