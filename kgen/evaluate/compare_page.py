"""A comparison as files: compare.html, one self-contained page, and compare.csv for a spreadsheet."""

import csv
import io
import json
from html import escape
from pathlib import Path
from typing import Any

from kgen.evaluate.compare import BEST, FACTS, NEAR, Column, Compared, Comparison, ends_of, panels
from kgen.io import write_text
from kgen.web import curves, html

ABOUT = ("kind", "checkpoint", "epoch", "prior", *FACTS)
PARTS = ("", " stddev", " low", " high", " baseline", " mark", " protocol")
"""Columns of the spreadsheet: about a target, and after a metric's title."""

MARKS = {BEST: "best", NEAR: "near best"}


def write(comparison: Comparison, folder: str | Path) -> list[Path]:
    """Writes compare.csv and compare.html into a folder, each whole; returns their paths."""
    folder = Path(folder)
    return [
        write_text(folder / "compare.csv", to_csv(comparison)),
        write_text(folder / "compare.html", to_html(comparison)),
    ]


def to_csv(comparison: Comparison) -> str:
    """A line per target, at full precision; beside every value its interval, its baseline and its protocol as JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    titles = [column.title + part for column in comparison.metrics for part in PARTS]
    writer.writerow(["name", "path", *ABOUT, *titles, "note"])
    for i, target in enumerate(comparison.targets):
        values = [cell for column in comparison.metrics for cell in _cells(column, i)]
        about = [target.facts.get(key) for key in ABOUT]
        writer.writerow([target.name, target.path, *about, *values, "; ".join(target.notes)])
    return text.getvalue()


def _cells(column: Column, target: int) -> list[Any]:
    """The cells of PARTS of a target."""
    result = column.cells.get(target)
    if result is None:
        return [None] * len(PARTS)
    low, high = ends_of(result) or (None, None)
    protocol = json.dumps(result["protocol"], sort_keys=True, ensure_ascii=False)
    return [
        result["value"],
        result.get("stddev"),
        low,
        high,
        result.get("baseline"),
        MARKS.get(column.marks.get(target)),
        protocol,
    ]


def to_html(comparison: Comparison) -> str:
    """One page with the table, what it means, and the sample grids; it needs no other file and no network."""
    plots = _curves(comparison)
    sections = [
        _table(comparison),
        html.paragraphs(comparison.legend()),
        plots,
        _grids(comparison),
        _list("Notes", comparison.notes()),
        _list("Protocols", comparison.protocols()),
    ]
    title = "Comparison of image generators"
    body = f"<main>\n<h1>{title}</h1>\n{''.join(sections)}</main>\n"
    style = html.asset("compare.css") + curves.STYLE
    return html.document(title, body, style=style, script=curves.SCRIPT if plots else "")


def _table(comparison: Comparison) -> str:
    headers, rows, marks = comparison.table()
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    body = ""
    for i, (name, *cells) in enumerate(rows):
        kind = ' class="baseline"' if i >= len(comparison.targets) else ""
        data = "".join(_cell(cell, marks.get((i, j))) for j, cell in enumerate(cells, start=1))
        body += f'<tr{kind}><th scope="row">{escape(name)}</th>{data}</tr>\n'
    return (
        '<div class="scroll" role="region" aria-label="Table of results" tabindex="0">\n<table>\n'
        "<caption>Values of one column were measured with one protocol. ± is the standard deviation over repeats."
        f"</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _cell(text: str, mark: str | None) -> str:
    if mark is None:
        return f"<td>{escape(text)}</td>"
    kind = ' class="best"' if mark == BEST else ""
    return f'<td{kind}>{escape(text)} <span class="mark">{mark} {MARKS[mark]}</span></td>'


def _list(title: str, entries: list[tuple[str, str]]) -> str:
    return f"<h2>{escape(title)}</h2>\n{html.definitions(entries)}" if entries else ""


def _curves(comparison: Comparison) -> str:
    groups = panels(comparison.targets)
    figures = "".join(f"<p>{escape(words)}</p>\n{curves.figures(group)}" for words, group in groups)
    return f"<h2>Quality of samples during training</h2>\n{figures}" if figures else ""


def _grids(comparison: Comparison) -> str:
    figures = "".join(_grid(target) for target in comparison.targets if target.grid)
    return f'<h2>Samples</h2>\n<div class="grids">\n{figures}</div>\n' if figures else ""


def _grid(target: Compared) -> str:
    source, name = html.data_url("image/png", target.grid.read_bytes()), escape(target.name)
    return f'<figure><img src="{source}" alt="Samples of {name}"><figcaption>{name}</figcaption></figure>\n'
