"""Agreement of samples with their labels, and coverage of the classes, by a classifier."""

from dataclasses import dataclass

import numpy as np

from kgen.errors import UserError


@dataclass(frozen=True)
class LabelAgreement:
    """How often samples belong to the class of their label.

    Attributes:
        share: of the samples that the classifier puts into the class of their label.
        interval: Wilson's 95 % interval of the share.
        by_class: the share among the samples of each label; None where there are none.
        count: samples.
    """

    share: float
    interval: tuple[float, float]
    by_class: list[float | None]
    count: int


@dataclass(frozen=True)
class ClassCoverage:
    """How the samples spread over the classes.

    Attributes:
        classes_covered: classes with at least one sample.
        smallest_share: share of the rarest class, times the number of classes: 1 when all are equally frequent, 0 when
            one is missing.
        kl: KL(samples || real) of the two class histograms, nats. Below 0.01 is good, above 0.1 partial, above 1 a
            collapse.
        entropy: of the samples' histogram, nats: log K when all classes are equally frequent, 0 when there is one.
    """

    classes_covered: int
    smallest_share: float
    kl: float
    entropy: float


def wilson_interval(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a binomial share: (low, high) in [0, 1].

    Args:
        hits: 0 to count.
        count: trials, at least 1.
        z: standard normal quantile; 1.96 is 95 %.

    Raises:
        UserError: no trials, or hits outside of 0 to count.
    """
    if count < 1 or not 0 <= hits <= count:
        raise UserError(f"a share needs hits of 0 to count, and a count. Received: {hits} of {count}")
    share, extra = hits / count, z**2 / count
    middle = share + extra / 2
    half = z * np.sqrt(share * (1 - share) / count + extra / (4 * count))
    low = float((middle - half) / (1 + extra)) if hits else 0.0
    high = float((middle + half) / (1 + extra)) if hits < count else 1.0
    return low, high


def label_agreement(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> LabelAgreement:
    """The share of samples that a classifier puts into the class of their label.

    Args:
        predicted: [N] classes by a classifier.
        labels: [N] classes that the samples were generated for.
        num_classes: K.

    Raises:
        UserError: no samples, unequal lengths, or a class outside of 0 to K - 1.
    """
    predicted, labels = _classes("predicted", predicted, num_classes), _classes("labels", labels, num_classes)
    if len(predicted) != len(labels):
        raise UserError(f"every sample needs one label. Received: {len(predicted)} samples and {len(labels)} labels")
    right = predicted == labels
    return LabelAgreement(
        share=float(right.mean()),
        interval=wilson_interval(int(right.sum()), len(right)),
        by_class=[float(right[labels == n].mean()) if (labels == n).any() else None for n in range(num_classes)],
        count=len(right),
    )


def class_coverage(predicted: np.ndarray, real_labels: np.ndarray, num_classes: int) -> ClassCoverage:
    """The histogram of the samples' classes beside that of real images.

    A class that the real images lack counts there as half an image, so that the divergence stays finite when samples
    fall into it; a class that the samples lack adds nothing (0 log 0 = 0).

    Args:
        predicted: [N] classes by a classifier.
        real_labels: [M] labels of real images, or their classes by a classifier.
        num_classes: K.

    Raises:
        UserError: no samples or no real images, or a class outside of 0 to K - 1.
    """
    found = np.bincount(_classes("predicted", predicted, num_classes), minlength=num_classes)
    real = np.bincount(_classes("real_labels", real_labels, num_classes), minlength=num_classes).astype(np.float64)
    real[real == 0] = 0.5
    share, expected = found / found.sum(), real / real.sum()
    there = found > 0
    return ClassCoverage(
        classes_covered=int(there.sum()),
        smallest_share=float(share.min() * num_classes),
        kl=float(np.sum(share[there] * np.log(share[there] / expected[there]))),
        entropy=float(np.sum(share[there] * np.log(1 / share[there]))),
    )


def _classes(name: str, values: np.ndarray, num_classes: int) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or not len(values):
        raise UserError(f"{name}: classes must be [N], N of at least 1. Received shape: {values.shape}")
    values = values.astype(np.int64)
    if values.min() < 0 or values.max() >= num_classes:
        raise UserError(f"{name}: classes must be 0 to {num_classes - 1}. Received: {values.min()} to {values.max()}")
    return values
