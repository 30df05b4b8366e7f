"""What a run left behind, read so that a file that is missing or broken costs its own part of the report only."""

import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kgen.errors import UserError
from kgen.evaluate.results import results_of
from kgen.report.commands import DONE, FAILED, UNFINISHED
from kgen.run import CHECKPOINTS, Run, row_of

STAMP = "%Y-%m-%d %H:%M:%S"
STAMP_LETTERS = 19
LARGEST = 1e300


@dataclass
class RunFiles:
    """A run's files.

    Attributes:
        run: it.
        state: DONE, FAILED, or UNFINISHED where neither is recorded.
        reason: the text of FAILED; of DONE why the training ended before its last epoch; or "".
        rows: of metrics.jsonl, those that can be read and have an epoch; by epoch, rising.
        log: lines of log.txt.
        checkpoints: see `Run.checkpoint_state`.
        evaluation: rows of eval/.
        problems: sentences about what could not be read.
    """

    run: Run
    state: str = UNFINISHED
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
    for name in CHECKPOINTS:
        try:
            record.checkpoints |= run.checkpoint_state([name])
        except UserError as error:
            record.problems.append(f"{error}.")
    try:
        record.evaluation = results_of(run.path, required=False)
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
        if match := re.match(r"diagnostics, (epoch \d+): ([^:]+): (.*)", line):
            found.append((match[1], match[2], match[3]))
        elif match := re.match(r"diagnostics(?:, (at the end))?: (.*)", line):
            last = f"{match[1]}: {match[2]}" if match[1] else match[2]
    return found, last


def finite(value: Any) -> float | None:
    """The value if it is a finite number that leaves room to draw with."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if number and -LARGEST < value < LARGEST else None
