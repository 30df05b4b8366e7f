"""report.html: the page of a run, put together."""

import base64
import hashlib
from html import escape
from importlib import resources
from pathlib import Path

from kgen import svg_curves
from kgen.files import write_text
from kgen.report import about, html
from kgen.report.evaluation import evaluation
from kgen.report.panels import panels_of
from kgen.report.record import read
from kgen.report.samples import Pictures
from kgen.run import Run

NAME = "report.html"


def write_report(run: Run, out: str | Path | None = None) -> Path:
    """Writes the page whole.

    Args:
        run: it need not have ended, and may lack files.
        out: the file; None writes report.html into the run.

    Raises:
        OSError: it cannot be written.
    """
    return write_text(out or run.path / NAME, to_html(run))


def to_html(run: Run) -> str:
    """The page: one document of less than `pictures.PAGE_BYTES` that needs no other file and no network."""
    record = read(run)
    pictures = Pictures(record)
    record.problems += pictures.problems
    label = (run.spec.class_names[-1] if run.spec.class_names else "0") if pictures.rows_are_classes else None
    sections = [
        ("Samples", "samples", pictures.samples()),
        ("Curves", "curves", _curves(record)),
        ("Evaluation", "evaluation", evaluation(record)),
        ("What to type next", "next", about.commands(record, label)),
        ("Data", "data", about.data(record)),
        ("Configuration", "configuration", about.configuration(record)),
        ("Log", "log", about.log(record)),
    ]
    links = "".join(f'<a href="#{name}">{escape(title)}</a>\n' for title, name, body in sections if body)
    parts = {name: html.section(title, body, name) for title, name, body in sections}
    parts["samples"] += pictures.explored()
    parts["evaluation"] += pictures.others()
    body = (
        f"{about.head(record)}<nav>\n{links}</nav>\n<main>\n{about.verdict(record)}{''.join(parts.values())}</main>\n"
    )
    return _document(f"{run.path.resolve().name}: {run.config.model} on {run.spec.name}", body)


def _curves(record) -> str:
    train = record.run.config.train
    groups = panels_of(record.rows, train.metrics if train.eval_every else ())
    if not groups:
        return '<p class="quiet">No epoch was recorded yet.</p>\n'
    body = "".join(f"<h3>{escape(heading)}</h3>\n{svg_curves.figures(panels)}" for heading, panels in groups)
    return f'<p class="quiet">Point at a curve, or reach it with Tab and use the arrow keys.</p>\n{body}'


def _document(title: str, body: str) -> str:
    style, script = (own + _resource(file) for own, file in _ASSETS)
    # Only what is written here runs, and nothing is fetched, whatever a class name or a log line holds.
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _resource(name: str) -> str:
    return (resources.files("kgen.report") / name).read_text(encoding="utf-8")


_ASSETS = ((svg_curves.STYLE, "report.css"), (svg_curves.SCRIPT, "report.js"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
