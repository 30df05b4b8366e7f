"""Starts N workers of one training on this machine, to try `--strategy multi_worker` without a second one.

python tools/launch_workers.py 2 -- kgen-train --strategy multi_worker --model vae --run_dir runs/two

Each worker has a TF_CONFIG of its own; its lines are printed after its number. When one fails the others are ended.
The exit code is that of worker 0, the chief, or of the one that failed.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

GRACE_SECONDS = 60
"""So long the others have to say what is wrong when one fails."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def configs(count: int) -> list[str]:
    """The TF_CONFIG of each worker."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(count)]}
    return [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}}) for i in range(count)]


def start(command: Sequence[str], tf_config: str) -> subprocess.Popen:
    """One worker; it cannot be reached from the terminal: Ctrl-C is passed on by this process."""
    return subprocess.Popen(
        command,
        env=os.environ | {"TF_CONFIG": tf_config, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def follow(number: int, process: subprocess.Popen):
    """Prints what a worker prints, after its number."""
    for line in process.stdout:
        for part in line.rstrip("\n").split("\r"):
            print(f"[{number}] {part}", flush=True)


def wait(workers: Sequence[subprocess.Popen], grace: float = GRACE_SECONDS) -> int:
    """Waits until all have ended, and ends them when one fails; returns the exit code."""
    failed, since = None, 0.0
    while any(worker.poll() is None for worker in workers):
        if failed is None:
            failed = next((w.returncode for w in workers if w.returncode), None)
            since = time.monotonic()
        elif time.monotonic() - since > grace:
            for worker in workers:
                worker.kill()
        time.sleep(0.1)
    code = workers[0].returncode or failed or next((w.returncode for w in workers if w.returncode), 0)
    return code if code >= 0 else 128 - code


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workers", type=int, metavar="N")
    parser.add_argument("command", nargs="+", help="after --")
    args = parser.parse_args(argv)
    if args.workers < 1:
        parser.error(f"N must be at least 1. Received: {args.workers}")
    workers = [start(args.command, config) for config in configs(args.workers)]
    followers = [threading.Thread(target=follow, args=pair) for pair in enumerate(workers)]

    def pass_on(number, frame):
        for worker in workers:
            if worker.poll() is None:
                worker.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    for follower in followers:
        follower.start()
    code = wait(workers)
    for follower in followers:
        follower.join()
    return code


if __name__ == "__main__":
    sys.exit(main())
