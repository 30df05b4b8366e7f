"""A loaded data set and its batches: steps 4 (order) and 5 (normalise) of the pipeline, see `kgen.data.loading`.

Training batches come in an order that is a function of (seed, epoch), so that a run can be resumed at any batch;
evaluation batches have a fixed order. Images that are kept decoded are gathered a batch at a time, in any order. Images
that are not kept are decoded again in each epoch: in any order, or by parts of their files (`kgen.data.order`), in an
order that is a function of the batch size, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from kgen import images, random
from kgen.data.fingerprint import extended_fingerprint, fingerprint
from kgen.data.order import BalancedOrder, ClassQuotas, interleaved, stream_count, windowed_permutation
from kgen.data.sources.base import Skipped, Source
from kgen.data.store import RowReader, StoredSplit, transformed_records
from kgen.data.transforms import binarize_sample, binarize_sample_by_index, binarize_threshold, flip_at_random
from kgen.errors import UserError
from kgen.provenance import drawn_by
from kgen.spec import DataSpec

PREFETCHED_BATCHES, PREFETCHED_BYTES = 64, 2**24
BINARIZED_AT_ONCE = 512


class Dataset:
    """Images of one shape, in splits; `kgen.data.load` makes one.

    Attributes:
        spec: name, image_shape, classes and images per split.
        notes: sentences for the log: which splits were made, where decoded images are kept, what was left out.
        findings: those of the notes that are findings of kgen-data: what was left unread, and what is ambiguous.
        skipped: the images that were left out, with the reason.
        source: where the images come from.
        stored_splits: stored split -> its decoded images (step 3).
        transform: step 2, applied again to images that are not kept; None where there is nothing to do.
        binarize: see DataConfig.
        binary: every pixel is exactly 0 or 1, by `binarize` or in the data themselves.

    Args:
        stored: `stored_splits`.
        rows: split -> (the stored split that it is part of, its rows [N] int64 there, in evaluation order).
    """

    def __init__(
        self,
        spec: DataSpec,
        source: Source,
        stored: Mapping[str, StoredSplit],
        rows: Mapping[str, tuple[str, np.ndarray]],
        *,
        transform: Callable | None = None,
        binarize: str = "none",
        binary: bool = False,
        notes: tuple[str, ...] = (),
        findings: tuple[str, ...] = (),
        skipped: tuple[Skipped, ...] = (),
    ):
        self.spec = spec
        self.notes, self.findings = (*notes, *findings), tuple(findings)
        self.skipped = tuple(skipped)
        self.binary = binary
        self.source, self.stored_splits, self._rows = source, dict(stored), dict(rows)
        self.transform, self.binarize = transform, binarize

    def __repr__(self) -> str:
        return f"<Dataset {self.spec}>"

    def _repr_png_(self) -> bytes | None:
        """The picture in Jupyter: the first images of the first split; none of images that are not kept decoded."""
        if not self.kept:
            return None
        first, made = self.view(self.splits[0])[0], drawn_by("load", dataset=self.spec.name, split=self.splits[0])
        return images.preview_png(first[: images.PREVIEW_IMAGES], made)

    @property
    def kept(self) -> bool:
        """Whether decoded images are kept, in memory or on disk, so that `arrays` and `fingerprint` are quick."""
        return all(stored.images is not None for stored in self.stored_splits.values())

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
        as_uint8: bool = False,
        flip: bool = False,
        class_balance: float = 0.0,
        share: tuple[int, int] = (0, 1),
    ):
        """A `tf.data.Dataset` of (images [B, H, W, C] float32 in [0, 1], labels [B] int32; zeros when unlabelled).

        Training batches come in an order that is a function of (seed, epoch), of images that are read by parts of their
        files also of `batch_size`, and are all of `batch_size` (of all images when there are fewer). Otherwise the
        order is fixed and the short last batch is kept.

        Args:
            split: "train", "validation" or "test".
            batch_size: images per batch, over all replicas.
            seed: of the order, of sampled binarization and of `limit`.
            training: None means split == "train".
            start_epoch, start_step: with `repeat`, the epoch and the batch of it that come first (exact resume).
            repeat: without end, over epochs start_epoch, start_epoch + 1, ...; else one epoch per pass, and every pass
                of training batches has a new order.
            limit: at most so many images, a seeded choice.
            as_uint8: images as they are kept, uint8 of 0 to 255: a quarter of the bytes, which a model's `fit` takes as
                well. Those that are binarized are float32 all the same.
            flip: training images are mirrored half of the time, which is a function of seed, epoch and batch.
            class_balance: training images of a class of n are drawn in proportion to n^(1 - class_balance), in [0, 1]:
                0 as the data are, 1 every class equally often. An epoch has as many batches as with 0.
            share: (i, n) for the i-th of n workers: of every batch the i-th of n shares that follow each other, whose
                sizes differ by one at most. Only these images are read, or the parts of the files that they lie in. For
                the sake of these, an evaluation by several workers has the same images in other batches.

        Raises:
            UserError: no such split, a number that is not positive, batches of fewer images than workers, or classes
                that cannot be balanced: images without labels, or that are read by parts of their files.
        """
        name, rows = self._find(split)
        if batch_size < 1 or (limit is not None and limit < 1) or min(start_epoch, start_step) < 0:
            raise UserError(
                "batch_size and limit must be at least 1, start_epoch and start_step at least 0. Received: "
                f"batch_size={batch_size}, limit={limit}, start_epoch={start_epoch}, start_step={start_step}"
            )
        if limit is not None and limit < len(rows):
            rows = rows[np.sort(random.generator(seed, "limit", split).choice(len(rows), limit, replace=False))]
        if not 0 <= class_balance <= 1:
            raise UserError(f"class_balance must lie in [0, 1]. Received: {class_balance}")
        training = split == "train" if training is None else training
        if (size := min(batch_size, len(rows)) if training else batch_size) < share[1]:
            raise UserError(
                f"{share[1]} workers share each batch, and those of {split!r} have {size} images; raise --batch_size, "
                "or start fewer workers"
            )
        batches = self._batches_of(name, rows, self.binarize, seed)
        batches = replace(batches, as_uint8=as_uint8, flip=flip, share=share)
        if training:
            labels = self.labels_to_balance(class_balance, split, rows) if class_balance else None
            batches = replace(batches, class_balance=class_balance, labels=labels)
            return batches.training(batch_size, start_epoch, repeat, start_step)
        return batches.evaluation(batch_size, repeat)

    def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """The decoded images of a split before binarization, in the order of its evaluation batches.

        Returns:
            ([N, H, W, C] uint8, [N] int32): the kept array itself where the split is stored whole and in this order
            (memory-mapped if it is kept on disk), otherwise a copy in memory; `view` makes none.
        """
        name, rows = self._find(split)
        stored = self.stored_splits[name]
        if stored.images is None:
            return self._batches_of(name, rows, "none", seed=0).decoded()
        whole = len(rows) == len(stored.labels) and np.array_equal(rows, np.arange(len(rows)))
        return (stored.images if whole else stored.at(rows)), stored.labels[rows]

    def view(self, split: str) -> tuple["SplitImages", np.ndarray]:
        """The images of a split after binarization, in the order of its evaluation batches, without a copy; and labels.

        Images that are not kept are decoded once, and are then in memory.

        Returns:
            (SplitImages [N, H, W, C] uint8, [N] int32).
        """
        name, rows = self._find(split)
        batches, stored = self._batches_of(name, rows, self.binarize, seed=0), self.stored_splits[name]
        if stored.images is None:
            decoded, labels = batches.decoded()
            return SplitImages(batches, decoded), labels
        return SplitImages(batches), stored.labels[rows]

    def fingerprint(self, split: str) -> str:
        """The content hash of a split, 16 hex digits: of `arrays(split)`, and of `binarize` unless that is "none"."""
        name, rows = self._find(split)
        stored = self.stored_splits[name]
        if stored.images is None:
            content = fingerprint(*self.arrays(split))
        else:
            content = fingerprint(stored.images, stored.labels, rows)
        return content if self.binarize == "none" else extended_fingerprint(content, self.binarize)

    def training_order(self, class_balance: float = 0.0) -> str:
        """What the order of training images depends on beside seed, epoch and batch size, in words: how they are read.

        Where these words differ, as of a set that was kept decoded and is not any more, so does the order.

        Args:
            class_balance: see `batches`.

        Raises:
            UserError: see `labels_to_balance`.
        """
        name, rows = self._find("train")
        if class_balance:
            self.labels_to_balance(class_balance)
            return f"image by image, with class_balance {class_balance:g}"
        parts = self._batches_of(name, rows[-1:]).parts()
        return "image by image" if parts is None else f"by {parts[0] + 1} parts, {self.source.window} of them mixed"

    @property
    def any_order(self) -> bool:
        """Whether training images can be drawn in any order: they are kept decoded, or not read by parts of files."""
        name, rows = self._find("train")
        return self._batches_of(name, rows[-1:]).parts() is None

    def check_labelled(self, need: str, instead: str):
        """Raises UserError, with what was found about the labels, where there are none.

        Args:
            need: who needs them, e.g. "model 'cvae' needs labels".
            instead: what to do instead, e.g. "use --model vae".
        """
        if not self.spec.num_classes:
            found = "".join(f"; {finding}" for finding in self.findings)
            raise UserError(
                f"{need}, but data set {self.spec.name!r} has num_classes=0; {instead} or a labelled data set{found}"
            )

    def labels_to_balance(
        self, class_balance: float, split: str = "train", rows: np.ndarray | None = None
    ) -> np.ndarray:
        """The label of each image of a split, [N] int32, by which `class_balance` draws them.

        Args:
            class_balance: see `batches`; for messages.
            split: its name.
            rows: those that are asked for; None: all.

        Raises:
            UserError: the images have no labels, or cannot be read in any order.
        """
        name, all_rows = self._find(split)
        rows = all_rows if rows is None else rows
        setting = f"train.class_balance={class_balance:g}"
        self.check_labelled(f"{setting} draws images by their labels", "use --class_balance 0")
        stored = self.stored_splits[name]
        if stored.labels is not None:
            return stored.labels[rows]
        labels = self.source.labels(name) if self.any_order else None
        if labels is None:
            raise UserError(
                f"{setting} draws images in any order, but those of data set {self.spec.name!r} are read by parts of "
                "their files; keep them decoded with --cache memory or --cache disk (--cache auto does not where they "
                "take more than data.cache_gib), or use --class_balance 0"
            )
        return np.asarray(labels)[stored.indices[rows]]

    def draws_per_class(self, class_balance: float, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """How many training images each class has, [num_classes] int64, and its draws per epoch, [num_classes] float64.

        Args:
            class_balance, batch_size: see `batches`.

        Raises:
            UserError: see `labels_to_balance`.
        """
        counts = np.bincount(self.labels_to_balance(class_balance), minlength=self.spec.num_classes)
        size, steps = _whole_batches(int(counts.sum()), batch_size)
        return counts, ClassQuotas(counts, steps * size, class_balance).shares

    def explained(self, error: BaseException) -> UserError | None:
        """The error that names the file, of one that TensorFlow raised while images that are not kept were read."""
        found = None if self.kept else self.source.explain(self._find("train")[0], error)
        return found if isinstance(found, UserError) and found is not error else None

    def stored(self, split: str) -> tuple[str, StoredSplit, np.ndarray]:
        """Where the images of a split are: the stored split's name, its decoded images, the rows [N] of this split."""
        name, rows = self._find(split)
        return name, self.stored_splits[name], rows

    def _find(self, split: str) -> tuple[str, np.ndarray]:
        if split not in self._rows:
            raise UserError(f"data set {self.spec.name!r} has no split {split!r}; it has {', '.join(self._rows)}")
        return self._rows[split]

    def _batches_of(self, name: str, rows: np.ndarray, binarize: str = "none", seed: int = 0) -> "SplitBatches":
        return SplitBatches(
            self.spec.image_shape, self.source, name, self.stored_splits[name], rows, self.transform, binarize, seed
        )


@dataclass(frozen=True)
class SplitBatches:
    """The batches of one split, as `tf.data.Dataset`s.

    Attributes:
        image_shape: (H, W, C).
        source: read again in each epoch when the images are not kept.
        split: of the source.
        stored: its decoded images.
        rows: [N] int64, the images of this split among the stored ones, in evaluation order.
        transform: step 2, for images that are not kept.
        binarize: see DataConfig.
        seed: of order and binarization.
        as_uint8, flip, class_balance, share: see `Dataset.batches`.
        labels: [N] of `rows`, where classes are balanced.
    """

    image_shape: tuple[int, int, int]
    source: Source
    split: str
    stored: StoredSplit
    rows: np.ndarray
    transform: Callable | None
    binarize: str
    seed: int
    as_uint8: bool = False
    flip: bool = False
    class_balance: float = 0.0
    labels: np.ndarray | None = None
    share: tuple[int, int] = (0, 1)

    def training(self, batch_size: int, start_epoch: int, repeat: bool, start_step: int = 0):
        """Batches of exactly `batch_size` in the order of (seed, epoch); see `Dataset.batches`."""
        import tensorflow as tf

        size, steps = _whole_batches(len(self.rows), batch_size)
        start_epoch, start_step = start_epoch + start_step // steps, start_step % steps
        own = self._own(size)
        gather = self._gatherer(own.stop - own.start)
        shuffled = self._shuffler(size, steps)

        def epoch_batches(epoch):
            # 4. order: a permutation that is a function of (seed, epoch)
            first = tf.where(epoch == start_epoch, tf.constant(start_step, tf.int64), 0) if repeat else start_step
            order = tf.reshape(shuffled(epoch)[: steps * size], (steps, size))
            rows = order[first:, own]
            if gather is not None:
                batches = tf.data.Dataset.from_tensor_slices(rows)
            else:
                batches = self._decode_again(tf.reshape(rows, [-1])).batch(own.stop - own.start, drop_remainder=True)
            numbers = tf.data.Dataset.range(first, steps)
            return tf.data.Dataset.zip(batches, numbers, tf.data.Dataset.from_tensors(epoch).repeat())

        def finish(batch, step, epoch):
            return self._normalise(batch if gather is None else gather(batch), epoch, step, size)

        if repeat:
            epochs = tf.data.Dataset.range(start_epoch, np.iinfo(np.int64).max)
        else:
            epochs = tf.data.Dataset.random(
                seed=random.seed_of(self.seed, "pass"), rerandomize_each_iteration=True
            ).take(1)
        batches = epochs.flat_map(epoch_batches).map(finish)
        cardinality = tf.data.INFINITE_CARDINALITY if repeat else steps - start_step
        return self._prefetched(batches.apply(tf.data.experimental.assert_cardinality(cardinality)), size)

    def evaluation(self, batch_size: int, repeat: bool):
        """Batches in fixed order, the short last one kept."""
        import tensorflow as tf

        steps, own = -(-len(self.rows) // batch_size), self._own(batch_size)
        gather = self._gatherer(None)
        if gather is not None:
            rows = _cpu_constant(self.rows)
            batches = tf.data.Dataset.range(steps)
            batches = batches.map(lambda i: gather(rows[i * batch_size : (i + 1) * batch_size][own]))
        else:
            rows = self._rows_to_evaluate(batch_size)[self._in_slice(own, batch_size)]
            batches = self._decode_again(rows).batch(own.stop - own.start)
            batches = batches.concatenate(self._no_images(batches)).take(steps)  # it may have none of the last batch
        batches = batches.map(lambda *batch: self._normalise(batch, None, None, batch_size))
        batches = batches.apply(tf.data.experimental.assert_cardinality(steps))
        return self._prefetched(batches.repeat() if repeat else batches, batch_size)

    def _own(self, size: int) -> slice:
        """The places of the images of this worker in a batch of `size`."""
        worker, workers = self.share
        return slice(worker * size // workers, (worker + 1) * size // workers)

    def _rows_to_evaluate(self, batch_size: int) -> np.ndarray:
        """`rows` [N]; of images that several workers read by parts in an order in which each reads parts of its own."""
        if self.share[1] == 1 or (parts := self.parts()) is None:
            return self.rows
        return interleaved(self.rows, stream_count(len(np.unique(parts)), self.source.window, batch_size), batch_size)

    def parts(self) -> np.ndarray | None:
        """The part of the files of each of `rows` [N]; None where all orders are as quick, as where images are kept."""
        return None if self.stored.images is not None else self.source.parts(self.split, self.stored.indices[self.rows])

    def _in_slice(self, own: slice, size: int) -> np.ndarray:
        """[N] bool: whether a row stands at these places of the batch of `size` that it is in."""
        place = np.arange(len(self.rows)) % size
        return (place >= own.start) & (place < own.stop)

    @staticmethod
    def _no_images(batches):
        """A data set of one batch without images, of the same types and shapes."""
        import tensorflow as tf

        empty = [tf.zeros((0, *spec.shape[1:]), spec.dtype) for spec in batches.element_spec]
        return tf.data.Dataset.from_tensors(tuple(empty))

    def decoded(self) -> tuple[np.ndarray, np.ndarray]:
        """All images and labels of a split that is not kept, decoded now: ([N, H, W, C] uint8, [N] int32)."""
        import tensorflow as tf

        pixels = np.empty((len(self.rows), *self.image_shape), np.uint8)
        labels = np.empty(len(self.rows), np.int32)
        try:
            for i, (_, image, label) in enumerate(self._decode_again(self.rows).as_numpy_iterator()):
                pixels[i], labels[i] = image, label
        except tf.errors.OpError as error:
            if (explained := self.source.explain(self.split, error)) is error:
                raise
            raise explained from error
        return pixels, labels

    def _shuffler(self, size: int, steps: int) -> Callable:
        """A function epoch (int64 tensor) -> rows [N], a permutation of `rows` that is a function of (seed, epoch).

        Where classes are balanced: as many of `rows` as make whole batches, some of them several times, others not.

        Args:
            size: images in the batches of all workers, on which an order by parts depends.
            steps: batches per epoch.
        """
        import tensorflow as tf

        if self.labels is not None:
            order = BalancedOrder(self.labels, steps * size, self.class_balance, self.seed)

            def balanced(epoch):
                return self.rows[order.of_epoch(int(epoch))]

            return lambda epoch: tf.ensure_shape(
                tf.numpy_function(balanced, [epoch], tf.int64, stateful=False), (steps * size,)
            )
        parts = self.parts()
        if parts is None:
            rows = _cpu_constant(self.rows)
            seed = tf.constant(random.seed_of(self.seed, "order"), tf.int64)
            return lambda epoch: tf.random.experimental.stateless_shuffle(rows, seed=tf.stack([seed, epoch]))

        def permutation(epoch):
            generator = random.generator(self.seed, "order by parts", int(epoch))
            return self.rows[windowed_permutation(parts, self.source.window, generator, size)]

        return lambda epoch: tf.ensure_shape(
            tf.numpy_function(permutation, [epoch], tf.int64, stateful=False), self.rows.shape
        )

    def _gatherer(self, size: int | None) -> Callable | None:
        """A function rows [size] -> (indices, pixels, labels), one gather per batch; None when images are not kept."""
        import tensorflow as tf

        if self.stored.images is None:
            return None
        labels, indices = _cpu_constant(self.stored.labels), _cpu_constant(self.stored.indices)
        if isinstance(self.stored.images, np.memmap):
            reader = RowReader(self.stored.images)

            def pixels_at(rows):
                return tf.numpy_function(reader, [rows], tf.uint8, stateful=False)

        else:
            in_memory = self.stored.tensor

            def pixels_at(rows):
                return tf.gather(in_memory, rows)

        def gather(rows):
            pixels = tf.ensure_shape(pixels_at(rows), (size, *self.image_shape))
            return tf.gather(indices, rows), pixels, tf.gather(labels, rows)

        return gather

    def _decode_again(self, rows):
        """(index, pixels, label) one by one, of these rows in this order."""
        import tensorflow as tf

        if not np.array_equal(self.stored.indices, np.arange(len(self.stored.indices))):
            rows = tf.gather(_cpu_constant(self.stored.indices), rows)
        return transformed_records(self.source, self.split, rows, self.transform)

    def _normalise(self, batch, epoch, step, size: int):
        """Step 5: (indices, pixels uint8, labels) -> (images float32 in [0, 1], labels); see also `as_uint8`.

        Args:
            epoch, step: int64 tensors, which give flips and sampled binarization their keys in training; None in
                evaluation.
            size: images in the batches of all workers.
        """
        import tensorflow as tf

        def key(stream):
            epoch_key = tf.stack([tf.constant(random.seed_of(self.seed, stream), tf.int64), epoch])
            return tf.random.experimental.stateless_fold_in(epoch_key, step)

        indices, pixels, labels = batch
        whole = (self._own(size), size)
        if self.flip and epoch is not None:
            pixels = flip_at_random(pixels, key("flip"), *whole)
        if self.binarize == "threshold" or (self.binarize == "sample" and epoch is None):
            return self.binarized(indices, pixels), labels
        if self.binarize == "sample":
            return binarize_sample(pixels, key("binarize"), *whole), labels
        return pixels if self.as_uint8 else images.to_unit(tf.cast(pixels, tf.float32)), labels

    def binarized(self, indices, pixels):
        """Images that are evaluated: [B, H, W, C] uint8 -> float32 of 0 and 1, the same ones each time."""
        if self.binarize == "threshold":
            return binarize_threshold(pixels)
        return binarize_sample_by_index(pixels, indices, random.seed_of(self.seed, "binarize", self.split))

    def _prefetched(self, batches, batch_size: int):
        import tensorflow as tf

        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        if self.stored.images is None:
            return batches.with_options(options).prefetch(tf.data.AUTOTUNE)
        # One gather per batch leaves nothing to tune; and when an iterator ends, it waits for TensorFlow's tuner, whose
        # sleeps grow from 10 ms by doubling: up to as long again as the training took.
        options.autotune.enabled = False
        # TensorFlow's optimizer would write the images into the graph that it rewrites: a copy, of at most 2 GiB.
        options.experimental_optimization.apply_default_optimizations = False
        batch_bytes = batch_size * int(np.prod(self.image_shape)) * batches.element_spec[0].dtype.size
        ahead = max(1, min(PREFETCHED_BATCHES, PREFETCHED_BYTES // batch_bytes))
        return batches.with_options(options).prefetch(ahead)


class SplitImages:
    """The images of a split as they are evaluated: [N, H, W, C] uint8, read when they are asked for.

    Indexed by an integer, a slice or an array of integers, as an array is along its first axis.

    Args:
        batches: of the split.
        decoded: [N, H, W, C] uint8 before binarization, of a split that is not kept.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, batches: SplitBatches, decoded: np.ndarray | None = None):
        self._batches, self._decoded = batches, decoded
        self.shape = (len(batches.rows), *batches.image_shape)

    def __len__(self) -> int:
        return self.shape[0]

    def part(self, places: np.ndarray) -> "SplitImages":
        """Those at these places [n] of the split, not read yet."""
        decoded = None if self._decoded is None else self._decoded[places]
        return SplitImages(replace(self._batches, rows=self._batches.rows[places]), decoded)

    def __getitem__(self, places) -> np.ndarray:
        rows = self._batches.rows[places]
        if not np.ndim(rows):
            return self[[places]][0]
        if self._decoded is not None:
            pixels = self._decoded[places]
        else:
            pixels = self._batches.stored.at(rows)
        if self._batches.binarize == "none":
            return pixels
        indices, black_and_white = self._batches.stored.indices[rows], np.empty(pixels.shape, np.uint8)
        for start in range(0, len(rows), BINARIZED_AT_ONCE):
            some = slice(start, start + BINARIZED_AT_ONCE)
            black_and_white[some] = images.to_uint8(self._batches.binarized(indices[some], pixels[some]).numpy())
        return black_and_white

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self[:], dtype, copy=copy)


def _whole_batches(count: int, batch_size: int) -> tuple[int, int]:
    """(size, steps): images per batch and batches per epoch of so many training images; batches are whole."""
    size = min(batch_size, count)
    return size, count // size


def _cpu_constant(values: np.ndarray):
    import tensorflow as tf

    with tf.device("CPU:0"):
        return tf.constant(values)
