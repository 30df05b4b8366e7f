"""What a comparison is written as: one self-contained page, and a table for a spreadsheet."""

import base64
import csv
import io
import itertools
import json
from html import escape
from pathlib import Path
from typing import Any

from kgen.evaluate.compare import BEST, FACTS, NEAR, Column, Compared, Comparison, ends_of, panels
from kgen.io import write_text
from kgen.web import curves

ABOUT = ("kind", "checkpoint", "epoch", "prior", *FACTS)
PARTS = ("", " stddev", " low", " high", " baseline", " mark", " protocol")
"""Columns of the spreadsheet: about a target, and after a metric's title."""

MARKS = {BEST: "best", NEAR: "near best"}

STYLE = """
:root { color-scheme: light dark; --line: #d5d9e0; --soft: #f4f6f9; --text: #1b1f27; --quiet: #596273;
  --ground: #fff; --best: #0a6b3d; --best-soft: #e2f4ea; }
@media (prefers-color-scheme: dark) { :root { --line: #363c48; --soft: #20242c; --text: #e6e9ef; --quiet: #a3acbb;
  --ground: #15181e; --best: #7fdcab; --best-soft: #173526; } }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 3rem; background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
.scroll:focus-visible { outline: 2px solid var(--best); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .6rem .8rem; color: var(--quiet); }
th, td { padding: .45rem .8rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { background: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; min-width: 5rem; }
tbody th, thead th:first-child { text-align: left; position: sticky; left: 0; background: var(--soft); }
td:nth-child(2), td:nth-child(3), thead th:nth-child(2), thead th:nth-child(3) { text-align: left; }
td.best { background: var(--best-soft); font-weight: 600; }
.mark { display: block; font-size: .75rem; font-weight: 400; color: var(--best); }
.baseline { color: var(--quiet); font-style: italic; }
dt { font-weight: 600; margin-top: .6rem; }
dd { margin: 0; color: var(--quiet); overflow-wrap: anywhere; }
.grids { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)); }
figure { margin: 0; }
figure img { width: 100%; height: auto; image-rendering: pixelated; border: 1px solid var(--line); }
figcaption { font-weight: 600; overflow-wrap: anywhere; }
"""


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
    for i, subject in enumerate(comparison.targets):
        figures = [cell for column in comparison.metrics for cell in _cells(column, i)]
        about = [subject.facts.get(key) for key in ABOUT]
        writer.writerow([subject.name, subject.path, *about, *figures, "; ".join(subject.notes)])
    return text.getvalue()


def _cells(column: Column, subject: int) -> list[Any]:
    """The cells of PARTS."""
    row = column.cells.get(subject)
    if row is None:
        return [None] * len(PARTS)
    low, high = ends_of(row) or (None, None)
    protocol = json.dumps(row["protocol"], sort_keys=True, ensure_ascii=False)
    return [
        row["value"],
        row.get("stddev"),
        low,
        high,
        row.get("baseline"),
        MARKS.get(column.marks.get(subject)),
        protocol,
    ]


def to_html(comparison: Comparison) -> str:
    """One page with the table, what it means, and the sample grids; it needs no other file and no network."""
    sections = [
        _table(comparison),
        _paragraphs(comparison.legend()),
        _curves(comparison),
        _grids(comparison),
        _list("Notes", comparison.notes()),
        _list("How it was measured", comparison.protocols()),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Comparison of image generators</title>\n<style>{STYLE}{curves.STYLE}</style>\n</head>\n"
        "<body>\n<main>\n"
        "<h1>Comparison of image generators</h1>\n" + "".join(sections) + "</main>\n</body>\n</html>\n"
    )


def _table(comparison: Comparison) -> str:
    headers, rows, marks = comparison.table()
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    body = ""
    for i, (name, *cells) in enumerate(rows):
        kind = ' class="baseline"' if i >= len(comparison.targets) else ""
        data = "".join(_cell(cell, marks.get((i, j))) for j, cell in enumerate(cells, start=1))
        body += f'<tr{kind}><th scope="row">{escape(name)}</th>{data}</tr>\n'
    return (
        '<div class="scroll" role="region" aria-label="Table of figures" tabindex="0">\n<table>\n'
        "<caption>Figures of one column were measured in the same way. ± is the standard deviation over repeats."
        f"</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _cell(text: str, mark: str | None) -> str:
    if mark is None:
        return f"<td>{escape(text)}</td>"
    kind = ' class="best"' if mark == BEST else ""
    return f'<td{kind}>{escape(text)} <span class="mark">{mark} {MARKS[mark]}</span></td>'


def _paragraphs(sentences: list[str]) -> str:
    return "".join(f"<p>{escape(sentence)}</p>\n" for sentence in sentences)


def _list(title: str, named: list[tuple[str, str]]) -> str:
    if not named:
        return ""
    items = ""
    for name, group in itertools.groupby(named, key=lambda pair: pair[0]):
        items += f"<dt>{escape(name)}</dt>" + "".join(f"<dd>{escape(words)}</dd>\n" for _, words in group)
    return f"<h2>{escape(title)}</h2>\n<dl>\n{items}</dl>\n"


def _curves(comparison: Comparison) -> str:
    figures = "".join(f"<p>{escape(words)}</p>\n{curves.figures(drawn)}" for words, drawn in panels(comparison.targets))
    script = f"<script>{curves.SCRIPT}</script>\n"
    return f"<h2>Quality of samples while training</h2>\n{figures}{script}" if figures else ""


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _grids(comparison: Comparison) -> str:
    figures = "".join(_grid(subject) for subject in comparison.targets if subject.grid)
    return f'<h2>Samples</h2>\n<div class="grids">\n{figures}</div>\n' if figures else ""


def _grid(subject: Compared) -> str:
    return (
        f'<figure><img src="{_inline(subject.grid.read_bytes())}" alt="Samples of {escape(subject.name)}">'
        f"<figcaption>{escape(subject.name)}</figcaption></figure>\n"
    )
