"""A content hash: 16 hex digits that two sets of images share only when every pixel and label is the same."""

import hashlib

import numpy as np

from kgen.data.store import ResidentLimit, take_rows

BLOCK_BYTES = 2**24
DIGITS = 16


def fingerprint(images: np.ndarray, labels: np.ndarray, rows: np.ndarray | None = None) -> str:
    """BLAKE2b (64 bits) of the shape, the pixels and the labels, in their order.

    The same on every machine, whether the images are in memory or memory-mapped; they are read in blocks of 16 MiB.

    Args:
        images: [N, H, W, C] uint8.
        labels: [N] whole numbers.
        rows: [n], which of them, in this order; None means all. The same as of `images[rows]`, without the copy.

    Returns:
        16 hex digits.
    """
    shape = (len(images) if rows is None else len(rows), *map(int, images.shape[1:]))
    digest = hashlib.blake2b(repr(shape).encode(), digest_size=DIGITS // 2)
    step = max(1, BLOCK_BYTES // max(1, int(np.prod(shape[1:]))))
    resident = ResidentLimit(images)
    for start in range(0, shape[0], step):
        some = slice(start, start + step)
        block = np.ascontiguousarray(images[some] if rows is None else take_rows(images, rows[some]), np.uint8)
        digest.update(block)
        resident.add(block.nbytes)
    digest.update(np.ascontiguousarray(labels if rows is None else labels[rows], "<i4"))
    return digest.hexdigest()


def extended_fingerprint(hexdigits: str, *settings: str) -> str:
    """A content hash of a content hash and of settings that change the images after it was taken."""
    return hashlib.blake2b(repr((hexdigits, *settings)).encode(), digest_size=DIGITS // 2).hexdigest()
