"""What turns images into vectors: row by row, the same on every call, and never two extractors under one hash."""

import numpy as np
import pytest

from kgen.data.reference import RealImages, Reference
from kgen.errors import UserError
from kgen.features import EXTRACTORS
from kgen.features.extractors import Extractor, open_extractor
from kgen.spec import DataSpec


def reference(*image_shape, classes: int = 0) -> Reference:
    """A Reference of one black image."""
    spec = DataSpec("made", image_shape, classes, tuple(map(str, range(classes))))
    real = RealImages(np.zeros((1, *image_shape), np.uint8), np.zeros(1, np.int32), "test", "0" * 16)
    return Reference(spec, real, lambda: real)


def noise(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def check_rows(extractor: Extractor, pixels: np.ndarray):
    """A row is a function of its image alone: of no other image, no place, no number of images, to rounding.

    Sums of at most some thousand terms, each rounded to 2^-24, of features of size 1: 1e-5 is far above.
    """
    features, logits = extractor(pixels)
    assert features.shape == (len(pixels), extractor.dimension) and features.dtype == np.float32
    assert np.isfinite(features).all()
    order = np.random.default_rng(1).permutation(len(pixels))
    for rows in (np.array([0]), np.arange(5), np.arange(256), np.arange(257), order):
        again, again_logits = extractor(pixels[rows])
        np.testing.assert_allclose(again, features[rows], rtol=0, atol=1e-5 * np.abs(features).max())
        if extractor.num_classes:
            assert logits.shape == (len(pixels), extractor.num_classes) and logits.dtype == np.float32
            np.testing.assert_allclose(again_logits, logits[rows], rtol=0, atol=1e-5 * np.abs(logits).max())
        else:
            assert logits is None and again_logits is None


@pytest.mark.parametrize("name", ["pixels", "random"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 20, 3), (64, 64, 3)])
def test_features_are_of_the_image_alone(name, shape):
    check_rows(open_extractor(name, reference(*shape)), noise(300, *shape))


def test_features_of_the_classifier_are_of_the_image_alone(digits, digits_classifier):
    assert digits_classifier.num_classes == 10
    check_rows(digits_classifier, digits.real.pixels)


def test_pixels_are_the_grey_levels():
    extractor = open_extractor("pixels", reference(2, 2, 1))
    features, _ = extractor(np.array([0, 51, 102, 255], np.uint8).reshape(1, 2, 2, 1))
    assert features.tolist() == [[0, np.float32(0.2), np.float32(0.4), 1]]
    assert (extractor.dimension, extractor.resizer, extractor.value_range) == (4, "none", "uint8 / 255")


def test_random_features_tell_images_apart_and_shift_with_them():
    extractor = open_extractor("random", reference(28, 28, 1))
    features, _ = extractor(noise(50, 28, 28, 1))
    assert len(np.unique(features, axis=0)) == 50
    square = np.zeros((2, 28, 28, 1), np.uint8)
    square[0, 2:8, 2:8], square[1, 20:26, 20:26] = 255, 255
    corners = extractor(square)[0].reshape(2, 4, -1)  # the means of four quarters, row by row
    # Only the quarter where the square lies, and what reaches over its border, is lit.
    assert corners[0].sum(axis=1).argmax() == 0 and corners[1].sum(axis=1).argmax() == 3
    assert np.all(extractor(np.zeros((1, 28, 28, 1), np.uint8))[0] == 0)  # no biases


def test_random_weights_are_the_same_for_ever():
    """Figures of other weights do not compare with those that were published."""
    assert open_extractor("random", reference(28, 28, 1)).hash == open_extractor("random", reference(64, 64, 1)).hash
    assert open_extractor("random", reference(28, 28, 1)).hash == "8b2f36e7a1c55e73"
    assert open_extractor("random", reference(28, 28, 3)).hash == "ae234c87bba8c333"


def test_hashes_differ(digits_classifier):
    extractors = [open_extractor("pixels", reference(4, 4, 1)), open_extractor("pixels", reference(8, 8, 1))]
    extractors += [open_extractor("random", reference(8, 8, n)) for n in (1, 3)]
    hashes = [extractor.hash for extractor in [*extractors, digits_classifier]]
    assert len({*hashes}) == 5 and all(len(value) == 16 for value in hashes)


def test_an_unknown_extractor_and_weights_for_another():
    with pytest.raises(UserError, match=r"'incepton'.*'inception'"):
        open_extractor("incepton", reference(8, 8, 1))
    assert {*EXTRACTORS} == {"pixels", "random", "classifier", "efficientnet-lite0", "squeezenet", "inception"}
    for name in ("pixels", "random", "classifier", "efficientnet-lite0"):
        with pytest.raises(UserError, match=r"--feature_weights.*--features squeezenet or inception"):
            open_extractor(name, reference(8, 8, 1), "weights.npz")


@pytest.mark.parametrize("classes", [0, 1])
def test_a_classifier_needs_two_classes(classes):
    others = "random or pixels or efficientnet-lite0 or squeezenet or inception"
    with pytest.raises(UserError, match=f"has {classes} classes.*--features {others}"):
        open_extractor("classifier", reference(8, 8, 1, classes=classes))
