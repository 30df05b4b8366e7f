"""The real images that a generator is compared with: the same ones for every run on a data set."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from kgen import data, random
from kgen.config import DataConfig
from kgen.data.sources.base import WHITE
from kgen.data.training_data import Content
from kgen.errors import UserError
from kgen.spec import DataSpec

BLOCK_IMAGES = 512
DYNAMIC = "dynamic"
"""How the protocol of an evaluation calls `binarize=sample`."""
FIXED, GREY = "fixed", "none: grey"
WHOLE = "all"
"""The split of a reference that takes every image of a set without splits of its own."""


@dataclass(frozen=True)
class RealImages:
    """Real images of one split.

    Attributes:
        pixels: [N, H, W, C] uint8, after binarization where that was asked for; read when they are asked for.
        labels: [N] int32; zeros when unlabelled.
        split: their split; "all" of a set that is taken whole.
        hash: content hash of the whole split.
        part: which images of the split they are; with split and hash it identifies them for ever.
    """

    pixels: np.ndarray | data.SplitImages
    labels: np.ndarray
    split: str
    hash: str
    part: str = "all"

    @property
    def count(self) -> int:
        return len(self.pixels)

    @property
    def kind(self) -> str:
        """What they are called: "test images"."""
        return "images of the whole set" if self.split == WHOLE else f"{self.split} images"

    def some(self, count: int) -> "RealImages":
        """At most `count` of them: a fixed random choice, in their order."""
        if count >= self.count:
            return self
        rows = chosen_rows(self.split, self.count, count)
        part = f"{count} of {self.count} of {self.part}"
        pixels = self.pixels.part(rows) if isinstance(self.pixels, data.SplitImages) else self.pixels[rows]
        return dataclasses.replace(self, pixels=pixels, labels=self.labels[rows], part=part)


def chosen_rows(split: str, total: int, count: int) -> np.ndarray:
    """The rows that stand for `total` images of a split: a fixed random choice, [count] ascending."""
    return np.sort(random.generator(0, "real", split).choice(total, count, replace=False))


@dataclass(frozen=True, eq=False)
class Reference:
    """What a generator is compared with.

    Attributes:
        spec: of the data.
        real: the images of the split that metrics are reported on.
        read_train: returns `train`.
        read_other: returns `other`; None without one.
        limit: training images that a generator was trained on, where they are not all of `train`; None: they are.
        read_trained_on: returns `trained_on` where there is a limit.
        find_change: returns `change_in` of splits; None where it is not known what a generator was trained on.
        binarization: how `real` became black and white: "fixed" (the data are so), "threshold", "dynamic" (sampled
            each time in training, one fixed sample here), or "none: grey".
    """

    spec: DataSpec
    real: RealImages
    read_train: Callable[[], RealImages]
    read_other: Callable[[], RealImages] | None = None
    binarization: str = GREY
    limit: int | None = None
    read_trained_on: Callable[[], RealImages] | None = None
    find_change: Callable[[Sequence[str]], str] | None = None

    @cached_property
    def train(self) -> RealImages:
        """All images that a model may have been trained on (those set aside for validation included).

        Where the set is taken whole, the same images as `real`.
        """
        return self.read_train()

    @cached_property
    def trained_on(self) -> RealImages:
        """The images of `train` that a generator can have copied: of a training with a limit those that it saw."""
        return self.read_trained_on() if self.read_trained_on else self.train

    @property
    def num_trained_on(self) -> int:
        """How many `trained_on` are; nothing is read."""
        return self.limit or self.spec.examples["train"]

    @cached_property
    def other(self) -> RealImages | None:
        """Real images of another split than `real`, from which baselines are computed; None without one."""
        return self.read_other and self.read_other()

    @cached_property
    def changed(self) -> str:
        """How the images that a generator was trained on have changed since, in a sentence; "" where they have not.

        Those to train on and those set aside for validation, whatever `real` is of: samples are searched for them.
        """
        return self.change_in("train", "validation")

    def change_in(self, *splits: str) -> str:
        """The same of any splits of the training, of which that has only some images where it had a limit."""
        return self.find_change(splits) if self.find_change else ""

    @property
    def labelled(self) -> bool:
        return bool(self.spec.num_classes)

    def in_order_of(self, spec: DataSpec | None) -> "Reference":
        """The same with the labels of a generator, where that has the same classes in another order."""
        names = self.spec.class_names
        if spec is None or names == spec.class_names or sorted(names) != sorted(spec.class_names):
            return self
        label_of = np.array([spec.class_names.index(name) for name in names], np.int32)

        def relabelled(real: RealImages) -> RealImages:
            return dataclasses.replace(real, labels=label_of[real.labels])

        return Reference(
            dataclasses.replace(self.spec, class_names=spec.class_names),
            relabelled(self.real),
            lambda: relabelled(self.train),
            self.read_other and (lambda: relabelled(self.other)),
            self.binarization,
            self.limit,
            self.read_trained_on and (lambda: relabelled(self.trained_on)),
            self.find_change,
        )


def load_reference(
    config: DataConfig,
    *,
    split: str | None = None,
    num_real: int = 10_000,
    seed: int = 0,
    spec: DataSpec | None = None,
    own: bool = True,
    dataset: data.Dataset | None = None,
    content: Content | None = None,
) -> Reference:
    """The reference images of a data set.

    The test split, and with it everything but `trained_on`, is the same for every run on the set: `limit` and
    `validation_fraction` concern training alone. A run on a set without a test split is evaluated on the validation
    split of its training, which is another one for every `seed`. Other images than those of a training are taken whole
    where they have no splits of their own.

    Args:
        config: the data set, and how its images are prepared.
        split: "test", "validation", "train"; None takes the test split, or else the validation split, or else (where
            the images are not a training's own) all images.
        num_real: at most so many reference images, a fixed random choice.
        seed: of the run; for a set without a test split.
        spec: of the generator's images, in whose order of classes the labels are; None for no check.
        own: the generator was trained on this set, so that only images that were set aside can be reported on.
        dataset: loaded with `config`: its images are used, and there is no second copy of them; but all are loaded
            where it has only some of them (`config.limit`). None loads them.
        content: what identifies the images of the training, by which `Reference.changed` goes. None: not known.

    Raises:
        UserError: no such data or split, or its images have another shape than the generator's.
    """
    if num_real < 2:
        raise UserError(f"--num_real must be at least 2. Received: {num_real}")
    undivided = dataclasses.replace(config, limit=None, validation_fraction=0.0)
    if dataset is None or config.limit is not None:
        dataset = data.load(undivided)
    else:
        dataset = data.resplit(dataset, undivided)

    loaded = dataset

    @cache
    def training(stratified: bool = True) -> data.Dataset:
        return data.resplit(loaded, config, seed=seed, stratified=stratified)

    def change(splits: Sequence[str]) -> str:
        found = _change(training(), content, splits)
        if found and config.limit is None and not _change(training(stratified=False), content, splits):
            return ""  # an earlier training: the same images, of which others were set aside
        return found

    limit = _limit(loaded, training()) if own and config.limit is not None else None
    unsplit = "test" not in dataset.splits and "validation" not in dataset.splits
    whole = unsplit and split is None and not own
    if unsplit and not whole and split != "train":
        dataset = data.resplit(dataset, dataclasses.replace(config, limit=None), seed=seed)
    if spec is not None and dataset.spec.image_shape != spec.image_shape:
        raise UserError(
            f"the generator makes images of shape {spec.image_shape}, those of data set {dataset.spec.name!r} are "
            f"{dataset.spec.image_shape}; give the data set that it was trained on with --dataset"
        )
    split = split or ("train" if whole else "test" if "test" in dataset.splits else "validation")
    if split not in dataset.splits:
        raise UserError(_no_split(dataset, split))
    if whole:
        everything = dataclasses.replace(real_images(dataset, "train"), split=WHOLE)
        binarization = _binarization(dataset, everything)
        found = Reference(dataset.spec, everything.some(num_real), lambda: everything, None, binarization)
        return found.in_order_of(spec)
    real = real_images(dataset, split)
    second = next((s for s in ("train", "test", "validation") if s != split and s in dataset.splits), None)
    found = Reference(
        dataset.spec,
        real.some(num_real),
        lambda: real if split == "train" else real_images(dataset, "train"),
        None if second is None else lambda: found.train if second == "train" else real_images(dataset, second),
        _binarization(dataset, real),
        limit,
        None if limit is None else lambda: real_images(training(), "train"),
        change if own and content is not None else None,
    )
    return found.in_order_of(spec)


def _limit(whole: data.Dataset, training: data.Dataset) -> int | None:
    """Images of a training with a limit; None where this left nothing out but what was set aside for validation."""
    trained_on = training.spec.examples["train"]
    aside = 0 if "validation" in whole.splits else training.spec.examples.get("validation", 0)
    return trained_on if trained_on + aside < whole.spec.examples["train"] else None


def _change(dataset: data.Dataset, content: Content, splits: Sequence[str]) -> str:
    """How the images of a training differ from those that `content` identifies; see `Reference.change_in`."""
    difference = content.of_splits(splits).difference(Content.of(dataset, splits))
    if not difference:
        return ""
    which = "training" if "train" in splits else splits[0]
    return (
        f"the {which} images of {dataset.spec.name!r} have changed since the training: {difference}; restore them, or "
        "name the data to compare with by --dataset"
    )


def _no_split(dataset: data.Dataset, split: str) -> str:
    found = f"data set {dataset.spec.name!r} has no split {split!r} here, only {' and '.join(dataset.splits)}"
    if "test" in dataset.splits:
        aside = "images that a run set aside for validation count as training images where there is a test split"
        return f"{found}; {aside}"
    if "validation" in dataset.splits:
        return f"{found}; name one of these with --split, or data with a folder test/ with --dataset"
    return f"{found}; name other images with --dataset, or take the training images with --split train"


def _binarization(dataset: data.Dataset, real: RealImages) -> str:
    if dataset.binarize != "none":
        return DYNAMIC if dataset.binarize == "sample" else dataset.binarize
    blocks = (real.pixels[i : i + BLOCK_IMAGES] for i in range(0, real.count, BLOCK_IMAGES))
    return FIXED if dataset.binary and all(np.isin(block, (0, WHITE)).all() for block in blocks) else GREY


def real_images(dataset: data.Dataset, split: str) -> RealImages:
    """The images of a split, binarized where the data are."""
    return RealImages(*dataset.view(split), split, dataset.fingerprint(split))
