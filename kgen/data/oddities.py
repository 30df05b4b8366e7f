"""One pass over all pixels: which values occur, and images that are odd one by one."""

from dataclasses import dataclass

import numpy as np

from kgen.data.pool import Pool
from kgen.data.source import WHITE

EDGE = 32  # grey levels from black or white within which the edge of an image is a plain background
MOST, FEW = 0.8, 0.1  # shares of images: when most have one background, few of the other are odd


@dataclass(frozen=True)
class Odd:
    """An image that training uses, and why it is worth a look."""

    name: str
    split: str
    reason: str


@dataclass(frozen=True)
class Looks:
    """What one pass over all images shows.

    Attributes:
        histograms: [splits, C, 256] int64, how often each value occurs.
        odd: images of one colour, or of the opposite background.
    """

    histograms: np.ndarray
    odd: list[Odd]


def look_at(pool: Pool) -> Looks:
    """Histograms of all images, and those of one colour or of a background that is the opposite of the usual one."""
    channels = pool.image_shape[2]
    histograms = np.zeros((len(pool.splits), channels, WHITE + 1), np.int64)
    plain, dark, light = np.zeros((3, len(pool)), bool)
    for rows, images in pool.blocks():
        flat = images.reshape(len(images), -1, channels)
        plain[rows] = (flat == flat[:, :1]).all((1, 2))
        edge = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
        dark[rows], light[rows] = (edge <= EDGE).all((1, 2)), (edge >= WHITE - EDGE).all((1, 2))
        for place in np.unique(pool.split_of[rows]):
            some = flat[pool.split_of[rows] == place]
            for channel in range(channels):
                histograms[place, channel] += np.bincount(some[..., channel].ravel(), minlength=WHITE + 1)
    odd = [Odd(pool.name(i), pool.split(i), "one colour all over") for i in np.flatnonzero(plain)]
    for usual, other, reason in (
        (dark, light, "white edges, where most images have black ones: inverted?"),
        (light, dark, "black edges, where most images have white ones: inverted?"),
    ):
        unusual = np.flatnonzero(other & ~plain)
        if usual.mean() >= MOST and len(unusual) <= FEW * len(pool):
            odd += [Odd(pool.name(i), pool.split(i), reason) for i in unusual]
    return Looks(histograms, odd)
