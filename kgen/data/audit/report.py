"""The audit of a data set: what training would see, and what is wrong with it; what kgen-data prints.

`audit_dataset` finds copies within and between splits, contradicting labels, outliers and broken files, and returns an
`AuditReport`; `AuditReport.lines` is its text: tables of splits and classes, then findings, one sentence each. Nothing
is changed, and nothing is left out that training would not leave out too. `load_for_audit` loads sets that training
would refuse for their mixed sizes.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgen.config import DataConfig
from kgen.data.audit.duplicates import NEAR, NEAR_COLOUR, ExactCopies, NearPairs, find_exact_copies, find_near_pairs
from kgen.data.audit.indexed_images import IndexedImages
from kgen.data.audit.outliers import Outlier, pixel_statistics, size_statistics
from kgen.data.dataset import Dataset
from kgen.data.loading import load
from kgen.data.sources.base import Skipped
from kgen.data.sources.pictures import PictureSource
from kgen.data.sources.resolve import open_source
from kgen.errors import UserError
from kgen.images import to_unit
from kgen.tables import counted, render_table

MAX_IMAGES = 200_000  # among which near copies are searched by default: 8 times the work of 70,000
LISTED = 200  # pairs, and outliers
SUGGESTED_SIZES = (128, 64, 32, 16)
MAX_NAMED = 10  # files, pairs and sizes that are named in the text
MAX_CLASSES = 40  # rows of the table of classes
IMBALANCE_RATIO = 2.0  # largest class by smallest class


@dataclass(frozen=True)
class SplitStatistics:
    """What one split holds.

    Attributes:
        name, images: how many.
        fingerprint: the content hash, 16 hex digits.
        classes: images of each class; empty for unlabelled data.
        low, high, mean, stddev: of the pixel values, a number per channel, in [0, 1].
        black_and_white: every pixel is 0 or 1.
        copies: images whose pixels another, earlier image of the split has.
        near: images that are near another of the split; None when that was not searched.
    """

    name: str
    images: int
    fingerprint: str
    classes: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    stddev: tuple[float, ...]
    black_and_white: bool
    copies: int
    near: int | None


@dataclass(frozen=True)
class Leak:
    """Images of one split that another split holds too.

    Attributes:
        split, stands_in: names of the two splits.
        exact: images of `split` whose pixels `stands_in` holds.
        near: other images of `split` that are near one of `stands_in`; None when that was not searched.
    """

    split: str
    stands_in: str
    exact: int
    near: int | None


@dataclass(frozen=True)
class CopyPair:
    """Two images that are copies.

    Attributes:
        indices: of the images over all splits, in the order of `AuditReport.splits`.
        names: of the files, or the splits and places.
        splits: of each.
        labels: of each; None for unlabelled data.
        same_pixels: an exact copy.
        distance: in units of contrast (`kgen.data.audit.duplicates`); 0 also for a copy that is only brighter.
    """

    indices: tuple[int, int]
    names: tuple[str, str]
    splits: tuple[str, str]
    labels: tuple[int, int] | None
    same_pixels: bool
    distance: float


@dataclass(frozen=True)
class AuditReport:
    """What was found.

    Attributes:
        name: of the data set.
        image_shape: (H, W, C) that training sees.
        sizes: ((height, width, images), ...) as stored, the most frequent first; empty when that is not recorded.
        class_names: one per class; numbers where they have no names.
        splits: "train" first.
        leaks: for every two splits that share images; test images in training first.
        mislabelled: images whose pixels another image has under another label.
        near_pairs: pairs of different images that are near; None when that was not searched.
        near_pairs_mislabelled: of the listed near pairs, those whose labels differ.
        near: the threshold, in units of contrast; 0 means not searched.
        complete: False: so many images are alike that the search was ended, and near counts are "at least".
        pairs: the first 200: other labels first, then other splits, then the closest.
        broken: files that cannot be used.
        outliers: the first 200.
        num_outliers: how many there are.
        notes: sentences of the data set, and of the audit.
        reading: findings of the data set: what was left unread, and what is ambiguous.
        gray_in_colour: the images have three channels, which are equal in every pixel.
        any_order: training images can be drawn in any order, as `train.class_balance` needs.
    """

    name: str
    image_shape: tuple[int, int, int]
    sizes: tuple[tuple[int, int, int], ...]
    class_names: tuple[str, ...]
    splits: tuple[SplitStatistics, ...]
    leaks: tuple[Leak, ...]
    mislabelled: int
    near_pairs: int | None
    near_pairs_mislabelled: int
    near: float
    complete: bool
    pairs: tuple[CopyPair, ...]
    broken: tuple[Skipped, ...]
    outliers: tuple[Outlier, ...]
    num_outliers: int
    notes: tuple[str, ...]
    reading: tuple[str, ...] = ()
    gray_in_colour: bool = False
    any_order: bool = True

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        return dataclasses.asdict(self)

    def lines(self, width: int | None = None) -> list[str]:
        """The report as text, line by line; its tables fit `width` columns if that is given."""
        return lines(self, width)


def audit_dataset(
    dataset: Dataset, *, near: float | None = None, anyway: bool = False, notes: tuple[str, ...] = ()
) -> AuditReport:
    """Audits every image of a data set; 70,000 of 28x28 take 22 to 29 CPU-seconds, loading included.

    Args:
        dataset: loaded.
        near: images at most so far apart are near copies, in units of contrast (see `audit.duplicates`). None: 0.1
            for gray images and 0.2 for colour; 0: they are not searched.
        anyway: search near copies also among more than 200,000 images (the time grows with the square).
        notes: sentences to report with those of the data set.

    Raises:
        UserError: `near` is not in [0, 1].
    """
    if near is None:
        near = NEAR if dataset.spec.image_shape[2] == 1 else NEAR_COLOUR
    if not 0 <= near <= 1:
        raise UserError(f"near must lie in [0, 1]: 0.1 finds saved copies, 1 is a correlation of 0.5. Received: {near}")
    images = IndexedImages(dataset)
    notes = (*(note for note in dataset.notes if note not in dataset.findings), *notes)
    if near and len(images) > MAX_IMAGES and not anyway:
        near = 0.0
        notes += (
            f"near copies were not searched among {len(images)} images (more than {MAX_IMAGES}); --near_anyway does",
        )
    groups = find_exact_copies(images)
    found = find_near_pairs(images, groups, near, LISTED) if near else None
    pixels = pixel_statistics(images)
    sizes, size_outliers = size_statistics(dataset, images)
    outliers = sorted(pixels.outliers + size_outliers, key=lambda o: (o.reason, o.name))
    labelled = dataset.spec.num_classes > 0
    exact = _exact_pairs(images, groups)
    close = [] if found is None else [(*groups.first[p], d) for p, d in zip(found.pairs, found.distances, strict=True)]
    pairs = [_pair(images, a, b, None, labelled) for a, b in exact] + [
        _pair(images, a, b, d, labelled) for a, b, d in close
    ]
    return AuditReport(
        name=dataset.spec.name,
        image_shape=dataset.spec.image_shape,
        sizes=sizes,
        class_names=dataset.spec.class_names or tuple(map(str, range(dataset.spec.num_classes))),
        splits=tuple(
            _split(dataset, images, place, groups, found, pixels.histograms) for place in range(len(images.splits))
        ),
        leaks=_leaks(images, groups, found),
        mislabelled=_mislabelled(images, groups) if labelled else 0,
        near_pairs=None if found is None else found.count,
        near_pairs_mislabelled=sum(1 for p in pairs if not p.same_pixels and p.labels and p.labels[0] != p.labels[1]),
        near=near,
        complete=found is None or found.complete,
        pairs=tuple(sorted(pairs, key=_importance)[:LISTED]),
        broken=dataset.skipped,
        outliers=tuple(outliers[:LISTED]),
        num_outliers=len(outliers),
        notes=notes,
        reading=dataset.findings,
        gray_in_colour=pixels.gray and dataset.spec.image_shape[2] > 1,
        any_order=dataset.any_order,
    )


def _split(
    dataset: Dataset, images: IndexedImages, place: int, groups: ExactCopies, found: NearPairs | None, histograms
) -> SplitStatistics:
    name, labels = images.splits[place], images.labels[images.split_of == place]
    counts = histograms[place]  # [C, 256]
    values = to_unit(np.arange(counts.shape[1], dtype=np.uint8)).astype(np.float64)
    share = counts / counts.sum(1, keepdims=True)
    mean = share @ values
    stddev = np.sqrt(share @ values**2 - mean**2)
    seen = [np.flatnonzero(c) for c in counts]
    return SplitStatistics(
        name=name,
        images=len(labels),
        fingerprint=dataset.fingerprint(name),
        classes=tuple(np.bincount(labels, minlength=dataset.spec.num_classes).tolist())
        if dataset.spec.num_classes
        else (),
        low=tuple(float(values[s[0]]) for s in seen),
        high=tuple(float(values[s[-1]]) for s in seen),
        mean=tuple(mean.tolist()),
        stddev=tuple(stddev.tolist()),
        black_and_white=not counts[:, 1:-1].any(),
        copies=groups.copies(place),
        near=None if found is None else found.images(groups, place, place),
    )


def _leaks(images: IndexedImages, groups: ExactCopies, found: NearPairs | None) -> tuple[Leak, ...]:
    leaks = []
    for place, split in reversed(list(enumerate(images.splits))):
        for other, stands_in in enumerate(images.splits[:place]):
            exact = groups.shared(place, other)
            near = None if found is None else found.images(groups, place, other)
            if exact or near:
                leaks.append(Leak(split, stands_in, exact, near))
    return tuple(leaks)


def _mislabelled(images: IndexedImages, groups: ExactCopies) -> int:
    low = np.full(len(groups.first), np.iinfo(np.int32).max)
    high = np.full(len(groups.first), -1)
    np.minimum.at(low, groups.group, images.labels)
    np.maximum.at(high, groups.group, images.labels)
    return int((low != high)[groups.group].sum())


def _exact_pairs(images: IndexedImages, groups: ExactCopies) -> list[tuple[int, int]]:
    """The first image of a group and every other one of it, those of other labels and splits first; at most LISTED."""
    others = np.setdiff1d(np.arange(len(images)), groups.first)
    first = groups.first[groups.group[others]]
    same_label = images.labels[first] == images.labels[others]
    same_split = images.split_of[first] == images.split_of[others]
    order = np.lexsort((others, same_split, same_label))[:LISTED]
    return [(int(first[i]), int(others[i])) for i in order]


def _pair(images: IndexedImages, first: int, second: int, distance: float | None, labelled: bool) -> CopyPair:
    """`distance` None: they have the same pixels."""
    indices = (int(first), int(second))
    return CopyPair(
        indices,
        tuple(map(images.name, indices)),
        tuple(map(images.split, indices)),
        tuple(int(images.labels[i]) for i in indices) if labelled else None,
        distance is None,
        float(distance or 0),
    )


def _importance(pair: CopyPair) -> tuple:
    same_label = pair.labels is None or pair.labels[0] == pair.labels[1]
    return same_label, pair.splits[0] == pair.splits[1], not pair.same_pixels, pair.distance, pair.indices


# Sizes that differ ----------------------------------------------------------------------------------------------------


def load_for_audit(config: DataConfig, *, seed: int = 0) -> tuple[Dataset, tuple[str, ...]]:
    """`load`, also of images of different sizes for which no size is given; training would refuse these.

    Returns:
        The data set, and notes.

    Raises:
        UserError: what `load` raises, but for the missing size.
    """
    try:
        return load(config, seed=seed), ()
    except UserError:
        size = None if config.image_size else _suggested_size(config)
        if size is None:
            raise
    dataset = load(dataclasses.replace(config, image_size=(size, size)), seed=seed)
    return dataset, (
        f"the images have different sizes, and training asks for one: here they were brought to {size}x{size}; "
        f"train with --image_size {size}, or another",
    )


def _suggested_size(config: DataConfig) -> int | None:
    """The largest of 128, 64, 32 and 16 that half of the images fill; None when their sizes do not differ.

    Sets of TFDS that do not record their sizes: 64.
    """
    source = open_source(config)
    source.scan({split: source.order(split) for split in source.counts})
    if source.size is not None or (isinstance(source, PictureSource) and not source.sizes):
        return None
    if not isinstance(source, PictureSource):
        return SUGGESTED_SIZES[1]
    short = np.median([min(size) for size in source.sizes.elements()])
    return next((side for side in SUGGESTED_SIZES if side <= short), SUGGESTED_SIZES[-1])


# The report as text ---------------------------------------------------------------------------------------------------


def lines(report: AuditReport, width: int | None = None) -> list[str]:
    """The report, line by line; `report.json` holds what is cut short here."""
    text = [f"{report.name}: {_in_one_line(report)}", f"  stored as {_sizes(report)}", "", *_splits(report, width), ""]
    if report.class_names:
        text += [*_classes(report, width), ""]
    text += [f"note: {note}" for note in report.notes]
    found = findings(report)
    text += ["", "findings:", *(f"  - {finding}" for finding in found)] if found else ["", "findings: none"]
    return text


def _in_one_line(report: AuditReport) -> str:
    """What a training would see."""
    height, width, channels = report.image_shape
    train, *others = report.splits
    colour = "black-and-white" if train.black_and_white else "gray" if channels == 1 else "colour"
    classes = f"in {counted(len(report.class_names), 'class')}" if report.class_names else "without labels"
    beside = ", ".join(f"{split.images:,} for {split.name}" for split in others) or "nothing for validation and test"
    return f"training sees {train.images:,} {colour} images of {height}x{width} (height x width) {classes}; {beside}"


def findings(report: AuditReport) -> list[str]:
    """What a user should know before training, the gravest first."""
    least = "" if report.complete else "at least "
    found = list(report.reading)
    for leak in report.leaks:
        near = "" if not leak.near else f"{least}{leak.near} nearly"
        exact = f"{leak.exact} pixel by pixel" if leak.exact else ""
        found.append(
            f"{leak.split} images that stand in {leak.stands_in}: {' and '.join(filter(None, [exact, near]))}; "
            f"metrics on {leak.split} reward a model that memorizes them"
        )
    if report.mislabelled:
        found.append(
            counted(report.mislabelled, "image has", "images have")
            + " the same pixels as another with a different label"
        )
    if report.near_pairs_mislabelled:
        found.append(f"{report.near_pairs_mislabelled} of the near pairs listed have different labels")
    found += [
        f"{s.copies} of the {s.images} {s.name} images {_are(s.copies, 'an exact copy', 'exact copies')} of others"
        for s in report.splits
        if s.copies
    ]
    found += [
        f"{least}{s.near} of the {s.images} {s.name} images {_are(s.near, 'a near copy', 'near copies')} of others in "
        f"{s.name}"
        for s in report.splits
        if s.near
    ]
    if report.gray_in_colour:
        found.append("the images are gray, but stored in colour: --grayscale reads one channel instead of three")
    if not report.complete:
        found.append("so many images are alike that the search for near copies was ended: their counts are the least")
    if report.broken:
        named = _named([f"{b.name} ({b.reason})" for b in report.broken])
        found.append(f"{counted(len(report.broken), 'file')} cannot be used: {named}")
    reasons: dict[str, list[str]] = {}
    for outlier in report.outliers:
        reasons.setdefault(outlier.reason.split(":")[0], []).append(outlier.name)
    for reason, names in reasons.items():
        many = f"{len(names)}{'' if report.num_outliers == len(report.outliers) else ' or more'}"
        found.append(
            f"{many} {'image is an outlier' if many == '1' else 'images are outliers'}, {reason}: {_named(names)}"
        )
    found += _balance(report)
    return found + _pairs(report)


def _are(count: int, one: str, many: str) -> str:
    return f"is {one}" if count == 1 else f"are {many}"


def _sizes(report: AuditReport) -> str:
    if not report.sizes:
        return "sizes that are not recorded"
    named = [f"{height}x{width} ({count})" for height, width, count in report.sizes]
    return _named(named, 5) if len(named) > 1 else named[0].split(" ")[0]


def _splits(report: AuditReport, width: int | None) -> list[str]:
    rows = []
    for split in report.splits:
        values = [_numbers(v) for v in (split.low, split.high, split.mean, split.stddev)]
        binary = "yes" if split.black_and_white else "no"
        rows.append((split.name, split.images, split.fingerprint, *values, binary))
    headers = ("split", "images", "content hash", "min", "max", "mean", "stddev", "b/w")
    return render_table(headers, rows, width=width).splitlines()


def _classes(report: AuditReport, width: int | None) -> list[str]:
    headers = ("class", *(split.name for split in report.splits))
    rows = [
        (name, *(split.classes[i] for split in report.splits))
        for i, name in list(enumerate(report.class_names))[:MAX_CLASSES]
    ]
    more = len(report.class_names) - MAX_CLASSES
    return render_table(headers, rows, width=width).splitlines() + ([f"and {more} more classes"] if more > 0 else [])


def _balance(report: AuditReport) -> list[str]:
    found = []
    for split in report.splits:
        if not split.classes:
            continue
        empty = [name for name, count in zip(report.class_names, split.classes, strict=True) if not count]
        if empty:
            found.append(f"{split.name} has no image of {counted(len(empty), 'class')}: {_named(empty)}")
        low, high = min(split.classes), max(split.classes)
        if split.name == "train" and low and high / low >= IMBALANCE_RATIO:
            names = [report.class_names[split.classes.index(n)] for n in (high, low)]
            kept = "" if report.any_order else " where the images are kept decoded, by --cache memory or --cache disk"
            found.append(
                f"classes are not balanced: {names[0]!r} has {high / low:.1f} times the training images of {names[1]!r}"
                f"; kgen-train --class_balance 1 draws all equally often, 0.5 rare ones more often{kept}"
            )
    return found


def _pairs(report: AuditReport) -> list[str]:
    if not report.pairs:
        return []
    named = []
    for pair in report.pairs[:MAX_NAMED]:
        labels = "" if pair.labels is None else f" [{', '.join(report.class_names[n] for n in pair.labels)}]"
        places = " = " if pair.same_pixels else f" ~ ({pair.distance:.3f}) "
        named.append(
            places.join(f"{split}: {name}" for split, name in zip(pair.splits, pair.names, strict=True)) + labels
        )
    more = "" if len(report.pairs) <= MAX_NAMED else f"\n    ... of {len(report.pairs)} listed in report.json"
    head = "copies, = the same pixels, ~ near (distance in units of contrast):"
    return ["\n    ".join([head, *named]) + more]


def _named(names: Sequence[str], shown: int = MAX_NAMED) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{v:.3f}" for v in values)
