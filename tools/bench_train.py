"""Training speed, side by side: kgen's `fit` and a bare PyTorch eager loop on the same VAE 784-400-20, batch 128, Adam.

    pip install torch==2.13.0
    python tools/bench_train.py [--rounds 5] [--torch_python PYTHON]

Each contestant is a process of its own; they take turns, an epoch of 60,000 images each. Run it on a quiet machine:
PyTorch's threads wait in a loop, and lose far more than kgen's when something else wants the cores. The images are
MNIST-shaped: the embedded digits, three times as large, at random places of 28x28 (the posterior would collapse on
noise). Printed: images a second of wall time and of CPU time, medians, and their ratio to PyTorch. `--torch_python` is
an interpreter that has PyTorch and NumPy, if this one has not; without any, kgen's variants are compared alone.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

IMAGES, BATCH, HIDDEN, LATENT = 60_000, 128, 400, 20
STEPS = IMAGES // BATCH
CONTESTANTS = {
    "torch": {},
    "kgen": {"jit_compile": True},
    "kgen, four steps unrolled": {"jit_compile": True, "steps_per_graph": 4},
    "kgen, no XLA": {"jit_compile": False},
}


def mnist_shaped():
    """[60,000, 28, 28] uint8: the embedded digits, enlarged and shifted."""
    from sklearn.datasets import load_digits

    rng, digits = np.random.default_rng(0), load_digits().images / 16
    pixels = np.zeros((IMAGES, 28, 28), np.uint8)
    for image in pixels:
        top, left = rng.integers(0, 5, 2)
        image[top : top + 24, left : left + 24] = 255 * np.kron(digits[rng.integers(len(digits))], np.ones((3, 3)))
    return pixels


def torch_epochs(path: str):
    """A generator of epochs of the bare loop."""
    import torch
    from torch import nn
    from torch.nn import functional

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.back = nn.Linear(784, HIDDEN), nn.Linear(LATENT, HIDDEN)
            self.mean, self.log_var = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)
            self.logits = nn.Linear(HIDDEN, 784)

        def forward(self, x):
            h = functional.relu(self.hidden(x))
            mean, log_var = self.mean(h), self.log_var(h)
            z = mean + torch.exp(0.5 * log_var) * torch.randn_like(log_var)
            return self.logits(functional.relu(self.back(z))), mean, log_var

    images, model = torch.from_numpy(np.load(path)["images"].reshape(IMAGES, 784).astype(np.float32) / 255), VAE()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    while True:
        order = torch.randperm(IMAGES)
        for i in range(STEPS):
            batch = images[order[i * BATCH : (i + 1) * BATCH]]
            logits, mean, log_var = model(batch)
            distortion = functional.binary_cross_entropy_with_logits(logits, batch, reduction="sum")
            rate = -0.5 * torch.sum(1 + log_var - mean**2 - log_var.exp())
            loss = (distortion + rate) / BATCH
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield float(loss)


def kgen_epochs(path: str, network: str, **options):
    """A generator of epochs of kgen's `fit`, data pipeline included."""
    import kgen

    dataset = kgen.data.load(kgen.DataConfig(dataset=path, validation_fraction=0.0))
    model = kgen.build_model("vae", dataset.spec, latent_dim=LATENT, hidden=(HIDDEN,), network=network)
    model.compile(steps_per_execution=64, **options)
    batches = dataset.batches("train", batch_size=BATCH, repeat=True)
    while True:
        yield model.fit(batches, steps_per_epoch=STEPS, verbose=0).history["loss"][0]


def work(name: str, path: str, network: str):
    """A contestant: an epoch for every line on standard input; the first warms up."""
    epochs = torch_epochs(path) if name == "torch" else kgen_epochs(path, network, **CONTESTANTS[name])
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        loss = next(epochs)
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, loss]), flush=True)


def start(python: str, name: str, path: str, network: str) -> subprocess.Popen:
    command = [python, __file__, "--work", name, "--data", path, "--network", network]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
    )


def turn(worker: subprocess.Popen) -> list[float] | None:
    """One epoch: [wall seconds, CPU seconds, loss], or None when the process has ended."""
    try:
        worker.stdin.write("go\n")
        worker.stdin.flush()
        return json.loads(worker.stdout.readline() or "null")
    except BrokenPipeError:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--network", default="mlp", choices=("mlp", "conv"))
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.data, given.network)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/digits.npz", images=mnist_shaped())
        compare(f"{folder}/digits.npz", given.network, given.rounds, given.torch_python)
    return 0


def compare(path: str, network: str, rounds: int, torch_python: str):
    """Lets the contestants take turns and prints the medians."""
    names = [name for name in CONTESTANTS if name != "torch" or network == "mlp"]
    workers = {n: start(torch_python if n == "torch" else sys.executable, n, path, network) for n in names}
    warm = {name: turn(worker) for name, worker in workers.items()}
    for name in [name for name, first in warm.items() if first is None]:
        print(f"{name}: could not run; left out", file=sys.stderr)
        del workers[name]
    results = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            results[name].append(turn(worker))
    base = results.get("torch") or results["kgen"]
    for name, rows in results.items():
        wall, cpu = (statistics.median(row[i] for row in rows) for i in (0, 1))
        faster = [statistics.median(b[i] / r[i] for b, r in zip(base, rows, strict=True)) for i in (0, 1)]
        print(
            f"{name:30} {STEPS * BATCH / wall:7,.0f} images/s ({faster[0]:.2f}x)   "
            f"{STEPS * BATCH / cpu:7,.0f} images/CPU-s ({faster[1]:.2f}x)   first epoch {warm[name][0]:.1f} s   "
            f"loss {rows[-1][2]:.1f}"
        )
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()


if __name__ == "__main__":
    sys.exit(main())
