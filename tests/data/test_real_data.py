"""Known facts of public data sets, where they lie on this machine."""

import time

import numpy as np
import pytest
import scipy.io
from check_dataset import evaluated

from kgen.config import DataConfig
from kgen.data import load


@pytest.mark.slow
def test_mnist(real_tfds):
    start = time.monotonic()
    dataset = load(DataConfig("mnist"))
    assert time.monotonic() - start < 60  # 5 CPU-seconds; a shared machine may be slower
    assert dataset.spec.image_shape == (28, 28, 1) and dataset.spec.num_classes == 10
    assert dataset.spec.examples == {"train": 54_000, "validation": 6_000, "test": 10_000}
    pixels = np.concatenate([dataset.arrays(split)[0] for split in ("train", "validation")])
    # The published mean and standard deviation of the 60,000 training images.
    assert pixels.mean() / 255 == pytest.approx(0.1307, abs=1e-4) and pixels.std() / 255 == pytest.approx(
        0.3081, abs=1e-4
    )
    labels = np.concatenate([dataset.arrays(split)[1] for split in ("train", "validation")])
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert not dataset.binary


def test_fashion_mnist(real_tfds):
    dataset = load(DataConfig("fashion_mnist", limit=100))
    assert dataset.spec.name == "fashion-mnist" and dataset.spec.class_names[0] == "T-shirt/top"
    assert dataset.spec.examples == {"train": 100, "validation": 100, "test": 100}


def test_binarized_mnist(real_tfds):
    dataset = load(DataConfig("binarized_mnist", limit=2_000))
    assert dataset.binary and dataset.spec.num_classes == 0
    assert dataset.spec.examples == {"train": 2_000, "validation": 2_000, "test": 2_000}
    images, labels = evaluated(dataset, "test", batch_size=500)
    assert set(np.unique(images)) == {0, 1} and not labels.any()
    assert images.mean() == pytest.approx(0.13, abs=0.01)


def test_olivetti_faces_stand_upright(real_data):
    dataset = load(DataConfig(str(real_data("olivetti") / "olivettifaces.mat"), validation_fraction=0))
    assert dataset.spec.image_shape == (64, 64, 1) and dataset.spec.examples == {"train": 400}
    pixels = dataset.arrays("train")[0][..., 0]
    mean = pixels.astype(float).mean(0)
    # A face is the same left and right, but not above and below; the forehead is brighter than the chin's shadow.
    assert np.abs(mean - mean[:, ::-1]).mean() < 0.6 * np.abs(mean - mean[::-1]).mean()
    assert mean[4:12, 16:48].mean() > mean[56:, 16:48].mean()
    flat = scipy.io.loadmat(real_data("olivetti") / "olivettifaces.mat")["faces"]
    np.testing.assert_array_equal(pixels[0], flat[:, 0].reshape(64, 64).T)  # column by column, as MATLAB writes


def test_emoji_in_rgba_and_palettes_stand_on_white(real_data):
    dataset = load(DataConfig(str(real_data("twemoji72.zip")), limit=100))
    assert dataset.spec.image_shape == (72, 72, 3) and dataset.spec.num_classes == 0 and not dataset.skipped
    corners = dataset.arrays("train")[0][:, 0, 0]
    assert (corners == 255).all(1).mean() > 0.9


@pytest.mark.slow
def test_cifar10_zip(real_data):
    dataset = load(DataConfig(str(real_data("cifar10_jpeg.zip")), limit=200))
    assert dataset.spec.image_shape == (32, 32, 3)
    assert dataset.spec.class_names[:3] == ("airplane", "automobile", "bird") and dataset.spec.num_classes == 10
    assert dataset.spec.examples == {"train": 200, "validation": 200, "test": 200}
    # The published channel means of the training images, within the error of 600 images.
    pixels = np.concatenate([dataset.arrays(split)[0] for split in dataset.splits])
    np.testing.assert_allclose(pixels.mean((0, 1, 2)) / 255, (0.4914, 0.4822, 0.4465), atol=0.04)
    assert len(set(dataset.arrays("test")[1][:64].tolist())) == 10
