import numpy as np
import pytest
from check_dataset import check_dataset, evaluated, taken

from kgen.config import DataConfig
from kgen.data import load


@pytest.fixture
def grays(tmp_path):
    """16 images; image i is of one grey value, 17 i: 0, 17, ..., 255."""
    np.savez(tmp_path / "a.npz", images=np.full((16, 8, 8), 17 * np.arange(16, dtype=np.uint8)[:, None, None]))

    def make(binarize, **options):
        return load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=0, binarize=binarize, **options))

    return make


def test_threshold(grays):
    dataset = grays("threshold")
    images, _ = evaluated(dataset, "train")
    # 17 * 7 = 119 -> 0.467, 17 * 8 = 136 -> 0.533
    assert images.mean((1, 2, 3)).tolist() == [0] * 8 + [1] * 8
    assert dataset.binary and not grays("none").binary
    assert dataset.arrays("train")[0][1].max() == 17  # kept as they are


def test_threshold_at_exactly_one_half(tmp_path):
    np.savez(
        tmp_path / "b.npz", images=np.array([127, 128], np.uint8).reshape(2, 1, 1, 1) * np.ones((1, 2, 2, 1), np.uint8)
    )
    images, _ = evaluated(
        load(DataConfig(str(tmp_path / "b.npz"), validation_fraction=0, binarize="threshold")), "train"
    )
    assert images[:, 0, 0, 0].tolist() == [0, 1]  # 127 / 255 < 0.5 <= 128 / 255


def test_samples_of_training_have_the_grey_value_as_mean_and_are_fresh(grays):
    dataset = grays("sample")
    epochs = 150
    images, _ = taken(dataset.batches("train", batch_size=16, repeat=True), epochs)
    assert dataset.binary and set(np.unique(images)) == {0, 1}
    # Every epoch has one of each grey value; sorted means of 64 pixels per image, so compare the mean of all: 0.5.
    # Standard error: sqrt(mean of p (1 - p)) / sqrt(150 * 16 * 64) = sqrt(0.1556 / 153600) = 0.001
    assert abs(images.mean() - 0.5) < 0.005
    # Of each epoch the image of grey value 17 * 8 = 136: the one whose mean is nearest to 136 / 255.
    nearest = [np.abs(e.mean((1, 2, 3)) - 136 / 255).argmin() for e in images.reshape(epochs, 16, 8, 8, 1)[:2]]
    one, two = (images[16 * e + n] for e, n in enumerate(nearest))
    assert not np.array_equal(one, two)  # sampled again: 64 fair coins do not agree twice


@pytest.mark.slow
def test_each_grey_value_has_its_own_probability(tmp_path):
    gradient = np.tile(np.arange(256, dtype=np.uint8), (8, 1))  # 8 x 256: column v has grey value v
    np.savez(tmp_path / "g.npz", images=np.stack([gradient] * 64)[..., None])
    dataset = load(DataConfig(str(tmp_path / "g.npz"), validation_fraction=0, binarize="sample"))
    for images in (
        taken(dataset.batches("train", batch_size=64, repeat=True), 20)[0],
        np.concatenate([evaluated(dataset, "train", seed=seed)[0] for seed in range(20)]),
    ):
        means = images.mean((0, 1))[:, 0]  # over 20 * 64 * 8 = 10240 draws; standard error at most 0.005
        assert means[0] == 0 and means[255] == 1  # black and white are certain
        np.testing.assert_allclose(means, np.arange(256) / 255, atol=0.025)
        correlation = np.corrcoef(images[:, :, 100:150, 0].reshape(len(images), -1).T)
        assert np.abs(correlation - np.eye(len(correlation))).max() < 0.2  # 1280 images: standard error 0.028


def test_the_evaluation_sample_is_fixed(grays):
    dataset = grays("sample")
    first = evaluated(dataset, "train", seed=1)[0]
    np.testing.assert_array_equal(first, evaluated(dataset, "train", seed=1, batch_size=5)[0])
    assert not np.array_equal(first, evaluated(dataset, "train", seed=2)[0])
    limited = evaluated(dataset, "train", seed=1, limit=4)[0]
    assert all(any(np.array_equal(a, b) for b in first) for a in limited)  # not sampled again for a part


def test_training_samples_resume_exactly(grays):
    dataset = grays("sample")
    three = taken(dataset.batches("train", batch_size=4, repeat=True, seed=1), 12)[0]
    resumed = taken(dataset.batches("train", batch_size=4, repeat=True, seed=1, start_epoch=2), 4)[0]
    np.testing.assert_array_equal(three[32:], resumed)


def test_data_that_are_black_and_white_are_binary(tmp_path, noise):
    np.savez(tmp_path / "a.npz", images=noise(30) > 127)
    dataset = load(DataConfig(str(tmp_path / "a.npz")))
    assert dataset.binary
    check_dataset(dataset)
