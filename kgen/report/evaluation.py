"""The part of the page with what kgen-eval measured."""

import time
from collections.abc import Mapping
from html import escape
from typing import Any

from kgen.errors import UserError
from kgen.evaluate.rows import generator_of, read_rows
from kgen.evaluate.table import figure, interval, number, protocol_lines, protocol_words, with_settings
from kgen.report import html
from kgen.report.record import Record

HEADERS = ("measure", "value", "95 % interval", "floor", "better", "real / generated", "features", "measured", "note")


def evaluation(record: Record) -> str:
    """A table for every generator of the run (checkpoint and prior), its protocols below."""
    if not record.evaluation:
        return '<p class="quiet">Not evaluated yet; kgen-eval, below, measures and adds its figures here.</p>\n'
    groups: dict[tuple, list[Mapping[str, Any]]] = {}
    for row in record.evaluation:
        groups.setdefault(generator_of(row), []).append(row)
    dates = _dates(record)
    return "".join(_generator(key, rows, dates) for key, rows in groups.items())


def _generator(key: tuple, rows: list[Mapping[str, Any]], dates: Mapping[str, str]) -> str:
    _, checkpoint, prior = key
    epoch = (rows[-1].get("subject") or {}).get("epoch")
    words = f"Checkpoint {checkpoint or '?'}" + (f" (epoch {epoch})" if epoch is not None else "")
    words += f", z from the {prior.replace('_', ' ')} prior"
    cells = [
        (
            with_settings(row["measure"], row["protocol"]),
            figure(row),
            interval(row),
            number(row.get("floor")),
            row.get("better") or "-",
            f"{number(row['protocol'].get('num_real'))} / {number(row['protocol'].get('num_fake'))}",
            html.text_of(row["protocol"].get("features") or "-"),
            dates.get(_identity(row), "-"),
            row.get("note") or "",
        )
        for row in rows
    ]
    named = [(with_settings(row["measure"], row["protocol"]), row["protocol"]) for row in rows]
    measures = [(row["measure"], row["protocol"]) for row in rows]
    short = protocol_lines(measures, leave_out=("num_real", "num_fake", "settings", "weights_hash"))
    protocols = "".join(f"<dt>{escape(names)}</dt><dd>{escape(told)}</dd>\n" for names, told in short)
    whole = "".join(f"<dt>{escape(name)}</dt><dd>{escape(protocol_words(each))}</dd>\n" for name, each in named)
    return (
        f"<h3>{escape(words)}</h3>\n{html.table(HEADERS, cells, 'Figures')}"
        f'<h4>How it was measured</h4>\n<dl class="words">\n{protocols}</dl>\n'
        + html.fold("Every figure with its whole protocol", f'<dl class="words">\n{whole}</dl>\n')
        + '<p class="quiet">The floor is the same measure for real images in place of generated ones. ± is the '
        "standard deviation over repeats.</p>\n"
    )


def _dates(record: Record) -> dict[str, str]:
    """Which day the file of a row was written; rows do not say it themselves."""
    files = sorted((record.run.path / "eval").glob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
    found = {}
    for file in files:
        day = time.strftime("%Y-%m-%d", time.localtime(file.stat().st_mtime))
        try:
            found |= {_identity(row): day for row in read_rows(file)}
        except UserError:
            continue
    return found


def _identity(row: Mapping[str, Any]) -> str:
    return repr(sorted(row.items(), key=lambda item: item[0]))
