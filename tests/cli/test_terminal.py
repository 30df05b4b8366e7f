"""Commands in a terminal of 80 columns: what stands there, and what Ctrl-C leaves."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPORTS = ROOT / "exports"
COLUMNS, SECONDS = 80, 120
RUN = "import sys; from kgen.cli.{} import main; sys.exit(main(sys.argv[1:]))"
TINY = "--limit 64 --set model_args.hidden=[8] --nojit_compile --run_dir run"


def session(command: str, arguments: str, cwd: Path, *, interrupt_after: str = "") -> tuple[int, str, list[str]]:
    """Runs a command in a terminal.

    Args:
        command: without "kgen-".
        arguments: with blanks between.
        cwd: its folder.
        interrupt_after: Ctrl-C is typed when this has appeared; "" for never.

    Returns:
        The exit code, all that was written, and the lines that stand there at the end.
    """
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(cwd)
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "TF_CPP_MIN_LOG_LEVEL")}
        environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
        os.execvpe(sys.executable, [sys.executable, "-c", RUN.format(command), *arguments.split()], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    written, until = "", time.monotonic() + SECONDS
    while time.monotonic() < until and select.select([terminal], [], [], SECONDS)[0]:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux' end of a terminal
            part = b""
        if not part:
            break
        written += part.decode(errors="replace")
        if interrupt_after and interrupt_after in written:
            os.write(terminal, b"\x03")
            interrupt_after = ""
    os.close(terminal)
    if time.monotonic() >= until:
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), written, standing(written)


def standing(written: str) -> list[str]:
    """The lines that a terminal shows: a carriage return goes to the start of the line, ESC [K erases its rest."""
    lines, place = [""], 0
    for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[\r\n]|[^\r\n\x1b]+", written):
        if part == "\n":
            lines, place = [*lines, ""], 0
        elif part == "\r":
            place = 0
        elif part == "\x1b[K":
            lines[-1] = lines[-1][:place]
        elif not part.startswith("\x1b"):
            lines[-1] = lines[-1][:place].ljust(place) + part + lines[-1][place + len(part) :]
            place += len(part)
    return [line.rstrip() for line in lines]


@pytest.mark.slow
def test_a_training_fits_and_ends_with_a_clean_line_when_it_is_interrupted(tmp_path):
    code, written, lines = session("train", f"--model vae --epochs 500 {TINY}", tmp_path, interrupt_after=" 21/500")
    assert code == 130, written
    assert lines[0] == "starting TensorFlow …" and re.search(r"epoch \d+/500 +\d+% \|", written)  # the bar moved
    table = next(i for i, line in enumerate(lines) if line.startswith("  epoch     time    loss  validation"))
    assert re.match(r"  1/500 +0:\d\d +\d+", lines[table + 1])
    resume = "interrupted; resume with: kgen-train --resume run"
    assert lines[-5:] == [resume, "", "report:   run/report.html", "kgen-train: interrupted", ""]
    assert max(map(len, lines)) <= COLUMNS and not any("^C" in line for line in lines), lines


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("train", f"--model vae {TINY}"),
        ("data", "digits"),
        ("sample", f"{EXPORTS}/cvae-mnist/1"),
        ("eval", f"{EXPORTS}/cvae-mnist/1/model.tflite --dataset digits --metrics kid"),
        ("explore", f"{EXPORTS}/cvae-mnist"),
        ("export", f"--verify {EXPORTS}/cvae-mnist"),
        ("serve", f"{EXPORTS} --port 0 --grpc_port 0"),
        ("divergence", ""),
    ],
)
def test_an_interrupted_command_says_so_in_one_line(tmp_path, command, arguments):
    code, written, lines = session(command, arguments, tmp_path, interrupt_after="starting TensorFlow …\r\n")
    assert (code, lines) == (130, ["starting TensorFlow …", f"kgen-{command}: interrupted", ""]), written
    assert not [*tmp_path.iterdir()]
