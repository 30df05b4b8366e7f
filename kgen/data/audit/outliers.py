"""One pass over all pixels: which values occur, and images that are odd one by one."""

import dataclasses
from collections import Counter
from dataclasses import dataclass

import numpy as np

from kgen.config import DataConfig
from kgen.data.audit.indexed_images import IndexedImages
from kgen.data.dataset import Dataset
from kgen.data.pipeline import load
from kgen.data.sources.base import WHITE
from kgen.data.sources.folder import FolderSource
from kgen.data.sources.resolve import open_source
from kgen.errors import UserError

EDGE = 32  # grey levels from black or white within which the edge of an image is a plain background
MOST, FEW = 0.8, 0.1  # shares of images: when most have one background, few of the other are odd


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
        odd: images of one colour, or of the opposite background.
    """

    histograms: np.ndarray
    odd: list[Outlier]


def pixel_statistics(pool: IndexedImages) -> PixelStatistics:
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
    odd = [Outlier(pool.name(i), pool.split(i), "one colour all over") for i in np.flatnonzero(plain)]
    for usual, other, reason in (
        (dark, light, "white edges, where most images have black ones: inverted?"),
        (light, dark, "black edges, where most images have white ones: inverted?"),
    ):
        unusual = np.flatnonzero(other & ~plain)
        if usual.mean() >= MOST and len(unusual) <= FEW * len(pool):
            odd += [Outlier(pool.name(i), pool.split(i), reason) for i in unusual]
    return PixelStatistics(histograms, odd)


# Sizes ----------------------------------------------------------------------------------------------------------------
# The sizes that images have as stored: which ones, images that are very long or tiny, and a size to suggest.


LONG = 4.0  # aspect ratio from which on an image is odd
TINY = 8  # pixels of the shorter side, below which an image is odd
SUGGESTED = (128, 64, 32, 16)


def load_any(config: DataConfig, *, seed: int = 0) -> tuple[Dataset, tuple[str, ...]]:
    """`load`, also of images of different sizes for which no size is given; training would refuse these.

    Returns:
        The data set, and what was done.

    Raises:
        UserError: what `load` raises, but for the missing size.
    """
    try:
        return load(config, seed=seed), ()
    except UserError:
        size = None if config.image_size else _suggested_size(config)
        if size is None:
            raise
    dataset = load(dataclasses.replace(config, image_size=(size, size)), seed=seed)
    return dataset, (
        f"the images have different sizes, and training asks for one: here they were brought to {size}x{size}; "
        f"train with --image_size {size}, or another",
    )


def _suggested_size(config: DataConfig) -> int | None:
    """The largest of 128, 64, 32 and 16 that half of the images fill; None when their sizes do not differ.

    Sets of TFDS that do not record their sizes: 64.
    """
    source = open_source(config)
    source.scan({split: source.order(split) for split in source.counts})
    if source.size is not None or (isinstance(source, FolderSource) and not source.sizes):
        return None
    if not isinstance(source, FolderSource):
        return SUGGESTED[1]
    short = np.median([min(size) for size in source.sizes.elements()])
    return next((side for side in SUGGESTED if side <= short), SUGGESTED[-1])


def size_statistics(dataset: Dataset, pool: IndexedImages) -> tuple[tuple[tuple[int, int, int], ...], list[Outlier]]:
    """Stored sizes, ((height, width, images), ...), the most frequent first; and images that are very long or tiny."""
    source = dataset.source
    if source.size is not None:
        return ((*source.size, len(pool)),), []
    if not isinstance(source, FolderSource):
        return (), []
    counts, odd = Counter(), []
    for split in pool.splits:
        name, stored, rows = dataset.stored(split)
        indices = stored.indices[rows]
        for index, header in zip(indices, source.headers(name, indices), strict=True):
            counts[header.size] += 1
            short, long = sorted(header.size)
            words = f"{header.size[0]}x{header.size[1]} (height x width)"
            if long >= LONG * short:
                odd.append(Outlier(source.name_of(name, index), split, f"very long: {words}"))
            elif short < TINY:
                odd.append(Outlier(source.name_of(name, index), split, f"tiny: {words}"))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple((*size, count) for size, count in ordered), odd
