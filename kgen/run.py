"""A run directory: what one training was made of and what came out.

config.json       the whole configuration (defaults filled in), the data spec and content hashes, the seed, the versions
log.txt           what was said, with the time
metrics.jsonl     a line an epoch
checkpoints/      last.weights.h5, best.weights.h5, state.json (their epoch, step and loss); step-N.npz, to go on from
priors/           NAME-CHECKPOINT.npz: what was fitted to the encodings of a checkpoint, to draw z from
samples/ plots/   PNG
eval/             figures of kgen-eval, a line each
tensorboard/      event files
report.html       all of it on one page
DONE or FAILED    how it ended; FAILED holds the reason
"""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgen.config import RunConfig
from kgen.errors import UserError
from kgen.files import write_aside, write_json, write_text
from kgen.spec import DataSpec

FREE_BYTES_NEEDED = 50 * 2**20
CHECKPOINTS = ("best", "last")


class Run:
    """An existing run directory. `Run.create` makes one, `Run.open` finds one.

    Attributes:
        path: the directory.
        config: the RunConfig that was trained, complete.
        spec: of its data.
        data_hashes: split -> content hash of what it was trained on.
    """

    def __init__(self, path: Path, config: RunConfig, spec: DataSpec, data_hashes: Mapping[str, str] | None = None):
        self.path, self.config, self.spec, self.data_hashes = path, config, spec, dict(data_hashes or {})

    # Making and finding ---------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        config: RunConfig,
        spec: DataSpec,
        *,
        data_hashes: Mapping[str, str] | None = None,
        run_dir: str | None = None,
        runs_root: str = "runs",
    ) -> "Run":
        """Makes the directory and writes `config.json`.

        Args:
            config: complete.
            spec: of the data.
            data_hashes: split -> content hash of its images and labels.
            run_dir: the directory; None takes the next number under `runs_root`.
            runs_root: where numbered runs live.

        Raises:
            UserError: the directory holds something already, may not be written, or its disk is full.
        """
        path = Path(run_dir) if run_dir else Path(runs_root)
        setting = "--run_dir" if run_dir else "--runs_root"
        try:
            check_space(path, setting)
            if run_dir:
                path.mkdir(parents=True, exist_ok=True)
                if any(not name.startswith(".part-") for name in os.listdir(path)):  # left by a process that was killed
                    raise UserError(f"--run_dir {path} is not empty; name a new directory, or remove this one")
            else:
                path.mkdir(parents=True, exist_ok=True)
                path = _next_numbered(path, f"{config.model}-{spec.name}")
            run = cls(path, config, spec, data_hashes)
            about = {"spec": spec.to_json(), "data_hashes": dict(data_hashes or {}), "versions": versions()}
            write_json(path / "config.json", {**config.to_json(), **about})
        except OSError as error:
            raise UserError(f"{setting} {path}: {error.strerror or error}; name a place that can be written") from error
        return run

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Raises UserError when the path is not a run directory."""
        path = Path(path)
        if not (path / "config.json").is_file():
            what = "is no run directory (it has no config.json)" if path.exists() else "does not exist"
            raise UserError(f"{path} {what}; kgen-train writes one, under runs/ unless told otherwise")
        try:
            values = json.loads((path / "config.json").read_text(encoding="utf-8"))
            spec = DataSpec.from_json(values.pop("spec"))
            data_hashes = values.pop("data_hashes", {})
            values.pop("versions", None)
            return cls(path, RunConfig.from_json(values), spec, data_hashes)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{path / 'config.json'} cannot be read as a run's configuration: {error!r}") from error

    # What is in it --------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.path.name

    def checkpoint(self, which: str = "best") -> Path:
        """The weights file of the "best" or the "last" checkpoint."""
        return self.path / "checkpoints" / f"{which}.weights.h5"

    def checkpoint_state(self) -> dict[str, dict[str, Any]]:
        """{"best": {"epoch", "step", "loss", ...}, "last": {...}} of the checkpoints that exist."""
        path = self.path / "checkpoints" / "state.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; without a last one that was cut off."""
        path = self.path / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
        return [json.loads(line) for line in lines]

    def load_model(self, checkpoint: str = "best"):
        """The trained model with the weights of a checkpoint.

        Raises:
            UserError: there is no such checkpoint.
        """
        from kgen.models import build_model

        if checkpoint not in CHECKPOINTS:
            raise UserError(f"--checkpoint is one of {', '.join(CHECKPOINTS)}. Received: {checkpoint!r}")
        weights = self.checkpoint(checkpoint)
        if not weights.is_file():
            raise UserError(f"run {self.path} has no checkpoint {checkpoint!r} ({weights} is missing)")
        model = build_model(self.config.model, self.spec, seed=self.config.seed, **self.config.model_args)
        model.load_weights(weights)
        return model

    # Writing --------------------------------------------------------------------------------------------------------

    def log(self, message: str, *, show: bool = True):
        """Appends to log.txt with the time, and prints."""
        with open(self.path / "log.txt", "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")
        if show:
            print(message, flush=True)

    def log_metrics(self, row: dict[str, Any]):
        """Appends one line to metrics.jsonl."""
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def keep_metrics(self, epoch: int):
        """Removes the rows after an epoch: the training goes on from there."""
        rows = [row for row in self.metrics() if row["epoch"] <= epoch]
        write_text(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def save_config(self, config: RunConfig):
        """Writes `config.json` anew with settings that may change."""
        self.config = config
        values = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        write_json(self.path / "config.json", values | config.to_json())

    def save_checkpoint(self, model, which: str, state: dict[str, Any]):
        """Writes the model's weights, its optimizers included, and what they are."""
        write_aside(self.checkpoint(which), model.save_weights)
        write_json(self.path / "checkpoints" / "state.json", {**self.checkpoint_state(), which: state})

    def finish(self):
        """Marks the run as ended well."""
        write_text(self.path / "DONE", time.strftime("%Y-%m-%d %H:%M:%S") + "\n")

    def fail(self, reason: str):
        """Marks the run as failed; the reason is the file's text."""
        write_text(self.path / "FAILED", reason + "\n")


def _next_numbered(root: Path, name: str) -> Path:
    """Makes `root/NNNNN-name` with the first number above all that are there."""
    taken = [int(m[1]) for p in root.iterdir() if (m := re.match(r"(\d{5,})-", p.name))]
    number = max(taken, default=-1) + 1
    while True:
        path = root / f"{number:05d}-{name}"
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1  # another process took it


def check_space(path: Path, setting: str):
    """Raises UserError when the disk that would hold `path` is full."""
    existing = next(p for p in (path, *path.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < FREE_BYTES_NEEDED:
        raise UserError(
            f"{setting} {path}: no space left: {free >> 20} MiB are free, at least {FREE_BYTES_NEEDED >> 20} MiB are "
            "needed; name a place on another disk"
        )


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    import kgen

    packages = ("tensorflow", "keras", "tensorflow-datasets", "numpy")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"kgen": kgen.__version__, "python": platform.python_version(), **found}
