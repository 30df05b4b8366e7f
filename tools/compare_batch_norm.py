"""After how many epochs a VAE with batch normalization has the test loss that the plain one has at its end.

    python tools/compare_batch_norm.py [--runs_root runs] [--seed 0]

Trains the recipe mnist-vae-bn, the plain network of the original experiment, and, so that one sees what is owed to
batch normalization and what to the recipe's learning rate and batches, the recipe with model_args.batch_norm=false.
Compares test_loss (negative ELBO, nats per image) epoch by epoch. Needs the data of the recipe (TFDS_DATA_DIR).
"""

import argparse
import os
import sys
from itertools import zip_longest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from ending import exit_code_of

import kgen
from kgen.recipes import configure

RECIPE = "mnist-vae-bn"
CONTROL = {"model_args.batch_norm": False}
ORIGINAL = {
    **CONTROL, "train.epochs": 15, "train.batch_size": 128, "train.learning_rate": 0.001, "train.schedule": "constant"
}  # fmt: skip


def losses(settings: dict, args) -> list[float]:
    """Test loss after each epoch."""
    config = configure(RECIPE, {**settings, "seed": args.seed, "train.validate_every": 1})
    return [row["test_loss"] for row in kgen.train.train(config, runs_root=args.runs_root).metrics()]


def column(loss: float | None) -> str:
    return " " * 12 if loss is None else f"{loss:12.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs_root", default="runs")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    plain, normalized, control = (losses(settings, args) for settings in (ORIGINAL, {}, CONTROL))
    print(f"\ntest loss, nats per image, seed {args.seed}\nepoch{'plain':>12}{RECIPE:>14}{'without its BN':>16}")
    for epoch, (one, other, third) in enumerate(zip_longest(plain, normalized, control), start=1):
        print(f"{epoch:5d}{column(one)}  {column(other)}    {column(third)}".rstrip())
    reached = next((epoch for epoch, loss in enumerate(normalized, start=1) if loss <= plain[-1]), None)
    when = f"reached in epoch {reached}" if reached else "not reached"
    print(f"the plain network's loss of epoch {len(plain)}, {plain[-1]:.2f}, is {when} of {RECIPE}")


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
