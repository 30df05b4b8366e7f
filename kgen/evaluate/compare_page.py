"""A comparison as files: compare.html, one self-contained page, and compare.csv for a spreadsheet."""

import csv
import io
import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from kgen import images
from kgen.canvas import Canvas
from kgen.evaluate.compare import (
    BEST,
    FACTS,
    NEAR,
    Column,
    Compared,
    Comparison,
    ends_of,
    loss_curves,
    loss_panels,
    loss_unit,
    panels,
)
from kgen.io import write_text
from kgen.models.presets import PRESETS
from kgen.run import Run
from kgen.web import curves, html

ABOUT = ("kind", "checkpoint", "epoch", "prior", *FACTS)
PARTS = ("", " stddev", " low", " high", " baseline", " mark", " protocol")
"""Columns of the spreadsheet: about a target, and after a metric's title."""

STYLES = ("-", "--", "-.", ":")
"""Of the curves, so that they differ without colors too."""

GRID_WIDTH = 440
"""Pixels to which grids of samples are enlarged, about."""

MARKS = {BEST: "best", NEAR: "near best"}


def write(comparison: Comparison, folder: str | Path) -> list[Path]:
    """Writes compare.csv, compare.html and, of two runs or more, curves.png into a folder; returns their paths."""
    folder = Path(folder)
    losses = loss_curves(comparison.targets)
    return [
        write_text(folder / "compare.csv", to_csv(comparison)),
        write_text(folder / "compare.html", to_html(comparison)),
        *([_draw(losses, folder / "curves.png")] if losses else []),
    ]


def _draw(losses: dict[str, dict[str, list[tuple[int, float]]]], path: Path) -> Path:
    """A panel per term of the loss, with the validation curves of all runs over each other."""
    columns = min(len(losses), 3)
    rows = -(-len(losses) // columns)
    canvas = Canvas(4.2 * columns, 3.4 * rows + 0.4, title="Validation, over the epochs of training")
    panels = canvas.panels(rows, columns, count=len(losses))
    names = list(dict.fromkeys(name for lines in losses.values() for name in lines))
    for axes, (term, lines) in zip(panels, losses.items(), strict=True):
        for name, points in lines.items():
            place = names.index(name)
            style = {"color": Canvas.class_color(place), "linestyle": STYLES[place % len(STYLES)]}
            axes.plot(*zip(*points, strict=True), label=name, marker="o" if len(points) == 1 else None, **style)
        axes.set(title=term.replace("_", " "), xlabel="epoch", ylabel=loss_unit(term))
        canvas.integer_ticks(axes)
    handles = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    canvas.figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)
    return canvas.save(path)


def to_csv(comparison: Comparison) -> str:
    """A line per target, at full precision; beside every value its interval, its baseline and its protocol as JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    titles = [column.title + part for column in comparison.metrics for part in PARTS]
    writer.writerow(["name", "path", *ABOUT, *titles, "note"])
    for i, target in enumerate(comparison.targets):
        values = [cell for column in comparison.metrics for cell in _cells(column, i)]
        about = [target.facts.get(key) for key in ABOUT]
        writer.writerow([target.name, target.path, *about, *values, "; ".join(comparison.notes_of(target))])
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
    """One page with the verdict, the table, curves and sample grids; it needs no other file and no network."""
    plots, verdict = _curves(comparison), comparison.verdict()
    sections = [
        f'<p class="verdict">{escape(verdict)}</p>\n' if verdict else "",
        _table(comparison),
        html.paragraphs(comparison.legend()),
        _list("Notes", comparison.notes()),
        plots,
        _grids(comparison),
        _list("Protocols", comparison.protocols()),
    ]
    title = "Comparison of image generators"
    body = f"<main>\n<h1>{title}</h1>\n{''.join(sections)}</main>\n"
    style = "".join(map(html.asset, ("sheets.css", "stacks.css", "compare.css"))) + curves.STYLE
    return html.document(title, body, style=style, script=curves.SCRIPT if plots else "")


def _table(comparison: Comparison) -> str:
    headers, rows, marks = comparison.by_measure()
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    body = ""
    for i, (measure, *cells) in enumerate(rows):
        data = "".join(
            _cell(cell, headers[j], marks.get((i, j)), j > len(comparison.targets)) for j, cell in enumerate(cells, 1)
        )
        body += f'<tr><th scope="row">{escape(measure)}</th>{data}</tr>\n'
    return (
        '<div class="scroll stacks" role="region" aria-label="Table of results" tabindex="0">\n<table>\n'
        "<caption>Values of one row were measured with one protocol. ± is the standard deviation over repeats."
        f"</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _cell(text: str, header: str, mark: str | None, is_baseline: bool) -> str:
    kinds = {"best": mark == BEST, "baseline": is_baseline, "none": is_baseline and text == "-"}
    classes = " ".join(name for name, holds in kinds.items() if holds)
    kind = f' class="{classes}"' if classes else ""
    words = f' <span class="mark">{mark} {MARKS[mark]}</span>' if mark else ""
    return f'<td{kind} data-label="{escape(header)}"><span>{escape(text)}{words}</span></td>'


def _list(title: str, entries: list[tuple[str, str]]) -> str:
    return f"<h2>{escape(title)}</h2>\n{html.definitions(entries)}" if entries else ""


def _curves(comparison: Comparison) -> str:
    groups = panels(comparison.targets)
    figures = "".join(f"<p>{escape(words)}</p>\n{curves.figures(group)}" for words, group in groups)
    quality = f"<h2>Quality of samples during training</h2>\n{figures}" if figures else ""
    losses = loss_panels(comparison.targets)
    return (f"<h2>Validation loss during training</h2>\n{curves.figures(losses)}" if losses else "") + quality


def _grids(comparison: Comparison) -> str:
    figures = "".join(_grid(target) for target in comparison.targets if target.grid)
    return f'<h2>Samples</h2>\n<div class="grids">\n{figures}</div>\n' if figures else ""


def _grid(target: Compared) -> str:
    from PIL import Image

    run = Run.open(target.path)
    preset = PRESETS.get(run.config.model)
    count = run.spec.num_classes if preset and preset.conditional else 0
    names = [run.spec.class_name(label) for label in range(count)]
    with Image.open(target.grid) as file:
        picture, names = images.without_frame(grid := np.asarray(file), run.spec.image_shape, names)
    content = target.grid.read_bytes() if picture is grid else images.png_bytes(picture)
    size = picture.shape[1], picture.shape[0]
    sheet = html.sheet(html.data_url("image/png", content), size, f"Samples of {target.name}", names, width=GRID_WIDTH)
    return f"<figure>{sheet}<figcaption>{escape(target.name)}</figcaption></figure>\n"
