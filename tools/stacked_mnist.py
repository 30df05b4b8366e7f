"""How many of a thousand modes does a generator find? StackedMNIST (Metz et al. 2017, https://arxiv.org/abs/1611.02163).

    python tools/stacked_mnist.py [--folder stacked_mnist] [--minutes 60] [--seed 0] [kgen-train's arguments]

Three random digits of MNIST are the channels of an image: a thousand combinations, equally frequent. It trains the
recipe own-pictures, with an R1 of 0.1, on 50,000 such images at 28x28, draws 26,000 samples, has kgen's classifier of
MNIST name the digit in each channel, and prints how many combinations there are, and the Kullback-Leibler divergence
of their frequencies from the uniform one (0.02 is what 26,000 fair draws have). Needs MNIST (TFDS_DATA_DIR).
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from ending import exit_code_of

from kgen import random
from kgen.config import DataConfig
from kgen.data.reference import load_reference
from kgen.features.classifier import open_classifier
from kgen.sampling import open_sampler
from kgen.sampling.sampler import generate

IMAGES, SAMPLES, MODES = 50_000, 26_000, 1_000


def stacked(pixels: np.ndarray, count: int) -> np.ndarray:
    """[count, 28, 28, 3] uint8 of gray digits [N, 28, 28, 1]."""
    rows = random.generator(0, "stacked digits").integers(0, len(pixels), size=(count, 3))
    return np.stack([pixels[rows[:, channel], ..., 0] for channel in range(3)], axis=-1)


def modes(classifier, images: np.ndarray) -> tuple[int, float]:
    """(combinations that occur, divergence in nats of their frequencies from the uniform one)."""
    digits = [classifier.predict(images[..., channel : channel + 1]).astype(int) for channel in range(3)]
    counts = np.bincount(100 * digits[0] + 10 * digits[1] + digits[2], minlength=MODES)
    share = counts[counts > 0] / len(images)
    return int((counts > 0).sum()), float((share * np.log(share * MODES)).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--folder", type=Path, default=Path("stacked_mnist"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given, more = parser.parse_known_args()
    reference = load_reference(DataConfig("mnist"))
    classifier = open_classifier(reference)
    folder, run = given.folder, given.folder / f"run-{given.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (data := folder / "stacked.npz").is_file():
        images = stacked(reference.train.pixels[:], IMAGES)
        np.savez(data, images=images)
        print("the images themselves: {} modes, divergence {:.4f}".format(*modes(classifier, images[:SAMPLES])))
    code = "import sys; from kgen.cli.train import main; sys.exit(main())"
    asked = ["--recipe", "own-pictures", "--dataset", str(data), "--image_size", "28", "--flip", "off"]
    asked += ["--set", "model_args.r1=0.1"]
    length = [] if "--epochs" in more else ["--minutes", str(given.minutes)]
    command = [sys.executable, "-c", code, *asked, *length, "--seed", str(given.seed), "--run_dir", str(run), *more]
    subprocess.run(command, check=True)
    samples = generate(open_sampler(run), SAMPLES, seed=given.seed).pixels
    print("samples: {} of 1,000 modes, divergence {:.4f}".format(*modes(classifier, samples)))


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
