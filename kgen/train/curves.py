"""Loss curves as a picture."""

from pathlib import Path
from typing import Any

from kgen.files import write_aside


def draw_curves(rows: list[dict[str, Any]], path: Path, *, title: str) -> Path:
    """One panel a term, one line a split, over the epochs.

    Args:
        rows: of metrics.jsonl; keys are "SPLIT_TERM".
        path: of the PNG.
        title: above the panels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    splits = ("train", "validation", "test")
    terms = [key.removeprefix("train_") for key in rows[-1] if key.startswith("train_")]
    figure = Figure(figsize=(4.2 * len(terms), 3.4), layout="constrained")
    figure.suptitle(title)
    for i, term in enumerate(terms):
        axes = figure.add_subplot(1, len(terms), i + 1)
        for split in splits:
            points = [(row["epoch"], row[f"{split}_{term}"]) for row in rows if f"{split}_{term}" in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=split, marker="." if len(points) < 20 else None)
        axes.set(xlabel="epoch", ylabel="nats an image", title=term)
        axes.grid(alpha=0.3)
        axes.legend()
    return write_aside(path, lambda aside: FigureCanvasAgg(figure).print_png(aside))
