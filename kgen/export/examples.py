"""Rows for the inputs of signatures, from the training split: what "int8" takes the ranges of its numbers from."""

from collections.abc import Iterable, Mapping

import numpy as np

from kgen import data, portable
from kgen.errors import UserError
from kgen.run import Run
from kgen.sampling import Prior

COUNT = 200


def training_rows(run: Run, model, density: Prior) -> dict[str, np.ndarray]:
    """COUNT values of every input that a signature may have, by name.

    Latent points are draws of the posterior of training images; of a model without an encoder, of the prior.

    Raises:
        UserError: the training images cannot be loaded.
    """
    try:
        dataset = data.load(run.config.data, seed=run.config.seed)
    except UserError as error:
        raise UserError(f"--quantize int8 takes its ranges from the training images of {run.path}: {error}") from error
    (images, labels), *_ = dataset.batches("train", batch_size=COUNT, seed=run.config.seed, training=False, limit=COUNT)
    images, labels = np.asarray(images), np.asarray(labels, np.int32)
    count, given = len(images), labels if model.conditional else None
    z = density.draw(run.config.seed, count, given)
    if hasattr(model, "encode"):
        mean, log_var = (np.asarray(x) for x in model.encode(images, given))
        z = mean + np.exp(0.5 * log_var) * portable.normals(portable.row_seeds(0, count), z[0].size).reshape(z.shape)
    return {
        "images": images, "label": labels, "z": z, "z0": z, "z1": np.roll(z, 1, axis=0),
        "seed": portable.row_seeds(run.config.seed, count), "temperature": np.ones(count, np.float32),
        "t": np.linspace(0, 1, count, dtype=np.float32),
    }  # fmt: skip


def one_by_one(rows: Mapping[str, np.ndarray], names: Iterable[str]) -> Iterable[dict[str, np.ndarray]]:
    """The rows of some inputs, each a batch of one."""
    chosen = {name: rows[name] for name in names}
    for i in range(len(next(iter(chosen.values())))):
        yield {name: values[i : i + 1] for name, values in chosen.items()}
