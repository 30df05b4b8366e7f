"""A run directory: the configuration of one training, and everything that it wrote.

config.json       the complete configuration, the format of the directory, the data spec with content hashes and the
                  places of the files, the versions of the libraries, and the environments (processors) that it was
                  trained in
log.txt           timestamped console log
metrics.jsonl     one line per epoch
costs.json        seconds of steps, evaluation, pictures and so on; see `kgen.train.costs`
checkpoints/      best.npz and step-N.npz, the newest of which is "last"; see `kgen.checkpoints`
priors/           NAME-CHECKPOINT.npz: priors fitted to the encodings of a checkpoint
samples/ plots/   PNG
eval/             results of kgen-eval, one per line
tensorboard/ wandb/ mlflow/
                  of the loggers; see `kgen.train.loggers`
report.html       all of it on one page
DONE or FAILED    how it ended; FAILED holds the reason, DONE the time, and why if it ended early

A run at an address (gs://bucket/runs/a) has such a directory in the cache, and its states there: see `kgen.mirror`.
"""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import kgen
from kgen import checkpoints, progress
from kgen.checkpoints import StepCheckpoints
from kgen.config import RunConfig, override
from kgen.data.training_data import Content, Places, TrainingData, places_of
from kgen.environment import differences, environment, versions
from kgen.errors import UserError
from kgen.file_systems import is_address
from kgen.io import ASIDE, check_writable, try_to_write, write_json, write_text
from kgen.mirror import Mirror
from kgen.spec import DataSpec

FREE_BYTES_NEEDED = 50 * 2**20
CHECKPOINTS = ("best", "last")
INTERRUPTED = "interrupted"
"""Begins the text of FAILED of a training that its user ended."""
FORMAT = 2
"""Version of the layout of run directories; a config.json without the number is of format 1."""


OF_A_RUN = (
    "format", "spec", "data_hashes", "data_names", "data_places", "versions", "environments", "initial_weights",
)  # fmt: skip
"""What config.json holds beside the fields of RunConfig."""


def trained_with(model_args: Mapping[str, Any], initial_weights: Mapping[str, Any] | None = None) -> list[str]:
    """The extractors whose features a training with these arguments looks at, or what it started from has seen."""
    own = model_args.get("feature_discriminator")
    return list(dict.fromkeys([*([own] if own else []), *(initial_weights or {}).get("trained_with", [])]))


class Run:
    """An existing run directory. `Run.create` makes one, `Run.open` finds one.

    Attributes:
        path: the directory.
        config: the RunConfig that was trained, complete.
        spec: of its data.
        data_hashes: split -> content hash of what it was trained on.
        versions: of kgen and the libraries that it was created with.
        environments: those that it was trained in, in order; with several workers the chief's. See `kgen.environment`.
        data_names: split -> digest of the names of the images.
        data_places: where the files of the data were; None of a run that did not record it. See `TrainingData`.
        initial_weights: {"model", "weights_hash"} of what it started from, "attribution", whom to name for it, and
            "trained_with" of it, where there are any; None: from random weights.
        mirror: the address that it is uploaded to, or was copied from; None of a run without one.
    """

    def __init__(
        self,
        path: Path,
        config: RunConfig,
        spec: DataSpec,
        data_hashes: Mapping[str, str] | None = None,
        versions: Mapping[str, str] | None = None,
        environments: Sequence[Mapping[str, Any]] = (),
        data_names: Mapping[str, str] | None = None,
        data_places: Places | None = None,
        initial_weights: Mapping[str, Any] | None = None,
    ):
        self.initial_weights = initial_weights
        self.mirror: Mirror | None = None
        self.data_names, self.data_places = dict(data_names or {}), data_places
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
        data_names: Mapping[str, str] | None = None,
        initial_weights: Mapping[str, Any] | None = None,
        run_dir: str | None = None,
        runs_root: str = "runs",
    ) -> "Run":
        """Makes the directory and writes `config.json`.

        Args:
            config: complete.
            spec: of the data.
            data_hashes: split -> content hash of its images and labels.
            data_names: split -> digest of the names of its images.
            initial_weights: see `Run`.
            run_dir: the directory, or an address; None takes the next number under `runs_root`.
            runs_root: where numbered runs live.

        Raises:
            UserError: the directory holds something already, may not be written, or its disk is full.
        """
        path, mirror = check_new(run_dir, runs_root), Mirror(run_dir) if is_address(run_dir) else None
        if mirror:
            mirror.begin_new()
        with _creating(path, run_dir):
            path.mkdir(parents=True, exist_ok=True)
            if not run_dir:
                path = next_numbered(path, f"{config.model}-{spec.name}")
            places = places_of(config.data, path)
            made_with, known = (versions(), [environment()]), (data_names, places, initial_weights)
            run = cls(path, config, spec, data_hashes, *made_with, *known)
            about = {"spec": spec.to_json(), "data_hashes": run.data_hashes, "data_names": run.data_names}
            about |= {"data_places": run.data_places}
            about |= {"initial_weights": dict(initial_weights)} if initial_weights else {}
            about |= {"versions": run.versions, "environments": run.environments}
            write_json(path / "config.json", {"format": FORMAT, **config.to_json(), **about})
        return run._mirrored(mirror)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Opens a run directory, or the copy of a run at an address.

        Raises:
            UserError: the path is not a run directory, or one of another format.
        """
        if is_address(path):
            mirror = Mirror(path)
            return cls.open(mirror.copy())._mirrored(mirror)
        path = Path(path)
        if not (path / "config.json").is_file():
            what = "is no run directory (it has no config.json)" if path.exists() else "does not exist"
            raise UserError(f"{path} {what}; kgen-train writes one, by default under runs/")
        try:
            values = json.loads((path / "config.json").read_text(encoding="utf-8"))
            if (found := values.pop("format", 1)) != FORMAT:
                raise UserError(
                    f"it is of format {found}, and this kgen reads run directories of format {FORMAT}; train again, or "
                    f"use the kgen that wrote it{_other_version(values)}"
                )
            spec = DataSpec.from_json(values.pop("spec"))
            data_hashes = {split: str(digest) for split, digest in values.pop("data_hashes", {}).items()}
            names, places = values.pop("data_names", {}), values.pop("data_places", None)
            made_with = values.pop("versions", {}), values.pop("environments", [])
            more = names, places, values.pop("initial_weights", None)
            return cls(path, RunConfig.from_json(values), spec, data_hashes, *made_with, *more)
        except Exception as error:  # JSON of any other shape makes any kind
            reason = error if isinstance(error, UserError) else repr(error)
            raise UserError(f"{path / 'config.json'} cannot be read as a run's configuration: {reason}") from error

    @classmethod
    def open_to_train(cls, path: str | Path) -> "Run":
        """Opens a run that this process is going to change.

        Raises:
            UserError: as of `open`; the run cannot be written.
        """
        if is_address(path):
            mirror = Mirror(path)
            return cls.open(mirror.begin())._mirrored(mirror)
        run = cls.open(path)
        check_writable(run.path, f"run {run.path}", "copy it to a place that can")
        return run

    def reopened(self) -> "Run":
        """The same run, with what its directory says now."""
        return Run.open(self.path)._mirrored(self.mirror)

    def _mirrored(self, mirror: Mirror | None) -> "Run":
        self.mirror = mirror
        if mirror:
            mirror.log = self.log
        return self

    # What is in it --------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def place(self) -> str:
        """How commands name it: its address, or its directory."""
        return self.mirror.address if self.mirror else str(self.path)

    @property
    def trained_with(self) -> list[str]:
        """The extractors whose features it was trained with, or what it started from; they do not judge it."""
        return trained_with(self.config.model_args, self.initial_weights)

    @property
    def training_data(self) -> TrainingData:
        """The images that it was trained on, wherever they are now."""
        content = Content(self.spec.examples, self.data_hashes, self.data_names)
        owner, config = f"run {self.path}", self.config
        return TrainingData(owner, config.data, config.seed, content, self.data_places, self.path)

    def config_with(self, changes: Mapping[str, Any]) -> RunConfig:
        """Its configuration with some settings changed, and with its data where they are now.

        Args:
            changes: dotted settings; "data.dataset" is the place that the data were moved to.

        Raises:
            UserError: the data are not there any more, or a setting is unknown.
        """
        trained_on = self.training_data
        config = override(dataclasses.replace(self.config, data=trained_on.located), changes)
        if trained_on.missing and config.data == trained_on.located:
            raise UserError(trained_on.missing)
        return config

    def move_data(self, dataset: str):
        """Looks for its data set in a place that the user names; `config.json` stays as it is."""
        self.config = dataclasses.replace(self.config, data=self.training_data.moved(dataset))
        self.data_places = places_of(self.config.data, self.path)

    @property
    def step_checkpoints(self) -> StepCheckpoints:
        """The checkpoints to resume from."""
        return StepCheckpoints(self.path / "checkpoints", self.config.train.keep)

    def checkpoint(self, which: str = "best") -> Path:
        """The file of the "best" checkpoint, or of the "last": the newest to resume from."""
        if which == "best":
            return self.path / "checkpoints" / "best.npz"
        found = self.step_checkpoints
        return found.path(max(found.steps(), default=0))

    def checkpoint_state(self, names: Sequence[str] = CHECKPOINTS) -> dict[str, dict[str, Any]]:
        """{"best": {"epoch", "step", and losses}, "last": {...}} of the checkpoints that exist.

        Args:
            names: of those to read.

        Raises:
            UserError: a file is damaged.
        """
        found = {}
        for which in names:
            path = self.checkpoint(which)
            if not path.is_file():
                continue
            try:
                state = checkpoints.read_state(path)
                found[which] = {"epoch": state["epoch"], "step": state["step"], **state["metrics"]}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise UserError(f"checkpoint {path} cannot be read: {first_line(error)}") from error
        return found

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

    def check_checkpoint(self, which: str = "best") -> Path:
        """The file of a checkpoint; raises UserError when there is none."""
        if which not in CHECKPOINTS:
            raise UserError(f"--checkpoint is one of {', '.join(CHECKPOINTS)}. Received: {which!r}")
        path = self.checkpoint(which)
        if not path.is_file():
            raise UserError(f"run {self.path} has no checkpoint {which!r} ({path} is missing)")
        return path

    def load_model(self, checkpoint: str = "best"):
        """The trained model with the weights of a checkpoint.

        Raises:
            UserError: there is no such checkpoint, or it is broken or of another model.
        """
        path = self.check_checkpoint(checkpoint)
        model = self.build_model()
        try:
            weights = checkpoints.read(path, weights_only=True).weights()
            if not all(np.isfinite(values).all() for values in weights):
                raise ValueError("it holds values that are not finite")
            model.set_weights(weights)
        except (OSError, ValueError, TypeError) as error:
            other = next(name for name in CHECKPOINTS if name != checkpoint)
            raise UserError(
                f"{path} cannot be read as weights of this {self.config.model}: {first_line(error)}. Use the other "
                f"checkpoint with --checkpoint {other}, restore the file from a copy, or train again"
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
        """Raises UserError where the model of an edited config.json cannot be built."""
        try:
            yield
        except (UserError, ModuleNotFoundError):
            raise
        except Exception as error:  # any kind, from the layers
            raise UserError(
                f"{self.path / 'config.json'} describes no {self.config.model} that can be built: {first_line(error)}"
            ) from error

    # Writing --------------------------------------------------------------------------------------------------------

    def log(self, message: str, *, show: bool = True):
        """Appends a timestamped line to log.txt, and prints it."""
        message = message.encode("utf-8", "backslashreplace").decode()  # file names need not be UTF-8
        with open(self.path / "log.txt", "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")
        if show:
            progress.show(message)

    def log_metrics(self, row: dict[str, Any]):
        """Appends one line to metrics.jsonl."""
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def keep_metrics(self, epoch: int):
        """Removes the rows after an epoch, from which the training is resumed."""
        rows = [row for row in self.metrics() if row["epoch"] <= epoch]
        write_text(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def save_config(self, config: RunConfig):
        """Rewrites `config.json` with settings that may change when a training resumes, and the place of its data."""
        self.config, self.data_places = config, places_of(config.data, self.path)
        values = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        write_json(self.path / "config.json", values | config.to_json() | {"data_places": self.data_places})

    def record_environment(self, *, from_start: bool = False) -> list[str]:
        """Records the environment of this process, which resumes the training.

        Args:
            from_start: the training starts again from its beginning.

        Returns:
            How the environment differs from the one before, in words; [] if it does not, or none is known.
        """
        here, before = environment(), [] if from_start else self.environments
        found = differences(before[-1], here) if before else []
        if found or not before:
            self.environments = [*before, here]
            values = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
            write_json(self.path / "config.json", values | {"environments": self.environments})
        return found

    def finish(self, early: str = ""):
        """Marks the run as done; `early` is the reason for an end before its last epoch, or ""."""
        write_text(self.path / "DONE", "\n".join(filter(None, (time.strftime("%Y-%m-%d %H:%M:%S"), early))) + "\n")

    def fail(self, reason: str):
        """Marks the run as failed; the reason is the file's text."""
        write_text(self.path / "FAILED", reason + "\n")


def row_of(line: str) -> dict[str, Any]:
    """Parses a line of metrics.jsonl: numbers by name, "epoch" among them; raises ValueError."""
    try:
        row = json.loads(line)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(row, dict) or not isinstance(row.get("epoch"), int) or not 0 <= row["epoch"] < 2**63:
        raise ValueError("no object with a whole number 'epoch'")
    if wrong := [key for key, value in row.items() if not isinstance(value, (int, float, type(None)))]:
        raise ValueError(f"{wrong[0]!r} is no number")
    return row


def _other_version(values: Mapping[str, Any]) -> str:
    """ " (version 0.0.9)" of the values of a config.json, where another version than this one wrote it."""
    made_with = values.get("versions")
    version = made_with.get("kgen") if isinstance(made_with, dict) else None
    return "" if version in (None, kgen.__version__) else f" (version {version})"


def first_line(error: BaseException) -> str:
    """The first words of an error, or its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def check_new(run_dir: str | None, runs_root: str) -> Path:
    """The folder that a new run is created as, or below. Makes nothing.

    Raises:
        UserError: the directory holds something already, may not be written, or its disk is full.
    """
    if is_address(run_dir):
        mirror = Mirror(run_dir)
        mirror.check_new()
        check_space(mirror.folder, "--run_dir")
        return mirror.folder
    if is_address(runs_root) and not run_dir:
        raise UserError(f"--runs_root takes a folder; name a run at an address: --run_dir {runs_root.rstrip('/')}/NAME")
    path = Path(run_dir or runs_root)
    check_space(path, _setting(run_dir))
    with _creating(path, run_dir):
        held = os.listdir(path) if path.exists() else ()
        if run_dir and any(not name.startswith(ASIDE) for name in held):  # left by a process that was killed
            raise UserError(f"--run_dir {path} is not empty; name a new directory, or remove this one")
        try_to_write(path)
    return path


@contextlib.contextmanager
def _creating(path: Path, run_dir: str | None):
    """Raises UserError where a run cannot be created."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{_setting(run_dir)} {path}: {reason}; name a place that can be written") from error


def _setting(run_dir: str | None) -> str:
    return "--run_dir" if run_dir else "--runs_root"


def is_run(path: str | Path | None) -> bool:
    """Whether there is a run in a directory, or at an address.

    Raises:
        UserError: no run can be at such an address, or it cannot be read.
    """
    return Mirror(path).exists() if is_address(path) else bool(path) and (Path(path) / "config.json").is_file()


def next_numbered(root: Path, name: str) -> Path:
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
