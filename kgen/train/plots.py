"""Curves of a training as pictures: losses, and the quality of samples."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kgen import images
from kgen.canvas import Canvas
from kgen.models.base import share, unpack
from kgen.run import Run
from kgen.sampling import ModelSampler
from kgen.sampling.slerp import slerp

MOST_COLUMNS = 4


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
        axes.legend()
    return canvas.save(path)


def draw_quality(
    rows: list[dict[str, Any]], path: Path, better: Mapping[str, str], split: str, *, title: str
) -> Path | None:
    """One panel per figure of the samples, over the epochs.

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
    canvas, panels = _panels(len(points), title)
    for axes, (name, found) in zip(panels, points.items(), strict=True):
        axes.plot(*zip(*found, strict=True), marker=".")
        choose = {"lower": min, "higher": max}.get(better[name])
        if choose:
            epoch, value = choose(found, key=lambda point: point[1])
            axes.plot(epoch, value, marker="o", fillstyle="none", color="black", linestyle="none", label=f"{value:.4g}")
            axes.legend(title="best")
        axes.set(xlabel="epoch", ylabel=f"{better[name]} is better" if better[name] else "", title=f"{name} ({split})")
    return canvas.save(path)


def _panels(count: int, title: str) -> tuple[Canvas, list]:
    columns = min(count, MOST_COLUMNS)
    rows = -(-count // columns)
    canvas = Canvas(4.2 * columns, 3.4 * rows, title=title)
    return canvas, canvas.panels(rows, columns, count=count)


# Grids ----------------------------------------------------------------------------------------------------------------
# Pictures that a training draws as it goes: the same latent points every time.


GRID_ROWS = 20
PATHS, STEPS = 6, 10


class SampleGrids(keras.callbacks.Callback):
    """Pictures of the same latent points, before training and every few epochs; also in TensorBoard.

    samples/epoch-0000.png: a grid; conditional: a row per class (at most GRID_ROWS of them), and the same noise in
    every row. samples/interpolation-0000.png: paths between latent points.
    """

    def __init__(self, run: Run, every: int):
        super().__init__()
        self.run, self.every = run, every

    def on_train_begin(self, logs=None):
        self.pictures = tf.summary.create_file_writer(str(self.run.path / "tensorboard"), filename_suffix=".images")
        self.sampler = ModelSampler(self.model)
        if not int(self.model.step.numpy()):
            self.draw(0)

    def on_epoch_end(self, epoch, logs=None):
        last = epoch + 1 == self.params["epochs"]
        if int(self.model.failed_step.numpy()) < 0 and (last or (epoch + 1) % self.every == 0):
            self.draw(epoch + 1)

    def draw(self, epoch: int):
        seed, folder = self.run.config.seed, self.run.path / "samples"
        for name, title, make in SHEETS:
            sheet = make(self.sampler, seed)
            images.save_png(folder / f"{name}-{epoch:04d}.png", sheet)
            with self.pictures.as_default(step=epoch):
                tf.summary.image(title, sheet[None])

    def on_train_end(self, logs=None):
        self.pictures.close()


def sample_sheet(sampler, seed: int, columns: int = 10) -> np.ndarray:
    """A grid of samples, [height, width, C] uint8: a row per class when conditional, else 8 by 8."""
    if not sampler.conditional:
        return images.grid(sampler.decode(sampler.density.draw(seed, 64)), 8)
    classes = min(sampler.spec.num_classes, GRID_ROWS)
    labels = np.repeat(np.arange(classes, dtype=np.int32), columns).reshape(classes, columns)
    z = np.concatenate([sampler.density.draw(seed, columns, row) for row in labels])
    return images.grid(sampler.decode(z, labels.ravel()), columns)


def path_sheet(sampler, seed: int) -> np.ndarray:
    """A row per path between two latent points along the great circle, [height, width, C] uint8; a class a row."""
    labels = np.arange(PATHS, dtype=np.int32) % max(sampler.spec.num_classes, 1) if sampler.conditional else None
    starts = sampler.density.draw(seed, PATHS, labels)
    ends = sampler.density.draw(seed, PATHS, labels, first=PATHS)
    share = np.tile(np.linspace(0, 1, STEPS, dtype=np.float32), PATHS)
    z = slerp(*(tf.constant(np.repeat(points, STEPS, axis=0)) for points in (starts, ends)), tf.constant(share))
    return images.grid(sampler.decode(z.numpy(), None if labels is None else np.repeat(labels, STEPS)), STEPS)


SHEETS = (("epoch", "samples", sample_sheet), ("interpolation", "interpolation", path_sheet))
"""(name of the files, name in TensorBoard, what draws)."""


# Histograms -----------------------------------------------------------------------------------------------------------
# Gradients and weights of every layer: histograms for TensorBoard, and one picture of how large the gradients were.


MOST_TURNS = 50
"""A training writes its histograms about so often."""
MOST_VALUES = 100_000
"""Of a histogram: TensorBoard's needs a quarter of a kilobyte for each."""


class Histograms(keras.callbacks.Callback):
    """Writes tensorboard/ and plots/layers.png.

    Args:
        run: written to.
        batch: (images, labels) that the gradients are of, the same every time.
    """

    def __init__(self, run: Run, batch):
        super().__init__()
        self.run, self.batch, self.norms, self.epochs = run, batch, {}, []

    def remember(self) -> dict:
        """What a checkpoint keeps of it."""
        return {"norms": self.norms, "epochs": self.epochs}

    def recall(self, remembered: dict):
        self.norms, self.epochs = remembered["norms"], remembered["epochs"]

    def before_keeping(self):
        pass

    def on_train_begin(self, logs=None):
        self.every = math.ceil(self.params["epochs"] / MOST_TURNS)
        self.writer = tf.summary.create_file_writer(str(self.run.path / "tensorboard"), filename_suffix=".histograms")

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        self.epochs.append(epoch + 1)
        with self.writer.as_default(step=epoch + 1):
            for phase in self.model.phases():
                for weight, gradient in zip(phase.weights, gradients_of(self.model, phase, self.batch), strict=True):
                    name = f"{phase.name}/{weight.path}"
                    tf.summary.histogram(f"weights/{name}", some(np.asarray(weight)))
                    if np.isfinite(gradient).all():
                        tf.summary.histogram(f"gradients/{name}", some(gradient))
                    self.norms.setdefault(name, []).append(float(np.linalg.norm(gradient)))

    def on_train_end(self, logs=None):
        self.writer.close()
        if self.epochs:
            draw_norms(self.norms, self.epochs, self.run.path / "plots" / "layers.png", title=self.run.name)


def some(values: np.ndarray) -> np.ndarray:
    """At most MOST_VALUES of them, evenly spread."""
    flat = values.ravel()
    return flat[:: math.ceil(flat.size / MOST_VALUES)]


def gradients_of(model, phase, batch) -> list[np.ndarray]:
    """The gradient of a phase's loss with respect to each of its weights, as an evaluation has it: nothing changes."""
    images, labels = (share(x, 0, max(p.repeats for p in model.phases())) for x in unpack(batch))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([w.value for w in phase.weights])
        loss = tf.reduce_mean(phase.terms(images, labels, training=False)["loss"])
    gradients = tape.gradient(loss, [w.value for w in phase.weights], unconnected_gradients="zero")
    return [np.asarray(gradient) for gradient in gradients]


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
