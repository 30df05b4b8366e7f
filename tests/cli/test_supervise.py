"""A command that is started again when it was lost: as often as it was asked for, and not after a signal to stop."""

import os
import signal
import threading
import time

import pytest

from kgen.cli import supervise as module
from kgen.cli.supervise import supervise
from kgen.cli.train import main
from kgen.errors import WorkerLost

COMMAND = """
import os, signal, sys, time
from pathlib import Path

def main(argv):
    folder = Path(argv[0])
    start = len(list(folder.glob("start-*")))
    (folder / f"start-{start}").write_text(os.environ["KGEN_SUPERVISED"] + " ".join(argv[1:]))
    how = argv[1:][min(start, len(argv) - 2)]
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "waits":
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(130))
        (folder / "waiting").touch()
        time.sleep(60)
    return int(how)
"""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Calls `supervise` for a command that ends as its arguments say; gives its code and the number of starts."""
    (tmp_path / "command_to_supervise.py").write_text(COMMAND)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.01)

    def call(*ends: str, restarts: int, **kwargs):
        code = supervise("kgen-train", "command_to_supervise", [str(tmp_path), *ends], restarts, **kwargs)
        return code, len(list(tmp_path.glob("start-*")))

    return call


def test_a_command_that_was_lost_is_started_again(started, capfd):
    assert started("killed", str(WorkerLost.exit_code), "0", restarts=5) == (0, 3)
    said = capfd.readouterr().err
    assert "kgen-train: the training has ended (killed by SIGKILL); start 1 of 5 more in" in said
    assert "kgen-train: the training has ended (a worker is gone); start 2 of 5 more in" in said


@pytest.mark.parametrize(
    ("ends", "restarts", "expected"),
    [
        (["killed"], 1, (137, 2)),
        (["1"], 3, (1, 1)),
        (["2"], 3, (2, 1)),
        (["130"], 3, (130, 1)),
        (["134", "0"], 3, (0, 2)),
    ],
)
def test_it_ends_where_another_start_would_not_help(started, ends, restarts, expected):
    assert started(*ends, restarts=restarts) == expected


def test_a_worker_is_started_again_when_another_was_interrupted(started):
    assert started("130", "0", restarts=1, several=True) == (0, 2)


def test_a_signal_is_passed_on_and_ends_it(started, tmp_path):
    def stop():
        while not (tmp_path / "waiting").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=stop).start()
    assert started("waits", restarts=3, several=True) == (130, 1)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model", "vae"], "name it, with --run_dir or --resume"),
        (["--resume", "runs/0", "--more_epochs", "3"], "--more_epochs would add up, give --epochs"),
    ],
)
def test_restarts_that_could_not_go_on_are_refused(flags, words, capsys):
    assert main([*flags, "--restarts", "2"]) == 2
    assert words in capsys.readouterr().err
