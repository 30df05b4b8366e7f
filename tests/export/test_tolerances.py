"""Deviations of exported outputs from those of the model, and the tolerances."""

import math

import numpy as np
import pytest

from kgen import images
from kgen.errors import ExportFailed
from kgen.export.tolerances import TOLERANCES, Tolerance, compare_outputs

FLOAT32 = TOLERANCES["float32"]


def test_pixels_are_counted_and_borders_known():
    border = np.float32(100.5 / 255)
    expected = np.array([[0.0, 1.0, border, 0.3]], np.float32)
    got = expected + np.array([[0, 0, 2e-7, 0]], np.float32)
    assert images.to_uint8(expected)[0, 2] != images.to_uint8(got)[0, 2]
    found = compare_outputs(expected, got)
    assert (found.uint8_pixels_different, found.uint8_pixels_different_at_a_border, found.values) == (1, 1, 4)
    found.check("this", FLOAT32)
    near = np.array([100.499 / 255], np.float32)  # 4e-6 from a border
    moved = near + np.float32(8e-6)
    assert compare_outputs(near, moved).uint8_pixels_different_at_a_border == 0
    compare_outputs(near, moved, border=1e-5).check("this", FLOAT32)
    far = compare_outputs(expected, expected + np.float32(2e-3))
    assert far.uint8_pixels_different > far.uint8_pixels_different_at_a_border
    with pytest.raises(
        ExportFailed, match=r"this does not agree .*0.002 .at most 1e-05.*uint8 pixels differ.*; do that"
    ):
        far.check("this", FLOAT32, "; do that")
    with pytest.raises(ExportFailed):
        compare_outputs(expected, expected * np.nan).check("this", FLOAT32)
    with pytest.raises(ExportFailed, match="shapes differ"):
        compare_outputs(expected, expected[:, :2])


def test_the_signal_to_noise_ratio():
    # A difference of 0.1 everywhere: mean square 0.01, 20 dB. Half of the pixels: 0.005, 20 + 10 log10(2) dB.
    zeros = np.zeros((2, 2, 2, 1), np.float32)
    assert compare_outputs(zeros, zeros + np.float32(0.1)).psnr_db == pytest.approx(20, abs=1e-4)
    half = zeros.copy()
    half[0] = 0.1
    found = compare_outputs(zeros, half)
    assert found.psnr_db == pytest.approx(20 + 10 * math.log10(2), abs=1e-4)
    found.check("this", Tolerance(0.2, 23.0))
    with pytest.raises(ExportFailed, match=r"PSNR 23.0 dB .at least 23.1"):
        found.check("this", Tolerance(0.2, 23.1))
    assert compare_outputs(zeros, zeros).psnr_db == 200


def test_pixels_in_bytes():
    expected = np.array([[0.0, 0.5004, 1.0]], np.float32)
    same = compare_outputs(expected, images.to_uint8(expected))
    assert (same.max_abs_difference, same.uint8_pixels_different) == (0, 0)
    other = compare_outputs(expected, images.to_uint8(expected) + np.array([[0, 1, 0]], np.uint8))
    assert other.uint8_pixels_different == 1 and other.max_abs_difference == pytest.approx(
        128.5 / 255 - 0.5004, abs=1e-6
    )
    with pytest.raises(ExportFailed, match="1 uint8 pixels differ"):
        other.check("this", TOLERANCES["saved_model"])


def test_encodings_are_compared_as_a_share_of_the_largest():
    expected = np.array([4.0, 0.0])
    found = compare_outputs(expected, expected + 0.02, are_images=False)
    assert found.max_abs_difference == pytest.approx(0.005) and found.uint8_pixels_different is None
    assert compare_outputs(expected / 40, expected / 40 + 0.02, are_images=False).max_abs_difference == pytest.approx(
        0.02
    )
