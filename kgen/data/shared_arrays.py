"""Arrays that NumPy and TensorFlow share: one copy of the images, whoever reads them.

TensorFlow computes on memory that starts at a multiple of 64 bytes, and aborts the process elsewhere; NumPy's arrays
start at any multiple of 16. So images are read and decoded into arrays of `aligned_empty`, and `as_tensor` makes a
tensor of such an array without a copy.
"""

import math
import zipfile

import numpy as np

READ_BYTES = 2**24
ALIGNMENT = 64
"""Bytes: the largest EIGEN_MAX_ALIGN_BYTES of a build of TensorFlow."""


def aligned_empty(shape: tuple[int, ...], dtype=np.uint8) -> np.ndarray:
    """`np.empty` whose memory TensorFlow can share."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def is_aligned(array: np.ndarray) -> bool:
    """Whether TensorFlow can share the memory of an array."""
    return array.flags.c_contiguous and array.flags.writeable and array.ctypes.data % ALIGNMENT == 0


def aligned(array: np.ndarray) -> np.ndarray:
    """The array itself where TensorFlow can share its memory, else a copy of which it can."""
    if is_aligned(array):
        return array
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def as_tensor(array: np.ndarray):
    """A tensor on the CPU of an array of numbers: of the same memory where that is aligned, else of a copy."""
    import tensorflow as tf

    if array.size and is_aligned(array):
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    with tf.device("CPU:0"):
        return tf.constant(array)


def read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array of an .npz file, read into memory that TensorFlow can share.

    Raises:
        ValueError: Python objects, or no array.
    """
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with archive.open(name) as file:
        read_header = headers.get(np.lib.format.read_magic(file))
        shape, columns_first, dtype = read_header(file) if read_header else ((), False, np.dtype(object))
        if not dtype.hasobject and dtype.itemsize:
            array = aligned_empty(shape[::-1] if columns_first else shape, dtype)
            content = array.reshape(-1).view(np.uint8)
            for start in range(0, len(content), READ_BYTES):
                part = file.read(min(READ_BYTES, len(content) - start))
                content[start : start + READ_BYTES] = np.frombuffer(part, np.uint8)  # fails where the file is too short
            return array.T if columns_first else array
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
