"""How far what an exported file gives is from what the model gives, and how far it may be.

Two runtimes add float32 numbers in different orders, and so does one runtime on another processor or with another
number of rows. Each sum is off by some 2^-24 = 6e-8, and the layers after it amplify that: to 1.6e-6 of a pixel at
most, over 13 trained models and four kinds of processor. A pixel whose value lies that near to the border between two
grey levels is rounded by chance (about one in 100,000). Where float32 files differ in a uint8 pixel, it must be at such
a border.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kgen import images
from kgen.errors import ExportFailed

BORDER = 1e-6
HALF_A_LEVEL = 0.5 / 255


@dataclass(frozen=True)
class Bound:
    """What an artefact is held to.

    Attributes:
        largest_difference: of two values; of values beyond [-1, 1] as a share of the largest.
        least_psnr_db: peak signal-to-noise ratio of its images; None demands none.
        same_pixels: its images have the same uint8 pixels, but within the largest difference of borders.
    """

    largest_difference: float
    least_psnr_db: float | None = None
    same_pixels: bool = False


SAVED_MODEL = "saved_model"
BOUNDS = {
    SAVED_MODEL: Bound(1e-5, same_pixels=True),
    "float32": Bound(1e-5, same_pixels=True),
    "float16": Bound(2e-3),
    "dynamic": Bound(0.05, 50.0),
    "int8": Bound(math.inf, 42.0),
}
"""By the kind of an artefact: a SavedModel, or how the numbers of a .tflite file are stored."""


@dataclass(frozen=True)
class Agreement:
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

    def demand(self, artefact: str, bound: Bound, advice: str = ""):
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


def compare(expected: np.ndarray, got: np.ndarray, *, are_images: bool = True, border: float = BORDER) -> Agreement:
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
        return Agreement(float(np.max(difference)) / largest, None, None, None, int(expected.size))
    different = images.to_uint8(expected) != (got if shown else images.to_uint8(np.nan_to_num(got)))
    at_border = int((different & near_border(expected, border)).sum())
    if shown:
        difference = np.maximum(difference - HALF_A_LEVEL, 0)
    psnr = -10 * math.log10(max(float(np.mean(np.square(difference))), 1e-20))
    return Agreement(float(np.max(difference)), psnr, int(different.sum()), at_border, int(expected.size))


def near_border(values: np.ndarray, border: float = BORDER) -> np.ndarray:
    """Where a value in [0, 1] is nearer than `border` to the border between two grey levels."""
    levels = images.levels(values)
    return np.abs(levels - np.floor(levels) - 0.5) < images.levels(border)
