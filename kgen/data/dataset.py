"""Dataset: a loaded data set, and its batches. Steps 4 (order) and 5 (normalise) of the pipeline are in `feed`."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from kgen import images, random
from kgen.config import DataConfig
from kgen.data.fingerprint import fingerprint, mixed
from kgen.data.sources.base import Skipped, Source
from kgen.data.store import Rows, Stored, rows_of, shaped_records
from kgen.data.transforms import binarize_sample, binarize_sample_once, binarize_threshold
from kgen.errors import UserError
from kgen.spec import DataSpec


class Dataset:
    """Images of one shape, split and decoded; `kgen.data.load` makes one.

    Attributes:
        spec: DataSpec: name, image_shape, classes and images per split.
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
            batch_size: images per batch, over all replicas.
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
            rows = rows[np.sort(random.generator(seed, "limit", split).choice(len(rows), limit, replace=False))]
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


# Feed -----------------------------------------------------------------------------------------------------------------
# Steps 4 and 5 of the pipeline: the order of the images, batches, [0, 1] and binarization.


SHUFFLE_BUFFER_BYTES = 2**29
SHUFFLE_BUFFER_IMAGES = 16_384
PREFETCHED_BATCHES = 8


class Feed:
    """The batches of one split.

    Args:
        image_shape: (H, W, C).
        source: read again when the images are not kept.
        split: of the source.
        stored: its kept images.
        rows: [N] int64, the images of this split among the stored ones, in evaluation order.
        shaper: step 2, for images that are not kept.
        binarize: "none", "threshold" or "sample".
        seed: of order and binarization.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        source: Source,
        split: str,
        stored: Stored,
        rows: np.ndarray,
        shaper: Callable | None,
        binarize: str,
        seed: int,
    ):
        self.image_shape, self.source, self.split, self.stored = image_shape, source, split, stored
        self.rows, self.shaper, self.binarize, self.seed = rows, shaper, binarize, seed

    def training(self, batch_size: int, start_epoch: int, repeat: bool, start_step: int = 0):
        """Batches of exactly `batch_size` in the order of (seed, epoch); see `Dataset.batches`."""
        import tensorflow as tf

        size = min(batch_size, len(self.rows))
        steps = len(self.rows) // size
        fetch = self._fetcher(size)
        rows = self._constant(self.rows)

        def epoch_batches(epoch):
            # 4. order: a permutation that is a function of (seed, epoch)
            key = tf.stack([tf.constant(random.seed_of(self.seed, "order"), tf.int64), epoch])
            order = tf.random.experimental.stateless_shuffle(rows, seed=key)
            if fetch is None:
                batches = self._streamed(order, key).batch(size, drop_remainder=True).take(steps)
            else:
                batches = tf.data.Dataset.from_tensor_slices(tf.reshape(order[: steps * size], (steps, size)))
            numbers = tf.data.Dataset.range(steps)
            return tf.data.Dataset.zip(batches, numbers, tf.data.Dataset.from_tensors(epoch).repeat())

        def finish(batch, step, epoch):
            # 5. normalise, binarize
            return self._finish(batch if fetch is None else fetch(batch), epoch, step)

        if repeat:
            epochs = tf.data.Dataset.range(start_epoch, np.iinfo(np.int64).max)
        else:
            epochs = tf.data.Dataset.random(
                seed=random.seed_of(self.seed, "pass"), rerandomize_each_iteration=True
            ).take(1)
        batches = epochs.flat_map(epoch_batches).skip(start_step).map(finish)
        cardinality = tf.data.INFINITE_CARDINALITY if repeat else steps
        return self._ready(batches.apply(tf.data.experimental.assert_cardinality(cardinality)))

    def evaluation(self, batch_size: int, repeat: bool):
        """Batches in fixed order, the short last one kept."""
        import tensorflow as tf

        steps = -(-len(self.rows) // batch_size)
        fetch = self._fetcher(None)
        rows = self._constant(self.rows)
        if fetch is None:
            batches = self._streamed(rows, None).batch(batch_size)
        else:
            batches = tf.data.Dataset.range(steps).map(lambda i: fetch(rows[i * batch_size : (i + 1) * batch_size]))
        batches = batches.map(lambda *batch: self._finish(batch, None, None))
        batches = batches.apply(tf.data.experimental.assert_cardinality(steps))
        return self._ready(batches.repeat() if repeat else batches)

    def decoded(self) -> tuple[np.ndarray, np.ndarray]:
        """All images and labels of a split that is not kept, decoded now: ([N, H, W, C] uint8, [N] int32)."""
        pixels = np.empty((len(self.rows), *self.image_shape), np.uint8)
        labels = np.empty(len(self.rows), np.int32)
        for i, (_, image, label) in enumerate(self._streamed(self.rows, None).as_numpy_iterator()):
            pixels[i], labels[i] = image, label
        return pixels, labels

    def _fetcher(self, size: int | None) -> Callable | None:
        """Rows -> (indices, pixels, labels) of the kept images: one gather a batch; None when they are not kept."""
        import tensorflow as tf

        if self.stored.images is None:
            return None
        labels, indices = self._constant(self.stored.labels), self._constant(self.stored.indices)
        if isinstance(self.stored.images, np.memmap):
            gathered = Rows(self.stored.images)

            def pixels_at(rows):
                return tf.numpy_function(gathered, [rows], tf.uint8, stateful=False)

        else:
            resident = self._constant(self.stored.images)

            def pixels_at(rows):
                return tf.gather(resident, rows)

        def fetch(rows):
            pixels = tf.ensure_shape(pixels_at(rows), (size, *self.image_shape))
            return tf.gather(indices, rows), pixels, tf.gather(labels, rows)

        return fetch

    def _streamed(self, rows, key):
        """(index, pixels, label), decoded anew; a source with only one order is shuffled by `key` in a buffer."""
        import tensorflow as tf

        indices = self._constant(self.stored.indices)
        if self.source.random_access:
            return shaped_records(self.source, self.split, tf.gather(indices, rows), self.shaper)
        records = shaped_records(self.source, self.split, self.stored.indices[self.rows], self.shaper)
        if key is None:
            return records
        room = SHUFFLE_BUFFER_BYTES // int(np.prod(self.image_shape))
        buffer = max(1, min(len(self.rows), SHUFFLE_BUFFER_IMAGES, room))
        return records.shuffle(buffer, seed=key[0] + key[1], reshuffle_each_iteration=False)

    def _finish(self, batch, epoch, step):
        """(indices, pixels uint8, labels) -> (images float32 in [0, 1], labels); epoch None is an evaluation."""
        import tensorflow as tf

        indices, pixels, labels = batch
        if self.binarize == "threshold":
            return binarize_threshold(pixels), labels
        if self.binarize == "sample" and epoch is None:
            return binarize_sample_once(pixels, indices, random.seed_of(self.seed, "binarize", self.split)), labels
        if self.binarize == "sample":
            key = tf.stack([tf.constant(random.seed_of(self.seed, "binarize"), tf.int64), epoch])
            return binarize_sample(pixels, tf.random.experimental.stateless_fold_in(key, step)), labels
        return images.to_unit(tf.cast(pixels, tf.float32)), labels

    def _constant(self, values: np.ndarray):
        import tensorflow as tf

        with tf.device("CPU:0"):
            return tf.constant(values)

    def _ready(self, batches):
        import tensorflow as tf

        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        if self.stored.images is None:
            return batches.with_options(options).prefetch(tf.data.AUTOTUNE)
        # One gather a batch leaves nothing to tune; and when an iterator ends, it waits for TensorFlow's tuner, whose
        # sleeps grow from 10 ms by doubling: up to as long again as the training took.
        options.autotune.enabled = False
        return batches.with_options(options).prefetch(PREFETCHED_BATCHES)


# Splits ---------------------------------------------------------------------------------------------------------------
# Which images are for training, which for validation, which for the test: decided before anything is decoded.


SPLITS = ("train", "validation", "test")


def make_splits(source: Source, config: DataConfig, seed: int) -> tuple[dict, list[str]]:
    """Split -> (stored split, [n] int64 indices into it), and notes.

    A set without a validation split gets one out of its training images, drawn by `seed`; the test split is never
    touched.

    Raises:
        UserError: there are no training images.
    """
    if not source.counts.get("train"):
        raise UserError(
            f"data set {source.name!r} has no training images; its splits are {dict(source.counts)}. Put the images to "
            "train on into train/ (or give a set that has a 'train' split)"
        )
    splits = {name: (name, source.order(name)) for name in SPLITS if source.counts.get(name)}
    notes = [
        f"split {name!r} with {count} images is not used"
        for name, count in source.counts.items()
        if name not in SPLITS and count
    ]
    if "validation" not in splits:
        stored, order = splits["train"]
        count = _validation_count(len(order), config.validation_fraction)
        held = np.zeros(len(order), bool)
        held[random.generator(seed, "validation").choice(len(order), count, replace=False)] = True
        if count:
            splits |= {"train": (stored, order[~held]), "validation": (stored, order[held])}
            notes.append(
                f"no validation split: {count} of the {len(order)} training images are set aside as one "
                f"(validation_fraction={config.validation_fraction:g}, seed={seed})"
            )
    if config.limit:
        splits = {
            name: (stored, source.choose(stored, order, config.limit, seed)) for name, (stored, order) in splits.items()
        }
    return {name: splits[name] for name in SPLITS if name in splits}, notes


def note_missing_test(examples: Mapping[str, int]) -> str:
    """What the absence of a test split means for what is reported; empty when there is one."""
    if "test" in examples:
        return ""
    if "validation" in examples:
        return f"has no test split: the validation split of {examples['validation']} images is what is reported"
    return "has neither a validation nor a test split: only training images can be reported on"


def _validation_count(total: int, fraction: float) -> int:
    if not fraction:
        return 0
    return min(max(1, round(total * fraction)), total - 1)


# Pool -----------------------------------------------------------------------------------------------------------------
# All images of a data set under one numbering, split after split, read a block at a time.


BLOCK_BYTES = 2**24


class IndexedImages:
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
        for place, (pixels, rows) in enumerate(self._parts):
            here = self.split_of[numbers] == place
            taken[here] = pixels[rows[numbers[here] - self.starts[place]]]
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
