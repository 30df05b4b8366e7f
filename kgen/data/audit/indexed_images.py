"""All images of a data set, split after split, under one index: what the audit reads, a block at a time."""

from collections.abc import Iterator

import numpy as np

from kgen.data.dataset import Dataset

BLOCK_BYTES = 2**24


class IndexedImages:
    """The images of all splits before binarization, read only when they are asked for.

    Attributes:
        splits: names, in the order of the index.
        starts: [splits + 1] the index of the first image of each split, and the count of all images.
        split_of: [N] int8, the place in `splits` of every image.
        labels: [N] int32.
        image_shape: (H, W, C).
    """

    def __init__(self, dataset: Dataset):
        self.splits, self.image_shape = dataset.splits, dataset.spec.image_shape
        self._dataset = dataset
        self._parts, labels = [], []
        for split in self.splits:
            # The kept images and the rows of this split among them, where `arrays` would copy all that it selects.
            _, stored, rows = dataset.stored(split)
            images, of_split = (stored.images, stored.labels[rows]) if stored.images is not None else (None, None)
            if images is None:
                images, of_split = dataset.arrays(split)
                rows = np.arange(len(of_split))
            self._parts.append((images, rows))
            labels.append(of_split)
        sizes = list(map(len, labels))
        self.starts = np.cumsum([0, *sizes])
        self.split_of = np.repeat(np.arange(len(sizes), dtype=np.int8), sizes)
        self.labels = np.concatenate(labels).astype(np.int32)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The images at these indices, [len(indices), H, W, C] uint8."""
        taken = np.empty((len(indices), *self.image_shape), np.uint8)
        for place, (pixels, rows) in enumerate(self._parts):
            here = self.split_of[indices] == place
            taken[here] = pixels[rows[indices[here] - self.starts[place]]]
        return taken

    def blocks(self, indices: np.ndarray | None = None, values: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(indices [b], images [b, H, W, C] uint8) in blocks of at most 16 MiB.

        Args:
            indices: of the images wanted; None means all.
            values: bytes that the caller makes of each pixel.
        """
        indices = np.arange(len(self)) if indices is None else indices
        step = max(1, BLOCK_BYTES // (values * int(np.prod(self.image_shape))))
        for start in range(0, len(indices), step):
            yield indices[start : start + step], self.take(indices[start : start + step])

    def split(self, index: int) -> str:
        return self.splits[self.split_of[index]]

    def name(self, index: int) -> str:
        """The file of an image within its folder, or its place, from 0, among the images of a stored split."""
        name, stored, rows = self._dataset.stored(self.split(index))
        row = rows[index - self.starts[self.split_of[index]]]
        return self._dataset.source.name_of(name, int(stored.indices[row]))
