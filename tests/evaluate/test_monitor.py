"""Monitor: values of samples while a model trains, of images that no report uses."""

from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_fixtures import blobs

import kgen
from kgen.config import DataConfig, RunConfig, TrainConfig
from kgen.data.reference import load_reference, real_images
from kgen.errors import UserError
from kgen.evaluate import EvalConfig, Evaluator, Monitor
from kgen.sampling import StandardNormal


class Blobs:
    """A sampler with a fixed answer: image i is one of 50 fixed ones, by the size of its latent point."""

    latent_shape, conditional, encodes, parameters, weights_hash = (3,), False, False, 0, "w"
    density, prior = StandardNormal((3,)), StandardNormal.name
    spec = kgen.DataSpec("blobs", (8, 8, 1))

    def decode(self, z, labels=None):
        pixels, _ = blobs(50, seed=11)
        return kgen.images.to_unit(pixels[(np.abs(z[:, 0]) * 1000).astype(int) % 50])


def monitor(data: DataConfig, seed: int = 0, **train) -> Monitor:
    options = {"eval_every": 1, "metrics": ("kid",), "eval_features": "pixels", "eval_count": 60} | train
    config = RunConfig("vae", data=data, train=TrainConfig(**options), seed=seed)
    return Monitor(config, kgen.data.load(data, seed=seed))


def test_the_real_images_are_the_validation_split_of_the_run(save_set, monkeypatch):
    data = save_set(count=640, test=40)
    seen = []
    monkeypatch.setattr("kgen.evaluate.monitor.real_images", lambda *given: seen.append(given) or real_images(*given))
    found = monitor(data, seed=3)
    assert found.split == "validation" and {split for _, split in seen} <= {"validation", "train"}
    dataset = kgen.data.load(data, seed=3)
    real = real_images(dataset, "validation")
    config = EvalConfig(("kid",), features="pixels", count=60, repeats=1)
    reference = load_reference(data)
    expected = Evaluator(type(reference)(reference.spec, real, lambda: reference.train), config)
    assert found.values(Blobs()) == expected.values(Blobs(), seed=3)
    other = Evaluator(reference, config).values(Blobs(), seed=3)  # of the test images
    assert other["kid"] != found.values(Blobs())["kid"]


def test_test_images_do_not_count(tmp_path):
    """Two sets that differ in their test images alone: equal values."""
    values = []
    for name, seed in (("one", 2), ("two", 99)):
        (x, y), (x_test, y_test) = blobs(80, seed=1), blobs(40, seed=seed)
        np.savez(tmp_path / f"{name}.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
        data = DataConfig(dataset=str(tmp_path / f"{name}.npz"))
        values.append(monitor(data, metrics=("kid", "prdc", "swd")).values(Blobs()))
    assert values[0] == values[1] and None not in values[0].values()


@pytest.mark.parametrize(
    "data", [{"count": 80, "test": 40}, {"count": 80, "test": 40, "validation_fraction": 0.0}, {"count": 80}]
)
def test_with_few_validation_images_or_none_it_is_the_training_split(save_set, data):
    """80 images have 8 set aside; also in a set that has no test images."""
    fraction = data.pop("validation_fraction", 0.1)
    found = monitor(kgen.DataConfig(dataset=save_set(**{"test": 0} | data).dataset, validation_fraction=fraction))
    assert found.split == "train"
    assert found.values(Blobs())["kid"] is not None


def test_without_unseen_images_what_needs_them_is_left_out(save_set):
    found = monitor(save_set(count=80, test=40), metrics=("memorization",))
    assert {*found.values(Blobs())} == {*found.better} == {"authenticity", "near_copies"}
    assert None not in found.values(Blobs()).values()


def test_the_same_images_every_time_and_others_for_another_seed(save_set):
    data = save_set(count=80, test=40)
    first = monitor(data)
    assert first.values(Blobs()) == first.values(Blobs()) == monitor(data).values(Blobs())
    assert first.values(Blobs()) != monitor(data, seed=1).values(Blobs())


def test_names_and_directions_of_the_values(save_set):
    found = monitor(save_set(), metrics=("fid", "prdc"))
    assert found.better == {
        "fid": "lower", "precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher",
    }  # fmt: skip
    assert {*found.values(Blobs())} == {*found.better}


def test_an_extractor_that_a_metric_names_is_part_of_the_name(save_set):
    found = monitor(save_set(), metrics=("kid@random", "kid"), best_by="kid@random")
    assert found.better == {"kid@random": "lower", "kid": "lower"}
    values = found.values(Blobs())
    assert {*values} == {*found.better} and values["kid"] != values["kid@random"]


def test_the_classifier_is_that_of_the_evaluation(digits_classifier, monkeypatch):
    """Also when the run sets other images aside: its values are then of the features that are reported."""
    from kgen.features import classifier

    def fail(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(classifier, "train_classifier", fail)
    data = DataConfig(validation_fraction=0.3, limit=200)
    found = monitor(data, seed=5, metrics=("coverage",), eval_features=None)
    assert found._evaluator._extractors["classifier"].hash == digits_classifier.hash


def test_memorization_compares_with_what_the_run_trains_on(save_set):
    """The validation images are unseen: they are no neighbours of themselves."""
    data = save_set(count=640, test=40)
    dataset = kgen.data.load(data)

    class Recites(Blobs):
        def decode(self, z, labels=None):
            return kgen.images.to_unit(dataset.arrays("train")[0][np.arange(len(z))])

    found = monitor(data, metrics=("memorization",), eval_count=20).values(Recites())
    assert found == {"authenticity": 0, "nearest_ratio": 0, "near_copies": 1, "copies": 1}


@pytest.mark.parametrize("flip", ["on", "off"])
def test_mirrored_copies_are_copies_where_images_are_mirrored(save_set, flip):
    data = save_set(count=640, test=40)
    dataset = kgen.data.load(data)

    class Recites(Blobs):
        def decode(self, z, labels=None):
            return kgen.images.to_unit(dataset.arrays("train")[0][np.arange(len(z))])[:, :, ::-1]

    found = monitor(data, metrics=("memorization",), eval_count=20, flip=flip).values(Recites())
    assert (found["near_copies"], found["copies"]) == ((1, 1) if flip == "on" else (0, 0))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"metrics": ("kit",)}, "unknown metric 'kit': did you mean 'kid'"),
        ({"best_by": "fid"}, "train.best_by: 'fid' is not measured; .*known: kid, loss"),
        ({"metrics": ("prdc",), "best_by": "recal"}, "'recal' is not measured; did you mean 'recall'"),
        ({"metrics": ("memorization",), "best_by": "nearest_ratio"}, "'nearest_ratio' is not measured"),
        ({"metrics": ("label_agreement",)}, "metric 'label_agreement' needs a data set with labels"),
        ({"eval_features": "classifier"}, "a classifier needs labels"),
        ({"eval_features": "squeezenet"}, "a training does not take; .*kgen-eval RUN --features squeezenet"),
        ({"metrics": ("kid@squeezenet",)}, "features 'squeezenet' need a file of weights"),
        ({"eval_count": 1}, "count must be at least 2"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(save_set, train, message):
    with pytest.raises(UserError, match=message):
        monitor(save_set(labelled=False), **train)


# best_by="auto" -------------------------------------------------------------------------------------------------------

COLOUR, GRAY = (64, 64, 3), (64, 64, 1)


def decided(shape=COLOUR, model="dcgan", classes=0, train_images=1_000, model_args=None, seen=(), **train):
    """(settings, line) that stand for auto; the data are those of a specification alone, so no monitor is returned."""
    spec = kgen.DataSpec("pictures", shape, num_classes=classes, examples={"train": train_images})
    settings = {"best_by": "auto", "metrics": ("kid", "prdc", "memorization"), "epochs": 100} | train
    config = RunConfig(model, model_args=model_args or {}, train=TrainConfig(**settings))
    return Monitor.decided(config, SimpleNamespace(spec=spec), seen)[:2]


@pytest.fixture
def is_installed(monkeypatch):
    """A function: whether the package of the pretrained network seems to be there."""

    def seem(there):
        monkeypatch.setattr("kgen.features.installed", lambda name: there)
        monkeypatch.setattr("kgen.evaluate.monitor.installed", lambda name: there)

    return seem


def test_auto_is_the_first_metric_by_features_that_see_shapes(is_installed):
    is_installed(True)
    train, line = decided()
    assert (train.best_by, train.eval_features, train.eval_every) == ("kid", "efficientnet-lite0", None)
    assert train.metrics == ("kid", "prdc", "memorization") and train.evaluated_every(100) == 10
    assert line == "best_by auto: kid by features 'efficientnet-lite0'"
    train, line = decided(GRAY, classes=3)
    assert (train.best_by, train.eval_features) == ("kid", "classifier")
    assert decided(classes=3)[0].eval_features == "efficientnet-lite0"
    train, line = decided(GRAY, metrics=("prdc@efficientnet-lite0", "kid"))
    assert (train.best_by, train.eval_features) == ("precision@efficientnet-lite0", "random")


@pytest.mark.parametrize(
    ("there", "options", "line"),
    [
        (True, {"model": "vae"}, "best_by auto: loss"),  # by its loss
        (False, {}, "features 'random' see no shapes; efficientnet-lite0 does: pip install 'kgen[features]'"),
        (False, {"shape": GRAY}, "features 'random' see no shapes"),
        (True, {"shape": GRAY}, "features 'random' see no shapes"),
        (True, {"model_args": {"feature_discriminator": "efficientnet-lite0"}}, "features 'random' see no shapes"),
        (True, {"seen": ("efficientnet-lite0",)}, "features 'random' see no shapes"),  # by what it started from
        (True, {"eval_features": "pixels"}, "features 'pixels' see no shapes"),
        (True, {"shape": GRAY, "classes": 3, "train_images": 999}, "; a classifier does from 1,000 images on"),
        (
            False,
            {"classes": 3, "train_images": 999},
            "from 1,000 images on; efficientnet-lite0 does: pip install 'kgen[features]'",
        ),
    ],
)
def test_otherwise_auto_is_the_loss(is_installed, there, options, line):
    is_installed(there)
    train, found = decided(**options)
    assert train.best_by == "loss" and not train.measures_samples
    assert found.endswith(line)


def test_auto_goes_by_a_classifier_of_few_images_where_it_is_named(is_installed):
    is_installed(False)
    assert decided(classes=3)[0].eval_features == "classifier"
    assert decided(classes=3, train_images=999, eval_features="classifier")[0].best_by == "kid"


def test_auto_looks_for_copies_of_few_images_alone(is_installed):
    """As kgen-eval without --metrics."""
    is_installed(True)
    assert decided(train_images=4_999)[0].metrics == ("kid", "prdc", "memorization")
    train, line = decided(train_images=5_000)
    assert train.metrics == ("kid", "prdc")
    assert line.endswith("'efficientnet-lite0'; without memorization, which is for fewer than 5,000 images")
    assert decided(train_images=5_000, metrics=("memorization",))[0].best_by == "authenticity"  # it alone is asked for


@pytest.mark.parametrize(
    ("minutes", "each", "every"),
    [(60, 10, 10), (60, 30, 17), (60, 45, 25), (60, 46, None), (10, 10, None), (5, 10, None)],
)
def test_within_minutes_auto_takes_a_fifteenth_of_them(is_installed, monkeypatch, minutes, each, every):
    """Of an hour 240 s, 60 of them for the real images: of 10 s ten (the most), of 30 s six, of 45 s four."""
    is_installed(True)
    monkeypatch.setattr(Monitor, "__init__", lambda self, config, dataset, seen: None)
    monkeypatch.setattr(Monitor, "seconds", lambda self: (60.0, each))
    train, line = decided(minutes=minutes)
    if every is None:
        least = -(-(60 + 4 * each) * 15 // 60)
        assert train.best_by == "loss" and line.endswith(
            f"by kid of features 'efficientnet-lite0' from --minutes {least} on"
        )
    else:
        assert (train.best_by, train.eval_every) == ("kid", every) and line.endswith(f"every {every} epochs")


def test_how_long_evaluations_take_is_estimated_from_one_image(save_set, monkeypatch):
    monkeypatch.setattr(Evaluator, "seconds_per_image", lambda self: 0.5)
    found = monitor(save_set(count=640, test=40), metrics=("kid", "memorization"), eval_count=50)
    assert found.seconds() == (0.5 * (64 + 576), 0.5 * 50)  # validation and training images; samples
    assert monitor(save_set(count=640, test=40), metrics=("kid",)).seconds() == (0.5 * 64, 0.5 * 60)


def test_seconds_per_image_are_those_of_all_extractors(save_set, monkeypatch):
    """A clock of one second per call of an extractor; the calls that compile do not count."""
    now = [0.0]
    monkeypatch.setattr("kgen.evaluate.evaluator.time", SimpleNamespace(monotonic=lambda: now[0]))
    found = monitor(save_set(), metrics=("kid@pixels", "kid@random"))._evaluator
    for extractor in found._extractors.values():
        monkeypatch.setattr(extractor, "batch_size", 4)
        monkeypatch.setattr(extractor, "batch", lambda pixels: (now.append(now.pop() + 1), (np.zeros((4, 2)), None))[1])
    assert found.seconds_per_image() == 2 / 4
