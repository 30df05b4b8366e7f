"""The files of a run, read so that one that is missing or broken affects its own part of the report only."""

import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kgen.errors import UserError
from kgen.evaluate.results import results_of
from kgen.report.commands import DONE, FAILED, UNFINISHED
from kgen.run import CHECKPOINTS, INTERRUPTED, Run, row_of

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
TIME_LENGTH = 19
"""Characters of a time of the log."""
MAX_VALUE = 1e300
"""Larger values are plotted as infinite: the scale of an axis would overflow."""


@dataclass
class RunFiles:
    """What the files of a run hold.

    Attributes:
        run: the run.
        state: DONE, FAILED or UNFINISHED.
        reason: the text of FAILED; of DONE why the training ended before its last epoch; or "".
        rows: of metrics.jsonl that can be read and have an epoch, by epoch.
        log: lines of log.txt.
        checkpoints: see `Run.checkpoint_state`.
        results: of eval/.
        problems: sentences about what could not be read.
    """

    run: Run
    state: str = UNFINISHED
    reason: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    checkpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def interrupted(self) -> bool:
        """Whether a user ended the training, which is no failure of it."""
        return self.state == FAILED and self.reason.startswith(INTERRUPTED)


def read(run: Run) -> RunFiles:
    """Reads the files; a missing or broken one raises nothing."""
    files = RunFiles(run)
    if (run.path / "FAILED").is_file():
        files.state, files.reason = FAILED, _text(run, "FAILED").strip()
    elif (run.path / "DONE").is_file():
        files.state, files.reason = DONE, _text(run, "DONE").partition("\n")[2].strip()
    files.log = _text(run, "log.txt").splitlines()
    files.rows = _metrics(files)
    for name in CHECKPOINTS:
        try:
            files.checkpoints |= run.checkpoint_state([name])
        except UserError as error:
            files.problems.append(f"{error}.")
    try:
        files.results = results_of(run.path, required=False)
    except UserError as error:
        files.problems.append(f"The evaluation is left out: {error}.")
    return files


def _text(run: Run, name: str) -> str:
    path = run.path / name
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _metrics(files: RunFiles) -> list[dict[str, Any]]:
    rows, broken = {}, []
    for number, line in enumerate(_text(files.run, "metrics.jsonl").splitlines(), start=1):
        try:
            row = {key: _clipped(value) for key, value in row_of(line).items()}
            rows[row["epoch"]] = row
        except ValueError:
            broken.append(str(number))
    if broken:
        lines = f"line {broken[0]}" if len(broken) == 1 else f"lines {', '.join(broken[:5])}"
        files.problems.append(f"metrics.jsonl, {lines}: broken JSON, as a process that was killed leaves it; left out.")
    return [rows[epoch] for epoch in sorted(rows)]


def _clipped(value: float | None) -> float | None:
    """The value; infinite beyond MAX_VALUE."""
    if value is None or -MAX_VALUE < value < MAX_VALUE or value != value:
        return value
    return math.inf if value > 0 else -math.inf


def finite(value: Any) -> float | None:
    """The value if it is a finite number of at most MAX_VALUE, else None."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if number and -MAX_VALUE < value < MAX_VALUE else None


# What the log records -------------------------------------------------------------------------------------------------


def message_of(line: str) -> str:
    """A line of log.txt without its time."""
    return line[TIME_LENGTH + 1 :] if _time(line) else line


def _time(line: str) -> datetime | None:
    try:
        return datetime.strptime(line[:TIME_LENGTH], TIME_FORMAT)
    except ValueError:
        return None


def training_seconds(files: RunFiles) -> float | None:
    """Duration of the training, so far if it has not ended; None if it is not recorded."""
    done = [found for line in files.log if (found := re.fullmatch(r"done in (\d+) seconds", message_of(line)))]
    if done:
        return float(done[-1][1])
    times = [time for line in files.log if (time := _time(line))]
    logged = (times[-1] - times[0]).total_seconds() if len(times) > 1 else 0.0
    trained = files.rows[-1].get("elapsed_seconds") if files.rows else None
    return max(logged, finite(trained) or 0.0) or None


def start_time(files: RunFiles) -> str | None:
    """Time of the first line of the log, to the minute."""
    return next((line[: TIME_LENGTH - 3] for line in files.log if _time(line)), None)


def parameter_count(files: RunFiles) -> str | None:
    """Number of parameters of the model, as in the log."""
    found = (re.match(r"model \S+: ([\d,]+) parameters", message_of(line)) for line in files.log)
    return next((match[1] for match in found if match), None)


def diagnoses(files: RunFiles) -> tuple[list[tuple[str, str, str]], str]:
    """What the diagnostics of an adversarial training wrote into the log.

    Returns:
        ([(epoch, name of the problem, evidence and advice)], the last summary or "").
    """
    problems, summary = [], ""
    for line in map(message_of, files.log):
        if match := re.match(r"diagnostics, (epoch \d+): ([^:]+): (.*)", line):
            problems.append((match[1], match[2], match[3]))
        elif match := re.match(r"diagnostics(?:, (at the end))?: (.*)", line):
            summary = f"{match[1]}: {match[2]}" if match[1] else match[2]
    return problems, summary
