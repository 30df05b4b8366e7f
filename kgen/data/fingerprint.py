"""A content hash: 16 hex digits that two sets of images share only when every pixel and label is the same."""

import hashlib

import numpy as np

from kgen.data.store import Pages, rows_of

BLOCK_BYTES = 2**24
DIGITS = 16


def fingerprint(images: np.ndarray, labels: np.ndarray, rows: np.ndarray | None = None) -> str:
    """BLAKE2b (64 bits) of the shape, the pixels and the labels, in their order.

    The same on every machine, and wherever the images lie (in memory or memory-mapped; read in blocks of 16 MiB).

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
    pages = Pages(images)
    for start in range(0, shape[0], step):
        some = slice(start, start + step)
        block = np.ascontiguousarray(images[some] if rows is None else rows_of(images, rows[some]), np.uint8)
        digest.update(block)
        pages.took(block.nbytes)
    digest.update(np.ascontiguousarray(labels if rows is None else labels[rows], "<i4"))
    return digest.hexdigest()


def mixed(hexdigits: str, *settings: str) -> str:
    """A content hash that says too how the images were changed after it was taken."""
    return hashlib.blake2b(repr((hexdigits, *settings)).encode(), digest_size=DIGITS // 2).hexdigest()
