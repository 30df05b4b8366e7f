"""Trainings that measure their samples: curves of quality, and the best checkpoint by any metric."""

import contextlib
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_fixtures import blobs
from PIL import Image

import kgen
from kgen.cli import train as command
from kgen.config import TrainConfig, override
from kgen.errors import TrainingFailed, UserError
from kgen.evaluate import Monitor
from kgen.evaluate import evaluator as evaluator_module
from kgen.evaluate import monitor as monitor_module
from kgen.train import callbacks, defaults, trainer
from kgen.train.dry_run import dry_run
from kgen.train.plots import draw_quality

EPOCHS = 5


@pytest.fixture
def config(tmp_path):
    """A function of settings: a small VAE on 100 training and 100 validation images of 64 pixels."""
    (x, y), (x_test, y_test) = blobs(200, seed=1), blobs(40, seed=2)
    np.savez(tmp_path / "blobs.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)

    def make(**train):
        settings = {
            "model": "vae", "data.dataset": str(tmp_path / "blobs.npz"), "data.validation_fraction": 0.5,
            "model_args.hidden": [8], "model_args.latent_dim": 2, "train.epochs": EPOCHS, "train.batch_size": 25,
            "train.jit_compile": False, "train.learning_rate": 0.01, "train.eval_every": 1,
            "train.eval_features": "pixels", "train.eval_count": 100,
        }  # fmt: skip
        return override(kgen.RunConfig(), settings | {f"train.{key}": value for key, value in train.items()})

    return make


class Script:
    """In place of Monitor: gives values as written, and keeps what the model generated when it was called."""

    split = "validation"

    def __init__(self, fid=(), precision=()):
        self.better = {"fid": "lower", "precision": "higher", "other": ""}
        self.main = ("fid", "precision")
        self.left, self.generated = {"fid": list(fid), "precision": list(precision)}, []

    def __call__(self, config, dataset, seen):
        return self

    def values(self, sampler):
        self.generated.append(sampler.decode(np.ones((1, 2), np.float32)))
        return {name: values.pop(0) for name, values in self.left.items() if values}


def kept(run, checkpoint="best"):
    """What the kept weights generate."""
    return kgen.open_sampler(run.path, checkpoint=checkpoint).decode(np.ones((1, 2), np.float32))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("best_by", "values", "best", "save_every"),
    [
        ("fid", [5, 3, 4, 3, 6], 2, 5.0),  # the first of the lowest
        ("fid", [5, 3, 4, 3, 6], 2, 0.0),
        ("fid", [None, 3, None, 2.5, 6], 4, 0.0),
        ("fid", [None] * 5, 5, 0.0),  # no value: the last
        ("precision", [0.1, 0.0, 0.4, 0.3, 0.4], 3, 5.0),
    ],
)
def test_the_best_checkpoint_is_that_of_the_best_metric(
    config, tmp_path, monkeypatch, best_by, values, best, save_every
):
    """Whether it is written at once or at the end."""
    monkeypatch.setattr(callbacks.BestCheckpoint, "SECONDS", save_every)
    monitor = Script(**{best_by: values})
    run = kgen.train.train(config(best_by=best_by), run_dir=str(tmp_path / "run"), monitor=monitor)
    assert [row[f"validation_{best_by}"] for row in run.metrics()] == values
    state = run.checkpoint_state()
    assert (state["best"]["epoch"], state["last"]["epoch"]) == (best, EPOCHS)
    assert state["best"][f"validation_{best_by}"] == values[best - 1]
    np.testing.assert_allclose(kept(run), monitor.generated[best - 1], atol=1e-6)
    np.testing.assert_allclose(kept(run, "last"), monitor.generated[-1], atol=1e-6)
    assert all(np.abs(a - b).max() > 1e-4 for a, b in zip(monitor.generated, monitor.generated[1:], strict=False))


@pytest.mark.slow
def test_weights_that_failed_are_never_the_best(config, tmp_path):
    """No metric to choose by ever has a value, and the second epoch's weights break: the last would be the best."""

    class Breaking(Script):
        def values(self, sampler):
            if self.generated:
                for weight in sampler.model.decoder.trainable_variables:
                    weight.assign(np.nan * weight)
            self.generated.append(None)
            return {"fid": None}

    with pytest.raises(TrainingFailed, match="in epoch 3"):
        kgen.train.train(config(best_by="fid"), run_dir=str(tmp_path / "run"), monitor=Breaking())
    assert not kgen.Run.open(tmp_path / "run").checkpoint("best").exists()


@pytest.mark.slow
def test_every_few_epochs_and_after_the_last(config, tmp_path):
    monitor = Script(fid=[5, 3, 4])
    run = kgen.train.train(config(eval_every=2, best_by="fid"), run_dir=str(tmp_path / "run"), monitor=monitor)
    assert {row["epoch"]: row.get("validation_fid") for row in run.metrics()} == {1: None, 2: 5, 3: None, 4: 3, 5: 4}
    assert run.checkpoint_state()["best"]["epoch"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("halflife", [0.0, 50.0])
@pytest.mark.parametrize(("before", "after", "best"), [
    ([5, 3], [4, 4, 4], 2),  # the checkpoint to resume from is that of the best epoch
    ([3, 5], [6, 4, 5], 4),  # the weights of epoch 1 are gone: of those to come
    ([3, 5], [1, 2, 2], 3),  # as before the kill
])  # fmt: skip
def test_a_best_epoch_that_a_resumed_training_never_had(config, tmp_path, before, after, best, halflife):
    """Epoch 3 was the best, and the process was killed before it had a checkpoint to resume from."""
    settings = config(best_by="fid", ema_halflife_images=halflife)
    given = {"run_dir": str(tmp_path / "run"), "monitor": Script(fid=before)}
    run = kgen.train.train(settings, **given, pause_after=2)
    paused = run.checkpoint("best").read_bytes()
    shutil.copytree(run.path, tmp_path / "killed")
    killed = kgen.train.train(settings, run_dir=str(tmp_path / "killed"), monitor=Script(fid=[1]), pause_after=3)
    assert killed.checkpoint_state()["best"]["epoch"] == 3
    shutil.copy(killed.checkpoint("best"), run.checkpoint("best"))
    run = kgen.train.resume(run.path, monitor=Script(fid=after))
    held, rows = run.checkpoint_state()["best"], run.metrics()
    assert held["epoch"] == best and held["validation_fid"] == rows[best - 1]["validation_fid"]
    assert (run.checkpoint("best").read_bytes() == paused) == (best == 2)
    log = (run.path / "log.txt").read_text(encoding="utf-8")
    assert "best.npz holds the weights of epoch 3, and the training resumes from epoch 2" in log


@pytest.mark.slow
def test_by_the_loss_by_default(config, tmp_path):
    run = kgen.train.train(config(), run_dir=str(tmp_path / "run"), monitor=Script(fid=[1, 2, 3, 4, 5]))
    losses = [row["validation_loss"] for row in run.metrics()]
    assert run.checkpoint_state()["best"]["epoch"] == 1 + int(np.argmin(losses)) > 1


@pytest.mark.slow
@pytest.mark.figures
def test_measuring_does_not_change_the_training(config, tmp_path):
    measured = kgen.train.train(config(metrics=["fid", "prdc"]), run_dir=str(tmp_path / "one"), monitor=Monitor)
    plain = kgen.train.train(config(eval_every=None), run_dir=str(tmp_path / "two"))
    assert [row["validation_loss"] for row in measured.metrics()] == [row["validation_loss"] for row in plain.metrics()]
    assert not (plain.path / "plots" / "quality.png").exists()
    assert not [key for row in plain.metrics() for key in row if "fid" in key]


@pytest.mark.slow
@pytest.mark.figures
def test_metrics_curves_and_best_checkpoint(config, tmp_path):
    """The kept weights have the metric that metrics.jsonl has of their epoch."""
    settings = config(metrics=["fid", "prdc"], best_by="fid")
    run = kgen.train.train(settings, run_dir=str(tmp_path / "run"), monitor=Monitor)
    rows = run.metrics()
    for row in rows:
        assert {f"validation_{key}" for key in ("fid", "precision", "recall", "density", "coverage")} <= {*row}
    values = [row["validation_fid"] for row in rows]
    best = 1 + int(np.argmin(values))
    assert run.checkpoint_state()["best"]["epoch"] == best and len({*values}) == EPOCHS
    again = Monitor(run.config, kgen.data.load(run.config.data)).values(kgen.open_sampler(run.path))
    assert again["fid"] == pytest.approx(values[best - 1], rel=1e-4)
    assert again["recall"] == pytest.approx(rows[best - 1]["validation_recall"], abs=0.02)
    width, height = Image.open(run.path / "plots" / "quality.png").size
    assert 2 * height < width < 3 * height  # five panels of 4.2 x 3.4: a row of four, and one
    assert run.config.train.metrics == ("fid", "prdc") and kgen.Run.open(run.path).config.train.best_by == "fid"


@pytest.mark.slow
@pytest.mark.figures
def test_metrics_without_values_have_no_curve(config, tmp_path):
    """64 dimensions, 60 samples."""
    run = kgen.train.train(config(epochs=1, eval_count=60), run_dir=str(tmp_path / "run"), monitor=Monitor)
    assert run.metrics()[0]["validation_fid"] is None
    assert not (run.path / "plots" / "quality.png").exists() and (run.path / "plots" / "curves.png").exists()
    assert (run.path / "DONE").exists()


@pytest.mark.slow
def test_without_a_validation_split(config, tmp_path):
    settings = override(config(best_by="fid"), {"data.validation_fraction": 0.0})
    rows = kgen.train.train(settings, run_dir=str(tmp_path / "run"), monitor=Monitor).metrics()
    values = [row["train_fid"] for row in rows]
    assert kgen.Run.open(tmp_path / "run").checkpoint_state()["best"]["epoch"] == 1 + int(np.argmin(values))


@pytest.mark.parametrize(
    ("settings", "monitor", "message"),
    [
        ({}, None, "train.eval_every .*monitor=kgen.evaluate.Monitor"),
        ({"best_by": "kid"}, Monitor, "'kid' is not measured; did you mean 'fid'"),
        ({"eval_count": 10**12}, Monitor, "--eval_count 1000000000000: so many images .* a smaller --eval_count"),
        ({"metrics": ["fdi"]}, Monitor, "unknown metric 'fdi'"),
        ({"metrics": ["label_agreement"]}, Monitor, "metric 'label_agreement' needs images with labels"),
    ],
)
def test_mistakes_leave_nothing(config, tmp_path, settings, monitor, message):
    with pytest.raises(UserError, match=message):
        kgen.train.train(config(**settings), run_dir=str(tmp_path / "run"), monitor=monitor)
    assert not (tmp_path / "run").exists()
    if monitor:  # the dry run says it before it takes a step
        with pytest.raises(UserError, match=message):
            dry_run(config(**settings), monitor=monitor)


def test_metrics_beside_training_images_do_not_replace_the_terms_of_the_training():
    """The kl of an evaluation is not that of the epoch's batches."""
    monitor = SimpleNamespace(split="train", values=lambda sampler: {"kl": 1.0, "fid": 2.0})
    clock = SimpleNamespace(clock_stopped=contextlib.nullcontext)
    callback = callbacks.MeasureSamples(None, [], monitor, clock, 1)
    callback.sampler = None
    callback.set_params({"epochs": 3})
    row = {"epoch": 1, "train_kl": 9.0}
    callback.on_row(row)
    assert row == {"epoch": 1, "train_kl": 9.0, "train_fid": 2.0}


def test_a_best_checkpoint_by_samples_is_measured_ten_times():
    assert TrainConfig().evaluated_every(50) is None and not TrainConfig().measures_samples
    chosen = TrainConfig(best_by="fid")
    assert [chosen.evaluated_every(epochs) for epochs in (1, 10, 11, 200)] == [1, 1, 2, 20]
    assert TrainConfig(best_by="fid", eval_every=3).evaluated_every(200) == 3


@pytest.mark.slow
def test_the_best_epoch_by_a_metric_needs_no_more_than_its_name(config, tmp_path):
    """What was decided stays when the same command goes on for more epochs."""
    settings, monitor = config(eval_every=None, best_by="fid", epochs=12), Script(fid=[4, 2, 3, 5, 6, 7])
    run = kgen.train.train(settings, run_dir=str(tmp_path / "run"), monitor=monitor)
    assert run.config.train.eval_every == 2 and run.checkpoint_state()["best"]["epoch"] == 4
    more = override(settings, {"train.epochs": 14})
    assert kgen.train.train(more, run_dir=str(tmp_path / "run"), monitor=monitor).config.train.eval_every == 2


@pytest.mark.slow
@pytest.mark.parametrize(("copies", "best"), [([0, 0.05, 0.06, 0, None], 2), ([0, 0, 0.05, 0, 0], 3), ([1.0] * 5, 5)])
def test_an_epoch_whose_samples_are_copies_is_not_the_best(config, tmp_path, copies, best):
    """Its distance is the least: 1 in epoch 3. Where all are, the last is kept. 5 % may be chance."""
    monitor = Script(fid=[5, 3, 1, 4, 6])
    monitor.better |= {"near_copies@classifier": "lower"}
    monitor.left["near_copies@classifier"] = list(copies)
    run = kgen.train.train(config(best_by="fid"), run_dir=str(tmp_path / "run"), monitor=monitor)
    assert run.checkpoint_state()["best"]["epoch"] == best


@pytest.mark.slow
def test_what_auto_stands_for_stays_with_the_run(config, tmp_path, monkeypatch):
    """It is decided once, also where it could not be decided in this way any more."""
    given = {"model": "gan", "train.best_by": "auto", "train.metrics": ("kid",), "train.eval_features": "classifier"}
    settings = override(config(eval_every=None, epochs=2, minutes=60.0), given)
    monitor, decisions = Script(), []

    def decided(asked, dataset, seen):
        decisions.append(asked)
        train = {"best_by": "fid", "metrics": ("fid",), "eval_features": "pixels", "eval_every": 1}
        return override(asked, {f"train.{key}": value for key, value in train.items()}).train, "decided so", None

    monitor.decided, monitor.left = decided, {"fid": [3, 4, 2, 5], "precision": []}
    run = kgen.train.train(settings, run_dir=str(tmp_path / "run"), monitor=monitor)
    assert "decided so" in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert run.config.train.best_by == "fid" and run.checkpoint_state()["best"]["epoch"] == 1
    more = kgen.train.train(override(settings, {"train.epochs": 4}), run_dir=str(tmp_path / "run"), monitor=monitor)
    assert decisions[0].train.minutes is None  # epochs were given
    assert len(decisions) == 1 and more.config.train == override(run.config, {"train.epochs": 4}).train
    assert more.checkpoint_state()["best"]["epoch"] == 3


def test_what_auto_opens_is_opened_once(config, tmp_path, monkeypatch):
    """The monitor of the training has metrics and mirrored images that were not decided yet."""
    opened, original = [], monitor_module.load_reference
    monkeypatch.setattr(monitor_module, "load_reference", lambda *a, **k: (opened.append("data"), original(*a, **k))[1])
    extractor = SimpleNamespace(hash="0" * 16, name="classifier", num_classes=2)
    monkeypatch.setattr(evaluator_module, "open_extractor", lambda name, *_: (opened.append(name), extractor)[1])
    monkeypatch.setattr(Monitor, "seconds", lambda self: (1.0, 1.0))
    monkeypatch.setattr(trainer, "_within_minutes", lambda c, *_: (override(c, {"train.epochs": 100}), "minutes 60"))
    found = []
    monkeypatch.setattr(trainer, "_fit_or_roll_back", lambda *given: found.append(given[3]) or sys.exit("enough"))
    settings = {
        "model": "gan", "train.best_by": "auto", "train.metrics": ("kid",), "train.eval_features": "classifier",
        "train.flip": "on",
    }  # fmt: skip
    settings = override(config(eval_every=None, epochs=None, minutes=60.0), settings)
    with pytest.raises(SystemExit, match="enough"):
        kgen.train.train(settings, run_dir=str(tmp_path / "run"), monitor=Monitor)
    assert opened == ["data", "classifier"]
    assert {"kid", "classes_covered"} <= {*found[0].better} and found[0].main[0] == "kid"


@pytest.mark.slow
def test_a_run_that_measured_nothing_does_not_mind_what_auto_would_measure(config, tmp_path):
    """One that the same recipe began before it chose by a metric."""
    before = config(eval_every=None, epochs=1, eval_count=2_000)
    run = kgen.train.train(before, run_dir=str(tmp_path / "run"))
    now = override(before, {"train.best_by": "auto", "train.metrics": ("kid",), "train.eval_count": 50})
    assert kgen.train.train(now, run_dir=str(tmp_path / "run")).config.train == run.config.train


@pytest.mark.slow
def test_auto_without_a_monitor_is_the_loss(config, tmp_path):
    settings = config(eval_every=None, best_by="auto", epochs=1)
    assert kgen.train.train(settings, run_dir=str(tmp_path / "run")).config.train.best_by == "loss"


@pytest.mark.parametrize(
    ("model", "kept", "images", "every", "is_left_out"),
    [
        ("dcgan", False, 180_000, None, True),  # of 12,288 bytes: 2.06 GiB
        ("dcgan", True, 180_000, None, False),
        ("dcgan", False, 170_000, None, False),  # 1.95 GiB
        ("dcgan", False, 180_000, 3, False),
        ("vae", False, 180_000, None, False),
    ],
)
def test_a_large_set_that_is_not_kept_is_not_decoded_for_a_classifier_unasked(model, kept, images, every, is_left_out):
    spec = kgen.DataSpec("many", (64, 64, 3), num_classes=10, examples={"train": images})
    dataset = SimpleNamespace(spec=spec, kept=kept)
    config = kgen.RunConfig(model, train=TrainConfig(epochs=20, eval_every=every))
    assert ("--metrics coverage asks for it" in defaults.class_metrics_left_out(config, dataset)) == is_left_out
    metrics = defaults.with_class_metrics(config, dataset).train.metrics
    assert ("coverage" in metrics) == (model == "dcgan" and not is_left_out)


def test_settings_that_are_none():
    for count in (0, 1):
        with pytest.raises(UserError, match=f"train.eval_count.*at least 2.*Received: {count}"):
            TrainConfig(eval_count=count)
    with pytest.raises(UserError, match=r"train.metrics names nothing to measure; give e.g. --metrics fid"):
        TrainConfig(eval_every=1, metrics=())
    with pytest.raises(UserError, match=r"train.metrics names nothing to measure"):
        TrainConfig(best_by="fid", metrics=())
    with pytest.raises(UserError, match=r"train.metrics names nothing to measure"):
        TrainConfig(best_by="auto", metrics=())
    with pytest.raises(UserError, match=r"train.eval_every.*greater than 0.*Received: 0"):
        TrainConfig(eval_every=0)


@pytest.mark.slow
@pytest.mark.figures
def test_as_typed(config, tmp_path, capsys):
    arguments = ["--eval_every", "1", "--metrics", "fid,prdc", "--features", "pixels", "--best_by", "recall"]
    arguments += ["--eval_count", "80", "--epochs", "2", "--model", "vae", "--nojit_compile", "--batch_size", "25"]
    arguments += ["--validation_fraction", "0.5"]
    code = command.main([*arguments, "--dataset", str(tmp_path / "blobs.npz"), "--run_dir", str(tmp_path / "run")])
    assert code == 0, capsys.readouterr().err
    rows = kgen.Run.open(tmp_path / "run").metrics()
    assert all({"validation_fid", "validation_recall"} <= {*row} for row in rows)
    assert (tmp_path / "run" / "plots" / "quality.png").exists()


@pytest.mark.figures
def test_a_curve_for_each_metric(tmp_path):
    rows = [{"epoch": 1, "validation_fid": 3.0}, {"epoch": 2}, {"epoch": 3, "validation_fid": None, "validation_x": 1}]
    path = tmp_path / "quality.png"
    assert draw_quality(rows, path, {"fid": "lower", "x": "", "never": "higher"}, "validation", title="t") == path
    width, height = Image.open(path).size
    assert 2 * height < width < 3 * height  # two panels of 4.2 x 3.4
    assert draw_quality(rows, tmp_path / "none.png", {"never": "higher"}, "validation", title="t") is None
    assert not (tmp_path / "none.png").exists()
