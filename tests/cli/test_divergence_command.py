"""kgen-divergence as typed: what it prints and writes, and one clear message with exit code 2 for every mistake."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from kgen.cli import divergence
from kgen.random import generator


def picture_of(path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


def test_examples_parse():
    for line, _ in divergence.EXAMPLES:
        words = line.split()
        assert words[0] == "kgen-divergence"
        divergence.command().parse(words[1:])


@pytest.mark.slow
def test_lines(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("kgen.progress.LINE_SECONDS", -1.0)  # a line per call, not after half a minute
    assert divergence.main(["--phi", "-0.5,0,1", "--steps", "20", "--seed", "3", "--out", str(tmp_path / "new")]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("3 critics in") == 2 and "largest error" in shown.out
    assert re.search(r"jsd: step .* \(100%\)", shown.err) and re.search(r"wasserstein: step .* \(100%\)", shown.err)
    results = json.loads((tmp_path / "new" / "results.json").read_text())
    settings = {"estimator": "both", "optimizer": "adam", "seed": 3, "steps": 20, "batch_size": 512, "penalty": 100.0}
    assert results["settings"].items() >= settings.items() and results["settings"]["elapsed_seconds"] > 0
    wanted = [(estimator, phi) for estimator in ("jsd", "wasserstein") for phi in (-0.5, 0.0, 1.0)]
    assert [(row["estimator"], row["phi"]) for row in results["rows"]] == wanted
    for row in results["rows"]:
        assert row["error"] == row["estimate"] - row["truth"] and row["stderr"] >= 0
        assert f"{row['phi']:6.4g} {row['truth']:10.6f} {row['estimate']:10.6f}" in shown.out
    for name in ("jsd.png", "wasserstein.png"):
        assert min(picture_of(tmp_path / "new" / name)) > 300


def test_one_estimator_writes_one_picture(tmp_path):
    line = ["--estimator", "jsd", "--optimizer", "sgd", "--phi", "0.5", "--steps", "5", "--out", str(tmp_path)]
    assert divergence.main(line) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jsd.png", "results.json"]


def test_density(tmp_path, capsys):
    assert divergence.main(["--estimator", "density", "--steps", "30", "--out", str(tmp_path)]) == 0
    row = json.loads((tmp_path / "density-tanh.json").read_text())["rows"][0]
    assert row["density"] == "tanh" and 0.0 < row["total_variation"] < 1.0
    assert f"total variation to the truth: {row['total_variation']:.5f}" in capsys.readouterr().out
    assert min(picture_of(tmp_path / "density-tanh.png")) > 300


@pytest.mark.slow
def test_samples(tmp_path, capsys):
    draw = generator(0, "test").normal
    np.save(tmp_path / "p.npy", draw(size=400))
    np.save(tmp_path / "q.npy", draw(2.0, 1.0, size=(200, 1)))
    line = ["--p", str(tmp_path / "p.npy"), "--steps", "40", "--out", str(tmp_path / "out")]
    assert divergence.main([*line, "--q", str(tmp_path / "q.npy")]) == 0
    shown = capsys.readouterr().out
    assert "p: 240 samples trained, 80 chose the weights, 80 held out for the estimate" in shown
    assert "q: 120 samples trained, 40 chose the weights, 40 held out for the estimate" in shown
    rows = json.loads((tmp_path / "out" / "samples.json").read_text())["rows"]
    assert [row["estimator"] for row in rows] == ["jsd", "wasserstein"]
    for row in rows:
        low, high = row["interval"]
        assert low < row["estimate"] < high
        assert row["train_choose_held_out"] == {"p": [240, 80, 80], "q": [120, 40, 40]}
    assert min(picture_of(tmp_path / "out" / "density-ratio.png")) > 300

    assert divergence.main([*line, "--estimator", "density"]) == 0
    assert min(picture_of(tmp_path / "out" / "density-samples.png")) > 300
    row = json.loads((tmp_path / "out" / "density-samples.json").read_text())["rows"][0]
    assert row["train_choose"] == [240, 160] and row["mass"] > 0


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    np.save(folder / "one.npy", np.arange(60.0))
    np.save(folder / "two.npy", np.zeros((60, 2)))
    np.save(folder / "few.npy", np.zeros((5, 1)))
    np.save(folder / "nan.npy", np.full(60, np.nan))
    np.save(folder / "objects.npy", np.array([None] * 60), allow_pickle=True)
    (folder / "table.npy").write_text("x,y\n")
    return folder


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--p one.npy", "--p needs --q"),
        ("--q one.npy", "--q needs --p"),
        ("--p one.npy --q none.npy", "--q is to be a .npy file. Received: none.npy"),
        ("--p one.npy --q two.npy", "1 numbers per row in p, 2 in q"),
        ("--p few.npy --q one.npy", "--p is to hold at least 50 samples"),
        ("--p nan.npy --q one.npy", "--p is to hold numbers below 1e+100"),
        ("--p one.npy --q objects.npy", "--q is to be a .npy file of numbers"),
        ("--p one.npy --q table.npy", "--q is to be a .npy file of numbers"),
        ("--p one.npy --q one.npy --phi 1", "leave --phi out"),
        ("--p one.npy --q one.npy --density tanh", "leave --density out"),
        ("--estimator density --p two.npy", "2 per row in p"),
        ("--estimator density --p one.npy --q one.npy", "takes --p alone"),
        ("--estimator density --optimizer sgd", "leave --optimizer out"),
        ("--estimator jsd --penalty 10", "leave --penalty out"),
        ("--density bimodal", "leave --density out"),
        ("--phi 1,x", "--phi takes numbers with commas between them. Received: 1,x"),
        ("--phi 1,nan", "--phi takes different, finite numbers"),
        ("--phi 1,1.0", "--phi takes different, finite numbers"),
        ("--estimator gan", "--estimator"),
        ("--steps 0", "--steps"),
        ("--penalty 0", "--penalty"),
        ("--lambda 3", "unknown flag --lambda"),
        ("extra", "takes no arguments besides flags"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(line, message, files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    assert divergence.main(line.split()) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.startswith("kgen-divergence: ")
    assert shown.err.count("\n") == 1 and not (files / "divergence").exists()
