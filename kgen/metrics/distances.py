"""Euclidean distances between two sets by tiles: screened in float32, decided in float64.

One float32 matrix product gives a lower bound of every squared distance of a tile; the error of the product is bounded
(Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1), so an upper bound is known too. What the two
bounds leave open is decided by the sum of squared differences in float64, which is the same number for the same
two vectors at any place: copies are at distance 0, and ties are ties.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kgen.errors import UserError

TILE = 2_000  # rows and columns of a tile: 16 MB
SPARE = 8  # candidates that are kept beside the k nearest while the tiles are passed
HALF_FROM = 256  # dimensions from which a product costs more than a transposed tile
CHUNK = 2**22  # numbers per temporary array of differences, 32 MB
FLOOR = 1e-30  # keeps squares that float32 cannot hold inside the bounds


@dataclass(frozen=True)
class Tile:
    """A rectangle of the matrix of squared distances, in units of the frame.

    Attributes:
        rows: of the query.
        columns: of the base.
        low: [rows, columns] float32, at most the squared distance.
        slack_rows, slack_columns: float64; low[i, j] + slack_rows[i] + slack_columns[j] is at least the
            squared distance.
    """

    rows: slice
    columns: slice
    low: np.ndarray
    slack_rows: np.ndarray
    slack_columns: np.ndarray


class Frame:
    """Where the screening of two sets takes place: the centre of the base is 0, the largest number about 1.

    Attributes:
        unit: what a squared distance is multiplied with: a power of two, so nothing is rounded.
    """

    def __init__(self, query: np.ndarray, base: np.ndarray):
        single = query.dtype == base.dtype == np.float32
        self.centre = base.mean(axis=0, dtype=np.float64).astype(np.float32 if single else np.float64)
        sets = (query,) if query is base else (query, base)
        largest = max(np.abs(part[rows] - self.centre).max() for part in sets for rows in slices(len(part)))
        self.scale = 2.0 ** -np.frexp(largest)[1]
        self.unit = self.scale**2
        # Of |x|^2 + |y|^2: twice the product's (d + 2) units in the last place, and one for the norms and roundings.
        self.error = 4 * (base.shape[1] + 8) * 2.0**-24

    def tiles(self, query: np.ndarray, base: np.ndarray, *, half: bool = False) -> Iterator[Tile]:
        """All tiles of query against base; with `half` only those on and above the diagonal."""
        for rows in slices(len(query)):
            left, left_slack = self._half_product(query[rows], left=True)
            for columns in slices(len(base)):
                if half and columns.start < rows.start:
                    continue
                right, right_slack = self._half_product(base[columns], left=False)
                yield Tile(rows, columns, left @ right.T, left_slack, right_slack)

    def _half_product(self, block: np.ndarray, *, left: bool) -> tuple[np.ndarray, np.ndarray]:
        """[-2x, (1 - error) |x|^2, 1] or [y, 1, (1 - error) |y|^2] in float32, and the slack, float64."""
        dimension = block.shape[1]
        half = np.ones((len(block), dimension + 2), np.float32)
        centred = half[:, :dimension]
        np.subtract(block, self.centre, out=centred, casting="same_kind")
        centred *= np.float32(self.scale)
        squares = np.einsum("ij,ij->i", centred, centred).astype(np.float64)
        margin = self.error * (squares + FLOOR)
        half[:, dimension + (0 if left else 1)] = squares - margin
        if left:
            centred *= np.float32(-2)
        return half, 2 * margin


def slices(count: int, size: int | None = None) -> Iterator[slice]:
    """Consecutive slices of at most `size`, None: of a tile."""
    size = size or TILE
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def squared_distances(x: np.ndarray, i: np.ndarray, y: np.ndarray, j: np.ndarray) -> np.ndarray:
    """|x[i] - y[j]|^2 of pairs, float64, from the differences: 0 for copies, and symmetric to the last bit."""
    result = np.empty(len(i))
    for part in slices(len(i), max(CHUNK // x.shape[1], 1)):
        difference = np.subtract(x[i[part]], y[j[part]], dtype=np.float64)
        result[part] = np.einsum("ij,ij->i", difference, difference)
    return result


def neighbours(query: np.ndarray, base: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of the base to every query. A query that is itself in the base is its own neighbour, at 0.

    Args:
        query: [M, d] float32 or float64; when it is the same object as the base, half the work is saved.
        base: [N, d].
        k: 1 to N.

    Returns:
        (squared distances [M, k] float64, ascending; their rows of the base [M, k]).

    Raises:
        UserError: k is not 1 to N.
    """
    if not 1 <= k <= len(base):
        raise UserError(f"k must be 1 to the number of images. Received: {k} neighbours among {len(base)}")
    frame, keep = Frame(query, base), min(k + SPARE, len(base))
    low = np.full((len(query), keep), np.inf, np.float32)
    high, index = np.full(low.shape, np.inf), np.zeros(low.shape, np.int64)

    def offer(rows: slice, columns: slice, tile: np.ndarray, slack_rows: np.ndarray, slack_columns: np.ndarray):
        """Keeps the lowest of what was kept and of a tile."""
        best = np.argpartition(tile, min(keep, tile.shape[1]) - 1, axis=1)[:, :keep]
        lowest = np.take_along_axis(tile, best, axis=1)
        known = np.concatenate([low[rows], lowest], axis=1)
        upper = np.concatenate([high[rows], lowest + slack_rows[:, None] + slack_columns[best]], axis=1)
        where = np.concatenate([index[rows], best + columns.start], axis=1)
        best = np.argpartition(known, keep - 1, axis=1)[:, :keep]
        low[rows], high[rows], index[rows] = (np.take_along_axis(all_, best, axis=1) for all_ in (known, upper, where))

    half = query is base and base.shape[1] >= HALF_FROM
    for tile in frame.tiles(query, base, half=half):
        offer(tile.rows, tile.columns, tile.low, tile.slack_rows, tile.slack_columns)
        if half and tile.rows != tile.columns:
            offer(tile.columns, tile.rows, np.ascontiguousarray(tile.low.T), tile.slack_columns, tile.slack_rows)

    reach = np.partition(high, k - 1, axis=1)[:, k - 1 : k]  # k distances are certainly not larger
    row, column = np.nonzero(low <= reach)
    squared = np.full(low.shape, np.inf)
    squared[row, column] = squared_distances(query, row, base, index[row, column])
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    squared, index = np.take_along_axis(squared, order, axis=1), np.take_along_axis(index, order, axis=1)
    if keep < len(base):
        crowded = np.flatnonzero(low.max(axis=1) <= reach[:, 0])  # one that was not kept may be as near
        for part in slices(len(crowded), TILE // 4):
            squared[crowded[part]], index[crowded[part]] = _crowded_neighbours(query, crowded[part], base, k, frame)
    return squared, index


def _crowded_neighbours(query, rows, base, k, frame):
    """`neighbours` of rows with more near ones than float32 can order: chosen by a float64 product."""
    own = np.subtract(query[rows], frame.centre, dtype=np.float64)
    estimate = np.empty((len(rows), len(base)))
    for columns in slices(len(base)):
        other = np.subtract(base[columns], frame.centre, dtype=np.float64)
        estimate[:, columns] = np.einsum("ij,ij->i", other, other) - 2 * own @ other.T
    if query is base:
        estimate[np.arange(len(rows)), rows] = -np.inf
    index = np.argpartition(estimate, k - 1, axis=1)[:, :k]
    squared = squared_distances(query, np.repeat(rows, k), base, index.ravel()).reshape(index.shape)
    order = np.argsort(squared, axis=1, kind="stable")
    return np.take_along_axis(squared, order, axis=1), np.take_along_axis(index, order, axis=1)
