"""Targets of an evaluation: runs, exports, .tflite files, servers, and folders of images."""

import json

import numpy as np
import pytest
from sampling.test_remote import decode_signature, metadata, serving

import kgen
from kgen.data.reference import load_reference
from kgen.errors import UserError
from kgen.evaluate.target import BATCH, open_target
from kgen.sampling import StandardNormal


class Levels:
    """A conditional sampler of three classes: the image's level is its label's tenth, or its latent's."""

    spec = kgen.DataSpec("made", (2, 2, 1), 3, ("a", "b", "c"))
    latent_shape, conditional, encodes, parameters, weights_hash = (1,), True, False, 3, "w"
    density, prior = StandardNormal((1,)), StandardNormal.name

    def decode(self, z, labels=None):
        levels = np.full(len(z), 0.5, np.float32) if labels is None else labels / 10
        return np.broadcast_to(levels.reshape(-1, 1, 1, 1), (len(z), 2, 2, 1)).astype(np.float32)


@pytest.fixture
def reference(digits):
    return digits


def test_a_run(default_job):
    run = default_job[0]
    target = open_target(run.path)
    assert (target.kind, target.path, target.seed, target.config) == ("run", str(run.path), 0, run.config.data)
    assert target.out == run.path / "eval" / "best.jsonl" and target.repeatable
    assert target.data_hashes == {s: kgen.data.load(run.config.data).fingerprint(s) for s in run.spec.examples}
    best = run.checkpoint_state()["best"]
    assert target.about == {
        "name": "00000-cvae-digits", "path": str(run.path), "kind": "run", "model": "cvae", "checkpoint": "best",
        "epoch": best["epoch"], "parameters": sum(w.size for w in network_weights(run)),
        "bytes": run.checkpoint("best").stat().st_size,
        "training_seconds": run.metrics()[-1]["elapsed_seconds"], "dataset": "digits",
        "prior": "standard_normal", "prior_hash": None,
    }  # fmt: skip
    last = open_target(run.path, checkpoint="last")
    assert last.out == run.path / "eval" / "last.jsonl" and last.about["epoch"] == run.metrics()[-1]["epoch"]
    same = best["epoch"] == last.about["epoch"]
    assert (last.sampler.weights_hash == target.sampler.weights_hash) == same


def network_weights(run):
    """All trainable weights; a VAE has no others (the Bernoulli likelihood has none)."""
    return [w.numpy() for w in run.load_model().trainable_weights]


@pytest.mark.parametrize("what", ["version", "latest", "tflite"])
def test_an_export(what, default_job, default_export):
    path = {"version": default_export, "latest": default_export.parent, "tflite": default_export / "model.tflite"}[what]
    target, run = open_target(path), open_target(default_job[0].path)
    kind = "tflite" if what == "tflite" else "saved_model"
    assert (target.kind, target.path) == (kind, str(path))
    assert target.out == default_export / "eval" / f"{kind}.jsonl"
    assert (target.config, target.seed) == (run.config, 0)
    assert target.sampler.weights_hash == run.sampler.weights_hash
    assert target.about["name"] == ("cvae/1/model.tflite" if what == "tflite" else "cvae/1")
    for key in ("parameters", "epoch", "checkpoint", "model", "dataset"):
        assert target.about[key] == run.about[key]
    measured = json.loads((default_export / "manifest.json").read_text())["bytes"]
    assert target.about["bytes"] == measured["model.tflite" if what == "tflite" else "saved_model"] > 10_000


def test_a_server():
    with serving(lambda *call: (200, metadata({"decode": decode_signature(2)}))) as address:
        target = open_target(f"{address}/v1/models/cvae")
    assert (target.kind, target.config, target.about["name"]) == ("server", None, "cvae")
    assert target.about["version"] == "1" and target.out.parts[0] == "eval" and target.out.suffix == ".jsonl"


def test_nothing_of_the_kind(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    for path, words in (("nowhere", "does not exist"), ("notes.txt", "cannot be evaluated")):
        with pytest.raises(UserError, match=f"{path} {words}; give a run directory, an export"):
            open_target(tmp_path / path)
    with pytest.raises(UserError, match=r"gone.tflite does not exist"):
        open_target(tmp_path / "gone.tflite")


def test_images_are_those_of_generate_whatever_the_count(default_job, reference):
    """All classes in turn, batch after batch; what came before does not change what comes after."""
    target = open_target(default_job[0].path)
    count, seen = BATCH + 40, []
    pixels, labels = target.sample(reference, count, 3, seen.append)
    expected = kgen.generate(kgen.open_sampler(default_job[0].path), count, seed=3)
    np.testing.assert_array_equal(pixels, expected.pixels)
    np.testing.assert_array_equal(labels, expected.labels)
    assert seen == [BATCH, 40] and target.about["seconds_per_1000_samples"] > 0
    np.testing.assert_array_equal(target.sample(reference, 50, 3)[0], pixels[:50])
    assert not np.array_equal(target.sample(reference, 50, 4)[0], pixels[:50])


def test_classes_that_are_not_those_of_the_data(digits, tmp_path):
    target = open_target(tmp_path)
    target.sampler = Levels()
    with pytest.raises(UserError, match=r"3 classes.*'digits' has 10.*--dataset"):
        target.sample(digits, 4, 0)


def save(folder, pixels, names, labels=None):
    """Pictures of a folder, or of a sub-folder a class."""
    for i, image in enumerate(pixels):
        kgen.images.save_png(folder / ("" if labels is None else names[labels[i]]) / f"{i:04d}.png", image)
    return folder


def as_sets(pixels, labels):
    return sorted(zip((image.tobytes() for image in pixels), labels.tolist(), strict=True))


def test_class_folders_with_the_names_of_the_data_are_labels(tmp_path, digits):
    chosen = np.flatnonzero(np.isin(digits.real.labels, (3, 7)))[:20]
    pixels, labels = digits.real.pixels[chosen], digits.real.labels[chosen]
    target = open_target(save(tmp_path / "fakes", pixels, digits.spec.class_names, labels))
    assert (target.kind, target.spec, target.repeatable) == ("folder", None, False)
    assert target.about["name"] == "fakes" and str(target.out) == "eval/fakes.jsonl"
    found, found_labels = target.sample(digits, 1000, 0)
    assert as_sets(found, found_labels) == as_sets(pixels, labels)
    assert len(target.about["content_hash"]) == 16


@pytest.mark.parametrize("names", [None, ["cat", "dog"] * 5])
def test_other_folders_have_no_labels(tmp_path, digits, names):
    pixels, labels = digits.real.pixels[:20], digits.real.labels[:20]
    target = open_target(save(tmp_path / "fakes", pixels, names, None if names is None else labels))
    found, found_labels = target.sample(digits, 1000, 0)
    assert found_labels is None and {image.tobytes() for image in found} == {image.tobytes() for image in pixels}


def test_some_images_of_a_folder(tmp_path, digits):
    np.savez(tmp_path / "fakes.npz", images=digits.real.pixels[:50])
    target = open_target(tmp_path / "fakes.npz")
    whole, _ = target.sample(digits, 50, 0)
    np.testing.assert_array_equal(whole, digits.real.pixels[:50])
    content = target.about["content_hash"]
    few, again, other = (target.sample(digits, 10, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(few, again)
    assert len(few) == 10 and not np.array_equal(few, other)
    assert {image.tobytes() for image in few} <= {image.tobytes() for image in whole}
    assert target.about["content_hash"] != content


def test_splits_of_a_folder_count_as_one(tmp_path, digits):
    for split, rows in (("train", slice(0, 6)), ("test", slice(6, 10))):
        save(tmp_path / "fakes" / split, digits.real.pixels[rows], ())
    found, _ = open_target(tmp_path / "fakes").sample(digits, 100, 0)
    assert {image.tobytes() for image in found} == {image.tobytes() for image in digits.real.pixels[:10]}


def test_images_of_another_shape(tmp_path, digits):
    np.savez(tmp_path / "colour.npz", images=np.zeros((8, 28, 28, 3), np.uint8))
    found, _ = open_target(tmp_path / "colour.npz").sample(digits, 8, 0)
    assert found.shape == (8, 28, 28, 1)  # turned gray, as the data are
    np.savez(tmp_path / "small.npz", images=np.zeros((8, 14, 10, 1), np.uint8))
    small = open_target(tmp_path / "small.npz")
    assert small.sample(digits, 8, 0)[0].shape == (8, 28, 28, 1)
    assert small.about["resized_from"] == "14x10"
    own_size = open_target(tmp_path / "colour.npz")
    own_size.sample(digits, 8, 0)
    assert "resized_from" not in own_size.about and own_size.about["made"] == "gray"


def test_a_set_against_itself_is_read_by_the_flags(tmp_path, digits):
    np.savez(tmp_path / "levels.npz", images=digits.real.pixels[:20] // 16)  # 0 to 15
    path = tmp_path / "levels.npz"
    target = open_target(path)
    config, own = target.real_images(str(path), {"data.value_range": (0, 15)})
    reference = load_reference(config, own=own)
    np.testing.assert_array_equal(target.sample(reference, 20, 0)[0], reference.real.pixels)
    assert np.asarray(reference.real.pixels).max() == 255


def test_a_set_that_needs_flags_and_gets_none(tmp_path, digits):
    np.savez(tmp_path / "levels.npz", images=digits.real.pixels[:20] / 16)
    with pytest.raises(UserError, match=r"levels.npz.*--value_range.*--dataset"):
        open_target(tmp_path / "levels.npz").sample(digits, 20, 0)


def test_more_images_than_memory_holds_are_refused():
    from kgen.evaluate.target import check_room
    from kgen.spec import DataSpec

    with pytest.raises(UserError, match=r"--count 10000000: .* 2048x2048x3 take 117187\.5 GiB.*--count \d+"):
        check_room(10_000_000, DataSpec("x", (2048, 2048, 3)))
    check_room(100, DataSpec("x", (28, 28, 1)))
