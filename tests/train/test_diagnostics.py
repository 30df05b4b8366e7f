"""Diagnostics: each rule on rows made by hand, and on trainings with a problem made on purpose."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_fixtures import blobs

import kgen
from kgen.config import override
from kgen.errors import TrainingFailed
from kgen.evaluate import Monitor
from kgen.train import callbacks, train
from kgen.train.diagnostics import PATIENCE, RULES, HealthMetrics, diagnose, mean_distance, settled_after

HEALTHY = {
    "train_discriminator_loss": 1.2, "train_discriminator_real": 0.6, "train_discriminator_fake": 0.4,
    "train_discriminator_gradient": 0.5, "train_generator_loss": 0.9, "train_generator_gradient": 0.3,
    "health_diversity": 0.95, "health_saturated": 0.01, "health_label_effect": 0.8, "health_generator_alive": 0.9,
    "health_discriminator_alive": 0.95, "validation_classes_covered": 10.0, "validation_label_agreement": 0.9,
    "validation_near_copies": 0.01,
}  # fmt: skip
PROBLEMS = {
    "divergence": {"train_discriminator_gradient": 2e4},
    "vanishing gradient": {"train_generator_gradient": 1e-9},
    "collapse": {"health_diversity": 0.1, "validation_classes_covered": 1.0},
    "memorization": {"validation_near_copies": 0.2},
    "discriminator too strong": {
        "train_discriminator_loss": 0.002,
        "train_discriminator_real": 0.999,
        "train_discriminator_fake": 0.001,
    },
    "condition ignored": {"health_label_effect": 0.02, "validation_label_agreement": 0.1},
    "dead layers": {"health_generator_alive": 0.0},
    "saturated output": {"health_saturated": 0.9},
}


def names(rows, **kwargs):
    return [diagnosis.name for diagnosis in diagnose(rows, 10, **kwargs)]


def test_a_healthy_training_is_left_alone():
    assert names([HEALTHY] * 20) == []


def test_every_rule_is_tested():
    assert len(PROBLEMS) == len(RULES)


@pytest.mark.parametrize("name", PROBLEMS)
def test_rules(name):
    """A problem is reported when it lasts, not after one bad epoch; with its numbers and the setting to change."""
    bad = HEALTHY | PROBLEMS[name]
    assert names([HEALTHY] * 5 + [bad] * PATIENCE) == [name]
    assert names([bad] * (PATIENCE - 1)) == names([HEALTHY] * 5 + [bad] * (PATIENCE - 1)) == []
    assert names([HEALTHY] * 5 + [bad] * PATIENCE + [HEALTHY]) == []
    (diagnosis,) = diagnose([bad] * PATIENCE, 10)
    assert any(character.isdigit() for character in diagnosis.evidence)
    assert "--" in diagnosis.advice


def test_a_gradient_that_grew_a_thousandfold_is_a_divergence():
    assert names([HEALTHY] * 10 + [HEALTHY | {"train_generator_gradient": 400.0}] * PATIENCE) == ["divergence"]
    assert names([HEALTHY] * 10 + [HEALTHY | {"train_generator_gradient": 200.0}] * PATIENCE) == []


def test_a_critic_may_be_sure():
    critic = HEALTHY | PROBLEMS["discriminator too strong"] | {"train_discriminator_distance": 5.0}
    assert names([critic] * PATIENCE) == []


def test_a_discriminator_with_smoothed_labels_may_be_too_strong():
    """At best it says 0.9 of real images: a loss of -0.9 log 0.9 - 0.1 log 0.1 = 0.325."""
    sure = HEALTHY | {"train_discriminator_loss": 0.33, "train_discriminator_real": 0.9}
    assert names([sure] * PATIENCE) == []
    assert names([sure] * PATIENCE, label_smoothing=0.2) == ["discriminator too strong"]


@pytest.mark.parametrize("name", ["collapse", "condition ignored", "memorization"])
def test_metrics_that_not_every_epoch_has(name):
    """As a long training measures them: in every fifth epoch."""
    measured = [key for key in HEALTHY if key.startswith("validation_")]
    others = HEALTHY | {key: PROBLEMS[name][key] for key in PROBLEMS[name] if key in measured}
    rows = [
        {k: v for k, v in others.items() if epoch % 5 == 0 or k not in measured} for epoch in range(1, 5 * PATIENCE)
    ]
    assert names(rows) == []
    assert names([*rows, others]) == [name]
    assert names([*rows, others, rows[0], rows[1]]) == [name]


@pytest.mark.parametrize("split", ["train_", "validation_"])
def test_copies_are_found_by_whichever_features(split):
    """As --metrics memorization@random names the column."""
    plain = {key: value for key, value in HEALTHY.items() if "near_copies" not in key}
    assert names([plain | {f"{split}near_copies@random": 0.2}] * PATIENCE) == ["memorization"]
    assert names([plain | {f"{split}near_copies@random": 0.02}] * PATIENCE) == []


def test_samples_are_judged_when_the_average_they_come_from_has_left_its_beginning():
    assert settled_after(None, 64) == settled_after(1_000, 64) == 500
    assert settled_after(64_000, 64) == 3_000
    bad = [HEALTHY | PROBLEMS["collapse"] | {"step": 100 * epoch} for epoch in range(1, 11)]
    assert names(bad, settled=700) == ["collapse"] and names(bad, settled=800) == []
    exploding = [HEALTHY | PROBLEMS["divergence"] | {"step": 100 * epoch} for epoch in range(1, 11)]
    assert names(exploding, settled=10_000) == ["divergence"]


def test_the_weakest_layer_is_named():
    (found,) = diagnose([HEALTHY | PROBLEMS["dead layers"]] * PATIENCE, 10, {"generator": "decoder_1_relu"})
    assert "layer 'decoder_1_relu' of the generator" in found.evidence


# Health metrics -------------------------------------------------------------------------------------------------------


def test_mean_distance_by_hand():
    """Three points 0, 3 and 4 i: distances 3, 4 and 5."""
    assert mean_distance(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])) == pytest.approx(4.0)


def blobs_of(folder, count):
    (x, y), (x_test, y_test) = blobs(count, classes=4, seed=1), blobs(40, classes=4, seed=2)
    np.savez(folder / "blobs.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return folder / "blobs.npz"


@pytest.fixture
def dataset(tmp_path):
    return blobs_of(tmp_path, 400)


@pytest.fixture
def large(tmp_path):
    """As many steps in a quarter of the epochs, each of which is measured."""
    return blobs_of(tmp_path, 1600)


def test_health_metrics_of_a_generator_whose_weights_are_known(dataset):
    """All weights 0 but the last bias: every image alike, no unit alive; with a large bias all pixels at the end."""
    loaded = kgen.data.load(kgen.DataConfig(dataset=str(dataset)))
    model = kgen.build_model("cgan", loaded.spec, hidden=[8], latent_dim=4)
    health = HealthMetrics(model, loaded, seed=0)
    before = health.measure()
    assert before["diversity"] > 0 and before["label_effect"] > 0.05 and before["generator_alive"] == 1
    assert before["saturated"] == 0
    for weight in model.generator.weights:
        weight.assign(weight * 0)
    still = health.measure()
    assert still["label_effect"] == still["generator_alive"] == still["saturated"] == 0
    assert still["diversity"] == pytest.approx(0, abs=1e-5)
    assert health.weakest["generator"].startswith("decoder_0")
    assert model.generator.weights[-1].path.endswith("bias")
    model.generator.weights[-1].assign(model.generator.weights[-1] + 10)
    real = np.concatenate([np.asarray(images) for images, _ in loaded.batches("validation", batch_size=400)])
    extreme = np.mean((real == 0) | (real == 1))
    assert health.measure()["saturated"] == pytest.approx(1 - extreme, abs=0.02)


# Trainings with a problem made on purpose -----------------------------------------------------------------------------

RUN = {
    "data.validation_fraction": 0.25, "train.epochs": 12, "train.batch_size": 25, "train.jit_compile": False,
    "model_args.hidden": [32], "model_args.latent_dim": 8, "train.validate_every": 12,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _measured_each_epoch(monkeypatch):
    """Trainings here are too short to wait for."""
    monkeypatch.setattr(callbacks, "MEASUREMENT_STEPS", 1)


def log_of(dataset, folder, monitor=None, **settings) -> str:
    config = override(kgen.RunConfig(), RUN | {"data.dataset": str(dataset)} | settings)
    run = train(config, run_dir=str(folder), monitor=monitor)
    assert (run.path / "plots" / "layers.png").is_file()
    return (run.path / "log.txt").read_text()


LONG = {"train.epochs": 15, "train.learning_rate": 1e-3}  # 720 steps of the large set
LABELLED = LONG | {
    "model": "cdcgan", "model_args.filters": [8, 16], "model_args.hidden": [], "model_args.projection": True
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"train.ema_halflife_images": 0}])
def test_a_healthy_run_is_silent(settings, large, tmp_path):
    """With its classes and labels looked at, too; the control of the shuffled labels below."""
    log = log_of(large, tmp_path / "run", Monitor, **LABELLED, **settings)
    assert log.count("diagnostics") == 1 and "diagnostics: no problem found\n" in log


@pytest.mark.slow
def test_a_run_that_is_too_short_to_be_judged_says_so(dataset, tmp_path):
    log = log_of(dataset, tmp_path / "run", model="cgan", **{"train.ema_halflife_images": 100_000})
    assert "no problem found, but 144 steps in 12 epochs are too few to judge samples by (3 epochs after" in log


@pytest.mark.slow
def test_the_metrics_are_not_read_again_in_each_epoch(dataset, tmp_path, monkeypatch):
    calls, read = [], kgen.Run.metrics
    monkeypatch.setattr(kgen.Run, "metrics", lambda self: calls.append(self) or read(self))
    log_of(dataset, tmp_path / "run", model="gan", **{"train.epochs": 4})
    assert len(calls) == 1


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_a_divergence(dataset, tmp_path):
    with pytest.raises(TrainingFailed):
        log_of(dataset, tmp_path / "run", model="gan", **{"train.learning_rate": 1e30})
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "divergence: the loss was not finite at step" in log and "no problem found" not in log
    assert "--learning_rate" in log


@pytest.mark.slow
def test_a_discriminator_that_runs_away_is_reported(large, tmp_path):
    """The generator stands still."""
    rates = {"train.learning_rate": 1e-9, "train.discriminator_learning_rate": 1e-3}
    log = log_of(large, tmp_path / "run", model="gan", **LONG | rates)
    assert "discriminator too strong: its loss is 0.0" in log and "--discriminator_learning_rate" in log


@pytest.mark.slow
def test_a_network_whose_units_have_died_is_reported(dataset, tmp_path):
    """ReLU units that a step of a far too large rate has pushed below 0 for every input."""
    settings = {
        "train.learning_rate": 1e-9, "train.discriminator_learning_rate": 30.0, "train.optimizer": "sgd",
        "train.epochs": 6, "model_args.discriminator_activation": "relu",
    }  # fmt: skip
    log = log_of(dataset, tmp_path / "run", model="gan", **settings)
    assert "dead layers: in layer 'encoder_0_relu' of the discriminator" in log


@pytest.mark.slow
def test_a_clip_that_is_too_small_leaves_no_gradient(dataset, tmp_path):
    settings = {"model_args.network": "mlp", "model_args.clip": 1e-4, "model_args.hidden": [32, 32]}
    log = log_of(dataset, tmp_path / "run", model="wgan", **settings)
    assert "vanishing gradient: the generator's gradient has a norm of" in log
    assert "model_args.clip" in log


@pytest.mark.slow
def test_a_learning_rate_of_one_is_reported(dataset, tmp_path):
    log = log_of(dataset, tmp_path / "run", model="gan", **{"train.learning_rate": 1.0, "train.epochs": 12})
    assert any(name in log for name in ("divergence:", "saturated output:", "collapse:"))
    assert "--learning_rate" in log


@pytest.mark.slow
def test_shuffled_labels_are_a_condition_that_is_ignored(large, tmp_path):
    """Labels that say nothing of the images: nobody can find them in the samples."""
    with np.load(large) as stored:
        arrays = dict(stored)
    arrays["y_train"] = np.random.default_rng(0).permutation(arrays["y_train"])
    np.savez(tmp_path / "shuffled.npz", **arrays)
    log = log_of(tmp_path / "shuffled.npz", tmp_path / "run", Monitor, **LABELLED)
    assert "condition ignored:" in log and "the classifier finds the label in" in log


@pytest.mark.parametrize(
    ("epochs", "steps", "measured"),
    [(3, 100, 3), (200, 100, 200), (1_000, 100, 200), (1_501, 100, 188), (30, 20, 6), (31, 20, 7), (10, 2, 1)],
)
def test_health_is_measured_about_two_hundred_times_some_steps_apart_and_last(epochs, steps, measured, monkeypatch):
    config = SimpleNamespace(train=SimpleNamespace(epochs=epochs, batch_size=10))
    run = SimpleNamespace(config=config, spec=SimpleNamespace(examples={"train": 10 * steps}))
    monkeypatch.undo()
    callback = callbacks.MeasureHealth(run, [], SimpleNamespace(measure=lambda: {"diversity": 1.0}))
    callback.set_params({"epochs": epochs})
    rows = [{"epoch": epoch} for epoch in range(1, epochs + 1)]
    for row in rows:
        callback.on_row(row)
    assert sum("health_diversity" in row for row in rows) == measured
    assert "health_diversity" in rows[-1]


def test_many_epochs_are_looked_at_each_time_that_there_are_a_hundredth_more(monkeypatch):
    """It takes all of them: in each epoch it would take longer than the steps of a small data set, some time."""
    seen, rows = [], []
    monkeypatch.setattr(callbacks, "diagnose", lambda rows, *_, **__: seen.append(len(rows)) or [])
    monkeypatch.setattr(callbacks, "has_failed", lambda model: False)
    train_ = SimpleNamespace(ema_halflife_images=None, batch_size=10)
    run = SimpleNamespace(
        config=SimpleNamespace(train=train_, model_args={"label_smoothing": 0.0}),
        spec=SimpleNamespace(num_classes=0),
        log=lambda line: None,
    )
    callback = callbacks.LogDiagnoses(run, rows, SimpleNamespace(weakest={}))
    for epoch in range(1, 1_001):
        rows.append({"epoch": epoch, "step": epoch})
        callback.on_epoch_end(epoch - 1)
    callback.on_train_end()
    assert seen[:100] == list(range(1, 101)) and seen[-1] == 1_000 and len(seen) < 400
    assert all(after - before <= max(1, before // 100) for before, after in itertools.pairwise(seen))
