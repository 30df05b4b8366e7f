"""TensorBoard's event file of a run, one record per callback and epoch.

`tf.summary.histogram` and its kind run dozens of operations per value (40 ms for a histogram). Here NumPy computes what
they write, and one call writes all values of an epoch. TensorBoard shows the same.
"""

import struct
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kgen.run import Run

BUCKETS = 30
"""Of a histogram, as in `tf.summary.histogram`."""


class EventFile(keras.callbacks.Callback):
    """The open event file; the first of the callbacks, so that the others can write when a training begins."""

    def __init__(self, run: Run):
        super().__init__()
        self.run = run

    def on_train_begin(self, logs=None):
        self.writer = tf.summary.create_file_writer(str(self.run.path / "tensorboard"))

    def write(
        self,
        epoch: int,
        *,
        scalars: Mapping[str, float] | None = None,
        histograms: Mapping[str, np.ndarray] | None = None,
        images: Mapping[str, Path] | None = None,
    ):
        """Writes values, by their tags.

        Args:
            epoch: TensorBoard's step.
            scalars: tag -> value.
            histograms: tag -> finite values of any shape.
            images: tag -> its PNG file.
        """
        tensors = [(tag, "scalars", np.float32(value)) for tag, value in (scalars or {}).items()]
        tensors += [(tag, "histograms", buckets(values)) for tag, values in (histograms or {}).items()]
        tensors += [(tag, "images", _png(path)) for tag, path in (images or {}).items()]
        summary = tf.compat.v1.Summary()
        for tag, plugin, values in tensors:
            about = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": plugin})
            summary.value.add(tag=tag, metadata=about, tensor=tf.make_tensor_proto(values))
        with self.writer.as_default(step=epoch):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString())

    def on_train_end(self, logs=None):
        self.writer.close()


def _png(path: Path) -> np.ndarray:
    """[3] bytes: width, height and content of a PNG file, as TensorBoard stores an image."""
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # of its first chunk
    return np.array([str(width).encode(), str(height).encode(), content], object)


def buckets(values: np.ndarray) -> np.ndarray:
    """A histogram, [BUCKETS, 3] float64, each row (left edge, right edge, count), of equal width from least to largest.

    Equal values have buckets of width 0, and are counted in the last.
    """
    values = np.asarray(values, np.float64).ravel()
    least, largest = values.min(), values.max()
    if least == largest:
        places, edges = np.array([BUCKETS - 1] * values.size), np.full(BUCKETS + 1, largest)
    else:
        places = np.minimum(((values - least) / ((largest - least) / BUCKETS)).astype(np.int64), BUCKETS - 1)
        edges = np.linspace(least, largest, BUCKETS + 1)
    return np.stack([edges[:-1], edges[1:], np.bincount(places, minlength=BUCKETS)], axis=1)
