"""Kills trainings at random moments, resumes them, and compares the result with that of an undisturbed training.

python tools/kill_and_resume.py [--kills 10] [--models vae,cvae,wgan_gp]: kills by SIGKILL, every third one while a
checkpoint is being written. Weights, the best checkpoint, metrics and sample grids must be bit-identical. On the CPU,
unless CUDA_VISIBLE_DEVICES names a GPU.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

CLOCKS = ("elapsed_seconds", "images_per_second")
SETTINGS = {
    "data.limit": 600, "train.batch_size": 16, "train.epochs": 8, "train.checkpoint_seconds": 0.15,
    "train.samples_every": 2, "model_args.latent_dim": 4,
}  # fmt: skip
WAIT_SECONDS = 300


class Differs(AssertionError):
    """A resumed training did not end as the undisturbed one."""


def settings_of(model: str) -> dict:
    """The settings of a training of some seconds."""
    hidden = {"model_args.hidden": [32]}
    return {"model": model, **SETTINGS, **hidden, **({"train.batch_size": 40} if model == "wgan_gp" else {})}


def start(run_dir: Path, settings: dict) -> int:
    """Starts or resumes a training in a process of its own (forked: nothing is imported again); returns its pid."""
    if (number := os.fork()) > 0:
        return number
    code = 1
    try:
        with open(run_dir.with_suffix(".log"), "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
            from kgen.config import RunConfig, override
            from kgen.train import train

            train(override(RunConfig(), settings), run_dir=str(run_dir))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(number: int, seconds: float) -> int | None:
    """The exit code of a process, or None if it does not end within some seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def kill(number: int):
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)


def being_written(run_dir: Path, number: int) -> bool:
    """Waits until a checkpoint is half written; False if the training ends before."""
    while os.waitpid(number, os.WNOHANG)[0] == 0:
        if any((run_dir / "checkpoints").glob(".part-*")):
            return True
    return False


def outcome(run_dir: Path) -> dict[str, str]:
    """What is compared: name -> SHA-256 (16 hex digits)."""
    from kgen import checkpoints

    newest = max((run_dir / "checkpoints").glob("step-*.npz"))
    weights = hashlib.sha256(newest.name.encode())
    for name, values in sorted(checkpoints.read(newest).arrays.items()):
        weights.update(f"{name} {values.dtype} {values.shape};".encode() + values.tobytes())
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    rows = [{k: v for k, v in row.items() if k not in CLOCKS} for row in rows]
    found = {"weights": weights.digest(), "metrics": json.dumps(rows).encode()}
    found["best"] = (run_dir / "checkpoints" / "best.npz").read_bytes()
    found |= {file.name: file.read_bytes() for file in sorted((run_dir / "samples").glob("*.png"))}
    return {name: hashlib.sha256(content).hexdigest()[:16] for name, content in found.items()}


def finish(run_dir: Path, settings: dict):
    """Starts or resumes a training and waits for its end; AssertionError if it fails."""
    assert wait(start(run_dir, settings), WAIT_SECONDS) == 0, run_dir.with_suffix(".log").read_text()[-2000:]


def kills_of(model: str, count: int, folder: Path, seed: int = 0, settings: dict | None = None) -> tuple[int, int]:
    """Kills a training `count` times; returns (kills, kills while a checkpoint was written).

    Raises:
        Differs: the result is not that of the undisturbed training.
    """
    settings = settings or settings_of(model)
    undisturbed, killed = folder / f"{model}-undisturbed", folder / f"{model}-killed"
    started = time.monotonic()
    finish(undisturbed, settings)
    seconds, draw, done, writing = time.monotonic() - started, random.Random(seed), 0, 0
    expected = outcome(undisturbed)
    while done < count:
        shutil.rmtree(killed, ignore_errors=True)
        while done < count:
            number = start(killed, settings)
            if done % 3 == 2:
                if not being_written(killed, number):
                    break
                writing += 1
            elif (code := wait(number, draw.uniform(0.0, seconds))) is not None:
                assert code == 0, killed.with_suffix(".log").read_text()[-2000:]
                break
            kill(number)
            done += 1
        else:
            finish(killed, settings)
        found = outcome(killed)
        if differ := sorted(k for k in expected | found if expected.get(k) != found.get(k)):
            raise Differs(f"other {', '.join(differ)}")
    return done, writing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each model")
    parser.add_argument("--models", default="vae,cvae,wgan_gp")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    import kgen.train  # noqa: F401  imported once, before the forks

    with tempfile.TemporaryDirectory() as folder:
        for model in args.models.split(","):
            started = time.monotonic()
            done, writing = kills_of(model, args.kills, Path(folder), args.seed)
            print(
                f"{model}: {done} kills, {writing} of them in the middle of writing a checkpoint; weights, metrics and "
                f"samples as without them ({time.monotonic() - started:.0f} seconds)",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
