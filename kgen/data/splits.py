"""Which images are for training, which for validation, which for the test: decided before anything is decoded."""

from collections.abc import Mapping

import numpy as np

from kgen import rng
from kgen.config import DataConfig
from kgen.data.source import Source
from kgen.errors import UserError

SPLITS = ("train", "validation", "test")


def make_splits(source: Source, config: DataConfig, seed: int) -> tuple[dict, list[str]]:
    """Split -> (stored split, [n] int64 indices into it), and notes.

    A set without a validation split gets one out of its training images, drawn by `seed`; the test split is never
    touched.

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
        f"split {name!r} with {count} images is not used"
        for name, count in source.counts.items()
        if name not in SPLITS and count
    ]
    if "validation" not in splits:
        stored, order = splits["train"]
        count = _validation_count(len(order), config.validation_fraction)
        held = np.zeros(len(order), bool)
        held[rng.generator(seed, "validation").choice(len(order), count, replace=False)] = True
        if count:
            splits |= {"train": (stored, order[~held]), "validation": (stored, order[held])}
            notes.append(
                f"no validation split: {count} of the {len(order)} training images are set aside as one "
                f"(validation_fraction={config.validation_fraction:g}, seed={seed})"
            )
    if config.limit:
        splits = {
            name: (stored, source.choose(stored, order, config.limit, seed)) for name, (stored, order) in splits.items()
        }
    return {name: splits[name] for name in SPLITS if name in splits}, notes


def note_missing_test(examples: Mapping[str, int]) -> str:
    """What the absence of a test split means for what is reported; empty when there is one."""
    if "test" in examples:
        return ""
    if "validation" in examples:
        return f"has no test split: the validation split of {examples['validation']} images is what is reported"
    return "has neither a validation nor a test split: only training images can be reported on"


def _validation_count(total: int, fraction: float) -> int:
    if not fraction:
        return 0
    return min(max(1, round(total * fraction)), total - 1)
