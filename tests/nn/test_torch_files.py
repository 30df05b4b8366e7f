"""State dictionaries of PyTorch, read without it; and pickles that want to run something."""

import collections
import io
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest

from kgen.nn.torch_files import MAGIC, PROTOCOL, read_state_dict

ARRAYS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)}


class Storage:
    """What a pickle of PyTorch refers to by its key."""

    def __init__(self, array):
        self.array = np.ascontiguousarray(array).ravel()


class Tensor:
    def __init__(self, array):
        self.array, self.storage = array, Storage(array)

    def __reduce__(self):
        steps = [step // self.array.itemsize for step in self.array.strides]
        arguments = (self.storage, 0, self.array.shape, tuple(steps), False, collections.OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


class Pickler(pickle.Pickler):
    """Writes as PyTorch does: numbers by reference to their storage."""

    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = {}

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        key = str(len(self.storages))
        self.storages[key] = value.array
        kind = {"f": "FloatStorage", "i": "LongStorage"}[value.array.dtype.kind]
        return "storage", getattr(sys.modules["torch"], kind), key, "cpu", value.array.size


@pytest.fixture
def pickled(monkeypatch):
    """A function value -> (its pickle, its storages), with names of PyTorch in it, which need not be installed."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def rebuild():
        raise AssertionError("nothing of PyTorch is called")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def write(value):
        file = io.BytesIO()
        pickler = Pickler(file)
        pickler.dump(value)
        return file.getvalue(), pickler.storages

    return write


def archive(path, data, storages):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("w/data.pkl", data)
        for key, array in storages.items():
            file.writestr(f"w/data/{key}", array.tobytes())


def sequence(path, data, storages):
    parts = [pickle.dumps(part, protocol=2) for part in (MAGIC, PROTOCOL, {"little_endian": True})]
    parts += [data, pickle.dumps(sorted(storages), protocol=2)]
    for key in sorted(storages):
        parts += [storages[key].size.to_bytes(8, "little"), storages[key].tobytes()]
    path.write_bytes(b"".join(parts))


@pytest.mark.parametrize("write", [archive, sequence])
def test_tensors_are_read_and_nothing_else(write, pickled, tmp_path):
    state = collections.OrderedDict({key: Tensor(array) for key, array in ARRAYS.items()}, name="no tensor")
    state["turned"] = Tensor(ARRAYS["a.weight"])
    state["turned"].array = ARRAYS["a.weight"].T
    write(tmp_path / "w.pth", *pickled(state))
    found = read_state_dict(tmp_path / "w.pth")
    assert found.keys() == {*ARRAYS, "turned"}
    for key, array in (ARRAYS | {"turned": ARRAYS["a.weight"].T}).items():
        np.testing.assert_array_equal(found[key], array)
        assert found[key].dtype == array.dtype


class Command:
    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return os.mkdir, (self.file,)


@pytest.mark.parametrize("write", [archive, sequence])
def test_a_pickle_that_wants_to_run_something_is_refused(write, pickled, tmp_path):
    write(tmp_path / "w.pth", *pickled({"a": Command(tmp_path / "made")}))
    with pytest.raises(pickle.UnpicklingError, match=r"it wants to call (posix|nt)\.mkdir"):
        read_state_dict(tmp_path / "w.pth")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("write", [archive, sequence])
def test_a_tensor_beyond_its_storage_is_refused(write, pickled, tmp_path):
    tensor = Tensor(ARRAYS["a.weight"])
    data, storages = pickled({"a": tensor})
    write(tmp_path / "w.pth", data, {"0": storages["0"][:5]})
    with pytest.raises(ValueError, match=r"a tensor of \(2, 3\) is larger than its storage of 5 numbers"):
        read_state_dict(tmp_path / "w.pth")


def test_what_is_no_state_dictionary(pickled, tmp_path):
    archive(tmp_path / "w.pth", *pickled([1, 2]))
    with pytest.raises(ValueError, match="it holds a list, no state dictionary"):
        read_state_dict(tmp_path / "w.pth")
    sequence(tmp_path / "short.pth", *pickled({"a": Tensor(ARRAYS["a.weight"])}))
    whole = (tmp_path / "short.pth").read_bytes()
    (tmp_path / "short.pth").write_bytes(whole[:-4])
    with pytest.raises(EOFError, match="it ends too early"):
        read_state_dict(tmp_path / "short.pth")
