"""Whether images are the same as far as the order of additions lets them be, which differs by processor and batch."""

import numpy as np

from kgen.export.agreement import BOUNDS, SAVED_MODEL, compare

LARGEST_SHARE = 1e-3
"""Of the pixels of a picture that may lie at a border of two grey levels; about 1e-5 do."""


def assert_same_images(got: np.ndarray, expected: np.ndarray):
    """Floats [N, H, W, C] that agree as a SavedModel must with its model, or uint8 pixels of such `expected` floats."""
    agreement = compare(expected, got, border=BOUNDS[SAVED_MODEL].largest_difference)
    agreement.demand("images", BOUNDS[SAVED_MODEL])
    assert agreement.uint8_pixels_different <= max(1, LARGEST_SHARE * agreement.values)


def same_pixels(got: np.ndarray, expected: np.ndarray) -> bool:
    """Whether uint8 pixels are equal, but for a few that were rounded to the next grey level."""
    if got.shape != expected.shape:
        return False
    apart = np.abs(got.astype(int) - expected.astype(int))
    return apart.max() <= 1 and np.count_nonzero(apart) <= max(1, LARGEST_SHARE * apart.size)
