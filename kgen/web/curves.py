"""Panels of curves as SVG inside a page: readable without JavaScript, with values under the pointer where it runs.

Own code in place of a chart library, because the pages are single files that must be small. Ten panels of three lines
over 200 epochs are 158 kB here, script (5 kB) and style (3 kB) apart. The same by matplotlib is 305 kB (1.3 MB over
2000 epochs, 266 kB here), without values under the pointer and with 2 seconds for its import. uPlot adds 53 kB and
Chart.js 210 kB to each page, and both draw nothing where scripts do not run.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

STYLE = (resources.files("kgen.web") / "curves.css").read_text(encoding="utf-8")
SCRIPT = (resources.files("kgen.web") / "curves.js").read_text(encoding="utf-8")

MAX_LINEAR_DECADES = 3.0
"""An axis of positive values that spans more decades is logarithmic."""


# Axes -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """An axis: from values to positions in the drawing.

    Attributes:
        low, high: the values at its ends; of a logarithmic axis both are positive.
        start, end: the positions of `low` and `high`, in units of the viewBox.
        log: whether it is logarithmic.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The position of a finite value."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int, *, whole: bool = False) -> list[float]:
        """About `count` round values from `low` to `high`, rising; only whole numbers if `whole`."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, -(-(last - first) // count))
            return [10.0**power for power in range(first, last + 1, step)]
        step = _round_step((self.high - self.low) / count)
        step = max(1.0, step) if whole else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def fit(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    may_log: bool = False,
    margin: float = 0.0,
    same: float = 1e-9,
) -> Scale:
    """An axis that holds all values.

    Args:
        values: finite; none or equal ones give an axis around them.
        start, end: positions of the smallest and the largest.
        may_log: whether it is logarithmic where positive values span more than MAX_LINEAR_DECADES.
        margin: share of the axis that stays empty at either end.
        same: values that differ by less, relative to them, are equal.
    """
    values = list(values) or [0.0, 1.0]
    low, high = min(values), max(values)
    if may_log and low > 0 and math.log10(high) - math.log10(low) > MAX_LINEAR_DECADES:
        spare = (high / low) ** margin
        return Scale(low / spare, high * spare, start, end, log=True)
    if not high - low > same * max(abs(low), abs(high)):
        spare = abs(low) / 2 or 1.0
        return Scale(low - spare if low else -margin * spare, high + spare, start, end)
    spare = margin * (high - low)
    return Scale(low - spare, high + spare, start, end)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times per power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))


def label(value: float) -> str:
    """The value of a tick in few characters: "0.25", "1200", "1e-05"."""
    return f"{value:.6g}".replace("e-0", "e-").replace("e+0", "e") if value else "0"


# Panels ---------------------------------------------------------------------------------------------------------------


WIDTH, HEIGHT = 400, 256
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 22, 40
"""Size of the drawing and its margins, in units of its viewBox."""

ROUNDING = 1e-5
"""Values that differ by less, relative to them, are drawn as equal."""
SHARE_MARGIN = 0.04
MAX_POINTS = 500
MAX_MARKERS = 20
"""A line of fewer points has a marker at each."""
TICKS_X, TICKS_Y = 6, 5
COLORS = 6
"""Classes "line-0", "line-1", ... of curves.css; more lines repeat them."""
DIGITS = 6
"""Significant digits of the values under the pointer."""


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: in the legend and beside its values.
        points: (x, y), x finite and rising; a y that is not finite is a gap.
        color: index of a color, the same in every panel.
        best: the point to mark as the best, or None.
    """

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 0
    best: tuple[float, float] | None = None


@dataclass(frozen=True)
class Panel:
    """Lines over one axis.

    Attributes:
        title: the quantity.
        lines: at least one; lines without points are left out.
        note: a sentence below the title, or "".
        unit: of the values, at their axis; "" if it is not known.
        share: whether values are from 0 to 1, and the axis as well.
        balance: a value to compare with and its name, (0.5, "balance: 0.5"), or None.
        x_name: what the horizontal axis counts, e.g. "epoch".
        whole_x: whether x are whole numbers.
    """

    title: str
    lines: Sequence[Line]
    note: str = ""
    unit: str = ""
    share: bool = False
    balance: tuple[float, str] | None = None
    x_name: str = "epoch"
    whole_x: bool = True


def thin(points: Sequence[tuple[float, float]], most: int = MAX_POINTS) -> list[tuple[float, float]]:
    """At most `most` of the points: the first, the last, and of each interval its lowest, its highest, and a gap.

    Args:
        points: (x, y), rising in x.
        most: at least 5.
    """
    if len(points) <= most:
        return list(points)
    intervals = max(1, (most - 2) // 3)
    kept = {0, len(points) - 1}
    for number in range(intervals):
        first = 1 + number * (len(points) - 2) // intervals
        stop = 1 + (number + 1) * (len(points) - 2) // intervals
        finite = [i for i in range(first, stop) if math.isfinite(points[i][1])]
        gaps = [i for i in range(first, stop) if not math.isfinite(points[i][1])][:1]
        kept.update(gaps)
        if finite:
            kept |= {min(finite, key=lambda i: points[i][1]), max(finite, key=lambda i: points[i][1])}
    return [points[i] for i in sorted(kept)]


def figures(panels: Iterable[Panel]) -> str:
    """All panels; their pointers move together, see curves.js."""
    return '<div class="curves">\n' + "".join(map(figure, panels)) + "</div>\n"


def figure(panel: Panel) -> str:
    """A <figure> with its text escaped; without a finite point it holds a remark."""
    lines = [(line, thin(line.points)) for line in panel.lines if line.points]
    finite = [(x, y) for _, points in lines for x, y in points if math.isfinite(y)]
    xs = [x for _, points in lines for x, _ in points]
    across = fit(xs, LEFT, WIDTH - RIGHT)
    up = _up(panel, [y for _, y in finite])
    note = " ".join(filter(None, [panel.note, "Logarithmic scale." if up.log else ""]))
    legend = _legend(lines, panel.balance)
    head = f"<figcaption><b>{escape(panel.title)}</b>{legend}<small>{escape(note)}</small></figcaption>"
    if not finite:
        return f'<figure class="curve">{head}<p class="quiet">No finite value was recorded.</p></figure>\n'
    drawing = _axes(across, up, panel) + "".join(_curve(line, points, across, up) for line, points in lines)
    values = {
        "x": panel.x_name,
        "across": _ends(across),
        "up": _ends(up),
        "lines": [_numbers(line, points) for line, points in lines],
    }
    data = escape(json.dumps(values, separators=(",", ":"), allow_nan=False))  # in an attribute, never a script
    return (
        f'<figure class="curve{" several" if len(lines) > 1 else ""}" data-curve="{data}">{head}'
        f'<div class="plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" '
        f'aria-label="{escape(_words(panel, lines))}">{drawing}<g class="pointer"></g></svg>'
        '<div class="tip" role="status" hidden></div></div></figure>\n'
    )


def _up(panel: Panel, values: list[float]) -> Scale:
    """The vertical axis."""
    if panel.share and values and min(values) >= 0 and max(values) <= 1:
        return Scale(-SHARE_MARGIN, 1 + SHARE_MARGIN, HEIGHT - BOTTOM, TOP)
    values = [*values, panel.balance[0]] if panel.balance and values else values
    return fit(values, HEIGHT - BOTTOM, TOP, may_log=True, margin=0.05, same=ROUNDING)


def _legend(lines: Sequence[tuple[Line, list]], balance: tuple[float, str] | None) -> str:
    several = lines if len(lines) > 1 else []
    entries = "".join(f'<span class="key line-{line.color % COLORS}">{escape(line.name)}</span>' for line, _ in several)
    entries += f'<span class="key balance">{escape(balance[1])}</span>' if balance else ""
    best = [_short(line.best[1]) for line, _ in lines if line.best]
    return f'<span class="legend">{entries}{"".join(f"<span>best {value}</span>" for value in best)}</span>'


def _words(panel: Panel, lines: Sequence[tuple[Line, list]]) -> str:
    """The alternative text of the curves, for screen readers."""
    ends = [f"{line.name} from {_short(points[0][1])} to {_short(points[-1][1])}" for line, points in lines]
    unit, balance = f", {panel.unit}," if panel.unit else "", f"; {panel.balance[1]}" if panel.balance else ""
    return f"{panel.title}{unit} by {panel.x_name}: {', '.join(ends)}{balance}. Arrow keys read the values."


def _axes(across: Scale, up: Scale, panel: Panel) -> str:
    parts = []
    for value in up.ticks(TICKS_Y):
        y = f"{up(value):.1f}"
        parts.append(f'<path class="rule" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y}" dy=".32em" text-anchor="end">{label(value)}</text>')
    for value in across.ticks(TICKS_X, whole=panel.whole_x):
        x = f"{across(value):.1f}"
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{label(value)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(panel.x_name)}</text>')
    if panel.unit:
        parts.append(f'<text x="0" y="{TOP - 11}">{escape(panel.unit)}</text>')
    if panel.balance:
        y = f"{up(panel.balance[0]):.1f}"
        parts.append(f'<path class="balance" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
    return f'<g class="axes">{"".join(parts)}</g>'


def _curve(line: Line, points: Sequence[tuple[float, float]], across: Scale, up: Scale) -> str:
    path, dots, pen_down = [], [], False
    for i, (x, y) in enumerate(points):
        if not math.isfinite(y):
            pen_down = False
            continue
        position = f"{across(x):.1f} {up(y):.1f}"
        path.append(("L" if pen_down else "M") + position)
        alone = not pen_down and (i + 1 == len(points) or not math.isfinite(points[i + 1][1]))
        if alone or len(points) < MAX_MARKERS:
            dots.append(f"M{position}h0")  # a stroke without length and with round ends is a dot
        pen_down = True
    drawing = f'<path d="{"".join(path)}"/>' + (f'<path class="dots" d="{"".join(dots)}"/>' if dots else "")
    if line.best:
        drawing += f'<circle class="best" cx="{across(line.best[0]):.1f}" cy="{up(line.best[1]):.1f}" r="5"/>'
    return f'<g class="line-{line.color % COLORS}">{drawing}</g>'


def _ends(scale: Scale) -> list[float]:
    """[low, high, start, end, 1 if logarithmic], as curves.js reads it."""
    return [scale.low, scale.high, scale.start, scale.end, int(scale.log)]


def _numbers(line: Line, points: Sequence[tuple[float, float]]) -> dict:
    return {
        "name": line.name,
        "color": line.color % COLORS,
        "x": [_rounded(x) for x, _ in points],
        "y": [_rounded(y) if math.isfinite(y) else None for _, y in points],
    }


def _rounded(value: float) -> float | int:
    value = float(f"{value:.{DIGITS}g}") if not float(value).is_integer() else value
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else value


def _short(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "no finite value"
