"""The measures as registered: what they need, what they return, and the figures of sets whose answer is known."""

import dataclasses

import numpy as np
import pytest
from check_metric import check_metric
from evaluation_fixtures import blobs

from kgen.data.reference import load_reference
from kgen.errors import UserError
from kgen.evaluate.registry import METRICS, Inputs, Modelled, check, of_samples
from kgen.features.extractors import Extractor, open_extractor
from kgen.features.imageset import ImageSet
from kgen.metrics.conditioning import wilson_interval
from kgen.models import build_model
from kgen.sampling import StandardNormal


class Levels(Extractor):
    """Features: four grey levels of the image; logits: ten times the first two, so the brighter one is the class."""

    name, hash, dimension, num_classes = "levels", "f" * 16, 4, 2

    def batch(self, pixels):
        levels = pixels.reshape(len(pixels), -1)[:, :4].astype(np.float32)
        return levels, 10 * levels[:, :2]


def image_set(levels, labels=None) -> ImageSet:
    """Images of 2 x 2 whose features are `levels` [N, 4]."""
    extractor = Levels()
    pixels = np.asarray(levels, np.uint8).reshape(-1, 2, 2, 1)
    return ImageSet(pixels, None if labels is None else np.asarray(labels, np.int32), extractor, extractor)


def sets(real, fake, *, real_labels=None, fake_labels=None, train=None, **options) -> Inputs:
    real_labels = np.zeros(len(real), np.int32) if real_labels is None else real_labels
    train = image_set(real if train is None else train, np.zeros(len(real if train is None else train)))
    return Inputs(image_set(real, real_labels), image_set(fake, fake_labels), train, num_classes=2, **options)


def values(name, given: Inputs) -> dict[str, float]:
    return {key: figure.value for key, figure in METRICS[name](given).items()}


REAL = np.random.default_rng(0).integers(0, 100, (60, 4))


def test_every_metric_says_what_it_needs_and_gives():
    for name in METRICS:
        about = METRICS.defaults(name)
        known = {"features", "logits", "labels", "classifier", "encoder", "likelihood"}
        assert about["needs"] and {*about["needs"]} <= known
        assert about["floor"] in ("other", "real", None)
        assert about["figures"] and {*about["figures"].values()} <= {"lower", "higher", ""}


def test_figures_are_those_that_were_announced(save_set, quick_classifier):
    """What is drawn while a model trains, and what a row calls better, is looked up by the announced names."""
    reference = load_reference(save_set(count=80, test=60))
    extractor = open_extractor("classifier", reference)
    real, train = (ImageSet.real(part, extractor, extractor) for part in (reference.real, reference.train))
    pixels, labels = blobs(60, seed=9)
    fake = ImageSet(pixels, labels, extractor, extractor)
    model = build_model("vae", reference.spec, hidden=[4], latent_dim=2)
    modelled = Modelled(model, StandardNormal((2,)), reference.real, "none: grey", samples=3)
    given = Inputs(real, fake, train, 2, anyway=True, reconstruct=lambda images, labels: images, modelled=modelled)
    for name in METRICS:
        assert {*METRICS[name](given)} == {*METRICS.defaults(name)["figures"]}, name


def test_what_looks_at_generated_images():
    assert not of_samples(["elbo", "nll", "active_units", "reconstruction"]) and not of_samples([])
    for name in {*METRICS} - {"elbo", "nll", "active_units", "reconstruction"}:
        assert of_samples(["elbo", name]), name


def test_fid_of_identical_shifted_and_collapsed_sets():
    """A shift by 50 of every feature moves the mean alone: the distance is its square, 4 * 50^2."""
    covariance = np.cov(REAL.T)
    collapsed = float(np.square(REAL.mean(axis=0) - 7).sum() + np.trace(covariance))  # one image has no covariance
    check_metric(
        lambda real, fake: values("fid", sets(real, fake))["fid"],
        identical=(REAL, REAL, 0),
        shifted=(REAL, REAL + 50, 4 * 50.0**2),
        collapsed=(REAL, np.full((60, 4), 7), collapsed),
        order_tolerance=1e-8,
    )


@pytest.mark.parametrize("name", ["kid", "swd"])
def test_other_distances_grow_with_the_shift(name):
    same, near, far = (values(name, sets(REAL, REAL + shift))[name] for shift in (0, 10, 100))
    assert abs(same) < near / 2 < far / 4
    many = np.random.default_rng(1).integers(0, 100, (2_000, 4))
    (figure,) = METRICS[name](sets(many, many + 10)).values()
    assert figure.interval[0] < figure.value < figure.interval[1] and not figure.note
    assert figure.settings in ({"subsets": 100, "subset_size": 1_000}, {"projections": 1_000})


def test_subsets_that_are_nearly_all_images_give_no_interval():
    """100 subsets of 60 of 60 images are one subset, and their scatter is none; of 1,999 images they are half."""
    (figure,) = METRICS["kid"](sets(REAL, REAL + 10)).values()
    assert figure.interval is None and figure.settings["subset_size"] == 60
    assert figure.note == "few images: the subsets share most of them, so their scatter says little"
    many = np.random.default_rng(1).integers(0, 100, (1_999, 4))
    (figure,) = METRICS["kid"](sets(many, many + 10)).values()
    assert figure.interval is None and figure.settings["subset_size"] == 1_000


def test_too_few_images_for_a_covariance():
    """Four dimensions need five images of either kind."""
    for real, fake in ((REAL[:4], REAL), (REAL, REAL[:4])):
        (figure,) = METRICS["fid"](sets(real, fake)).values()
        assert figure.value is None and figure.note == "4 images are too few for features of 4 dimensions"
        (figure,) = METRICS["fid"](sets(real, fake, anyway=True)).values()
        assert np.isfinite(figure.value) and figure.value >= 0 and "too few" in figure.note
        (figure,) = METRICS["fid_infinity"](sets(real, fake)).values()
        assert figure.value is None and "too few" in figure.note
        (figure,) = METRICS["fid_infinity"](sets(real, fake, anyway=True)).values()
        assert figure.note  # a remark beside the number, or why there is none
    (figure,) = METRICS["fid"](sets(REAL[:5], REAL[:5])).values()
    assert figure.value == pytest.approx(0, abs=1e-8) and "biased upwards by the 5 images" in figure.note


def test_prdc_of_sets_of_unequal_size_takes_equal_numbers():
    figures = METRICS["prdc"](sets(REAL, REAL[:20]))
    assert {key: figure.count for key, figure in figures.items()} == dict.fromkeys(figures, 20)
    assert figures["precision"].settings == figures["recall"].settings == {"k": 3}
    assert figures["density"].settings == figures["coverage"].settings == {"k": 5}
    # Seven copies of one image: it lies in a ball, but the copies' own balls have no size and hold nothing.
    collapsed = values("prdc", sets(REAL, np.repeat(REAL[:1], 60, axis=0)))
    assert collapsed["precision"] == 1 and collapsed["recall"] == 0
    too_few = METRICS["prdc"](sets(REAL, REAL[:5]))
    assert all(
        figure.value is None and figure.note == "needs more than 5 images of each kind" for figure in too_few.values()
    )


def test_inception_score_of_two_sure_classes():
    """Half the images surely of one class and half of the other: e^(log 2). One class only: 1."""
    both = np.array([[200, 0, 0, 0], [0, 200, 0, 0]] * 500)
    # Ten random splits of 100: shares are uneven by 0.05, which costs 2 * 0.05^2 of log 2 on average.
    assert values("is", sets(both, both))["inception_score"] == pytest.approx(2, abs=0.05)
    one = np.array([[200, 0, 0, 0]] * 100)
    assert values("is", sets(both, one))["inception_score"] == pytest.approx(1, abs=1e-9)


def test_fewer_images_than_splits_of_the_inception_score():
    """The figure cannot be told, which is no reason to withhold the others."""
    (figure,) = METRICS["is"](sets(REAL, REAL[:9])).values()
    assert figure.value is None and figure.note


def test_label_agreement_counts_and_names_the_worst_class():
    fake = [[200, 0, 0, 0]] * 6 + [[0, 200, 0, 0]] * 2
    (figure,) = METRICS["label_agreement"](sets(REAL, fake, fake_labels=[0] * 4 + [1] * 4)).values()
    # Class 0: 4 of 4 look like it; class 1: 2 of 4.
    assert figure.value == 0.75 and figure.hits == (6, 8) and figure.note == "lowest: class 1, 50.0%"
    low, high = figure.interval
    # Wilson's, 6 of 8, z = 1.96: (0.75 + 0.2401 -+ 1.96 * sqrt(0.0234375 + 0.0150063)) / 1.4802
    assert (low, high) == (pytest.approx(0.40927, abs=1e-4), pytest.approx(0.92852, abs=1e-4))


def test_class_coverage_of_a_collapse():
    real_labels, one = [0, 1] * 30, [[200, 0, 0, 0]] * 10
    found = values("coverage", sets(REAL, one, real_labels=real_labels))
    # KL of (1, 0) from (1/2, 1/2) is log 2.
    assert found == {
        "classes_covered": 1, "smallest_class_share": 0, "class_kl": pytest.approx(np.log(2)), "class_entropy": 0
    }  # fmt: skip


def test_the_entropy_of_the_classes_of_samples():
    """Shares of 3/4 and 1/4: 3/4 log 4/3 + 1/4 log 4."""
    found = values("coverage", sets(REAL, [[200, 0, 0, 0]] * 30 + [[0, 200, 0, 0]] * 10, real_labels=[0, 1] * 30))
    assert found["class_entropy"] == pytest.approx(0.75 * np.log(4 / 3) + 0.25 * np.log(4))


def test_memorised_images_are_told():
    train = REAL[:40]
    copies = values("memorisation", sets(REAL[40:], train, train=train))
    assert copies == {"authenticity": 0, "nearest_ratio": 0, "copies": 1}
    unseen = values("memorisation", sets(REAL[40:], REAL[40:], train=train))
    assert unseen["nearest_ratio"] == 1 and unseen["copies"] == 0


def test_reconstruction_is_the_mean_square_over_pixels():
    """A constant error of 51 of 255 levels: 0.2^2."""
    given = dataclasses.replace(
        sets(np.full((20, 4), 102), REAL), reconstruct=lambda images, labels: images + np.float32(0.2)
    )
    (figure,) = METRICS["reconstruction"](given).values()
    assert figure.value == pytest.approx(0.04, rel=1e-5)
    assert figure.interval == pytest.approx((0.04, 0.04), rel=1e-5)


def test_gan_train_needs_samples_that_teach(save_set, quick_classifier):
    """Real images as samples teach the task; with their labels swapped, they teach the reverse."""
    reference = load_reference(save_set(count=80, test=60))
    extractor = open_extractor("pixels", reference)
    real, train = (ImageSet.real(part, extractor) for part in (reference.real, reference.train))
    pixels, labels = blobs(60, seed=9)
    for given, low, high in ((labels, 0.9, 1.0), (1 - labels, 0.0, 0.1)):
        (figure,) = METRICS["gan_train"](Inputs(real, ImageSet(pixels, given, extractor), train, 2)).values()
        assert low <= figure.value <= high and figure.hits is None  # repeats share the real images: no pooling
        assert figure.interval == wilson_interval(round(60 * figure.value), 60)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["fdi"], {}, "unknown metric 'fdi': did you mean 'fid'"),
        (["fid", "coverage"], {"num_classes": 0}, "metric 'coverage' needs a data set with labels; leave it out"),
        (["label_agreement"], {"num_classes": 1}, "metric 'label_agreement' needs a data set with labels"),
        (["label_agreement"], {"labelled_fakes": False}, "metric 'label_agreement' needs images with labels: a condit"),
        (["gan_train"], {"labelled_fakes": False}, "metric 'gan_train' needs images with labels"),
        (["reconstruction"], {"encodes": False}, "metric 'reconstruction' needs an encoder"),
        (["elbo"], {"likelihood": False}, "metric 'elbo' needs a model with a likelihood, which exports, .*GANs lack"),
        (["nll"], {"likelihood": False}, "give the run directory of a VAE, or leave it out of --metrics"),
        (["elbo", "nll", "active_units"], {"num_classes": 0, "labelled_fakes": False, "encodes": False}, None),
        (["is"], {"num_classes": 0}, None),
        (["fid", "kid", "prdc", "swd", "memorisation"], {"num_classes": 0, "labelled_fakes": False}, None),
    ],
)
def test_what_cannot_be_measured_is_said(names, options, message):
    options = {"num_classes": 2, "labelled_fakes": True, "encodes": True, "likelihood": True} | options
    if message is None:
        assert check(names, **options) is None
    else:
        with pytest.raises(UserError, match=message):
            check(names, **options)
