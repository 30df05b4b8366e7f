"""CPU-seconds of the Fréchet distance: kgen, TensorFlow-GAN, scipy's `sqrtm` and torch-fidelity's method.

    python tools/bench_frechet.py [--images 10000] [--dimensions 2048] [--rounds 3]

From two sets of float64 features to the value, means and covariances included. The contestants take turns, each in a
process of its own; imports and the making of the features do not count. CPU-seconds are those of all threads, so a
thread that waits in a loop counts. Printed: medians, their ratio to kgen's, and how far the values are from kgen's.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np


def by_kgen():
    from kgen.metrics.frechet import frechet_distance, moments

    return lambda real, fake: frechet_distance(moments(real), moments(fake))


def by_tfgan():
    from kgen import tfgan

    metrics = tfgan.module("eval.classifier_metrics")
    return lambda real, fake: float(metrics.frechet_classifier_distance_from_activations(real, fake))


def by_sqrtm():
    from scipy.linalg import sqrtm

    return lambda real, fake: _from_trace(real, fake, lambda product: np.trace(sqrtm(product).real))


def by_eigenvalues():
    """As torch_fidelity/metric_fid.py, `fid_statistics_to_metric`, version 0.4.0."""
    return lambda real, fake: _from_trace(
        real, fake, lambda product: np.sum(np.sqrt(np.linalg.eigvals(product).astype("complex128")).real)
    )


def _from_trace(real, fake, trace_of_root) -> float:
    (m1, s1), (m2, s2) = ((part.mean(0), np.cov(part, rowvar=False)) for part in (real, fake))
    return float(np.sum((m1 - m2) ** 2) + np.trace(s1) + np.trace(s2) - 2 * trace_of_root(s1 @ s2))


CONTESTANTS = {
    "kgen": by_kgen,
    "TensorFlow-GAN": by_tfgan,
    "scipy sqrtm": by_sqrtm,
    "eigenvalues of the product": by_eigenvalues,
}


def features(images: int, dimensions: int, seed: int) -> np.ndarray:
    """[images, dimensions] float64, not negative and correlated, as the pool of a network is."""
    mix = np.random.default_rng(0).normal(size=(dimensions, dimensions)) / np.sqrt(dimensions)
    hidden = np.random.default_rng(seed).normal(size=(images, dimensions)) * np.geomspace(1, 0.1, dimensions)
    return np.maximum(hidden @ mix + 0.02 * seed, 0)


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def work(name: str, images: int, dimensions: int):
    """One turn of one contestant: prints [CPU seconds, wall seconds, value]."""
    compute = CONTESTANTS[name]()
    real, fake = features(images, dimensions, 1), features(images, dimensions, 2)
    time.sleep(1)  # the threads that made the features come to rest
    cpu, wall = cpu_seconds(), time.perf_counter()
    value = compute(real, fake)
    print(json.dumps([cpu_seconds() - cpu, time.perf_counter() - wall, value]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=2_048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.images, given.dimensions)
        return 0
    sizes = ["--images", str(given.images), "--dimensions", str(given.dimensions)]
    results = {name: [] for name in CONTESTANTS}
    for _ in range(given.rounds):
        for name, rows in results.items():
            command = [sys.executable, __file__, "--work", name, *sizes]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    own_cpu, own_value = statistics.median(row[0] for row in results["kgen"]), results["kgen"][0][2]
    print(f"Fréchet distance of {given.images:,} and {given.images:,} images, {given.dimensions:,} dimensions")
    for name, rows in results.items():
        cpu, wall = (statistics.median(row[i] for row in rows) for i in (0, 1))
        print(
            f"{name} takes {cpu:.1f} CPU-seconds, {cpu / own_cpu:.1f} times kgen's ({wall:.1f} seconds), and finds "
            f"{rows[0][2]:.9g}, {abs(rows[0][2] / own_value - 1):.0e} from kgen's value"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
