"""Checkpoints to go on from: the whole state of a training, written aside, renamed, and told apart from damaged ones.

checkpoints/step-NNNNNNNNN.npz    every variable, by number
checkpoints/step-NNNNNNNNN.json   the rest of the state, and the checksum of the .npz; written last
"""

import _thread
import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kgen.checkpoints import Checkpoint
from kgen.config import RunConfig, flatten
from kgen.errors import UserError
from kgen.io import ASIDE
from kgen.run import Run

# Interrupt ------------------------------------------------------------------------------------------------------------
# Ctrl-C and SIGTERM: a training under way comes to where it can write a checkpoint, writes it, and leaves.


GRACE = 5.0
"""Seconds that what is under way at the end of an epoch (measuring, drawing) still gets."""


class SignalHandler:
    """Listens for signals; `with Stopper() as stopper: ...`, in the main thread (elsewhere it hears nothing).

    Attributes:
        under_way: what a signal finds. None: nothing would be lost, it raises KeyboardInterrupt at once. "steps": they
            are being taken, or kept; whoever set it looks at `asked` soon. "measuring": the same, but it may take long,
            so KeyboardInterrupt is raised after GRACE.
        asked: whether a signal came. A second one raises KeyboardInterrupt at once.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.under_way, self.asked, self._before = None, False, {}

    def __enter__(self) -> "SignalHandler":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in self.SIGNALS}
        return self

    def __exit__(self, *error):
        self.under_way = None
        for number, handler in self._before.items():
            with contextlib.suppress(TypeError):  # a handler that was not Python's
                signal.signal(number, handler)

    def _heard(self, number, frame):
        if self.asked or not self.under_way:
            raise KeyboardInterrupt
        self.asked = True
        _thread.start_new_thread(self._lose_patience, ())  # threading's own takes locks, which may be held just now

    def _lose_patience(self):
        time.sleep(GRACE)
        if self.under_way == "measuring":
            _thread.interrupt_main()  # heard as a second signal


# Keeper ---------------------------------------------------------------------------------------------------------------
# Exact resume: what a checkpoint holds, when it is written, and how a training goes on from it.
#
# A training is a function of its configuration: order, noise and binarization depend on the seed and the number of the
# step alone. So a checkpoint holds every variable (weights, optimizers, averages, counters, the sums of metrics under
# way) and what callbacks remember; what comes after it is then the same to the last bit.


LEAST_SECONDS = 5.0
"""At the end of an epoch no checkpoint is written sooner after another."""


class CheckpointCallback(keras.callbacks.Callback):
    """Writes checkpoints; the last of the callbacks, so that an epoch has ended when its turn comes.

    Args:
        run: written to.
        remembering: callbacks with `remember() -> JSON` and `recall(it)`, and `before_keeping()`.
        stopper: when it was asked to stop, a checkpoint is written and KeyboardInterrupt raised.
        start: goes on from here; the callbacks recall at once what it keeps of them.
        slowed: how often the learning rate was halved after a loss that was not finite.
    """

    def __init__(self, run: Run, remembering: Sequence, stopper: SignalHandler, start: Checkpoint | None, slowed: int):
        super().__init__()
        train = run.config.train
        self.run, self.remembering, self.stopper, self.start, self.slowed = run, remembering, stopper, start, slowed
        self.checkpoints = run.step_checkpoints
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
            "metrics": losses_of(self.run, self.remembering[0].row) if not taken else {},
            "slowed": self.slowed,
            "remembered": [callback.remember() for callback in self.remembering],
        }
        self.checkpoints.write(step, {name: np.asarray(v) for name, v in variables_of(self.model).items()}, state)
        self.written, self.written_step = time.monotonic(), step


def model_variables(model) -> list:
    """The variables of `model.weights` as a model has them that was built to sample: without moving averages."""
    averages = {id(v) for v in model.averages.weights} if model.averages is not None else {}
    return [v for v in model.weights if id(v) not in averages]


def variables_of(model) -> dict[str, Any]:
    """Every variable that training changes, by its name in a checkpoint; see `kgen.checkpoints`.

    Learning rates are not among them: they follow from the configuration.
    """
    weights = model_variables(model)
    found = {f"model/{i}": variable for i, variable in enumerate(weights)}
    if model.averages is not None:
        averages = {id(weight): average for weight, average in model.averages.pairs}
        found |= {f"average/{i}": averages[id(weight)] for i, weight in enumerate(weights) if id(weight) in averages}
    for phase, optimizer in model.phase_optimizers.items():
        kept = [v for v in optimizer.variables if v.name != "learning_rate"]
        found |= {f"optimizer/{phase}/{i}": variable for i, variable in enumerate(kept)}
    return found | _metrics(model)


def losses_of(run: Run, row: Mapping[str, Any]) -> dict[str, float]:
    """What a checkpoint says of its epoch: the losses, and what the best checkpoint is chosen by."""
    return {key: value for key, value in row.items() if key.endswith(("_loss", f"_{run.config.train.best_by}"))}


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


# Going on -------------------------------------------------------------------------------------------------------------
# Going on with a run that was interrupted: what may differ, and what is taken back to its last checkpoint.


MAY_CHANGE = (
    "recipe", "train.epochs", "train.patience", "train.samples_every", "train.checkpoint_seconds",
    "train.checkpoint_steps", "train.keep", "train.on_nan", "train.profile", "train.strategy",
)  # fmt: skip
"""Settings that a training may go on with other values of: they do not change the steps that were taken."""

OTHER_ENVIRONMENT = (
    "numbers may be rounded otherwise here, so that what comes out is not to the bit that of an uninterrupted "
    "training; over 600 steps on CPUs the validation loss of autoencoders differed by at most 0.03 % (measured), an "
    "adversarial model becomes another, as with another seed"
)
"""What a change of the environment does; see "What is the same, and where" in the README."""

DECIDED = (
    "epochs", "batch_size", "learning_rate", "steps_per_execution", "jit_compile", "validate_every", "samples_every",
    "ema_halflife_images",
)  # fmt: skip
"""Settings of `train` that a run's config.json always holds."""


def check_resumable(run: Run, config: RunConfig, data_hashes: Mapping[str, str], examples: Mapping[str, int]):
    """Raises UserError when `config` is another training than the run's, or its data have changed."""
    for name in DECIDED:
        if getattr(run.config.train, name) is None:
            raise UserError(f"{run.path / 'config.json'} was changed: train.{name} is missing; bring it back as it was")
    stored, wanted = flatten(run.config.to_json()), flatten(config.to_json())
    differ = [key for key in {**stored, **wanted} if stored.get(key) != wanted.get(key) and key not in MAY_CHANGE]
    if differ:
        told = "; ".join(f"{key} was {stored.get(key)!r}, is {wanted.get(key)!r}" for key in differ[:5])
        raise UserError(
            f"{run.path} was trained with other settings: {told}. Only {', '.join(MAY_CHANGE)} may change; name a new "
            "--run_dir, or give the settings as they were"
        )
    fewer = [
        split for split in {**run.spec.examples, **examples} if run.spec.examples.get(split) != examples.get(split)
    ]
    if fewer:
        raise UserError(
            f"{config.data.dataset!r} has {examples.get(fewer[0], 0)} {fewer[0]} images that can be read, and "
            f"{run.path} was trained on {run.spec.examples.get(fewer[0], 0)}; bring the data back, or start a new run"
        )
    changed = [split for split in run.data_hashes if data_hashes and data_hashes.get(split) != run.data_hashes[split]]
    if changed:
        older = (
            ""
            if run.environments
            else (", or the run is older than kgen's way of resizing, which is the same on every processor")
        )
        raise UserError(
            f"{run.path} was trained on other images: split {changed[0]!r} of {config.data.dataset!r} has changed "
            f"since{older}; bring the data back, or start a new run"
        )


def with_decided(run: Run, config: RunConfig) -> RunConfig:
    """The configuration in which what nobody chose is as it was for the run, whatever would be decided now."""
    unset = [name for name in DECIDED if name != "epochs" and getattr(config.train, name) is None]
    decided = {name: getattr(run.config.train, name) for name in unset}
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **decided))


def is_done(run: Run, config: RunConfig) -> bool:
    """Whether the run ended well, and neither more epochs nor more patience are asked for."""
    if not (run.path / "DONE").is_file():
        return False
    ended, wanted = run.config.train, config.train
    if (epoch := stopped_early(run)) is None:
        return ended.epochs >= wanted.epochs
    return epoch >= wanted.epochs or 0 < wanted.patience <= ended.patience


def stopped_early(run: Run) -> int | None:
    """The epoch in which a run that is done ended early; None where it did not."""
    rows = run.metrics() if run.config.train.patience else []
    return rows[-1]["epoch"] if rows and rows[-1]["epoch"] < run.config.train.epochs else None


def how_it_ended(run: Run) -> str:
    """How a run that is done ended, and what makes it go on."""
    epochs, patience = run.config.train.epochs, run.config.train.patience
    if (epoch := stopped_early(run)) is None:
        return f"{epochs} epochs; --epochs with a larger number goes on"
    return (
        f"it stopped early, with epoch {epoch} of {epochs}; --patience with a larger number than {patience}, or with 0 "
        "for no early stopping, goes on"
    )


def latest_checkpoint(run: Run) -> Checkpoint | None:
    """Where the run goes on, and the run taken back to there; None when it never wrote a checkpoint.

    Raises:
        UserError: its epochs are known, but no checkpoint is whole.
    """
    found = run.step_checkpoints.newest(run.log)
    if found is None and run.metrics():
        raise UserError(
            f"{run.path} holds no whole checkpoint to go on from (checkpoints/step-*.npz); start a new run, or "
            "sample from what it reached"
        )
    run.step_checkpoints.remove_after(found.state["step"] if found else -1)
    run.keep_metrics(found.state["epoch"] if found else 0)
    for name in ("DONE", "FAILED"):
        (run.path / name).unlink(missing_ok=True)
    for part in run.path.rglob(f"{ASIDE}*"):  # left by a process that was killed
        if part.is_file():
            part.unlink(missing_ok=True)
    return found
