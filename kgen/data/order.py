"""The order of an epoch over images that are quick to read only near each other: a function of random numbers alone.

Parts of the files (groups of rows, runs of records) are permuted, a number of them that follow each other then are a
window, and the images of a window are permuted among themselves. So an epoch reads every part once, keeps a window in
memory, and any position in it is found without reading what comes before.
"""

import numpy as np


def windowed_permutation(parts: np.ndarray, window: int, generator: np.random.Generator) -> np.ndarray:
    """A permutation [N], int32 where that suffices, of 0 to N - 1 in which the members of a part stand in one window.

    Args:
        parts: [N] whole numbers, the part of each place; members of a part follow each other.
        window: how many parts are permuted among themselves.
        generator: its random numbers decide.
    """
    if not len(parts):
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(parts)) + 1])
    lengths = np.diff(np.append(starts, len(parts)))
    permuted = generator.permutation(len(starts))
    ends = np.cumsum(lengths[permuted])
    small = np.int32 if len(parts) < 2**31 else np.int64  # of many millions: each array counts
    order = np.repeat((starts[permuted] - (ends - lengths[permuted])).astype(small), lengths[permuted])
    order += np.arange(len(parts), dtype=small)
    for first in range(0, len(starts), window):
        last = min(first + window, len(starts)) - 1
        generator.shuffle(order[ends[first] - lengths[permuted[first]] : ends[last]])
    return order
