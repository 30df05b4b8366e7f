"""Samples from files: loading and checks, which need no TensorFlow."""

import os

import numpy as np

from kgen.errors import UserError

MIN_SAMPLES = 50
MAX_SIZE = 1e100  # the square of a number is to be finite


def load_samples(path: str | os.PathLike, name: str) -> np.ndarray:
    """Samples from a .npy file, [N, D] float64; what has more axes is flattened, one axis is [N, 1].

    Args:
        path: of the file.
        name: of the setting, for messages, e.g. "--p".

    Raises:
        UserError: no such file, not a .npy file, pickled objects, not numbers, or what `check_samples` refuses.
    """
    if not os.path.isfile(path):
        raise UserError(f"{name} is to be a .npy file. Received: {path}, which is not a file")
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise UserError(
            f"{name} is to be a .npy file of numbers, from numpy.save. Received: {path} ({error})"
        ) from error
    return check_samples(array, name)


def check_samples(array: np.ndarray, name: str) -> np.ndarray:
    """The samples as [N, D] float64.

    Raises:
        UserError: fewer than MIN_SAMPLES rows, no columns, not real numbers, or NaN, infinity or a huge value.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise UserError(f"{name} is to hold real numbers. Received: dtype {array.dtype}")
    if array.ndim == 0 or len(array) < MIN_SAMPLES or array.size == 0:
        raise UserError(f"{name} is to hold at least {MIN_SAMPLES} samples, one per row. Received: shape {array.shape}")
    rows = array.reshape(len(array), -1).astype(np.float64)
    broken = np.flatnonzero(~(np.abs(rows) < MAX_SIZE).all(axis=1))
    if len(broken):
        raise UserError(
            f"{name} is to hold numbers below {MAX_SIZE:g} in size. Received: larger ones, NaN or infinity in "
            f"{len(broken)} of {len(rows)} rows, the first is row {broken[0]}; leave such rows out"
        )
    return rows


def check_pair(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets as [N, D] and [M, D] float64.

    Raises:
        UserError: as `check_samples`, or rows of different lengths.
    """
    p, q = check_samples(p, "p"), check_samples(q, "q")
    if p.shape[1] != q.shape[1]:
        raise UserError(
            f"p and q are to have rows of one length. Received: {p.shape[1]} numbers per row in p, {q.shape[1]} in q"
        )
    return p, q


def check_column(samples: np.ndarray) -> np.ndarray:
    """The samples as [N, 1] float64.

    Raises:
        UserError: as `check_samples`; more than one number per row; all samples equal.
    """
    samples = check_samples(samples, "p")
    if samples.shape[1] > 1:
        raise UserError(
            f"a density is estimated of samples of one number per row. Received: {samples.shape[1]} per row in p"
        )
    if np.ptp(samples) == 0.0:
        raise UserError(f"a density needs samples that differ. Received: {samples[0, 0]:g} in every row of p")
    return samples
