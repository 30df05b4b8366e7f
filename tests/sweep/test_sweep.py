"""A sweep: which trials train on, what happens when it is interrupted, and that the best can be trained again."""

import json
import re
import shlex
from pathlib import Path

import kill_and_resume
import pytest

from kgen import checkpoints
from kgen.cli import sweep as command
from kgen.cli import train as train_command
from kgen.errors import TrainingFailed
from kgen.run import Run
from kgen.spec import DataSpec

pytest.importorskip("optuna", reason="needs optuna: pip install 'kgen[sweep]'")

from kgen.sweep import sweep as sweeps

GRID = ["--model", "vae", "--vary", "model_args.latent_dim=1,2,3,4,5,6,7,8,9", "--epochs", "9"]


class FakeTraining:
    """In place of `train`: the loss of latent_dim d after epoch e is 100 / e + |d - 4|, and 6 fails.

    Attributes:
        calls: (latent_dim, first epoch, last epoch).
        interrupt_at: number of the call that is interrupted after its first epoch.
    """

    def __init__(self):
        self.calls, self.interrupt_at = [], None

    def __call__(self, config, *, run_dir, pause_after, **_):
        path, size = Path(run_dir), config.model_args["latent_dim"]
        run = Run.open(path) if path.exists() else Run.create(config, DataSpec("d", (8, 8, 1), 0), run_dir=run_dir)
        first = len(run.metrics()) + 1
        self.calls.append((size, first, pause_after))
        for epoch in range(first, pause_after + 1):
            if size == 6:
                raise TrainingFailed("the loss was not finite")
            run.log_metrics({"epoch": epoch, "validation_loss": 100 / epoch + abs(size - 4)})
            if len(self.calls) == self.interrupt_at:
                raise KeyboardInterrupt
        return run


@pytest.fixture
def training(monkeypatch, tmp_path):
    from kgen.train import trainer

    fake = FakeTraining()
    monkeypatch.setattr(trainer, "train", fake)
    monkeypatch.setattr(sweeps.Sweep, "_dataset", lambda self, config: None)
    monkeypatch.setattr(sweeps, "_forget", lambda: None)
    monkeypatch.setattr(train_command, "write_report", lambda path: None)
    monkeypatch.chdir(tmp_path)
    return fake


def rows_of(out: str) -> dict[int, list[str]]:
    """latent_dim -> [loss, epochs, state] of the table."""
    found = [line.split("|") for line in out.splitlines() if re.match(r"\d+ +\|", line)]
    return {int(cells[2]): [cells[i].strip() for i in (1, 3, 4)] for cells in found}


def test_the_best_third_of_each_rung_trains_on(training, capsys):
    assert command.main(GRID) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "sweep sweeps/00000-vae-digits: 9 trials: 9 to epoch 1, 3 to epoch 3, 1 to epoch 9; 21 epochs"
    )
    # By |d - 4|: 4 is the best, then 3 and 5; 6 has failed, 2 comes next.
    assert sorted(call for call in training.calls if call[2] == 1) == [(d, 1, 1) for d in range(1, 10)]
    assert sorted(call for call in training.calls if call[2] == 3) == [(d, 2, 3) for d in (3, 4, 5)]
    assert [call for call in training.calls if call[2] == 9] == [(4, 4, 9)]
    table = rows_of(out)
    assert next(iter(table)) == 4 and list(table)[-1] == 6 and {*list(table)[1:3]} == {3, 5}
    assert table[4] == ["11.11", "9", "trained"] and table[3] == ["34.33", "3", "paused"]
    assert table[6] == ["-", "0", "failed"] and table[1] == ["103.0", "1", "paused"]
    assert all(len(line) <= 80 for line in out.split("\n\n")[1].splitlines())
    assert "again:    kgen-train --model vae --epochs 9 --set model_args.latent_dim=4\n" in out
    page = re.sub("</?span[^>]*>|<wbr>", "", Path("sweeps/00000-vae-digits/sweep.html").read_text())
    assert (
        "kgen-train --model vae --epochs 9 --set model_args.latent_dim=4" in page and "the loss was not finite" in page
    )
    assert page.count("nats per image") >= 2 and ">trial 4</" in page and "latent_dim" in page  # curves and settings
    assert command.main(GRID) == 0 and len(training.calls) == 13  # it is done: nothing more is trained
    assert rows_of(capsys.readouterr().out) == table
    assert command.main([*GRID, "--trials", "4"]) == 0
    assert sorted(p.name for p in Path("sweeps").iterdir()) == ["00000-vae-digits", "00001-vae-digits"]


@pytest.mark.parametrize("at", [8, 11])
def test_an_interrupted_sweep_goes_on_where_it_was(training, capsys, at):
    assert command.main([*GRID, "--sweep_dir", "alone"]) == 0
    alone, calls = rows_of(capsys.readouterr().out), len(training.calls)
    training.calls, training.interrupt_at = [], at
    assert command.main([*GRID, "--sweep_dir", "killed"]) == 130
    seen = capsys.readouterr()
    assert "interrupted; the same command goes on" in seen.out and Path("killed/sweep.html").is_file()
    training.interrupt_at = None
    assert command.main([*GRID, "--sweep_dir", "killed"]) == 0
    assert rows_of(capsys.readouterr().out) == alone and len(training.calls) == calls + 1
    assert command.main([*GRID, "--sweep_dir", "killed", "--seed", "1"]) == 2
    assert "begun with other settings (base)" in capsys.readouterr().err


def test_more_is_better_of_some_metrics(training, monkeypatch, capsys):
    """The loss stands in for a density, of which the worst latent_dim has the most."""
    log = Run.log_metrics
    monkeypatch.setattr(Run, "log_metrics", lambda self, row: log(
        self, {"epoch": row["epoch"], "validation_density": row["validation_loss"]}))  # fmt: skip
    measured = ["--eval_every", "1", "--metrics", "prdc", "--best_by", "density"]
    assert command.main([*GRID, *measured, "--reduction_factor", "9"]) == 0
    assert next(iter(rows_of(capsys.readouterr().out))) == 9


def test_a_dry_run_draws_the_same_trials_and_writes_nothing(training, capsys):
    asked = ["--model", "vae", "--vary", "learning_rate=1e-4..1e-2:log", "--trials", "4", "--epochs", "3"]
    asked += ["--set", "model_args.latent_dim=4"]
    assert command.main([*asked, "--dry_run"]) == 0
    drawn = dict(re.findall(r"^(\d) +\| +([\d.]+)$", capsys.readouterr().out, re.MULTILINE))
    assert len({*drawn.values()}) == 4 and not Path("sweeps").exists() and not training.calls
    assert all(1e-4 <= float(rate) <= 1e-2 for rate in drawn.values())
    assert command.main(asked) == 0
    cells = [line.split("|") for line in capsys.readouterr().out.splitlines() if re.match(r"\d +\|", line)]
    assert {row[0].strip(): row[2].strip() for row in cells} == drawn


def test_all_trials_may_fail(training, capsys):
    assert command.main(["--model", "vae", "--vary", "model_args.latent_dim=6", "--epochs", "2"]) == 1
    assert "every trial failed" in capsys.readouterr().err
    assert command.main(["--model", "vae", "--vary", "model_args.latnt_dim=6", "--epochs", "2"]) == 2
    assert "did you mean 'latent_dim'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_of_the_best_trains_it_again_bit_for_bit(tmp_path, monkeypatch, capsys):
    """Although it was paused: with a learning rate that depends on the number of all epochs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_command, "write_report", lambda path: None)
    asked = [
        "--model", "vae", "--limit", "64", "--batch_size", "16", "--epochs", "2", "--schedule", "cosine",
        "--nojit_compile", "--set", "model_args.hidden=[8]", "--vary", "learning_rate=1e-3..1e-1:log", "--trials", "2",
        "--reduction_factor", "2",
    ]  # fmt: skip
    assert command.main(asked) == 0
    out = capsys.readouterr().out
    (best,) = re.findall(r"^best: +trial \d, (.*)$", out, re.MULTILINE)
    (again,) = re.findall(r"^again: +kgen-train (.*)$", out, re.MULTILINE)
    assert checkpoints.read_state(Run.open(best).checkpoint("last"))["epoch"] == 2 and (Path(best) / "DONE").is_file()
    assert "paused after epoch 1 of 2" in (Path(best) / "log.txt").read_text()
    assert train_command.main([*shlex.split(again), "--run_dir", "plain"]) == 0
    assert kill_and_resume.outcome(Path("plain")) == kill_and_resume.outcome(Path(best))
    settings = [json.loads((Path(path) / "config.json").read_text()) for path in ("plain", best)]
    assert settings[0]["train"] == settings[1]["train"] and settings[0]["model_args"] == settings[1]["model_args"]
