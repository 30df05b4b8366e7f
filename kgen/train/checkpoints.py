"""Checkpoints to go on from: the whole state of a training, written aside, renamed, and told apart from damaged ones.

checkpoints/step-NNNNNNNNN.npz    every variable, by number
checkpoints/step-NNNNNNNNN.json   the rest of the state, and the checksum of the .npz; written last
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kgen.files import write_aside, write_json


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after some step.

    Attributes:
        arrays: name of a variable -> its value.
        state: the rest, of JSON types.
    """

    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


class Checkpoints:
    """Those of one run.

    Args:
        folder: theirs.
        keep: how many stay; at least 2, so that there is one before a damaged one.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, max(2, keep)

    def write(self, step: int, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]):
        """Writes one, then removes the oldest beyond `keep`.

        Raises:
            OSError: e.g. no space is left; the earlier ones stay as they were.
        """
        file = self._file(step)
        digest = write_aside_hashed(file, lambda stream: np.savez(stream, **arrays))
        about = {"sha256": digest, "state_sha256": _digest(state), "bytes": file.stat().st_size, "state": dict(state)}
        write_json(file.with_suffix(".json"), about)
        for old in self.steps()[: -self.keep]:
            self._file(old).with_suffix(".json").unlink(missing_ok=True)
            self._file(old).unlink(missing_ok=True)

    def steps(self) -> list[int]:
        """Those of the checkpoints that were written to the end, ascending."""
        names = (path.stem.removeprefix("step-") for path in self.folder.glob("step-*.json"))
        return sorted(int(name) for name in names if name.isdigit())

    def newest(self, say: Callable[[str], None]) -> Checkpoint | None:
        """The newest that is whole; None if there is none.

        Args:
            say: is told of each that is damaged.
        """
        for step in reversed(self.steps()):
            try:
                return self._read(self._file(step))
            except Exception as error:  # a broken file makes json, zipfile and numpy raise many kinds
                say(f"checkpoint {self._file(step)} is damaged ({error}); the one before it is taken")
        return None

    def forget_after(self, step: int):
        """Removes what was written after a step: damaged ones, or those of a way that was left."""
        for other in self.steps():
            if other > step:
                self._file(other).with_suffix(".json").unlink(missing_ok=True)
                self._file(other).unlink(missing_ok=True)

    def _file(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.npz"

    def _read(self, file: Path) -> Checkpoint:
        about = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise ValueError("its checksum is another")
        if _digest(about["state"]) != about["state_sha256"]:
            raise ValueError("the checksum of its state is another")
        with np.load(file, allow_pickle=False) as found:
            return Checkpoint({name: found[name] for name in found.files}, about["state"])


def _digest(state: Mapping[str, Any]) -> str:
    """Of the state as it is read back."""
    return hashlib.sha256(json.dumps(json.loads(json.dumps(state)), sort_keys=True).encode()).hexdigest()


def write_aside_hashed(path: Path, write: Callable) -> str:
    """`write_aside` to a stream that reaches the disk before the rename; returns the SHA-256 of what was meant."""

    def save(aside: Path):
        with open(aside, "w+b") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
            stream.seek(0)
            digest.update(stream.read())

    digest = hashlib.sha256()
    write_aside(path, save)
    return digest.hexdigest()
