import numpy as np
import pytest
from check_dataset import check_dataset, evaluated

from kgen.config import DataConfig
from kgen.data import load
from kgen.errors import UserError


def test_images_and_labels_conform(tmp_path, noise):
    path = tmp_path / "My Set.npz"
    labels = np.arange(40) % 4
    np.savez(path, images=noise(40, 6, 5), labels=labels)
    dataset = load(DataConfig(str(path)))
    check_dataset(dataset, forget=path.unlink)
    assert dataset.spec.name == "my-set" and dataset.spec.image_shape == (6, 5, 1) and dataset.spec.num_classes == 4
    assert dataset.spec.examples == {"train": 36, "validation": 4}
    assert any("validation split of 4 images is what is reported" in note for note in dataset.notes)


@pytest.mark.slow
def test_keras_names_with_all_splits(tmp_path, noise):
    path = tmp_path / "set.npz"
    x = noise(30, 6, 6, 3)
    y = np.arange(30)[:, None] % 3 + 5
    np.savez(path, x_train=x[:20], y_train=y[:20], x_val=x[20:25], y_val=y[20:25], x_test=x[25:], y_test=y[25:])
    dataset = load(DataConfig(str(path)))
    check_dataset(dataset)
    assert dataset.spec.examples == {"train": 20, "validation": 5, "test": 5}
    assert dataset.spec.class_names == ("5", "6", "7")
    np.testing.assert_array_equal(dataset.arrays("train")[0], x[:20])
    np.testing.assert_array_equal(dataset.arrays("test")[1], y[25:, 0] - 5)


@pytest.mark.parametrize(
    ("make", "binary"),
    [
        (lambda x: x / 255.0, False),
        (lambda x: (x / 255.0).astype(np.float16).astype(np.float32), False),
        (lambda x: x.astype(np.float32), False),
        (lambda x: x.astype(np.int64), False),
        (lambda x: x.astype(np.uint16) * 257, False),
        (lambda x: x > 127, True),
        (lambda x: (x > 127).astype(np.uint8), True),
        (lambda x: (x > 127).astype(np.float64), True),
    ],
    ids=["float64 unit", "float16", "float 0..255", "int64", "uint16", "bool", "0 and 1", "0.0 and 1.0"],
)
def test_every_range_becomes_the_same_pixels(tmp_path, noise, make, binary):
    pixels = noise(12)
    np.savez(tmp_path / "a.npz", data=make(pixels[..., 0]))
    dataset = load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=0))
    expected = np.where(pixels > 127, 255, 0) if binary else pixels
    np.testing.assert_allclose(dataset.arrays("train")[0].astype(int), expected, atol=1 if not binary else 0)
    assert dataset.binary is binary


def test_the_range_is_that_of_all_splits_together(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=np.full((3, 4, 4), 200.0), x_test=np.full((3, 4, 4), 1.0))
    dataset = load(DataConfig(str(tmp_path / "a.npz")))
    assert dataset.arrays("test")[0].max() == 1  # not 255: the training images say that 1 is nearly black


def test_rgba_is_laid_over_white(tmp_path):
    pixels = np.zeros((2, 2, 2, 4), np.uint8)
    pixels[0] = (255, 0, 0, 255)
    pixels[1] = (255, 0, 0, 51)  # alpha 0.2: 255 red, 0.8 * 255 = 204 white
    np.savez(tmp_path / "a.npz", x=pixels)
    got = load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=0)).arrays("train")[0]
    assert got[0, 0, 0].tolist() == [255, 0, 0] and got[1, 0, 0].tolist() == [255, 204, 204]


def test_single_array_and_labels_on_one_split_only(tmp_path, noise):
    np.savez(tmp_path / "a.npz", anything=noise(5))
    assert load(DataConfig(str(tmp_path / "a.npz"))).spec.num_classes == 0
    np.savez(tmp_path / "b.npz", x_train=noise(5), y_train=np.arange(5), x_test=noise(5, seed=1))
    dataset = load(DataConfig(str(tmp_path / "b.npz"), validation_fraction=0))
    assert dataset.splits == ("train",) and sorted(dataset.arrays("train")[1].tolist()) == [0, 1, 2, 3, 4]
    assert any("test ('x_test') is left out" in finding for finding in dataset.findings)
    np.savez(tmp_path / "c.npz", x_train=noise(5), x_test=noise(5, seed=1), y_test=np.arange(5))
    dataset = load(DataConfig(str(tmp_path / "c.npz")))
    assert dataset.spec.num_classes == 0 and any("labels of test are not used" in f for f in dataset.findings)
    assert not evaluated(dataset, "train")[1].any()


def test_images_sorted_by_class_are_mixed(tmp_path, noise):
    pixels = noise(50)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.repeat(np.arange(5), 10))
    got, labels = load(DataConfig(str(tmp_path / "a.npz"), validation_fraction=0)).arrays("train")
    assert len(set(labels[:15].tolist())) >= 4
    where = {image.tobytes(): i for i, image in enumerate(pixels)}
    assert [where[image.tobytes()] // 10 for image in got] == labels.tolist()  # labels move with their images


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"images": np.zeros((4, 3))}, "must be [N, H, W]"),
        ({"images": np.ones((4, 5, 8, 8))}, "must be [N, H, W] or [N, H, W, C]"),
        ({"images": np.full((4, 8, 8), -1.0)}, "values from -1.0 to -1.0"),
        ({"images": np.full((4, 8, 8), 70000)}, "70000"),
        ({"images": np.full((4, 8, 8), np.nan)}, "nan"),
        ({"images": np.zeros((4, 8, 8)), "labels": np.arange(5)}, "one whole number for each of the 4 images"),
        ({"images": np.zeros((4, 8, 8)), "labels": np.full(4, 0.5)}, "one whole number"),
        ({"a": np.zeros((4, 8, 8)), "b": np.zeros(3)}, "x_train"),
        ({"images": np.array([{}] * 4, object)}, "Python objects"),
        ({"images": np.full((4, 8, 8), "x")}, "must hold numbers"),
        ({"x_train": np.zeros((4, 8, 8)), "x_test": np.zeros((4, 8, 9))}, "different shapes"),
        ({"images": np.zeros((0, 8, 8))}, "[N, H, W]"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, words):
    np.savez(tmp_path / "bad.npz", **content)
    with pytest.raises(UserError) as error:
        load(DataConfig(str(tmp_path / "bad.npz")))
    assert words in str(error.value) and "bad.npz" in str(error.value)


def test_no_npz_file(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(UserError, match=r"cannot be read as an \.npz file"):
        load(DataConfig(str(tmp_path / "bad.npz")))
