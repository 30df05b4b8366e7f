"""What a long training adds: a learning rate that falls, averaged weights, losses that are not evaluated each epoch."""

import numpy as np
import pytest

import kgen
from kgen.config import override
from kgen.train import train

SMALL = {
    "model": "vae", "data.limit": 64, "data.binarize": "sample", "train.epochs": 5, "train.batch_size": 16,
    "train.jit_compile": False, "model_args.hidden": [8],
}  # fmt: skip


def trained(folder, **settings) -> kgen.Run:
    return train(override(kgen.RunConfig(), SMALL | settings), run_dir=str(folder))


def test_losses_are_evaluated_when_asked_and_at_the_end(tmp_path):
    run = trained(tmp_path / "run", **{"train.validate_every": 2})
    assert [row["epoch"] for row in run.metrics() if "validation_loss" in row] == [2, 4, 5]
    assert all("train_loss" in row for row in run.metrics())
    best = min((row for row in run.metrics() if "validation_loss" in row), key=lambda row: row["validation_loss"])
    assert run.checkpoint_state()["best"]["epoch"] == best["epoch"]


def test_a_cosine_ends_at_a_learning_rate_of_zero(tmp_path):
    """Of 5 epochs the last moves the loss least; with SGD-like steps of Adam all move it alike at a constant rate."""
    import h5py

    run = trained(tmp_path / "run", **{"train.schedule": "cosine", "train.learning_rate": 0.01})
    rows = [row["train_loss"] for row in run.metrics()]
    assert abs(rows[-1] - rows[-2]) < 0.5 * abs(rows[1] - rows[0])
    with h5py.File(run.checkpoint("last")) as file:
        names = []
        file.visit(names.append)
    assert not [name for name in names if "moving_average" in name]  # none was asked for


def test_averaged_weights_are_what_is_evaluated_and_kept(tmp_path):
    """With an average that hardly moves, the loss stays near that of the first weights though training goes on."""
    moving = trained(tmp_path / "moving", **{"train.learning_rate": 0.01})
    held = trained(tmp_path / "held", **{"train.learning_rate": 0.01, "train.ema_halflife_images": 1e6})
    a, b = moving.metrics()[-1], held.metrics()[-1]
    assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-5)  # the same training
    assert b["validation_loss"] > a["validation_loss"] + 20
    z = np.zeros((1, *held.load_model("last").latent_shape), np.float32)
    fresh = kgen.build_model("vae", held.spec, seed=held.config.seed, **held.config.model_args).generate(z)
    farthest = [np.abs(run.load_model("last").generate(z) - fresh).max() for run in (held, moving)]
    assert farthest[0] < 0.3 * farthest[1]
