"""Sliced Wasserstein distance: how far the two sets are apart along random lines.

Rabin et al. 2012; Bonneel et al. 2015.
"""

from dataclasses import dataclass

import numpy as np

from kgen import random
from kgen.errors import UserError
from kgen.metrics.checks import checked_pair

BLOCK = 64  # directions at a time


@dataclass(frozen=True)
class SlicedDistance:
    """The mean distance over the directions.

    Attributes:
        value: mean over the directions, in units of the features.
        standard_error: of the mean, from the scatter over the directions.
        projections: number of directions.
    """

    value: float
    standard_error: float
    projections: int


def sliced_wasserstein(
    real: np.ndarray, fake: np.ndarray, *, projections: int = 1_000, seed: int = 0
) -> SlicedDistance:
    """The mean Wasserstein-1 distance of the projections on random unit vectors.

    Biased upwards by the finite sets, by about 1 / sqrt(N): compare at equal sizes, beside the distance of real images
    from real images.

    Args:
        real: [N, d] features.
        fake: [M, d] features; M need not be N.
        projections: number of directions, at least 2; uniform on the sphere.
        seed: of the directions.

    Raises:
        UserError: fewer than 2 directions, unequal dimensions, or numbers that are not finite.
    """
    real, fake = checked_pair(real, fake)
    if projections < 2:
        raise UserError(f"sliced Wasserstein distance needs at least 2 projections. Received: {projections}")
    directions = random.generator(seed, "sliced_wasserstein").standard_normal((projections, real.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distances = np.concatenate(
        [
            wasserstein_columns(real @ directions[start : start + BLOCK].T, fake @ directions[start : start + BLOCK].T)
            for start in range(0, projections, BLOCK)
        ]
    )
    standard_error = distances.std(ddof=1) / np.sqrt(projections)
    return SlicedDistance(float(distances.mean()), float(standard_error), projections)


def wasserstein_columns(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Wasserstein-1 distance of every column: the area between the two quantile functions.

    Args:
        a: [N, P].
        b: [M, P].

    Returns:
        [P] float64.
    """
    a, b = np.sort(a, axis=0), np.sort(b, axis=0)
    # Both quantile functions are constant between neighbours among the multiples of 1/N and 1/M; in units of 1/(N M).
    steps = np.union1d(np.arange(len(a) + 1) * len(b), np.arange(len(b) + 1) * len(a))
    weights = np.diff(steps) / (len(a) * len(b))
    return weights @ np.abs(a[steps[:-1] // len(b)] - b[steps[:-1] // len(a)])
