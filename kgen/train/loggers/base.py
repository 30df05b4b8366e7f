"""What every logger does, and what several of them need."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kgen.config import RunConfig, flatten
from kgen.io import write_text
from kgen.run import Run


class Logger:
    """Records one training. The training calls `begin`, then the others in any order, and `end` however it ends.

    A run that is resumed has a new logger, which goes on in the record of the one before.

    Args:
        run: that is trained.
    """

    errors: tuple[type[Exception], ...] = ()
    """Of its library: one of them ends the logger, and not the training."""

    def __init__(self, run: Run):
        self.run = run

    def begin(self):
        """Opens the record and writes the settings."""

    def row(self, row: Mapping[str, Any]):
        """Records an epoch: its row of metrics.jsonl."""

    def histograms(self, epoch: int, values: Mapping[str, np.ndarray]):
        """Records finite values of any shape, by their names."""

    def images(self, epoch: int, files: Mapping[str, Path]):
        """Records PNG files, by their names."""

    def end(self, finished: bool):
        """Closes the record.

        Args:
            finished: whether the training came to its end, and was neither interrupted nor failed.
        """


def hyperparameters(config: RunConfig) -> dict[str, bool | float | str]:
    """The settings by their dotted names, without those that are not set; lists as JSON."""
    values = {name: value for name, value in flatten(config.to_json()).items() if value is not None}
    return {name: json.dumps(value) if isinstance(value, list) else value for name, value in values.items()}


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The values of a row of metrics.jsonl but the epoch, without those that were not measured."""
    return {name: value for name, value in row.items() if value is not None and name != "epoch"}


def recorded_as(folder: Path) -> str | None:
    """The name under which a service knows the run, which `remember` wrote; None before."""
    file = folder / "id.txt"
    return file.read_text(encoding="utf-8").strip() if file.is_file() else None


def remember(folder: Path, name: str):
    """Writes the name under which a service knows the run, for the trainings that resume it."""
    folder.mkdir(exist_ok=True)
    write_text(folder / "id.txt", f"{name}\n")
