"""What a run left behind, read so that a file that is missing or broken costs its own part of the report only."""

import dataclasses
import json
import math
import re
import shlex
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from kgen.config import RunConfig
from kgen.errors import UserError
from kgen.evaluate.results import rows_of
from kgen.run import Run, row_of

DONE, FAILED, OPEN = "done", "failed", "open"
STAMP = "%Y-%m-%d %H:%M:%S"
STAMP_LETTERS = 19
LARGEST = 1e300


@dataclass
class RunFiles:
    """A run's files.

    Attributes:
        run: it.
        state: DONE, FAILED, or OPEN where neither is recorded.
        reason: the text of FAILED; of DONE why the training ended before its last epoch; or "".
        rows: of metrics.jsonl, those that can be read and have an epoch; by epoch, rising.
        log: lines of log.txt.
        checkpoints: see `Run.checkpoint_state`.
        evaluation: rows of eval/.
        problems: sentences about what could not be read.
    """

    run: Run
    state: str = OPEN
    reason: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    checkpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    evaluation: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read(run: Run) -> RunFiles:
    """All that the report tells of; never raises for a file that lacks or is broken."""
    record = RunFiles(run)
    if (run.path / "FAILED").is_file():
        record.state, record.reason = FAILED, _text(run, "FAILED").strip()
    elif (run.path / "DONE").is_file():
        record.state, record.reason = DONE, _text(run, "DONE").partition("\n")[2].strip()
    record.log = _text(run, "log.txt").splitlines()
    record.rows = _metrics(record)
    try:
        record.checkpoints = run.checkpoint_state()
    except ValueError as error:
        record.problems.append(f"checkpoints/state.json cannot be read ({error}).")
    try:
        record.evaluation = rows_of(run.path, required=False)
    except UserError as error:
        record.problems.append(f"The evaluation is left out: {error}.")
    return record


def _text(run: Run, name: str) -> str:
    path = run.path / name
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _metrics(record: RunFiles) -> list[dict[str, Any]]:
    rows, broken = {}, []
    for number, line in enumerate(_text(record.run, "metrics.jsonl").splitlines(), start=1):
        try:
            row = {key: _drawable(value) for key, value in row_of(line).items()}
            rows[row["epoch"]] = row
        except ValueError:
            broken.append(str(number))
    if broken:
        lines = f"line {broken[0]}" if len(broken) == 1 else f"lines {', '.join(broken[:5])}"
        record.problems.append(
            f"metrics.jsonl, {lines}: broken JSON, as a process that was killed leaves it; left out."
        )
    return [rows[epoch] for epoch in sorted(rows)]


def _drawable(value: float | None) -> float | None:
    """Numbers that leave no room to draw with are infinite."""
    if value is None or -LARGEST < value < LARGEST or value != value:
        return value
    return math.inf if value > 0 else -math.inf


def said(line: str) -> str:
    """A line of log.txt without its time."""
    return line[STAMP_LETTERS + 1 :] if _time(line) else line


def _time(line: str) -> datetime | None:
    try:
        return datetime.strptime(line[:STAMP_LETTERS], STAMP)
    except ValueError:
        return None


def seconds(record: RunFiles) -> float | None:
    """How long the training took, start to end, or as far as it came; None where nothing says."""
    done = [found for line in record.log if (found := re.fullmatch(r"done in (\d+) seconds", said(line)))]
    if done:
        return float(done[-1][1])
    times = [time for line in record.log if (time := _time(line))]
    logged = (times[-1] - times[0]).total_seconds() if len(times) > 1 else 0.0
    trained = record.rows[-1].get("elapsed_seconds") if record.rows else None
    return max(logged, finite(trained) or 0.0) or None


def started(record: RunFiles) -> str | None:
    """When, as the log says it."""
    return next((line[: STAMP_LETTERS - 3] for line in record.log if _time(line)), None)


def parameters(record: RunFiles) -> str | None:
    """How many numbers the model has, as the log says it."""
    found = (re.match(r"model \S+: ([\d,]+) parameters", said(line)) for line in record.log)
    return next((match[1] for match in found if match), None)


def doctors_words(record: RunFiles) -> tuple[list[tuple[str, str, str]], str]:
    """What the doctor of adversarial trainings wrote into the log.

    Returns:
        ([(when, name of what is wrong, evidence and advice)], its last word or "").
    """
    found, last = [], ""
    for line in map(said, record.log):
        if match := re.match(r"doctor, (epoch \d+): ([^:]+): (.*)", line):
            found.append((match[1], match[2], match[3]))
        elif match := re.match(r"doctor(?:, (at the end))?: (.*)", line):
            last = f"{match[1]}: {match[2]}" if match[1] else match[2]
    return found, last


def finite(value: Any) -> float | None:
    """The value if it is a finite number that leaves room to draw with."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if number and -LARGEST < value < LARGEST else None


# Commands -------------------------------------------------------------------------------------------------------------
# What to type next, and how to train the same again.


SMALLER = 0.1
"""Times the learning rate, after a loss that was not finite."""


def next_commands(record: RunFiles, label: str | None = None) -> list[tuple[str, str]]:
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
        for one in dataclasses.fields(getattr(plain, section)):
            value = getattr(getattr(config, section), one.name)
            if value != getattr(getattr(plain, section), one.name):
                rate = smaller_rates and one.name in ("learning_rate", "discriminator_learning_rate")
                settings[f"{section}.{one.name}"] = float(f"{SMALLER * value:.6g}") if rate else value
    settings |= {f"model_args.{name}": value for name, value in config.model_args.items()}
    words = ["kgen-train", "--model", config.model, "--seed", str(config.seed)]
    for name, value in settings.items():
        words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    return shlex.join(words)
