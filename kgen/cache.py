"""Cache on disk: arrays and JSON values under a hash of all that they depend on, written atomically."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kgen.io import write_aside, write_json


def cache_root() -> Path:
    """The folder of all that is cached between runs: $KGEN_CACHE_DIR, or ~/.cache/kgen."""
    return Path(os.environ.get("KGEN_CACHE_DIR") or Path.home() / ".cache" / "kgen")


def digest(*parts: Any) -> str:
    """16 hex digits of JSON values, bytes and arrays."""
    state = hashlib.blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype} {part.shape};".encode())
            state.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8))
        else:
            state.update(part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode() + b";")
    return state.hexdigest()


def cached_arrays(
    kind: str, key: Mapping[str, Any], make: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The arrays that `make` computes; from disk, when they are there.

    Args:
        kind: the folder under the cache ($KGEN_CACHE_DIR, or ~/.cache/kgen).
        key: JSON values: everything that the arrays depend on.
        make: computes them, also when the file cannot be read.
    """
    path = place(kind, key, ".npz")
    if path.is_file():
        try:
            with np.load(path) as file:
                return dict(file)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            pass
    arrays = make()
    write_aside(path, lambda aside: np.savez(aside, **arrays))
    return arrays


def cached_json(kind: str, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """The JSON values that `make` computes; from disk, when they are there."""
    path = place(kind, key, ".json")
    if path.is_file():
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            pass
    values = make()
    write_json(path, values)
    return values


def place(kind: str, key: Mapping[str, Any], suffix: str) -> Path:
    """The file of an entry."""
    return cache_root() / kind / f"{digest(dict(key))}{suffix}"
