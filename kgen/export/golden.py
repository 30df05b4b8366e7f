"""The golden batch: inputs, and what the trained model makes of them; every exported file is compared with it.

It is chosen clear of pixels at the border of two grey levels, which two runtimes round by chance; where an image has so
many pixels that none is clear, those with the fewest are taken.

A pixel that is drawn (PixelVAE) hangs on whether noise is below a probability: where the two are that near, another
rounding draws another pixel, and all that follow differ. So the golden batch holds no image that a change of z in its
sixth digit turns into another, as far as there are others.

The great circle between two nearly opposite points hangs on their last digits (1 / sine of the angle), so points are
paired with others that are not opposite.
"""

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from kgen import portable
from kgen.errors import ExportFailed, UserError
from kgen.export.agreement import BOUNDS, near_border
from kgen.sampling.great_circle import between

FILE = "golden.npz"
SEED = 0
COUNT = 64
CANDIDATES = 256
FEW = 8
"""Rows of what is tried beside the first task, to draw and to decode."""
NUDGE = 1e-5
TURNED = 0.01
"""A nudge of z turns an image into another when a pixel changes by more."""
TEMPERATURE = 0.75
NEARLY_OPPOSITE = -0.8
"""Below this cosine (a sine of 0.6) the great circle amplifies rounding more than 1.7 times."""


@dataclass(frozen=True)
class Golden:
    """Inputs and what the model gives; N rows, M of them of what is tried on a few.

    Attributes:
        seed: [N] int32.
        label: [N] int32, or None from an unconditional model.
        z: [N, *latent_shape] float32, drawn with the seeds.
        images: [N, H, W, C] float32, decoded from z.
        temperature: [M] float32 in [0, 1], with which `tempered` [M, H, W, C] is drawn from the first M seeds.
        t: [M] float32; `interpolated` [M, H, W, C] lies so far between z[:M] and z[M : 2 * M].
        mean, log_var: of the encodings of `images[:M]`, [M, *latent_shape]; None without an encoder.
    """

    seed: np.ndarray
    label: np.ndarray | None
    z: np.ndarray
    images: np.ndarray
    temperature: np.ndarray
    tempered: np.ndarray
    t: np.ndarray
    interpolated: np.ndarray
    mean: np.ndarray | None = None
    log_var: np.ndarray | None = None

    def save(self, folder: Path):
        """Writes golden.npz into a folder."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        np.savez_compressed(folder / FILE, **{name: array for name, array in found.items() if array is not None})

    @classmethod
    def load(cls, folder: Path) -> "Golden":
        """Raises UserError when the file is missing or broken."""
        try:
            with np.load(folder / FILE, allow_pickle=False) as file:
                return cls(**({"label": None} | {name: file[name] for name in file.files}))
        except (OSError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{folder / FILE} cannot be read ({error}); export the run again") from error


def paired(z: np.ndarray) -> np.ndarray:
    """The order in which row FEW + i is not opposite to row i, for i below FEW, as far as there are such rows.

    Args:
        z: [N, *latent_shape], N at least 2 * FEW.
    """
    flat = z.reshape(len(z), -1)
    cosine = flat @ flat.T / np.maximum(np.linalg.norm(flat, axis=1) * np.linalg.norm(flat, axis=1)[:, None], 1e-12)
    order, others = list(range(FEW)), list(range(FEW, len(z)))
    for row in range(FEW):
        clear = [other for other in others if cosine[row, other] > NEARLY_OPPOSITE]
        order.append(clear[0] if clear else max(others, key=lambda other: cosine[row, other]))
        others.remove(order[-1])
    return np.array(order + others)


def golden_batch(sampler, encode=None) -> Golden:
    """COUNT rows out of CANDIDATES: those with the fewest pixels near a border of two grey levels.

    Images that a nudge of z turns into others come last.

    Args:
        sampler: of the trained model.
        encode: (images, labels) -> mean and log_var; None without an encoder.
    """
    import tensorflow as tf

    classes = sampler.spec.num_classes
    seeds = portable.row_seeds(SEED, CANDIDATES)
    labels = np.arange(CANDIDATES, dtype=np.int32) % classes if sampler.conditional else None

    def draw(seeds, labels, temperature):
        return sampler.density.graph_draw(tf.constant(seeds), labels, temperature).numpy()

    z = draw(seeds, labels, tf.ones(CANDIDATES))
    candidates = sampler.decode(z, labels)
    near = near_border(candidates, BOUNDS["float32"].largest_difference).reshape(CANDIDATES, -1).sum(axis=1)
    for nudge in (-NUDGE, NUDGE):
        moved = np.abs(sampler.decode(z + np.float32(nudge), labels) - candidates)
        near += candidates[0].size * (moved.reshape(CANDIDATES, -1).max(axis=1) > TURNED)
    keep = np.sort(np.argsort(near, kind="stable")[:COUNT])
    keep = keep[paired(z[keep])]
    seeds, z, labels = seeds[keep], z[keep], None if labels is None else labels[keep]
    few = None if labels is None else labels[:FEW]
    images = sampler.decode(z, labels)  # again: with other neighbours, in other batches, as the files will
    if not np.isfinite(images).all():
        raise ExportFailed("the trained model gives pixels that are not finite; see its log, and train it again")
    temperature, t = np.full(FEW, TEMPERATURE, np.float32), np.linspace(0, 1, FEW, dtype=np.float32)
    tempered = sampler.decode(draw(seeds[:FEW], few, tf.constant(temperature)), few)
    middle = between(tf.constant(z[:FEW]), tf.constant(z[FEW : 2 * FEW]), tf.constant(t)).numpy()
    interpolated = sampler.decode(middle, few)
    encoded = () if encode is None else (np.asarray(x) for x in encode(images[:FEW], few))
    return Golden(seeds, labels, z, images, temperature, tempered, t, interpolated, *encoded)
