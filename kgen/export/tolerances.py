"""The kinds of exported files, and how far each may be from the model. Importing this imports no TensorFlow.

How differences are measured, and why float32 files differ at all: see `kgen.export.golden`.
"""

import math
from dataclasses import dataclass

from kgen.registry import Registry


@dataclass(frozen=True)
class Tolerance:
    """What an artefact is held to.

    Attributes:
        largest_difference: of two values; of values beyond [-1, 1] as a share of the largest.
        least_psnr_db: peak signal-to-noise ratio of its images; None demands none.
        same_pixels: its images have the same uint8 pixels, but within the largest difference of borders.
        help: what the quantization does.
    """

    largest_difference: float
    least_psnr_db: float | None = None
    same_pixels: bool = False
    help: str = ""


SAVED_MODEL = "saved_model"
BOUNDS = {
    SAVED_MODEL: Tolerance(1e-5, same_pixels=True),
    "float32": Tolerance(1e-5, same_pixels=True),
    "float16": Tolerance(2e-3, help="16-bit weights"),
    "dynamic": Tolerance(0.05, 50.0, help="8-bit weights"),
    "int8": Tolerance(math.inf, 42.0, help="8-bit weights and arithmetic"),
}
"""By the kind of an artefact: a SavedModel, or how the numbers of a .tflite file are stored."""
QUANTIZATIONS: Registry = Registry("quantization")
QUANTIZATIONS |= {kind: tolerance for kind, tolerance in BOUNDS.items() if tolerance.help}
"""The kinds of smaller .tflite files, as `--quantize` takes them."""
