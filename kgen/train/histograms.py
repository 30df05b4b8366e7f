"""Gradients and weights of every layer: histograms for TensorBoard, and one picture of how large the gradients were."""

import math

import keras
import numpy as np
import tensorflow as tf

from kgen.files import write_aside
from kgen.models.base import share, unpack
from kgen.run import Run

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
    """A row a weight, a column an epoch; the colour is the norm of the gradient, on a logarithmic scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = np.log10(np.maximum(np.array(list(norms.values())), 1e-12))
    figure = Figure(figsize=(8, 1.5 + 0.22 * len(norms)), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(values, aspect="auto", interpolation="nearest", cmap="viridis")
    axes.set_yticks(range(len(norms)), list(norms), fontsize=7)
    places = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), 8)).astype(int))
    axes.set_xticks(places, [str(epochs[i]) for i in places])
    axes.set(xlabel="epoch", title=title)
    figure.colorbar(shown, label="log10 of the gradient's norm")
    return write_aside(path, lambda aside: FigureCanvasAgg(figure).print_png(aside))
