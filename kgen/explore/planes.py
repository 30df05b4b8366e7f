"""Walks and planes in the latent space: traversals, the manifold."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from kgen import images
from kgen.errors import UserError
from kgen.explore.kinds import KINDS, Picture
from kgen.explore.lab import Lab
from kgen.explore.sheet import captioned, sheet

MOST_DIMENSIONS = 10
FARTHEST = 3.0
PROBES = 4
PLANE = 9
MANIFOLD = 20
PANEL = 10
REGRESSED = 1_024


@KINDS.register("traversal")
def traversal(lab: Lab) -> Iterator[Picture]:
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
    yield Picture("traversal", [sheet(rows, names=names, columns=headings, caption=caption)], caption)
    if lab.code_dim > 1:
        yield _perturbation(lab, base, label[0], lab.options.dims or tuple(int(d) for d in order[:2]))


def _perturbation(lab: Lab, base: np.ndarray, label: int, dims: tuple[int, int]) -> Picture:
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
    return Picture("perturbation", [drawn], caption)


def usage(lab: Lab) -> tuple[np.ndarray, str]:
    """How much the model uses every dimension of the code, [code_dim], and the unit in words.

    With an encoder and its data the mean of KL(q(z_d|x) || N(0, 1)), else how far pixels move with the dimension.
    """
    if not lab.no_encoder and not lab.no_data:
        mean, log_var = (x.reshape(len(x), -1)[:, : lab.code_dim] for x in (lab.codes.mean, lab.codes.log_var))
        kl = 0.5 * (np.square(mean) + np.exp(log_var) - 1 - log_var)
        return kl.mean(axis=0), "its Kullback-Leibler divergence from the prior, nats an image"
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
def manifold(lab: Lab) -> Iterator[Picture]:
    """A plane of the latent space on a grid of normal quantiles; conditional: a panel a class."""
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
        yield Picture("manifold", [_whole(images.grid(lab.decode(z, label), side, padding=0), caption)], caption)
        return
    panels = [images.grid(lab.decode(z, n), side, padding=0) for n in lab.classes]
    yield Picture("manifold", [_whole(images.grid(np.stack(panels), min(5, len(panels)), padding=8), caption)], caption)


def _whole(image: np.ndarray, caption: str) -> np.ndarray:
    factor = max(1, 560 // image.shape[1])
    return captioned(image.repeat(factor, 0).repeat(factor, 1), caption)


def _plane(lab: Lab) -> Plane:
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
