"""Early stopping: when it should and not before, the same after an interruption, and on all workers at once."""

import json
from types import SimpleNamespace

import pytest
import tensorflow as tf
from kill_and_resume import outcome

import kgen
from kgen import checkpoints, data
from kgen.cli.train import main
from kgen.config import TrainConfig, override
from kgen.errors import UserError
from kgen.report import write_report
from kgen.run import Run
from kgen.train import DryRun, callbacks, resume, train, trainer
from kgen.train.checkpointing import CheckpointCallback
from kgen.train.checks import MAY_CHANGE
from kgen.train.distribution import Devices

LOSSES = (9.0, 8.0, 7.0, 8.0, 7.5, 6.0, 7.0, 6.0, 7.0, 5.0)
STEPS = 4
SMALL = {
    "model": "vae", "data.limit": 10 * STEPS, "train.batch_size": 10, "train.epochs": len(LOSSES),
    "train.checkpoint_steps": 3, "train.steps_per_execution": 3, "model_args.hidden": [4], "model_args.latent_dim": 2,
    "train.jit_compile": False, "train.schedule": "cosine", "train.samples_every": 4,
}  # fmt: skip
ENDS = {2: 5, 3: 9, 4: 10}
"""Patience -> the epoch that a training of LOSSES ends with."""
SAMPLES = {"train.eval_every": 1, "train.best_by": "fid"}


def config(patience: int = 0, **changes):
    return override(kgen.RunConfig(), SMALL | {"train.patience": patience} | changes)


def flags(**changes):
    return [f"--set={name}={json.dumps(value)}" for name, value in (SMALL | changes).items()]


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Of layers and curves: not even blank ones."""
    monkeypatch.setattr(callbacks, "draw_norms", lambda *args, **kwargs: None)
    monkeypatch.setattr(callbacks, "draw_curves", lambda *args, **kwargs: None)


@pytest.fixture
def scripted(monkeypatch):
    """Validation and test losses are LOSSES, an epoch each, whatever the weights are."""

    def evaluation_function(model, batches, steps):
        return lambda: {"loss": LOSSES[int(model.step.numpy()) // STEPS - 1]}

    monkeypatch.setattr(callbacks, "evaluation_function", evaluation_function)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A function: patience -> the run of a training that nobody disturbed; each is trained once."""
    folder = tmp_path_factory.mktemp("alone")

    def run(patience: int) -> Run:
        path = folder / str(patience)
        return Run.open(path) if path.exists() else train(config(patience), run_dir=str(path))

    return run


def kept(path) -> dict:
    """All that a run leaves to resume from and to look at, without clocks."""
    state = checkpoints.read(Run.open(path).checkpoint("last")).state
    del state["callbacks"]["EpochRow"]
    return outcome(path) | {"state": state}


def killed(monkeypatch, step: int | None, settings, path):
    """A training that ends after the call in which a step was taken; None: after all, before DONE is written."""
    ended = CheckpointCallback.on_train_batch_end

    def end(self, batch, logs=None):
        ended(self, batch, logs)
        if int(self.model.step.numpy()) >= step:
            raise KeyboardInterrupt

    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(*((CheckpointCallback, "on_train_batch_end", end) if step else (trainer, "sample_sheet", stop)))
        train(settings, run_dir=str(path))
    assert len(Run.open(path).metrics()) == (5 if step is None else 4)


@pytest.mark.slow
@pytest.mark.parametrize("patience", ENDS)
def test_it_ends_when_it_should_and_not_before(scripted, alone, patience):
    run, epoch = alone(patience), ENDS[patience]
    rows = run.metrics()
    assert [row["validation_loss"] for row in rows] == [*LOSSES[:epoch]] and rows[-1]["step"] == STEPS * epoch
    best = 1 + LOSSES.index(min(LOSSES[:epoch]))
    assert {which: state["epoch"] for which, state in run.checkpoint_state().items()} == {"best": best, "last": epoch}
    assert (run.path / "samples" / "final.png").is_file()
    assert kept(run.path)["state"]["epoch"] == epoch  # nothing is lost when it is resumed
    done, log = ((run.path / name).read_text() for name in ("DONE", "log.txt"))
    early = epoch < len(LOSSES)
    sentence = (
        f"stopped early: validation loss has not fallen for {patience} validations, since epoch {best}; "
        f"best {LOSSES[best - 1]:g}; trained {epoch} of 10 epochs"
    )
    assert log.count(f"{sentence}\n") == done.count(f"{sentence}\n") == early
    assert ("stopped early" in log) == ("stopped early" in done) == early
    page = write_report(run).read_text()
    assert (f"S{sentence[1:]}." in page) == ("Ended before the last epoch" in page) == early


def test_the_epoch_of_the_stop_is_evaluated_too():
    model = SimpleNamespace(trackers={"loss": None}, stop_training=False)
    evaluate = callbacks.Evaluate(None, rows := [], "test", None, 1, every=4)
    evaluate.evaluate = lambda: {"loss": 2.5}
    evaluate.set_params({"epochs": 10})
    evaluate._model = model
    for epoch in range(7):
        rows.append({"epoch": epoch + 1})
        model.stop_training = epoch == 6
        evaluate.on_epoch_end(epoch)
    assert [row["epoch"] for row in rows if row.get("test_loss") == 2.5] == [4, 7]
    evaluate.set_params({"epochs": 7})
    rows[6], model.stop_training = {"epoch": 7}, False
    evaluate.on_epoch_end(6)
    assert rows[6] == {"epoch": 7, "test_loss": 2.5}


@pytest.mark.slow
def test_weights_that_stand_still(tmp_path):
    """Nothing is scripted: equal losses are not better ones; validations count, not epochs."""
    changes = {"train.learning_rate": 1e-30, "train.schedule": "constant", "train.validate_every": 2}
    run = train(config(2, **changes), run_dir=str(tmp_path / "run"))
    rows = run.metrics()
    assert [row["epoch"] for row in rows if "validation_loss" in row] == [2, 4, 6] and len(rows) == 6


@pytest.mark.slow
@pytest.mark.parametrize("step", [4 * STEPS + 2, None], ids=["while it waits", "before DONE"])
def test_a_killed_training_ends_as_one_that_was_not(scripted, alone, tmp_path, monkeypatch, step):
    killed(monkeypatch, step, config(2), tmp_path / "run")
    run = resume(tmp_path / "run")
    assert kept(run.path) == kept(alone(2).path) and len(run.metrics()) == 5
    assert (run.path / "log.txt").read_text().count("stopped early") == 1 and (run.path / "DONE").is_file()


@pytest.mark.slow
def test_more_patience_goes_on_as_if_from_the_start_and_less_does_not(scripted, alone, tmp_path, capsys):
    assert "train.patience" in MAY_CHANGE
    path = tmp_path / "run"
    train(config(1), run_dir=str(path))
    assert "for 1 validation, since epoch 3; best 7; trained 4 of 10 epochs" in (path / "DONE").read_text()
    before = kept(path)
    resume(path, {"train.patience": 2})
    assert kept(path) == kept(alone(2).path) != before
    for again in ([], ["--patience", "1"], ["--epochs", "30"]):
        capsys.readouterr()
        assert main(["--resume", str(path), *again]) == 0
        words = f"with epoch 5 of 10; without early stopping: kgen-train --resume {path} --patience 0, or with a "
        assert words in capsys.readouterr().out
        assert kept(path) == kept(alone(2).path) and Run.open(path).config.train.patience == 2
    assert main(["--resume", str(path), "--patience", "0"]) == 0
    assert "is done" not in capsys.readouterr().out and Run.open(path).config.train.patience == 0
    assert kept(path) == kept(alone(4).path)  # which came to its last epoch
    assert "stopped early" not in (path / "DONE").read_text()


@pytest.mark.slow
def test_less_patience_in_the_middle(scripted, tmp_path, monkeypatch):
    """It had waited long enough when it was killed: it ends with the epoch under way."""
    killed(monkeypatch, 4 * STEPS + 2, config(), tmp_path / "run")
    assert len(resume(tmp_path / "run", {"train.patience": 1}).metrics()) == 5
    assert "for 2 validations, since epoch 3; best 7;" in (tmp_path / "run" / "DONE").read_text()


class Script:
    """In place of Monitor: values as written."""

    def __init__(self, better: str, *values):
        self.split, self.better, self.scripted = "validation", {"fid": better}, [*values]
        self.main = ("fid",)

    def __call__(self, config, dataset, seen):
        return self

    def values(self, sampler):
        return {"fid": self.scripted.pop(0)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "better", "values", "sentence"),
    [
        (
            "gan",
            "higher",
            (3, 2, 4, None, 1, 4),
            "validation fid has not risen for 2 validations, since epoch 3; best 4;",
        ),
        (
            "vae",
            "lower",
            (None, float("nan"), float("nan")),
            "validation fid was not a finite number in 2 validations;",
        ),
    ],
)
def test_by_the_metric_that_best_by_names(tmp_path, model, better, values, sentence):
    """A metric without a value does not count."""
    changes = {**SAMPLES, "model": model}
    run = train(config(2, **changes), run_dir=str(tmp_path / "run"), monitor=Script(better, *values))
    assert len(run.metrics()) == len(values)
    assert f"stopped early: {sentence} trained {len(values)} of 10 epochs\n" in (run.path / "DONE").read_text()


@pytest.mark.slow
def test_workers_stop_together(scripted, tmp_path, monkeypatch):
    """The chief alone measures samples. Another, given what was agreed with it, asks as often, and stops there."""
    said, own = [], tf.distribute.get_strategy()

    class Chief(Devices):
        def agreed(self, value):
            said.append(float(value))
            return said[-1]

    class Second(Devices):
        def agreed(self, value):
            return max(float(value), said.pop(0))

    def meet(go):
        nobody = ("127.0.0.1:1", "127.0.0.1:2")  # listens there
        for devices in (Chief(own, 0, nobody), Second(own, 1, nobody)):
            monkeypatch.setattr(trainer, "devices_of", lambda name, devices=devices: devices)
            assert len(go(devices.is_chief).metrics()) == 6
        assert not said

    monitor = Script("lower", 5, 4, 3, 2, 1, 2)  # LOSSES would stop it in epoch 4
    paths = {True: tmp_path / "run", False: tmp_path / "never written"}
    meet(lambda chief: train(config(1, **SAMPLES), run_dir=str(paths[chief]), monitor=monitor))
    (paths[True] / "DONE").unlink()  # as if killed before that was written
    monkeypatch.setattr(Run, "finish", lambda run, early: None)  # the second reads what the chief did
    meet(lambda chief: resume(paths[True], monitor=monitor))
    assert [*tmp_path.iterdir()] == [paths[True]]


def test_what_there_is_nothing_to_wait_for_is_refused(tmp_path, monkeypatch, capsys):
    command = [*flags(), "--run_dir", str(tmp_path / "run"), "--patience", "3"]

    def refused(*more):
        assert main([*command, *more]) == 2
        captured = capsys.readouterr()
        assert not captured.out and len(captured.err.splitlines()) == 1 and not (tmp_path / "run").exists()
        return captured.err

    none = r"'digits' has no validation images (data.validation_fraction is 0); set some aside with"
    for more in ([], ["--dry_run"]):
        message = refused("--set=data.validation_fraction=0", *more)
        assert none in message and "train.patience" in message and "Received: 3" in message
    monkeypatch.setattr(data, "load", None)  # data are not read
    for more in ([], ["--dry_run"]):
        message = refused("--set=model='gan'".replace("'", '"'), *more)
        assert (
            "train.patience" in message
            and "losses of 'gan'" in message
            and "--best_by fid" in message
            and "Received: 3" in message
        )
    message = refused("--patience", "-1")
    assert message.startswith("kgen-train: train.patience") and message.endswith("Received: -1\n")
    with pytest.raises(UserError, match=r"train.patience .*Received: -1"):
        TrainConfig(patience=-1)


@pytest.mark.slow
def test_going_on_with_patience_where_there_is_nothing_to_wait_for_is_refused(tmp_path):
    run = train(config(**{"data.validation_fraction": 0.0, "train.epochs": 1}), run_dir=str(tmp_path / "run"))
    before = kept(run.path)
    with pytest.raises(UserError, match=r"train.patience.*'digits' has no validation images.*Received: 2"):
        resume(run.path, {"train.patience": 2, "train.epochs": 5})
    assert kept(run.path) == before and (run.path / "DONE").is_file()


def test_a_dry_run_says_at_most():
    sizes = {"images": {"train": 40}, "parameters": 1, "state_bytes": 4, "step": None}
    sizes |= {"resident_bytes": 4, "steps_per_epoch": 4}
    lines = [
        str(DryRun(config(patience), **sizes, compile_seconds=1.0, step_seconds=1.0)).splitlines()[-2:]
        for patience in (0, 3)
    ]
    for word, (steps, time) in zip(("", "at most "), lines, strict=True):
        assert steps.startswith(f"steps     {word}10 epochs of 4, 40 in all")
        assert time.startswith(f"time      {word}0.7 minutes")
