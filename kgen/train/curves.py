"""Curves of a training as pictures: losses, and the quality of samples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgen.files import write_aside

MOST_COLUMNS = 4


def draw_curves(rows: list[dict[str, Any]], path: Path, *, title: str, unit: str = "") -> Path:
    """One panel a term, one line a split, over the epochs.

    Args:
        rows: of metrics.jsonl; keys are "SPLIT_TERM", or "vitals_NAME".
        path: of the PNG.
        title: above the panels.
        unit: of the terms.
    """
    splits = ("train", "validation", "test", "vitals")
    terms = [key.partition("_")[2] for key in rows[-1] if key.startswith(("train_", "vitals_"))]
    figure, panels = _panels(len(terms), title)
    for axes, term in zip(panels, terms, strict=True):
        for split in splits:
            points = [(row["epoch"], row[f"{split}_{term}"]) for row in rows if f"{split}_{term}" in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=split, marker="." if len(points) < 20 else None)
        axes.set(xlabel="epoch", ylabel=unit, title=term)
        axes.legend()
    return _write(figure, path)


def draw_quality(
    rows: list[dict[str, Any]], path: Path, better: Mapping[str, str], split: str, *, title: str
) -> Path | None:
    """One panel a figure of the samples, over the epochs.

    Args:
        rows: of metrics.jsonl; keys are "SPLIT_FIGURE".
        path: of the PNG.
        better: figure -> "lower", "higher" or "".
        split: of the real images that samples were compared with.
        title: above the panels.

    Returns:
        The path; None when no figure could be told.
    """
    points = {name: [(r["epoch"], r[f"{split}_{name}"]) for r in rows if r.get(f"{split}_{name}") is not None]
              for name in better}  # fmt: skip
    points = {name: found for name, found in points.items() if found}
    if not points:
        return None
    figure, panels = _panels(len(points), title)
    for axes, (name, found) in zip(panels, points.items(), strict=True):
        axes.plot(*zip(*found, strict=True), marker=".")
        choose = {"lower": min, "higher": max}.get(better[name])
        if choose:
            epoch, value = choose(found, key=lambda point: point[1])
            axes.plot(epoch, value, marker="o", fillstyle="none", color="black", linestyle="none", label=f"{value:.4g}")
            axes.legend(title="best")
        axes.set(xlabel="epoch", ylabel=f"{better[name]} is better" if better[name] else "", title=f"{name} ({split})")
    return _write(figure, path)


def _panels(count: int, title: str):
    from matplotlib.figure import Figure

    columns = min(count, MOST_COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    figure.suptitle(title)
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure, panels


def _write(figure, path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    return write_aside(path, lambda aside: FigureCanvasAgg(figure).print_png(aside))
