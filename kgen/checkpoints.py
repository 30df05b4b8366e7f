"""The checkpoint files of a run: the best weights, and the state of the training to resume from, in one format.

    checkpoints/best.npz              the weights that were best; see `TrainConfig.best_by`
    checkpoints/step-000001200.npz    the training after 1200 steps; the newest of them is the checkpoint "last"

Each is an uncompressed NumPy archive of

    model/I              the variable `model.weights[I]`
    average/I            its exponential moving average, where training keeps one; it is what is evaluated, sampled
                         and exported. "best" holds the averages as model/I, and no average/I
    optimizer/PHASE/I    the variables of the optimizer of a phase; not in "best"
    metric/NAME/I        the running means of the epoch that has begun; not in "best"
    state                JSON in UTF-8: "epoch" and "step", "metrics" (the losses of that epoch), "parameters" (how many
                         weights each network has), "arrays" (the names above), and what callbacks need to resume

A file appears whole or not at all (it is written aside, flushed to the disk and renamed), and the CRC-32 of each member
of the archive is checked when it is read. Plain Keras reads the best weights with

    with np.load("runs/00000-cvae-digits/checkpoints/best.npz") as arrays:
        model.set_weights([arrays[f"model/{i}"] for i in range(len(model.weights))])
"""

import contextlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kgen.io import write_aside

STATE = "state"
WEIGHTS = ("model/", "average/")


@dataclass(frozen=True)
class Checkpoint:
    """The content of one file.

    Attributes:
        arrays: name -> value of a variable.
        state: the rest, of JSON types.
    """

    arrays: dict[str, np.ndarray]
    state: dict[str, Any]

    def weights(self) -> list[np.ndarray]:
        """The values of `model.weights` to evaluate and to sample with: averages where there are any.

        Raises:
            ValueError: some are missing.
        """
        count = sum(name.startswith("model/") for name in self.arrays)
        if missing := [i for i in range(count) if f"model/{i}" not in self.arrays]:
            raise ValueError(f"it lacks model/{missing[0]}")
        return [self.arrays.get(f"average/{i}", self.arrays[f"model/{i}"]) for i in range(count)]


def write(path: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> Path:
    """Writes a checkpoint file.

    Raises:
        OSError: e.g. no space is left; a file of that name stays as it was.
    """
    text = json.dumps({**state, "arrays": sorted(arrays)})

    def save(aside: Path):
        with open(aside, "wb") as stream:
            np.savez(stream, **arrays, **{STATE: np.frombuffer(text.encode(), np.uint8)})
            stream.flush()
            os.fsync(stream.fileno())

    return write_aside(path, save)


def read(path: Path, *, weights_only: bool = False) -> Checkpoint:
    """Reads a checkpoint file, or its weights and state alone.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is damaged.
    """
    with _archive(path) as (archive, state):
        names = [name for name in state["arrays"] if not weights_only or name.startswith(WEIGHTS)]
        return Checkpoint({name: archive[name] for name in names}, state)


def read_state(path: Path) -> dict[str, Any]:
    """Reads the state of a checkpoint file; raises as `read` does."""
    with _archive(path) as (_, state):
        return state


@contextlib.contextmanager
def _archive(path: Path):
    """The open archive and its state."""
    try:
        with open(path, "rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise ValueError("it is not a checkpoint file, or cut off")
        with np.load(path, allow_pickle=False) as archive:
            state = json.loads(archive[STATE].tobytes())
            if sorted(state["arrays"]) != sorted({*archive.files} - {STATE}):
                raise ValueError("it lacks arrays")
            if not all(isinstance(state[key], int) for key in ("epoch", "step")):
                raise ValueError("its epoch or step is not an integer")
            yield archive, state
    except OSError:
        raise
    except Exception as error:  # numpy, zipfile and json raise many kinds for a damaged file
        raise ValueError(str(error) or repr(error)) from error


class StepCheckpoints:
    """The files step-*.npz of one run.

    Args:
        folder: that holds them.
        keep: how many stay; at least 2, so that there is one before a damaged one.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, max(2, keep)

    def path(self, step: int) -> Path:
        """The file of a step."""
        return self.folder / f"step-{step:09d}.npz"

    def steps(self) -> list[int]:
        """The steps of the files, ascending."""
        names = (path.stem.removeprefix("step-") for path in self.folder.glob("step-*.npz"))
        return sorted(int(name) for name in names if name.isdigit())

    def write(self, step: int, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]):
        """Writes the file of a step, then removes the oldest beyond `keep`; raises as `write` does."""
        write(self.path(step), arrays, state)
        for old in self.steps()[: -self.keep]:
            self.path(old).unlink(missing_ok=True)

    def newest(self, log: Callable[[str], None]) -> Checkpoint | None:
        """The newest that is whole; None if there is none.

        Args:
            log: gets a message for each that is damaged.
        """
        for step in reversed(self.steps()):
            try:
                return read(self.path(step))
            except (OSError, ValueError) as error:
                log(f"checkpoint {self.path(step)} is damaged and not used: {error}")
        return None

    def remove_after(self, step: int):
        """Removes the files of later steps: damaged ones, or those of a training that was rolled back."""
        for later in self.steps():
            if later > step:
                self.path(later).unlink(missing_ok=True)
