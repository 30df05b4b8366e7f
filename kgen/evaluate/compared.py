"""What is compared: the generators that paths hold, with their evaluation rows."""

import dataclasses
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgen.evaluate.rows import generator_of, rows_of
from kgen.run import Run
from kgen.sampling import StandardNormal, latest_version


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
