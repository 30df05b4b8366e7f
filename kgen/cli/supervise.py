"""Starts a command again when it is lost: what `kgen-train --restarts` does, for machines that come and go."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from kgen.errors import WorkerLost

SUPERVISED = "KGEN_SUPERVISED"
"""Is set in the environment of the processes that `supervise` starts."""
FOR_GOOD = (0, 1, 2)
"""Exit codes after which another start would end in the same way: done, failed, a mistake of the user."""
INTERRUPTED = 130
LONGEST_PAUSE = 30.0
"""Seconds before a start; after one that lasted longer, the next comes after a second."""


def is_supervised() -> bool:
    """Whether this process was started by `supervise`."""
    return SUPERVISED in os.environ


def supervise(name: str, module: str, argv: Sequence[str], restarts: int, *, several: bool = False) -> int:
    """Runs a command in a process of its own, and starts it again where it was killed or lost another worker.

    SIGINT and SIGTERM are passed on; after one of them the command is not started again.

    Args:
        name: of the command, for messages.
        module: that holds its `main`.
        argv: its arguments.
        restarts: how often it is started again.
        several: it is one of several workers: when it ends as interrupted, and no signal has come here, one has come to
            another of them, and all are started again.

    Returns:
        The last exit code; 128 + number for a signal.
    """
    command = [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main(sys.argv[1:]))", *argv]
    process, asked, short = None, [], 0

    def pass_on(number, frame):
        asked.append(number)
        if process is not None and process.poll() is None:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for start in range(restarts + 1):
            started = time.monotonic()
            process = subprocess.Popen(command, env=os.environ | {SUPERVISED: "1"}, process_group=0)
            if asked:  # between two starts
                process.send_signal(asked[-1])
            code = process.wait()
            over = code in FOR_GOOD or asked or (code == INTERRUPTED and not several)
            if over or start == restarts:
                break
            short = short + 1 if time.monotonic() - started < LONGEST_PAUSE else 0  # in a row
            pause = min(LONGEST_PAUSE, 2.0 ** max(short - 1, 0))
            again = f"start {start + 1} of {restarts} more in {pause:.0f} s"
            print(f"{name}: the training has ended ({_reason(code)}); {again}", file=sys.stderr, flush=True)
            until = time.monotonic() + pause
            while not asked and time.monotonic() < until:
                time.sleep(0.1)
        return code if code >= 0 else 128 - code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reason(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return {WorkerLost.exit_code: "a worker is gone", INTERRUPTED: "another worker was interrupted"}.get(
        code, f"exit code {code}"
    )
