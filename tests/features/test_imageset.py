"""Sets of images: everything computed once, what is real kept on disk."""

import numpy as np
import pytest

from kgen.data.reference import load_reference
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
    first, again = (ImageSet.real(reference.real, extractor) for _ in range(2))
    for images in (first, again):
        np.testing.assert_allclose(images.features, reference.real.pixels.mean(axis=(2, 3)), rtol=1e-6)
        np.testing.assert_allclose(images.logits, reference.real.pixels.mean(axis=(1, 3)), rtol=1e-6)
        expected = moments(images.features)
        np.testing.assert_allclose(images.moments.mean, expected.mean, rtol=1e-12)
        np.testing.assert_allclose(images.moments.covariance, expected.covariance, rtol=1e-12)
        assert images.moments.count == len(images) == 40
    assert extractor.calls == 1
    assert left(own_cache) == ["features", "moments"]  # whole files, and no .part- of them


def test_what_differs_is_filed_apart(reference, own_cache):
    """Another extractor, range, resizer, split or number of images: other statistics."""
    ranged, resized = Counting(), Counting()
    ranged.value_range, resized.resizer = "uint8", "antialiased"
    for extractor in (Counting(), Counting(hash="1" * 16), ranged, resized):
        ImageSet.real(reference.real, extractor).moments  # noqa: B018
        assert extractor.calls == 1
    for images in (reference.train, reference.real.some(30)):
        extractor = Counting()
        ImageSet.real(images, extractor).moments  # noqa: B018
        assert extractor.calls == 1
    assert left(own_cache) == ["features"] * 6 + ["moments"] * 6


def test_a_part_of_a_part_is_not_taken_for_another_part(reference):
    """30 of 35 of the 40 images are other images than 30 of the 40."""
    extractor = Counting()
    for images in (reference.real.some(35).some(30), reference.real.some(30)):
        found = ImageSet.real(images, extractor)
        np.testing.assert_allclose(found.features, images.pixels.mean(axis=(2, 3)), rtol=1e-6)


def test_generated_images_are_extracted_once_and_leave_nothing(reference, own_cache):
    extractor = Counting()
    fake = ImageSet(reference.real.pixels, None, extractor)
    for _ in range(2):
        assert len(fake.features) == len(fake.logits) == fake.moments.count == 40
    assert extractor.calls == 1 and left(own_cache) == []


def test_an_interruption_leaves_nothing(reference, own_cache, monkeypatch):
    def broken(pixels):
        raise KeyboardInterrupt

    extractor = Counting()
    monkeypatch.setattr(extractor, "batch", broken)
    with pytest.raises(KeyboardInterrupt):
        ImageSet.real(reference.real, extractor).features  # noqa: B018
    assert left(own_cache) == []


def test_who_gives_which_logits(reference):
    plain, classifier = Counting(num_classes=0), Counting(hash="2" * 16)
    alone = ImageSet(reference.real.pixels, None, plain)
    assert alone.logits is None and alone.class_logits is None
    both = ImageSet(reference.real.pixels, None, plain, classifier)
    np.testing.assert_array_equal(both.logits, both.class_logits)
    np.testing.assert_array_equal(both.predicted, reference.real.pixels.mean(axis=(1, 3)).argmax(axis=1))
    assert (plain.calls, classifier.calls) == (0, 1)  # features were not asked for
    own = Counting()
    of_its_own = ImageSet(reference.real.pixels, None, own, classifier)
    assert of_its_own.logits is not None and own.calls == 1  # an extractor that classifies is asked itself


def test_a_classifier_that_is_the_extractor_is_asked_once(reference):
    extractor = Counting()
    images = ImageSet(reference.real.pixels, None, extractor, extractor)
    assert images.features is not None and images.predicted is not None and extractor.calls == 1


def test_random_features_of_real_images_come_back_alike(reference):
    extractor = open_extractor("random", reference)
    first, again = (ImageSet.real(reference.real, extractor).features for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == again.dtype == np.float32
