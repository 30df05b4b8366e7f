"""Resuming a training exactly: what a checkpoint holds, when it is written, and how a training continues from it.

A training is a function of its configuration: order, noise and binarization depend on the seed and on the number of the
step alone. So a checkpoint (`kgen.checkpoints` has its format) holds every variable (weights, their averages,
optimizers, counters, the running means of metrics) and the state of callbacks; what comes after it is the same to the
last bit. On Ctrl-C and SIGTERM a checkpoint is written before the training stops.
"""

import _thread
import contextlib
import shlex
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kgen.checkpoints import Checkpoint
from kgen.config import RunConfig
from kgen.data.training_data import Content
from kgen.errors import TrainingPaused, UserError
from kgen.io import ASIDE
from kgen.models import resolve_model_args
from kgen.run import Run
from kgen.tables import counted
from kgen.train.checks import check_settings

# What a checkpoint holds ----------------------------------------------------------------------------------------------


def training_variables(model) -> dict[str, Any]:
    """Every variable that training changes, but for the metrics', by its name in a checkpoint; see `kgen.checkpoints`.

    Learning rates are not among them: they follow from the configuration.
    """
    weights = model_variables(model)
    found = {f"model/{i}": variable for i, variable in enumerate(weights)}
    if model.averages is not None:
        averages = {id(weight): average for weight, average in model.averages.pairs}
        found |= {f"average/{i}": averages[id(weight)] for i, weight in enumerate(weights) if id(weight) in averages}
    for phase, optimizer in model.phase_optimizers.items():
        variables = [v for v in optimizer.variables if v.name != "learning_rate"]
        found |= {f"optimizer/{phase}/{i}": variable for i, variable in enumerate(variables)}
    return found


def model_variables(model) -> list:
    """The variables of `model.weights` of the same model before it was compiled: without moving averages."""
    averages = {id(v) for v in model.averages.weights} if model.averages is not None else {}
    return [v for v in model.weights if id(v) not in averages]


def _metric_variables(model) -> dict[str, Any]:
    names = [f"metric/{key}/{i}" for key in model.trackers for i in (0, 1)]
    return dict(zip(names, model.metric_variables, strict=True))


def restore(model, arrays: Mapping[str, np.ndarray]):
    """Sets every variable; raises ValueError where names or shapes differ."""
    variables = training_variables(model) | _metric_variables(model)
    if {*variables} != {*arrays}:
        raise ValueError(f"variables differ: {sorted({*variables} ^ {*arrays})[:5]}")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def restore_metrics(model, arrays: Mapping[str, np.ndarray]):
    """Sets the running means of the metrics alone."""
    for name, variable in _metric_variables(model).items():
        variable.assign(arrays[name])


def losses_of(run: Run, row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of its epoch that a checkpoint names: losses, and what the best checkpoint is chosen by."""
    return {key: value for key, value in row.items() if key.endswith(("_loss", f"_{run.config.train.best_by}"))}


class ResumableCallback(keras.callbacks.Callback):
    """A callback whose state is part of every checkpoint."""

    def get_state(self) -> Any:
        """Of JSON types."""
        raise NotImplementedError

    def set_state(self, state: Any):
        """Restores what `get_state` returned; called before the training begins."""
        raise NotImplementedError

    def before_checkpoint(self):
        """Called before each checkpoint is written."""


# When it is written ---------------------------------------------------------------------------------------------------


MIN_SECONDS, MAX_SHARE = 5.0, 0.02
"""Between two checkpoints at ends of epochs, and of the time that writing them may take, as long as
`train.checkpoint_seconds` lets them wait."""


class CheckpointCallback(keras.callbacks.Callback):
    """Writes the checkpoints to resume from; the last of the callbacks, so that the others have seen the epoch.

    Args:
        run: written to.
        rows: of the epochs; see `kgen.train.callbacks`.
        callbacks: whose state is part of a checkpoint; it is restored at once from `start`.
        stopper: when a signal was received, a checkpoint is written and KeyboardInterrupt raised.
        start: the training resumes from here.
        rollbacks: how often the learning rate was halved after a loss that was not finite.
        order: of the training images; see `Dataset.training_order`.
        pause_after: the epoch after which TrainingPaused is raised; None: never.
    """

    def __init__(
        self,
        run: Run,
        rows: Sequence[Mapping[str, Any]],
        callbacks: Sequence[ResumableCallback],
        stopper: "SignalHandler",
        start: Checkpoint | None,
        rollbacks: int,
        order: str,
        pause_after: int | None = None,
    ):
        super().__init__()
        self.run, self.rows, self.stopper, self.start, self.rollbacks = run, rows, stopper, start, rollbacks
        self.order, self.pause_after = order, pause_after
        self.callbacks = {type(callback).__name__: callback for callback in callbacks}
        self.seconds, self.steps = run.config.train.checkpoint_seconds, run.config.train.checkpoint_steps
        self.written, self.written_step, self.pause = time.monotonic(), 0, MIN_SECONDS
        for name, callback in self.callbacks.items() if start else ():
            callback.set_state(start.state["callbacks"][name])

    def on_train_begin(self, logs=None):
        self.written_step = int(self.model.step.numpy())
        if self.start is None:
            self._write(0, 0)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if self.start is not None and self.start.state["steps_in_epoch"]:  # Keras has just reset the metrics
            restore_metrics(self.model, self.start.arrays)
        self.start = None

    def on_train_batch_begin(self, batch, logs=None):
        self.stopper.phase = "steps"

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.step.numpy()) if self.steps or self.stopper.received else 0
        late = time.monotonic() - self.written >= self.seconds
        ended = self.model.taken_in_epoch == self.params["steps"]
        overdue = ended and time.monotonic() - self.written >= self.pause  # evaluating the epoch may take long
        due = late or overdue or (self.steps and step - self.written_step >= self.steps)
        self._write_or_stop(bool(due), self.epoch, self.model.taken_in_epoch)
        if ended:
            self.stopper.phase = "evaluation"

    def on_epoch_end(self, epoch, logs=None):
        self.stopper.phase = "steps"
        last = self.model.stop_training or epoch + 1 == self.params["epochs"]
        paused = epoch + 1 == self.pause_after and not last
        self._write_or_stop(last or paused or time.monotonic() - self.written >= self.pause, epoch + 1, 0)
        if last:
            self.stopper.phase = None
        if paused:
            raise TrainingPaused

    def _write_or_stop(self, due: bool, epoch: int, steps_in_epoch: int):
        """Writes a checkpoint where one is due, and before stopping; the workers agree on both."""
        action = self.model.agreed(2 if self.stopper.received else int(due))
        if action:
            self._write(epoch, steps_in_epoch)
        if action == 2:
            self.model.agreed(0)  # no worker ends before all have written theirs
            raise KeyboardInterrupt

    def _write(self, epoch: int, steps_in_epoch: int):
        if int(self.model.failed_step.numpy()) >= 0:
            return
        started = time.monotonic()
        for callback in self.callbacks.values():
            callback.before_checkpoint()
        step = int(self.model.step.numpy())
        state = {
            "epoch": epoch,
            "steps_in_epoch": steps_in_epoch,
            "step": step,
            "metrics": losses_of(self.run, self.rows[-1]) if self.rows and not steps_in_epoch else {},
            "rollbacks": self.rollbacks,
            "order": self.order,
            "parameters": self.model.network_parameters,
            "callbacks": {name: callback.get_state() for name, callback in self.callbacks.items()},
        }
        arrays = {name: np.asarray(variable) for name, variable in training_variables(self.model).items()}
        arrays |= dict(zip(_metric_variables(self.model), self.model.metric_sums(), strict=True))
        self.run.step_checkpoints.write(step, arrays, state)
        if self.run.mirror:
            self.run.mirror.upload_soon()
        self.written, self.written_step = time.monotonic(), step
        if step:  # the first takes longer
            self.pause = max(MIN_SECONDS, min(self.seconds, (self.written - started) / MAX_SHARE))


GRACE_SECONDS = 5.0
"""That evaluation and sampling at the end of an epoch get after a signal, before they are stopped."""


class SignalHandler:
    """Handles SIGINT and SIGTERM: `with SignalHandler() as stopper: ...`. It does nothing outside of the main thread.

    Attributes:
        phase: of the training, which decides what a signal does. None: nothing would be lost, KeyboardInterrupt is
            raised at once. "steps": steps are taken, or a checkpoint is written; the training checks `received` soon.
            "evaluation": the same, but it may take long, so KeyboardInterrupt is raised after GRACE_SECONDS.
        received: whether there was a signal. A second one raises KeyboardInterrupt at once.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.phase, self.received, self._before = None, False, {}

    def __enter__(self) -> "SignalHandler":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in self.SIGNALS}
        return self

    def __exit__(self, *error):
        self.phase = None
        for number, handler in self._before.items():
            with contextlib.suppress(TypeError):  # a handler that was not Python's
                signal.signal(number, handler)

    def _handle(self, number, frame):
        if self.received or not self.phase:
            raise KeyboardInterrupt
        self.received = True
        _thread.start_new_thread(self._interrupt_evaluation, ())  # threading's own takes locks, which may be held now

    def _interrupt_evaluation(self):
        time.sleep(GRACE_SECONDS)
        if self.phase == "evaluation":
            _thread.interrupt_main()  # handled as a second signal


# How a training resumes -----------------------------------------------------------------------------------------------


OTHER_ENVIRONMENT = (
    "results may be rounded differently here and are not bit-identical to those of an uninterrupted training; over 600 "
    "steps on CPUs the validation loss of autoencoders differed by at most 0.03 % (measured), an adversarial model "
    "becomes another one, as with another seed"
)
"""What a change of the environment does to a training that resumes."""


def check_resumable(run: Run, config: RunConfig, content: Content):
    """Raises UserError when `config` is another training than the run's, or its data have changed.

    Args:
        run: to resume.
        config: complete.
        content: of the data set.
    """
    defaults = resolve_model_args(run.config.model, {})  # which arguments that are newer than the run had without it
    newer = {name: defaults[name] for name in config.model_args if name in defaults}
    check_settings(run, config, newer | dict(run.config.model_args))
    if changed := run.training_data.content.difference(content):
        raise UserError(
            f"{config.data.dataset!r} does not hold the images that {run.place} was trained on: {changed}; bring the "
            "data back, name the place where they are with --dataset, or start a new run"
        )


def is_done(run: Run, config: RunConfig) -> bool:
    """Whether the run has finished, and the configuration asks for neither more epochs nor more patience."""
    if not (run.path / "DONE").is_file():
        return False
    ended, wanted = run.config.train, config.train
    if (epoch := stopped_early(run)) is None:
        return ended.epochs >= wanted.epochs
    return epoch >= wanted.epochs or 0 < wanted.patience <= ended.patience


def stopped_early(run: Run) -> int | None:
    """The epoch in which a finished run stopped early; None where it did not."""
    rows = run.metrics() if run.config.train.patience else []
    return rows[-1]["epoch"] if rows and rows[-1]["epoch"] < run.config.train.epochs else None


def how_it_ended(run: Run) -> str:
    """How a finished run ended, and the command that continues it."""
    epochs, resume = run.config.train.epochs, shlex.join(["kgen-train", "--resume", run.place])
    if (epoch := stopped_early(run)) is None:
        return f"{counted(epochs, 'epoch')}; ten more: {resume} --more_epochs 10"
    return (
        f"it stopped early, with epoch {epoch} of {epochs}; without early stopping: {resume} --patience 0, or with a "
        f"--patience larger than {run.config.train.patience}"
    )


def latest_checkpoint(run: Run) -> Checkpoint | None:
    """The newest whole checkpoint; what the run holds of later steps is removed. None when it never wrote one.

    Raises:
        UserError: it has metrics, but no checkpoint is whole.
    """
    found = run.step_checkpoints.newest(run.log)
    if found is None and run.metrics():
        raise UserError(
            f"{run.place} has no whole checkpoint to resume from (checkpoints/step-*.npz); start a new run, or sample "
            "from its best checkpoint"
        )
    run.step_checkpoints.remove_after(found.state["step"] if found else -1)
    run.keep_metrics(found.state["epoch"] if found else 0)
    for name in ("DONE", "FAILED"):
        (run.path / name).unlink(missing_ok=True)
    for part in run.path.rglob(f"{ASIDE}*"):  # left by a process that was killed
        if part.is_file():
            part.unlink(missing_ok=True)
    return found
