"""How far the outputs of an exported file deviate from those of the model, and how far they may.

Two runtimes add float32 numbers in different orders, and so does one runtime on another processor or with another batch
size. Each sum is off by some 2^-24 = 6e-8, and the layers after it amplify that: to 1.6e-6 of a pixel at most, over 13
trained models and four kinds of processor. A pixel whose value is that near the border between two grey levels may be
rounded either way (about one in 100,000). Where float32 files differ in a uint8 pixel, it must be at such a border.

Importing this imports no TensorFlow.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kgen import images
from kgen.errors import ExportFailed
from kgen.registry import Registry

BORDER = 1e-6
HALF_A_LEVEL = 0.5 / 255


@dataclass(frozen=True)
class Tolerance:
    """The largest accepted deviation of a file.

    Attributes:
        max_abs_difference: of two values; of values beyond [-1, 1] relative to the largest.
        min_psnr_db: peak signal-to-noise ratio of its images; None for any.
        same_pixels: its images have the same uint8 pixels, except those within `max_abs_difference` of a border.
        help: what the quantization does; "" of files that are not quantized.
    """

    max_abs_difference: float
    min_psnr_db: float | None = None
    same_pixels: bool = False
    help: str = ""


SAVED_MODEL, ONNX = "saved_model", "onnx"
INTEGERS = "int8_io"
"""The quantization without floats, of `decode` alone."""
TOLERANCES = {
    SAVED_MODEL: Tolerance(1e-5, same_pixels=True),
    ONNX: Tolerance(1e-5, same_pixels=True),
    "float32": Tolerance(1e-5, same_pixels=True),
    "float16": Tolerance(2e-3, help="16-bit weights"),
    "dynamic": Tolerance(0.05, 50.0, help="8-bit weights"),
    "int8": Tolerance(math.inf, 42.0, help="8-bit weights and arithmetic"),
    INTEGERS: Tolerance(math.inf, 42.0, help="decode with 8-bit inputs and outputs too, for microcontrollers"),
}
"""By the kind of a file: a SavedModel, an .onnx file, or how the numbers of a .tflite file are stored."""

QUANTIZATIONS = Registry("quantization")
QUANTIZATIONS |= {kind: tolerance for kind, tolerance in TOLERANCES.items() if tolerance.help}
"""The kinds of smaller .tflite files."""


@dataclass(frozen=True)
class Deviation:
    """The measured deviation of an output; the names are those in the manifest.

    Attributes:
        max_abs_difference: over all values; relative to the largest expected value where that is above 1.
        psnr_db: -10 log10 of the mean squared difference of images, at most 200; None for encodings.
        uint8_pixels_different: after rounding to 0..255; None for encodings.
        uint8_pixels_different_at_a_border: those of them whose expected value is near the border of two grey levels.
        values: number of values compared.
    """

    max_abs_difference: float
    psnr_db: float | None
    uint8_pixels_different: int | None
    uint8_pixels_different_at_a_border: int | None
    values: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def exceeded(self, tolerance: Tolerance) -> list[str]:
        """What exceeds a tolerance, in words; a NaN does."""
        pixels = (self.uint8_pixels_different or 0) - (self.uint8_pixels_different_at_a_border or 0)
        exceeded = []
        if not self.max_abs_difference <= tolerance.max_abs_difference:
            limit = f"at most {tolerance.max_abs_difference:g}"
            exceeded.append(f"largest difference {self.max_abs_difference:.3g} ({limit})")
        if tolerance.min_psnr_db is not None and self.psnr_db is not None and not self.psnr_db >= tolerance.min_psnr_db:
            exceeded.append(f"PSNR {self.psnr_db:.1f} dB (at least {tolerance.min_psnr_db:g})")
        if tolerance.same_pixels and pixels:
            exceeded.append(f"{pixels} uint8 pixels differ (none may)")
        return exceeded

    def check(self, output: str, tolerance: Tolerance, advice: str = ""):
        """Raises ExportFailed if it exceeds the tolerance.

        Args:
            output: its name in the message.
            tolerance: of the file.
            advice: added to the message.
        """
        if exceeded := self.exceeded(tolerance):
            raise ExportFailed(f"{output} does not agree with the trained model: {', '.join(exceeded)}{advice}")


def compare_outputs(
    expected: np.ndarray, got: np.ndarray, *, are_images: bool = True, border: float = BORDER
) -> Deviation:
    """The deviation of an output from the expected one.

    Args:
        expected: floats; images in [0, 1].
        got: floats of the same shape; or images as uint8, which are known to half a grey level.
        are_images: False for encodings.
        border: distance within which a value is at the border of two grey levels.

    Raises:
        ExportFailed: the shapes differ.
    """
    if expected.shape != got.shape:
        raise ExportFailed(f"shapes differ: the model gives {expected.shape}, the export {got.shape}")
    in_bytes = got.dtype == np.uint8
    difference = np.abs(expected.astype(np.float64) - (images.to_unit(got) if in_bytes else got))
    if not are_images:
        largest = max(1.0, float(np.max(np.abs(expected))))
        return Deviation(float(np.max(difference)) / largest, None, None, None, int(expected.size))
    different = images.to_uint8(expected) != (got if in_bytes else images.to_uint8(np.nan_to_num(got)))
    at_border = int((different & near_border(expected, border)).sum())
    if in_bytes:
        difference = np.maximum(difference - HALF_A_LEVEL, 0)
    psnr = -10 * math.log10(max(float(np.mean(np.square(difference))), 1e-20))
    return Deviation(float(np.max(difference)), psnr, int(different.sum()), at_border, int(expected.size))


def near_border(values: np.ndarray, border: float = BORDER) -> np.ndarray:
    """Where a value in [0, 1] is within `border` of the border between two grey levels; bool of the same shape."""
    levels = images.levels(values)
    return np.abs(levels - np.floor(levels) - 0.5) < images.levels(border)
