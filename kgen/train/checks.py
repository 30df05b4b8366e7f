"""What a training refuses by its configuration and its folder alone: the checks that need no TensorFlow.

The command line makes them before it imports TensorFlow, and `train`, `resume` and `dry_run` make them again.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kgen.config import RunConfig, flatten
from kgen.errors import UserError
from kgen.models.presets import PRESETS
from kgen.pretrained import PRETRAINED, check_package
from kgen.run import Run, check_new, is_run
from kgen.sampling import check_prior
from kgen.train.init_from import with_architecture, with_architecture_of
from kgen.train.loggers import check_loggers

MAY_CHANGE = (
    "recipe", "data.dataset", "data.labels", "data.remote", "data.cache", "data.cache_gib", "train.epochs",
    "train.patience", "train.samples_every", "train.checkpoint_seconds", "train.checkpoint_steps", "train.keep",
    "train.on_nan", "train.profile", "train.strategy", "train.logger",
)  # fmt: skip
"""Settings that may differ when a training resumes: they do not change the steps that were taken. Data may have been
moved, and may be read in another way: their content is compared, and a change of order is logged."""

DECIDED = (
    "epochs", "batch_size", "learning_rate", "steps_per_execution", "jit_compile", "validate_every", "samples_every",
    "ema_halflife_images",
)  # fmt: skip
"""Settings of `train` that a run's config.json always holds, whoever decided them."""


def checked(config: RunConfig, run_dir: str | None = None) -> RunConfig:
    """The configuration of a training, with the architecture of the run or export that it starts from.

    Args:
        config: of the training.
        run_dir: where to; of a run that is there already the architecture is known, and its source may be gone.

    Raises:
        UserError: an unknown model, a prior that it cannot have, early stopping without a metric to go by, a
            logger whose package is not installed, a feature discriminator whose package is not, or `train.init_from`
            of what it cannot start from.
    """
    PRESETS[config.model]
    check_prior(config.train.prior, config.model)
    check_early_stopping(config)
    check_loggers(config.train.logger)
    check_pretrained(config)
    if config.train.init_from and is_run(run_dir):
        return with_architecture_of(Run.open(run_dir), config)
    return with_architecture(config)


def check_pretrained(config: RunConfig):
    """Raises UserError when the package with the weights that the training looks through is not installed."""
    if (name := config.model_args.get("feature_discriminator")) in PRETRAINED:
        check_package(PRETRAINED[name].package, f"model_args.feature_discriminator={name}")


def check_run_dir(run_dir: str | None, runs_root: str):
    """Raises UserError unless `run_dir` is a run, which is resumed, or one can be created; see `Run.create`."""
    if is_run(run_dir):
        Run.open(run_dir)
    else:
        check_new(run_dir, runs_root)


def check_early_stopping(config: RunConfig, examples: Mapping[str, int] | None = None):
    """Raises UserError when the training does not have the metric that `train.patience` goes by.

    Args:
        config: of the training.
        examples: split -> number of images; None where the data have not been read.
    """
    train = config.train
    if not train.patience or train.best_by != "loss":
        return
    by_samples = "--eval_every 1 --metrics fid --best_by fid"
    if PRESETS[config.model].adversarial:
        raise UserError(
            f"train.patience goes by the metric that the best checkpoint is chosen by, and the losses of "
            f"{config.model!r} choose none; add {by_samples}, or leave out --patience. Received: {train.patience}"
        )
    if examples is not None and not examples.get("validation"):
        raise UserError(
            f"train.patience goes by the validation loss, and {config.data.dataset!r} has no validation images "
            f"(data.validation_fraction is {config.data.validation_fraction:g}); set some aside with "
            f"--validation_fraction 0.1, add {by_samples}, or leave out --patience. Received: {train.patience}"
        )


def with_decided(run: Run, config: RunConfig) -> RunConfig:
    """The configuration with the run's values where it has none: defaults stay as they were decided for the run."""
    minutes = config.train.minutes
    kept = [name for name in DECIDED if name != "epochs" or (minutes and minutes == run.config.train.minutes)]
    unset = [name for name in (*kept, "eval_every") if getattr(config.train, name) in (None, "auto")]
    unset += [] if config.train.measures_samples else ["metrics"]  # of labelled data, which nobody asked for
    if config.train.best_by == "auto":
        unset += ["best_by", "metrics", "eval_features"]
        unset += [] if run.config.train.measures_samples else ["eval_count"]  # which then measures nothing
    decided = {name: getattr(run.config.train, name) for name in unset}
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **decided))


def check_settings(run: Run, config: RunConfig, model_args: Mapping[str, Any] | None = None):
    """Raises UserError when `config` is another training than the run's.

    Args:
        run: to resume.
        config: complete.
        model_args: of the run, with those that are newer than it; None: as they were stored.
    """
    for name in DECIDED:
        if getattr(run.config.train, name) is None:
            raise UserError(f"{run.path / 'config.json'} was changed: train.{name} is missing; restore it as it was")
    known = run.config if model_args is None else dataclasses.replace(run.config, model_args=model_args)
    stored, wanted = flatten(known.to_json()), flatten(config.to_json())
    differ = [key for key in {**stored, **wanted} if stored.get(key) != wanted.get(key) and key not in MAY_CHANGE]
    if differ:
        changes = "; ".join(f"{key} was {stored.get(key)!r}, is {wanted.get(key)!r}" for key in differ[:5])
        raise UserError(
            f"{run.place} was trained with other settings: {changes}. Only {', '.join(MAY_CHANGE)} may change; name a "
            "new --run_dir, or give the settings as they were"
        )
