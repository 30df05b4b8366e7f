"""The data doctor: what training would see, and what is wrong with it. `examine` a Dataset, print `report.lines()`.

It only looks: nothing is changed or left out that training would not leave out too.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgen import images as kgen_images
from kgen.data.audit.duplicates import NEAR, NEAR_COLOUR, Groups, NearPairs, near_pairs, same_pixels
from kgen.data.audit.indexed_images import IndexedImages
from kgen.data.audit.outliers import Outlier, pixel_statistics, size_statistics
from kgen.data.dataset import Dataset
from kgen.data.sources.base import Skipped
from kgen.errors import UserError

MOST_IMAGES = 200_000  # whose near copies are searched unasked: 8 times the work of 70,000
LISTED = 200  # pairs, and odd images


@dataclass(frozen=True)
class Split:
    """One split.

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
    """Images of split `split` that stand in split `stands_in`: `exact` pixel by pixel, `near` nearly, none in both."""

    split: str
    stands_in: str
    exact: int
    near: int | None


@dataclass(frozen=True)
class Pair:
    """Two images that are copies.

    Attributes:
        numbers: of the images over all splits, in the order of `Report.splits`.
        names: of the files, or the splits and places.
        splits: of each.
        labels: of each; None for unlabelled data.
        same_pixels: an exact copy.
        distance: in units of contrast (`kgen.data.audit.duplicates`); 0 also for a copy that is only brighter.
    """

    numbers: tuple[int, int]
    names: tuple[str, str]
    splits: tuple[str, str]
    labels: tuple[int, int] | None
    same_pixels: bool
    distance: float


@dataclass(frozen=True)
class Report:
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
        odd: the first 200 images that are odd.
        odd_images: how many there are.
        notes: sentences of the data set, and of the examination.
    """

    name: str
    image_shape: tuple[int, int, int]
    sizes: tuple[tuple[int, int, int], ...]
    class_names: tuple[str, ...]
    splits: tuple[Split, ...]
    leaks: tuple[Leak, ...]
    mislabelled: int
    near_pairs: int | None
    near_pairs_mislabelled: int
    near: float
    complete: bool
    pairs: tuple[Pair, ...]
    broken: tuple[Skipped, ...]
    odd: tuple[Outlier, ...]
    odd_images: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        return dataclasses.asdict(self)

    def lines(self) -> list[str]:
        """The report as text."""

        return lines(self)


def examine(
    dataset: Dataset, *, near: float | None = None, anyway: bool = False, notes: tuple[str, ...] = ()
) -> Report:
    """Looks at every image of a data set; 70,000 of 28x28 took 22 to 29 CPU-seconds, loading included.

    Args:
        dataset: loaded.
        near: images at most so far apart are near copies, in units of contrast (see `audit.duplicates`). None: 0.1
            for gray images and 0.2 for colour; 0: they are not searched.
        anyway: search them also among more than 200,000 images (the time grows with the square).
        notes: sentences to be shown with those of the data set.

    Raises:
        UserError: `near` is not in [0, 1].
    """
    if near is None:
        near = NEAR if dataset.spec.image_shape[2] == 1 else NEAR_COLOUR
    if not 0 <= near <= 1:
        raise UserError(f"near must lie in [0, 1]: 0.1 finds saved copies, 1 is a correlation of 0.5. Received: {near}")
    pool = IndexedImages(dataset)
    notes = (*dataset.notes, *notes)
    if near and len(pool) > MOST_IMAGES and not anyway:
        near = 0.0
        notes += (
            f"near copies were not searched among {len(pool)} images (more than {MOST_IMAGES}); --near_anyway does",
        )
    groups = same_pixels(pool)
    found = near_pairs(pool, groups, near, LISTED) if near else None
    looks = pixel_statistics(pool)
    sizes, odd_sizes = size_statistics(dataset, pool)
    odd = sorted(looks.odd + odd_sizes, key=lambda o: (o.reason, o.name))
    labelled = dataset.spec.num_classes > 0
    exact = _exact_pairs(pool, groups)
    close = [] if found is None else [(*groups.first[p], d) for p, d in zip(found.pairs, found.distances, strict=True)]
    pairs = [_pair(pool, a, b, None, labelled) for a, b in exact] + [
        _pair(pool, a, b, d, labelled) for a, b, d in close
    ]
    return Report(
        name=dataset.spec.name,
        image_shape=dataset.spec.image_shape,
        sizes=sizes,
        class_names=dataset.spec.class_names or tuple(map(str, range(dataset.spec.num_classes))),
        splits=tuple(
            _split(dataset, pool, place, groups, found, looks.histograms) for place in range(len(pool.splits))
        ),
        leaks=_leaks(pool, groups, found),
        mislabelled=_mislabelled(pool, groups) if labelled else 0,
        near_pairs=None if found is None else found.count,
        near_pairs_mislabelled=sum(1 for p in pairs if not p.same_pixels and p.labels and p.labels[0] != p.labels[1]),
        near=near,
        complete=found is None or found.complete,
        pairs=tuple(sorted(pairs, key=_importance)[:LISTED]),
        broken=dataset.skipped,
        odd=tuple(odd[:LISTED]),
        odd_images=len(odd),
        notes=notes,
    )


def _split(
    dataset: Dataset, pool: IndexedImages, place: int, groups: Groups, found: NearPairs | None, histograms
) -> Split:
    name, labels = pool.splits[place], pool.labels[pool.split_of == place]
    counts = histograms[place]  # [C, 256]
    values = kgen_images.to_unit(np.arange(counts.shape[1], dtype=np.uint8)).astype(np.float64)
    share = counts / counts.sum(1, keepdims=True)
    mean = share @ values
    stddev = np.sqrt(share @ values**2 - mean**2)
    seen = [np.flatnonzero(c) for c in counts]
    return Split(
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


def _leaks(pool: IndexedImages, groups: Groups, found: NearPairs | None) -> tuple[Leak, ...]:
    leaks = []
    for place, split in reversed(list(enumerate(pool.splits))):
        for other, stands_in in enumerate(pool.splits[:place]):
            exact = groups.shared(place, other)
            near = None if found is None else found.images(groups, place, other)
            if exact or near:
                leaks.append(Leak(split, stands_in, exact, near))
    return tuple(leaks)


def _mislabelled(pool: IndexedImages, groups: Groups) -> int:
    low = np.full(len(groups.first), np.iinfo(np.int32).max)
    high = np.full(len(groups.first), -1)
    np.minimum.at(low, groups.group, pool.labels)
    np.maximum.at(high, groups.group, pool.labels)
    return int((low != high)[groups.group].sum())


def _exact_pairs(pool: IndexedImages, groups: Groups) -> list[tuple[int, int]]:
    """The first image of a group and every other one of it, those of other labels and splits first; at most LISTED."""
    others = np.setdiff1d(np.arange(len(pool)), groups.first)
    first = groups.first[groups.group[others]]
    same_label = pool.labels[first] == pool.labels[others]
    same_split = pool.split_of[first] == pool.split_of[others]
    order = np.lexsort((others, same_split, same_label))[:LISTED]
    return [(int(first[i]), int(others[i])) for i in order]


def _pair(pool: IndexedImages, first: int, second: int, distance: float | None, labelled: bool) -> Pair:
    """`distance` None: they have the same pixels."""
    numbers = (int(first), int(second))
    return Pair(
        numbers,
        tuple(map(pool.name, numbers)),
        tuple(map(pool.split, numbers)),
        tuple(int(pool.labels[n]) for n in numbers) if labelled else None,
        distance is None,
        float(distance or 0),
    )


def _importance(pair: Pair) -> tuple:
    same_label = pair.labels is None or pair.labels[0] == pair.labels[1]
    return same_label, pair.splits[0] == pair.splits[1], not pair.same_pixels, pair.distance, pair.numbers


# Doctor text ----------------------------------------------------------------------------------------------------------
# The doctor's report as text: tables of splits and classes, then findings, one sentence each.


SHOWN = 10  # files, pairs and sizes that are named
CLASSES = 40  # rows of the table of classes
IMBALANCED = 2.0  # largest class by smallest class


def lines(report: Report) -> list[str]:
    """The report, line by line; `report.json` holds what is cut short here."""
    height, width, channels = report.image_shape
    total = sum(split.images for split in report.splits)
    colour = "gray" if channels == 1 else "colour"
    text = [f"{report.name}: {total} images; training sees {height}x{width}x{channels} (height x width, {colour})"]
    text += [f"  stored as {_sizes(report)}", "", *_splits(report), ""]
    if report.class_names:
        text += [*_classes(report), ""]
    text += [f"note: {note}" for note in report.notes]
    found = findings(report)
    text += ["", "findings:", *(f"  - {finding}" for finding in found)] if found else ["", "findings: none"]
    return text


def findings(report: Report) -> list[str]:
    """What a user should know before training, the gravest first."""
    least = "" if report.complete else "at least "
    found = []
    for leak in report.leaks:
        near = "" if not leak.near else f"{least}{leak.near} nearly"
        exact = f"{leak.exact} pixel by pixel" if leak.exact else ""
        found.append(
            f"{leak.split} images that stand in {leak.stands_in}: {' and '.join(filter(None, [exact, near]))}; "
            f"figures on {leak.split} reward a model that remembers them"
        )
    if report.mislabelled:
        found.append(f"{report.mislabelled} images have the same pixels as another with a different label")
    if report.near_pairs_mislabelled:
        found.append(f"{report.near_pairs_mislabelled} of the near pairs listed have different labels")
    found += [
        f"{s.copies} of the {s.images} {s.name} images are exact copies of others" for s in report.splits if s.copies
    ]
    found += [
        f"{least}{s.near} of the {s.images} {s.name} images are near copies of others in {s.name}"
        for s in report.splits
        if s.near
    ]
    if not report.complete:
        found.append("so many images are alike that the search for near copies was ended: their counts are the least")
    if report.broken:
        found.append(
            f"{len(report.broken)} files cannot be used: {_named([f'{b.name} ({b.reason})' for b in report.broken])}"
        )
    reasons: dict[str, list[str]] = {}
    for odd in report.odd:
        reasons.setdefault(odd.reason.split(":")[0], []).append(odd.name)
    for reason, names in reasons.items():
        many = f"{len(names)}{'' if report.odd_images == len(report.odd) else ' or more'}"
        found.append(f"{many} images are odd, {reason}: {_named(names)}")
    found += _balance(report)
    return found + _pairs(report)


def _sizes(report: Report) -> str:
    if not report.sizes:
        return "sizes that are not recorded"
    named = [f"{height}x{width} ({count})" for height, width, count in report.sizes]
    return _named(named, 5) if len(named) > 1 else named[0].split(" ")[0]


def _splits(report: Report) -> list[str]:
    rows = [("split", "images", "content hash", "min", "max", "mean", "stddev", "")]
    for split in report.splits:
        values = [_numbers(v) for v in (split.low, split.high, split.mean, split.stddev)]
        kind = "black and white" if split.black_and_white else ""
        rows.append((split.name, str(split.images), split.fingerprint, *values, kind))
    return _table(rows, left=(0, 2, 7))


def _classes(report: Report) -> list[str]:
    rows = [("class", *(split.name for split in report.splits))]
    for i, name in list(enumerate(report.class_names))[:CLASSES]:
        rows.append((name, *(str(split.classes[i]) for split in report.splits)))
    more = len(report.class_names) - CLASSES
    return _table(rows, left=(0,)) + ([f"and {more} classes more"] if more > 0 else [])


def _balance(report: Report) -> list[str]:
    found = []
    for split in report.splits:
        if not split.classes:
            continue
        empty = [name for name, count in zip(report.class_names, split.classes, strict=True) if not count]
        if empty:
            found.append(f"{split.name} has no image of {len(empty)} classes: {_named(empty)}")
        low, high = min(split.classes), max(split.classes)
        if split.name == "train" and low and high / low >= IMBALANCED:
            names = [report.class_names[split.classes.index(n)] for n in (high, low)]
            found.append(
                f"classes are not balanced: {names[0]!r} has {high / low:.1f} times the training images of {names[1]!r}"
            )
    return found


def _pairs(report: Report) -> list[str]:
    if not report.pairs:
        return []
    named = []
    for pair in report.pairs[:SHOWN]:
        labels = "" if pair.labels is None else f" [{', '.join(report.class_names[n] for n in pair.labels)}]"
        places = " = " if pair.same_pixels else f" ~ ({pair.distance:.3f}) "
        named.append(
            places.join(f"{split}: {name}" for split, name in zip(pair.splits, pair.names, strict=True)) + labels
        )
    more = "" if len(report.pairs) <= SHOWN else f"\n    ... of {len(report.pairs)} listed in report.json"
    head = "copies, = the same pixels, ~ near (distance in units of contrast):"
    return ["\n    ".join([head, *named]) + more]


def _named(names: Sequence[str], shown: int = SHOWN) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{v:.3f}" for v in values)


def _table(rows: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [
        [c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        for row in rows
    ]
    return ["  ".join(row).rstrip() for row in cells]
