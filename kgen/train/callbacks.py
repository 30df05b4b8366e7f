"""What a training does beside its steps, as Keras callbacks of one duty each. The trainer runs them in this order.

At the end of an epoch `EpochRow` begins a row of metrics.jsonl, `Evaluate`, `MeasureSamples` and `MeasureHealth` add to
it, `BestCheckpoint` and `EarlyStopping` decide by it, `MetricsLog` writes it, and those after them read it. They share
the list of the rows of all epochs. In the epoch in which a loss was not finite there is no row.
"""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kgen import checkpoints, images, progress
from kgen.config import TrainConfig
from kgen.models.base import share, unpack
from kgen.models.train_function import evaluation_function
from kgen.progress import Bar, clock
from kgen.run import Run, first_line
from kgen.sampling import ModelSampler
from kgen.tables import counted
from kgen.train.checkpointing import ResumableCallback, losses_of, model_variables
from kgen.train.costs import Costs
from kgen.train.diagnostics import COPIED, PATIENCE, Diagnosis, HealthMetrics, diagnose, not_finite, settled_after
from kgen.train.loggers.base import Logger
from kgen.train.plots import draw_curves, draw_norms, draw_quality, path_sheet, sample_sheet, sheet_origin

Row = dict[str, Any]
"""Of metrics.jsonl: name -> value, "epoch" and "step" among them."""


def has_failed(model) -> bool:
    """Whether a loss was not finite."""
    return int(model.failed_step.numpy()) >= 0


MAX_MEASUREMENTS, MEASUREMENT_STEPS = 200, 100
"""Of the health of an adversarial model, in one training, and the fewest steps between two of them: a measurement takes
as long as three steps, and an epoch of a hundred pictures has two."""


class EpochCallback(keras.callbacks.Callback):
    """Calls `on_row` with the row of each epoch whose losses were finite.

    Args:
        run: written to.
        rows: of all epochs, the last one of the epoch that has ended.
    """

    def __init__(self, run: Run, rows: list[Row]):
        super().__init__()
        self.run, self.rows = run, rows

    def on_epoch_end(self, epoch, logs=None):
        if self.rows and self.rows[-1]["epoch"] == epoch + 1:
            self.on_row(self.rows[-1])

    def on_row(self, row: Row):
        """Adds to the row, or uses it."""

    def is_due(self, epoch: int, every: int) -> bool:
        """Whether what is done every few epochs, and after the last, is due after this one."""
        return epoch % every == 0 or epoch == self.params["epochs"]


# During an epoch ------------------------------------------------------------------------------------------------------


class Progress(keras.callbacks.Callback):
    """Shows one bar over the whole training: the epoch, the time that is left, and the losses so far."""

    def __init__(self, epochs: int, steps_per_epoch: int, first: int = 0, *, shown: bool = True):
        super().__init__()
        self.epochs, self.steps_per_epoch, self.first, self.shown = epochs, steps_per_epoch, first, shown
        self.bar = None

    def on_train_begin(self, logs=None):
        self.bar = Bar(self.epochs * self.steps_per_epoch, "training", done=self.first, shown=self.shown)
        self.model.steps_taken = self.bar.advance  # within a call of many steps

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.bar.name = f"epoch {epoch + 1}/{self.epochs}"

    def on_train_batch_end(self, batch, logs=None):
        steps = self.epoch * self.steps_per_epoch + min(batch + 1, self.steps_per_epoch)
        losses = [key for key in self.model.trackers if key.endswith("loss")] if self.bar.drawn else ()
        notes = [f"{header(key)} {short(logs[key])}" for key in losses]
        self.bar.advance(max(0, steps - self.bar.done), notes)

    def close(self):
        """Removes the bar, also when a training was interrupted."""
        if self.bar is not None:
            self.bar.close()


class StopOnFailure(keras.callbacks.Callback):
    """Stops as soon as a loss is not finite; `model.failed_step` is then the step."""

    def on_train_batch_end(self, batch, logs=None):
        if not all(math.isfinite(value) for value in (logs or {}).values()):
            self.model.stop_training = True


class Profile(keras.callbacks.Callback):
    """Traces some training steps for TensorBoard: writes tensorboard/plugins/profile/ of a run."""

    FIRST_CALL, CALLS = 2, 10
    """The first calls compile; this many after them are traced."""

    def __init__(self, run: Run):
        super().__init__()
        self.run, self.calls, self.tracing = run, 0, False

    def on_train_batch_begin(self, batch, logs=None):
        if self.calls == self.FIRST_CALL:
            tf.profiler.experimental.start(str(self.run.path / "tensorboard"))
            self.tracing = True
        self.calls += 1

    def on_train_batch_end(self, batch, logs=None):
        if self.tracing and self.calls >= self.FIRST_CALL + self.CALLS:
            self._stop()

    def on_train_end(self, logs=None):
        if self.tracing:
            self._stop()

    def _stop(self):
        tf.profiler.experimental.stop()
        self.tracing = False
        self.run.log(
            f"profile of {self.calls - self.FIRST_CALL} calls in {self.run.path / 'tensorboard'}; to see it: "
            f"pip install tensorboard-plugin-profile && tensorboard --logdir {self.run.path}"
        )


# The row of an epoch --------------------------------------------------------------------------------------------------


class SwapAverages(keras.callbacks.Callback):
    """Swaps weights and their averages at the end of each epoch: one before the callbacks that evaluate, one after.

    Args:
        at_train_end: whether to swap also when training ends; the first one does, so that a trained model is the
            average.
    """

    def __init__(self, at_train_end: bool):
        super().__init__()
        self.at_train_end = at_train_end

    def on_epoch_end(self, epoch, logs=None):
        self.model.averages.swap()

    def on_train_end(self, logs=None):
        if self.at_train_end:
            self.model.averages.swap()


class EpochRow(EpochCallback, ResumableCallback):
    """Begins the row of an epoch: its number, the time that training took, its speed, and the training losses.

    Args:
        run, rows: see `EpochCallback`.
        batch_size: for the speed.
        costs: of the training; resumed with the clock.
    """

    def __init__(self, run: Run, rows: list[Row], batch_size: int, costs: Costs):
        super().__init__(run, rows)
        self.batch_size, self.costs = batch_size, costs
        self.paused, self.before = 0.0, 0.0

    def get_state(self) -> dict[str, Any]:
        return {"elapsed_seconds": self.elapsed_seconds, "costs": self.costs.get_state()}

    def set_state(self, state: Mapping[str, Any]):
        self.before = state["elapsed_seconds"]
        self.costs.set_state(state.get("costs", {}))  # checkpoints of older versions have none

    @property
    def elapsed_seconds(self) -> float:
        """Of training, with those before an interruption, without those in which the clock was stopped."""
        return self.before + time.monotonic() - self.started - self.paused

    @contextlib.contextmanager
    def clock_stopped(self):
        """What is done meanwhile does not count as training."""
        started = time.monotonic()
        yield
        self.paused += time.monotonic() - started

    def on_train_begin(self, logs=None):
        self.started = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_started, self.first_step = time.monotonic(), int(self.model.step.numpy())

    def on_epoch_end(self, epoch, logs=None):
        if has_failed(self.model):
            return
        seconds, step = time.monotonic() - self.epoch_started, int(self.model.step.numpy())
        images = (step - self.first_step) * self.batch_size  # an epoch that was resumed has some steps behind it
        self.rows.append({
            "epoch": epoch + 1,
            "step": step,
            "elapsed_seconds": round(self.elapsed_seconds, 3),
            "images_per_second": round(images / seconds, 1),
            **with_prefix("train", self.model, logs),
        })  # fmt: skip


class Evaluate(EpochCallback):
    """Adds the losses on the images of another split.

    Args:
        run, rows: see `EpochCallback`.
        split: its name.
        batches: of the split again and again, a tf.data.Dataset or what a strategy made of one.
        steps: batches in one pass.
        every: epochs between two evaluations; the epoch after which training stops early is evaluated too.
    """

    def __init__(self, run: Run, rows: list[Row], split: str, batches, steps: int, every: int):
        super().__init__(run, rows)
        self.split, self.batches, self.steps, self.every = split, batches, steps, every

    def on_train_begin(self, logs=None):
        self.evaluate = evaluation_function(self.model, self.batches, self.steps)

    def on_row(self, row: Row):
        if self.is_due(row["epoch"], self.every) or self.model.stop_training:
            row |= with_prefix(self.split, self.model, self.evaluate())


def with_prefix(split: str, model, logs: Mapping[str, float]) -> dict[str, float]:
    """{"loss": 1.0} -> {"train_loss": 1.0}, in the order of the model's metrics."""
    return {f"{split}_{key}": float(logs[key]) for key in model.trackers if key in logs}


class MeasureSamples(EpochCallback):
    """Adds metrics of generated samples, e.g. {"validation_fid": 12.3}.

    Args:
        run, rows: see `EpochCallback`.
        monitor: a `kgen.evaluate.Monitor`.
        clock: is stopped meanwhile.
        every: epochs between two measurements.
    """

    def __init__(self, run: Run, rows: list[Row], monitor, clock: EpochRow, every: int):
        super().__init__(run, rows)
        self.monitor, self.clock, self.every = monitor, clock, every

    def on_train_begin(self, logs=None):
        self.sampler = ModelSampler(self.model)

    def on_row(self, row: Row):
        if self.is_due(row["epoch"], self.every):
            with self.clock.clock_stopped():
                values = self.monitor.values(self.sampler)
            named = {f"{self.monitor.split}_{key}": value for key, value in values.items()}
            row |= {key: value for key, value in named.items() if key not in row}  # e.g. the kl of the training itself


class MeasureHealth(EpochCallback):
    """Adds the health metrics of an adversarial model: after each epoch, of short or many epochs after some."""

    def __init__(self, run: Run, rows: list[Row], health: HealthMetrics):
        super().__init__(run, rows)
        train, steps = run.config.train, run.spec.examples["train"] // run.config.train.batch_size
        self.health = health
        self.every = max(math.ceil(train.epochs / MAX_MEASUREMENTS), math.ceil(MEASUREMENT_STEPS / steps))

    def on_row(self, row: Row):
        if self.is_due(row["epoch"], self.every):
            row |= {f"health_{name}": value for name, value in self.health.measure().items()}


# What is made of it ---------------------------------------------------------------------------------------------------


class MetricsLog(EpochCallback):
    """Appends the row to metrics.jsonl."""

    def on_row(self, row: Row):
        self.run.log_metrics(row)


class LogEpochs(EpochCallback):
    """Logs the first row, the last, and about EPOCH_LINES in between, as a table.

    Args:
        run, rows: see `EpochCallback`.
        columns: name of a value in a row -> its header, the most important first; those that do not fit are left out.
        unit: of the losses; "" for none.
    """

    def __init__(self, run: Run, rows: list[Row], columns: Mapping[str, str], unit: str):
        super().__init__(run, rows)
        self.columns, self.unit = columns, f"[{unit}]" if unit else ""

    def on_train_begin(self, logs=None):
        train = self.run.config.train
        every = math.ceil(train.epochs / EPOCH_LINES)
        validate = min(train.validate_every, every)
        self.every = math.ceil(every / validate) * validate
        self.header = False

    def on_row(self, row: Row):
        if row["epoch"] == 1 or self.is_due(row["epoch"], self.every) or self.model.stop_training:
            if not self.header:
                self.header = True
                self._log(["epoch", "time", *self.columns.values()], self.unit)
            values = ["" if row.get(key) is None else short(row[key]) for key in self.columns]
            self._log([f"{row['epoch']}/{self.params['epochs']}", clock(row["elapsed_seconds"]), *values])

    def _log(self, cells: Sequence[str], unit: str = ""):
        epoch = max(len("epoch"), 2 * len(str(self.params["epochs"])) + 1)
        widths = [epoch, 7, *(max(6, len(header)) for header in self.columns.values())]
        room, line = progress.width(LOG_WIDTH) - len(self.unit) - 1, ""
        for cell, size in zip(cells, widths, strict=True):
            if len(line) + 2 + size > room:
                break
            line += f"{'  ' if line else ''}{cell:>{size}}"
        self.run.log(f"{line} {unit}".rstrip())


EPOCH_LINES = 24
LOG_WIDTH = 100
"""Columns of a line of the table where there is no terminal."""


def header(name: str) -> str:
    """The name of a metric, short: "discriminator_loss" -> "D loss"."""
    return name.replace("discriminator", "D").replace("generator", "G").replace("_", " ")


def short(value: float) -> str:
    """Four digits of a number: 12345, 278.1, 0.0975, 5."""
    if float(value).is_integer() or 1e3 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.4f}" if 1e-2 <= abs(value) < 1 else f"{value:#.4g}"


class Loggers(EpochCallback):
    """The loggers of a training: what they are given goes to each of them.

    Args:
        run, rows: see `EpochCallback`.
        loggers: one that fails with an error of its own library is left out from then on.
    """

    def __init__(self, run: Run, rows: list[Row], loggers: Sequence[Logger]):
        super().__init__(run, rows)
        self.loggers = [*loggers]

    def begin(self):
        """Opens the records; before anything is written to them."""
        self._each(lambda logger: logger.begin())

    def on_row(self, row: Row):
        self._each(lambda logger: logger.row(row))

    def histograms(self, epoch: int, values: Mapping[str, np.ndarray]):
        """Records histograms; see `Logger`."""
        self._each(lambda logger: logger.histograms(epoch, values))

    def images(self, epoch: int, files: Mapping[str, Path]):
        """Records pictures; see `Logger`."""
        self._each(lambda logger: logger.images(epoch, files))

    def end(self, finished: bool):
        """Closes the records, however the training ended."""
        self._each(lambda logger: logger.end(finished))

    def _each(self, call: Callable[[Logger], None]):
        for logger in [*self.loggers]:
            try:
                call(logger)
            except logger.errors as error:
                self.loggers.remove(logger)
                self.run.log(f"note: {type(logger).__name__} has stopped, the training goes on: {first_line(error)}")


@dataclass(frozen=True)
class Objective:
    """What the best checkpoint is chosen by.

    Attributes:
        key: of a row; "": there is nothing to choose by, and the last checkpoint is the best.
        lower_is_better: whether less of it is better.
        copies: keys of a row, shares of near copies: an epoch with many is not the best, though its distance is small.
    """

    key: str
    lower_is_better: bool = True
    copies: tuple[str, ...] = ()

    @classmethod
    def of(cls, train: TrainConfig, model, splits: Mapping[str, Any], monitor) -> "Objective":
        """The objective that `train.best_by` names, of a compiled model.

        Args:
            splits: on which the loss is evaluated.
            monitor: of samples, or None.
        """
        if train.best_by != "loss":
            copies = [name for name in monitor.better if name.partition("@")[0] == "near_copies"]
            keys = tuple(f"{monitor.split}_{name}" for name in copies)
            return cls(f"{monitor.split}_{train.best_by}", monitor.better[train.best_by] == "lower", keys)
        return cls("validation_loss" if "loss" in model.trackers and "validation" in splits else "")

    def score(self, row: Row) -> float | None:
        """The value, negated where more is better; infinite where many are copies, None where it was not measured."""
        if not self.key:
            return -math.inf
        value = row.get(self.key)
        if value is not None and any((row.get(key) or 0.0) > COPIED for key in self.copies):
            return math.inf
        return value if value is None or self.lower_is_better else -value


class BestCheckpoint(EpochCallback, ResumableCallback):
    """Writes the weights of the epoch with the best score to checkpoints/best.npz.

    They are written at most every SECONDS, and in at most WRITING_SHARE of the time (`write_if_due`), before each
    checkpoint to resume from and at the end; if no epoch had a score, those of the last epoch.

    Attributes:
        score, epoch: of the best so far; lower is better.
        improved: whether the last epoch was the best; None where it was not measured.
    """

    SECONDS, WRITING_SHARE = 5.0, 0.01

    def __init__(self, run: Run, rows: list[Row], objective: Objective):
        super().__init__(run, rows)
        self.objective, self.score, self.epoch, self.improved = objective, math.inf, 0, None
        self._unwritten, self._next_at = None, 0.0

    def get_state(self) -> dict[str, Any]:
        return {"score": self.score, "epoch": self.epoch}

    def set_state(self, state: Mapping[str, Any]):
        self.score, self.epoch = state["score"], state["epoch"]
        if not self.epoch:
            return
        file = self.run.checkpoint("best")
        try:
            held = checkpoints.read(file).state["epoch"]
        except (OSError, ValueError) as error:
            self._forget(f"{file} cannot be read ({error})")
            return
        if held > self.epoch:
            reason = f"{file} holds the weights of epoch {held}, and the training resumes from "
            self._return(reason + f"epoch {self.rows[-1]['epoch'] if self.rows else 0}")

    def _return(self, reason: str):
        """Writes the weights of `epoch` again, in place of those of an epoch after the checkpoint to resume from: with
        another learning rate, or on another processor, there will be no such epoch.

        Args:
            reason: for the log.
        """
        found = self._checkpoint_of(self.epoch)
        if found is None:
            return self._forget(reason)
        arrays = {f"model/{i}": values for i, values in enumerate(found.weights())}
        state = {key: found.state[key] for key in ("epoch", "step", "metrics", "parameters") if key in found.state}
        checkpoints.write(self.run.checkpoint("best"), arrays, state)
        self.run.log(f"note: {reason}; those of epoch {self.epoch}, the best up to there, are written again")

    def _checkpoint_of(self, epoch: int) -> checkpoints.Checkpoint | None:
        """The weights of a checkpoint to resume from that was written after this epoch, if one is left."""
        steps = self.run.step_checkpoints
        for path in map(steps.path, reversed(steps.steps())):
            with contextlib.suppress(OSError, ValueError):
                state = checkpoints.read_state(path)
                if (state["epoch"], state["steps_in_epoch"]) == (epoch, 0):
                    return checkpoints.read(path, weights_only=True)
        return None

    def _forget(self, reason: str):
        """Begins anew where the weights of the best epoch are lost."""
        self.run.log(f"note: {reason}; the best checkpoint is chosen among the epochs to come")
        self.score, self.epoch = math.inf, 0

    def before_checkpoint(self):
        self._write()

    def write_if_due(self, epoch, logs=None):
        """At the end of an epoch, when its row is complete."""
        if time.monotonic() > self._next_at:
            self._write()

    def on_row(self, row: Row):
        score = self.objective.score(row)
        self.improved = None if score is None else score < self.score or score == -math.inf
        if self.improved:
            self.score, self.epoch, self._unwritten = score, row["epoch"], (self._weights(), row)

    def on_train_end(self, logs=None):
        if self.rows and self.score == math.inf and not has_failed(self.model):
            self._unwritten = self._weights(), self.rows[-1]
        self._write()

    def _weights(self) -> dict[str, np.ndarray]:
        return {f"model/{i}": variable.numpy() for i, variable in enumerate(model_variables(self.model))}

    def _write(self):
        if self._unwritten:
            weights, row = self._unwritten  # a row that other callbacks have added to
            state = {"epoch": row["epoch"], "step": row["step"], "metrics": losses_of(self.run, row)}
            state["parameters"] = self.model.network_parameters
            started = time.monotonic()
            checkpoints.write(self.run.checkpoint("best"), weights, state)
            ended = time.monotonic()
            self._unwritten, self._next_at = None, ended + max(self.SECONDS, (ended - started) / self.WRITING_SHARE)


class EarlyStopping(EpochCallback, ResumableCallback):
    """Stops the training after `train.patience` measurements in a row that were not the best.

    Args:
        run, rows: see `EpochCallback`.
        best: comes before it.
    """

    def __init__(self, run: Run, rows: list[Row], best: BestCheckpoint):
        super().__init__(run, rows)
        self.best, self.measurements = best, 0

    def get_state(self) -> dict[str, int]:
        return {"measurements": self.measurements}

    def set_state(self, state: Mapping[str, int]):
        self.measurements = state["measurements"]

    def on_row(self, row: Row):
        if self.best.improved is not None:
            self.measurements = 0 if self.best.improved else self.measurements + 1
        if self.model.agreed(self.triggered):
            self.model.stop_training = True

    @property
    def triggered(self) -> bool:
        """Whether the training is to stop."""
        return 0 < self.run.config.train.patience <= self.measurements

    def reason(self) -> str:
        """Why the training ended before its last epoch; "" where it did not."""
        epoch, epochs = self.rows[-1]["epoch"] if self.rows else 0, self.run.config.train.epochs
        if not self.triggered or epoch >= epochs:
            return ""
        falls = self.best.objective.lower_is_better
        best, direction = (self.best.score, "fallen") if falls else (-self.best.score, "risen")
        name = self.best.objective.key.replace("_", " ")
        times = f"{self.measurements} validation{'s' if self.measurements > 1 else ''}"
        words = f"{name} has not {direction} for {times}, since epoch {self.best.epoch}; best {best:.6g}"
        if not math.isfinite(best):
            words = f"{name} was not a finite number in {times}"
        return f"stopped early: {words}; trained {epoch} of {counted(epochs, 'epoch')}"


class LogDiagnoses(EpochCallback, ResumableCallback):
    """Logs each problem of an adversarial training once; see `kgen.train.diagnostics`.

    It looks at all rows: after every epoch of the first hundred, then each time that there are a hundredth more.
    """

    def __init__(self, run: Run, rows: list[Row], health: HealthMetrics):
        super().__init__(run, rows)
        self.health, self.logged, self.found, self._due = health, set(), [], 0
        train = run.config.train
        self.settled = settled_after(train.ema_halflife_images, train.batch_size)

    def get_state(self) -> list[str]:
        return sorted(self.logged)

    def set_state(self, state: list[str]):
        self.logged = {*state}

    def on_epoch_end(self, epoch, logs=None):
        if len(self.rows) < self._due and not has_failed(self.model):
            return
        self._due = len(self.rows) + max(1, len(self.rows) // 100)
        self.found = self._diagnoses()
        for diagnosis in self.found:
            if diagnosis.name not in self.logged:
                self.run.log(f"diagnostics, epoch {epoch + 1}: {diagnosis}")
        self.logged |= {diagnosis.name for diagnosis in self.found}

    def _diagnoses(self) -> list[Diagnosis]:
        if has_failed(self.model):
            return [not_finite(int(self.model.failed_step.numpy()), self.rows)]
        return diagnose(
            self.rows, self.run.spec.num_classes, self.health.weakest, settled=self.settled,
            label_smoothing=self.run.config.model_args["label_smoothing"],
        )  # fmt: skip

    def on_train_end(self, logs=None):
        if self.rows and self._due > 0 and not has_failed(self.model):
            self._due = 0
            self.on_epoch_end(self.rows[-1]["epoch"] - 1)
        if self.found:
            self.run.log(f"diagnostics, at the end: {'; '.join(d.name for d in self.found)}")
        elif sum(row["step"] > self.settled for row in self.rows) >= PATIENCE:
            self.run.log("diagnostics: no problem found")
        elif self.rows:
            self.run.log(
                f"diagnostics: no problem found, but {counted(self.rows[-1]['step'], 'step')} in "
                f"{counted(len(self.rows), 'epoch')} are too few to judge samples by "
                f"({PATIENCE} epochs after {self.settled:.0f} steps)"
            )


class Curves(EpochCallback):
    """Draws the metrics over the epochs when training ends: plots/curves.png, and plots/quality.png of samples.

    Args:
        run, rows: see `EpochCallback`.
        monitor: of samples, or None.
    """

    def __init__(self, run: Run, rows: list[Row], monitor=None):
        super().__init__(run, rows)
        self.monitor = monitor

    def on_train_end(self, logs=None):
        plots, title = self.run.path / "plots", self.run.name
        if self.rows:
            by_training_images = self.monitor is not None and self.monitor.split == "train"
            leave_out, model_args = self.monitor.better if by_training_images else (), self.run.config.model_args
            draw_curves(self.rows, plots / "curves.png", title=title, model_args=model_args, leave_out=leave_out)
        if self.rows and self.monitor is not None:
            draw_quality(self.rows, plots / "quality.png", self.monitor.better, self.monitor.split, title=title)


class Histograms(EpochCallback, ResumableCallback):
    """Records histograms of weights and gradients, and draws plots/layers.png, how large the gradients were.

    Args:
        run, rows: see `EpochCallback`.
        batch: (images, labels) that the gradients are of, always the same.
        loggers: that record them.
    """

    MAX_EPOCHS = 10
    """About so many epochs of a training have histograms."""

    def __init__(self, run: Run, rows: list[Row], batch, loggers: Loggers):
        super().__init__(run, rows)
        self.batch, self.loggers, self.norms, self.epochs = batch, loggers, {}, []

    def get_state(self) -> dict[str, Any]:
        return {"norms": self.norms, "epochs": self.epochs}

    def set_state(self, state: Mapping[str, Any]):
        self.norms, self.epochs = state["norms"], state["epochs"]

    def on_train_begin(self, logs=None):
        self.every = math.ceil(self.params["epochs"] / self.MAX_EPOCHS)
        self.gradients = lambda: [gradients_of(self.model, phase, self.batch) for phase in self.model.phases()]
        if self.params["epochs"] > 2:  # a graph takes as long to make as several eager calls
            self.gradients = tf.function(self.gradients, autograph=False)

    def on_epoch_end(self, epoch, logs=None):
        if not self.is_due(epoch + 1, self.every):
            return
        self.epochs.append(epoch + 1)
        histograms = {}
        for phase, gradients in zip(self.model.phases(), self.gradients(), strict=True):
            for weight, gradient in zip(phase.weights, map(np.asarray, gradients), strict=True):
                name = f"{phase.name}/{weight.path}"
                histograms[f"weights/{name}"] = thinned(np.asarray(weight))
                if np.isfinite(gradient).all():
                    histograms[f"gradients/{name}"] = thinned(gradient)
                self.norms.setdefault(name, []).append(float(np.linalg.norm(gradient)))
        self.loggers.histograms(epoch + 1, {k: v for k, v in histograms.items() if np.isfinite(v).all()})

    def on_train_end(self, logs=None):
        if self.epochs:
            draw_norms(self.norms, self.epochs, self.run.path / "plots" / "layers.png", title=self.run.name)


MAX_HISTOGRAM_VALUES = 100_000
"""In a histogram: it does not look different with more."""


def thinned(values: np.ndarray) -> np.ndarray:
    """At most MAX_HISTOGRAM_VALUES of the values, evenly spread."""
    flat = values.ravel()
    return flat[:: math.ceil(flat.size / MAX_HISTOGRAM_VALUES)]


def gradients_of(model, phase, batch) -> list[tf.Tensor]:
    """The gradient of a phase's loss with respect to each of its weights, in evaluation mode: nothing changes."""
    images, labels = (share(x, 0, max(p.repeats for p in model.phases())) for x in unpack(batch))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([w.value for w in phase.weights])
        loss = tf.reduce_mean(phase.terms(images, labels, training=False)["loss"])
    return tape.gradient(loss, [w.value for w in phase.weights], unconnected_gradients="zero")


class SampleGrids(EpochCallback):
    """Draws the same latent points before training and every few epochs, as PNG files and for the loggers.

    samples/epoch-0000.png: a grid of samples. samples/interpolation-0000.png: paths between latent points.
    """

    SHEETS = (("epoch", "samples", sample_sheet), ("interpolation", "interpolation", path_sheet))
    """(prefix of the files, name in the loggers, function that draws)."""

    def __init__(self, run: Run, rows: list[Row], every: int, loggers: Loggers):
        super().__init__(run, rows)
        self.every, self.loggers = every, loggers

    def on_train_begin(self, logs=None):
        self.sampler = ModelSampler(self.model)
        if not int(self.model.step.numpy()):
            self.draw(0)

    def on_row(self, row: Row):
        if self.is_due(row["epoch"], self.every):
            self.draw(row["epoch"])

    def draw(self, epoch: int):
        seed, folder = self.run.config.seed, self.run.path / "samples"
        made = sheet_origin(self.run, self.sampler, "", epoch=epoch)  # the weights are hashed once
        for prefix, name, make in self.SHEETS:
            file = folder / f"{prefix}-{epoch:04d}.png"
            sheet = images.save_png(file, make(self.sampler, seed), made | {"picture": prefix})
            self.loggers.images(epoch, {name: sheet})
