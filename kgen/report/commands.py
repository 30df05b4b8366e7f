"""What to type next, and how to train the same again."""

import dataclasses
import json
import shlex
from pathlib import Path

from kgen.config import RunConfig
from kgen.report.record import DONE, FAILED, Record

SMALLER = 0.1
"""Times the learning rate, after a loss that was not finite."""


def next_commands(record: Record, label: str | None = None) -> list[tuple[str, str]]:
    """(what it does, the command line with the run's absolute path, quoted for the shell).

    Args:
        record: of the run.
        label: a class that the model can be asked for, or None.
    """
    run = record.run
    path, name = str(run.path.resolve()), run.config.model
    asked = ["--label", label] if label is not None else []
    use = [
        ("64 samples as a picture", ["kgen-sample", path, "--count", "64", *asked, "--seed", "1"]),
        ("figures with their protocols", ["kgen-eval", path]),
        ("a look inside", ["kgen-explore", path]),
        ("SavedModel and TFLite files", ["kgen-export", path, "--to", f"exports/{name}"]),
        ("the exports as a service, with a page", ["kgen-serve", "exports/"]),
    ]
    lines = [(words, shlex.join(command)) for words, command in use]
    lines.append(("this run beside its neighbours", f"kgen-compare {shlex.quote(str(Path(path).parent))}/*"))
    if record.state == DONE:
        return lines
    again = [("this page anew, when there is more to see", shlex.join(["kgen-report", path]))]
    go_on = [("goes on from the last checkpoint", shlex.join(["kgen-train", "--resume", path]))]
    go_on = go_on if any(run.path.glob("checkpoints/step-*.json")) else []
    if record.state == FAILED:
        again = [*go_on, ("the same training again", train_again(run.config))]
        if "--learning_rate" in record.reason and run.config.train.learning_rate:
            words = f"again, at {SMALLER:g} times the learning rate"
            again = [(words, train_again(run.config, smaller_rates=True))]
    again += go_on if record.state != FAILED else []
    return again + (lines if run.checkpoint("last").is_file() else [])


def train_again(config: RunConfig, *, smaller_rates: bool = False) -> str:
    """A `kgen-train` with every setting of a run that is not a default, whatever recipe it came from.

    Args:
        config: complete, as a run has it.
        smaller_rates: with learning rates SMALLER times as large.
    """
    plain, settings = RunConfig(), {}
    for section in ("data", "train"):
        for field in dataclasses.fields(getattr(plain, section)):
            value = getattr(getattr(config, section), field.name)
            if value != getattr(getattr(plain, section), field.name):
                rate = smaller_rates and field.name in ("learning_rate", "discriminator_learning_rate")
                settings[f"{section}.{field.name}"] = float(f"{SMALLER * value:.6g}") if rate else value
    settings |= {f"model_args.{name}": value for name, value in config.model_args.items()}
    words = ["kgen-train", "--model", config.model, "--seed", str(config.seed)]
    for name, value in settings.items():
        words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    return shlex.join(words)
