"""Sets of images: everything computed once, what is real kept on disk."""

import numpy as np
import pytest

from kgen.data.reference import load_reference
from kgen.evaluate.compute import Inputs
from kgen.features.extractors import Extractor, open_extractor
from kgen.features.imageset import ImageSet
from kgen.metrics.frechet import moments


class Counting(Extractor):
    """Means of rows as features, and of columns as logits; counts its calls."""

    name, dimension, num_classes = "counting", 8, 8

    def __init__(self, hash="0" * 16, num_classes=8):
        self.hash, self.num_classes, self.calls = hash, num_classes, 0

    def batch(self, pixels):
        self.calls += 1
        means = pixels.mean(axis=(2, 3)), pixels.mean(axis=(1, 3))
        return means if self.num_classes else (means[0], None)


@pytest.fixture
def reference(save_set, own_cache):
    return load_reference(save_set(count=60, test=40))


def left(folder):
    return sorted(str(path.relative_to(folder).parent) for path in folder.rglob("*") if path.is_file())


def test_real_images_are_extracted_once(reference, own_cache):
    extractor = Counting()
    first, again = (ImageSet.real(reference.real) for _ in range(2))
    for images in (first, again):
        np.testing.assert_allclose(
            images.features(extractor), np.asarray(reference.real.pixels).mean(axis=(2, 3)), rtol=1e-6
        )
        np.testing.assert_allclose(
            images.logits(extractor), np.asarray(reference.real.pixels).mean(axis=(1, 3)), rtol=1e-6
        )
        expected = moments(images.features(extractor))
        np.testing.assert_allclose(images.moments(extractor).mean, expected.mean, rtol=1e-12)
        np.testing.assert_allclose(images.moments(extractor).covariance, expected.covariance, rtol=1e-12)
        assert images.moments(extractor).count == len(images) == 40
    assert extractor.calls == 1
    assert left(own_cache) == ["features", "moments"]  # whole files, and no .part- of them


def test_what_differs_is_filed_apart(reference, own_cache):
    """Another extractor, range, resizer, split or number of images: other statistics."""
    ranged, resized = Counting(), Counting()
    ranged.value_range, resized.resizer = "uint8", "antialiased"
    for extractor in (Counting(), Counting(hash="1" * 16), ranged, resized):
        ImageSet.real(reference.real).moments(extractor)
        assert extractor.calls == 1
    for images in (reference.train, reference.real.some(30)):
        extractor = Counting()
        ImageSet.real(images).moments(extractor)
        assert extractor.calls == 1
    assert left(own_cache) == ["features"] * 6 + ["moments"] * 6


def test_a_part_of_a_part_is_not_taken_for_another_part(reference):
    """30 of 35 of the 40 images are other images than 30 of the 40."""
    extractor = Counting()
    for images in (reference.real.some(35).some(30), reference.real.some(30)):
        found = ImageSet.real(images)
        np.testing.assert_allclose(found.features(extractor), np.asarray(images.pixels).mean(axis=(2, 3)), rtol=1e-6)


def test_mirrored_images_have_features_of_their_own(reference, own_cache):
    extractor = open_extractor("pixels", reference)
    for _ in range(2):
        images = ImageSet.real(reference.real)
        plain, mirrored = (found.features(extractor) for found in (images, images.mirrored()))
        np.testing.assert_array_equal(mirrored, extractor(np.asarray(reference.real.pixels)[:, :, ::-1])[0])
        assert np.abs(plain - mirrored).max() > 0.1
    assert left(own_cache) == ["features"] * 2
    np.testing.assert_array_equal(images.mirrored().pixels[3], np.asarray(reference.real.pixels)[3, :, ::-1])


def test_generated_images_are_extracted_once_and_leave_nothing(reference, own_cache):
    extractor = Counting()
    fake = ImageSet(reference.real.pixels)
    for _ in range(2):
        assert len(fake.features(extractor)) == len(fake.logits(extractor)) == fake.moments(extractor).count == 40
    assert extractor.calls == 1 and left(own_cache) == []


def test_an_interruption_leaves_nothing(reference, own_cache, monkeypatch):
    def broken(pixels):
        raise KeyboardInterrupt

    extractor = Counting()
    monkeypatch.setattr(extractor, "batch", broken)
    with pytest.raises(KeyboardInterrupt):
        ImageSet.real(reference.real).features(extractor)
    assert left(own_cache) == []


def test_several_extractors_of_one_set_run_once_each(reference):
    one, other, classifier = Counting(), Counting(hash="1" * 16), Counting(hash="2" * 16)
    images = ImageSet(reference.real.pixels)
    for _ in range(2):
        for extractor in (one, other, classifier):
            assert len(images.features(extractor)) == images.moments(extractor).count == 40
    assert (one.calls, other.calls, classifier.calls) == (1, 1, 1)


def test_who_gives_which_logits(reference):
    """An extractor that classifies is asked itself, else the classifier of the data set; one that is both, once."""
    plain, classifier = Counting(num_classes=0), Counting(hash="2" * 16)
    images = ImageSet(reference.real.pixels)
    assert Inputs(images, images, images, plain).logits_extractor is None
    inputs = Inputs(images, images, images, plain, classifier)
    assert inputs.logits_extractor is classifier
    np.testing.assert_array_equal(inputs.predicted, np.asarray(reference.real.pixels).mean(axis=(1, 3)).argmax(axis=1))
    assert (plain.calls, classifier.calls) == (0, 1)  # features were not asked for
    own = Counting()
    assert Inputs(images, images, images, own, classifier).logits_extractor is own
    both = Inputs(images, images, images, classifier, classifier)
    assert both.features and len(both.predicted) == 40 and classifier.calls == 1


def test_random_features_of_real_images_come_back_alike(reference):
    extractor = open_extractor("random", reference)
    first, again = (ImageSet.real(reference.real).features(extractor) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == again.dtype == np.float32
