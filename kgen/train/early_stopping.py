"""Early stopping: which trainings have a figure to wait for, and how a run says that it waited in vain.

The figure is the one that the best checkpoint is chosen by; `kgen.train.callbacks.Record` keeps the best so far, and
counts.
"""

import math
from collections.abc import Mapping

from kgen.config import RunConfig
from kgen.errors import UserError
from kgen.models import MODELS


def check(config: RunConfig, examples: Mapping[str, int] | None = None):
    """Raises UserError when `train.patience` waits for a figure that the training does not have.

    Args:
        config: of the training.
        examples: split -> how many images; None where the data have not been read.
    """
    train = config.train
    if not train.patience or train.best_by != "loss":
        return
    by_samples = "--eval_every 1 --metrics fid --best_by fid"
    if len(MODELS.defaults(config.model)["learning_rates"]) > 1:
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


def words(figure: str, falls: bool, best: float, since: int, waited: int, epoch: int, epochs: int) -> str:
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
