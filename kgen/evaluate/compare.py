"""One table of many generators: figures in one column only where their protocols compare, the best of each marked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kgen.environment import difference as difference_of_environments
from kgen.errors import UserError
from kgen.evaluate.compared import Compared, value_of
from kgen.evaluate.rows import NOT_COMPARED, difference, protocol_key
from kgen.evaluate.table import figure, interval, number, protocol_lines, told, with_settings
from kgen.registry import nearest

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
    short = told(key, value)
    return str(value) if short == told(key, other) else short


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
    given = [{key: told(key, value) for key, value, _ in difference(protocol, {})} for protocol in protocols]
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
    return figure(row) + (f" [{interval(row)}]" if row.get("interval") and row.get("stddev") is None else "")


def _floor(column: Column) -> str:
    """The floors of a column's figures; they differ only where they were measured with other seeds."""
    floors = sorted({row["floor"] for row in column.cells.values() if row.get("floor") is not None})
    return " to ".join(dict.fromkeys(number(floor) for floor in floors[:1] + floors[-1:]))
