"""All images of a data set under one numbering, split after split, read a block at a time."""

from collections.abc import Iterator

import numpy as np

from kgen.data.dataset import Dataset

BLOCK_BYTES = 2**24


class Pool:
    """The images that training sees before binarization; nothing is copied before it is asked for.

    Attributes:
        splits: names, in the order of the numbering.
        starts: [splits + 1] the number of the first image of each split, and the count of all images.
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

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """The images of these numbers, [len(numbers), H, W, C] uint8."""
        taken = np.empty((len(numbers), *self.image_shape), np.uint8)
        for place, (images, rows) in enumerate(self._parts):
            here = self.split_of[numbers] == place
            taken[here] = images[rows[numbers[here] - self.starts[place]]]
        return taken

    def blocks(self, numbers: np.ndarray | None = None, values: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(numbers [b], images [b, H, W, C] uint8), blocks of at most 16 MiB over all images, or over `numbers`.

        Args:
            numbers: of the images wanted; None means all.
            values: bytes that the caller makes of each pixel.
        """
        numbers = np.arange(len(self)) if numbers is None else numbers
        step = max(1, BLOCK_BYTES // (values * int(np.prod(self.image_shape))))
        for start in range(0, len(numbers), step):
            yield numbers[start : start + step], self.take(numbers[start : start + step])

    def split(self, number: int) -> str:
        return self.splits[self.split_of[number]]

    def name(self, number: int) -> str:
        """The file of an image within its folder, or its place, from 0, among the images of a stored split."""
        name, stored, rows = self._dataset.stored(self.split(number))
        row = rows[number - self.starts[self.split_of[number]]]
        return self._dataset.source.name_of(name, int(stored.indices[row]))
