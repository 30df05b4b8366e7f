"""Compares exported files with the model they came from, on a golden batch.

Two runtimes add float32 numbers in different orders, so their pixels differ by about 1e-7, and a pixel whose value lies
that near to the border between two grey levels is rounded by chance (on the digits one pixel in 100,000; Keras differs
as much from itself at another batch size). The golden batch is chosen clear of such borders; where an image has so many
pixels that none is clear, differences at a border are counted apart.

A pixel that is drawn (PixelVAE) hangs on whether noise is below a probability: where the two are that near, another
rounding draws another pixel, and all that follow differ. So the golden batch holds no image that a change of z in its
sixth digit turns into another, as far as there are others.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kgen import images, sampling
from kgen.errors import ExportFailed

LARGEST_DIFFERENCE = 1e-5
BORDER = 1e-6
GOLDEN_SEED = 0
GOLDEN_COUNT = 64
GOLDEN_CANDIDATES = 256
NUDGE = 1e-5
TURNED = 0.01
"""A nudge of z turns an image into another when a pixel changes by more."""


@dataclass(frozen=True)
class Agreement:
    """How far an exported function is from the model.

    Attributes:
        max_abs_difference: over all values.
        uint8_pixels_different: after rounding to 0..255; None for what are no images.
        uint8_pixels_different_at_a_border: those of them whose value is within BORDER of the border of two grey levels.
        values: how many were compared.
    """

    max_abs_difference: float
    uint8_pixels_different: int | None
    uint8_pixels_different_at_a_border: int | None
    values: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def demand(self, artefact: str):
        """Raises ExportFailed when a bound is broken."""
        pixels = (self.uint8_pixels_different or 0) - (self.uint8_pixels_different_at_a_border or 0)
        if not self.max_abs_difference <= LARGEST_DIFFERENCE or pixels:
            raise ExportFailed(
                f"{artefact} does not agree with the trained model: largest difference {self.max_abs_difference:.3g} "
                f"(at most {LARGEST_DIFFERENCE:g}), {pixels} uint8 pixels differ (none may); nothing was written"
            )


def compare(expected: np.ndarray, got: np.ndarray, *, are_images: bool = True) -> Agreement:
    """The agreement of two arrays of one shape; a NaN is no agreement."""
    if expected.shape != got.shape:
        raise ExportFailed(f"shapes differ: the model gives {expected.shape}, the export {got.shape}")
    pixels = at_border = None
    if are_images:
        different = images.to_uint8(expected) != images.to_uint8(np.nan_to_num(got))
        pixels, at_border = int(different.sum()), int((different & near_border(expected)).sum())
    return Agreement(float(np.max(np.abs(expected - got))), pixels, at_border, int(expected.size))


def near_border(values: np.ndarray) -> np.ndarray:
    """Where a value in [0, 1] is within BORDER of the border between two grey levels."""
    levels = images.levels(values)
    return np.abs(levels - np.floor(levels) - 0.5) < images.levels(BORDER)


def golden_batch(sampler: sampling.Sampler) -> sampling.Samples:
    """GOLDEN_COUNT samples out of GOLDEN_CANDIDATES: those with the fewest pixels near a border of two grey levels.

    Images that a nudge of z turns into others come last.
    """
    drawn = sampling.generate(sampler, GOLDEN_CANDIDATES, seed=GOLDEN_SEED)
    near = near_border(drawn.images).reshape(GOLDEN_CANDIDATES, -1).sum(axis=1)
    for nudge in (-NUDGE, NUDGE):
        moved = np.abs(sampler.decode(drawn.z + np.float32(nudge), drawn.labels) - drawn.images)
        near += drawn.images[0].size * (moved.reshape(GOLDEN_CANDIDATES, -1).max(axis=1) > TURNED)
    keep = np.sort(np.argsort(near, kind="stable")[:GOLDEN_COUNT])
    # Decoded again: with other neighbours, in other batches, as the exported files will be.
    labels = None if drawn.labels is None else drawn.labels[keep]
    return sampling.Samples(sampler.decode(drawn.z[keep], labels), labels, drawn.z[keep], drawn.seed)
