"""Kernel distance (KID): the squared maximum mean discrepancy under a cubic kernel.

Bińkowski et al. 2018 (https://arxiv.org/abs/1801.01401).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kgen import random
from kgen.blas import threads_for
from kgen.errors import UserError
from kgen.metrics.checks import checked_pair

BLOCK = 1_000


@dataclass(frozen=True)
class KernelDistance:
    """The mean distance over the subsets.

    Attributes:
        value: mean over the subsets; unbiased, so it may be negative.
        standard_error: standard deviation over the subsets / sqrt(their number); a low estimate when the
            subsets share images.
        subset_size: images per subset of each set.
    """

    value: float
    standard_error: float
    subset_size: int


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, *, subsets: int = 100, subset_size: int = 1_000, seed: int = 0
) -> KernelDistance:
    """The mean of the unbiased distance over random subsets, k(a, b) = (a.b / d + 1)^3.

    The subsets are sampled by position, each without replacement: the same seed and order give the same value.

    Args:
        real: [N, d] features.
        fake: [M, d] features.
        subsets: number of subsets, at least 2.
        subset_size: images per subset; lowered to the smaller set.
        seed: of the subsets.

    Raises:
        UserError: fewer than 2 images in a set or a subset, fewer than 2 subsets, unequal dimensions, or numbers
            that are not finite.
    """
    real, fake = checked_pair(real, fake)
    if subsets < 2 or subset_size < 2:
        raise UserError(
            "kernel distance needs at least 2 subsets of 2 images. "
            f"Received: subsets={subsets}, subset_size={subset_size}"
        )
    size = min(subset_size, len(real), len(fake))
    generator = random.generator(seed, "kernel_distance")
    values = []
    with threads_for(size * size * real.shape[1]):
        for _ in range(subsets):
            own, other = (part[generator.choice(len(part), size, replace=False)] for part in (real, fake))
            values.append(kernel_distance_all_pairs(own, other))
    return KernelDistance(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(subsets)), size)


def kernel_distance_all_pairs(real: np.ndarray, fake: np.ndarray) -> float:
    """The unbiased distance over all pairs, an image with itself left out.

    Args:
        real: [N, d] features.
        fake: [M, d] features.

    Raises:
        UserError: fewer than 2 images in a set, unequal dimensions, or numbers that are not finite.
    """
    real, fake = checked_pair(real, fake)
    within = sum(_sum_of_pairs(part) / (len(part) * (len(part) - 1)) for part in (real, fake))
    between = sum(_sum_of_kernels(a, b) for a in _blocks(real) for b in _blocks(fake)) / (len(real) * len(fake))
    return float(within - 2 * between)


def _blocks(features: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of rows in float64, [a / sqrt(d), 1], so that a product of two rows is a.b / d + 1."""
    count, dimension = features.shape
    for start in range(0, count, BLOCK):
        block = np.ones((min(BLOCK, count - start), dimension + 1))
        np.divide(features[start : start + BLOCK], np.sqrt(dimension), out=block[:, :-1])
        yield block


def _sum_of_kernels(a: np.ndarray, b: np.ndarray) -> float:
    base = (a @ b.T).reshape(-1)
    return float((base * base) @ base)


def _sum_of_pairs(features: np.ndarray) -> float:
    """Sum of the kernel over ordered pairs of two different rows; a block above the diagonal counts twice."""
    total = 0.0
    for i, a in enumerate(_blocks(features)):
        total += _sum_of_kernels(a, a) - np.sum(np.einsum("ij,ij->i", a, a) ** 3)
        total += 2 * sum(_sum_of_kernels(a, b) for j, b in enumerate(_blocks(features)) if j > i)
    return total
