"""What a training writes as it goes (progress, metrics, checkpoints), and when it stops itself."""

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from kgen import checkpoints
from kgen.config import RunConfig
from kgen.errors import UserError
from kgen.models.presets import PRESETS
from kgen.run import Run
from kgen.sampling import ModelSampler
from kgen.train.checkpointing import losses_of, model_variables
from kgen.train.diagnostics import PATIENCE, Diagnosis, HealthMetrics, diagnose, not_finite, settled_after
from kgen.train.plots import draw_curves, draw_quality

SAVE_EVERY_SECONDS = 5.0


class Progress(keras.callbacks.Callback):
    """One bar over the whole training: loss terms, speed, and the time that is left."""

    def __init__(self, epochs: int, steps_per_epoch: int, first: int = 0, *, shown: bool = True):
        super().__init__()
        self.shown = shown
        self.epochs, self.steps_per_epoch, self.first = epochs, steps_per_epoch, first

    def on_train_begin(self, logs=None):
        terminal = sys.stderr.isatty()
        self.bar = tqdm(
            total=self.epochs * self.steps_per_epoch,
            initial=self.first,
            disable=not self.shown,
            unit="step",
            mininterval=0.2 if terminal else 10.0,  # a log file wants few lines
            dynamic_ncols=terminal,
            bar_format="{desc} {percentage:3.0f}% |{bar:20}| {elapsed} elapsed, {remaining} left, {rate_fmt}{postfix}",
        )

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.bar.set_description(f"epoch {epoch + 1}/{self.epochs}", refresh=False)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.set_postfix({k: f"{logs[k]:.4g}" for k in self.model.trackers}, refresh=False)
        taken = self.epoch * self.steps_per_epoch + min(batch + 1, self.steps_per_epoch)
        self.bar.update(max(0, taken - self.bar.n))

    def on_train_end(self, logs=None):
        self.bar.close()


class StopOnFailure(keras.callbacks.Callback):
    """Stops as soon as a loss is not finite; `model.failed_step` then says at which step."""

    def on_train_batch_end(self, batch, logs=None):
        if not all(math.isfinite(value) for value in (logs or {}).values()):
            self.model.stop_training = True


class Swap(keras.callbacks.Callback):
    """Swaps weights and their averages at the end of each epoch: one before the callbacks that look, one after them.

    Args:
        at_end: whether to swap also when training ends; the first does, so that averages are what is kept.
    """

    def __init__(self, at_end: bool):
        super().__init__()
        self.at_end = at_end

    def on_epoch_end(self, epoch, logs=None):
        self.model.averages.swap()

    def on_train_end(self, logs=None):
        if self.at_end:
            self.model.averages.swap()


class Record(keras.callbacks.Callback):
    """Writes metrics.jsonl, TensorBoard's scalars, checkpoints and curves; evaluates as `train.validate_every` says.

    Checkpoints: "best" has the lowest validation loss, or the best figure that `train.best_by` names (without a
    validation split, and for an adversarial model, there is no loss to choose by, and "best" is the last). Both are
    written every SAVE_EVERY_SECONDS and at the end, and never with weights that failed. With "best" lies the state that
    the optimizers had when it was written: to go on training, take "last".

    Stops the training at the end of an epoch when as many measurements in a row as `train.patience` says were not the
    best. One that gave no figure does not count.

    Args:
        run: written to.
        evaluations: split -> its batches.
        images_per_epoch: to say how fast it went.
        watch: gives figures of samples every `train.eval_every` epochs and after the last; see `kgen.evaluate.Monitor`.
        health: of an adversarial model; measured each epoch.
    """

    def __init__(
        self,
        run: Run,
        evaluations: dict[str, tf.data.Dataset],
        images_per_epoch: int,
        watch=None,
        health: HealthMetrics | None = None,
    ):
        super().__init__()
        self.health = health
        self.run, self.evaluations, self.images_per_epoch, self.watch = run, evaluations, images_per_epoch, watch
        self.lowest, self.best, self.saved, self.row = math.inf, None, 0.0, {}
        self.watching, self.before = 0.0, 0.0
        self.since, self.waited = 0, 0  # the epoch of the lowest, and measurements after it

    def remember(self) -> dict[str, Any]:
        """What a checkpoint keeps of it; `before_keeping` has written the best weights."""
        told = {"lowest": self.lowest, "row": self.row, "elapsed": self._elapsed()}
        return told | {"since": self.since, "waited": self.waited}

    def recall(self, remembered: dict[str, Any]):
        self.lowest, self.row, self.before = (remembered[key] for key in ("lowest", "row", "elapsed"))
        self.since, self.waited = (remembered.get(key, 0) for key in ("since", "waited"))  # old ones did not count

    def before_keeping(self):
        if self.best:
            self._write_best()

    def _elapsed(self) -> float:
        """Seconds of training, without measuring samples, and with those before an interruption."""
        return self.before + time.monotonic() - self.started - self.watching

    def on_train_begin(self, logs=None):
        self.started = time.monotonic()
        self.scalars = tf.summary.create_file_writer(str(self.run.path / "tensorboard"))
        self.sampler = ModelSampler(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        if int(self.model.failed_step.numpy()) >= 0:
            return
        seconds = time.monotonic() - self.epoch_started
        self.row = {
            "epoch": epoch + 1,
            "step": int(self.model.step.numpy()),
            "elapsed_seconds": round(self._elapsed(), 3),
            "images_per_second": round(self.images_per_epoch / seconds, 1),
            **self._prefixed("train", logs),
        }
        validated = self._is_turn(epoch + 1, self.run.config.train.validate_every)
        for split, batches in self.evaluations.items() if validated else ():
            self.row |= self._prefixed(split, self.model.evaluate(batches, verbose=0, return_dict=True))
        self.row |= self._watched(epoch + 1)
        if self.health:
            self.row |= {f"health_{name}": value for name, value in self.health.measure().items()}
        self.run.log_metrics(self.row)
        with self.scalars.as_default(step=self.row["epoch"]):
            for key, value in self.row.items():
                split, _, term = key.partition("_")
                if split in ("train", "health", *self.evaluations) and value is not None:
                    tf.summary.scalar(f"{term}/{split}", value)
        self._checkpoint()
        if self.model.agreed(self.out_of_patience):
            self.model.stop_training = True

    def _prefixed(self, split: str, logs: dict[str, float]) -> dict[str, float]:
        """{"loss": 1.0} -> {"train_loss": 1.0}, in the order of the model's reports."""
        return {f"{split}_{key}": float(logs[key]) for key in self.model.trackers if key in logs}

    def _is_turn(self, epoch: int, every: int) -> bool:
        return epoch % every == 0 or epoch == self.params["epochs"]

    def _watched(self, epoch: int) -> dict[str, float | None]:
        """The figures of this epoch's samples, if it is their turn: {"validation_fid": 12.3}."""
        if self.watch is None or not self._is_turn(epoch, self.run.config.train.eval_every):
            return {}
        started = time.monotonic()
        figures = self.watch.figures(self.sampler)
        self.watching += time.monotonic() - started
        return {f"{self.watch.split}_{key}": value for key, value in figures.items()}

    @property
    def _figure(self) -> tuple[str, bool]:
        """What the best checkpoint is chosen by: its key in a row, and whether less of it is better."""
        by = self.run.config.train.best_by
        if by == "loss":
            return "validation_loss", True
        return f"{self.watch.split}_{by}", self.watch.better[by] == "lower"

    def _score(self) -> float | None:
        """What the best checkpoint has least of; None where this epoch has not been measured."""
        by_loss = self.run.config.train.best_by == "loss"
        if by_loss and ("loss" not in self.model.trackers or "validation" not in self.evaluations):
            return -math.inf  # a game has no loss to choose by
        figure, falls = self._figure
        value = self.row.get(figure)
        return value if value is None or falls else -value

    def _checkpoint(self):
        score = self._score()
        if score is not None and (score < self.lowest or score == -math.inf):
            self.lowest, self.best = score, (self.row, self._weights())
            self.since, self.waited = self.row["epoch"], 0
        elif score is not None:
            self.waited += 1
        if self.best and time.monotonic() - self.saved > SAVE_EVERY_SECONDS:
            self._write_best()

    @property
    def out_of_patience(self) -> bool:
        """Whether the training is to stop early."""
        return 0 < self.run.config.train.patience <= self.waited

    def why_early(self) -> str:
        """Why the training ended before its last epoch; "" where it did not."""
        epochs = self.run.config.train.epochs
        if not self.out_of_patience or self.row["epoch"] >= epochs:
            return ""
        figure, falls = self._figure
        best = self.lowest if falls else -self.lowest
        return early_stopping_message(figure, falls, best, self.since, self.waited, self.row["epoch"], epochs)

    def _write_best(self):
        row, weights = self.best
        state = {"epoch": row["epoch"], "step": row["step"], "metrics": losses_of(self.run, row)}
        checkpoints.write(self.run.checkpoint("best"), {f"model/{i}": v for i, v in enumerate(weights)}, state)
        self.best, self.saved = None, time.monotonic()

    def _weights(self) -> list[np.ndarray]:
        return [v.numpy() for v in model_variables(self.model)]

    def on_train_end(self, logs=None):
        self.scalars.close()
        if self.row:
            never_told = self.lowest == math.inf and not self.best  # the figure to choose by
            if never_told and int(self.model.failed_step.numpy()) < 0:
                self.best = (self.row, self._weights())
            self.before_keeping()
            unit = "" if self.health else "nats per image"
            draw_curves(self.run.metrics(), self.run.path / "plots" / "curves.png", title=self.run.name, unit=unit)
            if self.watch is not None:
                path = self.run.path / "plots" / "quality.png"
                draw_quality(self.run.metrics(), path, self.watch.better, self.watch.split, title=self.run.name)


class Checkup(keras.callbacks.Callback):
    """Asks the doctor after each epoch, and logs each diagnosis once; see `kgen.train.diagnostics`.

    Args:
        run: its metrics are read, its log is written.
        health: of the model.
    """

    def __init__(self, run: Run, health: HealthMetrics):
        super().__init__()
        self.run, self.health, self.told, self.found = run, health, set(), []
        train = run.config.train
        self.settled = settled_after(train.ema_halflife_images, train.batch_size)

    def remember(self) -> list[str]:
        """What a checkpoint keeps of it."""
        return sorted(self.told)

    def recall(self, remembered: list[str]):
        self.told = {*remembered}

    def before_keeping(self):
        pass

    def on_epoch_end(self, epoch, logs=None):
        self.found = self._diagnoses()
        for diagnosis in self.found:
            if diagnosis.name not in self.told:
                self.run.log(f"doctor, epoch {epoch + 1}: {diagnosis}")
        self.told |= {diagnosis.name for diagnosis in self.found}

    def _diagnoses(self) -> list[Diagnosis]:
        if (failed := int(self.model.failed_step.numpy())) >= 0:
            return [not_finite(failed, self.run.metrics())]
        return diagnose(
            self.run.metrics(), self.run.spec.num_classes, self.health.weakest, settled=self.settled,
            label_smoothing=self.run.config.model_args["label_smoothing"],
        )  # fmt: skip

    def on_train_end(self, logs=None):
        rows = self.run.metrics()
        if self.found:
            self.run.log(f"doctor, at the end: {'; '.join(d.name for d in self.found)}")
        elif sum(row["step"] > self.settled for row in rows) >= PATIENCE:
            self.run.log("doctor: at the end nothing was found wrong")
        elif rows:
            self.run.log(
                f"doctor: at the end nothing was found wrong, but {rows[-1]['step']} steps in {len(rows)} epochs are "
                f"too few to judge samples by ({PATIENCE} epochs after {self.settled:.0f} steps)"
            )


# Early stopping -------------------------------------------------------------------------------------------------------
# Early stopping: which trainings have a figure to wait for, and how a run says that it waited in vain.
#
# The figure is the one that the best checkpoint is chosen by; `kgen.train.callbacks.Record` keeps the best so far, and
# counts.


def check_early_stopping(config: RunConfig, examples: Mapping[str, int] | None = None):
    """Raises UserError when `train.patience` waits for a figure that the training does not have.

    Args:
        config: of the training.
        examples: split -> how many images; None where the data have not been read.
    """
    train = config.train
    if not train.patience or train.best_by != "loss":
        return
    by_samples = "--eval_every 1 --metrics fid --best_by fid"
    if PRESETS[config.model].adversarial:
        raise UserError(
            f"train.patience waits for the figure that the best checkpoint is chosen by, and the losses of "
            f"{config.model!r} choose none; add {by_samples}, or leave out --patience. Received: {train.patience}"
        )
    if examples is not None and not examples.get("validation"):
        raise UserError(
            f"train.patience waits for the validation loss, and {config.data.dataset!r} has no validation images "
            f"(data.validation_fraction is {config.data.validation_fraction:g}); set some aside with "
            f"--validation_fraction 0.1, add {by_samples}, or leave out --patience. Received: {train.patience}"
        )


def early_stopping_message(
    figure: str, falls: bool, best: float, since: int, waited: int, epoch: int, epochs: int
) -> str:
    """Why and when a training stopped early.

    Args:
        figure: its key in metrics.jsonl.
        falls: whether less of it is better.
        best: of the figure; infinite where it never was a finite number.
        since: the epoch of the best.
        waited: validations after it.
        epoch, epochs: the last one, and how many there might have been.
    """
    name, times = figure.replace("_", " "), f"{waited} validation{'s' if waited > 1 else ''}"
    waiting = f"{name} has not {'fallen' if falls else 'risen'} for {times}, since epoch {since}; best {best:.6g}"
    if not math.isfinite(best):
        waiting = f"{name} was no finite number in {times}"
    return f"stopped early: {waiting}; trained {epoch} of {epochs} epochs"


# Profile --------------------------------------------------------------------------------------------------------------
# A trace of some training steps for TensorBoard: what the processor does with its time.


FIRST_CALL, CALLS = 2, 10
"""The first calls compile; so many after them are traced."""


class Profile(keras.callbacks.Callback):
    """Writes tensorboard/plugins/profile/ of a run.

    Args:
        run: written to.
    """

    def __init__(self, run: Run):
        super().__init__()
        self.run, self.calls, self.tracing = run, 0, False

    def on_train_batch_begin(self, batch, logs=None):
        if self.calls == FIRST_CALL:
            tf.profiler.experimental.start(str(self.run.path / "tensorboard"))
            self.tracing = True
        self.calls += 1

    def on_train_batch_end(self, batch, logs=None):
        if self.tracing and self.calls >= FIRST_CALL + CALLS:
            self._stop()

    def on_train_end(self, logs=None):
        if self.tracing:
            self._stop()

    def _stop(self):
        tf.profiler.experimental.stop()
        self.tracing = False
        self.run.log(
            f"profile of {self.calls - FIRST_CALL} calls in {self.run.path / 'tensorboard'}; to see it: "
            f"pip install tensorboard-plugin-profile && tensorboard --logdir {self.run.path}"
        )
