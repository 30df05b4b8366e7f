"""Pictures of encodings: reconstructions, the scatter of codes, differences of classes' codes as attributes."""

from collections.abc import Iterator, Sequence

import numpy as np

from kgen import images
from kgen.blas import threads_for
from kgen.canvas import Canvas
from kgen.errors import UserError
from kgen.explore.context import MAX_CLASSES, Codes, Context, shuffled
from kgen.explore.figures import Picture, captioned, sheet
from kgen.explore.user_images import load_user_images

COLUMNS = 12
MAX_USER_IMAGES = 60
MAX_ATTRIBUTES = 6


def reconstructions(context: Context) -> Iterator[Picture]:
    """Images above what their codes decode to: any, the best and the worst."""
    if context.options.images:
        yield _user_images(context)
        return
    codes = context.codes
    decoded = context.decode(context.latents_of(codes.mean), codes.labels)
    error = np.square(images.to_unit(codes.pixels) - images.to_unit(decoded)).mean(axis=(1, 2, 3))
    order = np.argsort(error, kind="stable")
    count = min(COLUMNS, len(order))
    chosen = {
        "any": shuffled(len(order), context.options.seed, "reconstructions")[:count],
        "best": order[:count],
        "worst": order[::-1][:count],
    }
    rows = [part[place] for place in chosen.values() for part in (codes.pixels, decoded)]
    names = [name for kind in chosen for name in (kind, "decoded")]
    means = ", ".join(f"{kind} {error[place].mean():.4f}" for kind, place in chosen.items())
    caption = (
        f"Reconstructions of {context.name}: {context.reference.real.kind} above what the mean of their code "
        f"decodes to; any, the best and the worst of {len(order)}. Mean squared error per pixel in [0, 1]: {means}; of "
        f"all {error.mean():.4f}."
    )
    yield Picture("reconstructions", [sheet(rows, names=names, gap_after=(1, 3), caption=caption)], caption)


def _user_images(context: Context) -> Picture:
    pixels, labels = (part[:MAX_USER_IMAGES] for part in load_user_images(context, context.options.images))
    codes = context.encode(pixels, labels)
    decoded = context.decode(context.latents_of(codes.mean), labels)
    error = np.square(images.to_unit(pixels) - images.to_unit(decoded)).mean()
    rows, names = [], []
    for start in range(0, len(pixels), COLUMNS):
        rows += [pixels[start : start + COLUMNS], decoded[start : start + COLUMNS]]
        names += ["given", "decoded"]
    caption = (
        f"Images of {context.options.images} above what the mean of their code decodes to in {context.name}; mean "
        f"squared error {error:.4f}."
    )
    pixels = sheet(rows, names=names, gap_after=range(1, len(rows), 2), caption=caption)
    return Picture("reconstructions-own", [pixels], caption)


def scatter(context: Context) -> Iterator[Picture]:
    """Codes of real images in a plane, colored by class."""
    codes, classes = context.codes, context.reference.spec.num_classes
    points, names, axes_words = _project(context, codes)
    caption = (
        f"Codes (posterior means) of {len(points)} {context.reference.real.kind} in {context.name}"
        f"{', a color and a mark per class' if classes > 1 else ''}; {axes_words}."
    )
    labels = [context.class_name(n) for n in range(min(classes, MAX_CLASSES))] if classes > 1 else ()
    canvas = scatter_canvas(points, codes.labels, labels, names)
    yield Picture("scatter", [captioned(canvas.to_array(), caption)], caption)


def scatter_canvas(points: np.ndarray, labels: np.ndarray, classes: Sequence[str], names: Sequence[str]) -> Canvas:
    """Points in a plane, [N, 2], with a color and a marker per class; a class that has no name is left out.

    Args:
        points: [N, 2].
        labels: [N].
        classes: names of the classes; none for points without classes.
        names: of the axes.
    """
    canvas = Canvas(7.6, 6.4)
    axes = canvas.axes()
    size, style = 22 if len(points) > 1000 else 34, {"alpha": 0.8, "linewidths": 0.4, "edgecolors": "white"}
    for n, name in enumerate(classes or ("",)):
        some = points[labels == n] if classes else points
        color, marker = canvas.class_color(n), canvas.class_marker(n)
        area = 2 * size if marker == "*" else size  # a star looks smaller
        axes.scatter(*some.T, s=area, color=color, marker=marker, label=name, **style)
    if classes:
        axes.legend(title="class", loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.5, frameon=False)
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.set_aspect("equal", "datalim")
    return canvas


def _project(context: Context, codes: Codes) -> tuple[np.ndarray, tuple[str, str], str]:
    """The means of codes in two dimensions, [N, 2], the names of the axes, and what they are, for a caption."""
    flat = codes.mean.reshape(len(codes.mean), -1)[:, : context.code_dim]
    if flat.shape[1] == 2:
        return flat, ("z0", "z1"), "both latent dimensions"
    if flat.shape[1] < 2:
        return np.stack([flat[:, 0], codes.log_var.reshape(len(flat), -1)[:, 0]], 1), (
            "mean of z0", "log-variance of z0, nats",
        ), "mean and log-variance"  # fmt: skip
    if context.options.projection == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(30, (len(flat) - 1) / 3)
        points = TSNE(init="pca", perplexity=perplexity, random_state=context.options.seed).fit_transform(flat)
        return (
            points,
            ("t-SNE, first axis", "t-SNE, second axis"),
            (
                f"t-SNE of {flat.shape[1]} dimensions (perplexity {perplexity:g}): neighbours are preserved, distances "
                "between groups are not"
            ),
        )
    centered = flat - flat.mean(axis=0)
    with threads_for(flat.size * flat.shape[1]):
        _, scales, axes = np.linalg.svd(centered, full_matrices=False)
    share = np.square(scales) / np.square(scales).sum()
    names = tuple(
        f"{nth} component, {part:.0%} of the variance" for nth, part in zip(("first", "second"), share, strict=False)
    )
    return (
        centered @ axes[:2].T,
        names,
        (f"the first two principal components of {flat.shape[1]} dimensions, {share[:2].sum():.0%} of the variance"),
    )


def attributes(context: Context) -> Iterator[Picture]:
    """The difference of two classes' mean codes, added to codes of the first in steps."""
    codes = context.codes
    flat = codes.mean.reshape(len(codes.mean), -1)[:, : context.code_dim]
    steps = np.linspace(-0.5, 1.5, context.options.steps)
    given, points, labels, names = [], [], [], []
    for one, other in _pairs(context, codes.labels):
        direction = flat[codes.labels == other].mean(axis=0) - flat[codes.labels == one].mean(axis=0)
        first = np.flatnonzero(codes.labels == one)[0]
        given.append(codes.pixels[first : first + 1])
        points.append(context.latents_of(flat[first] + steps[:, None] * direction))
        labels.append([one])
        names.append(f"{context.class_name(one)} towards {context.class_name(other)}")
    rows = np.concatenate([given, context.decode_rows(np.stack(points), labels)], axis=1)
    label = "; the decoder is given the first class, so that the style changes" if context.sampler.conditional else ""
    caption = (
        f"Attributes in {context.name}: an image, then its code plus {steps[0]:g} to {steps[-1]:g} times the "
        f"difference of two classes' mean codes{label}."
    )
    headings = ["image", *(f"{step:+.1f}" for step in steps)]
    yield Picture("attributes", [sheet(rows, names=names, columns=headings, caption=caption)], caption)


def _pairs(context: Context, labels: np.ndarray) -> list[tuple[int, int]]:
    """The pair of classes that was asked for, or each class with the next, of those in `labels`."""
    spec, present = context.reference.spec, [int(n) for n in np.unique(labels)]
    if context.options.classes is None:
        return list(zip(present, [*present[1:], present[0]], strict=True))[:MAX_ATTRIBUTES]
    names = [part.strip() for part in context.options.classes.split(",")]
    if len(names) != 2:
        raise UserError(f"--classes takes two classes, A,B. Received: {context.options.classes!r}")
    pair = tuple(spec.label(name) for name in names)
    if missing := [n for n in pair if n not in present]:
        raise UserError(f"--classes: none of the encoded images is of class {context.class_name(missing[0])}")
    return [pair]
