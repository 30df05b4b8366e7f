import subprocess
import sys

import numpy as np
import pytest
from check_dataset import check_dataset, evaluated

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.sources.digits import stratified_split


@pytest.mark.slow
def test_digits_conform():
    check_dataset(load(DataConfig("digits", limit=100)))
    dataset = load(DataConfig("digits"))
    assert dataset.spec.name == "digits" and dataset.spec.image_shape == (28, 28, 1)
    assert dataset.spec.class_names == tuple("0123456789")
    # 10 % of 1437 is 143.7 -> 144
    assert dataset.spec.examples == {"train": 1293, "validation": 144, "test": 360}
    assert not dataset.binary and not dataset.skipped


def test_the_test_split_is_the_same_whatever_the_seed():
    one, two = load(DataConfig("digits"), seed=1), load(DataConfig("digits"), seed=2)
    np.testing.assert_array_equal(one.arrays("test")[0], two.arrays("test")[0])
    assert not np.array_equal(one.arrays("validation")[0], two.arrays("validation")[0])


def test_own_size_and_scale_of_the_grey_levels():
    from sklearn.datasets import load_digits

    dataset = load(DataConfig("digits", image_size=(8, 8), validation_fraction=0))
    pixels = np.concatenate([dataset.arrays(split)[0] for split in ("train", "test")])
    assert pixels.shape == (1797, 8, 8, 1) and pixels.max() == 255
    # 17 grey levels: 0, 1/16, ..., 16/16
    np.testing.assert_array_equal(np.unique(pixels), np.rint(np.arange(17) / 16 * 255))
    assert float(evaluated(dataset, "test")[0].mean()) == pytest.approx(load_digits().data.mean() / 16, rel=0.02)


def test_splits_are_stratified():
    labels = load(DataConfig("digits")).arrays("test")[1]
    assert np.bincount(labels).min() >= 34 and np.bincount(labels).max() <= 38  # 360 images, 10 classes


@pytest.mark.parametrize("test_size", [360, 100, 900])
def test_the_split_is_that_of_scikit_learn(test_size):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    labels = load_digits().target
    expected = train_test_split(np.arange(len(labels)), test_size=test_size, random_state=0, stratify=labels)
    for part, indices in zip(stratified_split(labels, test_size), expected, strict=True):
        np.testing.assert_array_equal(part, indices)


def test_opening_loads_nothing_heavy():
    heavy = ("tensorflow", "tensorflow_datasets", "scipy", "sklearn", "PIL", "psutil")
    code = (
        "import sys; from kgen.data.sources.digits import open_digits; open_digits()\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
