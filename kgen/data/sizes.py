"""The sizes that images have as stored: which ones, images that are very long or tiny, and a size to suggest."""

import dataclasses
from collections import Counter

import numpy as np

from kgen.config import DataConfig
from kgen.data.dataset import Dataset
from kgen.data.folder import FolderSource
from kgen.data.oddities import Odd
from kgen.data.pipeline import load
from kgen.data.pool import Pool
from kgen.data.resolve import open_source
from kgen.errors import UserError

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


def look_at_sizes(dataset: Dataset, pool: Pool) -> tuple[tuple[tuple[int, int, int], ...], list[Odd]]:
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
                odd.append(Odd(source.name_of(name, index), split, f"very long: {words}"))
            elif short < TINY:
                odd.append(Odd(source.name_of(name, index), split, f"tiny: {words}"))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple((*size, count) for size, count in ordered), odd
