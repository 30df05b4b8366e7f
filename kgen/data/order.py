"""The order of an epoch over images that are quick to read only near each other: a function of random numbers alone.

Parts of the files (groups of rows, runs of records) are permuted, a number of them that follow each other then are a
window, and the images of a window are permuted among themselves. So an epoch reads every part once, keeps a window in
memory, and any position in it is found without reading what comes before.

So that one of several workers reads only its share of the parts, the permuted images are cut into streams of one
length, each of which gives every batch the images of the same places: with 4 streams, images 0 to 15 of every batch of
64 come from the first quarter of the permuted parts. A worker that takes some places of every batch reads the parts of
their streams. How many streams there are depends on the batch size and the window, not on the workers, and so does the
order: neither changes with the number of workers. The streams share the window: each mixes its share of the parts.
Where one window holds all parts, they stay in memory once they are read, and there is one stream.
"""

import itertools

import numpy as np


def windowed_permutation(
    parts: np.ndarray, window: int, generator: np.random.Generator, batch_size: int = 1
) -> np.ndarray:
    """A permutation [N], int32 where that suffices, of 0 to N - 1 in which the members of a part stand in one window.

    Args:
        parts: [N] whole numbers, the part of each place; members of a part follow each other.
        window: how many parts are permuted among themselves.
        generator: its random numbers decide.
        batch_size: images of a batch, which the streams divide; the last ones of N, too few for a batch, come last.
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
    begins, streams = ends - lengths[permuted], stream_count(len(starts), window, batch_size)
    cuts = _cuts(len(parts), streams, batch_size)
    for part in np.unique(np.searchsorted(ends, cuts[1:-1], side="right")):  # which of a part are cut off is random
        generator.shuffle(order[begins[part] : ends[part]])
    for cut, next_cut in itertools.pairwise(cuts):
        first, last = np.searchsorted(ends, (cut, next_cut - 1), side="right")
        for number in range(first, last + 1, window // streams):
            until = ends[min(number + window // streams - 1, last)]
            generator.shuffle(order[max(cut, begins[number]) : min(next_cut, until)])
    return interleaved(order, streams, batch_size)


def stream_count(parts: int, window: int, batch_size: int) -> int:
    """The number of streams: the largest that the batch size is a multiple of and the window has a part for each."""
    if parts <= window:
        return 1
    return next(number for number in range(min(window, batch_size), 0, -1) if batch_size % number == 0)


def interleaved(rows: np.ndarray, streams: int, batch_size: int) -> np.ndarray:
    """Rows [N] in the order of batches to which each stream gives its places; those of no whole batch stay last."""
    if streams == 1:
        return rows
    steps = len(rows) // batch_size
    whole = rows[: steps * batch_size].reshape(streams, steps, batch_size // streams)
    return np.concatenate([whole.swapaxes(0, 1).reshape(-1), rows[steps * batch_size :]])


def _cuts(count: int, streams: int, batch_size: int) -> list[int]:
    """The first row of each stream, and the end of the last one; what makes no whole batch is cut off, too."""
    if streams == 1:
        return [0, count]
    length = count // batch_size * (batch_size // streams)
    cuts = [length * stream for stream in range(streams + 1)]
    return cuts if cuts[-1] == count else [*cuts, count]
