"""Going on with a run that was interrupted: what may differ, and what is taken back to its last checkpoint."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kgen.config import RunConfig
from kgen.errors import UserError
from kgen.files import ASIDE
from kgen.run import Run
from kgen.train.checkpoints import Checkpoint, Checkpoints

MAY_CHANGE = (
    "recipe", "train.epochs", "train.patience", "train.samples_every", "train.checkpoint_seconds",
    "train.checkpoint_steps", "train.keep", "train.on_nan", "train.profile", "train.strategy",
)  # fmt: skip
"""Settings that a training may go on with other values of: they do not change the steps that were taken."""

OTHER_BITS = (
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


def check(run: Run, config: RunConfig, data_hashes: Mapping[str, str], examples: Mapping[str, int]):
    """Raises UserError when `config` is another training than the run's, or its data have changed."""
    for name in DECIDED:
        if getattr(run.config.train, name) is None:
            raise UserError(f"{run.path / 'config.json'} was changed: train.{name} is missing; bring it back as it was")
    stored, wanted = flat(run.config.to_json()), flat(config.to_json())
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


def how_done(run: Run) -> str:
    """How a run that is done ended, and what makes it go on."""
    epochs, patience = run.config.train.epochs, run.config.train.patience
    if (epoch := stopped_early(run)) is None:
        return f"{epochs} epochs; --epochs with a larger number goes on"
    return (
        f"it stopped early, with epoch {epoch} of {epochs}; --patience with a larger number than {patience}, or with 0 "
        "for no early stopping, goes on"
    )


def start_of(run: Run) -> Checkpoint | None:
    """Where the run goes on, and the run taken back to there; None when it never wrote a checkpoint.

    Raises:
        UserError: its epochs are known, but no checkpoint is whole.
    """
    checkpoints = Checkpoints(run.path / "checkpoints", run.config.train.keep)
    found = checkpoints.newest(run.log)
    if found is None and run.metrics():
        raise UserError(
            f"{run.path} holds no whole checkpoint to go on from (checkpoints/step-*.npz); start a new run, or "
            "sample from what it reached"
        )
    checkpoints.forget_after(found.state["step"] if found else -1)
    run.keep_metrics(found.state["epoch"] if found else 0)
    for name in ("DONE", "FAILED"):
        (run.path / name).unlink(missing_ok=True)
    for part in run.path.rglob(f"{ASIDE}*"):  # left by a process that was killed
        if part.is_file():
            part.unlink(missing_ok=True)
    return found


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return found
