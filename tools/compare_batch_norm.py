"""After how many epochs a VAE with batch normalization has the test loss that the plain one has at its end.

    python tools/compare_batch_norm.py [--runs_root runs] [--seed 0]

Trains the recipe mnist-vae-bn twice, as it is and with model_args.batch_norm=false, and compares test_loss (negative
ELBO, nats an image) epoch by epoch. Needs the data of the recipe (TFDS_DATA_DIR).
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import kgen
from kgen.recipes import configure

RECIPE = "mnist-vae-bn"


def losses(batch_norm: bool, args) -> list[float]:
    """Test loss after each epoch."""
    config = configure(RECIPE, {"model_args.batch_norm": batch_norm, "seed": args.seed, "train.validate_every": 1})
    return [row["test_loss"] for row in kgen.train(config, runs_root=args.runs_root).metrics()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs_root", default="runs")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    plain, normalized = losses(False, args), losses(True, args)
    print(f"\ntest loss of {RECIPE}, nats an image\nepoch   plain  batch normalization")
    for epoch, (one, other) in enumerate(zip(plain, normalized, strict=True), start=1):
        print(f"{epoch:5d} {one:7.2f} {other:7.2f}")
    reached = next((epoch for epoch, loss in enumerate(normalized, start=1) if loss <= plain[-1]), None)
    when = f"reached in epoch {reached}" if reached else "not reached"
    print(f"the plain network's loss of epoch {len(plain)}, {plain[-1]:.2f}, is {when}")


if __name__ == "__main__":
    main()
