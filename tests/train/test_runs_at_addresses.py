"""Trainings into an address: the same to the last bit on another machine, whatever failed, in the process's memory."""

import random
import shutil
import uuid
from pathlib import Path

import kill_and_resume
import pytest
from test_resume import SMALL, config

import kgen
from kgen import file_systems
from kgen.cli.train import main
from kgen.errors import TrainingFailed, UserError
from kgen.mirror import Mirror
from kgen.run import Run
from kgen.train import resume, train
from kgen.train.checkpointing import CheckpointCallback

pytest.importorskip("fsspec")
pytestmark = pytest.mark.slow
FLAGS = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}") if name != "model"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("kgen.io.FIRST_WAIT_SECONDS", 0.0)


@pytest.fixture
def address():
    return f"memory://bucket-{uuid.uuid4().hex}/a"


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What comes out of the training in a folder of this machine."""
    return kill_and_resume.outcome(train(config(), run_dir=str(tmp_path_factory.mktemp("alone") / "a")).path)


def store_copied(source: str, target: str):
    """Copies all objects at an address in memory: what a killed training leaves."""
    import fsspec

    fs = fsspec.filesystem("memory")
    for path in fs.find(source):
        fs.pipe_file(path.replace(fs._strip_protocol(source), fs._strip_protocol(target)), fs.cat_file(path))


def after_step(monkeypatch, step: int, action):
    """Calls an action with the run, after the call in which a step was taken and its checkpoint was written."""
    ended, done = CheckpointCallback.on_train_batch_end, []

    def end(self, batch, logs=None):
        ended(self, batch, logs)
        if int(self.model.step.numpy()) >= step and not done:
            done.append(step)
            action(self.run)

    monkeypatch.setattr(CheckpointCallback, "on_train_batch_end", end)


@pytest.mark.parametrize("address_of", ["memory://bucket-{}/a", "ram://bucket-{}/a"])
def test_a_run_at_an_address_is_the_run_of_a_folder(address_of, machine, expected):
    address = address_of.format(uuid.uuid4().hex)
    run = train(config(), run_dir=address)
    assert run.place == address and run.name == "a"
    machine("second")
    copy = Run.open(address)
    assert kill_and_resume.outcome(copy.path) == expected and (copy.path / "DONE").is_file()
    assert run.path != copy.path and not Path("gs:").exists()
    assert resume(address).path == copy.path  # nothing is left to do


@pytest.mark.parametrize("step", [5, 10, 29])
def test_another_machine_goes_on_after_a_kill(address, machine, monkeypatch, expected, step):
    killed = f"{address}-killed"

    def kill(run):
        run.mirror._upload.result()
        store_copied(address, killed)

    with monkeypatch.context() as patch:
        after_step(patch, step, kill)
        train(config(), run_dir=address)
    machine("second")
    run = Run.open(killed)
    assert 0 < run.checkpoint_state(["last"])["last"]["step"] <= 30 and not (run.path / "DONE").exists()
    assert kill_and_resume.outcome(resume(killed).path) == expected
    machine("third")
    assert kill_and_resume.outcome(Run.open(killed).path) == expected


def test_an_interrupted_training_is_uploaded_before_it_ends(address, machine, monkeypatch, expected, capsys):
    def interrupt(run):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        after_step(patch, 10, interrupt)
        assert main(["--model", "vae", *FLAGS, "--run_dir", address]) == 130
    assert f"resume with: kgen-train --resume {address}" in capsys.readouterr().out
    machine("second")
    run = Run.open(address)
    assert (run.path / "FAILED").read_text().startswith("interrupted") and (run.path / "report.html").is_file()
    assert main(["--resume", address]) == 0
    assert f"kgen-sample {address} --count 64" in capsys.readouterr().out
    machine("third")
    assert kill_and_resume.outcome(Run.open(address).path) == expected
    assert not (Run.open(address).path / "FAILED").exists()


def test_writes_that_fail_at_random_change_nothing(address, machine, monkeypatch, expected):
    written, draw, failed = file_systems.FsspecFiles.write, random.Random(3), []

    def write(self, url, path):
        if draw.random() < 0.05:
            failed.append(url)
            raise OSError("503 Service Unavailable")
        written(self, url, path)

    monkeypatch.setattr(file_systems.FsspecFiles, "write", write)
    run = train(config(**{"train.checkpoint_steps": 1}), run_dir=address)
    assert failed and "does not take the run" not in (run.path / "log.txt").read_text()
    machine("second")
    assert kill_and_resume.outcome(Run.open(address).path) == expected


def test_a_store_that_goes_down_does_not_stop_the_training(address, machine, monkeypatch, expected):
    """It is told once; the end is an error that names the copy, from which the run is uploaded later."""
    written, down = file_systems.FsspecFiles.write, []

    def write(self, url, path):
        if down:
            raise OSError("503 Service Unavailable")
        written(self, url, path)

    with monkeypatch.context() as patch:
        patch.setattr(file_systems.FsspecFiles, "write", write)
        after_step(patch, 10, lambda run: down.append(1))
        with pytest.raises(TrainingFailed, match=f"{address} does not hold the end of the training.*whole in "):
            train(config(), run_dir=address)
        folder = Mirror(address).folder
        log = (folder / "log.txt").read_text()
        assert log.count("goes on in") == 1 and log.count("It is whole in") == 1 and "503 Service Unavailable" in log
        assert kill_and_resume.outcome(folder) == expected
        with pytest.raises(UserError, match=f"run {address} cannot be written: 503"):
            resume(address)
    resume(address)
    machine("second")
    assert kill_and_resume.outcome(Run.open(address).path) == expected


def test_mistakes_are_one_message_before_anything_is_trained(address, machine, monkeypatch, capsys, tmp_path):
    import kgen.train

    monkeypatch.setattr(kgen.train, "train", None)
    with monkeypatch.context() as patch:

        def write(self, url, path):
            raise PermissionError("403 Forbidden")

        patch.setattr(file_systems.FsspecFiles, "write", write)
        assert main(["--model", "vae", "--run_dir", address]) == 2
    (tmp_path / "notes").write_text("mine")
    file_systems.files_of(address).write(f"{address}/notes", tmp_path / "notes")
    for run_dir in (address, "nosuch://bucket/a", "https://host/a"):
        assert main(["--model", "vae", "--run_dir", run_dir]) == 2
    assert main(["--model", "vae", "--runs_root", "gs://bucket/runs"]) == 2
    assert main(["--resume", f"{address}-not"]) == 2
    words = ("cannot be written: 403 Forbidden", "is not empty", "of a kind that is not read", "a web server keeps no",
             "--runs_root takes a folder", "holds no run")  # fmt: skip
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kgen-train: ")]
    assert len(lines) == len(words) and all(map(str.__contains__, lines, words)), lines


def test_other_settings_are_refused_as_in_a_folder(address, machine):
    train(config(**{"train.epochs": 1}), run_dir=address)
    with pytest.raises(UserError, match=f"{address} was trained with other settings: seed was 0, is 1"):
        train(config(**{"train.epochs": 1, "seed": 1}), run_dir=address)


def test_a_run_that_was_removed_at_its_address_begins_anew(address, machine):
    import fsspec

    train(config(**{"train.epochs": 1}), run_dir=address)
    fsspec.filesystem("memory").rm(address, recursive=True)
    run = train(config(**{"train.epochs": 1, "seed": 1}), run_dir=address)
    assert Run.open(address).config.seed == run.config.seed == 1


def test_a_copy_of_which_nothing_was_uploaded_is_resumed(address, machine, monkeypatch, expected):
    def write(self, url, path):
        if "part-" not in url:  # what tries whether the address can be written
            raise OSError("503 Service Unavailable")
        written(self, url, path)

    written = file_systems.FsspecFiles.write
    with monkeypatch.context() as patch:
        patch.setattr(file_systems.FsspecFiles, "write", write)
        with pytest.raises(TrainingFailed, match="does not hold the end"):
            train(config(), run_dir=address)
    train(config(), run_dir=address)
    machine("second")
    assert kill_and_resume.outcome(Run.open(address).path) == expected


def test_commands_take_an_address(address, machine, tmp_path, monkeypatch, capsys):
    from kgen.cli import compare, explore, export, report, sample
    from kgen.cli import eval as evaluate

    monkeypatch.chdir(tmp_path)
    train(config(), run_dir=address)
    machine("second")
    assert sample.main([address, "--count", "4"]) == 0 and Path("samples-a-seed0.png").is_file()
    assert sample.main(["--again", "samples-a-seed0.png"]) == 0  # the picture names the address
    assert evaluate.main([address, "--metrics", "swd", "--count", "50"]) == 0
    assert explore.main([address, "--what", "samples"]) == 0
    assert compare.main([address, "--out="]) == 0
    assert report.main([address]) == 0
    assert export.main([address, "--to", "exports/a"]) == 0 and Path("exports/a/1/model.tflite").is_file()
    out, err = capsys.readouterr()
    assert "all pixels are equal" in out and not Path("memory:").exists(), err
    with pytest.raises(UserError, match="holds no run"):
        kgen.open_sampler(f"{address}-not")


def test_networks_start_from_a_run_at_an_address(address, machine, tmp_path):
    train(config(**{"train.epochs": 1}), run_dir=address)
    tuned = train(config(**{"train.init_from": address, "train.epochs": 1}), run_dir=str(tmp_path / "tuned"))
    assert tuned.initial_weights["weights_hash"] == Run.open(address).load_model("best").weights_hash()
    shutil.rmtree(tuned.path)
