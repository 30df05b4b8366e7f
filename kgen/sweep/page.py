"""sweep.html: the trials of a sweep as a table and curves, what each setting did, and the command of the best."""

import math
from html import escape
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from kgen.errors import UserError
from kgen.evaluate.registry import UNITS
from kgen.io import write_text
from kgen.run import Run
from kgen.sweep.space import Interval
from kgen.sweep.study import REASON
from kgen.sweep.sweep import Sweep, short_names, shown, summary, table
from kgen.tables import format_number
from kgen.train import terms
from kgen.web import curves, html

NAME = "sweep.html"
MAX_CURVES = curves.COLORS
"""Trials whose curves are drawn: the best ones, each in a color of its own."""

WIDE = 30
"""Values of a setting that differ by such a factor are drawn by their logarithms."""


def write_page(sweep: Sweep, command: str = "") -> Path:
    """Writes the page into the folder of the sweep, whole or not at all.

    Args:
        sweep: it need not have ended.
        command: that trains the best trial again; "" where there is none yet.
    """
    return write_text(sweep.folder / NAME, to_html(sweep, command))


def to_html(sweep: Sweep, command: str = "") -> str:
    """The page; it needs no other file and no network."""
    base = sweep.plan.base
    about = f"{base.model} on {Path(base.data.dataset).name}"
    best, panels = _best(sweep, command), _panels(sweep)
    sections = [
        html.section("Trials", _table(sweep), "trials"),
        html.section("Curves", curves.figures(panels), "curves") if panels else "",
        html.section("What each setting did", curves.figures(_effects(sweep)), "settings"),
        html.section("Failed trials", _failures(sweep), "failed"),
    ]
    head = f'<header>\n<p class="kicker">{escape(about)}</p>\n<h1>{escape(sweep.folder.resolve().name)}</h1>\n'
    head += f"{html.paragraphs([summary(sweep) + '.'])}</header>\n"
    return html.document(
        f"{sweep.folder.resolve().name}: a sweep of {about}",
        f"{head}<main>\n{best}{''.join(sections)}</main>\n",
        style=curves.STYLE + "".join(map(html.asset, ("report.css", "stacks.css"))),
        script=curves.SCRIPT,
    )


def _best(sweep: Sweep, command: str) -> str:
    winner = sweep.winner
    if winner is None:
        return html.note("quiet", "No trial has trained to the end yet", "")
    body = html.paragraphs([f"{sweep.metric} {format_number(winner.value)} with {_words(sweep, winner)}."])
    return html.note("well", f"Best: trial {winner.number}", f"{body}<pre>{html.words(command)}</pre>\n")


def _words(sweep: Sweep, trial: FrozenTrial) -> str:
    """The settings of a trial: "latent_dim 8, learning_rate 0.001234"."""
    names, settings = short_names(sweep.plan.space), sweep.settings(trial)
    return ", ".join(f"{names[setting]} {shown(value)}" for setting, value in settings.items())


def _text(cell: Any) -> str:
    return format_number(cell) if isinstance(cell, float) else str("-" if cell is None else cell)


def _table(sweep: Sweep) -> str:
    headers, rows = table(sweep)
    texts = [[f"trial {number}", *map(_text, cells)] for number, *cells in rows]  # on a phone the row has no header
    return html.table(headers, texts, "Table of trials", stacks=True)


def _panels(sweep: Sweep) -> list[curves.Panel]:
    """The metric over the epochs, of the best trials."""
    lines = []
    for color, trial in enumerate(sweep.ranked()[:MAX_CURVES]):
        try:
            points = sweep.rows(Run.open(sweep.path(trial)))
        except (UserError, OSError):  # it has not begun, or failed before there was a run
            continue
        best = min(points, key=lambda point: abs(point[1] - trial.value)) if trial is sweep.winner else None
        lines.append(curves.Line(f"trial {trial.number}", points, color, best))
    note = f"The best {MAX_CURVES} trials." if len(sweep.trials()) > MAX_CURVES else ""
    return [curves.Panel(sweep.metric, lines, note, unit=_unit(sweep))] if any(line.points for line in lines) else []


def _unit(sweep: Sweep) -> str:
    """Of what trials are compared by; "" if it has none."""
    best_by = sweep.plan.base.train.best_by
    return terms.NATS if best_by == "loss" else UNITS.get(best_by, "")


def _effects(sweep: Sweep) -> list[curves.Panel]:
    """A panel per setting of numbers: what each trial reached at each rung, a color per rung."""
    panels, names = [], short_names(sweep.plan.space)
    trials = [t for t in sweep.trials() if t.last_step and t.state != TrialState.FAIL]
    for setting, one in sweep.plan.space.items():
        if not trials or not all(isinstance(value, (int, float)) for value in one.values):
            continue
        log = one.log if isinstance(one, Interval) else min(one.values) > 0 and max(one.values) > WIDE * min(one.values)
        lines = []
        for color, rung in enumerate(reversed(sweep.rungs)):
            reached = [t for t in trials if rung.epochs in t.intermediate_values]
            found = sorted((float(sweep.settings(t)[setting]), t.intermediate_values[rung.epochs]) for t in reached)
            points = [(math.log10(x) if log else x, y) for x, y in found]
            lines.append(curves.Line(f"at epoch {rung.epochs}", _apart(points), color))
        name = f"log10 of {names[setting]}" if log else names[setting]
        whole = not log and all(isinstance(value, int) for value in one.values)
        title = f"{sweep.metric} by {name}"
        panels.append(curves.Panel(title, lines, unit=_unit(sweep), x_name=name, whole_x=whole))
    return panels


def _apart(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points with a gap behind each, so that no line joins them."""
    return [one for x, y in points for one in ((x, y), (x, math.nan))]


def _failures(sweep: Sweep) -> str:
    failed = [t for t in sweep.trials() if t.state == TrialState.FAIL]
    return html.definitions(
        (f"trial {t.number}: {_words(sweep, t)}", t.user_attrs.get(REASON, "")) for t in failed
    ) * bool(failed)
