"""Runs whose data were moved, through the commands."""

import json

import numpy as np
import pytest
from evaluation_fixtures import blobs

import kgen
from kgen.cli import eval as kgen_eval
from kgen.cli import explore, sample
from kgen.cli import train as kgen_train
from kgen.run import Run

QUICK = ["--metrics", "kid", "--features", "random", "--count", "20", "--repeats", "1"]


@pytest.fixture
def run(tmp_path, monkeypatch, quick_classifier, no_steps):
    """An untrained run on imgs/, which has been renamed to pics/ since; the current folder holds both."""
    monkeypatch.chdir(tmp_path)
    kgen.images.save_pngs(tmp_path / "imgs", blobs(40)[0], [f"{i:02d}" for i in range(40)])
    settings = ["--set", "model_args.hidden=[8]", "--set", "model_args.latent_dim=2", "--nojit_compile"]
    arguments = ["--model", "vae", "--dataset", "imgs", "--epochs", "1", "--run_dir", "x", *settings]
    assert kgen_train.main(arguments) == 0
    (tmp_path / "imgs").rename(tmp_path / "pics")
    return tmp_path / "x"


def test_resume_where_the_data_are_now(run, tmp_path, capsys):
    assert kgen_train.main(["--resume", "x", "--epochs", "2"]) == 2
    message = capsys.readouterr().err
    assert f"{tmp_path / 'imgs'}, is not there any more" in message and "--dataset NEWPATH" in message
    kgen.images.save_pngs(tmp_path / "others", blobs(40, seed=7)[0], [f"{i:02d}" for i in range(40)])
    assert kgen_train.main(["--resume", "x", "--epochs", "2", "--dataset", "others"]) == 2
    message = capsys.readouterr().err
    assert "content hash" in message and Run.open(run).data_hashes["train"] in message
    assert kgen_train.main(["--resume", "x", "--epochs", "2", "--dataset", "pics", "--dry_run"]) == 0
    assert kgen_train.main(["--resume", "x", "--epochs", "2", "--dataset", "pics"]) == 0
    assert "taken from pics; content hashes agree" in (run / "log.txt").read_text()
    found = json.loads((run / "config.json").read_text())
    assert found["data"]["dataset"] == "pics"
    assert found["data_places"]["dataset"]["absolute"] == str(tmp_path / "pics")
    assert kgen_train.main(["--resume", "x", "--epochs", "3"]) == 0
    assert kgen_eval.main(["x", *QUICK]) == 0
    assert kgen_train.main(["--resume", "x", "--fit", "pad"]) == 2
    assert "--fit does not go with --resume" in capsys.readouterr().err


def test_evaluate_and_explore_where_the_data_are_now(run, tmp_path, capsys):
    assert kgen_eval.main(["x", *QUICK]) == 2
    assert "is not there any more; if it was moved: --dataset NEWPATH" in capsys.readouterr().err
    assert kgen_eval.main(["x", *QUICK, "--dataset", "pics"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "validation split" in printed and "4 real and 20 generated" in printed  # those that the run set aside
    np.savez(tmp_path / "others.npz", images=blobs(40, seed=7)[0])
    assert kgen_eval.main(["x", *QUICK, "--dataset", "others.npz"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "the whole set" in printed
        and "40 real and 20 generated" in printed
        and "other images than those of the training" in printed
    )
    assert explore.main(["x", "--what", "reconstructions", "--dataset", "pics"]) == 0
    assert explore.main(["x", "--what", "reconstructions"]) == 2
    assert "is not there any more" in capsys.readouterr().err
    mixture = ["x", "--prior", "gaussian_mixture", "--count", "4"]
    assert sample.main(mixture) == 2
    assert "is not there any more" in capsys.readouterr().err
    assert sample.main([*mixture, "--dataset", "others.npz"]) == 2
    assert "does not hold the images" in capsys.readouterr().err
    assert sample.main([*mixture, "--dataset", "pics"]) == 0
