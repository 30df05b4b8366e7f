"""Steps 4 and 5 of the pipeline: the order of the images, batches, [0, 1] and binarization."""

from collections.abc import Callable

import numpy as np

from kgen import images, rng
from kgen.data.binarize import sample, sample_fixed, threshold
from kgen.data.source import Source
from kgen.data.store import Rows, Stored, shaped_records

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
            key = tf.stack([tf.constant(rng.seed_of(self.seed, "order"), tf.int64), epoch])
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
            epochs = tf.data.Dataset.random(seed=rng.seed_of(self.seed, "pass"), rerandomize_each_iteration=True).take(
                1
            )
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
            return threshold(pixels), labels
        if self.binarize == "sample" and epoch is None:
            return sample_fixed(pixels, indices, rng.seed_of(self.seed, "binarize", self.split)), labels
        if self.binarize == "sample":
            key = tf.stack([tf.constant(rng.seed_of(self.seed, "binarize"), tf.int64), epoch])
            return sample(pixels, tf.random.experimental.stateless_fold_in(key, step)), labels
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
