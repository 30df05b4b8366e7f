"""Classes that are drawn more evenly than the data have them: quotas, draws, batches, and what is refused."""

import hashlib

import numpy as np
import pytest
from shard_files import write_parquet
from test_shards import PIXELS

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.order import BalancedOrder, ClassQuotas, class_draws
from kgen.errors import UserError

COUNTS, BATCH = (18, 5, 1), 7
"""Images of each class of `rare`; an epoch of 24 has three batches, 21 images."""


@pytest.mark.parametrize(
    ("counts", "total", "balance", "drawn"),
    [
        ((90, 10), 100, 0.0, [(90, 10), (180, 20)]),
        ((90, 10), 100, 0.5, [(75, 25), (150, 50)]),  # the square roots are 3 to 1
        ((90, 10), 100, 1.0, [(50, 50), (100, 100)]),
        ((90, 0, 10), 100, 1.0, [(50, 0, 50), (100, 0, 100)]),  # what has no images is not drawn
        ((40,), 36, 0.3, [(36,), (72,)]),
        ((5, 2), 4, 0.0, [(3, 1), (6, 2), (9, 3), (11, 5), (14, 6), (17, 7), (20, 8)]),  # 8/7 of the second, rounded
        ((1000, 1), 91, 0.0, [(91, 0), (182, 0), (273, 0), (364, 0), (455, 0), (545, 1)]),
        ((50, 30, 20), 2, 0.0, [(1, 1, 0), (2, 1, 1), (3, 2, 1), (4, 2, 2), (5, 3, 2)]),  # 50 | 30 and 20
        ((7, 7, 7), 100, 0.5, [(34, 33, 33), (67, 66, 67), (100, 100, 100)]),  # the third | the first and the second
        ((50, 30, 20), 3, 1.0, [(1, 1, 1), (2, 2, 2)]),
    ],
)
def test_draws_of_classes_after_each_epoch(counts, total, balance, drawn):
    quotas = ClassQuotas(counts, total, balance)
    assert [tuple(quotas.drawn_before(epoch)) for epoch in range(len(drawn) + 1)] == [(0,) * len(counts), *drawn]


def test_every_class_gets_its_share_in_the_long_run():
    """Of many random sets; weights that grow as the Fibonacci numbers do make the deepest tree."""
    draw = np.random.default_rng(0)
    for trial in range(200):
        counts = draw.integers(0, 10 ** draw.integers(1, 6), draw.integers(1, 60))
        counts[0] += 1
        if trial % 4 == 0:
            counts = np.ceil(draw.permutation(1.618 ** np.arange(draw.integers(1, 25)))).astype(int)
        total, balance = int(draw.integers(1, 2 * counts.sum() + 1)), draw.choice([0.1, 0.5, draw.random(), 1.0])
        quotas = ClassQuotas(counts, total, balance)
        weights = np.where(counts, np.maximum(counts, 1) ** (1 - balance), 0)
        np.testing.assert_allclose(quotas.shares, total * weights / weights.sum(), rtol=1e-9)
        before = np.zeros(len(counts), int)
        for epoch in range(1, 30):
            drawn = np.array(quotas.drawn_before(epoch))
            assert drawn.sum() == epoch * total and (drawn >= before).all() and not drawn[counts == 0].any()
            assert np.abs(drawn - epoch * quotas.shares).max() < 1.7
            before = drawn
        late = quotas.drawn_before(10**15)  # of any size, at the same costs
        assert sum(late) == 10**15 * total
        np.testing.assert_allclose(np.array(late, float), 1e15 * quotas.shares, rtol=1e-12)


def test_no_class_loses_by_the_rounding_of_each_epoch():
    few = ClassQuotas([1] * 120, 100, 1.0)  # 5/6 of a draw each
    assert set(few.drawn_before(3)) <= {1, 2, 3, 4} and set(few.drawn_before(6)) == {5}
    many = ClassQuotas([3] * 100, 192, 1.0)  # 1.92
    assert set(many.drawn_before(25)) == {48}


@pytest.mark.parametrize("quota", [1, 3, 7, 10, 16, 40])
def test_draws_of_a_class_go_through_permutations_from_epoch_to_epoch(quota):
    drawn = np.concatenate([class_draws(5, 2, 7, epoch * quota, quota) for epoch in range(21)])
    assert len(drawn) == 21 * quota
    rounds = drawn[: len(drawn) // 7 * 7].reshape(-1, 7)
    assert (np.sort(rounds, axis=1) == np.arange(7)).all() and len({tuple(each) for each in rounds.tolist()}) > 1
    for end in range(len(drawn)):
        assert np.ptp(np.bincount(drawn[:end], minlength=7)) <= 1
    firsts = [class_draws(*key, 50, 0, 50).tolist() for key in ((5, 2), (5, 3), (6, 2))]
    assert len({tuple(first) for first in firsts}) == 3


def test_permutations_are_uniform():
    """Chi-square of the 24 orders of four images in 4,800 permutations: 23 degrees of freedom, 99.99 % quantile."""
    rounds = class_draws(0, 0, 4, 4 * 4_800 * 2**40, 4 * 4_800)
    seen = np.unique(rounds.reshape(-1, 4), axis=0, return_counts=True)[1]
    assert len(seen) == 24 and np.square(seen - 200).sum() / 200 < 60.3


def test_an_epoch_holds_the_quotas_in_mixed_order():
    labels = np.repeat([2, 0, 1], [300, 60, 6])
    orders = BalancedOrder(labels, 366, 1.0, 0)
    epochs = [orders.of_epoch(epoch) for epoch in range(30)]
    for order in epochs:
        assert np.bincount(labels[order]).tolist() == [122] * 3
    shown = np.bincount(np.concatenate(epochs), minlength=len(labels))
    assert all(np.ptp(shown[labels == label]) <= 1 for label in range(3))
    assert abs(np.corrcoef(labels[epochs[0]][1:], labels[epochs[0]][:-1])[0, 1]) < 0.2  # 4 standard deviations
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], BalancedOrder(labels, 366, 1.0, 1).of_epoch(0))


def test_the_order_never_changes():
    """Runs that were trained with it go on in it."""
    order = BalancedOrder(np.array([0, 0, 0, 0, 0, 1, 1, 2]), 9, 1.0, 3).of_epoch(4)
    assert order.tolist() == [7, 7, 6, 7, 2, 1, 5, 6, 0]


@pytest.fixture
def rare(tmp_path, noise, save):
    """Class folders of 18, 5 and 1 images."""
    for label, count in enumerate(COUNTS):
        for i in range(count):
            save(tmp_path / "rare" / f"class{label}" / f"{i}.png", noise(1, seed=100 * label + i)[0])
    return tmp_path / "rare"


def opened(path, cache="memory", validation_fraction=0.0):
    return load(DataConfig(str(path), cache=cache, validation_fraction=validation_fraction))


def taken(batches, count):
    """([count, B, H, W, C], [count, B])."""
    found = list(batches.take(count).as_numpy_iterator())
    return np.stack([images for images, _ in found]), np.stack([labels for _, labels in found])


OPTIONS = {"batch_size": BATCH, "seed": 3, "repeat": True, "as_uint8": True}


def test_batches_hold_the_quotas_and_show_each_image_as_often(rare):
    dataset = opened(rare)
    images_of, draws_of = dataset.draws_per_class(1.0, BATCH)
    assert images_of.tolist() == list(COUNTS) and draws_of.tolist() == [7, 7, 7]
    images, labels = taken(dataset.batches("train", class_balance=1.0, **OPTIONS), 3 * 12)
    assert all(np.bincount(epoch).tolist() == [7, 7, 7] for epoch in labels.reshape(12, -1))
    _, which, times = np.unique(images.reshape(12 * 21, -1), axis=0, return_inverse=True, return_counts=True)
    for label, count in enumerate(COUNTS):
        of_class = times[np.unique(which.reshape(-1)[labels.reshape(-1) == label])]
        assert len(of_class) == count and np.ptp(of_class) <= 1  # 12 epochs of 7 draws


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_where_images_are_kept_and_resuming_and_workers_change_nothing(rare, cache):
    options = OPTIONS | {"class_balance": 0.7, "flip": True}
    whole = taken(opened(rare).batches("train", **options), 12)
    dataset = opened(rare, cache)
    assert dataset.training_order(0.7) == "image by image, with class_balance 0.7"
    for start in range(10):
        later = dataset.batches("train", **options, start_epoch=start // 3, start_step=start % 3)
        for found, expected in zip(taken(later, 2), whole, strict=True):
            np.testing.assert_array_equal(found, expected[start : start + 2])
    for workers in (2, 3):
        shares = [taken(dataset.batches("train", **options, share=(i, workers)), 12) for i in range(workers)]
        for found, expected in zip(zip(*shares, strict=True), whole, strict=True):
            np.testing.assert_array_equal(np.concatenate(found, axis=1), expected)


@pytest.fixture
def pictures_of(tmp_path, noise, save):
    """Folders of 20 and 8 pictures, and a file that is left out; -> bytes of the pixels -> the label."""
    (tmp_path / "two" / "class0").mkdir(parents=True)
    (tmp_path / "two" / "class0" / "0-broken.png").write_bytes(b"no picture")
    labels = {}
    for label, count in enumerate((20, 8)):
        for i in range(count):
            pixels = noise(1, seed=100 * label + i)[0]
            save(tmp_path / "two" / f"class{label}" / f"{i}.png", pixels)
            labels[pixels.tobytes()] = label
    return labels


@pytest.mark.parametrize("limit", [None, 12])
@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_a_training_split_that_is_a_part_of_the_stored_one(pictures_of, tmp_path, cache, limit):
    """Pixels, labels and numbers of draws agree, and no validation image is drawn."""
    dataset = opened(tmp_path / "two", cache, validation_fraction=0.25)
    held_back = {image.tobytes() for image in dataset.arrays("validation")[0][:]}
    examples = dataset.spec.examples
    assert len(held_back) == examples["validation"] >= 6 and sum(examples.values()) == 28
    images, labels = taken(dataset.batches("train", class_balance=1.0, limit=limit, **OPTIONS | {"batch_size": 4}), 30)
    drawn = [image.tobytes() for image in images.reshape(-1, *images.shape[2:])]
    assert [pictures_of[each] for each in drawn] == labels.reshape(-1).tolist()
    assert np.bincount(labels.reshape(-1)).tolist() == [60, 60]  # six epochs of five batches of four, or ten of three
    assert not held_back & set(drawn) and len(set(drawn)) == (limit or examples["train"])


def test_passes_and_other_splits(rare):
    dataset = opened(rare)
    batches = dataset.batches("train", batch_size=BATCH, class_balance=1.0)
    passes = [np.concatenate([labels for _, labels in batches.as_numpy_iterator()]) for _ in range(2)]
    assert all(np.bincount(labels).tolist() == [7, 7, 7] for labels in passes)
    assert not np.array_equal(*passes) and int(batches.cardinality()) == 3
    evaluated, plain = (
        dataset.batches("train", batch_size=BATCH, training=False, class_balance=balance) for balance in (1.0, 0.0)
    )
    for found, expected in zip(evaluated, plain, strict=True):
        np.testing.assert_array_equal(found[0], expected[0])


def test_without_it_the_order_is_that_of_before():
    """Labels of the first batch, and SHA-256 of eight, computed before there was a balance."""
    dataset = load(DataConfig(limit=60))
    digest, first = hashlib.sha256(), None
    for images, labels in dataset.batches("train", batch_size=20, seed=3, repeat=True, as_uint8=True).take(8):
        first = labels.numpy().tolist() if first is None else first
        digest.update(images.numpy().tobytes() + labels.numpy().tobytes())
    assert first == [1, 1, 6, 8, 7, 4, 0, 4, 7, 0, 0, 8, 2, 8, 9, 6, 7, 1, 3, 7]
    assert digest.hexdigest()[:16] == "1b2c474273db666c"
    assert dataset.training_order() == dataset.training_order(0.0) == "image by image"


def test_what_is_refused(tmp_path, noise):
    np.savez(tmp_path / "plain.npz", images=noise(20))
    with pytest.raises(UserError, match=r"train.class_balance=1 draws images by their labels, .* num_classes=0"):
        opened(tmp_path / "plain.npz").batches("train", class_balance=1.0)
    write_parquet(tmp_path / "groups" / "train-00000-of-00001.parquet", [(x, i % 2) for i, x in enumerate(PIXELS)])
    by_parts = opened(tmp_path / "groups", "none")
    message = r"train.class_balance=0.5 draws .* --cache memory or --cache disk"
    assert opened(tmp_path / "groups").any_order and not by_parts.any_order
    with pytest.raises(UserError, match=message):
        by_parts.training_order(0.5)
    with pytest.raises(UserError, match=message):
        by_parts.batches("train", batch_size=4, class_balance=0.5)
    opened(tmp_path / "groups").batches("train", batch_size=4, class_balance=0.5)
    for balance in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match=r"class_balance must lie in \[0, 1\]"):
            by_parts.batches("train", class_balance=balance)
