"""Pictures that need an encoder: reconstructions, the scatter of codes, attributes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy.special import ndtri

from kgen import images
from kgen.canvas import Canvas
from kgen.errors import UserError
from kgen.explore.context import KINDS, Codes, Context, PictureKind, load_own_images, shuffled, soft_labels
from kgen.explore.figures import captioned, sheet
from kgen.sampling.slerp import slerp

COLUMNS = 12
MOST_OWN = 60
ATTRIBUTE_ROWS = 6


@KINDS.register("reconstructions", needs=("encoder", "images"))
def reconstructions(lab: Context) -> Iterator[PictureKind]:
    """Pairs of an image and what its code decodes to: typical ones, the best and the worst."""
    if lab.options.images:
        yield _own(lab)
        return
    codes = lab.codes
    again = lab.decode(lab.whole(codes.mean), codes.labels)
    error = np.square(images.to_unit(codes.pixels) - images.to_unit(again)).mean(axis=(1, 2, 3))
    order = np.argsort(error, kind="stable")
    count = min(COLUMNS, len(order))
    chosen = {
        "any": shuffled(len(order), lab.options.seed, "reconstructions")[:count],
        "best": order[:count],
        "worst": order[::-1][:count],
    }
    rows = [part[place] for place in chosen.values() for part in (codes.pixels, again)]
    names = [name for kind in chosen for name in (kind, "decoded")]
    means = ", ".join(f"{kind} {error[place].mean():.4f}" for kind, place in chosen.items())
    caption = (
        f"Reconstructions of {lab.name}: {lab.reference.real.split} images above what the mean of their code decodes "
        f"to; any, the best and the worst of {len(order)}. Mean squared error of a pixel in [0, 1]: {means}; of all "
        f"{error.mean():.4f}."
    )
    yield PictureKind("reconstructions", [sheet(rows, names=names, gap_after=(1, 3), caption=caption)], caption)


def _own(lab: Context) -> PictureKind:
    pixels, labels = (part[:MOST_OWN] for part in load_own_images(lab, lab.options.images))
    codes = lab.encoded(pixels, labels)
    again = lab.decode(lab.whole(codes.mean), labels)
    error = np.square(images.to_unit(pixels) - images.to_unit(again)).mean()
    rows, names = [], []
    for start in range(0, len(pixels), COLUMNS):
        rows += [pixels[start : start + COLUMNS], again[start : start + COLUMNS]]
        names += ["given", "decoded"]
    caption = (
        f"Images of {lab.options.images} as {lab.name} sees them, above what the mean of their code decodes to; mean "
        f"squared error {error:.4f}."
    )
    drawn = sheet(rows, names=names, gap_after=range(1, len(rows), 2), caption=caption)
    return PictureKind("reconstructions-own", [drawn],
                   caption)  # fmt: skip


@KINDS.register("scatter", needs=("encoder", "data"))
def scatter(lab: Context) -> Iterator[PictureKind]:
    """Encodings of real images in a plane, coloured by class."""
    codes, classes = lab.codes, lab.reference.spec.num_classes
    points, words = _in_plane(lab, codes)
    caption = (
        f"Codes (posterior means) of {len(points)} {lab.reference.real.split} images in {lab.name}"
        f"{', coloured by class' if classes > 1 else ''}; {words}."
    )
    canvas = Canvas(7.2, 6.4)
    axes = canvas.axes()
    if classes > 1:
        for n in range(min(classes, 20)):
            some = points[codes.labels == n]
            axes.scatter(
                *some.T, s=7, alpha=0.75, color=canvas.class_color(n, classes), label=lab.class_name(n), linewidths=0
            )
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=2.5, frameon=False)
    else:
        axes.scatter(*points.T, s=7, alpha=0.6, linewidths=0)
    axes.set_aspect("equal", "datalim")
    yield PictureKind("scatter", [captioned(canvas.to_array(), caption)], caption)


def _in_plane(lab: Context, codes: Codes) -> tuple[np.ndarray, str]:
    flat = codes.mean.reshape(len(codes.mean), -1)[:, : lab.code_dim]
    if flat.shape[1] == 2:
        return flat, "both latent dimensions"
    if flat.shape[1] < 2:
        return np.stack([flat[:, 0], codes.log_var.reshape(len(flat), -1)[:, 0]], 1), "mean and log-variance"
    if lab.options.projection == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(30, (len(flat) - 1) / 3)
        found = TSNE(init="pca", perplexity=perplexity, random_state=lab.options.seed).fit_transform(flat)
        return found, f"t-SNE of {flat.shape[1]} dimensions (perplexity {perplexity:g}): neighbours are neighbours, " \
                      "distances between groups say little"  # fmt: skip
    centred = flat - flat.mean(axis=0)
    _, scales, axes = np.linalg.svd(centred, full_matrices=False)
    share = np.square(scales) / np.square(scales).sum()
    return centred @ axes[:2].T, (
        f"the first two principal components of {flat.shape[1]} dimensions, {share[:2].sum():.0%} of the variance"
    )


@KINDS.register("attributes", needs=("encoder", "classes"))
def attributes(lab: Context) -> Iterator[PictureKind]:
    """The difference of two classes' mean codes, added to codes of the first in steps."""
    codes = lab.codes
    flat = codes.mean.reshape(len(codes.mean), -1)[:, : lab.code_dim]
    steps = np.linspace(-0.5, 1.5, lab.options.steps)
    rows, names = [], []
    for one, other in _pairs(lab, codes.labels):
        direction = flat[codes.labels == other].mean(axis=0) - flat[codes.labels == one].mean(axis=0)
        place = np.flatnonzero(codes.labels == one)[0]
        path = flat[place] + steps[:, None] * direction
        rows.append(np.concatenate([codes.pixels[place : place + 1], lab.decode(lab.whole(path), one)]))
        names.append(f"{lab.class_name(one)} towards {lab.class_name(other)}")
    told = (
        "; the decoder is told the first class all along, so that the style changes" if lab.sampler.conditional else ""
    )
    caption = (
        f"Attributes in {lab.name}: an image, then its code with the difference of two classes' mean codes added in "
        f"steps from {steps[0]:g} to {steps[-1]:g} times{told}."
    )
    headings = ["image", *(f"{step:+.1f}" for step in steps)]
    yield PictureKind("attributes", [sheet(rows, names=names, columns=headings, caption=caption)], caption)


def _pairs(lab: Context, labels: np.ndarray) -> list[tuple[int, int]]:
    spec, there = lab.reference.spec, [int(n) for n in np.unique(labels)]
    if lab.options.classes is None:
        return list(zip(there, [*there[1:], there[0]], strict=True))[:ATTRIBUTE_ROWS]
    names = [part.strip() for part in lab.options.classes.split(",")]
    if len(names) != 2:
        raise UserError(f"--classes takes two classes, A,B. Received: {lab.options.classes!r}")
    pair = tuple(spec.label(name) for name in names)
    if missing := [n for n in pair if n not in there]:
        raise UserError(f"--classes: none of the encoded images is of class {lab.class_name(missing[0])}")
    return [pair]


# Paths ----------------------------------------------------------------------------------------------------------------
# Paths between two pictures: through the latent space, through pixels, and from label to label.


PAIRS = 4
FRAMES = 24
WAYS = ("great circle", "straight line", "pixel blend")
SHORT_WAYS = ("slerp", "linear", "blend")


@KINDS.register("interpolation")
def interpolation(lab: Context) -> Iterator[PictureKind]:
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
    yield PictureKind("interpolation", [strip], caption)
    moving = _paths(lab, starts, ends, labels, FRAMES)
    frames = [
        sheet([pair[:, t] for pair in moving], columns=SHORT_WAYS, caption=caption) for t in _there_and_back(FRAMES)
    ]
    yield PictureKind("interpolation", frames, caption)
    if lab.sampler.conditional and lab.run and len(lab.classes) > 1 and not lab.options.between:
        yield from _class_to_class(lab)


def _class_to_class(lab: Context) -> Iterator[PictureKind]:
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
    yield PictureKind("class-to-class", [sheet(rows(lab.options.steps), names=names, caption=caption)], caption)
    moving = np.stack(rows(FRAMES))
    frames = [sheet([moving[:, t]], columns=names, caption=caption) for t in _there_and_back(FRAMES)]
    yield PictureKind("class-to-class", frames, caption)


def _paths(lab: Context, starts, ends, labels, steps: int) -> np.ndarray:
    """[pairs, 3 ways, steps, H, W, C] uint8."""
    t = np.linspace(0, 1, steps, dtype=np.float32)
    found = []
    for start, end, label in zip(starts, ends, labels, strict=True):
        first, last = (np.repeat(z[None], steps, axis=0) for z in (start, end))
        weights = t.reshape(-1, *[1] * start.ndim)
        curved = lab.decode(slerp(*map(tf.constant, (first, last, t))).numpy(), label)
        straight = lab.decode((1 - weights) * first + weights * last, label)
        share = t[:, None, None, None]
        blend = images.to_uint8((1 - share) * images.to_unit(curved[:1]) + share * images.to_unit(curved[-1:]))
        found.append(np.stack([curved, straight, blend]))
    return np.stack(found)


def _ends(lab: Context) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
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


def _image(lab: Context, part: str) -> tuple[np.ndarray, int]:
    """The pixels and the label of one end."""
    if not part.isdigit():
        found = load_own_images(lab, part)
        return found[0][0], int(found[1][0])
    if lab.no_data:
        raise UserError(f"--between {part}: {lab.no_data}")
    real = lab.reference.real
    if int(part) >= real.count:
        raise UserError(f"--between {part}: there are {real.count} images of split {real.split!r}, from 0")
    return real.pixels[int(part)], int(real.labels[int(part)])


def _there_and_back(steps: int) -> list[int]:
    return [*range(steps), *range(steps - 2, 0, -1)]


# Planes ---------------------------------------------------------------------------------------------------------------
# Walks and planes in the latent space: traversals, the manifold.


MOST_DIMENSIONS = 10
FARTHEST = 3.0
PROBES = 4
PLANE = 9
MANIFOLD = 20
PANEL = 10
REGRESSED = 1_024


@KINDS.register("traversal")
def traversal(lab: Context) -> Iterator[PictureKind]:
    """One latent dimension at a time, the most used first; and the plane of two of them."""
    label = lab.some_labels(1)
    base = lab.draw(1, label)[0]
    use, unit = usage(lab)
    order = np.argsort(-use, kind="stable")
    steps = np.linspace(-FARTHEST, FARTHEST, lab.options.steps)
    rows, names = [], []
    for d in order[:MOST_DIMENSIONS]:
        z = np.repeat(base[None], len(steps), axis=0)
        z[:, d] = steps
        rows.append(lab.decode(z, label[0]))
        names.append(f"z{d}: {use[d]:.3g}")
    of = f" of class {lab.class_name(label[0])}" if lab.sampler.conditional else ""
    caption = (
        f"Traversal of {lab.name}: a latent point{of} ({lab.seeds}) with one dimension a row set from -3 to 3 standard "
        f"deviations of the prior, the most used of {lab.code_dim} first. Beside its number: {unit}."
    )
    headings = [f"{step:+.1f}" for step in steps]
    yield PictureKind("traversal", [sheet(rows, names=names, columns=headings, caption=caption)], caption)
    if lab.code_dim > 1:
        yield _perturbation(lab, base, label[0], lab.options.dims or tuple(int(d) for d in order[:2]))


def _perturbation(lab: Context, base: np.ndarray, label: int, dims: tuple[int, int]) -> PictureKind:
    """The point in the middle of a plane of two dimensions."""
    if len({*dims}) != 2 or not all(0 <= d < lab.code_dim for d in dims):
        raise UserError(f"--dims takes two of the dimensions 0 to {lab.code_dim - 1}. Received: {dims[0]},{dims[1]}")
    steps = np.linspace(-FARTHEST, FARTHEST, PLANE)
    rows = []
    for down in steps[::-1]:
        z = np.repeat(base[None], PLANE, axis=0)
        z[:, dims[0]], z[:, dims[1]] = base[dims[0]] + steps, base[dims[1]] + down
        rows.append(lab.decode(z, label))
    headings = [f"{step:+.2g}" for step in steps]
    caption = (
        f"Perturbation of {lab.name}: one latent point ({lab.seeds}) in the middle; z{dims[0]} grows to the right, "
        f"z{dims[1]} upwards, by the standard deviations written beside."
    )
    drawn = sheet(rows, names=headings[::-1], columns=headings, caption=caption)
    return PictureKind("perturbation", [drawn], caption)


def usage(lab: Context) -> tuple[np.ndarray, str]:
    """How much the model uses every dimension of the code, [code_dim], and the unit in words.

    With an encoder and its data the mean of KL(q(z_d|x) || N(0, 1)), else how far pixels move with the dimension.
    """
    if not lab.no_encoder and not lab.no_data:
        mean, log_var = (x.reshape(len(x), -1)[:, : lab.code_dim] for x in (lab.codes.mean, lab.codes.log_var))
        kl = 0.5 * (np.square(mean) + np.exp(log_var) - 1 - log_var)
        return kl.mean(axis=0), "its Kullback-Leibler divergence from the prior, nats per image"
    labels = lab.some_labels(PROBES)
    points, found = lab.draw(PROBES, labels), np.zeros(lab.code_dim)
    for d in range(lab.code_dim):
        low, high = points.copy(), points.copy()
        low[:, d] -= 1
        high[:, d] += 1
        moved = images.to_unit(lab.decode(high, labels)) - images.to_unit(lab.decode(low, labels))
        found[d] = np.abs(moved).mean()
    return found, f"how far a pixel in [0, 1] moves from -1 to +1 of it, mean over {PROBES} points"


@dataclass(frozen=True)
class Plane:
    """Latent codes centre + a * right + b * up.

    Attributes:
        centre, right, up: [code_dim].
        words: what the axes are.
    """

    centre: np.ndarray
    right: np.ndarray
    up: np.ndarray
    words: str


@KINDS.register("manifold")
def manifold(lab: Context) -> Iterator[PictureKind]:
    """A plane of the latent space on a grid of normal quantiles; conditional: a panel per class."""
    if lab.code_dim < 2:
        return
    plane = _plane(lab)
    many = lab.sampler.conditional and len(lab.classes) > 1
    side = PANEL if many else MANIFOLD
    quantiles = ndtri((np.arange(side) + 0.5) / side)
    right, up = np.meshgrid(quantiles, quantiles[::-1])
    codes = plane.centre + right.reshape(-1, 1) * plane.right + up.reshape(-1, 1) * plane.up
    z = lab.whole(codes)
    of = f" of class {lab.class_name(lab.classes[0])}" if lab.sampler.conditional else ""
    of = ", a class a panel" if many else of
    caption = (
        f"Manifold of {lab.name}{of}: {plane.words}, on a grid of {side} x {side} quantiles of the normal distribution."
    )
    if not many:
        label = lab.classes[0] if lab.sampler.conditional else 0
        yield PictureKind("manifold", [_whole(images.grid(lab.decode(z, label), side, padding=0), caption)], caption)
        return
    panels = [images.grid(lab.decode(z, n), side, padding=0) for n in lab.classes]
    yield PictureKind(
        "manifold", [_whole(images.grid(np.stack(panels), min(5, len(panels)), padding=8), caption)], caption
    )


def _whole(image: np.ndarray, caption: str) -> np.ndarray:
    factor = max(1, 560 // image.shape[1])
    return captioned(image.repeat(factor, 0).repeat(factor, 1), caption)


def _plane(lab: Context) -> Plane:
    one, other = np.eye(2, lab.code_dim)
    if lab.code_dim == 2:
        return Plane(np.zeros(2), one, other, "both latent dimensions, z0 to the right and z1 upwards")
    if not lab.no_encoder and not lab.no_data:
        flat = lab.codes.mean.reshape(len(lab.codes.mean), -1)[:, : lab.code_dim]
        _, scales, axes = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
        spread = scales / np.sqrt(len(flat) - 1)
        words = f"the plane of the first two principal components of codes (of {lab.code_dim} dimensions)"
        return Plane(flat.mean(axis=0), spread[0] * axes[0], spread[1] * axes[1], words)
    labels = lab.some_labels(REGRESSED)
    z = lab.draw(REGRESSED, labels)
    pixels = images.to_unit(lab.decode(z, labels)).reshape(REGRESSED, -1)
    code = z.reshape(REGRESSED, -1)[:, : lab.code_dim]
    slopes, *_ = np.linalg.lstsq(code - code.mean(axis=0), pixels - pixels.mean(axis=0), rcond=None)
    directions, *_ = np.linalg.svd(slopes, full_matrices=False)
    one, other = directions[:, 0], directions[:, 1]
    base = code[0] - (code[0] @ one) * one - (code[0] @ other) * other  # as far from the origin as draws are
    words = f"the plane of the two directions in z (of {lab.code_dim}) that move pixels most, through a drawn point"
    return Plane(base, one, other, words)
