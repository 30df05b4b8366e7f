"""Kills workers of a training at random moments, and compares its result with that of an undisturbed training.

    python tools/kill_workers.py [--workers 4] [--kills 20] [--epochs 60] [--seed 0]

Every worker is `kgen-train --strategy multi_worker --restarts ...` of a tiny VAE on this machine; the chief may be
killed, too, and one kill of five hits a training that is starting. Nobody starts anything by hand. Printed per kill:
after how many seconds the processes of the others had ended, and how long it took until the next epoch was done; at the
end: the share of the steps that were computed more than once, and the largest difference of a weight, a moment or a
metric's sum from those of the undisturbed training, which must be at most 1e-5.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from launch_workers import configs

STEPS_PER_CALL = 2
"""Between two checkpoints; a call that is killed is not counted, and may have been complete."""
COMMAND = "import sys; from kgen.cli.train import main; sys.exit(main())"
SETTINGS = [
    "--model", "vae", "--strategy", "multi_worker", "--limit", "256", "--batch_size", "8", "--set",
    "model_args.hidden=[8]", "--nojit_compile", "--optimizer", "sgd", "--learning_rate", "0.001",
    "--checkpoint_steps", str(STEPS_PER_CALL), "--steps_per_execution", str(STEPS_PER_CALL),
    "--samples_every", "1000", "--logger", "none",
]  # fmt: skip
COUNTER = """
import os, sys
from kgen.progress import Bar

def advance(self, steps, note="", advance=Bar.advance):
    if steps and self.name.startswith("epoch "):
        with open(os.environ["KGEN_STEPS_LOG"], "a") as file:
            file.write(f"{steps}\\n")
    advance(self, steps, note)

Bar.advance = advance
"""
"""Counts the steps of every training process, also of one that is killed: a sitecustomize.py."""
LARGEST_DIFFERENCE = 1e-5
PATIENCE_SECONDS = 600
"""Without a new epoch the training hangs."""
START_SECONDS = 20.0
"""So long after a kill the next comes, where it is to hit a training that starts."""


def start(run: Path, workers: int, *arguments: str) -> list[subprocess.Popen]:
    """One supervised command per worker."""
    started = []
    (run.parent / "sitecustomize.py").write_text(COUNTER)
    paths = os.pathsep.join(filter(None, [str(run.parent), os.environ.get("PYTHONPATH")]))
    for number, config in enumerate(configs(workers)):
        own = {
            "TF_CONFIG": config,
            "PYTHONPATH": paths,
            "KGEN_STEPS_LOG": str(run.with_name(f"{run.name}-{number}.steps")),
        }
        with open(run.with_name(f"{run.name}-{number}.log"), "a") as log:
            started.append(subprocess.Popen(
                [sys.executable, "-c", COMMAND, *SETTINGS, "--run_dir", str(run), *arguments],
                env=os.environ | own, stdout=log, stderr=subprocess.STDOUT,
            ))  # fmt: skip
    return started


def steps_computed(run: Path) -> int:
    """By the chief, in all its processes."""
    return sum(map(int, run.with_name(f"{run.name}-0.steps").read_text().split()))


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


def trainings(workers: list[subprocess.Popen]) -> list[psutil.Process | None]:
    """The process that each supervisor has started; None between two starts."""
    return [next(iter(psutil.Process(worker.pid).children()), None) for worker in workers]


def kill_one(workers: list[subprocess.Popen], victim: int) -> float:
    """Kills the training of one worker, not its supervisor; seconds until those of the others have ended."""
    processes = trainings(workers)
    processes[victim].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    psutil.wait_procs([process for process in processes if process])
    return time.monotonic() - killed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    folder = tempfile.mkdtemp(prefix="kill-workers-")
    undisturbed, killed = Path(folder) / "undisturbed", Path(folder) / "killed"
    epochs = ["--epochs", str(args.epochs)]
    ended = [worker.wait() for worker in start(undisturbed, args.workers, *epochs)]
    assert not any(ended), undisturbed.with_name("undisturbed-0.log").read_text()[-2000:]
    total = steps_computed(undisturbed)
    workers, done, started = start(killed, args.workers, *epochs, "--restarts", "100000"), 0, time.monotonic()
    noticed = []
    try:
        while done < args.kills and wait_for_epochs(killed, epochs_of(killed) + draw.randint(1, 3), workers):
            victim, before, since = draw.randrange(args.workers), epochs_of(killed), time.monotonic()
            noticed.append(kill_one(workers, victim))
            done += 1
            early = done < args.kills and draw.random() < 0.2
            if early:
                time.sleep(draw.uniform(0, START_SECONDS))
                again = draw.randrange(args.workers)
                if early := trainings(workers)[again]:
                    early.kill()
                    done += 1
            wait_for_epochs(killed, before + 1, workers)
            times = f"others had ended after {noticed[-1]:.1f} s, epoch done after {time.monotonic() - since:.1f} s"
            words = f", and worker {again} while it started" if early else ""
            print(f"kill {done}: worker {victim} in epoch {before + 1}{words}: {times}", flush=True)
        ended = [worker.wait() for worker in workers]
    finally:
        for worker in workers:
            worker.terminate()
    assert not any(ended), killed.with_name("killed-0.log").read_text()[-2000:]
    one, other = newest(undisturbed), newest(killed)
    assert one.keys() == other.keys()
    difference = max(float(np.abs(one[name] - other[name]).max()) for name in one)
    what = f"{args.workers} workers, {done} kills, {args.epochs} epochs in {time.monotonic() - started:.0f} s"
    repeated = steps_computed(killed) - total + done * STEPS_PER_CALL
    print(f"{what}: largest difference from the undisturbed training {difference:.1e}")
    print(f"others had ended after at most {max(noticed, default=0):.1f} s")
    print(f"computed again: at most {repeated} of {total} steps, {repeated / total:.1%}")
    shutil.rmtree(folder)  # it stays when something fails
    return difference > LARGEST_DIFFERENCE


if __name__ == "__main__":
    sys.exit(main())
