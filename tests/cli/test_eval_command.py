"""kgen-eval as typed: its table, its file, and one clear message with exit code 2 for every mistake."""

import json
import shutil

import numpy as np
import pytest
from same_images import about
from sampling.test_remote import decode_signature, metadata, model_server, serving, unused_address

import kgen
from kgen.cli import eval as command
from kgen.cli import train
from kgen.evaluate import EvalConfig, evaluate, results

CHEAP = ["--metrics", "prdc", "--features", "pixels", "--count", "20", "--repeats", "1"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Figures of folders and servers are written beside the user."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run_copy(default_job, tmp_path):
    """A copy of the default run that may be changed."""
    return shutil.copytree(default_job[0].path, tmp_path / "runs" / "00000-cvae-digits")


@pytest.fixture
def pictures(tmp_path):
    """A folder of 30 noisy pictures of the digits' size."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 28, 28, 1), np.uint8)
    kgen.images.save_pngs(tmp_path / "photos", pixels, [f"{i:02d}" for i in range(30)])
    return tmp_path / "photos"


def fails(capsys, *arguments) -> str:
    """The message of a command that must end with exit code 2 and one message."""
    assert command.main([str(a) for a in arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said and said.startswith("kgen-eval: ") and "\n" not in said, said
    return said


@pytest.mark.slow
def test_a_run_is_measured_shown_and_kept(run_copy, capsys):
    arguments = ["--metrics", "fid,label_agreement,reconstruction", "--count", "200", "--repeats", "2", "--seed", "3"]
    assert command.main([str(run_copy), *arguments]) == 0
    said = capsys.readouterr().out
    found = results.read_results(run_copy / "eval" / "best.jsonl")
    assert [row["metric"] for row in found] == [
        "fid",
        "label_agreement",
        "label_agreement_drawn",
        "reconstruction_mse",
    ]
    assert found[0]["protocol"]["seed"] == 3 and found[0]["protocol"]["num_fake"] == 200
    assert len(found[0]["values"]) == 2 and found[0]["target"]["path"] == str(run_copy)
    lines = said.splitlines()
    heads = [head.strip() for head in lines[0].split("|")]
    assert heads == ["metric", "value", "95 % interval", "baseline", "better"]
    shown = {line.split("|")[0].strip(): [cell.strip() for cell in line.split("|")] for line in lines if "|" in line}
    assert shown["fid"][1] == f"{found[0]['value']:#.4g}" and " to " in shown["fid"][2]
    assert shown["fid"][3:] == [f"{found[0]['baseline']:#.4g}", "lower"]
    assert "Images of fid, label_agreement, label_agreement_drawn: 360 real and 200 generated" in lines
    assert shown["label_agreement"][4] == "higher"
    assert lines[-1] == f"wrote {run_copy / 'eval' / 'best.jsonl'}"


def test_the_last_checkpoint_and_another_file(run_copy, capsys, tmp_path):
    assert command.main([str(run_copy), *CHEAP, "--checkpoint", "last"]) == 0
    assert command.main([str(run_copy), *CHEAP, "--out", "mine/rows.jsonl"]) == 0
    (last, *_), (mine, *_) = (
        results.read_results(p) for p in (run_copy / "eval" / "last.jsonl", tmp_path / "mine/rows.jsonl")
    )
    assert (last["target"]["checkpoint"], mine["target"]["checkpoint"]) == ("last", "best")
    assert not (run_copy / "eval" / "best.jsonl").exists()


def test_the_split_and_the_number_of_real_images(run_copy, capsys):
    assert command.main([str(run_copy), *CHEAP, "--split", "train", "--num_real", "50"]) == 0
    row, *_ = results.read_results(run_copy / "eval" / "best.jsonl")
    assert (row["protocol"]["split"], row["protocol"]["num_real"]) == ("train", 20)  # equal numbers, of the 50


def test_a_run_records_what_it_was_trained_on(default_job):
    run = default_job[0]
    dataset = kgen.data.load(run.config.data, seed=run.config.seed)
    expected = {split: dataset.fingerprint(split) for split in ("train", "validation", "test")}
    assert json.loads((run.path / "config.json").read_text())["data_hashes"] == expected == run.data_hashes
    assert len({*expected.values()}) == 3


def test_data_that_changed_since_the_training(run_copy, capsys):
    path = run_copy / "config.json"
    values = json.loads(path.read_text())
    values["data_hashes"]["test"] = "0123456789abcdef"
    path.write_text(json.dumps(values))
    said = fails(capsys, run_copy, *CHEAP)
    assert "the test images of 'digits' have changed" in said and "0123456789abcdef" in said and "--dataset" in said
    assert not (run_copy / "eval").exists() or not [*(run_copy / "eval").iterdir()]
    assert command.main([str(run_copy), *CHEAP, "--dataset", "digits"]) == 0  # what they are judged on was named


def test_a_run_from_before_hashes_were_kept(run_copy, capsys):
    path = run_copy / "config.json"
    values = json.loads(path.read_text())
    del values["data_hashes"]
    path.write_text(json.dumps(values))
    assert command.main([str(run_copy), *CHEAP]) == 0


def test_a_folder_of_pictures(pictures, capsys, tmp_path):
    assert command.main(["photos/", *CHEAP, "--dataset", "digits"]) == 0
    row, *_ = results.read_results(tmp_path / "eval" / "photos.jsonl")
    assert (row["target"]["kind"], row["target"]["name"], row["protocol"]["num_fake"]) == ("folder", "photos", 20)
    assert "wrote eval/photos.jsonl" in capsys.readouterr().out


@pytest.mark.slow
def test_a_served_model_has_the_figures_of_the_run(default_job, default_export, capsys, tmp_path):
    """Also the protocol, except for the weights, which a server does not tell, nor what its images are means of."""
    metrics = ("fid", "prdc", "label_agreement", "coverage")
    config = EvalConfig(metrics=metrics, count=200, repeats=1)
    expected = evaluate(default_job[0].path, config, out=tmp_path / "run.jsonl")[0]
    expected = [row for row in expected if row["metric"] != "label_agreement_drawn"]
    with serving(model_server(default_export)) as address:
        arguments = ["--dataset", "digits", "--metrics", ",".join(metrics), "--count", "200", "--repeats", "1"]
        assert command.main([f"{address}/v1/models/cvae", *arguments, "--out", "served.jsonl"]) == 0
    served = results.read_results(tmp_path / "served.jsonl")
    assert [row["metric"] for row in served] == [row["metric"] for row in expected]
    for own, other in zip(expected, served, strict=True):
        assert other["value"] == about(own["value"], own["metric"], 200, 1e-4)
        assert results.difference(own["protocol"], other["protocol"]) == []
        assert other["protocol"]["weights_hash"] is None and other["target"]["kind"] == "server"


def test_servers_that_do_not_serve(capsys):
    said = fails(capsys, f"{unused_address()}/v1/models/cvae", "--dataset", "digits")
    assert "cannot be reached" in said
    for reply, words in (
        ((404, {"error": "Servable not found for request: Latest(cvae)"}), "Servable not found"),
        ((200, "<html>"), "not as TF Serving does"),
        ((200, metadata({"serving_default": decode_signature(2)})), "no signature 'decode'"),
    ):
        with serving(lambda method, path, body, reply=reply: reply) as address:
            assert words in fails(capsys, f"{address}/v1/models/cvae", "--dataset", "digits")


def test_a_server_needs_a_data_set(capsys):
    with serving(lambda *call: (200, metadata({"decode": decode_signature(2)}))) as address:
        said = fails(capsys, f"{address}/v1/models/cvae")
        assert "has no record of its training data" in said and "--dataset" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metrics", "fdi"], ["unknown metric 'fdi'", "'fid'"]),
        (["--metrics", "fid,,kid"], ["unknown metric ''"]),
        (["--metric", "fid"], ["unknown flag --metric", "'--metrics'"]),
        (["--repeats", "0"], ["--repeats", "at least 1", "0"]),
        (["--count", "1"], ["--count", "at least 2", "1"]),
        (["--count", "many"], ["count", "many"]),
        (["--num_real", "1"], ["--num_real", "at least 2"]),
        (["--seed", "-1"], ["--seed", "-1"]),
        (["--seed", "99999999999999999999"], ["--seed", "99999999999999999999"]),
        (["--features", "vgg"], ["features", "vgg", "inception"]),
        (["--split", "tset"], ["split", "tset"]),
        (["--feature_weights", "w.npz"], ["--feature_weights", "--features inception"]),
        (["--split", "validation"], ["no split 'validation'"]),
        (["--dataset", "digit"], ["'digit'", "'digits'"]),
        (["--checkpoint", "first"], ["checkpoint", "first"]),
        (["more"], ["takes PATH"]),
    ],
)
def test_mistakes_about_a_run(arguments, words, default_job, capsys, tmp_path):
    said = fails(capsys, default_job[0].path, "--out", tmp_path / "rows.jsonl", *arguments)
    assert all(word in said for word in words), said
    assert not (tmp_path / "rows.jsonl").exists()


def test_mistakes_about_paths(pictures, default_export, capsys, tmp_path):
    assert "does not exist" in fails(capsys, "nowhere", "--dataset", "digits")
    assert "takes PATH. Received: nothing" in fails(capsys)
    assert "--checkpoint last" in fails(capsys, default_export, "--checkpoint", "last")
    (tmp_path / "old.jsonl").write_text("{broken\n")
    assert "old.jsonl, line 1" in fails(capsys, default_export, "--out", tmp_path / "old.jsonl")
    said = fails(capsys, "photos")
    assert "photos has no record of its training data" in said and "--dataset" in said
    assert "encoder" in fails(capsys, default_export / "model.tflite", "--metrics", "reconstruction")
    (tmp_path / "empty").mkdir()
    assert "holds no images" in fails(capsys, "empty", *CHEAP, "--dataset", "digits")
    for part in ("fakes.txt", "fakes.mp4"):
        (tmp_path / part).write_text("")
        assert "cannot be evaluated" in fails(capsys, part, "--dataset", "digits")


def test_a_single_picture_is_too_few(capsys, tmp_path):
    np.savez(tmp_path / "one.npz", images=np.zeros((1, 28, 28, 1), np.uint8))
    assert "Received: 1" in fails(capsys, "one.npz", "--metrics", "kid", "--features", "pixels", "--dataset", "digits")


def test_a_run_on_other_classes(default_job, capsys, tmp_path):
    pixels, labels = np.zeros((30, 28, 28, 1), np.uint8), np.arange(30) % 3
    np.savez("three.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    said = fails(capsys, default_job[0].path, *CHEAP, "--dataset", "three.npz", "--out", "rows.jsonl")
    assert "knows 10 classes" in said and "has 3" in said and "--dataset" in said


def test_a_run_that_cannot_be_written_to(run_copy, capsys):
    (run_copy / "eval").rmdir() if (run_copy / "eval").is_dir() else None
    (run_copy / "eval").write_text("in the way")
    assert command.main([str(run_copy), *CHEAP]) == 0  # the figures are there
    printed = capsys.readouterr()
    assert "precision" in printed.out and "not stored" in printed.err and "eval" in printed.err
    assert "cannot be written" in fails(capsys, run_copy, *CHEAP, "--out", run_copy / "eval" / "rows.jsonl")


def test_training_and_evaluation_agree_about_names():
    """The same words for the same things on both command lines."""
    own, other = (set(module.command().values) for module in (command, train))
    assert {"metrics", "features", "dataset", "seed"} <= own & other
