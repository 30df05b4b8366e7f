"""Pictures of a training: curves of its metrics, the gradients of its layers, and sheets of samples."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kgen import images
from kgen.canvas import Canvas
from kgen.provenance import drawn_by
from kgen.sampling.slerp import slerp
from kgen.train.terms import describe

MAX_COLUMNS = 4
MAX_MARKERS = 20
"""A line of fewer points has a marker at each."""
MAX_EPOCH_MARKS = 10
SPLITS = ("train", "validation", "test")
LINE_STYLES = ("-", "--", ":")
BALANCE, HEALTH = "#555555", "#882255"
"""Colors of the value in balance, and of health metrics."""
SAME = 1e-5
"""Values that differ by less, relative to them, are drawn as the same: rounding."""
MAX_LINEAR = 1e3
"""An axis of positive values whose largest and smallest have a larger ratio is logarithmic."""


def draw_curves(
    rows: list[dict[str, Any]],
    path: Path,
    *,
    title: str,
    model_args: Mapping[str, Any],
    leave_out: Collection[str] = (),
) -> Path:
    """One panel per term, one line per split, over the epochs; dashed: the value in balance (see `kgen.train.terms`).

    Args:
        rows: of metrics.jsonl; keys are "SPLIT_TERM", or "health_NAME".
        path: of the PNG.
        title: above the panels.
        model_args: of the model, from which units follow.
        leave_out: terms that are none: metrics of samples that are relative to training images.
    """
    return curves_canvas(rows, title=title, model_args=model_args, leave_out=leave_out).save(path)


def curves_canvas(
    rows: list[dict[str, Any]], *, title: str, model_args: Mapping[str, Any], leave_out: Collection[str] = ()
) -> Canvas:
    """The figure of `draw_curves`."""
    names = [key.partition("_")[2] for key in rows[-1] if key.startswith(("train_", "health_"))]
    names = [name for name in names if name not in leave_out]
    canvas, panels = Canvas.of_panels(len(names), MAX_COLUMNS, title=title)
    lines = {}
    for axes, name in zip(panels, names, strict=True):
        term, values = describe(name, model_args), []
        for number, split in enumerate(SPLITS):
            points = _points(rows, f"{split}_{name}")
            if points:
                style = {"color": canvas.class_color(number), "linestyle": LINE_STYLES[number], "markersize": 4}
                marker = canvas.class_marker(number) if len(points) < MAX_MARKERS else None
                (lines[split],) = axes.plot(*zip(*points, strict=True), marker=marker, **style)
                values += [y for _, y in points]
        points = _points(rows, f"health_{name}")
        if points:
            axes.plot(*zip(*points, strict=True), color=HEALTH, marker="o" if len(points) < MAX_MARKERS else None,
                      markersize=4)  # fmt: skip
            values += [y for _, y in points]
        if term.balance:
            value, words = term.balance
            line = axes.axhline(value, color=BALANCE, linestyle="--", linewidth=1, label=words)
            axes.legend(handles=[line], loc="best", fontsize="small")
            values.append(value)
        axes.set(xlabel="epoch", ylabel=term.unit, title=_words(name))
        canvas.integer_ticks(axes)
        _fit_values(axes, values, share=term.share)
    if len(lines) > 1:
        canvas.figure.legend(lines.values(), lines, loc="upper right", ncols=len(lines), frameon=False)
    return canvas


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
    canvas = quality_canvas(rows, better, split, title=title)
    return canvas and canvas.save(path)


def quality_canvas(rows: list[dict[str, Any]], better: Mapping[str, str], split: str, *, title: str) -> Canvas | None:
    """The figure of `draw_quality`."""
    points = {name: found for name in better if (found := _points(rows, f"{split}_{name}"))}
    if not points:
        return None
    canvas, panels = Canvas.of_panels(len(points), MAX_COLUMNS, title=title)
    for axes, (name, found) in zip(panels, points.items(), strict=True):
        values = [y for _, y in found]
        axes.plot(*zip(*found, strict=True), marker=".", color=canvas.class_color(0))
        choose = {"lower": min, "higher": max}.get(better[name])
        if choose:
            epoch, value = choose(found, key=lambda point: point[1])
            line, = axes.plot(epoch, value, marker="o", fillstyle="none", color="black", linestyle="none", markersize=9,
                              label=f"best: {value:.4g}, epoch {epoch}")  # fmt: skip
            axes.legend(handles=[line], loc="best", fontsize="small")
        axes.set(
            xlabel="epoch",
            ylabel=f"{better[name]} is better" if better[name] else "",
            title=f"{_words(name)} ({split})",
        )
        canvas.integer_ticks(axes)
        _fit_values(axes, values)
    return canvas


def _points(rows: list[dict[str, Any]], key: str) -> list[tuple[int, float]]:
    """(epoch, value) of the rows that have one."""
    return [(row["epoch"], row[key]) for row in rows if row.get(key) is not None]


def _words(name: str) -> str:
    return " ".join(word.upper() if len(word) <= 3 else word for word in name.split("_"))  # KL, FID


def _fit_values(axes, values: list[float], *, share: bool = False):
    """The vertical axis: 0 to 1 for a share, logarithmic over many decades, wide around values that are the same.

    Args:
        axes: the panel.
        values: that are drawn in it.
        share: see `kgen.train.terms.Term`.
    """
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return
    low, high = min(finite), max(finite)
    if share and low >= 0 and high <= 1:
        axes.set_ylim(-0.04, 1.04)
    elif high - low <= SAME * max(abs(low), abs(high)):
        spare = abs(low) / 2 or 1.0
        axes.set_ylim(low - spare if low else -0.04, high + spare)
    elif low > 0 and high > MAX_LINEAR * low:
        axes.set_yscale("log")
        return
    Canvas.plain_numbers(axes)


def draw_norms(norms: dict[str, list[float]], epochs: list[int], path, *, title: str):
    """A row per weight, a column per epoch; the colour is the norm of the gradient, on a logarithmic scale."""
    return norms_canvas(norms, epochs, title=title).save(path)


def norms_canvas(norms: dict[str, list[float]], epochs: list[int], *, title: str) -> Canvas:
    """The figure of `draw_norms`."""
    values = np.log10(np.maximum(np.array(list(norms.values())), 1e-12))
    left, wide, tall = 0.3 + 0.065 * max(map(len, norms)), 5.0, max(1.2, 0.22 * len(norms))
    canvas = Canvas(left + wide + 1.3, tall + 1.0, title=f"{title}: gradient of each weight", fixed=True)
    axes = canvas.axes_at(left, 0.5, wide, tall, grid=None)
    image = axes.imshow(values, aspect="auto", interpolation="nearest", cmap="viridis")
    axes.set_yticks(range(len(norms)), list(norms), fontsize=7)
    places = range(0, len(epochs), -(-len(epochs) // MAX_EPOCH_MARKS))
    axes.set_xticks(places, [str(epochs[i]) for i in places])
    axes.set(xlabel="epoch")
    bar = canvas.axes_at(left + wide + 0.2, 0.5, 0.2, tall, grid=None)
    canvas.figure.colorbar(image, cax=bar, label="log10 of the gradient's norm")
    return canvas


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


def sheet_origin(run, sampler, picture: str, **more: Any) -> dict[str, Any]:
    """What made a sheet, for its file; the same for the same training, wherever its run lies.

    Args:
        run: that is trained.
        sampler: that decoded it.
        picture: its name.
        more: the epoch, or the checkpoint.
    """
    about = {"model": run.config.model, "weights_hash": sampler.weights_hash, "prior": sampler.prior}
    return drawn_by("kgen-train", **about, seed=run.config.seed, picture=picture, **more)


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
