"""Outliers: images of one colour, of the opposite background, very long or tiny; and the statistics that show them.

`pixel_statistics` reads all pixels once, `size_statistics` the sizes as stored.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from kgen.data.audit.indexed_images import IndexedImages
from kgen.data.dataset import Dataset
from kgen.data.sources.base import WHITE
from kgen.data.sources.pictures import PictureSource

EDGE_LEVELS = 32  # grey levels from black or white within which the edge of an image is a plain background
MAJORITY, MINORITY = 0.8, 0.1  # when so many images have one background, so few of the opposite one are outliers
MAX_ASPECT_RATIO = 4.0
MIN_SIDE = 8  # pixels of the shorter side


@dataclass(frozen=True)
class Outlier:
    """An image that training uses, and why it is worth a look."""

    name: str
    split: str
    reason: str


@dataclass(frozen=True)
class PixelStatistics:
    """What one pass over all images shows.

    Attributes:
        histograms: [splits, C, 256] int64, how often each value occurs.
        outliers: images of one colour, or of the opposite background.
        gray: in every pixel all channels are equal.
    """

    histograms: np.ndarray
    outliers: list[Outlier]
    gray: bool


def pixel_statistics(images: IndexedImages) -> PixelStatistics:
    """Histograms of all images, and those of one colour or of a background that is the opposite of the usual one."""
    channels = images.image_shape[2]
    histograms = np.zeros((len(images.splits), channels, WHITE + 1), np.int64)
    plain, dark, light = np.zeros((3, len(images)), bool)
    gray = True
    for indices, pixels in images.blocks():
        flat = pixels.reshape(len(pixels), -1, channels)
        plain[indices] = (flat == flat[:, :1]).all((1, 2))
        gray = gray and bool((flat == flat[..., :1]).all())
        edge = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1)
        dark[indices], light[indices] = (edge <= EDGE_LEVELS).all((1, 2)), (edge >= WHITE - EDGE_LEVELS).all((1, 2))
        for place in np.unique(images.split_of[indices]):
            some = flat[images.split_of[indices] == place]
            for channel in range(channels):
                histograms[place, channel] += np.bincount(some[..., channel].ravel(), minlength=WHITE + 1)
    outliers = [Outlier(images.name(i), images.split(i), "one colour all over") for i in np.flatnonzero(plain)]
    for usual, other, reason in (
        (dark, light, "white edges, where most images have black ones: inverted?"),
        (light, dark, "black edges, where most images have white ones: inverted?"),
    ):
        unusual = np.flatnonzero(other & ~plain)
        if usual.mean() >= MAJORITY and len(unusual) <= MINORITY * len(images):
            outliers += [Outlier(images.name(i), images.split(i), reason) for i in unusual]
    return PixelStatistics(histograms, outliers, gray)


def size_statistics(dataset: Dataset, images: IndexedImages) -> tuple[tuple[tuple[int, int, int], ...], list[Outlier]]:
    """Stored sizes, ((height, width, images), ...), the most frequent first; and images that are very long or tiny."""
    source = dataset.source
    if source.size is not None:
        return ((*source.size, len(images)),), []
    if not isinstance(source, PictureSource):
        return (), []
    counts, outliers = Counter(), []
    for split in images.splits:
        name, stored, rows = dataset.stored(split)
        indices = stored.indices[rows]
        for index, header in zip(indices, source.headers(name, indices), strict=True):
            counts[header.size] += 1
            short, long = sorted(header.size)
            words = f"{header.size[0]}x{header.size[1]} (height x width)"
            if long >= MAX_ASPECT_RATIO * short:
                outliers.append(Outlier(source.name_of(name, index), split, f"very long: {words}"))
            elif short < MIN_SIDE:
                outliers.append(Outlier(source.name_of(name, index), split, f"tiny: {words}"))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple((*size, count) for size, count in ordered), outliers
