"""The validation split: as large as asked for, a function of the seed, and stratified by class."""

import numpy as np
import pytest

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.splits import _largest_remainders


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ([10, 10, 10], 3, [1, 1, 1]),
        ([50, 30, 20], 10, [5, 3, 2]),
        ([7, 7, 6], 4, [2, 1, 1]),  # 1.4 1.4 1.2: the first of the equal remainders
        ([5, 5, 1], 3, [2, 1, 0]),  # 1.36 1.36 0.27, and the class of one image keeps it
        ([2, 1, 1], 3, [1, 0, 0]),  # more than one cannot be had
        ([20, 1, 1, 1, 1], 6, [6, 0, 0, 0, 0]),  # 5 0.25 0.25 0.25 0.25: what the small ones cannot give
    ],
)
def test_shares_by_hand(sizes, count, expected):
    assert _largest_remainders(np.array(sizes), count).tolist() == expected


def test_every_class_is_in_the_validation_split_of_a_small_set(tmp_path, noise):
    """Twenty classes of ten images: a plain random choice of twenty loses seven of them on average."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(20), 10))
    np.savez(tmp_path / "a.npz", images=noise(200), labels=labels)
    chosen = set()
    for seed in range(5):
        dataset = load(DataConfig(str(tmp_path / "a.npz")), seed=seed)
        assert np.bincount(dataset.arrays("validation")[1]).tolist() == [1] * 20
        assert np.bincount(dataset.arrays("train")[1]).tolist() == [9] * 20
        chosen.add(dataset.fingerprint("validation"))
        assert load(DataConfig(str(tmp_path / "a.npz")), seed=seed).fingerprint("validation") in chosen
    assert len(chosen) == 5


def test_folders_are_stratified_and_a_class_of_one_image_is_trained_on(tmp_path, noise, save):
    for i, pixels in enumerate(noise(21)):
        save(tmp_path / "set" / ("rare" if i == 20 else "ab"[i % 2]) / f"{i}.png", pixels)
    dataset = load(DataConfig(str(tmp_path / "set"), validation_fraction=0.2))
    assert np.bincount(dataset.arrays("validation")[1], minlength=3).tolist() == [2, 2, 0]
    assert np.bincount(dataset.arrays("train")[1], minlength=3).tolist() == [8, 8, 1]


def test_unlabelled_images_are_a_plain_random_choice(tmp_path, noise):
    from kgen import random

    pixels = noise(50)
    np.savez(tmp_path / "a.npz", images=pixels)
    dataset = load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=0.2), seed=3)
    expected = np.sort(random.generator(3, "validation").choice(50, 10, replace=False))
    np.testing.assert_array_equal(dataset.arrays("validation")[0], pixels[expected])
