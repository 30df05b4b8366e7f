"""Classes that are drawn more evenly than the data have them: quotas, draws, batches, and what is refused."""

import hashlib

import numpy as np
import pytest
from test_shards import PIXELS, write_parquet

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.order import balanced_order, class_draws, class_quotas
from kgen.errors import UserError

COUNTS, BATCH = (18, 5, 1), 7
"""Images of each class of `rare`; an epoch of 24 has three batches, 21 images."""


@pytest.mark.parametrize(
    ("counts", "total", "balance", "quotas"),
    [
        ((90, 10), 100, 0.0, (90, 10)),
        ((90, 10), 100, 0.5, (75, 25)),  # the square roots are 3 to 1
        ((90, 10), 100, 1.0, (50, 50)),
        ((90, 0, 10), 100, 1.0, (50, 0, 50)),  # what has no images is not drawn
        ((5, 3, 3), 4, 0.0, (2, 1, 1)),  # 1.82, 1.09, 1.09
        ((7, 7, 7), 100, 0.5, (34, 33, 33)),  # of equal remainders the first
        ((1000, 1, 1), 50, 0.0, (48, 1, 1)),  # 0.05 of a draw each: at least one
        ((1000, 40, 1), 50, 0.0, (47, 2, 1)),  # 49 for two: 47.1 and 1.9
        ((50, 30, 20), 2, 0.0, (1, 1, 0)),  # too few draws for all of them: 1, 0.6, 0.4
        ((50, 30, 20), 3, 1.0, (1, 1, 1)),
    ],
)
def test_quotas(counts, total, balance, quotas):
    assert class_quotas(np.array(counts), total, balance).tolist() == list(quotas)


def test_quotas_of_many_classes_sum_up():
    draw = np.random.default_rng(0)
    for _ in range(300):
        counts = draw.integers(0, 10 ** draw.integers(1, 6), draw.integers(1, 60))
        counts[0] += 1
        total, balance = int(draw.integers(1, 3 * counts.sum() + 1)), draw.choice([0.1, 0.5, draw.random(), 1.0])
        quotas, weights = class_quotas(counts, total, balance), np.where(counts, counts, 1) ** (1 - balance)
        assert quotas.sum() == total and (quotas >= 0).all() and not quotas[counts == 0].any()
        if total >= (counts > 0).sum():
            assert quotas[counts > 0].min() >= 1
        several = quotas > 1  # their shares are in proportion, but for the rounding
        ratio = quotas[several] / weights[several]
        assert np.ptp(ratio) <= 2 / weights[several].min(initial=1e300) + 1e-9 if several.any() else True


@pytest.mark.parametrize("quota", [1, 3, 7, 10, 16, 40])
def test_draws_of_a_class_go_through_permutations_from_epoch_to_epoch(quota):
    drawn = np.concatenate([class_draws(5, 2, 7, quota, epoch) for epoch in range(21)])
    assert len(drawn) == 21 * quota
    rounds = drawn[: len(drawn) // 7 * 7].reshape(-1, 7)
    assert (np.sort(rounds, axis=1) == np.arange(7)).all() and len({tuple(each) for each in rounds.tolist()}) > 1
    for end in range(len(drawn)):
        assert np.ptp(np.bincount(drawn[:end], minlength=7)) <= 1
    firsts = [class_draws(*key, 50, 50, 0).tolist() for key in ((5, 2), (5, 3), (6, 2))]
    assert len({tuple(first) for first in firsts}) == 3


def test_permutations_are_uniform():
    """Chi-square of the 24 orders of four images in 4,800 permutations: 23 degrees of freedom, 99.99 % quantile."""
    rounds = class_draws(0, 0, 4, 4 * 4_800, 2**40)
    seen = np.unique(rounds.reshape(-1, 4), axis=0, return_counts=True)[1]
    assert len(seen) == 24 and np.square(seen - 200).sum() / 200 < 60.3


def test_an_epoch_holds_the_quotas_in_mixed_order():
    labels = np.repeat([2, 0, 1], [300, 60, 6])
    epochs = [balanced_order(labels, 366, 1.0, 0, epoch) for epoch in range(30)]
    for order in epochs:
        assert np.bincount(labels[order]).tolist() == [122] * 3
    shown = np.bincount(np.concatenate(epochs), minlength=len(labels))
    assert all(np.ptp(shown[labels == label]) <= 1 for label in range(3))
    assert abs(np.corrcoef(labels[epochs[0]][1:], labels[epochs[0]][:-1])[0, 1]) < 0.2  # 4 standard deviations
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], balanced_order(labels, 366, 1.0, 1, 0))


def test_the_order_never_changes():
    """Runs that were trained with it go on in it."""
    order = balanced_order(np.array([0, 0, 0, 0, 0, 1, 1, 2]), 9, 1.0, 3, 4)
    assert order.tolist() == [7, 7, 5, 7, 2, 3, 6, 6, 1]


@pytest.fixture
def rare(tmp_path, noise, save):
    """Class folders of 18, 5 and 1 images."""
    for label, count in enumerate(COUNTS):
        for i in range(count):
            save(tmp_path / "rare" / f"class{label}" / f"{i}.png", noise(1, seed=100 * label + i)[0])
    return tmp_path / "rare"


def opened(path, cache="memory"):
    return load(DataConfig(str(path), cache=cache, validation_fraction=0.0))


def taken(batches, count):
    """([count, B, H, W, C], [count, B])."""
    found = list(batches.take(count).as_numpy_iterator())
    return np.stack([images for images, _ in found]), np.stack([labels for _, labels in found])


OPTIONS = {"batch_size": BATCH, "seed": 3, "repeat": True, "as_uint8": True}


def test_batches_hold_the_quotas_and_show_each_image_as_often(rare):
    dataset = opened(rare)
    images_of, draws_of = dataset.class_draws(1.0, BATCH)
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
    with pytest.raises(UserError, match=r"class_balance draws images by their labels, .* num_classes=0"):
        opened(tmp_path / "plain.npz").batches("train", class_balance=1.0)
    write_parquet(tmp_path / "groups" / "train-00000-of-00001.parquet", [(x, i % 2) for i, x in enumerate(PIXELS)])
    by_parts, message = opened(tmp_path / "groups", "none"), r"class_balance .* --cache memory or --cache disk"
    with pytest.raises(UserError, match=message):
        by_parts.training_order(0.5)
    with pytest.raises(UserError, match=message):
        by_parts.batches("train", batch_size=4, class_balance=0.5)
    opened(tmp_path / "groups").batches("train", batch_size=4, class_balance=0.5)
    for balance in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match=r"class_balance must lie in \[0, 1\]"):
            by_parts.batches("train", class_balance=balance)
