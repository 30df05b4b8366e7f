"""Compares generators: one table of many, with values in one column only where their protocols are comparable.

`open_targets` reads what paths hold, `compare` puts their results into columns and marks the best of each, `panels`
shows how the samples of several runs became better during training.
"""

import dataclasses
import itertools
import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kgen.environment import differences as environment_differences
from kgen.errors import UserError
from kgen.evaluate.registry import SHARES, UNITS, directions
from kgen.evaluate.results import NOT_COMPARED, difference, generator_of, protocol_key, results_of
from kgen.evaluate.tables import (
    format_interval,
    format_settings,
    format_value,
    protocol_lines,
    with_settings,
)
from kgen.mirror import local_path
from kgen.registry import nearest
from kgen.run import INTERRUPTED, Run
from kgen.sampling import StandardNormal, latest_version
from kgen.tables import counted, format_number
from kgen.web.curves import Line, Panel

BEST, NEAR = "*", "~"
"""Marks: the best value of a column; one that cannot be distinguished from it."""

OTHER_PROCESSORS = (
    "Some values of a column were computed on another kind of processor than others: of the same generator they agree "
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
"""Columns beside the metrics: key -> title. Of the numbers, the smallest is the best."""

SECONDS_TOLERANCE = 0.1
"""Share by which seconds differ when the same is done again on the same machine; a smaller difference is none."""

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Compared:
    """One generator.

    Attributes:
        name: differs from that of every other target.
        path: for messages.
        facts: values of FACTS, "kind", "checkpoint" and "epoch", as far as they are known.
        results: of its evaluations.
        notes: what a reader of all its values has to know; for those of single metrics see `Comparison.notes_of`.
        grid: a picture of its samples, or None.
    """

    name: str
    path: Path
    facts: Mapping[str, Any]
    results: Sequence[Result]
    notes: Sequence[str] = ()
    grid: Path | None = None


@dataclass(frozen=True)
class Column:
    """One column of comparable values.

    Attributes:
        key: of a metric "NAME", or as it was asked for "NAME@EXTRACTOR"; or a key of FACTS.
        title: the key; with what distinguishes its protocol from those of the metric's other columns.
        better: "lower", "higher" or "".
        cells: number of the target -> its result; of a fact a result with nothing but a value.
        marks: number of the target -> BEST or NEAR.
    """

    key: str
    title: str
    better: str
    cells: Mapping[int, Result]
    marks: Mapping[int, str] = field(default_factory=dict)

    @property
    def protocol(self) -> Mapping[str, Any]:
        """Of its results, which agree in all that is compared; {} of a fact."""
        return next(iter(self.cells.values())).get("protocol", {})

    @property
    def names(self) -> set[str]:
        """What --sort may call it: the key, and the key with its extractor."""
        return {self.key, f"{self.key}@{self.protocol.get('features')}"}

    @property
    def of_several_environments(self) -> bool:
        """Whether its values were computed on different kinds of processors."""
        known = [one["environment"] for one in self.cells.values() if isinstance(one.get("environment"), dict)]
        return any(environment_differences(known[0], other) for other in known[1:])

    @property
    def baseline(self) -> str:
        """The baselines of its results; they differ only where the seeds do."""
        found = sorted({one["baseline"] for one in self.cells.values() if one.get("baseline") is not None})
        return " to ".join(dict.fromkeys(format_number(value) for value in found[:1] + found[-1:]))


@dataclass(frozen=True)
class Comparison:
    """Targets, and the columns of their facts and metrics."""

    targets: Sequence[Compared]
    facts: Sequence[Column]
    metrics: Sequence[Column]
    wanted: Sequence[str] = ()
    """The metrics that were asked for, as NAME or NAME@EXTRACTOR, whether they have values or not."""

    def table(self, intervals: bool = True) -> tuple[list[str], list[list[str]], dict[tuple[int, int], str]]:
        """(headers, rows of texts, (row, column) -> mark); the last row holds the baselines, where any is known.

        Args:
            intervals: shows them where no standard deviation is known.
        """
        columns = [*self.facts, *self.metrics]
        headers = ["name", *(column.title for column in columns)]
        rows = [
            [target.name, *(_text(column.cells.get(i), intervals) for column in columns)]
            for i, target in enumerate(self.targets)
        ]
        marks = {(i, j): mark for j, column in enumerate(columns, 1) for i, mark in column.marks.items()}
        baselines = [column.baseline for column in self.metrics]
        if any(baselines):
            rows.append(["baseline (real images)", *["-"] * len(self.facts), *(text or "-" for text in baselines)])
        return headers, rows, marks

    def by_measure(self, intervals: bool = True) -> tuple[list[str], list[list[str]], dict[tuple[int, int], str]]:
        """`table` with a row per measure and a column per target, and one of the baselines."""
        headers, rows, marks = self.table(intervals)
        names = ["measure", *(row[0].replace("baseline (real images)", "baseline") for row in rows)]
        cells = [[headers[j], *(row[j] for row in rows)] for j in range(1, len(headers))]
        known = [j for j, row in enumerate(cells) if {*row[1:]} != {"-"}]
        moved = {(known.index(j - 1), i + 1): mark for (i, j), mark in marks.items()}
        return names, [cells[j] for j in known], moved

    def verdict(self) -> str:
        """One sentence: who is better in how many measures, beyond the intervals; "" without two values of one."""
        columns = [column for column in self.metrics if column.better in ("lower", "higher") and len(column.cells) > 1]
        if not columns:
            return ""
        wins = dict.fromkeys(range(len(self.targets)), 0)
        for column in columns:
            if len(column.marks) == 1:
                wins[next(iter(column.marks))] += 1
        first, *others = sorted(wins, key=lambda i: -wins[i])
        ties, of = len(columns) - sum(wins.values()), counted(len(columns), "measure")
        if not wins[first]:
            return f"None is better in any of {of}: the values are equal, or their intervals overlap."
        words = [f"{self.targets[first].name} is {'better' if len(wins) == 2 else 'the best'} in {wins[first]} of {of}"]
        words += [f"{self.targets[i].name} in {wins[i]}" for i in others if wins[i]]
        losers = [self.targets[i].name for i in others if not wins[i]]
        words += [f"{losers[0] if len(losers) == 1 else 'the others'} in none"] if losers else []
        return ", ".join(words) + (f"; values are equal or intervals overlap in {ties}" if ties else "") + "."

    def protocols(self) -> list[tuple[str, str]]:
        """(titles of columns, their protocol in words)."""
        named = [(with_settings(column.title, column.protocol), column.protocol) for column in self.metrics]
        return protocol_lines(named, leave_out=(*NOT_COMPARED, "settings"))

    def notes(self) -> list[tuple[str, str]]:
        """(name of a target, a note on it)."""
        return [(target.name, note) for target in self.targets for note in self.notes_of(target)]

    def notes_of(self, target: Compared) -> list[str]:
        """What a reader of a target's values has to know, of the metrics that are shown."""
        results = [one for metric in self.wanted for one in _results_by_protocol(target, metric, valued=False).values()]
        return [*target.notes, *_metric_notes(results)]

    def legend(self) -> list[str]:
        """Sentences that explain the marks."""
        lines = []
        if any(column.marks for column in (*self.facts, *self.metrics)):
            lines.append(f"{BEST} best of its measure; {NEAR} not distinguished from it: the 95 % intervals overlap.")
        if any(column.marks for column in self.metrics):
            lines.append("The intervals are of the evaluation; training again with another seed was not measured.")
        if any(ends_of(one) is None for column in self.metrics if column.marks for one in column.cells.values()):
            lines.append(
                "A value of one repeat and without an interval is taken as exact: repeat it to know its spread."
            )
        if any(column.of_several_environments for column in self.metrics):
            lines.append(OTHER_PROCESSORS)
        if any(column.marks for column in self.facts if "seconds" in column.key):
            lines.append(
                "Seconds are those of the machine that each was trained or evaluated on, and count as equal within "
                f"{SECONDS_TOLERANCE:.0%}."
            )
        return lines


def _text(result: Result | None, intervals: bool) -> str:
    """A cell: the value with its standard deviation; with its interval where only that is known, if so wanted."""
    if result is None:
        return "-"
    if isinstance(result["value"], str):
        return result["value"]
    with_interval = intervals and result.get("interval") and result.get("stddev") is None
    return format_value(result) + (f" [{format_interval(result)}]" if with_interval else "")


# Targets --------------------------------------------------------------------------------------------------------------


def open_targets(paths: Iterable[str | Path]) -> list[Compared]:
    """What the paths hold: runs, exports, folders with eval/ in them, .jsonl files of results.

    A path that is given again is left out. A run or an export without results is a target without values.

    Raises:
        UserError: a path is none of these, or a result cannot be read.
    """
    found = {}
    for path in itertools.chain.from_iterable(_inside(local_path(path)) for path in paths):
        folder = path if (path / "eval").is_dir() else latest_version(path) or path
        found.setdefault(folder.resolve(), folder)
    targets = [target for folder in found.values() for target in _targets_in(folder)]
    return [dataclasses.replace(one, name=name) for one, name in zip(targets, _names(targets), strict=True)]


def _inside(path: Path) -> list[Path]:
    """The runs and exports in a folder that is none itself, e.g. runs/ or exports/; else the path alone."""
    if (path / "config.json").is_file() or (path / "eval").is_dir() or latest_version(path) or not path.is_dir():
        return [path]
    return sorted(one for one in path.iterdir() if (one / "config.json").is_file() or latest_version(one)) or [path]


def _targets_in(path: Path) -> list[Compared]:
    """The generators of one path: a run may have several, by checkpoint and prior."""
    run = Run.open(path) if (path / "config.json").is_file() else None
    is_export = (path / "saved_model.pb").is_file()
    groups: dict[tuple, list[Result]] = {}
    for result in results_of(path, required=not (run or is_export)):
        own_path = (result.get("target") or {}).get("path") if path.is_file() else None
        groups.setdefault((*generator_of(result), own_path), []).append(result)
    if not groups:
        groups[None, None, None, None] = []
    targets = []
    for (kind, checkpoint, prior, own_path), results in groups.items():
        facts: dict[str, Any] = {"kind": "run" if run else "export" if is_export else None}
        for result in results:  # the newest last
            facts |= {key: value for key, value in (result.get("target") or {}).items() if value is not None}
        if run:
            facts |= {"model": run.config.model, "dataset": run.spec.name}
            facts.setdefault("training_seconds", _training_seconds(run))
        grid = path / "samples" / "final.png"
        words = (kind, checkpoint, None if prior == StandardNormal.name else prior)
        several = [word for word in words if word] if len(groups) > 1 and not own_path else []
        targets.append(
            Compared(
                name=f" ({', '.join(several)})" if several else "",
                path=Path(own_path or path),
                facts=facts,
                results=results,
                notes=[*_run_notes(run), *_prior_notes(facts), *_result_notes(path, results)],
                grid=grid if run and prior in (None, run.config.train.prior) and grid.is_file() else None,
            )
        )
    return targets


def _training_seconds(run: Run) -> float | None:
    try:
        epochs = run.metrics()
    except ValueError:  # a line that is still being written
        return None
    return epochs[-1].get("elapsed_seconds") if epochs else None


def _run_notes(run: Run | None) -> list[str]:
    if run is None:
        return []
    if (run.path / "FAILED").is_file():
        reason = (run.path / "FAILED").read_text(encoding="utf-8").strip()
        if reason.startswith(INTERRUPTED):
            return [f"its training was {reason}; it goes on with: kgen-train --resume {shlex.quote(str(run.path))}"]
        return [f"its training failed: {reason}"]
    return [] if (run.path / "DONE").is_file() else ["its training has not ended"]


def _prior_notes(facts: Mapping[str, Any]) -> list[str]:
    if not facts.get("prior_hash"):
        return []
    return [f"its samples are from the prior {facts['prior']} ({facts['prior_hash']}), fitted to its encodings"]


def _result_notes(path: Path, results: Sequence[Result]) -> list[str]:
    command = f"kgen-eval {shlex.quote(str(path))}"
    notes = [] if results else [f"not evaluated yet: {command}"]
    if len({result["protocol"].get("weights_hash") for result in results}) > 1:
        notes.append(f"its values are of different weights; evaluate all of them again: {command}")
    elif len({(result.get("target") or {}).get("prior_hash") for result in results}) > 1:
        notes.append(f"its values are of different fits of the prior; evaluate all of them again: {command}")
    return notes


def _metric_notes(results: Sequence[Result]) -> list[str]:
    metrics_by_note: dict[str, list[str]] = {}
    for result in results:
        note = result.get("note") or ""
        if value_of(result) is None:
            note = f"no value, {note or 'it is not a number'}"
        if note:
            metrics_by_note.setdefault(note, []).append(result["metric"])
    return [f"{', '.join(dict.fromkeys(metrics))}: {note}" for note, metrics in metrics_by_note.items()]


def _names(targets: Sequence[Compared]) -> list[str]:
    """The last parts of every path, as few as distinguish it from the others; a version of an export keeps its name."""
    parts = [target.path.absolute().parts for target in targets]
    depths = [2 if part[-1].isdigit() else 1 for part in parts]
    while True:
        names = ["/".join(p[-d:]) + one.name for p, d, one in zip(parts, depths, targets, strict=True)]
        longer = [names.count(n) > 1 and d < len(p) for n, p, d in zip(names, parts, depths, strict=True)]
        if not any(longer):
            break
        depths = [depth + more for depth, more in zip(depths, longer, strict=True)]
    again = [names[:i].count(name) for i, name in enumerate(names)]
    return [f"{name} ({count + 1})" if count else name for name, count in zip(names, again, strict=True)]


# Columns --------------------------------------------------------------------------------------------------------------


def compare(
    targets: Sequence[Compared],
    *,
    metrics: Sequence[str] | None = None,
    sort: str | None = None,
    anyway: bool = False,
) -> Comparison:
    """Puts comparable values into columns and marks the best.

    Args:
        targets: from `open_targets`.
        metrics: the metrics to show, in this order, as NAME or NAME@EXTRACTOR; None shows all.
        sort: a metric or a key of FACTS; the best comes first, targets without a value last. None keeps the order.
        anyway: shows values whose protocols are not comparable in columns of their own.

    Raises:
        UserError: two targets have a metric, but only by protocols that are not comparable; an unknown metric; sorting
            by a metric that takes several columns.
    """
    known = list(dict.fromkeys(result["metric"] for target in targets for result in target.results))
    for metric in metrics or ():
        if not any(_results_by_protocol(target, metric, valued=False) for target in targets):
            known = {*known, *_with_extractors(targets)} if "@" in metric else known
            raise UserError(f"--metrics {metric}: it was computed for none of them; {nearest(metric, known)}")
    wanted = known if metrics is None else list(dict.fromkeys(metrics))
    if not anyway:
        _require_comparable(targets, wanted)
    columns = [column for metric in wanted for column in _columns(targets, metric)]
    if sort is not None:
        order = _order(targets, [*_facts(targets), *columns], sort)
        return compare([targets[i] for i in order], metrics=wanted, anyway=anyway)
    return Comparison(targets, _facts(targets), columns, wanted)


def _with_extractors(targets: Sequence[Compared]) -> set[str]:
    return {f"{one['metric']}@{one['protocol'].get('features')}" for target in targets for one in target.results}


def _results_by_protocol(target: Compared, metric: str, *, valued: bool = True) -> dict[str, Result]:
    """A target's results of a metric (NAME or NAME@EXTRACTOR) by protocol; only those with a value if `valued`."""
    name, _, features = metric.partition("@")
    return {
        protocol_key(result): result
        for result in target.results
        if result["metric"] == name
        and (not features or result["protocol"].get("features") == features)
        and not (valued and value_of(result) is None)
    }


def _require_comparable(targets: Sequence[Compared], metrics: Sequence[str]):
    refused = []
    for metric in metrics:
        results = [_results_by_protocol(target, metric) for target in targets]
        refused += [
            (metric, targets[i], targets[j], _nearest_difference(results[i], results[j]))
            for j in range(len(targets))
            for i in range(j)
            if results[i] and results[j] and not results[i].keys() & results[j].keys()
        ]
    if not refused:
        return
    metric, one, other, differences = refused[0]
    words = ", ".join(f"{key} is {_words(key, a, b)} against {_words(key, b, a)}" for key, a, b in differences)
    others = [name for name in dict.fromkeys(name for name, *_ in refused) if name != metric]
    raise UserError(
        f"{metric} of {one.path} and {other.path} was not computed in the same way: {words}"
        + (f" (the same holds for {', '.join(others)})" if others else "")
        + "; evaluate them alike with kgen-eval, choose what to compare with --metrics, "
        "or give --anyway to see the values apart"
    )


def _nearest_difference(one: Mapping[str, Result], other: Mapping[str, Result]) -> list[tuple[str, Any, Any]]:
    pairs = (difference(a["protocol"], b["protocol"]) for a in one.values() for b in other.values())
    return min(pairs, key=len)


def _words(key: str, value: Any, other: Any) -> str:
    """A value of a protocol, in full where the short form is that of the other."""
    if value is None:
        return "missing"
    short = format_settings(key, value)
    return str(value) if short == format_settings(key, other) else short


def _columns(targets: Sequence[Compared], metric: str) -> list[Column]:
    """A column for every protocol of a metric, in the order in which they come."""
    results = [_results_by_protocol(target, metric) for target in targets]
    protocols = {key: result["protocol"] for found in results for key, result in found.items()}
    first = next(iter(protocols.values()), {})
    differing = list(dict.fromkeys(key for p in protocols.values() for key, *_ in difference(first, p)))
    titles = _titles(metric, list(protocols.values()), differing)
    columns = []
    for protocol, title in zip(protocols, titles, strict=True):
        cells = {i: found[protocol] for i, found in enumerate(results) if protocol in found}
        better = next((result["better"] for result in cells.values() if result.get("better")), "")
        columns.append(Column(metric, title, better, cells, _marks(cells, better)))
    return columns


def _titles(metric: str, protocols: Sequence[Mapping[str, Any]], differing: Sequence[str]) -> list[str]:
    """The metric with the fewest of the differing keys that distinguish its protocols, hashes last."""
    if not differing:
        return [metric] * len(protocols)
    given = [{key: format_settings(key, value) for key, value, _ in difference(protocol, {})} for protocol in protocols]
    keys = sorted(differing, key=lambda key: key.endswith("_hash"))
    words: list[list[str]] = [[] for _ in protocols]
    for key in keys:
        for some, values in zip(words, given, strict=True):
            some.append(f"{key}={values.get(key, 'missing')}")
        if len(set(map(tuple, words))) == len(words):
            break
    return [f"{metric} ({', '.join(some)})" for some in words]


def _facts(targets: Sequence[Compared]) -> list[Column]:
    columns = []
    for key, title in FACTS.items():
        cells = {i: {"value": one.facts[key]} for i, one in enumerate(targets) if one.facts.get(key) is not None}
        better = "" if key in ("model", "dataset") else "lower"
        tolerance = SECONDS_TOLERANCE if "seconds" in key else 0.0
        columns.append(Column(key, title, better, cells, _marks(cells, better, tolerance)))
    return columns


def _marks(cells: Mapping[int, Result], better: str, tolerance: float = 0.0) -> dict[int, str]:
    """BEST and NEAR of a column; none where no value is distinguished from the best.

    Args:
        cells, better: see `Column`.
        tolerance: share of a value without an interval by which it is uncertain, up and down.
    """
    if better not in ("lower", "higher") or len(cells) < 2:
        return {}
    values = {i: result["value"] for i, result in cells.items()}
    best = (min if better == "lower" else max)(values.values())
    around = (1 - tolerance, 1 + tolerance)
    ends = {i: ends_of(result) or tuple(result["value"] * f for f in around) for i, result in cells.items()}
    winners = [ends[i] for i, value in values.items() if value == best]
    near = {i for i, (low, high) in ends.items() if any(low <= top and high >= bottom for bottom, top in winners)}
    if len(near) == len(cells):
        return {}
    return {i: BEST if value == best else NEAR for i, value in values.items() if value == best or i in near}


def value_of(result: Result) -> float | None:
    """A result's value; None and NaN are none."""
    value = result.get("value")
    return None if value is None or math.isnan(value) else value


def ends_of(result: Result) -> tuple[float, float] | None:
    """The 95 % interval of a result: its own, else Student's of the mean over its repeats; None: unknown."""
    if result.get("interval"):
        return tuple(result["interval"])
    repeats, spread = len(result.get("values") or ()), result.get("stddev")
    if repeats < 2 or spread is None:
        return None
    from scipy.special import stdtrit

    half = float(stdtrit(repeats - 1, 0.975)) * spread / math.sqrt(repeats)
    return result["value"] - half, result["value"] + half


def _order(targets: Sequence[Compared], columns: Sequence[Column], sort: str) -> list[int]:
    """Numbers of the targets, the best first."""
    found = [column for column in columns if column.cells and sort in column.names]
    if not found:
        known = {column.key for column in columns}
        raise UserError(f"--sort {sort}: there is no such column; {nearest(sort, known)}")
    if len(found) > 1:
        raise UserError(
            f"--sort {sort}: its values were computed in {len(found)} ways that have no common order; "
            "sort by another column, or by one extractor (NAME@EXTRACTOR)"
        )
    cells = found[0].cells
    with_value = sorted(cells, key=lambda i: cells[i]["value"], reverse=found[0].better == "higher")
    return [*with_value, *(i for i in range(len(targets)) if i not in cells)]


# Curves ---------------------------------------------------------------------------------------------------------------


def panels(targets: Sequence[Compared]) -> list[tuple[str, list[Panel]]]:
    """(a sentence, a panel per metric) of every protocol; a run has one colour in all of them."""
    found = []
    for curves in sample_curves(targets):
        names = list(dict.fromkeys(name for lines in curves.values() for name in lines))
        drawn = [
            Panel(
                metric.replace("_", " "),
                [Line(name, sorted(points), names.index(name)) for name, points in lines.items()],
                unit=UNITS.get(metric.partition("@")[0], ""),
                share=metric.partition("@")[0] in SHARES,
                x_name="seconds",
                whole_x=False,
            )
            for metric, lines in curves.items()
        ]
        found.append((f"{', '.join(curves)} of {', '.join(names)} over the seconds of training", drawn))
    return found


def loss_panels(targets: Sequence[Compared]) -> list[Panel]:
    """`loss_curves`, a panel per term; a run has one colour in all of them."""
    curves = loss_curves(targets)
    names = list(dict.fromkeys(name for lines in curves.values() for name in lines))
    return [
        Panel(
            term.replace("_", " "),
            [Line(name, points, names.index(name)) for name, points in lines.items()],
            unit=loss_unit(term),
        )
        for term, lines in curves.items()
    ]


def loss_unit(term: str) -> str:
    """The unit of a term of a validation loss, or of the loss itself; "" if it is not known."""
    return UNITS.get("neg_elbo" if term == "loss" else term, "")


def loss_curves(targets: Sequence[Compared]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Terms of the validation loss that two runs or more have: {term: {name of a run: [(epoch, value), ...]}}."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    runs = {one.path.resolve(): one.name for one in reversed(targets) if (one.path / "config.json").is_file()}
    for path, name in reversed(runs.items()):
        try:
            epochs = Run.open(path).metrics()
        except ValueError:  # a line that is still being written
            continue
        for epoch in epochs:
            for key, value in epoch.items():
                split, _, term = key.partition("_")
                if split == "validation" and f"train_{term}" in epoch and value is not None:
                    found.setdefault(term, {}).setdefault(name, []).append((epoch["epoch"], value))
    return {term: lines for term, lines in found.items() if len(lines) > 1}


def sample_curves(targets: Sequence[Compared]) -> list[dict[str, dict[str, list[tuple[float, float]]]]]:
    """Metrics of samples that two runs or more computed in the same way while they trained.

    Returns:
        For every protocol: {metric: {name of a run: [(seconds of training, value), ...]}}.
    """
    runs: dict[Path, str] = {}
    for target in targets:  # a run may be several: its checkpoints and priors
        if (target.path / "config.json").is_file():
            runs.setdefault(target.path.resolve(), target.name)
    by_protocol: dict[str, dict[str, dict[str, list]]] = {}
    for run, name in ((Run.open(path), name) for path, name in runs.items()):
        for metric, points in _points(run).items():
            by_protocol.setdefault(_training_protocol(run), {}).setdefault(metric, {})[name] = points
    shared = [{metric: lines for metric, lines in found.items() if len(lines) > 1} for found in by_protocol.values()]
    return [curves for curves in shared if curves]


def _training_protocol(run: Run) -> str:
    """Equal for two runs whose metrics of samples are comparable."""
    train = run.config.train
    given = [run.spec.name, run.data_hashes, run.spec.monitor_split, train.eval_features, train.eval_count]
    return json.dumps(given, sort_keys=True)


def _points(run: Run) -> dict[str, list[tuple[float, float]]]:
    """Metrics of samples: of validation images what has no counterpart in training, as the terms of a loss have."""
    by_training_images = directions(run.config.train.metrics) if run.spec.monitor_split == "train" else ()
    try:
        epochs = run.metrics()
    except ValueError:  # a line that is still being written
        return {}
    found: dict[str, list[tuple[float, float]]] = {}
    for epoch in epochs:
        for key, value in epoch.items():
            split, _, metric = key.partition("_")
            measured = metric in by_training_images if split == "train" else f"train_{metric}" not in epoch
            if split in ("validation", "train") and measured and value is not None:
                found.setdefault(metric, []).append((epoch["elapsed_seconds"], value))
    return found
