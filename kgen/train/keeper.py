"""Exact resume: what a checkpoint holds, when it is written, and how a training goes on from it.

A training is a function of its configuration: order, noise and binarization depend on the seed and the number of the
step alone. So a checkpoint holds every variable (weights, optimizers, averages, counters, the sums of metrics under
way) and what callbacks remember; what comes after it is then the same to the last bit.
"""

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kgen.run import Run
from kgen.train.checkpoints import Checkpoint, Checkpoints
from kgen.train.interrupt import Stopper

LEAST_SECONDS = 5.0
"""At the end of an epoch no checkpoint is written sooner after another."""


class Keeper(keras.callbacks.Callback):
    """Writes checkpoints; the last of the callbacks, so that an epoch has ended when its turn comes.

    Args:
        run: written to.
        remembering: callbacks with `remember() -> JSON` and `recall(it)`, and `before_keeping()`.
        stopper: when it was asked to stop, a checkpoint is written and KeyboardInterrupt raised.
        start: goes on from here; the callbacks recall at once what it keeps of them.
        slowed: how often the learning rate was halved after a loss that was not finite.
    """

    def __init__(self, run: Run, remembering: Sequence, stopper: Stopper, start: Checkpoint | None, slowed: int):
        super().__init__()
        train = run.config.train
        self.run, self.remembering, self.stopper, self.start, self.slowed = run, remembering, stopper, start, slowed
        self.checkpoints = Checkpoints(run.path / "checkpoints", train.keep)
        self.seconds, self.steps = train.checkpoint_seconds, train.checkpoint_steps
        self.written, self.written_step = time.monotonic(), 0
        for callback, remembered in zip(remembering, start.state["remembered"], strict=True) if start else ():
            callback.recall(remembered)

    def on_train_begin(self, logs=None):
        self.written_step = int(self.model.step.numpy())
        if self.start is None:
            self._write(0, 0)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if self.start is not None and self.start.state["taken"]:  # Keras has just set the metrics back
            restore_metrics(self.model, self.start.arrays)
        self.start = None

    def on_train_batch_begin(self, batch, logs=None):
        self.stopper.under_way = "steps"

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.step.numpy()) if self.steps or self.stopper.asked else 0
        late = time.monotonic() - self.written >= self.seconds
        ended = self.model.taken_in_epoch == self.params["steps"]
        overdue = ended and time.monotonic() - self.written >= LEAST_SECONDS  # measuring it may take long
        due = late or overdue or (self.steps and step - self.written_step >= self.steps)
        self._keep_or_leave(bool(due), self.epoch, self.model.taken_in_epoch)
        if ended:
            self.stopper.under_way = "measuring"

    def on_epoch_end(self, epoch, logs=None):
        self.stopper.under_way = "steps"
        last = self.model.stop_training or epoch + 1 == self.params["epochs"]
        self._keep_or_leave(last or time.monotonic() - self.written >= LEAST_SECONDS, epoch + 1, 0)
        if last:
            self.stopper.under_way = None

    def _keep_or_leave(self, due: bool, epoch: int, taken: int):
        """Writes a checkpoint where one is due, and before leaving; both as all workers agree."""
        wish = self.model.agreed(2 if self.stopper.asked else int(due))
        if wish:
            self._write(epoch, taken)
        if wish == 2:
            raise KeyboardInterrupt

    def _write(self, epoch: int, taken: int):
        if int(self.model.failed_step.numpy()) >= 0:
            return
        for callback in self.remembering:
            callback.before_keeping()
        step = int(self.model.step.numpy())
        state = {
            "epoch": epoch,
            "taken": taken,
            "step": step,
            "slowed": self.slowed,
            "remembered": [callback.remember() for callback in self.remembering],
        }
        self.checkpoints.write(step, {name: np.asarray(v) for name, v in variables_of(self.model).items()}, state)
        self.written, self.written_step = time.monotonic(), step


def variables_of(model) -> dict[str, Any]:
    """Every variable that training changes, by a name that is the same for the same configuration.

    Learning rates are not among them: they follow from the configuration.
    """
    found = {f"model/{i}": variable for i, variable in enumerate(model.weights)}
    for phase, optimizer in model.phase_optimizers.items():
        kept = [v for v in optimizer.variables if v.name != "learning_rate"]
        found |= {f"optimizer/{phase}/{i}": variable for i, variable in enumerate(kept)}
    if model.averages is not None:
        found |= {f"average/{i}": variable for i, variable in enumerate(model.averages.weights)}
    return found | _metrics(model)


def _metrics(model) -> dict[str, Any]:
    return {f"metric/{key}/{i}": v for key, tracker in model.trackers.items() for i, v in enumerate(tracker.variables)}


def restore(model, arrays: dict[str, np.ndarray]):
    """Sets every variable; raises ValueError where names or shapes are others."""
    variables = variables_of(model)
    if {*variables} != {*arrays}:
        raise ValueError(f"variables differ: {sorted({*variables} ^ {*arrays})[:5]}")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def restore_metrics(model, arrays: dict[str, np.ndarray]):
    """Sets the sums of the metrics alone."""
    for name, variable in _metrics(model).items():
        variable.assign(arrays[name])
