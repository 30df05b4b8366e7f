"""What a long training adds: a learning rate that falls, averaged weights, losses that are not evaluated each epoch."""

import numpy as np
import pytest

import kgen
from kgen.config import override
from kgen.errors import UserError
from kgen.train import train

SMALL = {
    "model": "vae", "data.limit": 64, "data.binarize": "sample", "train.epochs": 5, "train.batch_size": 16,
    "train.jit_compile": False, "model_args.hidden": [8],
}  # fmt: skip


def trained(folder, **settings) -> kgen.Run:
    return train(override(kgen.RunConfig(), SMALL | settings), run_dir=str(folder))


@pytest.mark.slow
def test_losses_are_evaluated_when_asked_and_at_the_end(tmp_path):
    run = trained(tmp_path / "run", **{"train.validate_every": 2})
    assert [row["epoch"] for row in run.metrics() if "validation_loss" in row] == [2, 4, 5]
    assert all("train_loss" in row for row in run.metrics())
    best = min((row for row in run.metrics() if "validation_loss" in row), key=lambda row: row["validation_loss"])
    assert run.checkpoint_state()["best"]["epoch"] == best["epoch"]


@pytest.mark.slow
def test_a_cosine_falls_from_the_learning_rate_to_zero(tmp_path, monkeypatch):
    """rate (1 + cos(pi step / steps)) / 2; of 20 steps half is left at step 10."""
    seen = []
    compiled = kgen.models.GenerativeModel.compile

    def spy(model, optimizer, **arguments):
        seen.append(optimizer["elbo"])
        return compiled(model, optimizer, **arguments)

    monkeypatch.setattr(kgen.models.GenerativeModel, "compile", spy)
    for schedule, expected in (("cosine", [0.01, 0.005, 0.0]), ("constant", [0.01, 0.01, 0.01])):
        trained(tmp_path / schedule, **{"train.schedule": schedule, "train.learning_rate": 0.01})
        optimizer, rates = seen.pop(), []
        assert int(optimizer.iterations) == 20  # 5 epochs of 4 steps
        for step in (0, 10, 20):
            optimizer.iterations.assign(step)
            rates.append(float(optimizer.learning_rate))
        np.testing.assert_allclose(rates, expected, atol=1e-8)
        assert not optimizer.use_ema


@pytest.mark.slow
def test_averaged_weights_are_what_is_evaluated_and_kept(tmp_path):
    """With an average that hardly moves, the loss stays near that of the first weights though training continues."""
    moving = trained(tmp_path / "moving", **{"train.learning_rate": 0.01})
    held = trained(tmp_path / "held", **{"train.learning_rate": 0.01, "train.ema_halflife_images": 1e6})
    a, b = moving.metrics()[-1], held.metrics()[-1]
    assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-5)  # the same training
    assert b["validation_loss"] > a["validation_loss"] + 20
    z = np.zeros((1, *held.load_model("last").latent_shape), np.float32)
    fresh = kgen.build_model("vae", held.spec, seed=held.config.seed, **held.config.model_args).generate(z)
    farthest = [np.abs(run.load_model("last").generate(z) - fresh).max() for run in (held, moving)]
    assert farthest[0] < 0.3 * farthest[1]


@pytest.mark.parametrize("model, given, halflife", [
    ("vae", None, 0), ("vae", 100.0, 100), ("gan", None, 5 * 64 / 20), ("gan", 0.0, 0), ("gan", 7.0, 7),
])  # fmt: skip
def test_adversarial_models_are_averaged_by_default(model, given, halflife, tmp_path, no_steps):
    settings = {"model": model, "data.binarize": "none", "train.ema_halflife_images": given}
    run = trained(tmp_path / "run", **settings)
    assert run.config.train.ema_halflife_images == halflife


def test_a_ramp_up_needs_an_average(tmp_path):
    with pytest.raises(UserError, match=r"train.ema_rampup .* no average: add --ema_halflife_images.*Received: 0.05"):
        trained(tmp_path / "run", **{"train.ema_rampup": 0.05})
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_averages_go_with_batch_normalization(tmp_path):
    """The statistics are averaged with the weights: the loss of the kept weights is that of a trained model."""
    settings = {"train.learning_rate": 0.01, "model_args.batch_norm": True}
    moving = trained(tmp_path / "moving", **settings).metrics()
    averaged = trained(tmp_path / "averaged", **settings | {"train.ema_halflife_images": 200}).metrics()
    assert averaged[-1]["validation_loss"] < moving[0]["validation_loss"]


@pytest.mark.slow
def test_the_best_checkpoint_holds_averages_too(tmp_path):
    run = trained(tmp_path / "run", **{"train.ema_halflife_images": 200})
    rows = run.metrics()
    best = min(rows, key=lambda row: row["validation_loss"])
    model = run.load_model("best")
    model.compile()
    dataset = kgen.data.load(run.config.data, seed=run.config.seed)
    batches = dataset.batches("validation", batch_size=512, seed=run.config.seed)
    found = model.evaluate(batches, verbose=0, return_dict=True)["loss"]
    assert found == pytest.approx(best["validation_loss"], rel=1e-5)


def test_grey_pixels_that_a_pixel_vae_rounds_are_remarked_on(tmp_path, no_steps):
    arguments = {"latent_dim": 2, "network": "mlp", "width": 4, "layers": 1, "conditioned_layers": 1, "condition": 2}
    settings = {"model": "pixel_vae", "train.epochs": 1, "data.limit": 32, "data.image_size": [8, 8]}
    settings |= {f"model_args.{name}": value for name, value in arguments.items()}
    grey = trained(tmp_path / "grey", **{**settings, "data.binarize": "none"})
    black = trained(tmp_path / "black", **settings)
    assert "rounded to black and white" in (grey.path / "log.txt").read_text()
    assert "rounded to black and white" not in (black.path / "log.txt").read_text()
    assert not grey.config.train.jit_compile
