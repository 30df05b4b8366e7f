"""Dataset: a loaded data set, and its batches. Steps 4 (order) and 5 (normalise) of the pipeline are in `feed`."""

from collections.abc import Callable, Mapping

import numpy as np

from kgen import rng
from kgen.data.feed import Feed
from kgen.data.fingerprint import fingerprint, mixed
from kgen.data.source import Skipped, Source
from kgen.data.store import Stored, rows_of
from kgen.errors import UserError
from kgen.spec import DataSpec


class Dataset:
    """Images of one shape, split and decoded; `kgen.data.load` makes one.

    Attributes:
        spec: DataSpec: name, image_shape, classes and images a split.
        notes: sentences for the log: which splits were made, where decoded images are kept, what was left out.
        skipped: the images that were left out, with the reason.
        source: where the images come from.
        binarize: "none", "threshold" or "sample"; see DataConfig.
        binary: every pixel is exactly 0 or 1, by `binarize` or in the data themselves.
    """

    def __init__(
        self,
        spec: DataSpec,
        source: Source,
        stored: Mapping[str, Stored],
        rows: Mapping[str, tuple[str, np.ndarray]],
        *,
        shaper: Callable | None = None,
        binarize: str = "none",
        binary: bool = False,
        notes: tuple[str, ...] = (),
        skipped: tuple[Skipped, ...] = (),
    ):
        self.spec = spec
        self.notes = tuple(notes)
        self.skipped = tuple(skipped)
        self.binary = binary
        self.source, self._stored, self._rows = source, dict(stored), dict(rows)
        self._shaper, self.binarize = shaper, binarize

    @property
    def kept(self) -> bool:
        """Whether decoded images are kept, in memory or on disk, so that `arrays` and `fingerprint` are quick."""
        return all(stored.images is not None for stored in self._stored.values())

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, "train" first."""
        return tuple(self._rows)

    def batches(
        self,
        split: str = "train",
        *,
        batch_size: int = 128,
        seed: int = 0,
        training: bool | None = None,
        start_epoch: int = 0,
        start_step: int = 0,
        repeat: bool = False,
        limit: int | None = None,
    ):
        """A `tf.data.Dataset` of (images [B, H, W, C] float32 in [0, 1], labels [B] int32; zeros when unlabelled).

        Training batches come in an order that is a function of (seed, epoch) alone, and are all of `batch_size` (of all
        images when there are fewer). Otherwise the order is fixed and the short last batch is kept.

        Args:
            split: "train", "validation" or "test".
            batch_size: images a batch, over all replicas.
            seed: of the order, of sampled binarization and of `limit`.
            training: None means split == "train".
            start_epoch, start_step: with `repeat`, the epoch and the batch of it that come first (exact resume).
            repeat: without end, over epochs start_epoch, start_epoch + 1, ...; else one epoch a pass, and every pass of
                training batches has a new order.
            limit: at most so many images, a seeded choice.

        Raises:
            UserError: no such split, or a number that is not positive.
        """
        stored, rows = self._rows_of(split)
        if batch_size < 1 or (limit is not None and limit < 1) or min(start_epoch, start_step) < 0:
            raise UserError(
                "batch_size and limit must be at least 1, start_epoch and start_step at least 0. Received: "
                f"batch_size={batch_size}, limit={limit}, start_epoch={start_epoch}, start_step={start_step}"
            )
        if limit is not None and limit < len(rows):
            rows = rows[np.sort(rng.generator(seed, "limit", split).choice(len(rows), limit, replace=False))]
        feed = Feed(
            self.spec.image_shape, self.source, stored, self._stored[stored], rows, self._shaper, self.binarize, seed
        )
        if split == "train" if training is None else training:
            return feed.training(batch_size, start_epoch, repeat, start_step)
        return feed.evaluation(batch_size, repeat)

    def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """The decoded images of a split before binarization, in the order of its evaluation batches.

        Returns:
            ([N, H, W, C] uint8, [N] int32): the kept array itself where the split is stored whole (memory-mapped if it
            is kept on disk), otherwise a copy in memory.
        """
        name, rows = self._rows_of(split)
        stored = self._stored[name]
        if stored.images is None:
            feed = Feed(self.spec.image_shape, self.source, name, stored, rows, self._shaper, "none", 0)
            return feed.decoded()
        if len(rows) == len(stored.labels) and np.array_equal(rows, np.arange(len(rows))):
            return stored.images, stored.labels
        return rows_of(stored.images, rows), stored.labels[rows]

    def fingerprint(self, split: str) -> str:
        """The content hash of a split, 16 hex digits: of `arrays(split)`, and of `binarize` unless that is "none"."""
        name, rows = self._rows_of(split)
        stored = self._stored[name]
        if stored.images is None:
            content = fingerprint(*self.arrays(split))
        else:
            content = fingerprint(stored.images, stored.labels, rows)
        return content if self.binarize == "none" else mixed(content, self.binarize)

    def stored(self, split: str) -> tuple[str, Stored, np.ndarray]:
        """Where the images of a split are: the stored split's name, what was kept of it, the rows [N] of this split."""
        name, rows = self._rows_of(split)
        return name, self._stored[name], rows

    def _rows_of(self, split: str) -> tuple[str, np.ndarray]:
        if split not in self._rows:
            raise UserError(f"data set {self.spec.name!r} has no split {split!r}; it has {', '.join(self._rows)}")
        return self._rows[split]
