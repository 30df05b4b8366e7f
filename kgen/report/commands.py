"""Command lines to run next: what uses a trained run, what resumes or repeats a training."""

import dataclasses
import json
import shlex
from pathlib import Path

from kgen.config import RunConfig
from kgen.file_systems import is_address
from kgen.models.presets import PRESETS
from kgen.run import Run

DONE, FAILED, UNFINISHED = "done", "failed", "unfinished"
"""How a training ended: as planned, with an error, or not (yet)."""
PAGE = "a page to play with the decoder"
"""Purpose of the command that writes the page of kgen-explore."""
RATE_FACTOR = 0.1
"""Factor on the learning rate that is proposed after a loss that was not finite."""


def next_commands(run: Run, *, state: str = DONE, reason: str = "", path: Path | None = None) -> list[tuple[str, str]]:
    """Commands to run next, the most useful first.

    Args:
        run: a run directory.
        state: DONE, FAILED or UNFINISHED.
        reason: the error message of a failed training.
        path: how the commands name the run; None takes `run.place`.

    Returns:
        (purpose, command line, quoted for the shell).
    """
    path = str(path or run.place)
    use = _usage_commands(run, path)
    if state == DONE:
        return use
    resume = [("resume from the last checkpoint", shlex.join(["kgen-train", "--resume", path]))]
    resume = resume if run.step_checkpoints.steps() else []
    if state == UNFINISHED:
        first = [("update this page", shlex.join(["kgen-report", path])), *resume]
    elif "--learning_rate" in reason and run.config.train.learning_rate:
        first = [(f"train again, with {RATE_FACTOR:g} times the learning rate", train_again(run.config, RATE_FACTOR))]
    else:
        first = [*resume, ("train again with the same settings", train_again(run.config))]
    return first + (use if run.checkpoint("last").is_file() else [])


def _usage_commands(run: Run, path: str) -> list[tuple[str, str]]:
    label = []
    if is_conditional(run.config):
        label = ["--label", run.spec.class_name(run.spec.num_classes - 1)]
    commands = {
        "64 samples as a picture": ["kgen-sample", path, "--count", "64", *label, "--seed", "1"],
        PAGE: ["kgen-explore", path, "--what", "page"],
        "metrics with their protocols": ["kgen-eval", path],
        "SavedModel and TFLite files": ["kgen-export", path, "--to", f"exports/{run.config.model}"],
        "pictures of the latent space": ["kgen-explore", path],
        "the exports as a service, with a page": ["kgen-serve", "exports/"],
    }
    lines = [(purpose, shlex.join(words)) for purpose, words in commands.items()]
    if is_address(path):
        return lines
    return [*lines, ("this run beside its neighbours", shlex.join(["kgen-compare", str(Path(path).parent)]))]


def is_conditional(config: RunConfig) -> bool:
    """Whether the model of a run takes labels; False for one that this kgen does not know."""
    preset = PRESETS.get(config.model)
    return bool(preset and preset.conditional)


def train_again(config: RunConfig, rate_factor: float = 1.0) -> str:
    """A `kgen-train` with every setting of a run that is not a default, whatever recipe it came from.

    Of a run of `train.minutes` with the epochs that these were.

    Args:
        config: complete, as a run has it.
        rate_factor: factor on the learning rates.
    """
    defaults, settings = RunConfig(), {}
    if config.train.epochs is not None:
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, minutes=None))
    for section in ("data", "train"):
        for field in dataclasses.fields(getattr(defaults, section)):
            value = getattr(getattr(config, section), field.name)
            if value != getattr(getattr(defaults, section), field.name):
                scaled = rate_factor != 1 and field.name in ("learning_rate", "discriminator_learning_rate")
                settings[f"{section}.{field.name}"] = float(f"{rate_factor * value:.6g}") if scaled else value
    settings |= {f"model_args.{name}": value for name, value in config.model_args.items()}
    words = ["kgen-train", "--model", config.model, "--seed", str(config.seed)]
    for name, value in settings.items():
        words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    return shlex.join(words)
