"""TensorBoard: the event files in tensorboard/ of a run, one record per call.

`tf.summary.histogram` and its kind run dozens of operations per value (40 ms for a histogram). Here NumPy computes what
they write, and one call writes all values of an epoch. TensorBoard shows the same.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.summary import session_end_pb
from tensorboard.plugins.hparams.summary_v2 import hparams_pb

from kgen.train.loggers.base import Logger, hyperparameters, numbers

SPLITS = ("train", "validation", "test", "health")
"""Prefixes of the values of a row that are scalars."""
BUCKETS = 30
"""Of a histogram, as in `tf.summary.histogram`."""


class TensorBoardLogger(Logger):
    """Scalars TERM/SPLIT, images, histograms, and the settings as hyperparameters (tab HParams).

    HParams shows them beside the last value of every scalar, and the columns that differ between runs.
    """

    def begin(self):
        self.writer = tf.summary.create_file_writer(str(self.run.path / "tensorboard"))
        group = "/".join(self.run.path.absolute().parts[-2:])  # HParams joins runs of one group
        self._write(0, hparams_pb(hyperparameters(self.run.config), trial_id=group))

    def row(self, row: Mapping[str, Any]):
        named = {key.partition("_"): value for key, value in numbers(row).items()}
        scalars = {f"{term}/{split}": np.float32(v) for (split, _, term), v in named.items() if split in SPLITS}
        self._write_values(row["epoch"], "scalars", scalars)

    def histograms(self, epoch: int, values: Mapping[str, np.ndarray]):
        self._write_values(epoch, "histograms", {name: buckets(value) for name, value in values.items()})

    def images(self, epoch: int, files: Mapping[str, Path]):
        self._write_values(epoch, "images", {name: _png(path) for name, path in files.items()})

    def end(self, finished: bool):
        if finished:
            self._write(0, session_end_pb(api_pb2.STATUS_SUCCESS))
        self.writer.close()

    def _write_values(self, epoch: int, plugin: str, values: Mapping[str, np.ndarray]):
        """Writes values, by their tags.

        Args:
            epoch: TensorBoard's step.
            plugin: of TensorBoard, which shows them.
            values: tag -> value as the plugin stores it.
        """
        summary = tf.compat.v1.Summary()
        about = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": plugin})
        for tag, value in values.items():
            summary.value.add(tag=tag, metadata=about, tensor=tf.make_tensor_proto(value))
        self._write(epoch, summary)

    def _write(self, epoch: int, summary):
        with self.writer.as_default(step=epoch):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString())


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
