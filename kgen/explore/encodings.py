"""Pictures that need an encoder: reconstructions, the scatter of codes, attributes."""

from collections.abc import Iterator

import numpy as np

from kgen import images
from kgen.errors import UserError
from kgen.explore.figures import Figure
from kgen.explore.kinds import KINDS, Picture
from kgen.explore.lab import Codes, Lab, shuffled
from kgen.explore.own_images import load_images
from kgen.explore.sheet import sheet

COLUMNS = 12
MOST_OWN = 60
ATTRIBUTE_ROWS = 6


@KINDS.register("reconstructions", needs=("encoder", "images"))
def reconstructions(lab: Lab) -> Iterator[Picture]:
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
    yield Picture("reconstructions", [sheet(rows, names=names, gap_after=(1, 3), caption=caption)], caption)


def _own(lab: Lab) -> Picture:
    pixels, labels = (part[:MOST_OWN] for part in load_images(lab, lab.options.images))
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
    return Picture("reconstructions-own", [sheet(rows, names=names, gap_after=range(1, len(rows), 2), caption=caption)],
                   caption)  # fmt: skip


@KINDS.register("scatter", needs=("encoder", "data"))
def scatter(lab: Lab) -> Iterator[Picture]:
    """Encodings of real images in a plane, coloured by class."""
    codes, classes = lab.codes, lab.reference.spec.num_classes
    points, words = _in_plane(lab, codes)
    caption = (
        f"Codes (posterior means) of {len(points)} {lab.reference.real.split} images in {lab.name}"
        f"{', coloured by class' if classes > 1 else ''}; {words}."
    )
    figure = Figure(7.2, 6.4)
    axes = figure.axes()
    if classes > 1:
        for n in range(min(classes, 20)):
            some = points[codes.labels == n]
            axes.scatter(
                *some.T, s=7, alpha=0.75, color=figure.color(n, classes), label=lab.class_name(n), linewidths=0
            )
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=2.5, frameon=False)
    else:
        axes.scatter(*points.T, s=7, alpha=0.6, linewidths=0)
    axes.set_aspect("equal", "datalim")
    yield Picture("scatter", [figure.drawn(caption)], caption)


def _in_plane(lab: Lab, codes: Codes) -> tuple[np.ndarray, str]:
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
def attributes(lab: Lab) -> Iterator[Picture]:
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
    yield Picture("attributes", [sheet(rows, names=names, columns=headings, caption=caption)], caption)


def _pairs(lab: Lab, labels: np.ndarray) -> list[tuple[int, int]]:
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
