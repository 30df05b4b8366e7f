"""Pictures that a training draws as it goes: the same latent points every time."""

import keras
import numpy as np
import tensorflow as tf

from kgen import images
from kgen.run import Run
from kgen.sampling import ModelSampler
from kgen.sampling.great_circle import between

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
    """A row a path between two latent points along the great circle, [height, width, C] uint8; a class a row."""
    labels = np.arange(PATHS, dtype=np.int32) % max(sampler.spec.num_classes, 1) if sampler.conditional else None
    starts = sampler.density.draw(seed, PATHS, labels)
    ends = sampler.density.draw(seed, PATHS, labels, first=PATHS)
    share = np.tile(np.linspace(0, 1, STEPS, dtype=np.float32), PATHS)
    z = between(*(tf.constant(np.repeat(points, STEPS, axis=0)) for points in (starts, ends)), tf.constant(share))
    return images.grid(sampler.decode(z.numpy(), None if labels is None else np.repeat(labels, STEPS)), STEPS)


SHEETS = (("epoch", "samples", sample_sheet), ("interpolation", "interpolation", path_sheet))
"""(name of the files, name in TensorBoard, what draws)."""
