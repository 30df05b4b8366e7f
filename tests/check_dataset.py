"""check_dataset: what every data set must do, whatever its source. Called by the test of each source."""

import numpy as np

from kgen import images as kgen_images
from kgen.data import Dataset

BATCH = 8


def check_dataset(dataset: Dataset, *, distinct: bool = True, forget=None) -> None:
    """Asserts the contract of `kgen.data.Dataset`.

    Args:
        dataset: at least 2 training images; not binarized by sampling.
        distinct: no two images are alike, so that a test image among the training images can be told.
        forget: a function that removes the files; afterwards every pass must still work.
    """
    check_spec(dataset)
    seen = {split: evaluated(dataset, split) for split in dataset.splits}
    assert dataset.binary == bool(np.isin(seen["train"][0], (0, 1)).all())
    for split in dataset.splits:
        check_batches(dataset, split)
        check_evaluation(dataset, split, seen[split])
    check_limit(dataset, dataset.splits[-1], seen)
    check_order(dataset, seen)
    check_shares(dataset, dataset.splits[-1])
    if distinct:
        check_apart(dataset, seen)
    if forget is not None:
        forget()
        np.testing.assert_array_equal(seen["train"][0], evaluated(dataset, "train")[0])
        assert len(taken(dataset.batches("train", batch_size=2, repeat=True), 3)[0]) == 6


def check_spec(dataset: Dataset) -> None:
    spec = dataset.spec
    assert spec.name and spec.name == spec.name.lower() and "/" not in spec.name and " " not in spec.name
    assert dataset.splits[0] == "train" and set(dataset.splits) <= {"train", "validation", "test"}
    assert set(spec.examples) == set(dataset.splits) and all(count > 0 for count in spec.examples.values())
    assert isinstance(dataset.notes, tuple) and all(isinstance(note, str) and note for note in dataset.notes)
    for split in dataset.splits:
        pixels, labels = dataset.arrays(split)
        assert pixels.shape == (spec.examples[split], *spec.image_shape) and pixels.dtype == np.uint8
        assert labels.shape == (spec.examples[split],) and labels.dtype == np.int32
        assert labels.min() >= 0 and labels.max() <= max(spec.num_classes - 1, 0)


def check_batches(dataset: Dataset, split: str) -> None:
    """Shapes, types and ranges; static shapes; the number of batches is known."""
    count = dataset.spec.examples[split]
    size = min(BATCH, count)
    batches = dataset.batches(split, batch_size=BATCH, training=True)
    images_spec, labels_spec = batches.element_spec
    assert images_spec.shape.as_list() == [size, *dataset.spec.image_shape] and labels_spec.shape.as_list() == [size]
    assert int(batches.cardinality()) == count // size
    seen = 0
    for images, labels in batches:
        assert images.dtype.name == "float32" and labels.dtype.name == "int32"
        assert float(images.numpy().min()) >= 0 and float(images.numpy().max()) <= 1
        seen += len(labels)
    assert seen == count // size * size


def check_evaluation(dataset: Dataset, split: str, first) -> None:
    """Fixed order, every image once, the short last batch kept, and the same pixels as `arrays`."""
    count = dataset.spec.examples[split]
    batches = dataset.batches(split, batch_size=BATCH, training=False)
    assert batches.element_spec[0].shape.as_list() == [None, *dataset.spec.image_shape]
    sizes = [len(labels) for _, labels in batches]
    assert sum(sizes) == count and len(sizes) == -(-count // BATCH) == int(batches.cardinality())
    assert set(sizes[:-1]) <= {BATCH} and sizes[-1] == (count - 1) % BATCH + 1
    second = evaluated(dataset, split, seed=5, batch_size=3)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    pixels, labels = dataset.arrays(split)
    np.testing.assert_array_equal(first[1], labels)
    np.testing.assert_allclose(first[0], kgen_images.to_unit(np.asarray(pixels)), atol=1e-6)


def check_limit(dataset: Dataset, split: str, seen) -> None:
    limited = evaluated(dataset, split, limit=3)
    count = min(3, dataset.spec.examples[split])
    assert len(limited[0]) == count
    np.testing.assert_array_equal(limited[0], evaluated(dataset, split, limit=3)[0])
    whole = {image.tobytes() for image in seen[split][0]}
    assert all(image.tobytes() in whole for image in limited[0])


def check_order(dataset: Dataset, seen) -> None:
    """The order of training is a function of (seed, epoch); an interrupted run resumes exactly."""
    count = dataset.spec.examples["train"]
    size = min(BATCH, count)
    steps = count // size

    def epochs(number, **options):
        return taken(dataset.batches("train", batch_size=BATCH, repeat=True, **options), number * steps)

    three, again = epochs(3, seed=1), epochs(3, seed=1)
    np.testing.assert_array_equal(three[0], again[0])
    np.testing.assert_array_equal(three[1], again[1])
    resumed = epochs(1, seed=1, start_epoch=2)
    np.testing.assert_array_equal(resumed[0], three[0][2 * steps * size :])
    np.testing.assert_array_equal(resumed[1], three[1][2 * steps * size :])
    whole = {image.tobytes() for image in seen["train"][0]}
    assert {image.tobytes() for image in three[0]} <= whole
    if count >= 16:  # two of 16! orders are never alike
        first, second = three[0][: steps * size], three[0][steps * size : 2 * steps * size]
        assert not np.array_equal(first, second), "two epochs in the same order"
        assert not np.array_equal(first, epochs(1, seed=2)[0]), "two seeds in the same order"
        passes = dataset.batches("train", batch_size=BATCH)
        assert not np.array_equal(taken(passes)[0], taken(passes)[0]), "two passes in the same order"


def check_shares(dataset: Dataset, split: str) -> None:
    """The parts that workers take of each batch are the whole batch, in training and in evaluation."""
    size = min(3, dataset.spec.examples[split])
    if size < 2:
        return
    for options in ({"training": True, "repeat": True, "start_step": 1}, {"training": False}):
        whole = list(dataset.batches(split, batch_size=size, **options).take(3).as_numpy_iterator())
        parts = [
            list(dataset.batches(split, batch_size=size, share=(i, 2), **options).take(3).as_numpy_iterator())
            for i in range(2)
        ]
        for batch, *shares in zip(whole, *parts, strict=True):
            assert [*map(len, shares[0])] == [size // 2] * 2 or len(batch[1]) < size
            for one, other, expected in zip(*shares, batch, strict=True):
                np.testing.assert_array_equal(np.concatenate([one, other]), expected)


def check_apart(dataset: Dataset, seen) -> None:
    """No image of another split is a training image, and each training image comes once an epoch."""
    sets = {split: [image.tobytes() for image in images] for split, (images, _) in seen.items()}
    for split, images in sets.items():
        assert len(set(images)) == len(images), f"an image is twice in {split!r}; is this data distinct?"
        if split != "train":
            assert not set(images) & set(sets["train"]), f"{split!r} and 'train' share an image"
    size = max(n for n in range(1, 65) if len(sets["train"]) % n == 0)  # nothing is dropped
    epoch = [image.tobytes() for image in taken(dataset.batches("train", batch_size=size))[0]]
    assert sorted(epoch) == sorted(sets["train"])


def evaluated(dataset: Dataset, split: str, *, batch_size: int = BATCH, **options) -> tuple[np.ndarray, np.ndarray]:
    """All evaluation batches of a split as (images [N, H, W, C], labels [N])."""
    return taken(dataset.batches(split, batch_size=batch_size, training=False, **options))


def taken(batches, number: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The first `number` batches (None: all), joined."""
    pairs = list((batches if number is None else batches.take(number)).as_numpy_iterator())
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])
