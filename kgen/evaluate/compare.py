"""What is compared: the generators that paths hold, with their evaluation rows."""

import dataclasses
import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kgen.environment import difference as difference_of_environments
from kgen.errors import UserError
from kgen.evaluate.results import NOT_COMPARED, difference, generator_of, protocol_key, rows_of
from kgen.evaluate.tables import (
    format_interval,
    format_settings,
    format_value,
    protocol_lines,
    with_settings,
)
from kgen.registry import nearest
from kgen.run import Run
from kgen.sampling import StandardNormal, latest_version
from kgen.tables import format_number
from kgen.web.curves import Line, Panel


@dataclass(frozen=True)
class Compared:
    """One generator.

    Attributes:
        name: differs from that of every other subject.
        path: as messages name it.
        facts: values of `compare.FACTS`, "kind", "checkpoint" and "epoch", as far as they are known.
        rows: its evaluation rows.
        notes: what a reader of its figures has to know.
        grid: a picture of its samples, or None.
    """

    name: str
    path: Path
    facts: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()
    grid: Path | None = None


def open_subjects(paths: Iterable[str | Path]) -> list[Compared]:
    """What the paths hold: runs, exports, folders with an eval/ folder, .jsonl files of evaluation rows.

    A path that is given again is left out. A run or an export without evaluation rows is a subject without figures.

    Raises:
        UserError: a path is none of these, or an evaluation row is broken.
    """
    found = {}
    for path in map(Path, paths):
        folder = path if (path / "eval").is_dir() else latest_version(path) or path
        found.setdefault(folder.resolve(), folder)
    subjects = [subject for folder in found.values() for subject in _subjects(folder)]
    return [dataclasses.replace(s, name=name) for s, name in zip(subjects, _names(subjects), strict=True)]


def _subjects(path: Path) -> list[Compared]:
    run = Run.open(path) if (path / "config.json").is_file() else None
    is_export = (path / "saved_model.pb").is_file()
    rows = rows_of(path, required=not (run or is_export))
    groups: dict[tuple, list[Mapping[str, Any]]] = {}
    for row in rows:
        own_path = (row.get("subject") or {}).get("path") if path.is_file() else None
        groups.setdefault((*generator_of(row), own_path), []).append(row)
    if not groups:
        groups[None, None, None, None] = []
    subjects = []
    for (kind, checkpoint, prior, own_path), group in groups.items():
        about: dict[str, Any] = {"kind": "run" if run else "export" if is_export else None}
        for row in group:  # the newest last
            about |= {key: value for key, value in (row.get("subject") or {}).items() if value is not None}
        if run:
            about |= {"model": run.config.model, "dataset": run.spec.name}
            about.setdefault("training_seconds", _training_seconds(run))
        grid = path / "samples" / "final.png"
        words = (kind, checkpoint, None if prior == StandardNormal.name else prior)
        several = [word for word in words if word] if len(groups) > 1 and not own_path else []
        subjects.append(
            Compared(
                name=f" ({', '.join(several)})" if several else "",
                path=Path(own_path or path),
                facts=about,
                rows=group,
                notes=[*_run_notes(run), *_prior_notes(about), *_row_notes(path, group)],
                grid=grid if run and prior in (None, run.config.train.prior) and grid.is_file() else None,
            )
        )
    return subjects


def _training_seconds(run: Run) -> float | None:
    try:
        rows = run.metrics()
    except ValueError:  # a line that is still being written
        return None
    return rows[-1].get("elapsed_seconds") if rows else None


def _run_notes(run: Run | None) -> list[str]:
    if run is None:
        return []
    if (run.path / "FAILED").is_file():
        return [f"its training failed: {(run.path / 'FAILED').read_text(encoding='utf-8').strip()}"]
    return [] if (run.path / "DONE").is_file() else ["its training has not ended"]


def _prior_notes(about: Mapping[str, Any]) -> list[str]:
    if not about.get("prior_hash"):
        return []
    return [f"its samples are drawn from the prior {about['prior']} ({about['prior_hash']}), fitted to its encodings"]


def _row_notes(path: Path, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    command = f"kgen-eval {shlex.quote(str(path))}"
    notes = [] if rows else [f"not evaluated yet: {command}"]
    if len({row["protocol"].get("weights_hash") for row in rows}) > 1:
        notes.append(f"its figures are of different weights; evaluate all of them again: {command}")
    elif len({(row.get("subject") or {}).get("prior_hash") for row in rows}) > 1:
        notes.append(f"its figures are of different fits of the prior; evaluate all of them again: {command}")
    said: dict[str, list[str]] = {}
    for row in rows:
        note = row.get("note") or ""
        if value_of(row) is None:
            note = f"no figure, {note or 'it is not a number'}"
        if note:
            said.setdefault(note, []).append(row["measure"])
    return notes + [f"{', '.join(dict.fromkeys(measures))}: {note}" for note, measures in said.items()]


def _names(subjects: Sequence[Compared]) -> list[str]:
    """The last parts of every path, as few as tell it from the others; a version of an export keeps its name."""
    parts = [subject.path.absolute().parts for subject in subjects]
    depths = [2 if part[-1].isdigit() else 1 for part in parts]
    while True:
        names = ["/".join(p[-d:]) + s.name for p, d, s in zip(parts, depths, subjects, strict=True)]
        longer = [names.count(n) > 1 and d < len(p) for n, p, d in zip(names, parts, depths, strict=True)]
        if not any(longer):
            break
        depths = [depth + more for depth, more in zip(depths, longer, strict=True)]
    again = [names[:i].count(name) for i, name in enumerate(names)]
    return [f"{name} ({count + 1})" if count else name for name, count in zip(names, again, strict=True)]


def value_of(row: Mapping[str, Any]) -> float | None:
    """A row's value; None and NaN are no figure."""
    value = row.get("value")
    return None if value is None or math.isnan(value) else value


# Compare --------------------------------------------------------------------------------------------------------------
# One table of many generators: figures in one column only where their protocols compare, the best of each marked.


BEST, NEAR = "*", "~"
"""Marks: the best figure of a column; one that cannot be told from the best."""

OTHER_PROCESSORS = (
    "Some figures of a column were measured on another kind of processor than others: of the same generator they agree "
    "to 1e-5 of their size (measured on CPUs: 3e-6), shares of images to an image."
)

FACTS = {
    "model": "model",
    "dataset": "dataset",
    "parameters": "parameters",
    "bytes": "bytes",
    "training_seconds": "training seconds",
    "seconds_per_1000_samples": "seconds per 1000 samples",
}
"""What is said of a subject beside its measures: key -> title. Of the numbers, the smallest is the best."""


@dataclass(frozen=True)
class Column:
    """One column of figures that compare.

    Attributes:
        key: a measure, or a key of FACTS.
        title: the key; with what tells its protocol from those of the measure's other columns.
        better: "lower", "higher" or "".
        cells: number of the subject -> its evaluation row; of a fact a row with nothing but a value.
        marks: number of the subject -> BEST or NEAR.
    """

    key: str
    title: str
    better: str
    cells: Mapping[int, Mapping[str, Any]]
    marks: Mapping[int, str] = field(default_factory=dict)

    @property
    def protocol(self) -> Mapping[str, Any]:
        """Of its figures; they agree in all that is compared."""
        return next(iter(self.cells.values()))["protocol"]


@dataclass(frozen=True)
class Comparison:
    """Subjects, and the columns of their measures."""

    subjects: Sequence[Compared]
    facts: Sequence[Column]
    measures: Sequence[Column]

    def table(self) -> tuple[list[str], list[list[str]], dict[tuple[int, int], str]]:
        """(headers, rows of texts, (row, column) -> mark); where a floor is known the last row holds the floors."""
        columns = [*self.facts, *self.measures]
        headers = ["name", *(column.title for column in columns)]
        rows = [
            [subject.name, *(_text(column.cells.get(i)) for column in columns)]
            for i, subject in enumerate(self.subjects)
        ]
        marks = {(i, j): mark for j, column in enumerate(columns, 1) for i, mark in column.marks.items()}
        floors = [_floor(column) for column in self.measures]
        if any(floors):
            rows.append(["floor (real images)", *["-"] * len(self.facts), *(floor or "-" for floor in floors)])
        return headers, rows, marks

    def protocols(self) -> list[tuple[str, str]]:
        """(titles of columns, their protocol in words)."""
        named = [(with_settings(column.title, column.protocol), column.protocol) for column in self.measures]
        return protocol_lines(named, leave_out=(*NOT_COMPARED, "settings"))

    def notes(self) -> list[tuple[str, str]]:
        """(name of a subject, what a reader has to know of it)."""
        return [(subject.name, note) for subject in self.subjects for note in subject.notes]

    def legend(self) -> list[str]:
        """Sentences that explain the marks."""
        lines = []
        if any(column.marks for column in (*self.facts, *self.measures)):
            lines.append(f"{BEST} best of its column; {NEAR} cannot be told from the best: the 95 % intervals overlap.")
        if any(column.marks for column in self.measures):
            lines.append("The intervals are of the evaluation; training again with another seed was not measured.")
        if any(ends_of(row) is None for column in self.measures if column.marks for row in column.cells.values()):
            lines.append(
                "A figure of one repeat and without an interval is taken as exact: repeat it to know its spread."
            )
        if any(_of_several_environments(column) for column in self.measures):
            lines.append(OTHER_PROCESSORS)
        if any(column.marks for column in self.facts if "seconds" in column.key):
            lines.append("Seconds are those of the machine that each was trained or evaluated on.")
        return lines


def _of_several_environments(column: Column) -> bool:
    known = [row["environment"] for row in column.cells.values() if isinstance(row.get("environment"), dict)]
    return any(difference_of_environments(known[0], other) for other in known[1:])


# Columns --------------------------------------------------------------------------------------------------------------


def compare(
    subjects: Sequence[Compared],
    *,
    measures: Sequence[str] | None = None,
    sort: str | None = None,
    anyway: bool = False,
) -> Comparison:
    """Puts the figures that compare into columns and marks the best.

    Args:
        subjects: from `open_subjects`.
        measures: the measures to show, in this order; None shows all.
        sort: a measure or a key of FACTS; the best comes first, subjects without a figure last. None keeps the order.
        anyway: shows figures whose protocols do not compare in columns of their own.

    Raises:
        UserError: two subjects have a measure, but only by protocols that do not compare; an unknown measure; sorting
            by a measure that takes several columns.
    """
    known = list(dict.fromkeys(row["measure"] for subject in subjects for row in subject.rows))
    for measure in measures or ():
        if measure not in known:
            raise UserError(f"--measures {measure}: it was measured of none of them; {nearest(measure, known)}")
    wanted = known if measures is None else list(dict.fromkeys(measures))
    if not anyway:
        _demand_comparable(subjects, wanted)
    columns = [column for measure in wanted for column in _columns(subjects, measure)]
    if sort is not None:
        order = _order(subjects, [*_facts(subjects), *columns], sort)
        return compare([subjects[i] for i in order], measures=wanted, anyway=anyway)
    return Comparison(subjects, _facts(subjects), columns)


def _figures(subject: Compared, measure: str) -> dict[str, Mapping[str, Any]]:
    """A subject's figures of a measure by protocol."""
    return {protocol_key(r): r for r in subject.rows if r["measure"] == measure and value_of(r) is not None}


def _demand_comparable(subjects: Sequence[Compared], measures: Sequence[str]):
    refused = []
    for measure in measures:
        figures = [_figures(subject, measure) for subject in subjects]
        refused += [
            (measure, subjects[i], subjects[j], _nearest_difference(figures[i], figures[j]))
            for j in range(len(subjects))
            for i in range(j)
            if figures[i] and figures[j] and not figures[i].keys() & figures[j].keys()
        ]
    if not refused:
        return
    measure, one, other, differences = refused[0]
    words = ", ".join(f"{key} is {_told(key, a, b)} against {_told(key, b, a)}" for key, a, b in differences)
    others = [name for name in dict.fromkeys(name for name, *_ in refused) if name != measure]
    raise UserError(
        f"{measure} of {one.path} and {other.path} was not measured in the same way: {words}"
        + (f" (the same holds for {', '.join(others)})" if others else "")
        + "; evaluate them alike with kgen-eval, choose what to compare with --measures, "
        "or give --anyway to see the figures apart"
    )


def _nearest_difference(one: Mapping[str, Mapping], other: Mapping[str, Mapping]) -> list[tuple[str, Any, Any]]:
    pairs = (difference(a["protocol"], b["protocol"]) for a in one.values() for b in other.values())
    return min(pairs, key=len)


def _told(key: str, value: Any, other: Any) -> str:
    if value is None:
        return "missing"
    short = format_settings(key, value)
    return str(value) if short == format_settings(key, other) else short


def _columns(subjects: Sequence[Compared], measure: str) -> list[Column]:
    """A column for every protocol of a measure, in the order in which they come."""
    figures = [_figures(subject, measure) for subject in subjects]
    protocols = {key: row["protocol"] for found in figures for key, row in found.items()}
    first = next(iter(protocols.values()), {})
    differing = list(dict.fromkeys(key for p in protocols.values() for key, *_ in difference(first, p)))
    titles = _titles(measure, list(protocols.values()), differing)
    columns = []
    for number_, title in zip(protocols, titles, strict=True):
        cells = {i: found[number_] for i, found in enumerate(figures) if number_ in found}
        better = next((row["better"] for row in cells.values() if row.get("better")), "")
        columns.append(Column(measure, title, better, cells, _marks(cells, better)))
    return columns


def _titles(measure: str, protocols: Sequence[Mapping[str, Any]], differing: Sequence[str]) -> list[str]:
    """The measure with the fewest of the differing keys that tell its protocols apart, hashes last."""
    if not differing:
        return [measure] * len(protocols)
    given = [{key: format_settings(key, value) for key, value, _ in difference(protocol, {})} for protocol in protocols]
    keys = sorted(differing, key=lambda key: key.endswith("_hash"))
    words: list[list[str]] = [[] for _ in protocols]
    for key in keys:
        for some, values in zip(words, given, strict=True):
            some.append(f"{key}={values.get(key, 'missing')}")
        if len(set(map(tuple, words))) == len(words):
            break
    return [f"{measure} ({', '.join(some)})" for some in words]


def _facts(subjects: Sequence[Compared]) -> list[Column]:
    columns = []
    for key, title in FACTS.items():
        cells = {i: {"value": s.facts[key]} for i, s in enumerate(subjects) if s.facts.get(key) is not None}
        better = "" if key in ("model", "dataset") else "lower"
        columns.append(Column(key, title, better, cells, _marks(cells, better)))
    return columns


def _marks(cells: Mapping[int, Mapping[str, Any]], better: str) -> dict[int, str]:
    """BEST and NEAR of a column; none where there is nothing to choose between."""
    if better not in ("lower", "higher") or len(cells) < 2:
        return {}
    values = {i: row["value"] for i, row in cells.items()}
    best = (min if better == "lower" else max)(values.values())
    ends = {i: ends_of(row) or (row["value"], row["value"]) for i, row in cells.items()}
    winners = [ends[i] for i, value in values.items() if value == best]
    near = {i for i, (low, high) in ends.items() if any(low <= top and high >= bottom for bottom, top in winners)}
    return {i: BEST if value == best else NEAR for i, value in values.items() if value == best or i in near}


def ends_of(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """The 95 % interval of a figure: the row's own, else Student's of the mean over its repeats; None: unknown."""
    if row.get("interval"):
        return tuple(row["interval"])
    repeats, spread = len(row.get("values") or ()), row.get("stddev")
    if repeats < 2 or spread is None:
        return None
    from scipy.special import stdtrit

    half = float(stdtrit(repeats - 1, 0.975)) * spread / math.sqrt(repeats)
    return row["value"] - half, row["value"] + half


def _order(subjects: Sequence[Compared], columns: Sequence[Column], sort: str) -> list[int]:
    """Numbers of the subjects, the best first."""
    found = [column for column in columns if column.key == sort]
    if not found:
        raise UserError(f"--sort {sort}: there is no such column; {nearest(sort, {column.key for column in columns})}")
    if len(found) > 1:
        raise UserError(
            f"--sort {sort}: its figures were measured in {len(found)} ways that have no common order; "
            "sort by another column"
        )
    cells = found[0].cells
    with_figure = sorted(cells, key=lambda i: cells[i]["value"], reverse=found[0].better == "higher")
    return [*with_figure, *(i for i in range(len(subjects)) if i not in cells)]


# Cells ----------------------------------------------------------------------------------------------------------------


def _text(row: Mapping[str, Any] | None) -> str:
    """A cell: the figure with its standard deviation; with its interval where only that is known."""
    if row is None:
        return "-"
    if isinstance(row["value"], str):
        return row["value"]
    return format_value(row) + (
        f" [{format_interval(row)}]" if row.get("interval") and row.get("stddev") is None else ""
    )


def _floor(column: Column) -> str:
    """The floors of a column's figures; they differ only where they were measured with other seeds."""
    floors = sorted({row["floor"] for row in column.cells.values() if row.get("floor") is not None})
    return " to ".join(dict.fromkeys(format_number(floor) for floor in floors[:1] + floors[-1:]))


# Compare curves -------------------------------------------------------------------------------------------------------
# How the samples of several runs became better while they trained: one panel per figure, one line per run.


def qualities(subjects: Sequence[Compared]) -> list[dict[str, dict[str, list[tuple[float, float]]]]]:
    """Figures that two runs or more measured in the same way while they trained.

    Returns:
        For every way to measure: {figure: {name of a run: [(seconds of training, value), ...]}}.
    """
    runs: dict[Path, str] = {}
    for subject in subjects:  # a run may be several: its checkpoints and priors
        if (subject.path / "config.json").is_file():
            runs.setdefault(subject.path.resolve(), subject.name)
    ways: dict[str, dict[str, dict[str, list]]] = {}
    for run, name in ((Run.open(path), name) for path, name in runs.items()):
        for figure, points in _points(run).items():
            ways.setdefault(_way(run), {}).setdefault(figure, {})[name] = points
    shared = [{figure: lines for figure, lines in way.items() if len(lines) > 1} for way in ways.values()]
    return [figures for figures in shared if figures]


def _way(run: Run) -> str:
    """What must be the same, that figures of two runs compare."""
    train = run.config.train
    return json.dumps([run.spec.name, run.data_hashes, train.eval_features, train.eval_count], sort_keys=True)


def _points(run: Run) -> dict[str, list[tuple[float, float]]]:
    """Figures of samples: what has no counterpart in training, as the terms of a loss have."""
    try:
        rows = run.metrics()
    except ValueError:  # a line that is still being written
        return {}
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for key, value in row.items():
            split, _, figure = key.partition("_")
            if split == "validation" and f"train_{figure}" not in row and value is not None:
                found.setdefault(figure, []).append((row["elapsed_seconds"], value))
    return found


def panels(subjects: Sequence[Compared]) -> list[tuple[str, list[Panel]]]:
    """(a sentence, a panel per figure) of every way to measure; a run has one colour in all of them."""
    found = []
    for figures in qualities(subjects):
        names = list(dict.fromkeys(name for lines in figures.values() for name in lines))
        drawn = [
            Panel(
                figure.replace("_", " "),
                [Line(name, sorted(points), names.index(name)) for name, points in lines.items()],
                x_name="seconds",
                whole_x=False,
            )
            for figure, lines in figures.items()
        ]
        found.append((f"{', '.join(figures)} of {', '.join(names)} over the seconds of training", drawn))
    return found
