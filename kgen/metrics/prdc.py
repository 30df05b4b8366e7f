"""Improved precision and recall, density and coverage: which images fall among the neighbours of the other set.

Precision and recall: Kynkäänniemi et al. 2019 (https://arxiv.org/abs/1904.06991). Density and coverage: Naeem et al.
2020 (https://arxiv.org/abs/2002.09797).
"""

import numpy as np

from kgen.errors import UserError
from kgen.metrics.checks import checked_pair
from kgen.metrics.distances import Frame, neighbours, squared_distances


def prdc(
    real: np.ndarray, fake: np.ndarray, *, k_precision_recall: int = 3, k_density_coverage: int = 5
) -> dict[str, float]:
    """Precision, recall, density and coverage.

    The ball of an image reaches to its k-th nearest neighbour in its own set, itself left out; what lies on the sphere
    is outside. Equal to `prdc.compute_prdc` for each k. For numbers that compare, take as many fake as real images.

    Args:
        real: [N, d] features.
        fake: [M, d] features.
        k_precision_recall: neighbours that make the balls of precision and recall.
        k_density_coverage: neighbours that make the balls of density and coverage.

    Returns:
        precision: share of the fakes that lie in a ball of a real image, in [0, 1].
        recall: share of the real images that lie in a ball of a fake, in [0, 1].
        density: mean number of real balls that a fake lies in, over k; about 1 for equal distributions, may be larger.
        coverage: share of the real images with a fake in their ball, in [0, 1]; see `expected_coverage`.

    Raises:
        UserError: unequal dimensions, numbers that are not finite, or not more images than neighbours.
    """
    real, fake = checked_pair(real, fake)
    for name, k, least in (
        ("k_precision_recall", k_precision_recall, min(len(real), len(fake))),
        ("k_density_coverage", k_density_coverage, len(real)),
    ):
        if not 1 <= k < least:
            raise UserError(f"{name} must be at least 1 and below the number of images ({least}). Received: {k}")
    frame = Frame(fake, real)
    near_real, _ = neighbours(real, real, max(k_precision_recall, k_density_coverage) + 1)
    near_fake, _ = neighbours(fake, fake, k_precision_recall + 1)
    narrow = near_real[:, k_precision_recall] * frame.unit  # squared radii; column 0 is the image itself
    wide = near_real[:, k_density_coverage] * frame.unit
    of_fakes = near_fake[:, k_precision_recall] * frame.unit
    precise, recalled = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    covered, balls = np.zeros(len(real), bool), 0
    for tile in frame.tiles(fake, real):
        inside = tile.low <= _not_below(np.maximum(narrow, wide)[tile.columns])
        inside |= tile.low <= _not_below(of_fakes[tile.rows])[:, None]
        row, column = np.nonzero(inside)
        squared = tile.low[row, column].astype(np.float64)
        high = squared + tile.slack_rows[row] + tile.slack_columns[column]
        row, column = row + tile.rows.start, column + tile.columns.start
        radii = [narrow[column], wide[column], of_fakes[row]]
        open_ = np.flatnonzero(np.any([(squared < radius) & (radius <= high) for radius in radii], axis=0))
        squared[open_] = squared_distances(fake, row[open_], real, column[open_]) * frame.unit
        precise[row[squared < radii[0]]] = True
        covered[column[squared < radii[1]]] = True
        recalled[column[squared < radii[2]]] = True
        balls += int(np.count_nonzero(squared < radii[1]))
    return {
        "precision": float(precise.mean()),
        "recall": float(recalled.mean()),
        "density": balls / (k_density_coverage * len(fake)),
        "coverage": float(covered.mean()),
    }


def expected_coverage(num_real: int, num_fake: int, k: int) -> float:
    """Mean coverage when both sets come from one distribution (Naeem et al. 2020).

    1 - (N-1)...(N-k) / ((M+N-1)...(M+N-k)): an image is not covered when the k nearest of the M + N - 1 others are all
    real. About 1 - 2^-k for N = M.
    """
    steps = np.arange(1, k + 1)
    return float(1 - np.prod((num_real - steps) / (num_fake + num_real - steps)))


def _not_below(values: np.ndarray) -> np.ndarray:
    """float32 numbers that are at least as large."""
    return np.nextafter(values.astype(np.float32), np.float32(np.inf))
