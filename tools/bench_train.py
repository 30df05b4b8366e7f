"""Training speed, side by side: kgen's `fit`, loops of PyTorch and JAX, and the Keras examples' way of writing it.

    pip install torch==2.13.0 jax==0.10.2 optax
    python tools/bench_train.py [--job vae|conv_vae|pixel_vae|wgan_gp|dcgan|dcgan128] [--rounds 5]
        [--peers_python PYTHON]

vae: 784-400-20, batch 128, Adam, an epoch of 60,000 images a turn. conv_vae: 28x28, two strided convolutions of 32 and
64 filters and their mirror, latent 20, 6,400 images per turn. pixel_vae: 28x28, black and white, eight gated layers
of 32 channels, batch 64; there is no Keras example of it. wgan_gp: 28x28, networks of 64 and 128 filters, five
critic steps of 64 images and one of the generator. dcgan: 64x64x3, 64 to 512 filters, batch 64; dcgan128: 128x128x3.
Each contestant is a process of its own; they start one after the other, and take turns. Run it on a quiet machine:
PyTorch's threads wait in a loop, and lose far more than kgen's when something else wants the cores. The images are the
embedded digits, three (or seven) times as large, at random places (the posterior would collapse on noise). Printed:
images per second of wall time and of CPU time, medians, and their ratio to PyTorch's eager loop; the share of the floor
is what would be left of the CPU time if there were nothing but matrix products and convolutions
(`step_lower_bound.py`). `--peers_python` is an interpreter that has PyTorch, JAX, Optax and NumPy, if this one has not;
whoever cannot run is left out, and whoever `--without` names. TensorFlow computes by oneDNN, as under `kgen-train`,
also in the Keras examples.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Job:
    """A training.

    Attributes:
        model: registered, with `model_args`.
        batch: images per step.
        steps: a turn.
        shape: of the images.
        images: how many there are.
        variants: contestant -> options of kgen's `compile`.
    """

    model: str
    model_args: dict
    batch: int
    steps: int
    shape: tuple[int, int, int]
    images: int
    variants: dict = field(default_factory=dict)

    @property
    def filters(self):
        return self.model_args["filters"]


EAGER, JAX, KERAS, FLOOR = "PyTorch eager", "JAX", "Keras' example", "floor"
TORCH = (EAGER, "PyTorch, channels_last and fused Adam", "torch.compile")
PLAIN_OR_XLA = {"kgen": {"jit_compile": False}, "kgen, XLA": {"jit_compile": True}}
JOBS = {
    "vae": Job(
        "vae", {"latent_dim": 20, "hidden": (400,)}, 128, 60_000 // 128, (28, 28, 1), 60_000,
        {
            "kgen": {"jit_compile": False},
            "kgen, XLA": {"jit_compile": True},
            "kgen, XLA, many steps per program": {"jit_compile": True, "steps_per_graph": 64},
        },
    ),
    "conv_vae": Job(
        "conv_vae", {"latent_dim": 20, "filters": (32, 64), "hidden": ()}, 128, 50, (28, 28, 1), 6_400,
        {"kgen": {"jit_compile": False}},  # XLA takes seconds per step for transposed convolutions
    ),
    "pixel_vae": Job(
        "pixel_vae",
        {
            "latent_dim": 16, "filters": (32, 64), "width": 32, "layers": 8, "conditioned_layers": 4, "condition": 16,
        },
        64, 4, (28, 28, 1), 10_000, {"kgen": {"jit_compile": False}},
    ),
    "wgan_gp": Job("wgan_gp", {"filters": (64, 128)}, 320, 10, (28, 28, 1), 10_000, PLAIN_OR_XLA),
    "dcgan": Job(
        "dcgan", {"filters": (64, 128, 256, 512), "r1": 0.0}, 64, 5, (64, 64, 3), 1_000,
        {"kgen": {"jit_compile": False}},
    ),
    "dcgan128": Job(
        "dcgan", {"filters": (64, 128, 256, 512, 512), "r1": 0.0}, 64, 2, (128, 128, 3), 1_000,
        {"kgen": {"jit_compile": False}},
    ),
}  # fmt: skip


def pictures(job: Job):
    """[N, H, W, C] uint8: the embedded digits, enlarged and shifted."""
    from sklearn.datasets import load_digits

    rng, digits = np.random.default_rng(0), load_digits().images / 16
    side, larger = job.shape[0], 3 if job.shape[0] < 64 else 7
    pixels = np.zeros((job.images, *job.shape), np.uint8)
    for image in pixels:
        top, left = rng.integers(0, side - 8 * larger + 1, 2)
        digit = np.kron(digits[rng.integers(len(digits))], np.ones((larger, larger)))
        image[top : top + 8 * larger, left : left + 8 * larger] = 255 * digit[..., None]
    return pixels


def kgen_turns(path: str, job: Job, **options):
    """A generator of turns of kgen's `fit`, data pipeline included."""
    import kgen

    dataset = kgen.data.load(kgen.DataConfig(dataset=path, validation_fraction=0.0))
    model = kgen.build_model(job.model, dataset.spec, **job.model_args)
    model.compile(steps_per_execution=min(64, job.steps), **options)
    batches = dataset.batches("train", batch_size=job.batch, repeat=True, as_uint8=True)
    while True:
        history = model.fit(batches, steps_per_epoch=job.steps, verbose=0).history
        yield next(values for name, values in history.items() if name.endswith("loss"))[0]


def floor_turns(path: str, job: Job):
    """A generator of turns of kgen's matrix products and convolutions alone."""
    import step_lower_bound
    import tensorflow as tf

    import kgen

    model = kgen.build_model(job.model, kgen.data.load(kgen.DataConfig(dataset=path)).spec, **job.model_args)
    model.compile()
    batch = tf.TensorSpec((job.batch, *job.shape)), tf.TensorSpec((job.batch,), tf.int32)
    yield from step_lower_bound.turns(model, batch, job.steps)


def work(name: str, path: str, job_name: str):
    """A contestant: a turn for every line on standard input; the first warms up."""
    job = JOBS[job_name]
    if name in TORCH:
        import torch_loops

        turns = torch_loops.LOOPS[job.model](path, job, torch_loops.OPTIONS[name])
    elif name == JAX:
        import jax_loops

        turns = jax_loops.LOOPS[job.model](path, job)
    elif name == KERAS:
        import keras_loops

        turns = keras_loops.LOOPS[job.model](path, job)
    elif name == FLOOR:
        turns = floor_turns(path, job)
    else:
        turns = kgen_turns(path, job, **job.variants[name])
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        loss = next(turns)
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, loss]), flush=True)


def start(python: str, name: str, path: str, job: str) -> subprocess.Popen:
    command = [python, __file__, "--work", name, "--data", path, "--job", job]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, **pipes, text=True, bufsize=1, env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "1"})


def turn(worker: subprocess.Popen) -> list | None:
    """[wall seconds, CPU seconds, loss or program] of a turn, or None when the process has ended."""
    with contextlib.suppress(BrokenPipeError):
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return json.loads(worker.stdout.readline() or "null")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", default="vae", choices=tuple(JOBS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers_python", default=sys.executable)
    parser.add_argument("--without", nargs="*", default=[], metavar="CONTESTANT")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.data, given.job)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/digits.npz", images=pictures(JOBS[given.job]))
        compare(f"{folder}/digits.npz", given.job, given.rounds, given.peers_python, given.without)
    return 0


def compare(path: str, job_name: str, rounds: int, peers_python: str, without: list[str]):
    """Lets the contestants take turns and prints the medians."""
    job = JOBS[job_name]
    examples = () if job_name == "pixel_vae" else (KERAS,)
    peers = (*TORCH, JAX)
    names = [name for name in (*peers, *job.variants, *examples, FLOOR) if name not in without]
    workers = {}
    for name in names:  # one after the other: PyTorch's threads wait in a loop, for minutes beside others that compile
        worker = start(peers_python if name in peers else sys.executable, name, path, job_name)
        if first := turn(worker):
            print(f"{name}: started, {first[0]:.0f} s", file=sys.stderr, flush=True)
            workers[name] = worker
        else:
            print(f"{name}: could not run; left out", file=sys.stderr, flush=True)
    results = {name: [] for name in workers}
    for number in range(rounds):
        for name, worker in workers.items():
            results[name].append(turn(worker))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    floor = results.get(FLOOR)
    base, seen = results.get(EAGER) or results["kgen"], job.steps * job.batch
    for name, rows in results.items():
        wall, cpu = (statistics.median(row[i] for row in rows) for i in (0, 1))
        faster = [statistics.median(b[i] / r[i] for b, r in zip(base, rows, strict=True)) for i in (0, 1)]
        share = statistics.median(f[1] / r[1] for f, r in zip(floor, rows, strict=True)) if floor else 0.0
        print(
            f"{name:37} {seen / wall:7,.0f} images/s ({faster[0]:.2f}x)   {seen / cpu:7,.0f} images/CPU-s "
            f"({faster[1]:.2f}x)   {share:4.0%} of the floor   "
            + (rows[-1][2] if name == FLOOR else f"loss {rows[-1][2]:.1f}")
        )
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()


if __name__ == "__main__":
    sys.exit(main())
