"""Pictures of paths: between latent points, through pixels, and from label to label."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from kgen import images
from kgen.errors import UserError
from kgen.explore.context import Context
from kgen.explore.figures import Picture, sheet
from kgen.explore.user_images import load_user_images
from kgen.nn.layers import OneHot
from kgen.sampling.slerp import slerp

PAIRS = 4
FRAMES = 24
PATHS = ("slerp", "straight line", "pixel blend")
SHORT_PATHS = ("slerp", "linear", "blend")


def interpolation(context: Context) -> Iterator[Picture]:
    """Strips and a GIF between points of the latent space; for conditional models also from class to class."""
    starts, ends, labels, words = _ends(context)
    path = _paths(context, starts, ends, labels, context.options.steps)
    rows = [part for pair in path for part in pair]
    caption = (
        f"Interpolation in the latent space of {context.name} {words}: spherical (slerp), along the straight line, and "
        "the blend of the two images' pixels, for comparison."
    )
    gaps = range(2, len(rows), 3)
    headings = [f"{t:.2g}" for t in np.linspace(0, 1, context.options.steps)]
    strip = sheet(rows, names=[*PATHS] * len(path), columns=headings, gap_after=gaps, caption=caption)
    yield Picture("interpolation", [strip], caption)
    moving = _paths(context, starts, ends, labels, FRAMES)
    sheets = [sheet([pair[:, t] for pair in moving], columns=SHORT_PATHS, caption=caption) for t in range(FRAMES)]
    yield Picture("interpolation", _there_and_back(sheets), caption)
    if context.sampler.conditional and context.run and len(context.classes) > 1 and not context.options.between:
        yield from _class_to_class(context)


def _paths(context: Context, starts, ends, labels, steps: int) -> np.ndarray:
    """Images along the PATHS from each start to its end, [pairs, 3, steps, H, W, C] uint8."""
    t = np.linspace(0, 1, steps, dtype=np.float32)
    points = []
    for start, end in zip(starts, ends, strict=True):
        first, last = (np.repeat(z[None], steps, axis=0) for z in (start, end))
        weights = t.reshape(-1, *[1] * start.ndim)
        points += [slerp(*map(tf.constant, (first, last, t))).numpy(), (1 - weights) * first + weights * last]
    decoded = context.decode_rows(np.stack(points), np.repeat(labels, 2)[:, None])
    share, found = t[:, None, None, None], []
    for curved, straight in zip(decoded[::2], decoded[1::2], strict=True):
        blend = images.to_uint8((1 - share) * images.to_unit(curved[:1]) + share * images.to_unit(curved[-1:]))
        found.append(np.stack([curved, straight, blend]))
    return np.stack(found)


def _ends(context: Context) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """(first points, last points, labels, words for a caption)."""
    if context.options.between is None:
        labels = context.some_labels(PAIRS)
        points = context.sample_latents(2 * PAIRS, np.repeat(labels, 2))
        return points[::2], points[1::2], labels, f"between random points ({context.seeds})"
    if context.no_encoder:
        raise UserError(f"--between needs codes of images, but {context.no_encoder}; leave it out")
    given = [part.strip() for part in context.options.between.split(",")]
    if len(given) != 2 or not all(given):
        raise UserError(f"--between takes two images, 3,17 or one.png,two.png. Received: {context.options.between!r}")
    (one, label), (other, second) = (_image(context, part) for part in given)
    label, second = (n if context.label is None else context.label for n in (label, second))
    codes = context.encode(np.stack([one, other]), np.array([label, second]))
    words = f"between the codes of {given[0]} and {given[1]}"
    z = context.latents_of(codes.mean)
    return z[:1], z[1:], np.array([label]), words


def _image(context: Context, part: str) -> tuple[np.ndarray, int]:
    """The pixels and the label of one end: a real image by its index, or a file."""
    if not part.isdigit():
        found = load_user_images(context, part)
        return found[0][0], int(found[1][0])
    if context.no_data:
        raise UserError(f"--between {part}: {context.no_data}")
    real = context.reference.real
    if int(part) >= real.count:
        raise UserError(f"--between {part}: there are {real.count} images of split {real.split!r}, from 0")
    return real.pixels[int(part)], int(real.labels[int(part)])


def _class_to_class(context: Context) -> Iterator[Picture]:
    """One latent point while the label's one-hot vector turns into another's."""
    classes = context.classes[:10]
    pairs = list(zip(classes, [*classes[1:], classes[0]], strict=True))
    z = context.sample_latents(1, np.array(classes[:1], np.int32))
    eye = np.eye(context.spec.num_classes, dtype=np.float32)
    caption = (
        f"From class to class in {context.name}: one latent point ({context.seeds}), while the one-hot vector of one "
        "label turns into that of the next. The network was trained on the two ends alone."
    )

    def rows(steps: int) -> list[np.ndarray]:
        t = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
        with soft_labels(context.sampler.model) as model:
            return [
                images.to_uint8(np.asarray(model.generate(np.repeat(z, steps, axis=0), (1 - t) * eye[a] + t * eye[b])))
                for a, b in pairs
            ]

    names = [f"{context.class_name(a)} to {context.class_name(b)}" for a, b in pairs]
    yield Picture("class-to-class", [sheet(rows(context.options.steps), names=names, caption=caption)], caption)
    moving = np.stack(rows(FRAMES))
    sheets = [sheet([moving[:, t]], columns=names, caption=caption) for t in range(FRAMES)]
    yield Picture("class-to-class", _there_and_back(sheets), caption)


@contextmanager
def soft_labels(model) -> Iterator:
    """Within the context, the model's `generate` takes labels [B, num_classes] float32 instead of [B] int32.

    Args:
        model: a conditional GenerativeModel whose decoder or generator takes the label as a one-hot vector.
    """
    name = model.latent_network
    network = getattr(model, name)
    (layer,) = (layer for layer in network.layers if type(layer) is OneHot)
    z = network.inputs[0]
    soft = keras.Model([z, layer.output], network.output)
    object.__setattr__(model, name, soft)  # not through Keras, which would track its weights twice
    try:
        yield model
    finally:
        object.__setattr__(model, name, network)


def _there_and_back(frames: list) -> list:
    return [*frames, *frames[-2:0:-1]]
