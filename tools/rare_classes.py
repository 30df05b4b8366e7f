"""Does --class_balance help rare classes? MNIST whose digits 8 and 9 have 120 training images each, a fiftieth.

    python tools/rare_classes.py [--folder F] [--balances 0 1] [--seeds 0] [--model NAME] [kgen-train's arguments]

It trains a small conditional DCGAN for three epochs (the recipe mnist-cdcgan with half the filters), or what the model
and the arguments say, with each balance and seed; draws 1,000 samples of each class, and compares them with the test
images of their class by kgen's classifier of the whole of MNIST: how many show their label, the Fréchet distance of its
features, and the coverage, of the two rare classes and of the eight others. Needs MNIST (TFDS_DATA_DIR).
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from ending import exit_code_of

from kgen.config import DataConfig
from kgen.data.reference import load_reference
from kgen.features.classifier import open_classifier
from kgen.metrics.conditioning import wilson_interval
from kgen.metrics.frechet import frechet_distance, moments
from kgen.metrics.prdc import prdc
from kgen.sampling import open_sampler
from kgen.sampling.sampler import generate

RARE, RARE_IMAGES, SAMPLES = (8, 9), 120, 10_000
DATA = "rare.npz"
TRAINING = ["--recipe", "mnist-cdcgan", "--set", "model_args.filters=[16,32]", "--epochs", "3", "--eval_every", "3"]


def write_set(path: Path, reference):
    """Writes the set: of a rare class the first images; all test images."""
    labels = reference.train.labels
    keep = np.ones(len(labels), bool)
    for digit in RARE:
        keep[np.flatnonzero(labels == digit)[RARE_IMAGES:]] = False
    train, test = reference.train.pixels[:][keep], reference.real.pixels[:]
    np.savez(path, x_train=train, y_train=labels[keep], x_test=test, y_test=reference.real.labels)


def judged(run: Path, classifier, real: dict[int, np.ndarray]) -> str:
    """The row of a run: agreement, distance and coverage of the rare classes, and of the others.

    Args:
        run: trained.
        classifier: of all of MNIST.
        real: digit -> features of its test images.
    """
    samples = generate(open_sampler(run), SAMPLES, seed=0)
    features, logits = classifier(samples.pixels)
    right = logits.argmax(axis=1) == samples.labels
    distance, coverage = {}, {}
    for digit, expected in real.items():
        found = features[samples.labels == digit]
        distance[digit] = frechet_distance(moments(expected), moments(found))
        equal = min(len(expected), len(found))
        coverage[digit] = prdc(expected[:equal], found[:equal])["coverage"]
    cells = []
    for digits in (RARE, [digit for digit in real if digit not in RARE]):
        of_these = right[np.isin(samples.labels, digits)]
        low, high = wilson_interval(int(of_these.sum()), len(of_these))
        cells += [
            f"{of_these.mean():.3f} ({low:.3f} to {high:.3f})",
            f"{np.mean([distance[digit] for digit in digits]):.1f}",
            f"{np.mean([coverage[digit] for digit in digits]):.2f}",
        ]
    return f"| {run.name} | {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--folder", type=Path, default=Path("rare_classes"))
    parser.add_argument("--balances", type=float, nargs="+", default=[0.0, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", help="conditional, of kgen-train; its runs are named after it")
    given, more = parser.parse_known_args()
    training = ["--model", given.model, *more] if given.model else more or TRAINING
    reference = load_reference(DataConfig("mnist"))
    given.folder.mkdir(parents=True, exist_ok=True)
    if not (given.folder / DATA).is_file():
        write_set(given.folder / DATA, reference)
    code = "import sys; from kgen.cli.train import main; sys.exit(main())"
    kind = f"{given.model}-" if given.model else ""
    names = {f"{kind}balance-{b:g}-seed-{seed}": (b, seed) for seed in given.seeds for b in given.balances}
    for name, (balance, seed) in names.items():
        asked = ["--dataset", DATA, "--validation_fraction", "0", *training]
        asked += ["--class_balance", str(balance), "--seed", str(seed), "--run_dir", name]
        subprocess.run([sys.executable, "-c", code, *asked], check=True, cwd=given.folder)
    classifier = open_classifier(reference)
    real = {digit: classifier(reference.real.pixels[reference.real.labels == digit])[0] for digit in range(10)}
    print("| run | rare: label agreement | Fréchet | coverage | others: label agreement | Fréchet | coverage |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        print(judged(given.folder / name, classifier, real), flush=True)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
