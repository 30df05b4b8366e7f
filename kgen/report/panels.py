"""The rows of metrics.jsonl as panels of curves: quality of samples, terms of the loss, health metrics."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kgen.evaluate.registry import METRICS, SHARES, UNITS, directions
from kgen.train.terms import describe
from kgen.web.curves import Line, Panel

SPLITS = ("train", "validation", "test")
"""The color of a split's line is its index here; other lines have these colors:"""
HEALTH_COLOR, QUALITY_COLOR = 3, 4

NOTES = {
    "loss": "The objective of the training, mean per image.",
    "reconstruction": "Negative log-likelihood of an image given its code.",
    "kl": "KL of the posterior from the prior, nats per image.",
    "discriminator_real": "Discriminator's output for real images.",
    "discriminator_fake": "Discriminator's output for generated images.",
    "discriminator_distance": "A critic's estimate of the distance between samples and real images.",
    "discriminator_features": "The part of the loss that is of the feature discriminator's heads.",
    "generator_features": "The part of the loss that the feature discriminator's heads give.",
    "discriminator_gradient": "Norm of the gradient.",
    "generator_gradient": "Norm of the gradient.",
    "diversity": "Distance between two samples, relative to that between two real images.",
    "saturated": "Share of black or white pixels, beyond that of real images.",
    "generator_alive": "Share of units that differ between images, in the weakest layer.",
    "discriminator_alive": "Share of units that differ between images, in the weakest layer.",
    "label_effect": "Change of an image by another label, relative to that by another z.",
}


def panels_of(
    rows: Sequence[dict[str, Any]], metrics: Sequence[str] = (), model_args: Mapping[str, Any] | None = None
) -> list[tuple[str, list[Panel]]]:
    """Headings with their panels; headings without panels are left out.

    Args:
        rows: of metrics.jsonl; keys are "SPLIT_TERM", "SPLIT_METRIC" or "health_NAME", and not every row has each.
        metrics: metrics of samples that were measured during the training; without a validation split these are
            relative to training images.
        model_args: of the model, from which units and the values in balance follow.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    terms = [key.partition("_")[2] for key in keys if key.startswith("train_")]
    terms = [term for term in terms if term not in better(metrics)]
    health = [key for key in keys if key.startswith("health_")]
    term_keys = {f"{split}_{term}" for split in SPLITS for term in terms}
    quality = [key for key in keys if key.partition("_")[0] in SPLITS and key not in term_keys]
    groups = [
        ("Quality of samples", [_quality(rows, key) for key in quality]),
        ("Terms", [_term(rows, term, model_args or {}) for term in terms]),
        ("Health metrics", [_health(rows, key, model_args or {}) for key in health]),
    ]
    return [(heading, panels) for heading, panels in groups if panels]


def better(metrics: Iterable[str] = METRICS) -> dict[str, str]:
    """Value of samples -> "lower", "higher" or "", of those metrics (NAME or NAME@EXTRACTOR) that are known."""
    return directions(name for name in metrics if name.partition("@")[0] in METRICS)


def _term(rows: Sequence[dict[str, Any]], term: str, model_args: Mapping[str, Any]) -> Panel:
    lines = [Line(split, _points(rows, f"{split}_{term}"), color) for color, split in enumerate(SPLITS)]
    return Panel(_words(term), lines, NOTES.get(term, ""), **vars(describe(term, model_args)))


def _health(rows: Sequence[dict[str, Any]], key: str, model_args: Mapping[str, Any]) -> Panel:
    name = key.partition("_")[2]
    lines = [Line(_words(name), _points(rows, key), HEALTH_COLOR)]
    return Panel(_words(name), lines, NOTES.get(name, ""), **vars(describe(name, model_args)))


def _quality(rows: Sequence[dict[str, Any]], key: str) -> Panel:
    split, _, name = key.partition("_")
    value = name.partition("@")[0]
    points, direction = _points(rows, key), better().get(value, "")
    choose = {"lower": min, "higher": max}.get(direction)
    valid = [point for point in points if point[1] == point[1]]
    best = choose(valid, key=lambda point: point[1]) if choose and valid else None
    note = f"Relative to {split} images" + (f"; {direction} is better." if direction else ".")
    line = Line(_words(name), points, QUALITY_COLOR, best)
    return Panel(_words(name), [line], note, unit=UNITS.get(value, ""), share=value in SHARES)


def _points(rows: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    """(epoch, value) of the rows that have a number; None, a metric without a value, is left out."""
    points = [(row["epoch"], row[key]) for row in rows if key in row]
    return [(int(x), float(y)) for x, y in points if isinstance(y, (int, float)) and not isinstance(y, bool)]


def _words(name: str) -> str:
    return name.replace("_", " ")
