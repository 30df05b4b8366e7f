"""The order of an epoch: of images that are quick to read only near each other, and of classes that are balanced.

**By parts.** Parts of the files (groups of rows, runs of records) are permuted, a number of them that follow each other
then are a window, and the images of a window are permuted among themselves. So an epoch reads every part once, keeps a
window in memory, and any position in it is found without reading what comes before.

So that one of several workers reads only its share of the parts, the permuted images are cut into streams of one
length, each of which gives every batch the images of the same places: with 4 streams, images 0 to 15 of every batch of
64 come from the first quarter of the permuted parts. A worker that takes some places of every batch reads the parts of
their streams. How many streams there are depends on the batch size and the window, not on the workers, and so does the
order: neither changes with the number of workers. The streams share the window: each mixes its share of the parts.
Where one window holds all parts, they stay in memory once they are read, and there is one stream.

**Balanced classes.** A class of n images is drawn in proportion to n^(1 - balance), as many times in each epoch
(`class_quotas`). Its draws go through one permutation of its images after the other, from epoch to epoch, so that no
image of a class is drawn more than once more often than another (`class_draws`); the draws of all classes are then
permuted (`balanced_order`). Kang et al. 2020 (https://arxiv.org/abs/1910.09217), Eq. 1 with q = 1 - balance; q = 1/2:
Mahajan et al. 2018 (https://arxiv.org/abs/1805.00932).
"""

import itertools

import numpy as np

from kgen import random


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


# Balanced classes -----------------------------------------------------------------------------------------------------


def class_quotas(counts: np.ndarray, total: int, balance: float) -> np.ndarray:
    """How often each class is drawn per epoch: [K] int64, whose sum is `total`.

    In proportion to n^(1 - balance), rounded by the largest remainders, of equal ones the first. A class with images is
    drawn at least once where `total` suffices for all of them; the others then share what is left.

    Args:
        counts: [K], the images of each class, of which one at least has some.
        total: draws per epoch.
        balance: in [0, 1]; 0: as often as its images are, 1: all classes equally often.
    """
    counts = np.asarray(counts, np.float64)
    has_images = counts > 0
    weights = np.where(has_images, np.where(has_images, counts, 1.0) ** (1 - balance), 0.0)
    once = np.zeros(len(counts), bool)  # classes whose share is less than one draw, and which get one
    while True:
        shared = np.where(once, 0.0, weights)
        share = (total - once.sum()) * shared / shared.sum()
        few = has_images & ~once & (share < 1 - 1e-9)
        if total < has_images.sum() or not few.any():
            break
        once |= few
    quotas = np.where(once, 1, np.floor(share)).astype(np.int64)
    remainders = np.round(np.where(once | ~has_images, -1.0, share - np.floor(share)), 9)  # as on every processor
    quotas[np.argsort(-remainders, kind="stable")[: total - quotas.sum()]] += 1
    return quotas


def class_draws(seed: int, class_number: int, count: int, quota: int, epoch: int) -> np.ndarray:
    """The images of a class that an epoch draws: [quota] int64, numbers from 0 to `count` - 1.

    Draw j of all epochs is place j % count of permutation j // count, a function of (seed, class_number, j // count).

    Args:
        seed: of the training.
        class_number: of the class.
        count: its images.
        quota: its draws per epoch.
        epoch: from 0; of any size.
    """
    first, place = divmod(epoch * quota, count)
    permutations = -(-(place + quota) // count)
    blocks = -(-count // 4)  # Philox makes four numbers per step of its counter
    philox = np.random.Philox(key=random.seed_of(seed, "class draws", class_number), counter=first * blocks)
    keys = philox.random_raw(permutations * blocks * 4).reshape(permutations, -1)[:, :count]
    return np.argsort(keys, axis=1, kind="stable").reshape(-1)[place : place + quota]


def balanced_order(labels: np.ndarray, total: int, balance: float, seed: int, epoch: int) -> np.ndarray:
    """The images of an epoch, whose classes are drawn as `class_quotas` says: [total] int64, places in `labels`.

    Args:
        labels: [N] whole numbers, the class of each image.
        total: draws per epoch.
        balance: in [0, 1]; see `class_quotas`.
        seed, epoch: the order is a function of both.
    """
    counts = np.bincount(labels)
    by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    quotas = class_quotas(counts, total, balance)
    drawn = [
        by_class[number][class_draws(seed, number, int(counts[number]), int(quotas[number]), epoch)]
        for number in np.flatnonzero(quotas)
    ]
    return random.generator(seed, "balanced order", epoch).permutation(np.concatenate(drawn))
