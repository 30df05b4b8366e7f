"""The loop on tiny data: what it decides, and how it stops."""

import math

import numpy as np
import pytest

import kgen
from kgen.config import override
from kgen.errors import TrainingFailed, UserError
from kgen.models import resolve_model_args
from kgen.train import defaults, resolve_defaults, train

SMALL = {
    "data.limit": 64, "train.epochs": 2, "train.batch_size": 16, "train.jit_compile": False, "model_args.hidden": [8],
}  # fmt: skip


def small(**settings) -> kgen.RunConfig:
    return override(kgen.RunConfig(), SMALL | settings)


@pytest.mark.parametrize(
    ("settings", "steps", "xla"),
    [
        ({"model_args.network": "conv", "train.epochs": None}, 1000, False),
        ({"model": "conv_cvae", "train.epochs": None}, 1000, False),
        ({"model_args.network": "mlp", "train.epochs": None, "train.batch_size": None}, 1000, False),
        ({"model_args.network": "mlp", "train.epochs": 10_000}, 1000, True),
    ],
)
def test_every_default_is_resolved(settings, steps, xla):
    config = override(small(), {"train.jit_compile": None, **settings})
    dataset = kgen.data.load(config.data)
    ready = resolve_defaults(config, dataset)
    assert ready.train.jit_compile is xla
    assert ready.train.epochs * (dataset.spec.examples["train"] // ready.train.batch_size) >= min(steps, 200)
    assert ready.model_args["likelihood"] == "bernoulli" and ready.train.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("model", "steps", "xla", "at_once"),
    [
        ("vae", 1_000, False, 1),
        ("vae", 50_000, True, 64),
        ("gan", 50_000, False, 1),
        ("dcgan", 50_000, False, 1),
        ("wgan_gp", 50_000, False, 1),
        ("wgan", 50_000, False, 1),
        ("conv_vae", 50_000, False, 1),
    ],
)
def test_xla_is_for_dense_autoencoders_where_it_pays(model, steps, xla, at_once):
    """And its programs loop over several steps where that makes them faster."""
    model_args = resolve_model_args(model, {})
    config = kgen.RunConfig(model=model, model_args=model_args)
    assert defaults.use_xla(config, steps) is xla
    for chosen in (xla, False):
        config = override(config, {"train.jit_compile": chosen})
        assert defaults.steps_per_graph(config) == (at_once if chosen else 1)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vae", "cvae"])
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_trains_in_mixed_precision(tmp_path, model, precision):
    run = train(small(**{"model": model, "train.precision": precision}), runs_root=str(tmp_path))
    assert (run.path / "DONE").is_file()
    assert math.isfinite(run.metrics()[-1]["test_loss"])
    assert kgen.generate(kgen.open_sampler(run.path), 4).images.dtype == np.float32


@pytest.mark.slow
def test_the_same_seed_trains_the_same(tmp_path):
    """And another does not: see test_resume.py."""
    one, other = (train(small(seed=3), runs_root=str(tmp_path)).metrics() for _ in range(2))
    assert [row["test_loss"] for row in one] == [row["test_loss"] for row in other]


def test_runs_are_numbered(tmp_path, no_steps):
    names = [train(small(**{"train.epochs": 1}), runs_root=str(tmp_path)).name for _ in range(2)]
    assert names == ["00000-cvae-digits", "00001-cvae-digits"]


@pytest.mark.slow
def test_without_validation_the_best_checkpoint_is_the_last(tmp_path):
    run = train(small(**{"data.validation_fraction": 0.0}), runs_root=str(tmp_path))
    state = run.checkpoint_state()
    assert "validation" not in run.spec.examples and state["best"] == state["last"] and state["best"]["epoch"] == 2


def test_grey_pixels_under_a_bernoulli_are_remarked_on(tmp_path, no_steps):
    grey = train(small(), run_dir=str(tmp_path / "grey"))
    black = train(small(**{"data.binarize": "threshold"}), run_dir=str(tmp_path / "black"))
    assert "not a likelihood" in (grey.path / "log.txt").read_text()
    assert "not a likelihood" not in (black.path / "log.txt").read_text()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    # With this learning rate the first step is sane and the weights then explode.
    config = small(**{"train.learning_rate": 1e30, "train.epochs": 50})
    with pytest.raises(TrainingFailed, match=r"not finite at step \d+ .*learning_rate"):
        train(config, run_dir=str(tmp_path / "run"))
    run = kgen.Run.open(tmp_path / "run")
    reason = (run.path / "FAILED").read_text()
    assert "not finite at step" in reason and str(run.checkpoint("last")) in reason
    assert not (run.path / "DONE").exists()
    kept = run.load_model("last")
    assert all(np.isfinite(w).all() for w in kept.get_weights())
    assert int(kept.failed_step) == -1


@pytest.mark.slow
def test_an_interrupted_gan_says_so_and_can_be_sampled_from(tmp_path, monkeypatch):
    """It has no validation loss to choose a best checkpoint by: that is the last whole epoch's."""
    from kgen.train import callbacks

    def interrupt(self, epoch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.SampleGrids, "on_epoch_end", interrupt)
    settings = {"model": "gan", "data.limit": 64, "train.batch_size": 16, "model_args.hidden": [8]}
    with pytest.raises(KeyboardInterrupt):
        train(override(kgen.RunConfig(), settings), run_dir=str(tmp_path / "run"))
    run = kgen.Run.open(tmp_path / "run")
    assert "interrupted" in (run.path / "FAILED").read_text()
    assert run.checkpoint_state()["best"]["epoch"] == 1
    assert kgen.generate(kgen.open_sampler(run.path), 2, seed=0).images.shape == (2, 28, 28, 1)


def test_a_conditional_model_needs_labels_and_leaves_nothing(tmp_path):
    np.savez(tmp_path / "plain.npz", images=np.zeros((20, 8, 8), np.uint8))
    with pytest.raises(UserError, match=r"'cvae'.*num_classes=0.*--model vae"):
        train(small(**{"data.dataset": str(tmp_path / "plain.npz")}), runs_root=str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_unconditional_grids_and_colour(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "colour.npz", images=rng.integers(0, 256, (40, 12, 10, 3), np.uint8))
    settings = {"model": "vae", "data.dataset": str(tmp_path / "colour.npz"), "model_args.network": "conv"}
    run = train(small(**settings), run_dir=str(tmp_path / "run"))
    from PIL import Image

    assert Image.open(run.path / "samples" / "final.png").size == (8 * (4 * 10 + 2) + 2, 8 * (4 * 12 + 2) + 2)
    assert "test" not in run.spec.examples and "test_loss" not in run.metrics()[0]


@pytest.mark.slow
def test_auto_is_decided_by_the_data_and_kept(tmp_path):
    """The same command finds the run done: what it decides again is what the run has."""
    small = {"data.limit": 60, "data.image_size": (16, 16), "model_args.filters": [4], "model_args.latent_dim": 2}
    auto = {"model": "dcgan", "model_args.augment": "auto", "train.epochs": 1}
    asked = override(kgen.RunConfig(), auto | small | {"train.batch_size": 20})
    run = train(asked, run_dir=str(tmp_path / "run"))
    args = kgen.Run.open(tmp_path / "run").config.model_args
    assert args["augment"] == ["color", "translation", "cutout"]
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    count = run.spec.examples["train"]
    assert f'auto, for {count} training images: model_args.augment=["color", "tr' in log
    assert train(asked, run_dir=str(tmp_path / "run")).config.model_args == args
