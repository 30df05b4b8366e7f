"""Pictures of a training: curves of its metrics, the gradients of its layers, and sheets of samples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kgen import images
from kgen.canvas import Canvas
from kgen.sampling.slerp import slerp

MAX_COLUMNS = 4


def draw_curves(rows: list[dict[str, Any]], path: Path, *, title: str, unit: str = "") -> Path:
    """One panel per term, one line per split, over the epochs.

    Args:
        rows: of metrics.jsonl; keys are "SPLIT_TERM", or "health_NAME".
        path: of the PNG.
        title: above the panels.
        unit: of the terms.
    """
    splits = ("train", "validation", "test", "health")
    terms = [key.partition("_")[2] for key in rows[-1] if key.startswith(("train_", "health_"))]
    canvas, panels = _panels(len(terms), title)
    for axes, term in zip(panels, terms, strict=True):
        for split in splits:
            points = [(row["epoch"], row[f"{split}_{term}"]) for row in rows if f"{split}_{term}" in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=split, marker="." if len(points) < 20 else None)
        axes.set(xlabel="epoch", ylabel=unit, title=term)
        canvas.integer_ticks(axes)
        axes.legend()
    return canvas.save(path)


def draw_quality(
    rows: list[dict[str, Any]], path: Path, better: Mapping[str, str], split: str, *, title: str
) -> Path | None:
    """One panel per metric of the samples, over the epochs.

    Args:
        rows: of metrics.jsonl; keys are "SPLIT_METRIC".
        path: of the PNG.
        better: metric -> "lower", "higher" or "".
        split: of the real images that samples were compared with.
        title: above the panels.

    Returns:
        The path; None when no metric has a value.
    """
    points = {name: [(r["epoch"], r[f"{split}_{name}"]) for r in rows if r.get(f"{split}_{name}") is not None]
              for name in better}  # fmt: skip
    points = {name: found for name, found in points.items() if found}
    if not points:
        return None
    canvas, panels = _panels(len(points), title)
    for axes, (name, found) in zip(panels, points.items(), strict=True):
        axes.plot(*zip(*found, strict=True), marker=".")
        choose = {"lower": min, "higher": max}.get(better[name])
        if choose:
            epoch, value = choose(found, key=lambda point: point[1])
            axes.plot(epoch, value, marker="o", fillstyle="none", color="black", linestyle="none", label=f"{value:.4g}")
            axes.legend(title="best")
        axes.set(xlabel="epoch", ylabel=f"{better[name]} is better" if better[name] else "", title=f"{name} ({split})")
        canvas.integer_ticks(axes)
    return canvas.save(path)


def _panels(count: int, title: str) -> tuple[Canvas, list]:
    columns = min(count, MAX_COLUMNS)
    rows = -(-count // columns)
    canvas = Canvas(4.2 * columns, 3.4 * rows, title=title)
    return canvas, canvas.panels(rows, columns, count=count)


def draw_norms(norms: dict[str, list[float]], epochs: list[int], path, *, title: str):
    """A row per weight, a column per epoch; the colour is the norm of the gradient, on a logarithmic scale."""
    values = np.log10(np.maximum(np.array(list(norms.values())), 1e-12))
    canvas = Canvas(8, 1.5 + 0.22 * len(norms))
    axes = canvas.axes(grid=None)
    image = axes.imshow(values, aspect="auto", interpolation="nearest", cmap="viridis")
    axes.set_yticks(range(len(norms)), list(norms), fontsize=7)
    places = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), 8)).astype(int))
    axes.set_xticks(places, [str(epochs[i]) for i in places])
    axes.set(xlabel="epoch", title=title)
    canvas.figure.colorbar(image, label="log10 of the gradient's norm")
    return canvas.save(path)


# Sheets of samples ----------------------------------------------------------------------------------------------------


MAX_CLASSES = 20
"""Rows of a sheet of samples of a conditional model."""
PATHS, STEPS = 6, 10


SHEET_VALUES = 2**26
"""Largest sheet, in values of its images; fewer large images are shown."""


def _fitting(sampler, rows: int, columns: int) -> tuple[int, int]:
    """At most so many rows and columns of images as a sheet holds."""
    while rows * columns > max(1, SHEET_VALUES // sampler.spec.num_pixels):
        rows, columns = (rows - 1, columns) if rows > columns else (rows, columns - 1)
    return rows, columns


def sample_sheet(sampler, seed: int, columns: int = 10) -> np.ndarray:
    """A grid of samples, [height, width, C] uint8: one named row per class of a conditional model, else 8 by 8.

    Every row has the same noise. Of large images there are fewer; small ones are enlarged.
    """
    scale = images.view_scale(sampler.spec.image_shape)
    if not sampler.conditional:
        rows, columns = _fitting(sampler, 8, 8)
        return images.grid(sampler.decode(sampler.density.sample(seed, rows * columns)), columns, scale=scale)
    classes, columns = _fitting(sampler, min(sampler.spec.num_classes, MAX_CLASSES), columns)
    labels = np.repeat(np.arange(classes, dtype=np.int32), columns).reshape(classes, columns)
    z = np.concatenate([sampler.density.sample(seed, columns, row) for row in labels])
    names = [sampler.spec.class_name(label) for label in range(classes)]
    return images.grid(sampler.decode(z, labels.ravel()), columns, names=names, scale=scale)


def path_sheet(sampler, seed: int) -> np.ndarray:
    """One row per path (slerp) between two latent points, of one class per row: [height, width, C] uint8."""
    paths, steps = _fitting(sampler, PATHS, STEPS)
    labels = np.arange(paths, dtype=np.int32) % max(sampler.spec.num_classes, 1) if sampler.conditional else None
    starts = sampler.density.sample(seed, paths, labels)
    ends = sampler.density.sample(seed, paths, labels, first=PATHS)
    share = np.tile(np.linspace(0, 1, steps, dtype=np.float32), paths)
    z = slerp(*(tf.constant(np.repeat(points, steps, axis=0)) for points in (starts, ends)), tf.constant(share))
    decoded = sampler.decode(z.numpy(), None if labels is None else np.repeat(labels, steps))
    names = () if labels is None else [sampler.spec.class_name(label) for label in labels]
    return images.grid(decoded, steps, names=names, scale=images.view_scale(sampler.spec.image_shape))
