"""Reads the state dictionary of the Inception network from .npz, .safetensors or PyTorch's .pth."""

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kgen.errors import UserError

CONVERT = (
    'python -c "import sys, numpy, torch; numpy.savez(sys.argv[2], **{k: v.numpy() for k, v in '
    'torch.load(sys.argv[1], weights_only=True).items()})"'
)
"""Turns a .pth into an .npz; two paths follow."""

UNREADABLE = (OSError, EOFError, LookupError, TypeError, AttributeError, ValueError, RuntimeError)
UNREADABLE += (zipfile.BadZipFile, pickle.UnpicklingError)
"""What readers raise at a file that is not what its name says."""


def read_state(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state dictionary by their keys.

    Raises:
        UserError: another kind of file, one that cannot be read, or a .pth where PyTorch is not installed.
    """
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors, ".pth": _read_pth, ".pt": _read_pth}
    if path.suffix not in readers:
        raise UserError(f"weights are a folder, a .tar.gz, or one of {', '.join(readers)}. Received: {path}")
    try:
        return readers[path.suffix](path)
    except UserError:
        raise
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read as {path.suffix}: {error}") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """8 bytes with the length of a JSON header, the header, the numbers (https://github.com/huggingface/safetensors)."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    types = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8"}
    state = {}
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        numbers = np.frombuffer(content[start + begin : start + end], types[entry["dtype"]])
        state[key] = numbers.reshape(entry["shape"])
    return state


def _read_pth(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path} is PyTorch's file, and PyTorch is not installed here; where it is, turn the file into .npz: "
            f"{CONVERT} {path.name} {path.stem}.npz"
        ) from error
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, Mapping):
        raise ValueError(f"it holds a {type(state).__name__}, no state dictionary")
    return {key: value.numpy() for key, value in state.items() if torch.is_tensor(value)}
