"""Runs a module of kgen in a child process: what may abort the process, or need more memory than there is."""

import os
import signal
import subprocess
import sys

TELLING = ("Check failed", "rror", "ERROR", "atal")
"""A line of standard error with one of these says why a process ended."""
OF_STACKS = ("@ 0x", "*** ", 'File "', "Fatal Python error")
"""So begin the lines of what C++ and Python write of their stacks when a process aborts."""
NOT_STARTED = 127
"""As of a shell that finds no such command."""


def run_module(module: str, given: str = "", *, seconds: float) -> subprocess.CompletedProcess:
    """Runs a module as a program.

    Args:
        module: its dotted name.
        given: on standard input.
        seconds: after which it is killed.

    Returns:
        Its exit code, and what it wrote; the code of one that was killed after `seconds` is -SIGKILL, of one that could
        not be started NOT_STARTED.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "TF_CPP_MIN_LOG_LEVEL": "2",  # errors
    }
    environment.pop("TF_CONFIG", None)  # it is no worker
    command = [sys.executable, "-m", module]
    try:
        if getattr(sys, "frozen", False) or not sys.executable:  # the command would be the program itself again
            raise OSError("this program has no Python beside it")
        return subprocess.run(
            command, input=given, env=environment, capture_output=True, text=True, errors="replace", timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode(errors="replace") if error.stdout else ""
        return subprocess.CompletedProcess(command, -signal.SIGKILL, said, f"no end in {seconds:g} seconds")
    except OSError as error:  # no Python, or no memory for another process
        return subprocess.CompletedProcess(command, NOT_STARTED, "", f"no process could be started: {error}")


def how_it_ended(ended: subprocess.CompletedProcess) -> str:
    """ "SIGABRT: Check failed: ...": how a process failed, and the last line that says why."""
    code = ended.returncode
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    lines = [" ".join(line.split()) for line in ended.stderr.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(OF_STACKS)]
    telling = [line for line in lines if any(word in line for word in TELLING)] or lines
    return f"{how}: {telling[-1][:200]}" if telling else how
