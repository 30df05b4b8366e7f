"""Does a GAN that starts from a VAE's decoder make better pictures than one that starts from random weights?

    python tools/compare_warm_start.py [--runs_root runs] [--seeds 0 1 2] [--epochs 1] [--vae_epochs 3]

For every seed it trains a VAE, then twice the same vae_gan on the same data in the same order with the same noise:
cold, and with --init_from that VAE. After each epoch it measures the Fréchet distance to the validation images, and at
the end to the test images (10,000 samples, features of a classifier). Core-seconds are those of both cores since the
training began, tracing included, measuring not. `kgen-compare` draws the curves of the runs that this leaves.

Needs the data of the runs (TFDS_DATA_DIR).
"""

import argparse
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from ending import exit_code_of

import kgen
from kgen.config import RunConfig, override
from kgen.evaluate import EvalConfig, Monitor

SAMPLES = 10_000
DATA = {"data.dataset": "mnist"}
VAE = {
    **DATA, "model": "conv_vae", "model_args.network": "conv", "model_args.latent_dim": 20,
    "model_args.filters": [16, 32], "model_args.hidden": [128],
}  # fmt: skip
GAN = {
    **DATA, "model": "vae_gan", "train.batch_size": 64, "train.ema_halflife_images": 5_000, "train.eval_every": 1,
    "train.metrics": ["fid"], "train.eval_count": SAMPLES,
}  # fmt: skip
ARCHITECTURE = ("network", "filters", "hidden", "latent_dim", "activation", "batch_norm")


class Clock(Monitor):
    """Measures samples, and what the training between two measurements cost.

    Attributes:
        core_seconds: of the training, at each measurement.
    """

    def __init__(self, *given):
        super().__init__(*given)
        self.core_seconds, self._left_out = [], time.process_time()

    def values(self, sampler):
        began = time.process_time()
        self.core_seconds.append(began - self._left_out)
        found = super().values(sampler)
        self._left_out += time.process_time() - began
        return found


def trained(settings: dict, args) -> tuple[kgen.Run, list[float]]:
    """A run, and its core-seconds at each measurement."""
    clocks = []

    def monitor(*given):
        clocks.append(Clock(*given))
        return clocks[-1]

    run = kgen.train.train(override(RunConfig(), settings), runs_root=args.runs_root, monitor=monitor)
    return run, clocks[0].core_seconds if clocks else []


def distance(run: kgen.Run) -> float:
    """To the test images."""
    results, _ = kgen.evaluate.evaluate(run.path, EvalConfig(("fid",), count=SAMPLES, repeats=1))
    return next(result["value"] for result in results if result["metric"] == "fid")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs_root", default="runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=1, help="of the GANs")
    parser.add_argument("--vae_epochs", type=int, default=3)
    args = parser.parse_args()
    lines = []
    for seed in args.seeds:
        began = time.process_time()
        vae, _ = trained({**VAE, "seed": seed, "train.epochs": args.vae_epochs}, args)
        cost = time.process_time() - began
        architecture = {f"model_args.{name}": vae.config.model_args[name] for name in ARCHITECTURE}
        settings = {**GAN, **architecture, "seed": seed, "train.epochs": args.epochs}
        cold, cold_seconds = trained(settings, args)
        warm, warm_seconds = trained({**settings, "train.init_from": str(vae.path)}, args)
        lines.append(f"seed {seed}: {vae.path} cost {cost:.0f} core-seconds; runs {cold.path} and {warm.path}")
        rows = zip(cold.metrics(), cold_seconds, warm.metrics(), warm_seconds, strict=True)
        for one, cold_spent, other, warm_spent in rows:
            lines.append(
                f"  epoch {one['epoch']}: cold {one['validation_fid']:.2f} after {cold_spent:.0f} core-seconds, "
                f"warm {other['validation_fid']:.2f} after {warm_spent:.0f}"
            )
        distances = [distance(run) for run in (vae, cold, warm)]
        vae_fid, cold_fid, warm_fid = distances
        lines.append(
            f"  test images: the VAE {vae_fid:.2f}, cold {cold_fid:.2f}, warm {warm_fid:.2f}: "
            f"{warm_fid / cold_fid:.2f} times"
        )
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
