"""Runs a sweep: trains the trials of each rung one after another, as runs of one folder.

Trials train in this process, which starts TensorFlow once. A trial that waits for the others of its rung is a run with
a checkpoint after that epoch; resumed, it is bit for bit the run that would have trained in one go.
"""

import contextlib
import gc
import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from kgen import progress
from kgen.errors import TrainingFailed, UserError
from kgen.io import write_json
from kgen.models.presets import PRESETS
from kgen.progress import clock
from kgen.run import Run, first_line, next_numbered
from kgen.sweep import study as studies
from kgen.sweep.plan import Plan, lower_is_better
from kgen.tables import counted, format_number

FILE = "sweep.json"
ROOT = "sweeps"
WORDS = {TrialState.COMPLETE: "trained", TrialState.PRUNED: "paused", TrialState.FAIL: "failed"}
"""How a trial ended."""


def folder_of(plan: Plan, given: str | None) -> Path:
    """The folder of a sweep: the one that was begun by the same plan, or a new one, which is made.

    Args:
        plan: of the sweep.
        given: by the user; None looks in ROOT.

    Raises:
        UserError: the folder holds another sweep, or something else.
    """
    asked = plan.to_json()
    if given is None:
        for file in sorted(Path(ROOT).glob(f"*/{FILE}")):
            if _read(file) == asked:
                return file.parent
        Path(ROOT).mkdir(exist_ok=True)
        folder = next_numbered(Path(ROOT), f"{plan.base.model}-{Path(plan.base.data.dataset).stem}")
    else:
        folder = Path(given)
        if (folder / FILE).is_file():
            found = _read(folder / FILE) or {}
            differ = [key for key in asked if found.get(key) != asked[key]]
            if differ:
                raise UserError(
                    f"--sweep_dir {folder} holds a sweep that was begun with other settings ({', '.join(differ)}); "
                    f"name a new folder, or give them as they were: {folder / FILE}"
                )
            return folder
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"--sweep_dir {folder} is not empty; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, asked)
    return folder


def _read(file: Path) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(file.read_text(encoding="utf-8"))


class Sweep:
    """A sweep in its folder.

    Args:
        plan: what it does.
        folder: of its trials; None only draws them.
    """

    def __init__(self, plan: Plan, folder: Path | None):
        self.plan, self.folder, self.rungs = plan, folder, plan.rungs()
        self.study = studies.open_study(plan, folder)
        self._data = None, None

    def trials(self) -> list[FrozenTrial]:
        """All trials, by their numbers."""
        return self.study.get_trials(deepcopy=False)

    def settings(self, trial: FrozenTrial) -> dict[str, Any]:
        """What a trial varies: dotted setting -> value."""
        return self.plan.settings_of(trial.params)

    def path(self, trial: FrozenTrial) -> Path:
        """The run directory of a trial."""
        return self.folder / f"trial-{trial.number:03d}"

    def ranked(self) -> list[FrozenTrial]:
        """All trials: those that trained longest first, among them the best, at the end those that failed."""
        sign = 1 if lower_is_better(self.plan.base) else -1

        def place(trial):
            epochs = trial.last_step or 0
            value = trial.intermediate_values.get(epochs, math.inf * sign)
            return trial.state == TrialState.FAIL, -epochs, sign * value, trial.number

        return sorted(self.trials(), key=place)

    @property
    def winner(self) -> FrozenTrial | None:
        """The best trial of those that trained to the end; None before there is one."""
        first = self.ranked()[0]
        return first if first.state == TrialState.COMPLETE else None

    @property
    def running(self) -> list[FrozenTrial]:
        """Those that are neither done, nor pruned, nor failed."""
        return self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING])

    # Training -------------------------------------------------------------------------------------------------------

    def run(self, *, on_rung=lambda: None):
        """Trains what is left to train.

        Args:
            on_rung: called after each rung.

        Raises:
            UserError: a model does not take an argument, or the data have nothing that trials can be compared by.
            KeyboardInterrupt: interrupted; the same sweep goes on later.
        """
        from kgen.models import resolve_model_args

        for trial in self.running:
            config = self.plan.config_of(trial.params)
            resolve_model_args(config.model, config.model_args)
        with self._locked():
            started, trained, before = time.monotonic(), 0, 0
            for place, rung in enumerate(self.rungs):
                last = rung is self.rungs[-1]
                waiting = [t for t in self.running if rung.epochs not in t.intermediate_values]
                for done, trial in enumerate(waiting, start=1):
                    words = self._advance(trial, rung.epochs)
                    trained += rung.epochs - before
                    left = self._epochs_left(place, len(waiting) - done)
                    seconds = left * (time.monotonic() - started) / trained
                    estimate = f"; about {clock(seconds)} left" if left else ""
                    progress.show(
                        f"trial {trial.number}, to epoch {rung.epochs} of {self.rungs[-1].epochs}: {words}{estimate}"
                    )
                if self.running:
                    studies.close_rung(self.study, rung.epochs, last=last)
                if waiting and not last and self.running:
                    after = self.rungs[place + 1].epochs
                    numbers = ", ".join(str(t.number) for t in self.running)
                    best = f"trials {numbers} train" if len(self.running) > 1 else f"trial {numbers} trains"
                    progress.show(f"rung {place + 1} of {len(self.rungs)}: {best} on, to epoch {after}")
                before = rung.epochs
                on_rung()

    def _epochs_left(self, place: int, waiting: int) -> int:
        """Epochs still to train after a trial of a rung, as far as no other trial fails."""
        ends = [0, *(rung.epochs for rung in self.rungs)]
        later = sum(rung.trials * (rung.epochs - ends[i]) for i, rung in enumerate(self.rungs) if i > place)
        return waiting * (ends[place + 1] - ends[place]) + later

    def _advance(self, trial: FrozenTrial, epochs: int) -> str:
        """Trains a trial up to an epoch, and records what it reached; returns that in words."""
        from kgen.train.trainer import train

        config = self.plan.config_of(trial.params)
        try:
            with progress.silenced():
                dataset = self._dataset(config)
                run = train(
                    config, run_dir=str(self.path(trial)), dataset=dataset, monitor=_monitor(config), pause_after=epochs
                )
            value = self._value(run, epochs)
        except Exception as error:
            if isinstance(error, NothingToCompare):
                raise
            known = isinstance(error, (UserError, TrainingFailed))
            reason = first_line(error) if known else f"{type(error).__name__}: {first_line(error)}"
            studies.fail(self.study, trial, reason)
            return f"failed: {reason}"
        finally:
            _forget()
        studies.report(self.study, trial, epochs, value)
        return f"{self.metric} {format_number(value)}"

    @property
    def metric(self) -> str:
        """What trials are compared by, in words."""
        best_by = self.plan.base.train.best_by
        return "validation loss" if best_by == "loss" else best_by.replace("_", " ")

    def _value(self, run: Run, epochs: int) -> float:
        """The best value up to an epoch: that of the checkpoint `best` at that time."""
        values = [value for row in self.rows(run) if row[0] <= epochs for value in row[1:]]
        if not values:
            raise UserError(f"{self.metric} has no value by epoch {epochs}")
        return min(values) if lower_is_better(self.plan.base) else max(values)

    def rows(self, run: Run) -> list[tuple[int, float]]:
        """(epoch, value) of what trials are compared by."""
        keys = [f"{split}_{self.plan.base.train.best_by}" for split in ("validation", "train")]
        keys = keys[:1] if self.plan.base.train.best_by == "loss" else keys
        found = [(row["epoch"], row.get(key)) for row in run.metrics() for key in keys]
        return [(epoch, value) for epoch, value in found if value is not None and math.isfinite(value)]

    def _dataset(self, config):
        """The data of a trial; those of the trial before, where they are the same."""
        from kgen import data

        asked = config.data, config.seed
        if self._data[0] != asked:
            self._data = None, None
            self._data = asked, data.load(config.data, seed=config.seed)
        dataset = self._data[1]
        if config.train.best_by == "loss" and not dataset.spec.examples.get("validation"):
            raise NothingToCompare(
                f"trials are compared by the validation loss, and {config.data.dataset!r} has no validation images "
                f"(data.validation_fraction is {config.data.validation_fraction:g}); set some aside with "
                "--validation_fraction 0.1"
            )
        return dataset

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Raises UserError where another process runs the sweep; not on systems without fcntl."""
        try:
            import fcntl
        except ModuleNotFoundError:
            yield
            return
        with open(self.folder / FILE) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"another process runs the sweep {self.folder}") from None
            yield


class NothingToCompare(UserError):
    """The data have no images to compare trials by: no trial can do better."""


def _monitor(config):
    from kgen.evaluate import Monitor

    return Monitor if config.train.measures_samples or PRESETS[config.model].adversarial else None


def _forget():
    """Frees the model of a trial."""
    import keras

    keras.backend.clear_session()
    gc.collect()


# What came out --------------------------------------------------------------------------------------------------------


def short_names(settings: Mapping[str, Any]) -> dict[str, str]:
    """Dotted setting -> its last part, where that is unique."""
    last = [setting.rpartition(".")[2] for setting in settings]
    return {s: name if last.count(name) == 1 else s for s, name in zip(settings, last, strict=True)}


def shown(value: Any) -> str:
    """A value for a table: numbers with four digits, words as they are, anything else as JSON."""
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def table(sweep: Sweep) -> tuple[list[str], list[list[Any]]]:
    """Headers, and a row per trial, the best first: number, what it reached, settings, epochs, how it ended.

    Before the sweep has begun there are numbers and settings alone.
    """
    names = short_names(sweep.plan.space).values()
    rows = [[str(t.number), *(shown(value) for value in sweep.settings(t).values())] for t in sweep.ranked()]
    if sweep.folder is None:
        return ["trial", *names], rows
    for row, trial in zip(rows, sweep.ranked(), strict=True):
        row.insert(1, trial.intermediate_values.get(trial.last_step))
        row += [str(trial.last_step or 0), WORDS.get(trial.state, "not yet")]
    return ["trial", sweep.metric, *names, "epochs", "state"], rows


def summary(sweep: Sweep) -> str:
    """How many trials there were, and what halving saved, in a sentence."""
    rungs, plan = sweep.rungs, sweep.plan
    steps = ", ".join(f"{rung.trials} to epoch {rung.epochs}" for rung in rungs)
    whole = plan.trials * rungs[-1].epochs
    share = f", {plan.epochs() / whole:.0%} of those without halving" if len(rungs) > 1 else ""
    return f"{counted(plan.trials, 'trial')}: {steps}; {counted(plan.epochs(), 'epoch')} in all{share}"
