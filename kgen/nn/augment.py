"""Differentiable augmentation: Zhao et al. 2020 (https://arxiv.org/abs/2006.10738).

Real and generated images pass through the same kinds of random change before the discriminator sees them, and the
gradient passes through to the generator: with a few hundred images the discriminator can no longer know them by heart.
Changes that reach only some of the images do not show in what is generated (Karras et al. 2020,
https://arxiv.org/abs/2006.06676): a generator learns the images as they are, while they remain the most frequent kind.
"""

import itertools
import math
from collections.abc import Callable

import keras
import tensorflow as tf

from kgen.registry import Registry

AUGMENTATIONS = Registry("augmentation")

LARGEST_SHIFT = 1 / 8
"""Of a translation, as a share of the side."""
CUTOUT = 1 / 2
"""Side of the square that is cut out, as a share of the image's."""
LARGEST_SCALE = 1.25
"""Of an enlargement; the smallest is its inverse."""
LARGEST_TURN = 15
"""Of a rotation, in degrees."""


def augment(images, kinds: tuple[str, ...], uniform: Callable, probability=None):
    """Images changed at random, each in its own way.

    Args:
        images: [B, H, W, C] in [-1, 1].
        kinds: of AUGMENTATIONS, in this order.
        uniform: (shape, name) -> noise from U(0, 1).
        probability: with which each kind changes an image; None: every kind changes every image.

    Returns:
        [B, H, W, C]; what lies outside of an image is 0, a middle grey.
    """
    for kind in kinds:
        changed = AUGMENTATIONS[kind](images, uniform)
        if probability is not None:
            chance = uniform(tf.stack([tf.shape(images)[0], 1, 1, 1]), f"chance of {kind}")
            changed = tf.where(chance < probability, changed, images)
        images = changed
    return images


@AUGMENTATIONS.register("color")
def color(images, uniform):
    """Brightness by up to 0.5, saturation by a factor of up to 2, contrast by a factor of 0.5 to 1.5."""
    brightness, saturation, contrast = (
        uniform(tf.stack([tf.shape(images)[0], 1, 1, 1]), name) for name in ("brightness", "saturation", "contrast")
    )
    images = images + brightness - 0.5
    gray = tf.reduce_mean(images, axis=3, keepdims=True)
    images = gray + 2.0 * saturation * (images - gray)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (contrast + 0.5) * (images - mean)


@AUGMENTATIONS.register("translation")
def translation(images, uniform):
    """By a whole number of pixels, at most an eighth of the side."""
    for axis in (1, 2):
        side = images.shape[axis]
        most = round(side * LARGEST_SHIFT)
        shift = tf.floor(uniform(tf.shape(images)[:1], f"shift {axis}") * (2 * most + 1)) - most
        sources = tf.range(side)[None] - tf.cast(shift, tf.int32)[:, None]
        moved = tf.one_hot(sources, side, dtype=images.dtype)  # [B, to, from]; from outside: 0
        equation = "bts,bswc->btwc" if axis == 1 else "bts,bhsc->bhtc"
        images = tf.einsum(equation, moved, images)
    return images


@AUGMENTATIONS.register("cutout")
def cutout(images, uniform):
    """A square of half the side becomes 0; its centre is anywhere in the image."""
    inside = []
    for axis in (1, 2):
        side = images.shape[axis]
        cut = math.floor(side * CUTOUT + 0.5)
        centre = tf.floor(uniform(tf.shape(images)[:1], f"centre {axis}") * (side + 1 - cut % 2))
        first, places = centre - cut // 2, tf.range(side, dtype=keras.config.floatx())[None]
        inside.append((places >= first[:, None]) & (places < first[:, None] + cut))
    square = tf.logical_and(inside[0][:, :, None], inside[1][:, None, :])[..., None]
    return tf.where(square, tf.zeros_like(images), images)


@AUGMENTATIONS.register("scale")
def scale(images, uniform):
    """About the centre, by a factor from 4/5 to 5/4, evenly on a logarithmic scale; bilinear."""
    factor = LARGEST_SCALE ** (2.0 * uniform(tf.shape(images)[:1], "scale") - 1.0)
    for axis, equation in ((1, "bts,bswc->btwc"), (2, "bts,bhsc->bhtc")):
        side = images.shape[axis]
        centre, places = (side - 1) / 2, tf.range(side, dtype=images.dtype)
        sources = centre + (places[None] - centre) / factor[:, None]  # where a pixel comes from
        weights = tf.maximum(0.0, 1.0 - tf.abs(sources[:, :, None] - places[None, None]))  # [B, to, from]
        images = tf.einsum(equation, weights, images)
    return images


@AUGMENTATIONS.register("rotation")
def rotation(images, uniform):
    """About the centre, by up to 15 degrees either way; bilinear."""
    angle = (2.0 * uniform(tf.shape(images)[:1], "rotation") - 1.0) * math.radians(LARGEST_TURN)
    cosine, sine = tf.cos(angle)[:, None, None], tf.sin(angle)[:, None, None]
    sides = images.shape[1:3]
    y, x = ((tf.range(side, dtype=images.dtype) - (side - 1) / 2) for side in sides)
    y, x = y[None, :, None], x[None, None, :]
    sources = [
        place + (side - 1) / 2
        for place, side in zip((cosine * y - sine * x, sine * y + cosine * x), sides, strict=True)
    ]
    corner = [tf.floor(source) for source in sources]
    share = [source - place for source, place in zip(sources, corner, strict=True)]
    turned = tf.zeros_like(images)
    for offsets in itertools.product((0, 1), repeat=2):
        places = [tf.cast(place, tf.int32) + offset for place, offset in zip(corner, offsets, strict=True)]
        within = [(place >= 0) & (place < side) for place, side in zip(places, sides, strict=True)]
        weight = tf.cast(within[0] & within[1], images.dtype)
        for part, offset in zip(share, offsets, strict=True):
            weight *= part if offset else 1.0 - part
        places = tf.stack([tf.clip_by_value(place, 0, side - 1) for place, side in zip(places, sides, strict=True)], -1)
        turned += weight[..., None] * tf.gather_nd(images, places, batch_dims=1)
    return turned
