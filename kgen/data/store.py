"""Step 3 of the pipeline: decode once, and keep the images in memory, in a memory-mapped file, or not at all.

Images that are kept on disk stand in one .npy file per stored split, in a folder of the cache whose name is a hash of
everything that the pixels depend on. `RowReader` and `ResidentLimit` read and write such files without making all of
them resident.
"""

import json
import mmap
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from kgen.cache import cache_root, digest
from kgen.config import DataConfig
from kgen.data import image_cache
from kgen.data.image_cache import GIB
from kgen.data.shared_arrays import aligned, aligned_empty, as_tensor
from kgen.data.sources.arrays import ArraySource
from kgen.data.sources.base import BLOCK, Skipped, Source
from kgen.data.transforms import TRANSFORM_VERSION
from kgen.errors import UserError
from kgen.memory import free_memory, memory_limit

RESIDENT_BYTES = 2**26
"""Of a memory-mapped file that is read or written in order: so many, then its pages are released."""


@dataclass(frozen=True, eq=False)
class StoredSplit:
    """The decoded images of one split of a source.

    Attributes:
        images: [N, H, W, C] uint8 in memory or memory-mapped; None when they are decoded again in each epoch.
        labels: [N] int32; None with `images`.
        indices: [N] int64, where each image stands in its source.
    """

    images: np.ndarray | None
    labels: np.ndarray | None
    indices: np.ndarray

    @cached_property
    def tensor(self):
        """The images in memory as one tensor that all batches are gathered from; it shares their memory."""
        return as_tensor(self.images)

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Kept images [n, H, W, C]: a view of rows that follow each other in memory, otherwise a copy."""
        first = int(rows[0]) if len(rows) else 0
        if isinstance(self.images, np.memmap) or not np.array_equal(rows, np.arange(first, first + len(rows))):
            return take_rows(self.images, rows)
        return self.images[first : first + len(rows)]


def store(
    source: Source,
    chosen: Mapping[str, np.ndarray],
    transform: Callable | None,
    image_shape: tuple[int, int, int],
    config: DataConfig,
) -> tuple[dict[str, StoredSplit], str]:
    """Decodes the chosen images by the route that `config.cache` names, or the first that has room.

    Args:
        source: scanned.
        chosen: stored split -> indices, in the order in which they are kept.
        transform: step 2.
        image_shape: (H, W, C).
        config: `cache`, and what the images' shape depends on.

    Returns:
        Stored split -> what was kept of it (images that cannot be decoded are missing), and a note that says where.

    Raises:
        UserError: `cache="disk"`, and the disk has no room.
    """
    needed = sum(map(len, chosen.values())) * int(np.prod(image_shape))
    route, size, bound = config.cache, f"{needed / 2**20:.1f} MiB of decoded images", config.cache_gib * GIB
    if route == "auto":
        on_disk = "disk" if needed <= min(bound, free_bytes()) else "none"
        route = "memory" if needed <= memory_budget() else on_disk
    if route == "memory":
        kept = {}
        for split, indices in chosen.items():
            kept[split] = _decode(source, split, indices, transform, image_shape)
            source.release(split)
        return kept, f"{size} are kept in memory"
    if route == "disk":
        folder = image_cache.find(source.name, _key(source, chosen, image_shape, config))
        if not folder.is_dir():
            _write(folder, needed, source, chosen, transform, image_shape, config)
        try:
            kept = _read(folder, source, chosen)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):  # damaged since: written again
            shutil.rmtree(folder, ignore_errors=True)
            _write(folder, needed, source, chosen, transform, image_shape, config)
            kept = _read(folder, source, chosen)
        for split in chosen:
            source.release(split)
        return kept, f"{size} are kept in the mapped files of {folder}"
    kept = {split: StoredSplit(None, None, source.check(split, indices)) for split, indices in chosen.items()}
    why = f", and data.cache_gib is {config.cache_gib:g}" if config.cache == "auto" and needed > bound else ""
    return kept, f"images are decoded again in each epoch ({size} are not kept{why})"


def memory_budget() -> int:
    """Bytes of decoded images that may stay in memory: a quarter of it, and at most half of what is free."""
    return min(memory_limit() // 4, free_memory() // 2)


def free_bytes() -> int:
    """Bytes that the disk of the cache has left, less a tenth for others."""
    folder = cache_root().absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free * 9 // 10


def _decode(source, split, indices, transform, image_shape, out: np.ndarray | None = None) -> StoredSplit:
    import tensorflow as tf
    from tqdm import tqdm

    if isinstance(source, ArraySource) and transform is None and out is None:
        return _of_arrays(source, split, indices)
    out = aligned_empty((len(indices), *image_shape)) if out is None else out
    resident = ResidentLimit(out)
    if source.size is None:
        batches = transformed_records(source, split, indices, transform).batch(BLOCK)
    else:
        batches = source.blocks(split, indices)
        if transform is not None:
            batches = batches.map(lambda i, x, y: (i, transform(x), y), num_parallel_calls=tf.data.AUTOTUNE)
    labels, kept, row = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)], 0
    with tqdm(total=len(indices), desc=f"{source.name} {split}", unit="img", delay=2, leave=False, disable=None) as bar:
        try:
            for i, x, y in batches.prefetch(2).as_numpy_iterator():
                out[row : row + len(x)] = x
                resident.add(x.nbytes)
                row += len(x)
                kept.append(i)
                labels.append(y)
                bar.update(len(x))
        except tf.errors.OpError as error:
            raise source.explain(split, error) from error
    return StoredSplit(out[:row], np.concatenate(labels), np.concatenate(kept))


def _of_arrays(source: ArraySource, split: str, indices: np.ndarray) -> StoredSplit:
    """Images that are in memory already: all of them as they lie there, without a copy, or a copy of some."""
    images, labels = source.arrays(split)
    if len(indices) == len(images):
        return StoredSplit(aligned(images), labels, np.arange(len(images)))
    chosen = aligned_empty((len(indices), *images.shape[1:]))
    return StoredSplit(np.take(images, indices, axis=0, out=chosen, mode="clip"), labels[indices], indices)


def transformed_records(source: Source, split: str, indices, transform: Callable | None):
    """Steps 1 and 2 as a `tf.data.Dataset` of (index, image [H, W, C] uint8, label); `indices` may be a tensor."""
    import tensorflow as tf

    records = source.records(split, indices)
    if transform is None:
        return records
    return records.map(lambda i, x, y: (i, transform(x[None])[0], y), num_parallel_calls=tf.data.AUTOTUNE)


# Images on disk -------------------------------------------------------------------------------------------------------


def _key(source: Source, chosen, image_shape, config: DataConfig) -> str:
    """A hash of all that the decoded images depend on: the same for a copy of the data elsewhere."""
    options = [config.fit, config.grayscale, config.value_range, source.value_range]
    return digest(
        [TRANSFORM_VERSION, source.content(), image_shape, options],
        *(x for s in sorted(chosen) for x in (s, chosen[s])),
    )


def _write(folder: Path, needed: int, source: Source, chosen, transform, image_shape, config: DataConfig) -> None:
    """Decodes into `folder`.

    Raises:
        UserError: it is larger than it may be, or than the disk's free space.
    """
    size = f"{needed / 2**20:.1f} MiB of decoded images"
    if needed > config.cache_gib * GIB:
        raise UserError(
            f"cache='disk' needs {size}, and data.cache_gib is {config.cache_gib:g}; raise --cache_gib, use a smaller "
            "--image_size or a limit, or cache='none'"
        )
    image_cache.make_room(needed, config.cache_gib * GIB)
    if needed >= free_bytes():
        raise UserError(
            f"cache='disk' needs {size} in {cache_root()}, where {free_bytes() / 2**20:.1f} MiB are free; set "
            "KGEN_CACHE_DIR to a larger disk, use a smaller --image_size or a limit, or cache='none'"
        )

    def fill(aside: Path) -> None:
        before = len(source.skipped)
        for split, indices in chosen.items():
            shape = (len(indices), *image_shape)
            out = np.lib.format.open_memmap(aside / f"{split}.images.npy", "w+", np.uint8, shape)
            stored = _decode(source, split, indices, transform, image_shape, out)
            out.flush()
            np.savez(aside / f"{split}.npz", labels=stored.labels, indices=stored.indices)
        skipped = [[s.name, s.reason] for s in source.skipped[before:]]
        (aside / image_cache.MARK).write_text(json.dumps(skipped))

    image_cache.write(folder, fill)


def _read(folder: Path, source: Source, chosen) -> dict[str, StoredSplit]:
    known = set(source.skipped)
    image_cache.hold(folder)
    skipped = [Skipped(*pair) for pair in json.loads((folder / image_cache.MARK).read_text())]
    source.skipped += [s for s in skipped if s not in known]
    kept = {}
    for split in chosen:
        with np.load(folder / f"{split}.npz") as small:
            labels, indices = small["labels"], small["indices"]
        images = np.load(folder / f"{split}.images.npy", mmap_mode="r")
        if not len(labels) == len(indices) <= len(images):
            raise ValueError(f"{folder}: {len(labels)} labels, {len(indices)} indices, {len(images)} images")
        kept[split] = StoredSplit(images[: len(labels)], labels, indices)
    return kept


# Memory-mapped arrays -------------------------------------------------------------------------------------------------


class ResidentLimit:
    """Limits the resident memory of a memory-mapped array that is read or written in order.

    The kernel keeps released pages as long as nothing else wants the memory, so reading them again costs little.

    Args:
        array: memory-mapped, a view of such an array, or in memory: then nothing is done.
    """

    def __init__(self, array: np.ndarray):
        self._map = getattr(array, "_mmap", None)
        self._bytes = 0

    def add(self, count: int):
        """Counts bytes that were read or written; releases the pages when there are too many."""
        self._bytes += count
        if self._map is not None and self._bytes > RESIDENT_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._bytes = 0


class RowReader:
    """Reads rows of a memory-mapped array in any order, by `preadv` and not through the mapping.

    Through the mapping, newer kernels would load up to 2 MiB with each image: soon the whole file is resident.

    Args:
        array: [N, ...] memory-mapped, in C order.
    """

    def __init__(self, array: np.memmap):
        self._array, self._file = array, open(array.filename, "rb")  # closed with the object  # noqa: SIM115
        mapped_from = array.offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        self._start = mapped_from + array.ctypes.data - np.frombuffer(array._mmap, np.uint8).ctypes.data

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """[n, ...]: a copy of these rows."""
        if not hasattr(os, "preadv"):
            return self._array[rows]
        found = np.empty((len(rows), *self._array.shape[1:]), self._array.dtype)
        size = found[:1].nbytes
        for place, row in zip(found, rows.tolist(), strict=True):
            if os.preadv(self._file.fileno(), [place], self._start + row * size) != size:
                raise OSError(f"{self._array.filename} is shorter than it was")
        return found


def take_rows(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """images[rows], also of a memory-mapped file without making all of it resident."""
    if isinstance(images, np.memmap) and images.flags.c_contiguous and images.filename:
        return RowReader(images)(rows)
    return images[rows]
