"""Memorization: how near samples are to the training images, beside how near unseen real images are."""

import numpy as np

from kgen.errors import UserError
from kgen.metrics.checks import checked_pair
from kgen.metrics.distances import neighbours, squared_distances

COPY_SHARE = 1e-3  # of the median distance of unseen images
NEAREST_SHARE, MOST_SPACED = 0.01, 5_000  # share of training images that are nearest to another; so many are looked at
TWINS_SHARE = 1e-6
"""Of the standard deviation of the training images: nearer ones are one image that was given several times."""


def nearest_images(query: np.ndarray, base: np.ndarray, *, exclude_self: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The nearest image of a set to every query.

    Args:
        query: [M, d] features.
        base: [N, d] features.
        exclude_self: query and base are the same images in the same order, and none counts as its own neighbour.

    Returns:
        (Euclidean distance [M] float64, row of the base [M]); among equally near ones, one of them.

    Raises:
        UserError: unequal dimensions, numbers that are not finite, or sets of unequal size with `exclude_self`.
    """
    if exclude_self and len(query) != len(base):
        raise UserError(f"exclude_self needs one set twice. Received: {len(query)} and {len(base)} images")
    same = query is base
    base, query = checked_pair(base, query, at_least=1 + exclude_self)
    squared, index = neighbours(base if same else query, base, 1 + exclude_self)
    if not exclude_self:
        return np.sqrt(squared[:, 0]), index[:, 0]
    other = np.where(index[:, 0] == np.arange(len(index)), index[:, 1], index[:, 0])
    return np.sqrt(squared[:, 1]), other  # the image itself is at 0, so the second distance is that of the first other


def memorization(
    fake: np.ndarray, train: np.ndarray, test: np.ndarray | None, mirrored: np.ndarray | None = None
) -> dict:
    """Whether samples are copies of training images, by nearest neighbours.

    An image that was given twice (within TWINS_SHARE) does not count as another one: its twin at distance 0 would make
    a copy of it as far from the training images as they are from each other. Nor does its mirror image.

    Args:
        fake: [M, d] features of samples.
        train: [N, d] features of the images that the model was trained on.
        test: [T, d] features of real images that it was not trained on; None where there are none: `nearest_ratio` and
            `copies` are then None.
        mirrored: [N, d] features of the same training images, mirrored, where the model was trained on these, too: they
            are training images then. None: it was not.

    Returns:
        authenticity: share of the samples that are further from their nearest training image than that image is from
            the nearest other training image (Alaa et al. 2022, https://arxiv.org/abs/2102.08921). Copies have 0; fresh
            samples of the training distribution 1/3 in one dimension, and nearly 1/2 in many.
        nearest_ratio: median distance of the samples to their nearest training image, over the same of the test images.
            1: as far as unseen images. Near 0: copies.
        near_copies: share of the samples that are nearer to a training image than 99 of 100 training images are to
            another one: about 1/100 for fresh samples of the training distribution; 0 where all training images are
            one.
        copies: share of the samples that are as good as on a training image: within a thousandth of the median distance
            of the test images.
        distance: [M] float64, of every sample to its nearest training image.
        index: [M], that training image.
        is_mirrored: [M], whether it is that image mirrored.

    Raises:
        UserError: unequal dimensions, or most test images are training images.
    """
    fake, train = np.asarray(fake), np.asarray(train)
    base = train if mirrored is None else np.concatenate([train, mirrored])
    distance, index = nearest_images(fake, base)
    is_mirrored, index = np.divmod(index, len(train))
    unseen = None if test is None else float(np.median(nearest_images(np.asarray(test), base)[0]))
    if unseen == 0:
        raise UserError(
            "memorization needs unseen images. Received: more than half of the test images are training images"
        )
    closest, place = np.unique(index, return_inverse=True)
    base, train = checked_pair(base, train)
    twins = TWINS_SHARE * float(np.sqrt(train.var(axis=0, dtype=np.float64).sum()))
    spacing = _to_another(closest, train, base, twins)[place]
    some = np.linspace(0, len(train) - 1, min(len(train), MOST_SPACED)).round().astype(int)
    spaced = _to_another(some, train, base, twins)
    near = np.quantile(spaced, NEAREST_SHARE) if np.isfinite(spaced).all() else 0.0
    return {
        "authenticity": float((distance > spacing).mean()),
        "nearest_ratio": None if unseen is None else float(np.median(distance)) / unseen,
        "near_copies": float((distance < near).mean()),
        "copies": None if unseen is None else float((distance <= COPY_SHARE * unseen).mean()),
        "distance": distance,
        "index": index,
        "is_mirrored": is_mirrored.astype(bool),
    }


def _to_another(rows: np.ndarray, train: np.ndarray, base: np.ndarray, twins: float) -> np.ndarray:
    """The distance of training images to the nearest other one, also a mirrored one.

    Args:
        rows: [M] of `train`.
        train: [N, d].
        base: [N, d] the same, or [2 N, d]: and the same mirrored.
        twins: images within this distance are one; also where one of them is mirrored.

    Returns:
        [M] float64; infinite where there is no other image.
    """
    found, open_, k, apart = np.full(len(rows), np.inf), np.arange(len(rows)), 2, []  # itself is at 0
    while len(open_):
        k = min(k, len(base))
        squared, index = neighbours(train[rows[open_]], base, k)
        if base is not train:  # nor is one of which the plain or the mirrored image is this one
            this, other = np.repeat(rows[open_], k), index.ravel() % len(train)
            places = (other, other + len(train))
            apart = [squared_distances(train, this, base, place).reshape(squared.shape) for place in places]
        others = np.minimum.reduce([squared, *apart]) > twins**2
        has = others.any(axis=1)
        found[open_[has]] = np.sqrt(squared[has, others[has].argmax(axis=1)])
        open_, k = (open_[~has], 4 * k) if k < len(base) else (open_[:0], k)
    return found
