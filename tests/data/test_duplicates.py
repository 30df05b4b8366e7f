import itertools

import numpy as np
import pytest

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.audit import duplicates
from kgen.data.audit.duplicates import distance, find_exact_copies, find_near_pairs
from kgen.data.audit.indexed_images import IndexedImages


@pytest.fixture
def indexed(tmp_path):
    """A function {split: images [N, H, W, C], ...} -> IndexedImages, in the order given."""

    def make(cache="memory", **splits):
        np.savez(tmp_path / "set.npz", **{f"x_{name}": images for name, images in splits.items()})
        return IndexedImages(load(DataConfig(str(tmp_path / "set.npz"), validation_fraction=0, cache=cache)))

    return make


def row(*values):
    return np.array(values, np.uint8).reshape(1, 1, -1, 1)


def families(noise, count, height, width, channels):
    """`count` pictures, and of each a copy with noise of 2 to 40 grey levels: distances from near to far."""
    first = noise(count, height, width, channels)
    spread = np.linspace(2, 40, count)[:, None, None, None]
    change = np.random.default_rng(1).normal(size=first.shape) * spread
    return np.concatenate([first, np.clip(first + change, 0, 255).astype(np.uint8)])


def test_distance_by_hand():
    # [0 0 100 100] has mean 50 and standard deviation 50: it becomes [-1 -1 1 1].
    steps = row(0, 0, 100, 100)
    assert distance(steps, row(30, 30, 90, 90)) == pytest.approx([0])  # brighter and paler
    # [0 100 100 0] becomes [-1 1 1 -1]: the squared differences are 0 4 0 4.
    assert distance(steps, row(0, 100, 100, 0)) == pytest.approx([np.sqrt(2)])
    assert distance(steps, row(100, 100, 0, 0)) == pytest.approx([2])  # the negative: 4 4 4 4


def test_distance_of_gray_images_is_that_of_the_correlation(noise):
    first, second = noise(20, 9, 7, 1), noise(20, 9, 7, 1, seed=1)
    r = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(distance(first, second), np.sqrt(2 * (1 - np.array(r))), rtol=1e-12)


def test_distance_does_not_see_a_colour_cast_but_sees_the_picture(noise):
    first = noise(5, 9, 7, 3) // 2
    np.testing.assert_allclose(distance(first, first + np.array([90, 0, 20], np.uint8)), 0, atol=1e-12)
    # Two different pictures under one blue sky's colour are not alike: each channel loses its mean.
    blue = np.array([0, 60, 200], np.uint8)
    assert (distance(blue + noise(5, 9, 7, 3) // 16, blue + noise(5, 9, 7, 3, seed=1) // 16) > 1).all()


@pytest.mark.parametrize("shape", [(28, 28, 1), (5, 7, 3), (16, 9, 3)])
def test_no_pair_is_missed_and_none_is_invented(noise, indexed, monkeypatch, shape):
    monkeypatch.setattr(duplicates, "ROWS", 7)
    monkeypatch.setattr(duplicates, "COLUMNS", 11)
    images = families(noise, 25, *shape)
    found = indexed(train=images)
    near = find_near_pairs(found, find_exact_copies(found), 0.3)
    every = np.array(list(itertools.combinations(range(50), 2)))
    distances = distance(images[every[:, 0]], images[every[:, 1]])
    expected = every[distances <= 0.3]
    assert 5 < len(expected) < 25 and near.complete and near.count == len(expected)
    assert {tuple(sorted(p)) for p in near.pairs.tolist()} == set(map(tuple, expected.tolist()))
    np.testing.assert_allclose(near.distances, np.sort(distances[distances <= 0.3]), rtol=1e-12)
    assert near.touched[:, 0].nonzero()[0].tolist() == sorted(set(expected.ravel().tolist()))


def test_counts_by_hand(noise, indexed):
    a, b, c, d, e = noise(5, 12, 12, 1)
    near_b = np.clip(b.astype(int) + 3 * (np.indices(b.shape).sum(0) % 2), 0, 255).astype(np.uint8)
    found = indexed(train=np.stack([a, a, a, b, c]), test=np.stack([a, a, near_b, d, d, e]))
    groups = find_exact_copies(found)
    # a a a b c | a a near_b d d e
    assert groups.group.tolist() == [0, 0, 0, 1, 2, 0, 0, 3, 4, 4, 5]
    assert groups.first.tolist() == [0, 3, 4, 7, 8, 10]
    assert (groups.copies(0), groups.copies(1)) == (2, 2)  # a twice more; a once more and d once more
    assert groups.shared(1, 0) == 2 and groups.shared(0, 1) == 3
    near = find_near_pairs(found, groups, 0.1)
    assert near.count == 1 and groups.first[near.pairs[0]].tolist() == [3, 7]
    assert near.images(groups, 1, 0) == 1 and near.images(groups, 0, 1) == 1
    assert near.images(groups, 0, 0) == near.images(groups, 1, 1) == 0


def test_an_image_that_stands_in_training_exactly_is_not_counted_as_near(noise, indexed):
    (a,) = noise(1, 12, 12, 1) // 2
    near_a = a + (np.indices(a.shape).sum(0) % 2).astype(np.uint8)
    found = indexed(train=np.stack([a, near_a]), test=np.stack([a, a]))
    groups = find_exact_copies(found)
    near = find_near_pairs(found, groups, 0.1)
    assert groups.shared(1, 0) == 2 and near.images(groups, 1, 0) == 0
    assert near.images(groups, 0, 0) == 2 and near.images(groups, 0, 1) == 1  # near_a is near the a of the test images


def test_images_of_one_colour_are_not_near_each_other(indexed):
    images = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 1, 250, 255)])
    images[1, 0, 0] = 2
    found = indexed(train=images)
    assert find_near_pairs(found, find_exact_copies(found), 0.5).count == 0


def test_distinct_random_images_have_no_copies(noise, indexed):
    found = indexed(train=noise(300, 8, 8, 1), test=noise(100, 8, 8, 1, seed=1))
    groups = find_exact_copies(found)
    assert len(groups.first) == 400 and not groups.shared(1, 0) and not find_near_pairs(found, groups, 0.2).count


def test_the_search_ends_where_everything_is_alike(noise, indexed, monkeypatch):
    monkeypatch.setattr(duplicates, "ROWS", 4)
    (a,) = noise(1, 8, 8, 1) // 2
    images = np.stack([a] * 20)
    images[np.arange(20), 0, 0, 0] += np.arange(20, dtype=np.uint8)
    found = indexed(train=images)
    groups = find_exact_copies(found)
    whole = find_near_pairs(found, groups, 0.3, keep=7)
    assert whole.complete and whole.count == 20 * 19 // 2 and len(whole.pairs) == len(whole.distances) == 7
    monkeypatch.setattr(duplicates, "MAX_VALUES", 64 * 100)  # 100 pairs
    ended = find_near_pairs(found, groups, 0.3, keep=7)
    assert not ended.complete and ended.count == 100 and len(ended.pairs) == 7


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_indexed_images_are_those_of_the_splits(noise, indexed, tmp_path, monkeypatch, cache):
    monkeypatch.setattr("kgen.data.audit.indexed_images.BLOCK_BYTES", 5 * 64)
    indexed(train=noise(40, 8, 8, 1), test=noise(9, 8, 8, 1, seed=1))
    dataset = load(DataConfig(str(tmp_path / "set.npz"), validation_fraction=0.25, cache=cache), seed=2)
    found = IndexedImages(dataset)
    expected = np.concatenate([dataset.arrays(split)[0] for split in dataset.splits])
    assert found.starts.tolist() == [0, 30, 40, 49] and len(found) == 49
    numbers, blocks = zip(*found.blocks(), strict=True)
    assert max(map(len, blocks)) == 5
    np.testing.assert_array_equal(np.concatenate(numbers), np.arange(49))
    np.testing.assert_array_equal(np.concatenate(blocks), expected)
    some = np.array([48, 3, 3, 35])
    np.testing.assert_array_equal(found.take(some), expected[some])
    assert [found.split(i) for i in some] == ["test", "train", "train", "validation"]
    assert found.name(48) == "image 8 of test"
    place = {image.tobytes(): i for i, image in enumerate(noise(40, 8, 8, 1))}
    assert found.name(35) == f"image {place[expected[35].tobytes()]} of train"
