"""Differentiable augmentation: what stays, what moves, and that gradients pass."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kgen import random
from kgen.nn.augment import AUGMENTATIONS, augment

IMAGES = np.random.default_rng(0).uniform(-1, 1, size=(6, 16, 12, 3)).astype(np.float32)


def uniform(shape, name):
    return random.stateless_uniform(shape, tf.constant([random.seed_of(0, name), 0], tf.int32))


def always(value: float):
    return lambda shape, name: tf.fill(shape, value)


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_images_change_each_in_its_own_way_and_gradients_pass(kind):
    same = tf.constant(np.repeat(IMAGES[:1], 6, axis=0))
    with tf.GradientTape() as tape:
        tape.watch(same)
        changed = augment(same, (kind,), uniform)
    assert changed.shape == same.shape
    assert np.abs(changed - same).max() > 0.01
    assert len({image.tobytes() for image in changed.numpy()}) > 1
    gradient = tape.gradient(changed, same)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_the_middle_of_every_draw_changes_little():
    """Brightness 0.5 - 0.5, saturation 2 * 0.5, contrast 0.5 + 0.5, a shift in the middle: nothing at all."""
    np.testing.assert_allclose(augment(IMAGES, ("color", "translation"), always(0.5)), IMAGES, atol=1e-6)


def test_translation_by_hand():
    """The largest draw shifts by an eighth of each side, 2 rows down and 2 (of 12: 1.5, rounded) columns right."""
    moved = augment(IMAGES, ("translation",), always(0.999)).numpy()
    np.testing.assert_array_equal(moved[:, 2:, 2:], IMAGES[:, :-2, :-2])
    assert not moved[:, :2].any() and not moved[:, :, :2].any()


def test_cutout_by_hand():
    """A centre in the middle: rows 4 to 11 and columns 3 to 8 are grey, the rest stays."""
    cut = augment(IMAGES, ("cutout",), always(0.5)).numpy()
    assert not cut[:, 4:12, 3:9].any()
    kept = np.ones((16, 12), bool)
    kept[4:12, 3:9] = False
    np.testing.assert_array_equal(cut[:, kept], IMAGES[:, kept])


@pytest.mark.parametrize(
    ("side", "draw", "first", "last"), [(5, 0.5, 1, 3), (7, 0.5, 2, 5), (5, 0.999, 3, 4), (2, 0.0, 0, 0)]
)
def test_cutout_of_sides_with_an_odd_half(side, draw, first, last):
    """Half of 5 pixels is 3, about a pixel of the image, and of 7 is 4, about a border, as those of Zhao et al."""
    cut = augment(np.ones((1, side, side, 1), np.float32), ("cutout",), always(draw)).numpy()[0, :, :, 0]
    (rows,) = np.nonzero(cut.min(axis=1) == 0)
    assert rows.tolist() == list(range(first, last + 1))
    np.testing.assert_array_equal(cut == 0, np.outer(cut.min(axis=1) == 0, cut.min(axis=0) == 0))


def test_scale_by_hand():
    """The largest draw enlarges by 5/4: the pixel 6 of the centre comes from 4.8 of it, between two."""
    large = augment(IMAGES, ("scale",), always(1.0)).numpy()
    rows, columns = (centre + (np.arange(side) - centre) / 1.25 for side, centre in ((16, 7.5), (12, 5.5)))
    along = [np.maximum(0, 1 - np.abs(where[:, None] - np.arange(len(where)))) for where in (rows, columns)]
    np.testing.assert_allclose(large, np.einsum("yh,xw,bhwc->byxc", *along, IMAGES), atol=1e-5)
    np.testing.assert_allclose(augment(IMAGES, ("scale",), always(0.5)), IMAGES, atol=1e-6)
    small = augment(IMAGES, ("scale",), always(0.0)).numpy()
    assert not small[:, 0].any() and not small[:, :, 0].any() and small[:, 2:-2, 2:-2].any()


def test_rotation_is_that_of_pillow():
    """The largest draw turns clockwise by 15 degrees; at the border Pillow has other rules."""
    turned = augment(IMAGES, ("rotation",), always(1.0)).numpy()
    for image, channel in ((0, 0), (3, 2)):
        expected = Image.fromarray(IMAGES[image, :, :, channel]).rotate(-15, Image.Resampling.BILINEAR)
        np.testing.assert_allclose(turned[image, 3:-3, 3:-3, channel], np.asarray(expected)[3:-3, 3:-3], atol=1e-4)
    np.testing.assert_allclose(augment(IMAGES, ("rotation",), always(0.5)), IMAGES, atol=1e-6)
    assert not turned[:, 0, 0].any()


def test_a_probability_says_how_many_are_changed():
    many = tf.constant(np.repeat(IMAGES[:1], 400, axis=0))
    changed = augment(many, ("color",), uniform, 0.25).numpy()
    count = (np.abs(changed - many).max(axis=(1, 2, 3)) > 0).sum()
    assert 100 - 4 * 8.7 < count < 100 + 4 * 8.7  # the binomial's standard deviation is 8.7
    np.testing.assert_array_equal(augment(many, ("color",), uniform, 0.0), many)
    np.testing.assert_array_equal(augment(many, ("color",), uniform, 1.0), augment(many, ("color",), uniform))
