"""train.class_balance: what a training says, writes and refuses."""

import json

import numpy as np
import pytest

import kgen
from kgen.cli.train import main
from kgen.config import override
from kgen.data import Dataset, load
from kgen.errors import UserError
from kgen.run import Run
from kgen.train import resume, train
from kgen.train.dry_run import dry_run
from kgen.train.trainer import _balance_note

COUNTS = (30, 9, 1)


@pytest.fixture
def settings(tmp_path):
    """Of a small training on 40 images of three classes, in batches of 8."""
    pixels = np.random.default_rng(0).integers(0, 256, (sum(COUNTS), 8, 8), np.uint8)
    np.savez(tmp_path / "rare.npz", images=pixels, labels=np.repeat(np.arange(3), COUNTS))
    return {
        "model": "cvae", "data.dataset": str(tmp_path / "rare.npz"), "data.validation_fraction": 0.0,
        "train.epochs": 2, "train.batch_size": 8, "train.jit_compile": False, "model_args.hidden": [8],
        "train.class_balance": 1.0,
    }  # fmt: skip


def config(settings, **changes):
    return override(kgen.RunConfig(), settings | changes)


@pytest.mark.parametrize(
    ("model", "balance", "note"),
    [
        # 40 draws: 13.33 for each class; of sqrt(30) + sqrt(9) + 1 = 9.477: 57.8 %, 31.7 %, 10.6 %
        ("cvae", 1.0, "class_balance 1: '0' has 30 of 40 images and 33.3% of the draws, '2' has 1 of 40 images and "
         "33.3% of the draws, each of its images 13 times per epoch\n"),
        ("vae", 0.5, "class_balance 0.5: '0' has 30 of 40 images and 57.8% of the draws, '2' has 1 of 40 images and "
         "10.6% of the draws, each of its images 4.22 times per epoch. 'vae' takes no labels, so the classes of its "
         "samples follow the draws"),
    ],
)  # fmt: skip
def test_the_log_says_how_often_classes_are_drawn(settings, tmp_path, no_steps, model, balance, note):
    run = train(config(settings, **{"model": model, "train.class_balance": balance}), run_dir=str(tmp_path / "run"))
    assert note in (run.path / "log.txt").read_text(encoding="utf-8")
    assert json.loads((run.path / "config.json").read_text())["train"]["class_balance"] == balance


def note_of(settings, counts, **changes):
    """The note about a set whose classes have so many images."""
    pixels = np.zeros((sum(counts), 8, 8), np.uint8)
    labels = np.repeat(np.arange(len(counts)), counts)
    np.savez(settings["data.dataset"], images=pixels, labels=labels)
    given = config(settings, **changes)
    return _balance_note(given, load(given.data))


def test_notes_of_equal_classes_of_many_draws_and_of_a_fitted_prior(settings):
    assert note_of(settings, (8, 8)) == "class_balance 1 changes no shares: every class has 8 images"
    assert note_of(settings, (8,)).endswith("every class has 8 images")
    many = note_of(settings, (4999, 1))  # 625 batches of 8: 2,500 draws of each
    assert "'0' has 4,999 of 5,000 images" in many and many.endswith("each of its images 2,500 times per epoch")
    fitted = note_of(settings, COUNTS, model="vae", **{"train.prior": "gaussian_mixture"})
    assert fitted.endswith("times per epoch")


def test_what_is_refused_before_anything_is_trained(settings, tmp_path, capsys):
    np.savez(tmp_path / "plain.npz", images=np.zeros((20, 8, 8), np.uint8))
    plain = config(settings, **{"model": "vae", "data.dataset": str(tmp_path / "plain.npz")})
    for attempt in (lambda: train(plain, run_dir=str(tmp_path / "run")), lambda: dry_run(plain)):
        with pytest.raises(UserError, match=r"train.class_balance=1 draws images by their labels"):
            attempt()
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"train.class_balance must lie in .*1.5"):
        config(settings, **{"train.class_balance": 1.5})
    assert main(["--model", "vae", "--dataset", str(tmp_path / "plain.npz"), "--class_balance", "1"]) == 2
    assert "train.class_balance=1 draws images by their labels" in capsys.readouterr().err


def refused(*_):
    raise UserError("the images are read by parts")


@pytest.mark.slow
def test_a_training_goes_on_as_if_it_had_not_paused(settings, tmp_path, monkeypatch):
    whole = train(config(settings), run_dir=str(tmp_path / "whole"))
    paused = train(config(settings), run_dir=str(tmp_path / "paused"), pause_after=1)
    order = paused.step_checkpoints.newest(print).state["order"]
    assert order == "image by image, with class_balance 1"
    with pytest.raises(UserError, match=r"train.class_balance was 1.0, is 0.5"):
        train(config(settings, **{"train.class_balance": 0.5}), run_dir=str(tmp_path / "paused"))
    resume(tmp_path / "paused")
    plain = train(config(settings, **{"train.class_balance": 0.0}), run_dir=str(tmp_path / "plain"))
    hashes = [Run.open(run.path).load_model("last").weights_hash() for run in (whole, paused, plain)]
    assert hashes[0] == hashes[1] != hashes[2]
    monkeypatch.setattr(Dataset, "training_order", refused)  # as where its set is read by parts now
    assert " is done: " in (resume(whole.path).path / "log.txt").read_text(encoding="utf-8")
