"""Weights & Biases: a run of the same name, offline in wandb/ of the run unless WANDB_MODE says otherwise."""

import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read by the import

import wandb

from kgen.train.loggers.base import Logger, numbers, recorded_as, remember

PROJECT = "kgen"
"""Where the user has named none by WANDB_PROJECT."""


class WandbLogger(Logger):
    """Rows of metrics.jsonl and pictures, with the epoch as the step, and the settings as the configuration.

    A run that is resumed has the same id at Weights & Biases. Offline each training writes a folder of its own.
    """

    errors = (wandb.errors.Error,)

    def begin(self):
        folder = self.run.path / "wandb"
        id = recorded_as(folder) or secrets.token_hex(4)
        remember(folder, id)
        mode = os.environ.get("WANDB_MODE", "offline")
        self.recorded = wandb.init(
            dir=str(self.run.path),
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=os.environ.get("WANDB_NAME", self.run.name),
            id=id,
            config=self.run.config.to_json(),
            mode=mode,
            resume="allow",
            settings=wandb.Settings(silent=True, console="off"),
        )
        if mode == "offline":
            command = shlex.join(["wandb", "sync", str(Path(self.recorded.dir).parent)])
            self.run.log(f"wandb: offline; to upload this training: {command}")
        else:
            self.run.log(f"wandb: {self.recorded.url or mode}")

    def row(self, row: Mapping[str, Any]):
        self.recorded.log(numbers(row), step=row["epoch"])

    def images(self, epoch: int, files: Mapping[str, Path]):
        self.recorded.log({name: wandb.Image(str(path)) for name, path in files.items()}, step=epoch)

    def end(self, finished: bool):
        self.recorded.finish(exit_code=0 if finished else 1)
