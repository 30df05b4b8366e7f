"""How far what an exported file gives is from what the model gives, and how far it may be.

Two runtimes add float32 numbers in different orders, and so does one runtime on another processor or with another
number of rows. Each sum is off by some 2^-24 = 6e-8, and the layers after it amplify that: to 1.6e-6 of a pixel at
most, over 13 trained models and four kinds of processor. A pixel whose value lies that near to the border between two
grey levels is rounded by chance (about one in 100,000). Where float32 files differ in a uint8 pixel, it must be at such
a border.
"""

import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from kgen import data, images, random
from kgen.errors import ExportFailed, UserError
from kgen.export.tolerances import BOUNDS, QUANTIZATIONS, SAVED_MODEL, Tolerance  # noqa: F401
from kgen.run import Run
from kgen.sampling import Prior
from kgen.sampling.slerp import slerp

BORDER = 1e-6
HALF_A_LEVEL = 0.5 / 255


@dataclass(frozen=True)
class Deviation:
    """What was measured.

    Attributes:
        max_abs_difference: over all values; as a share of the largest where that is above 1.
        psnr_db: -10 log10 of the mean square of the differences of images; None for what are no images. At most 200.
        uint8_pixels_different: after rounding to 0..255; None for what are no images.
        uint8_pixels_different_at_a_border: those of them whose value is that near to the border of two grey levels.
        values: how many were compared.
    """

    max_abs_difference: float
    psnr_db: float | None
    uint8_pixels_different: int | None
    uint8_pixels_different_at_a_border: int | None
    values: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def demand(self, artefact: str, bound: Tolerance, advice: str = ""):
        """Raises ExportFailed, with advice at its end, when a bound is broken; a NaN breaks it."""
        pixels = (self.uint8_pixels_different or 0) - (self.uint8_pixels_different_at_a_border or 0)
        broken = []
        if not self.max_abs_difference <= bound.largest_difference:
            broken.append(f"largest difference {self.max_abs_difference:.3g} (at most {bound.largest_difference:g})")
        if bound.least_psnr_db is not None and self.psnr_db is not None and not self.psnr_db >= bound.least_psnr_db:
            broken.append(f"PSNR {self.psnr_db:.1f} dB (at least {bound.least_psnr_db:g})")
        if bound.same_pixels and pixels:
            broken.append(f"{pixels} uint8 pixels differ (none may)")
        if broken:
            raise ExportFailed(f"{artefact} does not agree with the trained model: {', '.join(broken)}{advice}")


def compare_outputs(
    expected: np.ndarray, got: np.ndarray, *, are_images: bool = True, border: float = BORDER
) -> Deviation:
    """The agreement of two arrays of one shape.

    Args:
        expected: floats; images in [0, 1].
        got: the same; or images as uint8, each of which says a value to half a level.
        are_images: or encodings.
        border: how near is at a border of two grey levels.

    Raises:
        ExportFailed: the shapes differ.
    """
    if expected.shape != got.shape:
        raise ExportFailed(f"shapes differ: the model gives {expected.shape}, the export {got.shape}")
    shown = got.dtype == np.uint8
    difference = np.abs(expected.astype(np.float64) - (images.to_unit(got) if shown else got))
    if not are_images:
        largest = max(1.0, float(np.max(np.abs(expected))))
        return Deviation(float(np.max(difference)) / largest, None, None, None, int(expected.size))
    different = images.to_uint8(expected) != (got if shown else images.to_uint8(np.nan_to_num(got)))
    at_border = int((different & near_border(expected, border)).sum())
    if shown:
        difference = np.maximum(difference - HALF_A_LEVEL, 0)
    psnr = -10 * math.log10(max(float(np.mean(np.square(difference))), 1e-20))
    return Deviation(float(np.max(difference)), psnr, int(different.sum()), at_border, int(expected.size))


def near_border(values: np.ndarray, border: float = BORDER) -> np.ndarray:
    """Where a value in [0, 1] is nearer than `border` to the border between two grey levels."""
    levels = images.levels(values)
    return np.abs(levels - np.floor(levels) - 0.5) < images.levels(border)


# Golden ---------------------------------------------------------------------------------------------------------------
# The golden batch: inputs, and what the trained model makes of them; every exported file is compared with it.
#
# It is chosen clear of pixels at the border of two grey levels, which two runtimes round by chance; where an image
# has so
# many pixels that none is clear, those with the fewest are taken.
#
# A pixel that is drawn (PixelVAE) hangs on whether noise is below a probability: where the two are that near, another
# rounding draws another pixel, and all that follow differ. So the golden batch holds no image that a change of z in its
# sixth digit turns into another, as far as there are others.
#
# The great circle between two nearly opposite points hangs on their last digits (1 / sine of the angle), so points are
# paired with others that are not opposite.


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
    seeds = random.row_seeds(SEED, CANDIDATES)
    labels = np.arange(CANDIDATES, dtype=np.int32) % classes if sampler.conditional else None

    def draw(seeds, labels, temperature):
        return sampler.density.graph_sample(tf.constant(seeds), labels, temperature).numpy()

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
    middle = slerp(tf.constant(z[:FEW]), tf.constant(z[FEW : 2 * FEW]), tf.constant(t)).numpy()
    interpolated = sampler.decode(middle, few)
    encoded = () if encode is None else (np.asarray(x) for x in encode(images[:FEW], few))
    return Golden(seeds, labels, z, images, temperature, tempered, t, interpolated, *encoded)


# Examples -------------------------------------------------------------------------------------------------------------
# Rows for the inputs of signatures, from the training split: what "int8" takes the ranges of its numbers from.


TRAINING_ROWS = 200


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
    (images, labels), *_ = dataset.batches(
        "train", batch_size=TRAINING_ROWS, seed=run.config.seed, training=False, limit=TRAINING_ROWS
    )
    images, labels = np.asarray(images), np.asarray(labels, np.int32)
    count, given = len(images), labels if model.conditional else None
    z = density.sample(run.config.seed, count, given)
    if model.has_encoder:
        mean, log_var = (np.asarray(x) for x in model.encode(images, given))
        noise = random.portable_normals(random.row_seeds(0, count), z[0].size).reshape(z.shape)
        z = mean + np.exp(0.5 * log_var) * noise
    return {
        "images": images, "label": labels, "z": z, "z0": z, "z1": np.roll(z, 1, axis=0),
        "seed": random.row_seeds(run.config.seed, count), "temperature": np.ones(count, np.float32),
        "t": np.linspace(0, 1, count, dtype=np.float32),
    }  # fmt: skip


def one_by_one(rows: Mapping[str, np.ndarray], names: Iterable[str]) -> Iterable[dict[str, np.ndarray]]:
    """The rows of some inputs, each a batch of one."""
    chosen = {name: rows[name] for name in names}
    for i in range(len(next(iter(chosen.values())))):
        yield {name: values[i : i + 1] for name, values in chosen.items()}
