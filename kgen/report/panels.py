"""The rows of metrics.jsonl as panels of curves: terms, vital signs, quality of samples."""

from collections.abc import Iterable, Sequence
from typing import Any

from kgen.evaluate.measures import METRICS
from kgen.svg_curves import Line, Panel

SPLITS = ("train", "validation", "test")
QUALITY, VITALS = 4, 3
"""Colours of lines that are of no split; a split's is its place in SPLITS."""

NOTES = {
    "loss": "What training lowers, a mean over images.",
    "distortion": "What is lost when an image is coded and decoded.",
    "rate": "Nats that the code of an image carries.",
    "discriminator_real": "What it says of real images.",
    "discriminator_fake": "What it says of generated images.",
    "discriminator_distance": "A critic's estimate of how far samples are from real images.",
    "discriminator_gradient": "Norm of the gradient.",
    "generator_gradient": "Norm of the gradient.",
    "diversity": "Distance of two samples beside that of two real images; 1 is as diverse.",
    "saturated": "Share of black or white pixels beyond that of real images.",
    "generator_alive": "Share of units that differ between images, weakest layer.",
    "discriminator_alive": "Share of units that differ between images, weakest layer.",
    "label_effect": "How far another label moves an image, beside another z.",
}


def panels_of(rows: Sequence[dict[str, Any]], metrics: Sequence[str] = ()) -> list[tuple[str, list[Panel]]]:
    """Headings with their panels, those with panels only.

    Args:
        rows: of metrics.jsonl; keys are "SPLIT_TERM", "SPLIT_FIGURE" or "vitals_NAME", and not every row has each.
        metrics: what of samples was measured while it trained; without a validation split that was beside training
            images.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    terms = [key.partition("_")[2] for key in keys if key.startswith("train_")]
    terms = [term for term in terms if term not in better(metrics)]
    vitals = [key for key in keys if key.startswith("vitals_")]
    known = {f"{split}_{term}" for split in SPLITS for term in terms}
    quality = [key for key in keys if key.partition("_")[0] in SPLITS and key not in known]
    found = [
        ("Quality of samples", [_quality(rows, key) for key in quality]),
        ("Terms", [_term(rows, term) for term in terms]),
        ("Vital signs", [_vital(rows, key) for key in vitals]),
    ]
    return [(heading, panels) for heading, panels in found if panels]


def better(metrics: Iterable[str] = METRICS) -> dict[str, str]:
    """Figure of samples -> "lower", "higher" or "", of those metrics that are known."""
    known = [name for name in metrics if name in METRICS]
    return {figure: way for name in known for figure, way in METRICS.defaults(name)["figures"].items()}


def points_of(rows: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    """(epoch, value) of the rows that have it; None, which a figure that cannot be told is, is left out."""
    points = [(row["epoch"], row[key]) for row in rows if key in row]
    return [(int(x), float(y)) for x, y in points if isinstance(y, (int, float)) and not isinstance(y, bool)]


def _term(rows, term: str) -> Panel:
    lines = [Line(split, points_of(rows, f"{split}_{term}"), number) for number, split in enumerate(SPLITS)]
    return Panel(_words(term), lines, NOTES.get(term, ""))


def _vital(rows, key: str) -> Panel:
    name = key.partition("_")[2]
    return Panel(_words(name), [Line(_words(name), points_of(rows, key), VITALS)], NOTES.get(name, ""))


def _quality(rows, key: str) -> Panel:
    split, _, figure = key.partition("_")
    points, way = points_of(rows, key), better().get(figure, "")
    choose = {"lower": min, "higher": max}.get(way)
    known = [point for point in points if point[1] == point[1]]
    best = choose(known, key=lambda point: point[1]) if choose and known else None
    note = f"Beside {split} images" + (f"; {way} is better." if way else ".")
    return Panel(_words(figure), [Line(_words(figure), points, QUALITY, best)], note)


def _words(term: str) -> str:
    return term.replace("_", " ")
