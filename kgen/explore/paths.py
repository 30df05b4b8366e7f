"""Paths between two pictures: through the latent space, through pixels, and from label to label."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from kgen import images
from kgen.errors import UserError
from kgen.explore.kinds import KINDS, Picture
from kgen.explore.lab import Lab
from kgen.explore.own_images import load_images
from kgen.explore.sheet import sheet
from kgen.explore.soft_labels import soft_labels
from kgen.sampling.great_circle import between

PAIRS = 4
FRAMES = 24
WAYS = ("great circle", "straight line", "pixel blend")
SHORT_WAYS = ("slerp", "linear", "blend")


@KINDS.register("interpolation")
def interpolation(lab: Lab) -> Iterator[Picture]:
    """Strips and a GIF between points of the latent space; for conditional models also from class to class."""
    starts, ends, labels, words = _ends(lab)
    path = _paths(lab, starts, ends, labels, lab.options.steps)
    rows = [part for pair in path for part in pair]
    caption = (
        f"Interpolation in the latent space of {lab.name} {words}: along the great circle (slerp), along the straight "
        "line, and the blend of the two pictures' pixels, in which two things are seen at once."
    )
    gaps = range(2, len(rows), 3)
    headings = [f"{t:.2g}" for t in np.linspace(0, 1, lab.options.steps)]
    strip = sheet(rows, names=[*WAYS] * len(path), columns=headings, gap_after=gaps, caption=caption)
    yield Picture("interpolation", [strip], caption)
    moving = _paths(lab, starts, ends, labels, FRAMES)
    frames = [
        sheet([pair[:, t] for pair in moving], columns=SHORT_WAYS, caption=caption) for t in _there_and_back(FRAMES)
    ]
    yield Picture("interpolation", frames, caption)
    if lab.sampler.conditional and lab.run and len(lab.classes) > 1 and not lab.options.between:
        yield from _class_to_class(lab)


def _class_to_class(lab: Lab) -> Iterator[Picture]:
    """One latent point while the label's one-hot vector turns into another's."""
    classes = lab.classes[:10]
    pairs = list(zip(classes, [*classes[1:], classes[0]], strict=True))
    z = lab.draw(1, np.array(classes[:1], np.int32))
    eye = np.eye(lab.spec.num_classes, dtype=np.float32)
    caption = (
        f"From class to class in {lab.name}: one latent point ({lab.seeds}), while the vector of one label turns into "
        "that of the next. The network was taught the two ends alone."
    )

    def rows(steps: int) -> list[np.ndarray]:
        t = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
        with soft_labels(lab.sampler.model) as model:
            return [
                images.to_uint8(np.asarray(model.generate(np.repeat(z, steps, axis=0), (1 - t) * eye[a] + t * eye[b])))
                for a, b in pairs
            ]

    names = [f"{lab.class_name(a)} to {lab.class_name(b)}" for a, b in pairs]
    yield Picture("class-to-class", [sheet(rows(lab.options.steps), names=names, caption=caption)], caption)
    moving = np.stack(rows(FRAMES))
    frames = [sheet([moving[:, t]], columns=names, caption=caption) for t in _there_and_back(FRAMES)]
    yield Picture("class-to-class", frames, caption)


def _paths(lab: Lab, starts, ends, labels, steps: int) -> np.ndarray:
    """[pairs, 3 ways, steps, H, W, C] uint8."""
    t = np.linspace(0, 1, steps, dtype=np.float32)
    found = []
    for start, end, label in zip(starts, ends, labels, strict=True):
        first, last = (np.repeat(z[None], steps, axis=0) for z in (start, end))
        weights = t.reshape(-1, *[1] * start.ndim)
        curved = lab.decode(between(*map(tf.constant, (first, last, t))).numpy(), label)
        straight = lab.decode((1 - weights) * first + weights * last, label)
        share = t[:, None, None, None]
        blend = images.to_uint8((1 - share) * images.to_unit(curved[:1]) + share * images.to_unit(curved[-1:]))
        found.append(np.stack([curved, straight, blend]))
    return np.stack(found)


def _ends(lab: Lab) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """(first points, last points, labels, words for a caption)."""
    if lab.options.between is None:
        labels = lab.some_labels(PAIRS)
        points = lab.draw(2 * PAIRS, np.repeat(labels, 2))
        return points[::2], points[1::2], labels, f"between random points ({lab.seeds})"
    if lab.no_encoder:
        raise UserError(f"--between takes images apart to latent points, but {lab.no_encoder}; leave it away")
    given = [part.strip() for part in lab.options.between.split(",")]
    if len(given) != 2 or not all(given):
        raise UserError(f"--between takes two images, 3,17 or one.png,two.png. Received: {lab.options.between!r}")
    (one, label), (other, second) = (_image(lab, part) for part in given)
    label, second = (n if lab.label is None else lab.label for n in (label, second))
    codes = lab.encoded(np.stack([one, other]), np.array([label, second]))
    words = f"between the codes of {given[0]} and {given[1]}"
    z = lab.whole(codes.mean)
    return z[:1], z[1:], np.array([label]), words


def _image(lab: Lab, part: str) -> tuple[np.ndarray, int]:
    """The pixels and the label of one end."""
    if not part.isdigit():
        found = load_images(lab, part)
        return found[0][0], int(found[1][0])
    if lab.no_data:
        raise UserError(f"--between {part}: {lab.no_data}")
    real = lab.reference.real
    if int(part) >= real.count:
        raise UserError(f"--between {part}: there are {real.count} images of split {real.split!r}, from 0")
    return real.pixels[int(part)], int(real.labels[int(part)])


def _there_and_back(steps: int) -> list[int]:
    return [*range(steps), *range(steps - 2, 0, -1)]
