"""The metrics of the registry: what they need, what they return, and their values for sets whose answer is known."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from check_metric import check_metric
from evaluation_fixtures import blobs

from kgen.data.reference import load_reference
from kgen.errors import UserError
from kgen.evaluate.compute import Inputs, LikelihoodInputs
from kgen.evaluate.registry import METRICS, UNITS, MetricChoice, check, directions, parse_metrics
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
    pixels = np.asarray(levels, np.uint8).reshape(-1, 2, 2, 1)
    return ImageSet(pixels, None if labels is None else np.asarray(labels, np.int32))


def sets(real, fake, *, real_labels=None, fake_labels=None, train=None, **options) -> Inputs:
    real_labels = np.zeros(len(real), np.int32) if real_labels is None else real_labels
    train = image_set(real if train is None else train, np.zeros(len(real if train is None else train)))
    extractor = Levels()
    real, fake = image_set(real, real_labels), image_set(fake, fake_labels)
    return Inputs(real, fake, train, extractor, extractor, num_classes=2, **options)


def values(name, given: Inputs) -> dict[str, float]:
    return {key: one.value for key, one in METRICS[name](given).items()}


REAL = np.random.default_rng(0).integers(0, 100, (60, 4))


def test_every_metric_declares_what_it_needs_and_gives():
    known = {"features", "logits", "labels", "classifier", "encoder", "posterior", "likelihood"}
    for metric in METRICS.values():
        assert metric.needs and {*metric.needs} <= known
        assert metric.baseline in ("other", "reference", None) and metric.help and "\n" not in metric.help
        assert metric.values and {value.better for value in metric.values.values()} <= {"lower", "higher", ""}
        assert metric.once != metric.of_samples and (metric.baseline is None) != metric.of_samples
    assert UNITS.keys() == {name for metric in METRICS.values() for name in metric.values}


@pytest.mark.slow
def test_values_are_those_that_were_declared(save_set, quick_classifier):
    """Curves of a training and the direction of a result are looked up by the declared names."""
    reference = load_reference(save_set(count=80, test=60))
    extractor = open_extractor("classifier", reference)
    real, train = (ImageSet.real(part) for part in (reference.real, reference.train))
    fake = ImageSet(*blobs(60, seed=9))
    model = build_model("vae", reference.spec, hidden=[4], latent_dim=2)
    likelihood = LikelihoodInputs(model, StandardNormal((2,)), reference.real, "none: grey", samples=3)
    given = Inputs(
        real, fake, train, extractor, extractor, 2, anyway=True, reconstruct=lambda images, labels: images,
        likelihood=likelihood,
    )  # fmt: skip
    for name, metric in METRICS.items():
        assert {*metric(given)} == {*metric.values}, name


def test_what_looks_at_generated_images():
    of_models = {"elbo", "nll", "active_units", "reconstruction"}
    assert {name for name, metric in METRICS.items() if metric.of_samples} == {*METRICS} - of_models


def test_names_need_no_library():
    """Flags, help and messages are made from these tables before anything heavy is imported."""
    heavy = {"numpy", "tensorflow", "keras", "matplotlib", "scipy", "sklearn"}
    program = f"import sys, kgen.evaluate.registry, kgen.features; print(*({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_metric_may_name_its_extractor():
    assert parse_metrics(["fid@inception", " kid @ random ", "prdc", "fid", "fid@inception", "nll"]) == [
        MetricChoice("fid", "inception"), MetricChoice("kid", "random"), MetricChoice("prdc"), MetricChoice("fid"),
        MetricChoice("nll"),
    ]  # fmt: skip
    assert str(MetricChoice("prdc", "random")) == "prdc@random" and str(MetricChoice("prdc")) == "prdc"
    assert directions(["prdc@random", "is", "fid"]) == {
        "precision@random": "higher", "recall@random": "higher", "density@random": "higher",
        "coverage@random": "higher", "inception_score": "higher", "fid": "lower",
    }  # fmt: skip
    takes = {name for name, metric in METRICS.items() if metric.takes_features}
    assert takes == {"fid", "fid_infinity", "kid", "prdc", "swd", "is", "memorization"}


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("fdi@random", ("'fdi'", "did you mean 'fid'")),
        ("fid@randon", ("'randon'", "did you mean 'random'")),
        ("fid@", ("''", "known: classifier")),
        ("nll@random", ("'nll'", "takes no extractor", "'nll@random'")),
        ("label_agreement@inception", ("'label_agreement'", "takes no extractor")),
    ],
)
def test_choices_that_are_none(word, parts):
    with pytest.raises(UserError) as error:
        parse_metrics([word])
    assert all(part in str(error.value) for part in parts), error.value


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kid", "swd"])
def test_other_distances_grow_with_the_shift(name):
    same, near, far = (values(name, sets(REAL, REAL + shift))[name] for shift in (0, 10, 100))
    assert abs(same) < near / 2 < far / 4
    many = np.random.default_rng(1).integers(0, 100, (2_000, 4))
    (found,) = METRICS[name](sets(many, many + 10)).values()
    assert found.interval[0] < found.value < found.interval[1] and not found.note
    assert found.settings in ({"subsets": 100, "subset_size": 1_000}, {"projections": 1_000})


@pytest.mark.slow
def test_subsets_that_are_nearly_all_images_give_no_interval():
    """100 subsets of 60 of 60 images are one subset, and their scatter is none; of 1,999 images they are half."""
    (found,) = METRICS["kid"](sets(REAL, REAL + 10)).values()
    assert found.interval is None and found.settings["subset_size"] == 60
    assert found.note == "few images: the subsets share most of them, so their scatter gives no interval"
    many = np.random.default_rng(1).integers(0, 100, (1_999, 4))
    (found,) = METRICS["kid"](sets(many, many + 10)).values()
    assert found.interval is None and found.settings["subset_size"] == 1_000


@pytest.mark.parametrize("metric", ["kid", "swd", "prdc", "memorization", "fid", "fid_infinity"])
@pytest.mark.parametrize(("real", "fake"), [(1, 60), (60, 1)])
def test_one_image_has_no_distribution(metric, real, fake):
    """No value, and why, in place of an error that withholds the others."""
    found = METRICS[metric](sets(REAL[:real], REAL[:fake], train=REAL[:real]))
    assert found and all((one.value is None and one.note) or metric == "memorization" for one in found.values())


def test_too_few_images_for_a_covariance():
    """Four dimensions need five images of either kind."""
    for real, fake in ((REAL[:4], REAL), (REAL, REAL[:4])):
        (found,) = METRICS["fid"](sets(real, fake)).values()
        assert found.value is None and found.note == "4 images are too few for features of 4 dimensions"
        (found,) = METRICS["fid"](sets(real, fake, anyway=True)).values()
        assert np.isfinite(found.value) and found.value >= 0 and "too few" in found.note
        (found,) = METRICS["fid_infinity"](sets(real, fake)).values()
        assert found.value is None and "too few" in found.note
        (found,) = METRICS["fid_infinity"](sets(real, fake, anyway=True)).values()
        assert found.note  # a remark beside the number, or why there is none
    (found,) = METRICS["fid"](sets(REAL[:5], REAL[:5])).values()
    assert found.value == pytest.approx(0, abs=1e-8) and "biased upwards by the 5 images" in found.note


def test_prdc_of_sets_of_unequal_size_takes_equal_numbers():
    values_ = METRICS["prdc"](sets(REAL, REAL[:20]))
    assert {key: found.count for key, found in values_.items()} == dict.fromkeys(values_, 20)
    assert values_["precision"].settings == values_["recall"].settings == {"k": 3}
    assert values_["density"].settings == values_["coverage"].settings == {"k": 5}
    # Seven copies of one image: it lies in a ball, but the copies' own balls have no size and hold nothing.
    collapsed = values("prdc", sets(REAL, np.repeat(REAL[:1], 60, axis=0)))
    assert collapsed["precision"] == 1 and collapsed["recall"] == 0
    too_few = METRICS["prdc"](sets(REAL, REAL[:5]))
    assert all(
        found.value is None and found.note == "needs more than 5 images of each kind" for found in too_few.values()
    )


def test_inception_score_of_two_sure_classes():
    """Half the images surely of one class and half of the other: e^(log 2). One class only: 1."""
    both = np.array([[200, 0, 0, 0], [0, 200, 0, 0]] * 500)
    # Ten random splits of 100: shares are uneven by 0.05, which costs 2 * 0.05^2 of log 2 on average.
    assert values("is", sets(both, both))["inception_score"] == pytest.approx(2, abs=0.05)
    one = np.array([[200, 0, 0, 0]] * 100)
    assert values("is", sets(both, one))["inception_score"] == pytest.approx(1, abs=1e-9)


def test_fewer_images_than_splits_of_the_inception_score():
    """The value cannot be computed, which is no reason to withhold the others."""
    (found,) = METRICS["is"](sets(REAL, REAL[:9])).values()
    assert found.value is None and found.note


def test_label_agreement_counts_and_names_the_worst_class():
    fake = [[200, 0, 0, 0]] * 6 + [[0, 200, 0, 0]] * 2
    (found,) = METRICS["label_agreement"](sets(REAL, fake, fake_labels=[0] * 4 + [1] * 4)).values()
    # Class 0: 4 of 4 look like it; class 1: 2 of 4.
    assert found.value == 0.75 and found.hits == (6, 8) and found.note == "lowest: class 1, 50.0%"
    low, high = found.interval
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


def test_memorized_images_are_found():
    train = REAL[:40]
    copies = values("memorization", sets(REAL[40:], train, train=train))
    assert copies == {"authenticity": 0, "nearest_ratio": 0, "near_copies": 1, "copies": 1}
    unseen = values("memorization", sets(REAL[40:], REAL[40:], train=train))
    assert unseen["nearest_ratio"] == 1 and unseen["copies"] == 0


def test_reconstruction_is_the_mean_square_over_pixels():
    """A constant error of 51 of 255 levels: 0.2^2."""
    given = dataclasses.replace(
        sets(np.full((20, 4), 102), REAL), reconstruct=lambda images, labels: images + np.float32(0.2)
    )
    (found,) = METRICS["reconstruction"](given).values()
    assert found.value == pytest.approx(0.04, rel=1e-5)
    assert found.interval == pytest.approx((0.04, 0.04), rel=1e-5)


@pytest.mark.slow
def test_gan_train_needs_samples_that_teach(save_set, quick_classifier):
    """A classifier learns the task from real images in place of samples; with their labels swapped, the reverse."""
    reference = load_reference(save_set(count=80, test=60))
    extractor = open_extractor("pixels", reference)
    real, train = (ImageSet.real(part) for part in (reference.real, reference.train))
    pixels, labels = blobs(60, seed=9)
    for given, low, high in ((labels, 0.9, 1.0), (1 - labels, 0.0, 0.1)):
        inputs = Inputs(real, ImageSet(pixels, given), train, extractor, num_classes=2)
        (found,) = METRICS["gan_train"](inputs).values()
        assert low <= found.value <= high and found.hits is None  # repeats share the real images: no pooling
        assert found.interval == wilson_interval(round(60 * found.value), 60)


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
        (["fid", "kid", "prdc", "swd", "memorization"], {"num_classes": 0, "labelled_fakes": False}, None),
    ],
)
def test_what_cannot_be_measured_is_said(names, options, message):
    options = {"num_classes": 2, "labelled_fakes": True, "encodes": True, "likelihood": True} | options
    if message is None:
        assert check(names, **options) is None
    else:
        with pytest.raises(UserError, match=message):
            check(names, **options)
