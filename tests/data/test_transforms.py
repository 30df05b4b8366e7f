"""Step 2: crop, pad, resize and channels, against TensorFlow and against numbers worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.transforms import make_transform

DIGITS, RGBA_TO_GRAY, PADDED = 1010459192, 103173218, 275403915
"""Sums that x86-64 and (emulated) arm64 both gave."""


def shaped(pixels, image_shape, fit="crop", known=True):
    """One image [h, w, c] through step 2."""
    size = pixels.shape[:2] if known else None
    shaper = make_transform(pixels.shape[2], image_shape, fit, size)
    return pixels if shaper is None else shaper(pixels[None]).numpy()[0]


def smooth(height, width, channels=3):
    """A picture as a camera makes them: no two neighbours far apart."""
    rows, columns = np.mgrid[:height, :width]
    planes = [np.sin(rows / (5 + c)) * np.cos(columns / (7 - c)) * 120 + 128 for c in range(channels)]
    return np.stack(planes, -1).astype(np.uint8)


@pytest.mark.parametrize("size", [(16, 16), (24, 20), (64, 64), (31, 47)])
def test_resizing_agrees_with_tensorflow(size):
    # 40 x 40 to a size of another ratio would crop, so cut the same window for TensorFlow
    pixels = smooth(40 * size[0] // size[1] if size[0] > size[1] else 40, 40, 3)
    height, width = pixels.shape[:2]
    cut_h, cut_w = min(height, round(width * size[0] / size[1])), min(width, round(height * size[1] / size[0]))
    top, left = (height - cut_h) // 2, (width - cut_w) // 2
    window = pixels[top : top + cut_h, left : left + cut_w].astype(np.float32)
    expected = tf.image.resize(window, size, method="bilinear", antialias=True).numpy()
    difference = shaped(pixels, (*size, 3)) - expected
    assert np.abs(difference).max() <= 1.02  # rows and columns are rounded to half a level each; weights to 2^-22
    assert abs(difference.mean()) < 0.25  # values in the middle of two levels go up, twice


def test_crop_takes_the_centre():
    pixels = np.zeros((4, 10, 1), np.uint8)
    pixels[:, 3:7] = 200  # the middle 4 of 10 columns
    np.testing.assert_array_equal(shaped(pixels, (4, 4, 1)), np.full((4, 4, 1), 200))
    np.testing.assert_array_equal(shaped(pixels.transpose(1, 0, 2), (4, 4, 1)), np.full((4, 4, 1), 200))


def test_pad_adds_white_on_both_sides():
    got = shaped(np.zeros((4, 10, 1), np.uint8), (10, 10, 1), "pad")[..., 0]
    assert got[:3].min() == 255 and got[7:].min() == 255 and got[3:7].max() == 0  # (10 - 4) / 2 = 3 rows each
    got = shaped(np.zeros((10, 4, 1), np.uint8), (10, 10, 1), "pad")[..., 0]
    assert got[:, :3].min() == 255 and got[:, 7:].min() == 255 and got[:, 3:7].max() == 0


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (7, 7), (1, 40), (40, 1)])
def test_known_and_unknown_sizes_agree(fit, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for target in [(6, 8, 3), (8, 6, 1), (3, 3, 3)]:
        known, unknown = (shaped(pixels, target, fit, known=known) for known in (True, False))
        assert known.shape == target and known.dtype == np.uint8
        np.testing.assert_array_equal(known, unknown)


def test_nothing_to_do_is_nothing_done():
    assert make_transform(3, (8, 8, 3), "crop", (8, 8)) is None
    assert make_transform(3, (8, 8, 1), "crop", (8, 8)) is not None


def test_luma():
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    # 0.299 * 255 = 76.2, 0.587 * 255 = 149.7, 0.114 * 255 = 29.07
    assert shaped(pixels, (1, 4, 1))[0, :, 0].tolist() == [76, 150, 29, 255]


def test_alpha_over_white():
    pixels = np.array([[[0, 0, 0, 255], [0, 0, 0, 0], [100, 0, 200, 51]]], np.uint8)
    # 0.2 * (100, 0, 200) + 0.8 * 255 = (224, 204, 244)
    assert shaped(pixels, (1, 3, 3))[0].tolist() == [[0, 0, 0], [255, 255, 255], [224, 204, 244]]
    assert shaped(np.array([[[100, 51]]], np.uint8), (1, 1, 1)).tolist() == [[[224]]]


@pytest.mark.parametrize(
    ("channels", "image_shape", "fit", "expected"),
    [(1, (28, 28, 1), "crop", DIGITS), (4, (7, 9, 1), "crop", RGBA_TO_GRAY), (3, (9, 7, 3), "pad", PADDED)],
)
def test_pixels_are_the_same_on_every_processor(channels, image_shape, fit, expected):
    """Literal sums weighted by place: 8x8 digits enlarged by 3.5, where every 196th value lies between two levels."""
    pixels = np.random.default_rng(0).integers(0, 17, (20, 8, 8, channels)) * 255 // 16
    got = make_transform(channels, image_shape, fit, (8, 8))(pixels.astype(np.uint8)).numpy().astype(np.int64)
    assert int((got.ravel() * (np.arange(got.size) % 997 + 1)).sum()) == expected


def test_grayscale_setting(tmp_path, noise):
    np.savez(tmp_path / "a.npz", images=noise(4, 6, 6, 3))
    dataset = load(DataConfig(str(tmp_path / "a.npz"), grayscale=True, validation_fraction=0))
    expected = np.rint(noise(4, 6, 6, 3) @ np.array([0.299, 0.587, 0.114]))
    np.testing.assert_allclose(dataset.arrays("train")[0][..., 0], expected, atol=1)


def test_image_size_and_fit_settings(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.full((3, 4, 8), 7, np.uint8))
    crop, pad = (load(DataConfig(str(tmp_path / "a.npz"), image_size=(8, 8), fit=f)) for f in ("crop", "pad"))
    assert crop.spec.image_shape == pad.spec.image_shape == (8, 8, 1)
    assert crop.arrays("train")[0].max() == 7 and pad.arrays("train")[0].max() == 255
