"""A training that is given minutes: they become epochs once."""

from dataclasses import replace

import pytest

import kgen
from kgen.cli import train as kgen_train
from kgen.config import override
from kgen.train import dry_run, train

SMALL = {
    "model": "vae", "data.limit": 100, "train.batch_size": 10, "train.steps_per_execution": 3,
    "model_args.hidden": [8], "model_args.latent_dim": 2, "train.jit_compile": False,
}  # fmt: skip


def config(**changes):
    return override(kgen.RunConfig(), SMALL | changes)


@pytest.mark.slow
def test_minutes_become_epochs_once(tmp_path, monkeypatch):
    """Some steps decide them; the same command later goes on with those that the run has."""
    monkeypatch.setattr(dry_run, "SECONDS", 0.01)
    asked = config(**{"train.minutes": 1e-6})
    run = train(asked, run_dir=str(tmp_path / "run"))
    assert run.config.train.epochs == 1 and run.config.train.minutes == 1e-6
    assert "minutes 1e-06: 1 epoch of 10 steps, " in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    monkeypatch.setattr(dry_run, "_measured", lambda *args: pytest.fail("measured again"))
    assert train(asked, run_dir=str(tmp_path / "run")).config.train == run.config.train


def test_as_many_epochs_as_fit():
    """Of a minute 54 s are for steps: 3.9 s of compilation, and 5 epochs of 10 s and a little."""
    found = dry_run.DryRun(
        config(), {}, parameters=0, state_bytes=0, step=None, resident_bytes=0, steps_per_epoch=100,
        compile_seconds=3.9, step_seconds=0.1,
    )  # fmt: skip
    assert found.epochs_within(1.0) == 5
    assert found.epochs_within(0.01) == 1
    short = replace(found, steps_per_epoch=1, step_seconds=0.01)  # 50.1 s in 16 ms each
    assert short.epochs_within(1.0) == int(50.1 / (0.01 + dry_run.EPOCH_SECONDS)) == 3131
    longest = override(config(), {"train.epochs": replace(short, step_seconds=1e-6).epochs_within(365 * 24 * 60)})
    assert longest.train.epochs == 2**31 - 1
    assert found.step_words == "100.0 ms" and replace(found, step_seconds=1.234).step_words == "1.23 s"


def test_minutes_and_epochs_are_one_or_the_other(capsys):
    assert kgen_train.main(["--minutes", "5", "--epochs", "3"]) == 2
    assert "--epochs and --minutes both say how long a training is" in capsys.readouterr().err
    asked = kgen_train.command()
    asked.parse(["--recipe", "images-dcgan", "--minutes", "5", "--dataset", "photos"])
    configured = kgen_train.config_of(asked)  # the recipe's epochs give way
    assert configured.train.epochs is None and configured.train.minutes == 5
