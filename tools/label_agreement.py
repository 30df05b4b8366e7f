"""How often samples are what their label says: python tools/label_agreement.py RUN [--count 1000] [--seed 0]

A second opinion on `kgen-eval RUN --metrics label_agreement`: here a support vector machine of scikit-learn is trained
on the run's real training split alone; its accuracy on the real test split is the ceiling.
"""

import argparse
import sys
from dataclasses import dataclass

import numpy as np
from ending import exit_code_of

TRAINING_IMAGES = 10_000


@dataclass(frozen=True)
class Agreement:
    """What was measured.

    Attributes:
        share: of the samples that the classifier puts into the class of their label.
        interval: Wilson's 95 % interval of the share.
        by_class: share of each class.
        ceiling: the classifier's accuracy on real images that it was not trained on.
        count: samples.
    """

    share: float
    interval: tuple[float, float]
    by_class: list[float]
    ceiling: float
    count: int


def measure(run_path, count: int = 1000, seed: int = 0, checkpoint: str = "best") -> Agreement:
    """Draws `count` samples, all classes in turn, and classifies them.

    Raises:
        UserError: the run is not there, or its model is not conditional.
    """
    from sklearn.svm import SVC

    import kgen
    from kgen.errors import UserError
    from kgen.metrics.conditioning import wilson_interval

    run = kgen.Run.open(run_path)
    sampler = kgen.open_sampler(run_path, checkpoint=checkpoint)
    if not sampler.conditional:
        raise UserError(f"{run_path}: model {run.config.model!r} takes no labels, so there is nothing to agree with")
    dataset = kgen.data.load(run.config.data, seed=run.config.seed)
    images, labels = dataset.arrays("train")
    keep = np.random.default_rng(0).permutation(len(images))[:TRAINING_IMAGES]
    classifier = SVC().fit(_features(images[keep]), labels[keep])
    held_out = dataset.arrays("test" if "test" in dataset.splits else "validation")
    samples = kgen.generate(sampler, count, seed=seed)
    right = classifier.predict(_features(samples.pixels)) == samples.labels
    return Agreement(
        share=float(right.mean()),
        interval=wilson_interval(int(right.sum()), count),
        by_class=[float(right[samples.labels == n].mean()) for n in range(sampler.spec.num_classes)],
        ceiling=float(classifier.score(_features(held_out[0]), held_out[1])),
        count=count,
    )


def _features(pixels: np.ndarray) -> np.ndarray:
    from kgen import images

    return images.to_unit(np.asarray(pixels)).reshape(len(pixels), -1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", default="best", choices=("best", "last"))
    given = parser.parse_args()
    found = measure(given.run, given.count, given.seed, given.checkpoint)
    low, high = found.interval
    print(
        f"{found.share:.1%} of {found.count} samples are as their label says (95 % interval {low:.1%} to {high:.1%}); "
        f"the classifier is right on {found.ceiling:.1%} of real held-out images"
    )
    print("by class: " + " ".join(f"{n}:{share:.0%}" for n, share in enumerate(found.by_class)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
