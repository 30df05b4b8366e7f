"""Which images are for training, validation and testing: decided before anything is decoded.

The splits that a data set brings are kept. A set without a validation split gets one: `validation_fraction` of its
training images, a seeded random choice. The test split is never touched, so that it is the same for every run.

The choice is stratified where the images have labels: each class gives its share of the validation images, rounded by
largest remainders (Hamilton's method), and keeps at least one training image. A plain random choice of 10 % leaves a
class of ten images without any validation image every third time.
"""

from collections.abc import Mapping

import numpy as np

from kgen import random
from kgen.config import DataConfig
from kgen.data.sources.base import Source
from kgen.errors import UserError
from kgen.tables import counted

SPLITS = ("train", "validation", "test")


def make_splits(
    source: Source, config: DataConfig, seed: int, *, stratified: bool = True
) -> tuple[dict[str, tuple[str, np.ndarray]], list[str]]:
    """The images of each split.

    Args:
        source: its `counts` name the stored splits.
        config: `validation_fraction` and `limit`.
        seed: of both choices.
        stratified: False takes the validation images of labelled data without regard to their classes, as trainings
            did before the choice was stratified.

    Returns:
        Split -> (the stored split that its images are part of, their indices [n] int64 there), "train" first; and notes
        for the log.

    Raises:
        UserError: there are no training images.
    """
    if not source.counts.get("train"):
        raise UserError(
            f"data set {source.name!r} has no training images; its splits are {dict(source.counts)}. Put the images to "
            "train on into train/ (or give a set that has a 'train' split)"
        )
    splits = {name: (name, source.order(name)) for name in SPLITS if source.counts.get(name)}
    notes = [
        f"split {name!r} with {counted(count, 'image')} is not used"
        for name, count in source.counts.items()
        if name not in SPLITS and count
    ]
    if "validation" not in splits:
        stored, order = splits["train"]
        count = _validation_count(len(order), config.validation_fraction)
        labels = source.labels(stored) if count and stratified else None
        is_validation = _choose_validation(None if labels is None else labels[order], len(order), count, seed)
        if is_validation.any():
            splits |= {"train": (stored, order[~is_validation]), "validation": (stored, order[is_validation])}
    if config.limit:
        splits = {
            name: (stored, source.choose(stored, order, config.limit, seed)) for name, (stored, order) in splits.items()
        }
    return {name: splits[name] for name in SPLITS if name in splits}, notes


def split_notes(source: Source, config: DataConfig, seed: int, examples: Mapping[str, int]) -> list[str]:
    """What the absence of a validation split and of a test split means.

    Args:
        source, config, seed: as of `make_splits`.
        examples: split -> images that can be read.
    """
    notes, count = [], examples.get("validation")
    if count and not source.counts.get("validation"):
        notes.append(
            f"no validation split: {count} of the {examples['train'] + count} training images set aside as one "
            f"(validation_fraction={config.validation_fraction:g}, seed={seed})"
        )
    if "test" in examples:
        return notes
    if count:
        return [*notes, f"has no test split: the validation split of {counted(count, 'image')} is what is reported"]
    return [*notes, "has neither a validation nor a test split: only training images can be reported on"]


def _choose_validation(labels: np.ndarray | None, total: int, count: int, seed: int) -> np.ndarray:
    """A seeded random choice of `count` of `total` images, stratified by their labels; [total] bool.

    Args:
        labels: [total] whole numbers; None where they are not known.
    """
    generator = random.generator(seed, "validation")
    chosen = np.zeros(total, bool)
    if labels is None:
        chosen[generator.choice(total, count, replace=False)] = True
        return chosen
    classes, sizes = np.unique(labels, return_counts=True)
    for label, share in zip(classes, _largest_remainders(sizes, count), strict=True):
        members = np.flatnonzero(labels == label)
        chosen[generator.choice(members, share, replace=False)] = True
    return chosen


def _largest_remainders(sizes: np.ndarray, count: int) -> np.ndarray:
    """How many of `count` each class gives, in proportion to its size and at most all but one of it; [classes] int.

    The whole parts of the exact shares come first; what is left goes to the largest remainders, of equal ones to the
    first class. Where classes of one image cannot give their share, the others give it.
    """
    exact = count * sizes / sizes.sum()
    shares = np.minimum(np.floor(exact).astype(int), sizes - 1)
    count = min(count, int((sizes - 1).sum()))
    while shares.sum() < count:
        open_classes = np.flatnonzero(shares < sizes - 1)
        missing = count - shares.sum()
        by_remainder = open_classes[np.argsort(shares[open_classes] - exact[open_classes], kind="stable")]
        shares[by_remainder[:missing]] += 1
    return shares


def _validation_count(total: int, fraction: float) -> int:
    """Images of the validation split: at least one, and at least one is left for training."""
    if not fraction:
        return 0
    return min(max(1, round(total * fraction)), total - 1)
