"""CPU-seconds and memory of precision, recall, density and coverage: kgen and the `prdc` package on the same features.

    pip install prdc
    python tools/bench_prdc.py [--images 10000] [--dimensions 64 2048] [--dtype float32] [--rounds 1]

All four values with one k (5), as the package does it. The contestants take turns, each in a process of its own. CPU-
seconds are those of all threads; memory is the peak of the process above what it holds when it has imported everything
and loaded the features. Printed: medians, their ratios, and the largest difference of the values.
"""

import argparse
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NEIGHBOURS = 5


def by_kgen():
    from kgen.metrics.prdc import prdc

    return lambda real, fake: prdc(real, fake, k_precision_recall=NEIGHBOURS, k_density_coverage=NEIGHBOURS)


def by_package():
    from prdc import compute_prdc

    return lambda real, fake: compute_prdc(real, fake, NEIGHBOURS)


CONTESTANTS = {"kgen": by_kgen, "prdc": by_package}


def features(images: int, dimensions: int, seed: int) -> np.ndarray:
    """[images, dimensions], not negative, on a manifold of 20 dimensions and a little beside it."""
    mix = np.random.default_rng(0).normal(size=(20, dimensions))
    generator = np.random.default_rng(seed)
    hidden = generator.normal(size=(images, 20)) * (1 - 0.05 * seed)
    return np.maximum(hidden @ mix + 0.3 * generator.normal(size=(images, dimensions)), 0)


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def work(name: str, folder: str):
    """One turn of one contestant: prints [CPU seconds, wall seconds, megabytes, values]."""
    import psutil

    compute = CONTESTANTS[name]()
    real, fake = (np.load(f"{folder}/{part}.npy") for part in ("real", "fake"))
    held = psutil.Process().memory_info().rss
    cpu, wall = cpu_seconds(), time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        values = compute(real, fake)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([cpu, wall, (peak - held) / 1e6, {key: float(value) for key, value in values.items()}]))


def compare(images: int, dimensions: int, dtype: str, rounds: int):
    """Lets the contestants take turns and prints the medians."""
    results = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as folder:
        for seed, part in enumerate(("real", "fake")):
            np.save(Path(folder) / f"{part}.npy", features(images, dimensions, seed).astype(dtype))
        for _ in range(rounds):
            for name, rows in results.items():
                command = [sys.executable, __file__, "--work", name, "--folder", folder]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{images:,} and {images:,} images, {dimensions:,} dimensions, {dtype}")
    cpu, wall, memory = (
        {n: statistics.median(row[i] for row in rows) for n, rows in results.items()} for i in range(3)
    )
    for name in results:
        print(f"{name} takes {cpu[name]:.1f} CPU-seconds ({wall[name]:.1f} seconds) and {memory[name]:,.0f} MB")
    own, other = (results[name][0][3] for name in ("kgen", "prdc"))
    print(
        f"kgen takes {cpu['prdc'] / cpu['kgen']:.1f} times fewer CPU-seconds; the values {own} differ by at most "
        f"{max(abs(own[key] - other[key]) for key in own):.1e}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[64, 2_048])
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.folder)
        return 0
    for dimensions in given.dimensions:
        compare(given.images, dimensions, given.dtype, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
