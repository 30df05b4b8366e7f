"""A run directory: what one training was made of and what came out.

config.json       the whole configuration (defaults filled in), the data spec and content hashes, the seed, versions,
                  and the processors that it was trained on, with what the libraries chose on them
log.txt           what was said, with the time
metrics.jsonl     a line per epoch
checkpoints/      last.weights.h5, best.weights.h5, state.json (their epoch, step and loss); step-N.npz, to go on from
priors/           NAME-CHECKPOINT.npz: what was fitted to the encodings of a checkpoint, to draw z from
samples/ plots/   PNG
eval/             figures of kgen-eval, a line each
tensorboard/      event files
report.html       all of it on one page
DONE or FAILED    how it ended; FAILED holds the reason, DONE when, and why if it was early
"""

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kgen.config import RunConfig
from kgen.environment import difference, environment, versions
from kgen.errors import UserError
from kgen.io import ASIDE, write_aside, write_json, write_text
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
        versions: of the libraries that it was created with.
        environments: those that it was trained in, in order, of several workers the chief's; see `kgen.environment`.
            Unknown of an older run: [].
    """

    def __init__(
        self,
        path: Path,
        config: RunConfig,
        spec: DataSpec,
        data_hashes: Mapping[str, str] | None = None,
        versions: Mapping[str, str] | None = None,
        environments: Sequence[Mapping[str, Any]] = (),
    ):
        self.path, self.config, self.spec, self.data_hashes = path, config, spec, dict(data_hashes or {})
        self.versions = versions if isinstance(versions, dict) else {}
        known = environments if isinstance(environments, (list, tuple)) else ()
        self.environments = [one for one in known if isinstance(one, dict)]

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
                if any(not name.startswith(ASIDE) for name in os.listdir(path)):  # left by a process that was killed
                    raise UserError(f"--run_dir {path} is not empty; name a new directory, or remove this one")
            else:
                path.mkdir(parents=True, exist_ok=True)
                path = _next_numbered(path, f"{config.model}-{spec.name}")
            run = cls(path, config, spec, data_hashes, versions(), [environment()])
            about = {"spec": spec.to_json(), "data_hashes": run.data_hashes}
            made_with = {"versions": run.versions, "environments": run.environments}
            write_json(path / "config.json", {**config.to_json(), **about, **made_with})
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
            data_hashes = {split: str(digest) for split, digest in values.pop("data_hashes", {}).items()}
            made_with = values.pop("versions", {}), values.pop("environments", [])
            return cls(path, RunConfig.from_json(values), spec, data_hashes, *made_with)
        except Exception as error:  # JSON of any other shape makes any kind
            reason = error if isinstance(error, UserError) else repr(error)
            raise UserError(f"{path / 'config.json'} cannot be read as a run's configuration: {reason}") from error

    # What is in it --------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.path.name

    def checkpoint(self, which: str = "best") -> Path:
        """The weights file of the "best" or the "last" checkpoint."""
        return self.path / "checkpoints" / f"{which}.weights.h5"

    def checkpoint_state(self) -> dict[str, dict[str, Any]]:
        """{"best": {"epoch", "step", "loss", ...}, "last": {...}} of the checkpoints that exist.

        Raises:
            UserError: the file is broken.
        """
        path = self.path / "checkpoints" / "state.json"
        if not path.is_file():
            return {}
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            if not all(isinstance(value["step"], int) for value in state.values()):
                raise ValueError("no whole number of steps")
            return state
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f"{path} cannot be read ({error!r}); remove it: it only tells which epochs the checkpoints are of"
            ) from error

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; without a last one that was cut off.

        Raises:
            UserError: a line is no row; the message names it.
        """
        path, rows = self.path / "metrics.jsonl", []
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] if path.is_file() else []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(row_of(line))
            except ValueError as error:
                raise UserError(
                    f"{path}, line {number} is no row of metrics ({error}); remove the line. Received: {line[:80]}"
                ) from error
        return rows

    def load_model(self, checkpoint: str = "best"):
        """The trained model with the weights of a checkpoint.

        Raises:
            UserError: there is no such checkpoint, or it is broken or of another model.
        """
        if checkpoint not in CHECKPOINTS:
            raise UserError(f"--checkpoint is one of {', '.join(CHECKPOINTS)}. Received: {checkpoint!r}")
        weights = self.checkpoint(checkpoint)
        if not weights.is_file():
            raise UserError(f"run {self.path} has no checkpoint {checkpoint!r} ({weights} is missing)")
        model = self.build_model()
        try:
            _load_all(model, weights)
        except Exception as error:  # h5py and Keras raise many kinds for a broken file
            other = next(name for name in CHECKPOINTS if name != checkpoint)
            raise UserError(
                f"{weights} cannot be read as weights of this {self.config.model}: {first_line(error)}. Take the other "
                f"checkpoint with --checkpoint {other}, copy the file anew, or train again"
            ) from error
        return model

    def build_model(self):
        """The untrained model of its configuration.

        Raises:
            UserError: there is no such model; config.json was changed.
        """
        from kgen.models import build_model

        with self.building():
            return build_model(self.config.model, self.spec, seed=self.config.seed, **self.config.model_args)

    @contextlib.contextmanager
    def building(self):
        """Raises UserError where a model of a changed config.json cannot be built."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # any kind, from the layers
            raise UserError(
                f"{self.path / 'config.json'} describes no {self.config.model} that can be built: {first_line(error)}"
            ) from error

    # Writing --------------------------------------------------------------------------------------------------------

    def log(self, message: str, *, show: bool = True):
        """Appends to log.txt with the time, and prints."""
        message = message.encode("utf-8", "backslashreplace").decode()  # file names need not be UTF-8
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

    def record_environment(self, *, from_start: bool = False) -> list[str]:
        """Records that the training goes on in this process.

        Args:
            from_start: what was trained before does not count.

        Returns:
            How the environment differs from the one before, in words; [] if it does not, or none is known.
        """
        here, before = environment(), [] if from_start else self.environments
        found = difference(before[-1], here) if before else []
        if found or not before:
            self.environments = [*before, here]
            values = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
            write_json(self.path / "config.json", values | {"environments": self.environments})
        return found

    def save_checkpoint(self, model, which: str, state: dict[str, Any]):
        """Writes the model's weights, its optimizers included, and what they are."""
        write_aside(self.checkpoint(which), model.save_weights)
        write_json(self.path / "checkpoints" / "state.json", {**self.checkpoint_state(), which: state})

    def finish(self, early: str = ""):
        """Marks the run as ended well; `early` says why before its last epoch, if it did."""
        write_text(self.path / "DONE", "\n".join(filter(None, (time.strftime("%Y-%m-%d %H:%M:%S"), early))) + "\n")

    def fail(self, reason: str):
        """Marks the run as failed; the reason is the file's text."""
        write_text(self.path / "FAILED", reason + "\n")


def row_of(line: str) -> dict[str, Any]:
    """A line of metrics.jsonl: numbers by name, "epoch" among them; raises ValueError."""
    try:
        row = json.loads(line)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(row, dict) or not isinstance(row.get("epoch"), int) or not 0 <= row["epoch"] < 2**63:
        raise ValueError("no object with a whole number 'epoch'")
    if wrong := [key for key, value in row.items() if not isinstance(value, (int, float, type(None)))]:
        raise ValueError(f"{wrong[0]!r} is no number")
    return row


def _load_all(model, weights: Path):
    """Keras keeps initial weights where a file lacks a group: they are made NaN before, and none may be left."""
    floats = [w for w in model.weights if "float" in str(w.dtype)]
    for weight in floats:
        weight.assign(np.full(weight.shape, np.nan, np.float32))
    model.load_weights(weights)
    if wrong := [w.path for w in floats if not np.isfinite(np.asarray(w, np.float32)).all()]:
        raise ValueError(f"it lacks {len(wrong)} weights, or holds values that are not finite: {', '.join(wrong[:3])}")


def first_line(error: BaseException) -> str:
    """The first words of an error, or its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


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
