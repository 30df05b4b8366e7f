"""Kills workers of a training at random moments, and compares its result with that of an undisturbed training.

    python tools/kill_workers.py [--workers 2] [--kills 3] [--epochs 40] [--seed 0]

Every worker is `kgen-train --strategy multi_worker --restarts ...` of a tiny VAE on this machine; the chief may be
killed, too. Nobody starts anything by hand. Printed per kill: after how many seconds the others had ended, and how long
it took until the next epoch was done; at the end: the largest difference of a weight, a moment or a metric's sum from
those of the undisturbed training, which must be at most 1e-5.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from launch_workers import configs

COMMAND = "import sys; from kgen.cli.train import main; sys.exit(main())"
SETTINGS = [
    "--model", "vae", "--strategy", "multi_worker", "--limit", "64", "--batch_size", "8", "--set",
    "model_args.hidden=[8]", "--nojit_compile", "--optimizer", "sgd", "--learning_rate", "0.001",
    "--checkpoint_steps", "8", "--samples_every", "1000", "--logger", "none",
]  # fmt: skip
LARGEST_DIFFERENCE = 1e-5
PATIENCE_SECONDS = 600
"""Without a new epoch the training hangs."""


def start(run: Path, workers: int, *arguments: str) -> list[subprocess.Popen]:
    """One supervised command per worker."""
    started = []
    for number, config in enumerate(configs(workers)):
        with open(run.with_name(f"{run.name}-{number}.log"), "a") as log:
            started.append(subprocess.Popen(
                [sys.executable, "-c", COMMAND, *SETTINGS, "--run_dir", str(run), *arguments],
                env=os.environ | {"TF_CONFIG": config}, stdout=log, stderr=subprocess.STDOUT,
            ))  # fmt: skip
    return started


def epochs_of(run: Path) -> int:
    file = run / "metrics.jsonl"
    return len(file.read_text(encoding="utf-8").splitlines()) if file.is_file() else 0


def wait_for_epochs(run: Path, count: int, workers: list[subprocess.Popen]) -> bool:
    """Waits until a run has so many epochs; False where its training has ended before."""
    until = time.monotonic() + PATIENCE_SECONDS
    while epochs_of(run) < count:
        if all(worker.poll() is not None for worker in workers):
            return False
        assert time.monotonic() < until, f"no epoch {count} within {PATIENCE_SECONDS} s: see {run.parent}"
        time.sleep(0.05)
    return True


def newest(run: Path) -> dict[str, np.ndarray]:
    """The variables of the last checkpoint."""
    from kgen import checkpoints

    return checkpoints.read(max((run / "checkpoints").glob("step-*.npz"))).arrays


def kill_one(workers: list[subprocess.Popen], victim: int) -> float:
    """Kills the training of one worker, not its supervisor; seconds until those of the others have ended."""
    trainings = [psutil.Process(worker.pid).children()[0] for worker in workers]
    trainings[victim].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    psutil.wait_procs(trainings)
    return time.monotonic() - killed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, killed, epochs = (
            Path(folder) / "undisturbed",
            Path(folder) / "killed",
            ["--epochs", str(args.epochs)],
        )
        ended = [worker.wait() for worker in start(undisturbed, args.workers, *epochs)]
        assert not any(ended), undisturbed.with_name("undisturbed-0.log").read_text()[-2000:]
        workers, done, started = start(killed, args.workers, *epochs, "--restarts", "100000"), 0, time.monotonic()
        try:
            while done < args.kills and wait_for_epochs(killed, epochs_of(killed) + draw.randint(1, 3), workers):
                victim, before, since = draw.randrange(args.workers), epochs_of(killed), time.monotonic()
                noticed = kill_one(workers, victim)
                wait_for_epochs(killed, before + 1, workers)
                done += 1
                times = f"others had ended after {noticed:.1f} s, epoch done after {time.monotonic() - since:.1f} s"
                print(f"kill {done}: worker {victim} in epoch {before + 1}: {times}", flush=True)
            ended = [worker.wait() for worker in workers]
        finally:
            for worker in workers:
                worker.terminate()
        assert not any(ended), killed.with_name("killed-0.log").read_text()[-2000:]
        one, other = newest(undisturbed), newest(killed)
        assert one.keys() == other.keys()
        difference = max(float(np.abs(one[name] - other[name]).max()) for name in one)
        what = f"{args.workers} workers, {done} kills, {args.epochs} epochs in {time.monotonic() - started:.0f} s"
        print(f"{what}: largest difference from the undisturbed training {difference:.1e}")
        return difference > LARGEST_DIFFERENCE


if __name__ == "__main__":
    sys.exit(main())
