"""Evaluations whole: equal to the last digit, equal for a run and its exports, and each value with its protocol."""

import dataclasses
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from evaluation_fixtures import blobs
from PIL import Image
from same_images import about
from untrained import untrained_run

import kgen
from kgen.config import DataConfig
from kgen.data.reference import load_reference
from kgen.errors import UserError
from kgen.evaluate import EvalConfig, Evaluator, evaluate, results
from kgen.evaluate.registry import METRICS
from kgen.evaluate.target import Target
from kgen.export import export
from kgen.features.imageset import ImageSet
from kgen.metrics.frechet import frechet_distance, moments

QUICK = EvalConfig(count=400, repeats=2)
DEFAULTS = {
    "fid", "kid", "precision", "recall", "density", "coverage", "inception_score", "classes_covered",
    "smallest_class_share", "class_kl", "class_entropy", "authenticity", "nearest_ratio", "near_copies", "copies",
}  # fmt: skip
PROTOCOL = {
    "features", "extractor_hash", "dimension", "resizer", "value_range", "data", "data_hash", "image_shape", "split",
    "num_real", "num_fake", "settings", "seed", "repeats", "weights_hash", "fakes_resized_from", "prior",
}  # fmt: skip


def by_name(found) -> dict[str, dict]:
    assert len({row["metric"] for row in found}) == len(found)
    return {row["metric"]: row for row in found}


def without_timing(found) -> list[dict]:
    return [{**row, "target": {k: v for k, v in row["target"].items() if "seconds" not in k}} for row in found]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


@pytest.fixture(scope="module")
def of_run(default_job, digits_classifier, out):
    """The rows of the default run: 400 images, twice."""
    return evaluate(default_job[0].path, QUICK, out=out / "run.jsonl")[0]


@pytest.mark.slow
def test_all_that_applies_is_measured(of_run):
    """Grey pixels have no Bernoulli likelihood: the bound is left out."""
    assert {*by_name(of_run)} == DEFAULTS | {
        "label_agreement", "label_agreement_drawn", "reconstruction_mse", "active_units",
    }  # fmt: skip


@pytest.mark.slow
def test_again_without_what_was_kept_is_equal_to_the_last_digit(of_run, default_job, tmp_path, out, monkeypatch):
    """Only the classifier is copied; features, moments and baselines are computed again."""
    from kgen.cache import cache_root

    shutil.copytree(cache_root() / "classifiers", tmp_path / "cache" / "classifiers")
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    again, path = evaluate(default_job[0].path, QUICK, out=out / "again.jsonl")
    assert without_timing(again) == without_timing(of_run)
    assert path == out / "again.jsonl"
    assert [json.loads(line) for line in path.read_text().splitlines()] == again == results.read_results(path)
    assert not [*(tmp_path / "cache").rglob(".part-*")] and [*(tmp_path / "cache" / "baselines").glob("*.json")]


@pytest.mark.slow
def test_the_same_protocol_and_weights_replace_a_figure(of_run, default_job, out):
    """Another seed is another line, the same one is not."""
    config = EvalConfig(metrics=("fid",), count=400, repeats=2)
    for seed, lines in ((0, 1), (0, 1), (1, 2)):
        evaluate(default_job[0].path, dataclasses.replace(config, seed=seed), out=out / "fid.jsonl")
        assert len(results.read_results(out / "fid.jsonl")) == lines


@pytest.mark.slow
def test_figures_of_saved_model_and_tflite_are_those_of_the_run(of_run, default_export, out):
    """To rounding: a few pixels may be the next grey level, so an image may fall into another class."""
    saved = by_name(evaluate(default_export, QUICK, out=out / "saved.jsonl")[0])
    lite = by_name(evaluate(default_export / "model.tflite", QUICK, out=out / "lite.jsonl")[0])
    expected = by_name(of_run)
    of_model = {"active_units", "label_agreement_drawn"}  # exports tell no likelihood
    assert {*saved} == {*expected} - of_model and {*lite} == {*saved} - {"reconstruction_mse"}
    for found, tolerance in ((saved, 1e-5), (lite, 1e-4)):
        for name, row in found.items():
            assert row["values"] == about(expected[name]["values"], name, 360, tolerance), name
            assert row["protocol"] == expected[name]["protocol"]  # weights and extractor included
            assert row["baseline"] == expected[name]["baseline"]
            assert results.difference(row["protocol"], expected[name]["protocol"]) == []


def test_every_figure_bears_its_protocol(of_run, digits, digits_classifier, default_job):
    model = default_job[0].load_model()
    for name, row in by_name(of_run).items():
        protocol = row["protocol"]
        assert {*protocol} == PROTOCOL, name
        assert (protocol["data"], protocol["data_hash"], protocol["split"]) == ("digits", digits.real.hash, "test")
        assert protocol["image_shape"] == [28, 28, 1]
        assert (protocol["seed"], protocol["weights_hash"]) == (0, model.weights_hash())
        assert row["target"]["name"] == "00000-cvae-digits" and row["target"]["parameters"] == model.parameters
        assert row["target"]["seconds_per_1000_samples"] > 0
        assert row["kgen"] == kgen.__version__ and row["environment"]["processor"]
        once = name in ("reconstruction_mse", "active_units")
        assert protocol["repeats"] == len(row["values"]) == (1 if once else 2)
        extractor = (
            ("none", None, None) if once else ("classifier", digits_classifier.hash, digits_classifier.dimension)
        )
        assert (protocol["features"], protocol["extractor_hash"], protocol["dimension"]) == extractor
        assert (protocol["resizer"], protocol["value_range"]) == ("none", "uint8 / 255")
    counts = {name: (row["protocol"]["num_real"], row["protocol"]["num_fake"]) for name, row in by_name(of_run).items()}
    assert counts["fid"] == counts["label_agreement"] == (360, 400)
    assert counts["precision"] == counts["coverage"] == (360, 360)  # of equal numbers
    assert counts["reconstruction_mse"] == counts["active_units"] == (360, 0)
    assert by_name(of_run)["precision"]["protocol"]["settings"] == {"k": 3}


def test_repeats_give_mean_deviation_and_interval(of_run, default_job, out):
    config = EvalConfig(metrics=("fid", "label_agreement"), count=400, repeats=1)
    first, second = (
        by_name(evaluate(default_job[0].path, dataclasses.replace(config, seed=seed), out=out / "one.jsonl")[0])
        for seed in (0, 1)
    )
    both = by_name(of_run)
    a, b = first["fid"]["value"], second["fid"]["value"]
    assert both["fid"]["values"] == [a, b] and a != b  # the second repeat is the seed after the first
    assert both["fid"]["value"] == pytest.approx((a + b) / 2, rel=1e-12)
    deviation = abs(a - b) / np.sqrt(2)  # of two values
    assert both["fid"]["stddev"] == pytest.approx(deviation, rel=1e-9)
    half = 12.7062 * deviation / np.sqrt(2)  # Student's quantile of one degree of freedom
    assert both["fid"]["interval"] == pytest.approx([(a + b) / 2 - half, (a + b) / 2 + half], rel=1e-4)
    assert first["fid"]["stddev"] is None and first["fid"]["interval"] is None
    # A share: Wilson's interval of all 800 images.
    share, z = both["label_agreement"]["value"], 1.96
    middle, half = share + z**2 / 1600, z * np.sqrt(share * (1 - share) / 800 + z**2 / 4 / 800**2)
    wilson = np.array([middle - half, middle + half]) / (1 + z**2 / 800)
    assert both["label_agreement"]["interval"] == pytest.approx(wilson, rel=1e-9)


def test_baselines_are_the_values_of_real_images(of_run, digits, digits_classifier):
    found = by_name(of_run)
    features = [digits_classifier(part.pixels)[0] for part in (digits.train.some(400), digits.real)]
    expected = frechet_distance(*map(moments, features))
    assert found["fid"]["baseline"] == pytest.approx(expected, rel=1e-9)
    assert 0 < found["fid"]["baseline"] < found["fid"]["value"]
    accuracy = (digits_classifier.predict(digits.real.pixels) == digits.real.labels).mean()
    assert found["label_agreement"]["baseline"] == pytest.approx(accuracy)  # the classifier's own: no model does better
    assert found["classes_covered"]["baseline"] == 10 and found["class_kl"]["baseline"] < 0.01
    assert found["precision"]["baseline"] > 0.7 and found["coverage"]["baseline"] > 0.8
    assert found["reconstruction_mse"]["baseline"] is None
    assert {row["metric"] for row in of_run if row["better"] not in ("lower", "higher")} == {
        "class_entropy",
        "nearest_ratio",
    }
    assert found["class_entropy"]["better"] == "" and found["class_entropy"]["baseline"] == pytest.approx(2.3, abs=0.01)


def test_agreement_of_drawn_pixels_is_told_beside_that_of_means(of_run, default_job, digits_classifier):
    """Draws with the probability of each pixel, here with another stream of numbers: shares alike, not equal."""
    sampler = kgen.open_sampler(default_job[0].path)
    labels = np.arange(400) % 10
    means = sampler.decode(sampler.density.sample(0, 400), labels.astype(np.int32))
    drawn = (np.random.default_rng(5).random(means.shape) < means).astype(np.uint8) * 255
    expected = (digits_classifier(drawn)[1].argmax(axis=1) == labels).mean()
    found = by_name(of_run)["label_agreement_drawn"]
    assert found["value"] == pytest.approx(expected, abs=0.08)  # 400 of some 80 %: 2 % is a standard error
    assert found["value"] < by_name(of_run)["label_agreement"]["value"]


def test_a_trained_model_is_far_better_than_noise(of_run, tmp_path, out):
    np.savez(tmp_path / "noise.npz", images=np.random.default_rng(0).integers(0, 256, (400, 28, 28, 1), np.uint8))
    config = EvalConfig(metrics=("fid", "kid", "prdc"), count=400)
    noise = by_name(evaluate(tmp_path / "noise.npz", config, dataset="digits", out=out / "noise.jsonl")[0])
    trained = by_name(of_run)
    assert noise["fid"]["value"] > 5 * trained["fid"]["value"] and noise["kid"]["value"] > 5 * trained["kid"]["value"]
    assert trained["label_agreement"]["value"] > 0.8 and trained["classes_covered"]["value"] == 10
    assert noise["precision"]["value"] < trained["precision"]["value"] / 5


@pytest.mark.slow
def test_a_folder_of_the_runs_samples_has_its_values(default_job, tmp_path, out):
    """As many images as there are real ones: no metric takes a part of them, so their order does not matter."""
    samples = kgen.generate(kgen.open_sampler(default_job[0].path), 360)
    for i, (image, label) in enumerate(zip(samples.pixels, samples.labels, strict=True)):
        kgen.images.save_png(tmp_path / "fakes" / str(label) / f"{i:03d}.png", image)
    config = EvalConfig(metrics=("fid", "kid", "prdc", "label_agreement", "coverage"), count=360, repeats=1)
    expected = by_name(evaluate(default_job[0].path, config, out=out / "360.jsonl")[0])
    found = by_name(evaluate(tmp_path / "fakes", config, dataset="digits", out=out / "fakes.jsonl")[0])
    assert {*found} == {*expected} - {"label_agreement_drawn"}
    for name, row in found.items():
        assert row["value"] == about(expected[name]["value"], name, 360), name
        assert results.difference(row["protocol"], expected[name]["protocol"]) == []
        assert row["target"]["kind"] == "folder" and row["protocol"]["weights_hash"]
    with pytest.raises(UserError, match=r"metric 'reconstruction' needs an encoder, which .* a folder"):
        evaluate(tmp_path / "fakes", EvalConfig(metrics=("reconstruction",)), dataset="digits", out=out / "x.jsonl")


def test_real_images_as_samples_are_perfect(digits, digits_classifier, tmp_path, out):
    np.savez(tmp_path / "real.npz", images=digits.real.pixels, labels=digits.real.labels)
    found = by_name(evaluate(tmp_path / "real.npz", EvalConfig(repeats=3), dataset="digits", out=out / "r.jsonl")[0])
    values = {name: row["value"] for name, row in found.items()}
    features = digits_classifier(digits.real.pixels)[0]
    identical = frechet_distance(moments(features), moments(features))
    assert values["fid"] == identical and abs(identical) < 1e-6
    assert abs(values["kid"]) < 0.02 * found["kid"]["baseline"] or values["kid"] <= 0
    assert [values[name] for name in ("precision", "recall", "density", "coverage")] == [1, 1, 1, 1]
    accuracy = (digits_classifier.predict(digits.real.pixels) == digits.real.labels).mean()
    assert values["label_agreement"] == pytest.approx(accuracy)
    assert values["classes_covered"] == 10 and values["class_kl"] < 0.01
    assert all(row["protocol"]["repeats"] == 1 and row["stddev"] is None for row in found.values())  # nothing to repeat


def test_one_image_again_and_again_is_a_collapse(digits, digits_classifier, tmp_path, out):
    seven = digits.real.pixels[digits.real.labels == 7][0]
    assert digits_classifier.predict(seven[None]) == 7
    np.savez(tmp_path / "one.npz", images=np.repeat(seven[None], 360, axis=0))
    found = by_name(evaluate(tmp_path / "one.npz", dataset="digits", out=out / "one-image.jsonl")[0])
    values = {name: row["value"] for name, row in found.items()}
    assert values["recall"] == 0 and values["precision"] == 1
    # It lies in the balls of those alone that have it among their five nearest: about five, of 360.
    assert 0 < values["coverage"] < 0.1
    assert (values["classes_covered"], values["smallest_class_share"]) == (1, 0)
    # KL of all in one class from the real histogram: -log of that class's share.
    assert values["class_kl"] == pytest.approx(-np.log((digits.real.labels == 7).mean()), rel=1e-9)
    assert values["inception_score"] == pytest.approx(1, abs=1e-5)
    assert values["fid"] > 20 * found["fid"]["baseline"]
    assert "label_agreement" not in found  # the images have no labels


@pytest.mark.slow
def test_an_unconditional_model(trained_vae, digits_classifier, out):
    config = EvalConfig(count=100, repeats=1)
    found = by_name(evaluate(trained_vae.path, config, out=out / "vae.jsonl")[0])
    assert {*found} == DEFAULTS | {"reconstruction_mse", "active_units"}
    for name in ("label_agreement", "gan_train"):
        with pytest.raises(UserError, match=f"metric '{name}' needs images with labels: a conditional model"):
            evaluate(trained_vae.path, dataclasses.replace(config, metrics=("fid", name)), out=out / "vae.jsonl")


def test_unlabelled_data_are_compared_by_random_features(save_set, tmp_path, out, monkeypatch):
    """128 dimensions: a Fréchet distance of 128 images cannot be computed, of 129 it can."""
    reference = save_set(count=200, test=150, labelled=False).dataset
    pixels, _ = blobs(150, seed=7)
    np.savez(tmp_path / "fakes.npz", images=pixels)

    def computed(**options):
        config = EvalConfig(**options)
        return by_name(evaluate(tmp_path / "fakes.npz", config, dataset=reference, out=out / "plain.jsonl")[0])

    found = computed(count=128)
    of_all = {"fid", "kid", "precision", "recall", "density", "coverage"}
    assert {*found} == of_all | {"authenticity", "nearest_ratio", "near_copies", "copies"}  # of few training images
    monkeypatch.setitem(METRICS, "memorization", replace(METRICS["memorization"], default_below=200))
    assert {*computed(count=128)} == {*computed(count=128, split="train")} == of_all
    assert {(row["protocol"]["features"], row["protocol"]["dimension"]) for row in found.values()} == {("random", 128)}
    assert (found["fid"]["value"], found["fid"]["stddev"], found["fid"]["interval"]) == (None, None, None)
    assert found["fid"]["note"] == "128 images are too few for features of 128 dimensions"
    assert found["kid"]["value"] is not None
    assert computed(count=128, anyway=True, metrics=("fid",))["fid"]["value"] > 0
    assert computed(count=129, metrics=("fid",))["fid"]["value"] > 0
    for name in ("label_agreement", "coverage", "gan_train"):
        with pytest.raises(UserError, match=f"metric '{name}' needs a data set with labels"):
            computed(metrics=(name,))
    with pytest.raises(UserError, match="a classifier needs labels"):
        computed(features="classifier")


def test_a_few_images_are_measured_as_far_as_they_go(digits_classifier, digits, tmp_path, out):
    np.savez(tmp_path / "few.npz", images=digits.real.pixels[:5])
    found = by_name(evaluate(tmp_path / "few.npz", dataset="digits", out=out / "few.jsonl")[0])
    assert found["fid"]["value"] is None and found["precision"]["value"] is None
    assert found["inception_score"]["value"] is None and found["inception_score"]["note"]
    assert found["kid"]["value"] is not None and found["classes_covered"]["value"] >= 1


@pytest.mark.slow
def test_figures_by_other_features(default_job, digits, out):
    """Pixels: 784 dimensions, too many for 400 images. The classes are still the classifier's."""
    config = EvalConfig(metrics=("fid", "swd", "label_agreement"), features="pixels", count=400, repeats=1)
    found = by_name(evaluate(default_job[0].path, config, out=out / "pixels.jsonl")[0])
    assert found["fid"]["value"] is None and found["swd"]["value"] > found["swd"]["baseline"] > 0
    features = {name: row["protocol"]["features"] for name, row in found.items()}
    agreement = dict.fromkeys(("label_agreement", "label_agreement_drawn"), "classifier")
    assert features == {"fid": "pixels", "swd": "pixels", **agreement}
    assert found["swd"]["protocol"]["extractor_hash"] != found["label_agreement"]["protocol"]["extractor_hash"]


@pytest.mark.slow
def test_two_extractors_in_one_evaluation_equal_two_evaluations(default_job, digits_classifier, out, own_features):
    """Values, intervals, baselines and protocols; and each extractor sees every image once."""
    config = EvalConfig(metrics=("fid", "kid@random", "prdc@random", "swd"), count=400, repeats=2)
    both = evaluate(default_job[0].path, config, out=out / "both.jsonl")[0]
    batches = own_features()
    one = evaluate(default_job[0].path, dataclasses.replace(config, metrics=("fid", "swd")), out=out / "one.jsonl")[0]
    other = dataclasses.replace(config, metrics=("kid", "prdc"), features="random")
    other = evaluate(default_job[0].path, other, out=out / "other.jsonl")[0]
    order = ["fid", "kid", "precision", "recall", "density", "coverage", "swd"]
    assert [result["metric"] for result in both] == order
    assert without_timing(both) == sorted(without_timing([*one, *other]), key=lambda one: order.index(one["metric"]))
    assert {result["protocol"]["features"] for result in one} == {"classifier"}
    assert {result["protocol"]["features"] for result in other} == {"random"}
    # Two repeats of 400, the 360 real images and 400 of the training split: of each extractor, once.
    assert batches == {"classifier": 4, "random": 4}
    assert results.read_results(out / "both.jsonl") == both


@pytest.fixture
def own_features(monkeypatch, tmp_path):
    """Counts the sets that every extractor runs over, in a cache of its own that has the classifier alone."""
    from collections import Counter

    from kgen.cache import cache_root
    from kgen.features.extractors import Extractor

    shutil.copytree(cache_root() / "classifiers", tmp_path / "cache" / "classifiers")
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    seen, call = Counter(), Extractor.__call__
    monkeypatch.setattr(Extractor, "__call__", lambda self, pixels: seen.update([self.name]) or call(self, pixels))
    return lambda: dict(seen)


@pytest.mark.slow
def test_the_same_metric_by_two_extractors(default_job, out):
    config = EvalConfig(metrics=("swd@pixels", "swd@random"), count=60, repeats=1)
    found = evaluate(default_job[0].path, config, out=out / "swd.jsonl")[0]
    assert [(one["metric"], one["protocol"]["features"]) for one in found] == [("swd", "pixels"), ("swd", "random")]
    assert found[0]["value"] != found[1]["value"] and found[0]["baseline"] != found[1]["baseline"]
    assert len(results.results_of(out / "swd.jsonl")) == 2
    values = Evaluator(load_reference(DataConfig()), config).values(kgen.open_sampler(default_job[0].path), seed=0)
    assert values == {"swd@pixels": found[0]["value"], "swd@random": found[1]["value"]}


def test_weights_that_no_metric_takes(digits):
    for config in (EvalConfig(metrics=("fid@random",), feature_weights="w.npz"), EvalConfig(feature_weights="w")):
        with pytest.raises(
            UserError, match=r"--feature_weights.*--features inception or --features squeezenet,.*fid@inception"
        ):
            Evaluator(digits, config)


def test_reconstruction_of_a_run_and_its_export(of_run, default_job, default_export, digits, out):
    config = EvalConfig(metrics=("reconstruction",), repeats=3)
    saved = evaluate(default_export, config, out=out / "reconstruction.jsonl")[0][0]
    own = by_name(of_run)["reconstruction_mse"]
    assert saved["value"] == pytest.approx(own["value"], abs=1e-5)
    model = default_job[0].load_model()
    images = kgen.images.to_unit(digits.real.pixels[:])
    made = model.generate(model.encode(images, digits.real.labels)[0], digits.real.labels).numpy()
    assert own["value"] == pytest.approx(np.square(made - images, dtype=np.float64).mean(), rel=1e-5)
    # An image of the training set's mean everywhere does far worse.
    mean = kgen.images.to_unit(digits.train.pixels[:]).mean(axis=0)
    assert own["value"] < 0.5 * np.square(mean - images).mean()
    with pytest.raises(UserError, match=r"metric 'reconstruction' needs an encoder, which a \.tflite file"):
        evaluate(default_export / "model.tflite", config, out=out / "reconstruction.jsonl")


def test_samples_that_are_training_images(save_set, tmp_path, out):
    config = save_set(count=80, test=40)
    reference = load_reference(config)
    options = EvalConfig(metrics=("memorization",), features="pixels")
    for name, part, expected in (
        ("copies", reference.train, {"copies": 1, "authenticity": 0, "nearest_ratio": 0}),
        ("unseen", reference.real, {"copies": 0, "nearest_ratio": 1}),
    ):
        np.savez(tmp_path / f"{name}.npz", images=part.pixels)
        path = tmp_path / f"{name}.npz"
        found = by_name(evaluate(path, options, dataset=config.dataset, out=out / "copies.jsonl")[0])
        assert {key: found[key]["value"] for key in expected} == expected
        settings = found["copies"]["protocol"]["settings"]
        assert settings == {"train_images": 80, "train_hash": reference.train.hash}
        with Image.open(out / "copies-neighbours.png") as picture:  # 32 pairs, eight images of 8 pixels per row
            sheet = np.asarray(picture)
        assert sheet.shape == (8 * 10 + 2, 8 * 10 + 2)
        pairs = [(sheet[r : r + 8, c : c + 8], sheet[r : r + 8, c + 10 : c + 18]) for r in (2, 72) for c in (2, 42)]
        assert all(np.array_equal(sample, neighbour) == (name == "copies") for sample, neighbour in pairs)
        assert found["nearest_ratio"]["baseline"] == 1 and found["copies"]["baseline"] == 0


@pytest.mark.parametrize("limit, images", [(20, 20), (75, 80), (None, 80)])
def test_copies_are_of_images_that_the_model_has_seen(save_set, tmp_path, monkeypatch, limit, images):
    """Of a training with a limit those that it left out are none; 72 and the 8 set aside are all of 80."""
    data = save_set(count=80, test=40)
    settings = {"model": "vae", "data.dataset": data.dataset, "data.limit": limit, "model_args.hidden": [4]}
    run = untrained_run(tmp_path / "run", **settings)
    trained_on = kgen.data.load(run.config.data, seed=run.config.seed).arrays("train")[0]
    seen = {image.tobytes() for image in trained_on}
    left_out = [image for image in load_reference(data).train.pixels[:] if image.tobytes() not in seen]
    options = EvalConfig(metrics=("memorization",), features="pixels", count=8, repeats=1)
    for made, copied in ((trained_on[:8], 1), (np.stack(left_out[:8]), limit != 20)):
        monkeypatch.setattr(Target, "sample", lambda target, *_, made=made: (made, None))
        found = by_name(evaluate(run.path, options)[0])
        assert found["copies"]["value"] == copied and found["copies"]["baseline"] == 0
        assert found["copies"]["protocol"]["settings"]["train_images"] == images
    found = by_name(evaluate(run.path, replace(options, split="train"))[0])  # which holds what it has seen
    assert found["copies"]["value"] is None and found["authenticity"]["baseline"] is None


@pytest.mark.slow
def test_mirrored_copies_of_a_run_and_of_its_export(save_set, tmp_path, monkeypatch):
    """Where training images were mirrored; the picture shows them as they were copied."""
    data = save_set(count=80, test=40)
    mirrored = np.asarray(load_reference(data).train.pixels)[:, :, ::-1]
    monkeypatch.setattr(Target, "sample", lambda target, *_: (mirrored, None))
    options = EvalConfig(metrics=("memorization",), features="pixels", count=80, repeats=1)
    for flip in ("on", "off"):
        settings = {"model": "vae", "data.dataset": data.dataset, "train.flip": flip, "model_args.hidden": [4]}
        run = untrained_run(tmp_path / flip, **settings)
        for path in (run.path, export(run, tmp_path / "exports" / flip)):
            rows, file = evaluate(path, options)
            found = by_name(rows)
            assert found["copies"]["value"] == (flip == "on")
            assert found["near_copies"]["value"] == 1 if flip == "on" else found["near_copies"]["value"] < 0.1
            assert found["copies"]["protocol"]["settings"].get("mirrored", False) == (flip == "on")
            assert found["copies"]["baseline"] == 0
            with Image.open(file.with_name(f"{file.stem}-neighbours.png")) as picture:
                sheet = np.asarray(picture)
            pairs = [(sheet[2:10, c : c + 8], sheet[2:10, c + 10 : c + 18]) for c in (2, 22, 42)]
            assert all(np.array_equal(*pair) == (flip == "on") for pair in pairs)


@pytest.mark.slow
def test_what_samples_teach(save_set, quick_classifier, tmp_path, out):
    """GAN-train of real images in place of samples; the baseline is the same of training images."""
    config = save_set(count=80, test=60)
    pixels, labels = blobs(70, seed=9)
    np.savez(tmp_path / "fakes.npz", images=pixels, labels=labels)
    options = EvalConfig(metrics=("gan_train",))
    (row,) = evaluate(tmp_path / "fakes.npz", options, dataset=config.dataset, out=out / "teach.jsonl")[0]
    assert row["value"] > 0.9 and row["baseline"] > 0.9
    assert row["interval"][0] < row["value"] and (row["protocol"]["num_real"], row["protocol"]["num_fake"]) == (60, 70)


def test_fewer_real_images_are_not_taken_for_others(save_set, tmp_path, own_cache, out):
    """Which part of the real images was measured before does not change a value."""
    config = save_set(count=60, test=50)
    np.savez(tmp_path / "fakes.npz", images=blobs(20, seed=9)[0])

    def kid():
        options = EvalConfig(metrics=("kid", "memorization"), features="pixels", num_real=20)
        return by_name(evaluate(tmp_path / "fakes.npz", options, dataset=config.dataset, out=out / "k.jsonl")[0])["kid"]

    expected = kid()
    shutil.rmtree(own_cache)
    # The baseline of memorization takes 20 of these 30: other images than 20 of the 50.
    options = EvalConfig(metrics=("memorization",), features="pixels", num_real=30)
    evaluate(tmp_path / "fakes.npz", options, dataset=config.dataset, out=out / "k.jsonl")
    assert kid() == expected


def test_data_that_changed_since_the_training(digits, tmp_path):
    target = Target("runs/x", "run", None, DataConfig(), 0, tmp_path, {}, {"test": "0" * 16})
    with pytest.raises(UserError, match=r"the test images of 'digits' have changed since runs/x was trained .*0{16}"):
        target.check_unchanged(digits)
    held_out = dataclasses.replace(digits, real=dataclasses.replace(digits.real, split="validation"))
    target.data_hashes = {"validation": "1" * 16}
    with pytest.raises(UserError, match=r"the validation images of 'digits' have changed"):
        target.check_unchanged(held_out)
    for hashes in ({"test": digits.real.hash}, {"train": "0" * 16}, {}):
        target.data_hashes = hashes
        target.check_unchanged(digits)


@pytest.mark.parametrize("limit", [None, 40])
def test_training_images_that_changed_since_the_training(save_set, tmp_path, limit):
    """Where the test images are as they were, what does not look at the training images is measured all the same."""
    data = save_set(count=80, test=40)
    settings = {"model": "vae", "data.dataset": data.dataset, "data.limit": limit, "model_args.hidden": [4]}
    run = untrained_run(tmp_path / "run", **settings)
    options = EvalConfig(metrics=("kid", "memorization"), features="pixels", count=40, repeats=1)

    def measured(path, **given):
        return by_name(evaluate(path, options, out=tmp_path / "found.jsonl", **given)[0])

    places = (run.path, export(run, tmp_path / "export"))
    before = measured(run.path)
    assert None not in [row["value"] for row in before.values()]
    with np.load(data.dataset) as arrays:
        changed = {**arrays, "x_train": arrays["x_train"] ^ 1}
    np.savez(data.dataset, **changed)
    for path in places:
        found = measured(path)
        assert found["kid"]["value"] == before["kid"]["value"]
        assert found["copies"]["value"] is None and found["copies"]["baseline"] is None
        assert "training images of 'blobs' have changed since the training" in found["copies"]["note"]
        assert run.data_hashes["train"] in found["copies"]["note"]
        with pytest.raises(UserError, match="have changed since the training"):
            evaluate(path, replace(options, split="train"), out=tmp_path / "found.jsonl")
    assert measured(run.path, dataset=data.dataset)["copies"]["value"] is not None  # named: other images may be meant
    np.savez(data.dataset, **{**changed, "x_test": changed["x_test"] ^ 1})
    for path in places:
        with pytest.raises(UserError, match="the test images of 'blobs' have changed since"):
            evaluate(path, options, out=tmp_path / "found.jsonl")


def test_classes_that_are_not_those_of_the_model(default_job, tmp_path, out):
    pixels, labels = blobs(40, side=28, classes=3)
    np.savez(tmp_path / "three.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    config = EvalConfig(metrics=("kid",), features="pixels", count=10)
    with pytest.raises(UserError, match=r"10 classes.*'three' has 3"):
        evaluate(default_job[0].path, config, dataset=str(tmp_path / "three.npz"), out=out / "x.jsonl")
    assert not (out / "x.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 1}, "--count must be at least 2. Received: 1"),
        ({"nll_samples": 0}, "--nll_samples must be at least 1. Received: 0"),
        ({"nll_images": 1}, "--nll_images must be at least 2. Received: 1"),
        ({"repeats": 0}, "--repeats must be at least 1. Received: 0"),
        ({"seed": -1}, "--seed must be at least 0. Received: -1"),
    ],
)
def test_protocols_that_are_none(options, message):
    with pytest.raises(UserError, match=message):
        EvalConfig(**options)


@pytest.mark.parametrize(
    ("metric", "words"),
    [("prcd", "metric 'prcd': did you mean 'prdc'"), ("fid@incepton", "'incepton': did you mean 'inception'")],
)
def test_an_unknown_name_is_refused_before_anything_is_opened(tmp_path, metric, words):
    with pytest.raises(UserError, match=words):
        evaluate(tmp_path / "nowhere", EvalConfig(metrics=("fid", metric)))


def test_figures_while_training_are_those_of_an_evaluation(of_run, default_job, digits):
    """The same images, features and numbers, without baselines and protocols."""
    evaluator = Evaluator(digits, dataclasses.replace(QUICK, metrics=("fid", "prdc", "label_agreement")))
    found = evaluator.values(kgen.open_sampler(default_job[0].path), seed=0)
    agreement = {"label_agreement", "label_agreement_drawn"}
    assert {*found} == {"fid", "precision", "recall", "density", "coverage"} | agreement
    for name, value in found.items():
        assert value == pytest.approx(by_name(of_run)[name]["values"][0], rel=1e-12), name


def test_real_statistics_are_kept(digits, digits_classifier, monkeypatch, of_run):
    """What was measured once is not extracted again."""
    monkeypatch.setattr(type(digits_classifier), "batch", None)
    again = ImageSet.real(digits.real)
    assert again.features(digits_classifier).shape == (360, digits_classifier.dimension)
    assert again.moments(digits_classifier).count == 360
