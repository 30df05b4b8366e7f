"""Copies among the images of a data set: the same pixels, or nearly the same picture.

"Near" is measured in units of contrast. Each channel of an image is brought to mean 0, and then all its values together
to standard deviation 1 (so that a brighter or paler copy is still a copy); the distance of two images is the root of
the mean squared difference of these values. For gray images it equals sqrt(2 (1 - r)), r their correlation: 0 for
copies, sqrt(2) for images that have nothing in common.

Measured, median (95th percentile): saved as JPEG of quality 90 and read again, MNIST 0.03 (0.04), Fashion-MNIST 0.03
(0.07), faces 0.06 (0.09), CIFAR-10 0.04 (0.06), flat emoji 0.09 (0.15); of quality 75, MNIST 0.07 (0.08), faces 0.10
(0.14), emoji 0.13 (0.19); 10 grey levels brighter, up to 0.04 (0.09); doubled in size and halved again, CIFAR-10 0.11
(0.17). Between different digits of MNIST's 70,000, all strokes of ones, the smallest distance is 0.13, and 5 pairs lie
below 0.15, 622 below 0.2. In Fashion-MNIST 91 pairs lie below 0.1, by eye the same garment; above 0.13 it is
mostly one pair of trousers and another. In CIFAR-10 25 pairs lie below 0.2, by eye all the same photograph.
Hence the thresholds 0.1 for gray images and 0.2 for colour. Shifted, mirrored and cropped copies are not found.

No pair within the threshold is missed: the means over 8 x 8 fields of the image are an orthogonal projection, whose
distances are never larger than those of the images, so that all pairs are compared by 64 numbers, and what is close
there is measured on all pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kgen.data.audit.indexed_images import IndexedImages

NEAR = 0.1  # gray images
NEAR_COLOUR = 0.2
FIELDS = 8  # a side
MIN_STDDEV = 2.0  # grey levels of standard deviation: below, an image has no content to compare
ROWS, COLUMNS = 1024, 8192  # of the block of distances that is in memory
MAX_VALUES = 4e9  # pixel values that are compared at most: about a minute
ROUNDING = 1e-5  # of the squared distance in float32


@dataclass(frozen=True)
class ExactCopies:
    """ExactCopies of images with the same pixels.

    Attributes:
        group: [N] int64, the same number for the same pixels, counted in the order of their first images.
        first: [G] int64, the first image of each group.
        counts: [G, splits] int64, images of each group in each split.
    """

    group: np.ndarray
    first: np.ndarray
    counts: np.ndarray

    def copies(self, place: int) -> int:
        """Images of a split whose pixels another, earlier image of the split has."""
        return int(np.maximum(self.counts[:, place] - 1, 0).sum())

    def shared(self, place: int, other: int) -> int:
        """Images of split `place` whose pixels stand in split `other` too."""
        return int(self.counts[self.counts[:, other] > 0, place].sum())


def find_exact_copies(images: IndexedImages) -> ExactCopies:
    """ExactCopies all images by a hash of 128 bits of their pixels."""
    import hashlib

    numbers: dict[bytes, int] = {}
    group = np.empty(len(images), np.int64)
    for indices, pixels in images.blocks():
        for index, image in zip(indices, pixels, strict=True):
            group[index] = numbers.setdefault(hashlib.blake2b(image, digest_size=16).digest(), len(numbers))
    _, first = np.unique(group, return_index=True)
    counts = np.zeros((len(first), len(images.splits)), np.int64)
    np.add.at(counts, (group, images.split_of), 1)
    return ExactCopies(group, first, counts)


@dataclass(frozen=True)
class NearPairs:
    """Pairs of groups that are near and not the same.

    Attributes:
        pairs: [P, 2] int64, groups, the closest pair first; at most `keep`.
        distances: [P] float64, of these.
        count: of all pairs found.
        touched: [G, splits] bool, whether a group has a near group in a split.
        complete: False when so many images are alike that the search was ended: then all counts are "at least".
    """

    pairs: np.ndarray
    distances: np.ndarray
    count: int
    touched: np.ndarray
    complete: bool

    def images(self, groups: ExactCopies, place: int, other: int) -> int:
        """Images of split `place` that are near one of split `other`.

        When the two differ, those that stand in the other with the same pixels are not counted.
        """
        marked = self.touched[:, other]
        if place != other:
            marked = marked & (groups.counts[:, other] == 0)
        return int(groups.counts[marked, place].sum())


def find_near_pairs(images: IndexedImages, groups: ExactCopies, threshold: float, keep: int = 200) -> NearPairs:
    """All pairs of groups whose distance is at most `threshold`.

    Images of nearly one colour (a standard deviation below 2 grey levels) have nothing to compare and are left out.

    Args:
        threshold: in units of contrast, see above.
        keep: pairs that are returned, the closest ones.
    """
    vectors, contents = _project(images, groups.first)
    there = groups.counts > 0
    touched = np.zeros_like(there)
    pairs, distances, count = np.zeros((0, 2), np.int64), np.zeros(0), 0
    room = int(MAX_VALUES // np.prod(images.image_shape))
    complete = True
    for close in _close_pairs(vectors, threshold):
        complete = len(close) <= room
        close = contents[close[:room]]
        room -= len(close)
        measured = _pair_distances(images, groups.first[close])
        near = measured <= threshold
        close, measured = close[near], measured[near]
        count += len(close)
        np.logical_or.at(touched, close[:, 0], there[close[:, 1]])
        np.logical_or.at(touched, close[:, 1], there[close[:, 0]])
        pairs, distances = np.concatenate([pairs, close]), np.concatenate([distances, measured])
        order = np.lexsort((pairs[:, 1], pairs[:, 0], distances))[:keep]
        pairs, distances = pairs[order], distances[order]
        if not complete:
            break
    return NearPairs(pairs, distances, count, touched, complete)


def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The distance of the images of two arrays, pair by pair, in units of contrast.

    Args:
        first, second: [N, H, W, C] uint8, none of one colour.

    Returns:
        [N] float64.
    """
    return np.sqrt(np.mean((_standardise(first) - _standardise(second)) ** 2, axis=1))


def _standardise(images: np.ndarray) -> np.ndarray:
    values = images.astype(np.float64)
    values -= values.mean((1, 2), keepdims=True)
    values = values.reshape(len(images), -1)
    return values / values.std(1, keepdims=True)


def _pair_distances(images: IndexedImages, pairs: np.ndarray) -> np.ndarray:
    """The distance of each pair of indices [P, 2], in blocks."""
    measured = [np.zeros(0)]
    step = max(1, 2**20 // int(np.prod(images.image_shape)))
    for start in range(0, len(pairs), step):
        some = pairs[start : start + step]
        measured.append(distance(images.take(some[:, 0]), images.take(some[:, 1])))
    return np.concatenate(measured)


def _project(images: IndexedImages, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over fields of the standardised images, scaled so that no distance grows.

    Returns:
        ([n, fields] float32, [n] int64: the places in `indices` of those that have content).
    """
    height, width, channels = images.image_shape
    rows, columns = _field_edges(height), _field_edges(width)
    size = np.outer(np.diff([*rows, height]), np.diff([*columns, width])) * channels
    scale = np.sqrt(size / (height * width * channels))
    vectors, contents, start = [np.zeros((0, size.size), np.float32)], [np.zeros(0, np.int64)], 0
    for some, pixels in images.blocks(indices, values=8):
        values = pixels.astype(np.float32)
        values -= values.mean((1, 2), keepdims=True)
        stddev = values.std((1, 2, 3))
        full = stddev >= MIN_STDDEV
        sums = np.add.reduceat(np.add.reduceat(values.sum(3), rows, axis=1), columns, axis=2)
        fields = (sums / size)[full] * scale / stddev[full, None, None]
        vectors.append(fields.reshape(len(fields), size.size).astype(np.float32))
        contents.append(np.flatnonzero(full) + start)
        start += len(some)
    return np.concatenate(vectors), np.concatenate(contents)


def _field_edges(length: int) -> np.ndarray:
    """Where up to 8 fields of nearly one length begin."""
    return np.linspace(0, length, min(FIELDS, length) + 1).astype(int)[:-1]


def _close_pairs(vectors: np.ndarray, threshold: float) -> Iterator[np.ndarray]:
    """Pairs of rows [P, 2], the first the smaller number, whose distance is at most `threshold`, block by block."""
    from tqdm import tqdm

    squared = np.sum(vectors**2, axis=1, keepdims=True)
    ones = np.ones_like(squared)
    left, right = np.hstack([-2 * vectors, squared, ones]), np.hstack([vectors, ones, squared])
    for top in tqdm(range(0, len(vectors), ROWS), desc="near duplicates", delay=2, leave=False, disable=None):
        for start in range(top, len(vectors), COLUMNS):
            # |a - b|^2 = -2 a.b + |a|^2 + |b|^2, as one product of matrices
            block = left[top : top + ROWS] @ right[start : start + COLUMNS].T
            first, second = np.divmod(np.flatnonzero(block <= threshold**2 + ROUNDING), block.shape[1])
            pairs = np.stack([first + top, second + start], axis=1)
            yield pairs[pairs[:, 0] < pairs[:, 1]]
