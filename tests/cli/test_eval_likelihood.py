"""kgen-eval --metrics elbo,nll,active_units as typed."""

import numpy as np
import pytest
from untrained import untrained_run

import kgen
from kgen.cli import eval as command
from kgen.evaluate import results

METRICS = ["--metrics", "elbo,nll,active_units"]


@pytest.fixture(scope="module")
def binarized(tmp_path_factory):
    """A run with `--binarize sample`, untrained."""
    settings = {"data.binarize": "sample", "model_args.hidden": [16], "model_args.latent_dim": 3}
    return untrained_run(tmp_path_factory.mktemp("binarized") / "run", model="vae", **settings).path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shown(text: str) -> dict[str, list[str]]:
    """Name of a figure -> the cells of its line."""
    lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if "|" in line]
    return {cells[0].split(" ")[0]: cells for cells in lines}


def below(text: str) -> str:
    """What stands below the table, in one line."""
    return " ".join(word for line in text.splitlines() if "|" not in line for word in line.split())


def notes(text: str) -> dict[str, str]:
    """Name of a figure -> its note."""
    return dict(note.split(": ", 1) for note in below(text).split("Note on ")[1:])


def fails(capsys, *arguments) -> str:
    assert command.main([str(a) for a in arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said and said.startswith("kgen-eval: ") and "\n" not in said, said
    return said


@pytest.mark.slow
def test_likelihoods_of_a_binarized_run(binarized, capsys):
    capsys.readouterr()
    assert command.main([str(binarized), *METRICS, "--nll_samples", "50", "--nll_images", "20"]) == 0
    said = capsys.readouterr().out
    found = {row["metric"]: row for row in results.read_results(binarized / "eval" / "best.jsonl")}
    table = shown(said)
    assert {*found} == {
        "neg_elbo", "reconstruction", "kl", "elbo_bits_per_dim", "nll", "nll_bits_per_dim",
        "neg_elbo_same_images", "effective_samples", "active_units",
    }  # fmt: skip
    settings = below(said).partition("Settings: ")[2]
    assert "neg_elbo (binarization=dynamic, base_measure=counting)" in settings
    assert ", nll (binarization=dynamic, base_measure=counting, samples=50)" in settings
    images = dict(part.rsplit(": ", 1) for part in below(said).partition(" Settings:")[0].split("Images of ")[1:])
    numbers = {name: number.strip() for names, number in images.items() for name in names.split(", ")}
    assert (numbers["neg_elbo"], numbers["nll"]) == ("360 real", "20 real")
    assert table["neg_elbo"][1] == f"{found['neg_elbo']['value']:#.4g}" and " to " in table["neg_elbo"][2]
    assert found["nll"]["value"] < found["neg_elbo"]["interval"][1]
    assert notes(said)["active_units"].startswith("of 3 ")
    assert "prior standard_normal" in said and (binarized / "eval" / "best-kls.png").is_file()


@pytest.mark.slow
def test_grey_pixels_are_refused_with_what_to_do(default_job, capsys, tmp_path):
    out = ["--out", str(tmp_path / "rows.jsonl")]
    run = str(default_job[0].path)
    assert command.main([run, "--metrics", "elbo,nll", *out, "--nll_samples", "5", "--nll_images", "5"]) == 2
    said = capsys.readouterr().out
    for name in ("neg_elbo", "reconstruction", "kl", "nll", "effective_samples"):
        assert shown(said)[name][1] == "-" and "--binarize sample" in notes(said)[name], name
    assert command.main([run, "--metrics", "elbo", "--anyway", *out]) == 0
    said = capsys.readouterr().out
    assert "base_measure=none: cross-entropy" in below(said) and shown(said)["neg_elbo"][1] != "-"
    assert notes(said)["neg_elbo"].startswith("no likelihood")
    assert command.main([run, "--metrics", "elbo", "--binarize", "sample", *out]) == 0
    said = capsys.readouterr().out
    assert "neg_elbo (binarization=dynamic, base_measure=counting, given=label)" in below(said)
    assert float(shown(said)["neg_elbo"][1]) > 0 and "neg_elbo" not in notes(said)


def test_what_has_no_likelihood(default_export, binarized, capsys, tmp_path):
    (tmp_path / "photos").mkdir()
    kgen.images.save_png(tmp_path / "photos" / "one.png", np.zeros((28, 28, 1)))
    for path in (default_export, default_export / "model.tflite", "photos"):
        said = fails(capsys, path, "--metrics", "nll", "--dataset", "digits")
        assert "metric 'nll' needs a model with a likelihood" in said and "run directory of a VAE" in said
    assert "--nll_samples must be at least 1. Received: 0" in fails(capsys, binarized, *METRICS, "--nll_samples", "0")
    assert "--nll_images must be at least 2. Received: 1" in fails(capsys, binarized, *METRICS, "--nll_images", "1")
