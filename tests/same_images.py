"""Whether images, and metrics of them, are equal up to the order of additions.

That order differs by processor, by runtime and by the size of a batch."""

import numpy as np
import pytest

from kgen.evaluate.registry import SHARES
from kgen.export.tolerances import SAVED_MODEL, TOLERANCES, compare_outputs

LARGEST_SHARE = 2 * 255 * TOLERANCES[SAVED_MODEL].max_abs_difference
"""Of values that are spread over [0, 1], what lies so near to one of 255 borders of grey levels: 0.5 %."""


def assert_same_images(got: np.ndarray, expected: np.ndarray):
    """Floats [N, H, W, C] that agree as a SavedModel must with its model, or uint8 pixels of such `expected` floats."""
    deviation = compare_outputs(expected, got, border=TOLERANCES[SAVED_MODEL].max_abs_difference)
    deviation.check("images", TOLERANCES[SAVED_MODEL])
    assert deviation.uint8_pixels_different <= max(1, LARGEST_SHARE * deviation.values)


def same_pixels(got: np.ndarray, expected: np.ndarray) -> bool:
    """Whether uint8 pixels are equal, but for a few that were rounded to the next grey level."""
    if got.shape != expected.shape:
        return False
    apart = np.abs(got.astype(int) - expected.astype(int))
    return apart.max() <= 1 and np.count_nonzero(apart) <= max(1, LARGEST_SHARE * apart.size)


def about(value, metric: str, count: int, tolerance: float = 1e-5):
    """The metric of images that are equal except for a few pixels in the next grey level; the guides promise 1e-5.

    Args:
        value: a number, or one per repeat.
        metric: its name; one that counts images may differ by three of them.
        count: of the images that it counts.
        tolerance: relative, and absolute where it counts no images.
    """
    counts = metric in (*SHARES, "smallest_class_share", "density", "class_kl", "class_entropy")
    return pytest.approx(value, rel=tolerance, abs=3 / count if counts else tolerance)
