"""Resuming after an interruption: the same to the last bit, whatever was killed, damaged or full."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import kill_and_resume
import numpy as np
import pytest

import kgen
import kgen.run
from kgen.checkpoints import Checkpoint, StepCheckpoints
from kgen.cli.train import main
from kgen.config import override
from kgen.environment import environment
from kgen.errors import TrainingFailed, UserError
from kgen.run import Run
from kgen.spec import DataSpec
from kgen.train import callbacks, checkpointing, defaults, resume, train, trainer
from kgen.train.callbacks import Evaluate
from kgen.train.checkpointing import CheckpointCallback, SignalHandler
from kgen.train.checks import MAY_CHANGE
from kgen.train.costs import Costs

SMALL = {
    "model": "vae", "data.limit": 100, "train.batch_size": 10, "train.epochs": 3, "train.checkpoint_steps": 4,
    "train.steps_per_execution": 3, "model_args.hidden": [8], "model_args.latent_dim": 2, "train.jit_compile": False,
    "train.keep": 3,
}  # fmt: skip
GAN = SMALL | {"model": "gan", "train.schedule": "cosine", "train.ema_halflife_images": 50.0, "train.ema_rampup": 0.1}


def config(**changes):
    return override(kgen.RunConfig(), SMALL | changes)


def interrupted_at(monkeypatch, step: int):
    """Raises KeyboardInterrupt after the call in which a step was taken."""
    ended = CheckpointCallback.on_train_batch_end

    def end(self, batch, logs=None):
        ended(self, batch, logs)
        if int(self.model.step.numpy()) >= step:
            raise KeyboardInterrupt

    monkeypatch.setattr(CheckpointCallback, "on_train_batch_end", end)


KILLED = (5, 10, 29)
"""Steps after which a kill would leave what `killed_after` names."""


def killed_after(path: Path, step: int) -> Path:
    """A copy of a run as it was in the middle of its training: what a process that is killed there leaves."""
    return path.with_name(f"after-{step}")


def undisturbed(settings, path: Path):
    """(settings, the run of a training that nobody disturbed, what came out of it); copied after the steps KILLED."""
    ended = CheckpointCallback.on_train_batch_end

    def end(self, batch, logs=None):
        ended(self, batch, logs)
        for step in KILLED:
            if int(self.model.step.numpy()) >= step and not killed_after(path, step).exists():
                shutil.copytree(path, killed_after(path, step))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointCallback, "on_train_batch_end", end)
        train(override(kgen.RunConfig(), settings), run_dir=str(path))
    return settings, path, kill_and_resume.outcome(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """`undisturbed` with the settings SMALL."""
    return undisturbed(SMALL, tmp_path_factory.mktemp("vae") / "run")


@pytest.fixture(scope="module", params=["vae", "gan"])
def alone(request, tmp_path_factory):
    """`undisturbed` of a model."""
    if request.param == "vae":
        return request.getfixturevalue("finished")
    return undisturbed(GAN, tmp_path_factory.mktemp("gan") / "run")


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run of `config()`."""
    return Run.open(shutil.copytree(finished[1], tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.parametrize("step", KILLED)
def test_the_same_to_the_last_bit(alone, step, tmp_path):
    """In the middle of an epoch, at its end, and in the last call."""
    _, path, expected = alone
    run = resume(shutil.copytree(killed_after(path, step), tmp_path / "run"))
    assert kill_and_resume.outcome(run.path) == expected
    assert (run.path / "DONE").is_file() and not (run.path / "FAILED").exists()
    assert run.load_model("last").weights_hash() == Run.open(path).load_model("last").weights_hash()


@pytest.mark.slow
def test_another_training_differs(finished, tmp_path):
    """The comparison can fail."""
    settings, _, expected = finished
    train(override(kgen.RunConfig(), settings | {"seed": 1}), run_dir=str(tmp_path / "run"))
    found = kill_and_resume.outcome(tmp_path / "run")
    assert {*found} == {*expected} and all(found[name] != expected[name] for name in ("weights", "metrics"))


@pytest.mark.slow
def test_kills_at_random_moments_and_in_the_middle_of_a_checkpoint(tmp_path):
    """The tool of the training guide, on one model and a few kills, without figures; its own process, which forks."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(kill_and_resume.__file__).parent)!r}); "
        "from kgen.train import callbacks; import kill_and_resume; "
        "callbacks.draw_curves = callbacks.draw_norms = lambda *args, **kwargs: None; kill_and_resume.main()"
    )
    command = [sys.executable, "-c", program, "--kills", "3", "--models", "cvae"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "cvae: 3 kills" in done.stdout


@pytest.mark.slow
def test_repeating_the_command_goes_on_and_a_third_time_there_is_nothing_to_do(tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted_at(patch, 13)
        train(config(), run_dir=str(tmp_path / "run"))
    assert f"kgen-train --resume {tmp_path / 'run'}" in capsys.readouterr().out
    (tmp_path / "run" / "samples" / ".part-1-final.png").write_bytes(b"of a process that was killed")
    run = train(config(), run_dir=str(tmp_path / "run"))
    assert not list(run.path.rglob(".part-*"))
    assert "resumes in epoch 1 of 3, after step 10" in capsys.readouterr().out
    weights = run.load_model().weights_hash()
    assert train(config(), run_dir=str(tmp_path / "run")).load_model().weights_hash() == weights
    assert (
        f"is done: 3 epochs; ten more: kgen-train --resume {tmp_path / 'run'} --more_epochs 10"
        in capsys.readouterr().out
    )


@pytest.mark.slow
def test_more_epochs(run):
    run = resume(run.path, {"train.epochs": 5})
    assert [row["epoch"] for row in run.metrics()] == [1, 2, 3, 4, 5] and Run.open(run.path).config.train.epochs == 5


@pytest.mark.parametrize("more, begins", [
    (0, None),
    (1, "with epoch 4: further epochs begin with 15 % of the learning rate"),  # (1 + cos(3/4 pi)) / 2
    (3, "with epoch 6: further epochs begin with 50 % of the learning rate"),
    (20, "with epoch 23: further epochs begin with 96 % of the learning rate"),
])  # fmt: skip
def test_the_learning_rate_of_further_epochs_of_a_cosine_schedule_is_told(tmp_path, more, begins):
    spec = DataSpec("toy", (8, 8, 1), examples={"train": 40})
    known = override(kgen.RunConfig(), {"train.schedule": "cosine", "train.epochs": 3, "train.batch_size": 10})
    run = Run.create(known, spec, run_dir=str(tmp_path / "run"))
    start = Checkpoint({}, {"step": 12})
    said = trainer._longer_note(run, override(known, {"train.epochs": 3 + more}), start)
    assert begins in said and "change little" not in said if begins else said == ""
    assert not trainer._longer_note(run, override(known, {"train.schedule": "constant", "train.epochs": 9}), start)


def test_a_finished_cosine_schedule_leaves_little_to_a_few_further_epochs(tmp_path):
    spec = DataSpec("toy", (8, 8, 1), examples={"train": 40})
    known = override(kgen.RunConfig(), {"train.schedule": "cosine", "train.epochs": 90, "train.batch_size": 10})
    run = Run.create(known, spec, run_dir=str(tmp_path / "run"))
    said = trainer._longer_note(run, override(known, {"train.epochs": 100}), Checkpoint({}, {"step": 360}))
    # (1 + cos(0.9 pi)) / 2
    assert "begin with 2.4 % of the learning rate, and change little" in said and f"--init_from {run.place}" in said


@pytest.mark.slow
def test_where_images_are_kept_may_change(alone, tmp_path, capsys):
    """The digits are read image by image, kept or not."""
    _, path, expected = alone
    run = shutil.copytree(killed_after(path, 5), tmp_path / "run")
    assert main(["--resume", str(run), "--cache", "none", "--remote", "copy", "--cache_gib", "7"]) == 0
    assert "note: this epoch" not in capsys.readouterr().out
    assert kill_and_resume.outcome(run)["metrics"] == expected["metrics"]
    assert Run.open(run).config.data.cache == "none"
    assert main(["--resume", str(run), "--image_size", "16"]) == 2
    assert "--image_size does not go with --resume" in capsys.readouterr().err


@pytest.mark.slow
def test_going_on_with_another_kind_of_processor_is_said_and_recorded(run, no_steps, monkeypatch, capsys):
    resume(run.path, {"train.epochs": 4})
    assert "not bit-identical" not in capsys.readouterr().out
    here = environment()
    monkeypatch.setattr(kgen.run, "environment", lambda: here | {"onednn": None, "cores": 3})
    run = resume(run.path, {"train.epochs": 5})
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "not bit-identical" in line]
    assert line.startswith(f"note: 3 cores (was {here['cores']}), ") and "at most 0.03 %" in line
    assert Run.open(run.path).environments == run.environments and [e["cores"] for e in run.environments] == [
        here["cores"], 3,
    ]  # fmt: skip
    resume(run.path, {"train.epochs": 6})
    assert "not bit-identical" not in capsys.readouterr().out  # the same as the last time


def test_what_nobody_chose_stays_as_it_was_decided(tmp_path, no_steps, monkeypatch, capsys):
    """The same command with more epochs, or a kgen that would decide otherwise."""
    chosen = {"train.jit_compile": None, "train.epochs": 2, "train.batch_size": None, "train.steps_per_execution": None}
    train(config(**chosen), run_dir=str(tmp_path / "run"))
    decided = Run.open(tmp_path / "run").config.train
    monkeypatch.setattr(defaults, "use_xla", lambda config, steps: config.train.jit_compile in (None, True))
    monkeypatch.setattr(defaults, "STEPS_PER_CALL", 2)
    run = train(config(**chosen | {"train.epochs": 3}), run_dir=str(tmp_path / "run"))
    assert run.config.train == dataclasses.replace(decided, epochs=3)
    assert "resumes in epoch 2 of 3" in capsys.readouterr().out
    other = config(**chosen | {"train.jit_compile": True})
    with pytest.raises(UserError, match=r"train.jit_compile was False, is True"):
        train(other, run_dir=str(tmp_path / "run"))


def test_more_epochs_of_labelled_data_measure_classes_as_often(tmp_path, no_steps):
    """About twenty times in the epochs that were asked for first."""
    settings, monitor = {"model": "gan", "train.batch_size": 40}, lambda config, dataset, seen: None
    run = train(config(**settings | {"train.epochs": 20}), run_dir=str(tmp_path / "run"), monitor=monitor)
    assert (run.config.train.eval_every, run.config.train.metrics) == (1, ("coverage",))
    again = train(config(**settings | {"train.epochs": 40}), run_dir=str(tmp_path / "run"), monitor=monitor)
    assert (again.config.train.eval_every, again.config.train.metrics) == (1, ("coverage",))


@pytest.mark.slow
def test_a_run_that_is_older_than_an_argument_goes_on_with_its_default(run, tmp_path):
    path = tmp_path / "run" / "config.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    del stored["model_args"]["free_bits"]
    path.write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(UserError, match=r"model_args.free_bits was 0.0, is 1.0"):
        train(config(**{"model_args.free_bits": 1.0}), run_dir=str(tmp_path / "run"))
    assert train(config(), run_dir=str(tmp_path / "run")).config.train.epochs == SMALL["train.epochs"]


@pytest.mark.slow
def test_other_settings_are_refused_by_name(run, tmp_path, capsys):
    with pytest.raises(UserError, match=r"train.batch_size was 10, is 20.*train.epochs"):
        train(config(**{"train.batch_size": 20}), run_dir=str(tmp_path / "run"))
    assert "train.epochs" in MAY_CHANGE
    assert main(["--resume", str(tmp_path / "run"), "--learning_rate", "1"]) == 2
    assert "train.learning_rate was 0.001, is 1" in capsys.readouterr().err
    assert main(["--resume", str(tmp_path / "run"), "--grayscale"]) == 2
    assert "--grayscale does not go with --resume" in capsys.readouterr().err
    assert main(["--resume", str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("step", "is_said"), [(5, True), (10, False)])
def test_an_epoch_that_goes_on_in_another_order_is_said(step, is_said, finished, tmp_path, monkeypatch):
    """Ten steps are an epoch. The images of a set may be kept decoded where it began, and not where it goes on."""
    monkeypatch.setattr(kgen.data.Dataset, "training_order", lambda self, *_: "by 9 parts, 4 of them mixed")
    run = resume(shutil.copytree(killed_after(finished[1], step), tmp_path / "run"))
    note = "note: this epoch was read image by image and is now read by 9 parts, 4 of them mixed: of its images"
    assert (note in (run.path / "log.txt").read_text(encoding="utf-8")) == is_said
    assert run.step_checkpoints.newest(print).state["order"] == "by 9 parts, 4 of them mixed"


@pytest.mark.slow
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_taken(alone, tmp_path, monkeypatch, capsys):
    settings, _, expected = alone
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted_at(patch, 13)
        train(override(kgen.RunConfig(), settings), run_dir=str(tmp_path / "run"))
    assert (tmp_path / "run" / "FAILED").read_text() == "interrupted by the user\n"
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*.npz"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    run = resume(tmp_path / "run")
    assert f"checkpoint {newest} is damaged" in capsys.readouterr().out
    assert kill_and_resume.outcome(run.path) == expected
    assert (run.path / "DONE").is_file() and not (run.path / "FAILED").exists()


@pytest.mark.slow
def test_a_damaged_best_checkpoint_is_reported_at_the_start_and_replaced(run, capsys):
    run.checkpoint("best").write_text("broken")
    run = resume(run.path, {"train.epochs": 4})
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "best.npz cannot be read" in line]
    assert "not a checkpoint file" in note and "pickle" not in note
    assert run.checkpoint_state()["best"]["epoch"] == 4 and run.load_model("best")


@pytest.mark.slow
def test_no_whole_checkpoint_is_said(run):
    (run.path / "DONE").unlink()
    for file in (run.path / "checkpoints").glob("step-*"):
        file.write_bytes(b"")
    with pytest.raises(UserError, match="no whole checkpoint to resume from"):
        resume(run.path)


@pytest.mark.slow
def test_a_full_disk_stops_with_the_reason_and_earlier_checkpoints_stay_whole(tmp_path, monkeypatch, capsys):
    written = StepCheckpoints.write

    def write(self, step, arrays, state):
        if step < 10:
            return written(self, step, arrays, state)

        def fails(*args, **kwargs):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))

        with monkeypatch.context() as patch:
            patch.setattr(np, "savez", fails)
            written(self, step, arrays, state)

    monkeypatch.setattr(StepCheckpoints, "write", write)
    flags = [f"--set={name}={json.dumps(value)}" for name, value in SMALL.items()]
    assert main([*flags, "--run_dir", str(tmp_path / "run")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    checkpoints = StepCheckpoints(tmp_path / "run" / "checkpoints")
    assert checkpoints.newest(pytest.fail).state["step"] == max(checkpoints.steps()) < 10
    assert not list(checkpoints.folder.glob(".part-*"))


@pytest.mark.slow
def test_old_checkpoints_go(run):
    assert run.config.train.keep == 3
    assert len(list((run.path / "checkpoints").glob("step-*.npz"))) == 3
    with pytest.raises(UserError, match=r"train\.keep.*at least 2"):
        config(**{"train.keep": 1})


@pytest.mark.slow
def test_sigterm_writes_a_checkpoint_and_says_how_to_go_on(tmp_path):
    """A process of its own, stopped in the middle of a training that would take minutes."""
    flags = [f"--set={name}={json.dumps(value)}" for name, value in (SMALL | {"train.epochs": 100_000}).items()]
    flags += ["--set=train.checkpoint_steps=null"]
    program = "import sys; from kgen.cli.train import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *flags, "--run_dir", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    until = time.monotonic() + 120
    while time.monotonic() < until and not (metrics.is_file() and len(metrics.read_text().splitlines()) > 3):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"interrupted; resume with: kgen-train --resume {tmp_path / 'run'}" in out
    found = StepCheckpoints(tmp_path / "run" / "checkpoints").newest(pytest.fail)
    rows = metrics.read_text().splitlines()
    assert found.state["epoch"] * 10 + found.state["steps_in_epoch"] == found.state["step"] >= 10 * (len(rows) - 1) > 0


def signal_from(monkeypatch, owner, name: str, when: Callable[[int], bool], after: Callable[[], None] = lambda: None):
    """Has a method of a class send SIGTERM to this process once, when its first argument is right, and continue."""
    original, sent = getattr(owner, name), []

    def method(self, number, *args, **kwargs):
        if not sent and when(number):
            sent.append(number)
            os.kill(os.getpid(), signal.SIGTERM)
            after()
        return original(self, number, *args, **kwargs)

    monkeypatch.setattr(owner, name, method)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "when", "where"),
    [
        (Evaluate, "on_epoch_end", lambda epoch: epoch == 1, (2, 0, 20)),
        (StepCheckpoints, "write", lambda step: step >= 12, (1, 9, 19)),  # that of step 16
    ],
    ids=["measured", "written"],
)
def test_a_signal_between_steps_loses_none(owner, name, when, where, alone, tmp_path, monkeypatch):
    """While an epoch is measured, and while a checkpoint is written: there is one of all steps that were taken."""
    settings, _, expected = alone
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpointing, "GRACE_SECONDS", 1000.0)  # however slow the machine is
        signal_from(patch, owner, name, when)
        train(override(kgen.RunConfig(), settings), run_dir=str(tmp_path / "run"))
    found = StepCheckpoints(tmp_path / "run" / "checkpoints").newest(pytest.fail)
    assert tuple(found.state[key] for key in ("epoch", "steps_in_epoch", "step")) == where
    assert kill_and_resume.outcome(resume(tmp_path / "run").path) == expected


@pytest.mark.slow
def test_a_long_measurement_does_not_hold_a_signal_up(tmp_path, monkeypatch):
    """What is under way at the end of an epoch gets some seconds; then the checkpoint before it is the last."""
    measured = []

    def long():
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                time.sleep(0.01)
        finally:
            measured.append(time.monotonic())

    monkeypatch.setattr(checkpointing, "GRACE_SECONDS", 0.2)
    signal_from(monkeypatch, Evaluate, "on_epoch_end", lambda epoch: True, long)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        train(config(**{"train.checkpoint_steps": 10}), run_dir=str(tmp_path / "run"))
    assert len(measured) == 1 and measured[0] - started < 60
    assert StepCheckpoints(tmp_path / "run" / "checkpoints").newest(pytest.fail).state["step"] == 10


def test_a_second_signal_does_not_wait():
    with SignalHandler() as stopper:
        stopper.phase = "steps"
        os.kill(os.getpid(), signal.SIGINT)
        assert stopper.received
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    stopper = SignalHandler()
    with stopper, pytest.raises(KeyboardInterrupt):  # nothing is under way, nothing would be lost
        os.kill(os.getpid(), signal.SIGTERM)


def test_the_speed_of_a_resumed_epoch_counts_its_own_steps(monkeypatch):
    """Steps 5 to 10 of 10 images in 2 seconds: 30 images per second."""
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=100.0)
    monkeypatch.setattr(callbacks, "time", clock)
    step, never = SimpleNamespace(numpy=lambda: step.value, value=5), SimpleNamespace(numpy=lambda: -1)
    model = SimpleNamespace(step=step, failed_step=never, trackers={})
    row = callbacks.EpochRow(None, [], 10, Costs())
    row.set_model(model)
    row.on_train_begin()
    row.on_epoch_begin(0)
    clock.now += 2.0
    step.value = 11
    row.on_epoch_end(0, {})
    assert row.rows == [{"epoch": 1, "step": 11, "elapsed_seconds": 2.0, "images_per_second": 30.0}]


@pytest.mark.parametrize(("seconds", "pause"), [(0.01, 5.0), (0.4, 20.0), (9.0, 60.0)])
def test_checkpoints_that_take_long_are_further_apart(seconds, pause, monkeypatch):
    """A fiftieth of the time at most, up to the 60 s of checkpoint_seconds; the first of a process takes longer."""
    now = [100.0]

    def write(step, arrays, state):
        now[0] += seconds if step else 50.0

    run = SimpleNamespace(config=config(), step_checkpoints=SimpleNamespace(write=write), mirror=None)
    counter = SimpleNamespace(numpy=lambda: model.steps)
    model = SimpleNamespace(
        step=counter, failed_step=SimpleNamespace(numpy=lambda: -1), network_parameters={}, metric_sums=list, steps=0
    )
    monkeypatch.setattr(checkpointing, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(checkpointing, "training_variables", lambda model: {})
    monkeypatch.setattr(checkpointing, "_metric_variables", lambda model: [])
    callback = CheckpointCallback(run, [], [], SignalHandler(), None, 0, "image by image")
    callback.set_model(model)
    callback.on_train_begin()
    assert callback.pause == 5.0
    model.steps = 7
    callback._write(0, 7)
    assert callback.pause == pytest.approx(pause)


@pytest.mark.slow
def test_a_row_that_was_cut_off_is_left_out(run):
    rows = run.metrics()
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 4, "st')
    assert run.metrics() == rows


@pytest.mark.slow
def test_a_dry_run_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = [f"--set={name}={json.dumps(value)}" for name, value in SMALL.items()]
    assert main([*flags, "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert "steps     3 epochs of 10, 30 in all, 10 images each" in out and "minutes of steps" in out
    assert "100 train" in out and not list(tmp_path.iterdir())


def test_a_dry_run_refuses_what_the_training_refuses(capsys):
    for more in ([], ["--dry_run"]):
        assert main(["--model", "gan", "--prior", "gaussian_mixture", *more]) == 2
        assert "--prior gaussian_mixture" in capsys.readouterr().err


@pytest.mark.slow
def test_failed_weights_are_no_checkpoint(tmp_path):
    with pytest.raises(TrainingFailed, match="not finite"):
        train(config(**{"train.learning_rate": 1e30}), run_dir=str(tmp_path / "run"))
    found = StepCheckpoints(tmp_path / "run" / "checkpoints").newest(pytest.fail)
    assert all(np.isfinite(values).all() for values in found.arrays.values())


@pytest.mark.slow
def test_a_profile_is_left_in_tensorboard(tmp_path, capsys):
    run = train(config(**{"train.profile": True, "train.epochs": 5}), run_dir=str(tmp_path / "run"))
    assert list((run.path / "tensorboard" / "plugins" / "profile").rglob("*.xplane.pb"))
    assert "profile of 10 calls" in capsys.readouterr().out
