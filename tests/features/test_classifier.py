"""The classifier of a data set: good enough to evaluate by, trained once, and another one for other data."""

import numpy as np
import pytest
from evaluation_fixtures import blobs

from kgen import cache
from kgen.data.reference import load_reference
from kgen.features import classifier
from kgen.features.classifier import build_network, open_classifier, train_classifier


def fail(*arguments, **options):
    raise AssertionError("trained again")


def test_it_knows_the_digits(digits, digits_classifier):
    right = digits_classifier.predict(digits.real.pixels) == digits.real.labels
    assert right.mean() >= 0.96
    assert right.shape == (360,)


def test_features_are_z_scored_by_the_training_images(digits, digits_classifier):
    features = digits_classifier(digits.train.pixels)[0].astype(np.float64)
    assert features.shape == (1437, digits_classifier.dimension)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-4)


def test_it_is_not_trained_twice(digits, digits_classifier, monkeypatch):
    monkeypatch.setattr(classifier, "train_classifier", fail)
    again = open_classifier(digits)
    assert again.hash == digits_classifier.hash
    np.testing.assert_array_equal(again(digits.real.pixels)[0], digits_classifier(digits.real.pixels)[0])


def test_it_does_not_depend_on_the_test_images(quick_classifier, save_set, monkeypatch):
    first = open_classifier(load_reference(save_set("one", test=40)))
    monkeypatch.setattr(classifier, "train_classifier", fail)
    assert open_classifier(load_reference(save_set("two", test=20))).hash == first.hash


def test_other_training_images_make_another(quick_classifier, save_set):
    first = open_classifier(load_reference(save_set("one", count=80)))
    assert open_classifier(load_reference(save_set("two", count=78))).hash != first.hash


@pytest.mark.slow
def test_a_broken_file_is_trained_anew(quick_classifier, save_set, own_cache):
    reference = load_reference(save_set())
    first = open_classifier(reference)
    (path,) = (own_cache / "classifiers").iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    again = open_classifier(reference)
    assert again.dimension == first.dimension  # the same seeded recipe
    np.testing.assert_allclose(again(reference.real.pixels)[0], first(reference.real.pixels)[0], atol=1e-3)
    with np.load(path) as file:
        assert cache.digest(*(file[name] for name in sorted(file))) == again.hash
    assert [*(own_cache / "classifiers").iterdir()] == [path]


def test_dead_units_are_left_out(monkeypatch, quick_classifier):
    """Half of the units get a bias that no input outweighs: they cannot fire, and have no z-score."""
    dead = np.arange(0, classifier.FEATURES, 2)

    def build(*arguments, build=build_network, **options):
        network = build(*arguments, **options)
        kernel, bias = network.layers[-3].get_weights()
        kernel[:, dead], bias[dead] = 0, -1
        network.layers[-3].set_weights([kernel, bias])
        return network

    monkeypatch.setattr(classifier, "build_network", build)
    pixels, labels = blobs(120)
    arrays = train_classifier(pixels, labels, 2)
    assert not {*arrays["used"]} & {*dead} and 0 < len(arrays["used"]) <= classifier.FEATURES - len(dead)
    trained = classifier.Classifier(arrays, pixels.shape[1:], 2)
    features, _ = trained(pixels)
    assert features.shape == (120, len(arrays["used"])) and np.isfinite(features).all()
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (16, 40, 3), (64, 64, 3), (128, 96, 1)])
def test_networks_of_any_size(shape):
    """Strided convolutions until at most eight rows or columns are left, then 128 features."""
    network = build_network(shape, 7, seed=0)
    features, logits = network(np.zeros((2, *shape), np.float32))
    assert features.shape == (2, classifier.FEATURES) and logits.shape == (2, 7)
    convolutions = [layer for layer in network.layers if "conv2d" in layer.name]
    depth = {8: 2, 28: 2, 16: 2, 64: 3, 96: 4}[min(shape[:2])]
    assert len(convolutions) == depth


@pytest.mark.slow
def test_the_seed_decides_the_weights(quick_classifier):
    pixels, labels = blobs(60, channels=3)
    first, again, other = (train_classifier(pixels, labels, 2, seed=seed)["weight00"] for seed in (0, 0, 1))
    np.testing.assert_allclose(first, again, atol=1e-4)
    assert np.abs(first - other).max() > 1e-2


def test_few_images_can_be_learned(quick_classifier):
    pixels, labels = blobs(10)
    trained = classifier.Classifier(train_classifier(pixels, labels, 2), (8, 8, 1), 2)
    test, expected = blobs(100, seed=5)
    assert (trained.predict(test) == expected).mean() > 0.9
