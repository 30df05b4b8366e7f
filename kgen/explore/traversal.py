"""Pictures of the latent space along its dimensions: traversals, planes, the manifold."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from kgen import images
from kgen.blas import threads_for
from kgen.explore.context import Context, check_dims
from kgen.explore.figures import Picture, planes, sheet, signed

MAX_DIMENSIONS = 10
RANGE = 3.0
PROBES, DIMENSIONS_PER_CALL = 4, 16
PLANE_SIDE = 9
MANIFOLD_SIDE, PANEL_SIDE = 20, 10
REGRESSION_POINTS = 1_024
PLANE_IMAGE = 28  # pixels of an image in a manifold, about


def traversal(context: Context) -> Iterator[Picture]:
    """One latent dimension at a time, those with the largest KL first, and the plane of two of them."""
    label = context.some_labels(1)
    base = context.sample_latents(1, label)[0]
    use, short, unit = usage(context)
    order = np.argsort(-use, kind="stable")
    steps = np.linspace(-RANGE, RANGE, context.options.steps)
    shown = order[:MAX_DIMENSIONS]
    z = np.tile(base, (len(shown), len(steps), *[1] * base.ndim))
    for row, d in zip(z, shown, strict=True):
        row[:, d] = steps
    rows, names = context.decode_rows(z, label[0]), [f"z{d}: {use[d]:.3g} {short}".rstrip() for d in shown]
    of = f" of class {context.class_name(label[0])}" if context.sampler.conditional else ""
    caption = (
        f"Traversal of {context.name}: a latent point{of} ({context.seeds}) with one dimension per row set from -3 to "
        f"3 standard deviations of the prior, the most used of {context.code_dim} first. Beside its number: {unit}."
    )
    headings = [signed(step) for step in steps]
    yield Picture("traversal", [sheet(rows, names=names, columns=headings, caption=caption)], caption)
    if context.code_dim > 1:
        check_dims(context.options, context.code_dim)
        dims = context.options.dims or tuple(sorted(int(d) for d in order[:2]))
        yield _perturbation(context, base, label[0], dims)


def _perturbation(context: Context, base: np.ndarray, label: int, dims: tuple[int, int]) -> Picture:
    """The plane of two dimensions, with the point `base` in the middle."""
    steps = np.linspace(-RANGE, RANGE, PLANE_SIDE)
    z = np.tile(base, (PLANE_SIDE, PLANE_SIDE, *[1] * base.ndim))
    z[:, :, dims[0]], z[:, :, dims[1]] = base[dims[0]] + steps, (base[dims[1]] + steps[::-1])[:, None]
    of = f" of class {context.class_name(label)}" if context.sampler.conditional else ""
    caption = (
        f"Perturbation of {context.name}: a latent point{of} ({context.seeds}) in the middle, and what is added to two "
        "of its dimensions, in standard deviations of the prior."
    )
    across, up = ((f"added to z{d}", steps) for d in dims)
    pixels = planes(context.decode_rows(z, label)[None], across=across, up=up, caption=caption)
    return Picture("perturbation", [pixels], caption)


def usage(context: Context) -> tuple[np.ndarray, str, str]:
    """How much the model uses every dimension of the code, [code_dim], the unit, and what it is in words.

    With an encoder and its data the mean of KL(q(z_d|x) || N(0, 1)), else the mean change of pixels with the dimension.
    """
    if not context.no_encoder and not context.no_data:
        codes = context.codes
        mean, log_var = (x.reshape(len(x), -1)[:, : context.code_dim] for x in (codes.mean, codes.log_var))
        kl = 0.5 * (np.square(mean) + np.exp(log_var) - 1 - log_var)
        return kl.mean(axis=0), "nats", "the KL of its posterior from N(0, 1), nats per image"
    labels = context.some_labels(PROBES)
    points, found = context.sample_latents(PROBES, labels), np.zeros(context.code_dim)
    for start in range(0, context.code_dim, DIMENSIONS_PER_CALL):
        some = range(start, min(start + DIMENSIONS_PER_CALL, context.code_dim))
        z = np.tile(points, (2 * len(some), *[1] * points.ndim))
        for low, high, d in zip(z[::2], z[1::2], some, strict=True):
            low[:, d] -= 1
            high[:, d] += 1
        decoded = images.to_unit(context.decode_rows(z, labels))
        for low, high, d in zip(decoded[::2], decoded[1::2], some, strict=True):
            found[d] = np.abs(high - low).mean()
    return found, "", f"the mean change of a pixel in [0, 1] from -1 to +1 of it, over {PROBES} points"


def manifold(context: Context) -> Iterator[Picture]:
    """A plane of the latent space on a grid of normal quantiles; conditional: a panel per class."""
    if context.code_dim < 2:
        return
    plane = _plane(context)
    per_class = context.sampler.conditional and len(context.classes) > 1
    side = PANEL_SIDE if per_class else MANIFOLD_SIDE
    quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)])
    right, up = np.meshgrid(quantiles, quantiles[::-1])
    codes = plane.center + right.reshape(-1, 1) * plane.right + up.reshape(-1, 1) * plane.up
    z = context.latents_of(codes)
    of = f" of class {context.class_name(context.classes[0])}" if context.sampler.conditional else ""
    of = ", a panel per class" if per_class else of
    caption = (
        f"Manifold of {context.name}{of}: {plane.words}. Both axes are in standard deviations, at {side} quantiles of "
        "the normal distribution, so that every image stands for as many samples."
    )
    classes = context.classes if per_class else [context.classes[0] if context.sampler.conditional else 0]
    panels = np.stack([context.decode(z, n).reshape(side, side, *context.spec.image_shape) for n in classes])
    names = [context.class_name(n) for n in classes] if per_class else ()
    across, up = ((name, quantiles) for name in plane.names)
    # images of their own size: 400 of them, or 100 of every class, are many
    pixels = planes(panels, across=across, up=up, caption=caption, names=names, side=PLANE_IMAGE)
    yield Picture("manifold", [pixels], caption)


@dataclass(frozen=True)
class Plane:
    """Latent codes center + a * right + b * up.

    Attributes:
        center, right, up: [code_dim].
        names: of the axes.
        words: what the axes are, for a caption.
    """

    center: np.ndarray
    right: np.ndarray
    up: np.ndarray
    names: tuple[str, str]
    words: str


COMPONENTS = ("first component", "second component")


def _plane(context: Context) -> Plane:
    """The plane of most variance: of the codes, or without them of the pixels by a linear regression on z."""
    one, other = np.eye(2, context.code_dim)
    if context.code_dim == 2:
        return Plane(np.zeros(2), one, other, ("z0", "z1"), "both latent dimensions")
    if not context.no_encoder and not context.no_data:
        flat = context.codes.mean.reshape(len(context.codes.mean), -1)[:, : context.code_dim]
        with threads_for(flat.size * flat.shape[1]):
            _, scales, axes = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
        spread = scales / np.sqrt(len(flat) - 1)
        words = f"the plane of the first two principal components of codes (of {context.code_dim} dimensions)"
        return Plane(flat.mean(axis=0), spread[0] * axes[0], spread[1] * axes[1], COMPONENTS, words)
    labels = context.some_labels(REGRESSION_POINTS)
    z = context.sample_latents(REGRESSION_POINTS, labels)
    pixels = images.to_unit(context.decode(z, labels)).reshape(REGRESSION_POINTS, -1)
    code = z.reshape(REGRESSION_POINTS, -1)[:, : context.code_dim]
    with threads_for(code.size * pixels.shape[1]):
        slopes, *_ = np.linalg.lstsq(code - code.mean(axis=0), pixels - pixels.mean(axis=0), rcond=None)
        directions, *_ = np.linalg.svd(slopes, full_matrices=False)
    one, other = directions[:, 0], directions[:, 1]
    base = code[0] - (code[0] @ one) * one - (code[0] @ other) * other  # as far from the origin as samples are
    words = f"the plane of the two directions in z (of {context.code_dim}) that change pixels most, through a sample"
    return Plane(base, one, other, ("first direction", "second direction"), words)
