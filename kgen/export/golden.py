"""The golden batch: inputs, and the trained model's outputs for them; every exported file is compared with it.

The batch avoids what rounding alone changes, as far as there are enough candidates:
- pixels at the border of two grey levels, which two runtimes may round either way; rows with the fewest are taken;
- images of a PixelVAE in which a change of z in its sixth digit changes a pixel: a pixel is sampled by comparing noise
  with a probability, and where the two are that near, another rounding changes it and all that follow;
- interpolation between nearly opposite points, which amplifies rounding by 1 / sine of the angle.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from kgen import random
from kgen.errors import ExportFailed, UserError
from kgen.export.signatures import DEFAULT, PNG
from kgen.export.tolerances import TOLERANCES, Tolerance, near_border
from kgen.sampling import Sampler
from kgen.sampling.slerp import slerp

FILE = "golden.npz"
SEED = 0
COUNT = 64
CANDIDATES = 256
FEW = 8
"""Rows for all signatures but `serving_default` and `decode`."""
ROUNDINGS = 4
"""Files in float32 may differ from a model by so many times what that differs from itself in float64."""
NUDGE = 1e-5
CHANGED = 0.01
"""A nudge of z changes an image if a pixel differs by more."""
TEMPERATURE = 0.75
NEARLY_OPPOSITE = -0.8
"""Below this cosine (a sine of 0.6) slerp amplifies rounding more than 1.7 times."""


@dataclass(frozen=True)
class Golden:
    """Inputs and outputs of the trained model: N = COUNT rows, M = FEW rows for most signatures.

    Attributes:
        seed: [N] int32.
        label: [N] int32, numbers of classes as the signatures take them, or None of an unconditional model.
        z: [N, *latent_shape] float32, sampled with the seeds.
        images: [N, H, W, C] float32, decoded from z.
        temperature: [M] float32 in [0, 1].
        tempered: [M, H, W, C] float32, generated from the first M seeds at `temperature`.
        t: [M] float32 in [0, 1].
        interpolated: [M, H, W, C] float32, decoded at shares t of the way from z[:M] to z[M : 2 * M].
        mean, log_var: encodings of `images[:M]`, [M, *latent_shape] float32; None without an encoder.
        rounding: [] float, the largest difference of `images` from those of the same weights in float64; None where it
            is not known.
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
    rounding: np.ndarray | None = None

    def tolerance(self, kind: str) -> Tolerance:
        """The tolerance of a kind of file, for this model: rounding of its own counts ROUNDINGS times."""
        tolerance = TOLERANCES[kind]
        if self.rounding is None or not tolerance.same_pixels:
            return tolerance
        largest = max(tolerance.max_abs_difference, ROUNDINGS * float(self.rounding))
        return replace(tolerance, max_abs_difference=largest)

    def save(self, folder: Path):
        """Writes golden.npz into a folder."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        np.savez_compressed(folder / FILE, **{name: array for name, array in arrays.items() if array is not None})

    @classmethod
    def load(cls, folder: Path) -> "Golden":
        """The golden batch in a folder.

        Raises:
            UserError: golden.npz is missing or damaged.
        """
        try:
            with np.load(folder / FILE, allow_pickle=False) as file:
                return cls(**({"label": None} | {name: file[name] for name in file.files}))
        except (OSError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{folder / FILE} cannot be read ({error}); export the run again") from error

    def inputs(self, signature: str) -> dict[str, np.ndarray]:
        """The inputs of a signature by name, at least FEW rows."""
        return self.case(signature)[0]

    def case(self, signature: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The inputs of a signature and the outputs of the model for them (in floats), by name."""
        few = slice(FEW)
        cases = {
            DEFAULT: ({"seed": self.seed}, {"images": self.images}),
            "generate": ({"seed": self.seed[few], "temperature": self.temperature}, {"images": self.tempered}),
            "decode": ({"z": self.z}, {"images": self.images}),
            "interpolate": (
                {"z0": self.z[few], "z1": self.z[FEW : 2 * FEW], "t": self.t},
                {"images": self.interpolated},
            ),
            "encode": ({"images": self.images[few]}, {"mean": self.mean, "log_var": self.log_var}),
        }
        inputs, outputs = cases["generate" if signature in ("generate_u8", PNG) else signature]
        if self.label is not None:
            inputs = {**inputs, "label": self.label[: len(next(iter(inputs.values())))]}
        return inputs, outputs


def paired(z: np.ndarray) -> np.ndarray:
    """An order of rows in which row FEW + i is not nearly opposite to row i, for i below FEW, if there are such rows.

    Args:
        z: [N, *latent_shape], N at least 2 * FEW.

    Returns:
        [N] integers, a permutation.
    """
    flat = z.reshape(len(z), -1)
    cosine = flat @ flat.T / np.maximum(np.linalg.norm(flat, axis=1) * np.linalg.norm(flat, axis=1)[:, None], 1e-12)
    order, others = list(range(FEW)), list(range(FEW, len(z)))
    for row in range(FEW):
        clear = [other for other in others if cosine[row, other] > NEARLY_OPPOSITE]
        order.append(clear[0] if clear else max(others, key=lambda other: cosine[row, other]))
        others.remove(order[-1])
    return np.array(order + others)


def golden_batch(sampler: Sampler, encode: Callable | None = None, exact: Callable | None = None) -> Golden:
    """COUNT rows out of CANDIDATES: those with the fewest pixels near a border of two grey levels.

    Rows whose image a nudge of z changes come last.

    Args:
        sampler: of the trained model.
        encode: (images, labels) -> (mean, log_var); None without an encoder.
        exact: decodes in float64; see `kgen.export.rounding`.

    Raises:
        ExportFailed: a pixel is not finite.
    """
    import tensorflow as tf

    classes = sampler.spec.num_classes
    seeds = random.row_seeds(SEED, CANDIDATES)
    labels = np.arange(CANDIDATES, dtype=np.int32) % classes if sampler.conditional else None

    def sample(seeds, labels, temperature):
        return sampler.density.graph_sample(tf.constant(seeds), labels, temperature).numpy()

    z = sample(seeds, labels, tf.ones(CANDIDATES))
    candidates = sampler.decode(z, labels)
    near = near_border(candidates, TOLERANCES["float32"].max_abs_difference).reshape(CANDIDATES, -1).sum(axis=1)
    for nudge in (-NUDGE, NUDGE):
        moved = np.abs(sampler.decode(z + np.float32(nudge), labels) - candidates)
        near += candidates[0].size * (moved.reshape(CANDIDATES, -1).max(axis=1) > CHANGED)
    keep = np.sort(np.argsort(near, kind="stable")[:COUNT])
    keep = keep[paired(z[keep])]
    seeds, z, labels = seeds[keep], z[keep], None if labels is None else labels[keep]
    few = None if labels is None else labels[:FEW]
    images = sampler.decode(z, labels)  # again: in other batches, as the files are called
    if not np.isfinite(images).all():
        raise ExportFailed("the trained model gives pixels that are not finite; see its log, and train it again")
    temperature, t = np.full(FEW, TEMPERATURE, np.float32), np.linspace(0, 1, FEW, dtype=np.float32)
    tempered = sampler.decode(sample(seeds[:FEW], few, tf.constant(temperature)), few)
    middle = slerp(tf.constant(z[:FEW]), tf.constant(z[FEW : 2 * FEW]), tf.constant(t)).numpy()
    interpolated = sampler.decode(middle, few)
    encoded = (None, None) if encode is None else (np.asarray(x) for x in encode(images[:FEW], few))
    rounding = None if exact is None else np.abs(exact(z, labels) - images).max()
    numbers = None if labels is None else sampler.spec.numbers(labels)
    return Golden(seeds, numbers, z, images, temperature, tempered, t, interpolated, *encoded, rounding)
