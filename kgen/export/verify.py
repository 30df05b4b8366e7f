"""Compares exported files with the model they came from, on a golden batch."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kgen import images
from kgen.errors import ExportFailed

LARGEST_DIFFERENCE = 1e-5
GOLDEN_SEED = 0
GOLDEN_COUNT = 64


@dataclass(frozen=True)
class Agreement:
    """How far an exported function is from the model.

    Attributes:
        max_abs_difference: over all values.
        uint8_pixels_different: after rounding to 0..255; None for what are no images.
        values: how many were compared.
    """

    max_abs_difference: float
    uint8_pixels_different: int | None
    values: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def demand(self, artefact: str):
        """Raises ExportFailed when a bound is broken."""
        if not self.max_abs_difference <= LARGEST_DIFFERENCE or self.uint8_pixels_different:
            raise ExportFailed(
                f"{artefact} does not agree with the trained model: largest difference {self.max_abs_difference:.3g} "
                f"(at most {LARGEST_DIFFERENCE:g}), {self.uint8_pixels_different} uint8 pixels differ (none may); "
                "nothing was written"
            )


def compare(expected: np.ndarray, got: np.ndarray, *, are_images: bool = True) -> Agreement:
    """The agreement of two arrays of one shape; a NaN is no agreement."""
    if expected.shape != got.shape:
        raise ExportFailed(f"shapes differ: the model gives {expected.shape}, the export {got.shape}")
    different = int(np.sum(images.to_uint8(expected) != images.to_uint8(got))) if are_images else None
    return Agreement(float(np.max(np.abs(expected - got))), different, int(expected.size))
