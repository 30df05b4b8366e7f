"""Fréchet distance between the normal distributions of two sets of features (FID), and its value for infinite sets.

Heusel et al. 2017 (https://arxiv.org/abs/1706.08500); Chong & Forsyth 2020 (https://arxiv.org/abs/1911.07023).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kgen import random
from kgen.blas import ONE_THREAD
from kgen.errors import UserError
from kgen.metrics.checks import checked_features

BLOCK = 2_000  # images whose features are float64 at a time
EPSILON = np.finfo(np.float64).eps
FEW_DIMENSIONS = 512  # the import of SciPy's routines takes longer than they save
NEGLIGIBLE = 1e-11  # of the traces: what rounding may do to the quicker ways


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of a set of features.

    Attributes:
        mean: [d] float64.
        covariance: [d, d] float64, divided by N - 1.
        count: N.
    """

    mean: np.ndarray
    covariance: np.ndarray
    count: int

    @cached_property
    def root(self) -> np.ndarray:
        """[d, rank] with root @ root.T = covariance: a Cholesky factor, pivoted, of the correlations.

        Directions without variance are left out and not made small: the square root of a rounding error is 1e-8.
        """
        from scipy.linalg.lapack import dpstrf

        stddev = np.sqrt(np.diag(self.covariance))
        scale = np.where(stddev > 0, stddev, 1.0)
        correlation = self.covariance / scale[:, None] / scale
        lower, pivots, rank, _ = dpstrf(correlation, lower=1, tol=16 * len(scale) * EPSILON, overwrite_a=1)
        root = np.empty((len(scale), rank))
        root[pivots - 1] = np.tril(lower)[:, :rank]
        return root * scale[:, None]


@dataclass(frozen=True)
class Extrapolated:
    """A metric of ever larger sets, as a line over 1 / N.

    Attributes:
        value: where the line meets 1 / N = 0.
        standard_error: of the value, from the scatter about the line; a low estimate, because the subsets share images.
        slope: the bias of N images is about slope / N.
        sizes: numbers of images.
        values: the metric at each size.
    """

    value: float
    standard_error: float
    slope: float
    sizes: tuple[int, ...]
    values: tuple[float, ...]


@ONE_THREAD  # two are a third faster and take half as much CPU time again
def moments(features: np.ndarray) -> Moments:
    """Mean and covariance in float64, block by block.

    Args:
        features: [N, d], N of at least 2.

    Raises:
        UserError: not [N, d], fewer than 2 images, or numbers that are not finite.
    """
    features = checked_features("features", features)
    mean = features.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((len(mean), len(mean)))
    for start in range(0, len(features), BLOCK):
        centred = features[start : start + BLOCK] - mean
        covariance += centred.T @ centred
    return Moments(mean, covariance / (len(features) - 1), len(features))


@ONE_THREAD
def frechet_distance(a: Moments, b: Moments) -> float:
    """|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), not negative but for rounding.

    With S2 = L L^T the last trace is the sum of the square roots of the eigenvalues of L^T S1 L. Rounding moves these
    by 1e-16 of the largest, and the square root of a rounding error is 1e-8: where that would show (fewer images than
    dimensions, constant features), the singular values of R1^T R2 are summed, S = R R^T with R of full rank. Nothing
    is added to the diagonals.

    Args:
        a, b: moments of features of one extractor.

    Raises:
        UserError: the two have not as many dimensions.
    """
    if a.mean.shape != b.mean.shape:
        raise UserError(
            "moments of features of two extractors do not compare. "
            f"Received: {len(a.mean)} and {len(b.mean)} dimensions"
        )
    shift = a.mean - b.mean
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return float(shift @ shift + traces - 2 * _trace_of_root(a, b, NEGLIGIBLE * traces))


def fid_infinity(
    fake: np.ndarray, real: Moments, *, seed: int = 0, sizes: int = 15, smallest: int | None = None
) -> Extrapolated:
    """The Fréchet distance that infinitely many samples would have: its bias is about c / N, with c of the model.

    Random subsets of `sizes` sizes, evenly spaced from the smallest to all samples; a straight line over 1 / N by least
    squares; its intercept (Chong & Forsyth 2020). The share of the bias that comes from the real images stays.

    Args:
        fake: [N, d] features.
        real: moments of real features.
        seed: of the subsets.
        sizes: number of subsets, at least 3.
        smallest: images of the smallest subset, above d; by default a tenth of the samples, and 2.5 d at least:
            nearer to d the bias is no straight line.

    Raises:
        UserError: N is not above `smallest`, or `smallest` not above d.
    """
    fake = checked_features("fake", fake)
    count, dimension = fake.shape
    smallest = max(count // 10, int(2.5 * dimension) + 1) if smallest is None else smallest
    if sizes < 3:
        raise UserError(f"fid_infinity: sizes must be at least 3 to show how well a line fits. Received: {sizes}")
    if not dimension < smallest <= count - sizes:
        raise UserError(
            f"fid_infinity needs subsets of more images than the {dimension} dimensions of the features, and more "
            f"samples than that. Received: {count} samples, smallest subset {smallest}; generate more, or use "
            "features of fewer dimensions"
        )
    numbers = np.linspace(smallest, count, sizes).astype(int)
    values = []
    for number in numbers:
        chosen = random.generator(seed, "fid_infinity", int(number)).permutation(count)[:number]
        values.append(frechet_distance(moments(fake[chosen]), real))
    inverse = 1.0 / numbers
    design = np.stack([np.ones(sizes), inverse], axis=1)
    (intercept, slope), *_ = np.linalg.lstsq(design, np.array(values), rcond=None)
    variance = np.sum((values - design @ [intercept, slope]) ** 2) / (sizes - 2)
    return Extrapolated(
        value=float(intercept),
        standard_error=float(np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])),
        slope=float(slope),
        sizes=tuple(int(number) for number in numbers),
        values=tuple(values),
    )


def _trace_of_root(a: Moments, b: Moments, tolerance: float) -> float:
    """tr (S1 S2)^(1/2) within about the tolerance, which is in the same units: the quickest way that holds it."""
    similar = _similar(a.covariance, b.covariance)
    if similar is not None:
        total, error = _sum_of_roots(similar)
        if error <= tolerance:
            return total
    product = a.root.T @ b.root
    if not product.size:
        return 0.0
    product = product if product.shape[0] <= product.shape[1] else product.T
    total, error = _sum_of_roots(product @ product.T)
    return total if error <= tolerance else float(np.linalg.svd(product, compute_uv=False).sum())


def _similar(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """The lower triangle of L^T a L, which has the eigenvalues of a b, with b = L L^T; None where b has no such L."""
    if len(a) <= FEW_DIMENSIONS:
        try:
            lower = np.linalg.cholesky(b)
        except np.linalg.LinAlgError:
            return None
        return lower.T @ a @ lower
    from scipy.linalg.lapack import dpotrf, dsygst

    lower, failed = dpotrf(b, lower=1)
    return None if failed else dsygst(a, lower, itype=2, lower=1)[0]


def _sum_of_roots(matrix: np.ndarray) -> tuple[float, float]:
    """Sum of the square roots of the eigenvalues of the lower triangle, and what rounding may have added to it."""
    eigenvalues = np.maximum(np.linalg.eigvalsh(matrix), 0.0)
    total = np.sqrt(eigenvalues).sum()
    return float(total), float(np.sqrt(eigenvalues + 4 * EPSILON * eigenvalues[-1]).sum() - total)
