"""What a command says while it works: bars and wrapped lines in a terminal, whole lines elsewhere."""

import io
import os
import sys
from types import SimpleNamespace

import pytest

from kgen import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Standard output and error are one terminal of 40 columns."""
    screen = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stdout=screen, stderr=screen, modules=sys.modules))
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((40, 20)))
    return screen


def test_a_terminal_breaks_messages_at_words_and_no_path(terminal):
    progress.show("note: the pixels of digits are grey; see runs/00000-cvae-digits-of-a-long-name/log.txt")
    assert terminal.getvalue().splitlines() == [
        "note: the pixels of digits are grey; see",
        "  runs/00000-cvae-digits-of-a-long-name/log.txt",
    ]


def test_a_line_that_is_indented_stays_so(terminal):
    progress.show("    train: a long name of a file ~ (0.1) another")
    assert terminal.getvalue().splitlines() == ["    train: a long name of a file ~ (0.1)", "      another"]


def test_a_terminal_breaks_no_command(terminal):
    progress.show("interrupted; resume with: kgen-train --resume runs/00000-cvae-digits-of-a-long-name")
    assert terminal.getvalue().splitlines() == [
        "interrupted; resume with:",
        "  kgen-train --resume runs/00000-cvae-digits-of-a-long-name",
    ]


def test_a_bar_moves_and_leaves_nothing(terminal):
    with progress.Bar(10, "epoch 1/2") as bar:
        bar._bar.mininterval = 0
        bar.advance(5, ["loss 1.5"])
        drawn = terminal.getvalue()
        progress.show("a message")
    assert "epoch 1/2  50% |" in drawn and "a message\n" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\033[K")


def test_behind_a_bar_stands_what_fits_and_no_half_of_a_number(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name, seen in (("epoch 2/9", "left, D loss 0.9776, G loss 1.080"), (f"epoch {2:018}/9", "left, D loss 0.9776")):
        with progress.Bar(10, name) as bar:
            bar._bar.mininterval = 0
            bar.advance(5, ["D loss 0.9776", "G loss 1.080"])
            drawn = terminal.getvalue().split("\r")[-1]
        assert drawn.rstrip().endswith(seen) and len(drawn) <= 77


def test_the_last_line_stands_in_place_of_a_typed_control_c(terminal):
    progress.show_last("kgen-data: interrupted")
    assert terminal.getvalue() == "\r\033[Kkgen-data: interrupted\n"


def test_a_pipe_gets_a_line_now_and_then(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Bar(4000, "epoch 1/2", done=1000) as bar:
        for _ in range(5):
            now[0] += 20
            bar.advance(250)
            if bar.done == 1750:
                progress.show("an epoch's line")
    out, err = capsys.readouterr()
    assert out == "an epoch's line\n"
    assert err == (
        "epoch 1/2: step 1,500 of 4,000 (38%), 0:40 elapsed, about 3:20 left\n"
        "epoch 1/2: step 2,250 of 4,000 (56%), 1:40 elapsed, about 2:20 left\n"
    )


def test_clock():
    assert [progress.clock(s) for s in (0.4, 61, 3599.6, 36_000)] == ["0:00", "1:01", "1:00:00", "10:00:00"]
