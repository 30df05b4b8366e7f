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

**Balanced classes.** A class of n images is drawn in proportion to n^(1 - balance), rounded over all epochs together
(`ClassQuotas`). Its draws go through one permutation of its images after the other, from epoch to epoch, so that no
image of a class is drawn more than once more often than another (`class_draws`); the draws of all classes are then
permuted (`BalancedOrder`). Kang et al. 2020 (https://arxiv.org/abs/1910.09217), Eq. 1 with q = 1 - balance; q = 1/2:
Mahajan et al. 2018 (https://arxiv.org/abs/1805.00932).
"""

import heapq
import itertools
from collections.abc import Sequence
from decimal import Context, Decimal

import numpy as np

from kgen import random

_DECIMALS = Context(prec=28)
"""Of the weights of classes, which are the same on every processor: software computes them, not the processor."""


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


class ClassQuotas:
    """How often each class is drawn per epoch, in proportion to n^(1 - balance): whole numbers that keep to the shares.

    The draws of epochs 0 to e - 1 are divided along a binary tree whose leaves are the classes: a node gives its first
    child that child's share of its draws, rounded to the nearest whole number, and the second child the rest. So the
    draws of all classes sum to e * total, those of a class never decrease with e, and they cost O(K) for any e. The
    tree is Huffman's: towards the root its weights grow at least as the Fibonacci numbers do, so that roundings far
    from a leaf count little. After any number of epochs the draws of each class differ from its exact share by less
    than 1.7, half the sum of the reciprocal Fibonacci numbers, and not at all where the shares of all classes are
    whole. In a single epoch a class whose share is less than 3.4 draws may therefore get none.

    Attributes:
        shares: [K] float64, the exact draws per epoch, 0 for a class without images; their sum is `total`.

    Args:
        counts: [K], the images of each class, of which one at least has some.
        total: draws per epoch.
        balance: in [0, 1]; 0: as often as its images are, 1: all classes equally often.
    """

    def __init__(self, counts: Sequence[int] | np.ndarray, total: int, balance: float):
        exponent = _DECIMALS.subtract(Decimal(1), Decimal(float(balance)))
        of_count = {n: round(_DECIMALS.scaleb(_DECIMALS.power(n, exponent), 18)) for n in set(map(int, counts)) if n}
        weights = [of_count.get(int(n), 0) for n in counts]
        whole = sum(weights)
        self.shares = np.array([total * weight / whole for weight in weights])
        self._total, self._classes = total, len(weights)
        nodes = [(weight, number) for number, weight in enumerate(weights) if weight]
        heapq.heapify(nodes)
        self._splits = []  # (weight, node), and the same of its two children; those of the root last
        while len(nodes) > 1:
            first, second = heapq.heappop(nodes), heapq.heappop(nodes)
            node = (first[0] + second[0], self._classes + len(self._splits))
            self._splits.append((node, first, second))
            heapq.heappush(nodes, node)
        self._root = nodes[0][1]

    def drawn_before(self, epoch: int) -> list[int]:
        """How often each class is drawn in epochs 0 to `epoch` - 1, which may be of any size: [K] whole numbers."""
        draws = [0] * (self._classes + len(self._splits))
        draws[self._root] = epoch * self._total
        for (whole, node), (part, first), (_, second) in reversed(self._splits):
            draws[first] = (2 * draws[node] * part + whole) // (2 * whole)
            draws[second] = draws[node] - draws[first]
        return draws[: self._classes]


def class_draws(seed: int, class_number: int, count: int, start: int, number: int) -> np.ndarray:
    """The images that draws `start` to `start` + `number` - 1 of a class show: [number] int64, from 0 to `count` - 1.

    Draw j is place j % count of permutation j // count, a function of (seed, class_number, j // count).

    Args:
        seed: of the training.
        class_number: of the class.
        count: its images.
        start: its draws before; of any size.
        number: of draws.
    """
    first, place = divmod(start, count)
    permutations = -(-(place + number) // count)
    blocks = -(-count // 4)  # Philox makes four numbers per step of its counter
    philox = np.random.Philox(key=random.seed_of(seed, "class draws", class_number), counter=first * blocks)
    keys = philox.random_raw(permutations * blocks * 4).reshape(permutations, -1)[:, :count]
    return np.argsort(keys, axis=1, kind="stable").reshape(-1)[place : place + number]


class BalancedOrder:
    """The images of each epoch, whose classes are drawn as `ClassQuotas` says.

    Args:
        labels: [N] whole numbers, the class of each image.
        total: draws per epoch.
        balance: in [0, 1]; see `ClassQuotas`.
        seed: the order of an epoch is a function of seed and epoch.
    """

    def __init__(self, labels: np.ndarray, total: int, balance: float, seed: int):
        counts = np.bincount(labels)
        self._images_of = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
        self._quotas, self._seed = ClassQuotas(counts, total, balance), seed

    def of_epoch(self, epoch: int) -> np.ndarray:
        """[total] int64, places in `labels`."""
        starts, ends = self._quotas.drawn_before(epoch), self._quotas.drawn_before(epoch + 1)
        drawn = [
            images[class_draws(self._seed, number, len(images), start, end - start)]
            for number, (images, start, end) in enumerate(zip(self._images_of, starts, ends, strict=True))
            if end > start
        ]
        return random.generator(self._seed, "balanced order", epoch).permutation(np.concatenate(drawn))
