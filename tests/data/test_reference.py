"""The real images: the same ones for every run on a data set, and never those that a figure must not see."""

import dataclasses

import numpy as np
import pytest
from evaluation_fixtures import blobs

import kgen
from kgen import data, random
from kgen.config import DataConfig
from kgen.data.fingerprint import fingerprint
from kgen.data.reference import load_reference
from kgen.data.training_data import Content
from kgen.errors import UserError
from kgen.spec import DataSpec


def results_of(pixels):
    return {image.tobytes() for image in pixels}


def test_the_test_split_is_the_same_for_every_run(digits):
    """A run's own seed, limit and validation split concern its training alone."""
    expected = kgen.data.load(DataConfig()).fingerprint("test")
    assert digits.real.hash == expected and digits.real.split == "test" and digits.real.count == 360
    assert digits.train.count == 1437 and digits.other is digits.train and digits.labelled
    for config, seed in ((DataConfig(limit=50), 0), (DataConfig(validation_fraction=0.5), 7), (DataConfig(), 3)):
        other = load_reference(config, seed=seed)
        assert (other.real.hash, other.train.hash) == (digits.real.hash, digits.train.hash)
        np.testing.assert_array_equal(other.real.pixels, digits.real.pixels)
        np.testing.assert_array_equal(other.real.labels, digits.real.labels)


def test_without_a_test_split_it_is_the_validation_split_of_the_run(save_set):
    config = save_set(count=60, test=0)
    first, again, other = (load_reference(config, seed=seed) for seed in (1, 1, 2))
    assert first.real.split == "validation" and first.real.count == 6 and first.train.count == 54
    assert not results_of(first.real.pixels) & results_of(first.train.pixels)
    own = kgen.data.load(config, seed=1)
    np.testing.assert_array_equal(first.real.pixels, own.arrays("validation")[0])
    assert first.real.hash == again.real.hash == own.fingerprint("validation") != other.real.hash
    assert first.other is first.train


def test_without_any_but_the_training_split(save_set):
    config = kgen.DataConfig(dataset=save_set(count=60, test=0).dataset, validation_fraction=0.0)
    with pytest.raises(UserError, match="no split 'validation'"):
        load_reference(config)
    whole = load_reference(config, split="train")
    assert whole.real.count == 60 and whole.other is None


def test_the_training_split_as_reference(digits):
    found = load_reference(DataConfig(), split="train", num_real=10_000)
    assert found.real.split == "train" and found.real.count == 1437 and found.real.hash == digits.train.hash
    assert found.other.split == "test" and found.other.hash == digits.real.hash


def test_images_whose_validation_split_was_not_stratified_have_not_changed():
    """Of a training of before: by hand, 144 of 1437 without regard to their classes."""
    whole = kgen.data.load(DataConfig(validation_fraction=0.0))
    pixels, labels = whole.arrays("train")
    aside = np.zeros(1437, bool)
    aside[random.generator(0, "validation").choice(1437, 144, replace=False)] = True
    hashes = {
        "train": fingerprint(pixels[~aside], labels[~aside]),
        "validation": fingerprint(pixels[aside], labels[aside]),
    }
    assert hashes["train"] != kgen.data.load(DataConfig()).fingerprint("train")
    content = Content({"train": 1293, "validation": 144, "test": 360}, hashes)
    assert load_reference(DataConfig(), content=content).changed == ""
    other = dataclasses.replace(content, hashes=hashes | {"train": "0" * 16})
    assert "training images of 'digits' have changed" in load_reference(DataConfig(), content=other).changed


def test_num_real_is_a_fixed_choice(digits):
    few, again = (load_reference(DataConfig(), num_real=100, seed=seed).real for seed in (0, 5))
    np.testing.assert_array_equal(few.pixels, again.pixels)
    assert few.count == 100 and few.hash == digits.real.hash  # the hash is of the split, the count tells it apart
    assert results_of(few.pixels) <= results_of(digits.real.pixels)
    by_image = {image.tobytes(): label for image, label in zip(digits.real.pixels, digits.real.labels, strict=True)}
    assert [by_image[image.tobytes()] for image in few.pixels] == few.labels.tolist()
    assert not np.array_equal(few.pixels, digits.real.pixels[:100])  # not the first
    assert len(load_reference(DataConfig(), num_real=100).train.pixels) == 1437
    assert digits.real.some(360) is digits.real and digits.real.some(1000) is digits.real
    for number in (1, 0, -3):
        with pytest.raises(UserError, match=f"--num_real.*at least 2.*Received: {number}"):
            load_reference(DataConfig(), num_real=number)


@pytest.mark.parametrize("binarize", ["threshold", "sample"])
def test_binarized_data_have_black_and_white_references(digits, binarize):
    found = load_reference(DataConfig(binarize=binarize))
    assert {*np.unique(found.real.pixels)} == {*np.unique(found.train.pixels)} == {0, 255}
    assert found.real.hash != digits.real.hash and found.train.hash != digits.train.hash
    grey, pixels = (np.asarray(reference.real.pixels) for reference in (digits, found))
    if binarize == "threshold":
        np.testing.assert_array_equal(pixels == 255, grey >= 128)
    else:
        # A pixel is white with the probability of its grey level: the mean stays, to 3 standard errors (0.5 / sqrt(N)).
        assert abs((pixels / 255).mean() - (grey / 255).mean()) < 1.5 / np.sqrt(360 * 784)
        np.testing.assert_array_equal(found.real.pixels, load_reference(DataConfig(binarize=binarize)).real.pixels)


@pytest.mark.parametrize("settings", [{}, {"binarize": "threshold"}, {"limit": 100}])
@pytest.mark.parametrize("test", [40, 0])
def test_the_reference_of_a_loaded_set_is_that_of_its_files(save_set, monkeypatch, settings, test):
    """The same images and hashes; they are read again only where the loaded set has not all of them."""
    config = dataclasses.replace(save_set(count=80, test=test), **settings)
    dataset, loads = data.load(config, seed=3), []
    expected = load_reference(config, seed=3)
    load = data.load
    monkeypatch.setattr(data, "load", lambda *args, **options: loads.append(args) or load(*args, **options))
    found = load_reference(config, seed=3, dataset=dataset)
    assert len(loads) == ("limit" in settings)
    assert found.spec == expected.spec and found.binarization == expected.binarization
    for one, two in ((found.real, expected.real), (found.train, expected.train), (found.other, expected.other)):
        assert (one.split, one.hash, one.part) == (two.split, two.hash, two.part)
        np.testing.assert_array_equal(one.pixels, two.pixels)
        np.testing.assert_array_equal(one.labels, two.labels)


def test_the_two_binarizations_have_two_hashes():
    one, two = (load_reference(DataConfig(binarize=how)).real.hash for how in ("threshold", "sample"))
    assert one != two


def test_a_generator_of_another_shape():
    with pytest.raises(UserError, match=r"\(32, 32, 3\).*'digits'.*\(28, 28, 1\).*--dataset"):
        load_reference(DataConfig(), spec=DataSpec("faces", (32, 32, 3)))
    assert load_reference(DataConfig(), spec=DataSpec("mine", (28, 28, 1))).spec.name == "digits"


def test_a_folder_of_pictures_without_a_test_split(tmp_path):
    pixels, labels = blobs(40)
    for name in ("ant", "bee"):
        chosen = pixels[labels == ("ant", "bee").index(name)]
        kgen.images.save_pngs(tmp_path / "pictures" / name, chosen, [f"{i:03d}" for i in range(len(chosen))])
    found = load_reference(DataConfig(dataset=str(tmp_path / "pictures")), seed=4)
    assert found.real.split == "validation" and (found.real.count, found.train.count) == (4, 36)
    assert found.spec.class_names == ("ant", "bee")
    assert results_of(found.real.pixels) | results_of(found.train.pixels) == results_of(pixels)


def test_unlabelled_data(save_set):
    found = load_reference(save_set(labelled=False))
    assert not found.labelled and found.real.count == 40 and not found.real.labels.any()


def test_other_images_without_splits_are_taken_whole(save_set):
    config = save_set(count=60, test=0)
    found = load_reference(config, own=False)
    whole = kgen.data.load(kgen.DataConfig(dataset=config.dataset, validation_fraction=0.0))
    assert (found.real.split, found.real.count, found.real.hash) == ("all", 60, whole.fingerprint("train"))
    np.testing.assert_array_equal(found.real.pixels, whole.arrays("train")[0])
    assert found.other is None and found.train.hash == found.real.hash
    assert load_reference(config, own=False, num_real=20).real.count == 20
    for split, count in (("train", 60), ("validation", 6)):
        chosen = load_reference(config, own=False, split=split).real
        assert (chosen.split, chosen.count) == (split, count)
    with pytest.raises(UserError, match=r"no split 'test' here, only train and validation"):
        load_reference(config, own=False, split="test")


def test_other_images_with_splits_give_their_test_split(save_set):
    found = load_reference(save_set(count=60, test=20), own=False)
    assert (found.real.split, found.real.count, found.other.split) == ("test", 20, "train")


def test_labels_are_in_the_order_of_the_generators_classes(digits):
    """An older run may have the same classes in another order; other classes, or none, keep the data set's own."""
    names = tuple("0213456789")
    spec = dataclasses.replace(digits.spec, class_names=names)
    config = DataConfig(dataset="digits")
    plain, found = load_reference(config, spec=digits.spec), load_reference(config, spec=spec)
    assert found.spec.class_names == names and plain.spec.class_names == tuple("0123456789")
    for one, other in ((plain.real, found.real), (plain.train, found.train)):
        assert [names[label] for label in other.labels] == [str(label) for label in one.labels]
    for classes in ((), tuple("abcdefghij")):
        unlike = dataclasses.replace(digits.spec, class_names=classes)
        assert load_reference(config, spec=unlike).spec == plain.spec
