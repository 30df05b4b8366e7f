"""The data doctor: what training would see, and what is wrong with it. `examine` a Dataset, print `report.lines()`.

It only looks: nothing is changed or left out that training would not leave out too.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgen import images as kgen_images
from kgen.data.dataset import Dataset
from kgen.data.duplicates import NEAR, NEAR_COLOUR, Groups, NearPairs, near_pairs, same_pixels
from kgen.data.oddities import Odd, look_at
from kgen.data.pool import Pool
from kgen.data.sizes import look_at_sizes
from kgen.data.source import Skipped
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
        low, high, mean, stddev: of the pixel values, a number a channel, in [0, 1].
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
        distance: in units of contrast (`kgen.data.duplicates`); 0 also for a copy that is only brighter.
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
        class_names: one a class; numbers where they have no names.
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
    odd: tuple[Odd, ...]
    odd_images: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        return dataclasses.asdict(self)

    def lines(self) -> list[str]:
        """The report as text."""
        from kgen.data.doctor_text import lines

        return lines(self)


def examine(
    dataset: Dataset, *, near: float | None = None, anyway: bool = False, notes: tuple[str, ...] = ()
) -> Report:
    """Looks at every image of a data set; 70,000 of 28x28 took 22 to 29 CPU-seconds, loading included.

    Args:
        dataset: loaded.
        near: images at most so far apart are near copies, in units of contrast (`kgen.data.duplicates`). None: 0.1
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
    pool = Pool(dataset)
    notes = (*dataset.notes, *notes)
    if near and len(pool) > MOST_IMAGES and not anyway:
        near = 0.0
        notes += (
            f"near copies were not searched among {len(pool)} images (more than {MOST_IMAGES}); --near_anyway does",
        )
    groups = same_pixels(pool)
    found = near_pairs(pool, groups, near, LISTED) if near else None
    looks = look_at(pool)
    sizes, odd_sizes = look_at_sizes(dataset, pool)
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


def _split(dataset: Dataset, pool: Pool, place: int, groups: Groups, found: NearPairs | None, histograms) -> Split:
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


def _leaks(pool: Pool, groups: Groups, found: NearPairs | None) -> tuple[Leak, ...]:
    leaks = []
    for place, split in reversed(list(enumerate(pool.splits))):
        for other, stands_in in enumerate(pool.splits[:place]):
            exact = groups.shared(place, other)
            near = None if found is None else found.images(groups, place, other)
            if exact or near:
                leaks.append(Leak(split, stands_in, exact, near))
    return tuple(leaks)


def _mislabelled(pool: Pool, groups: Groups) -> int:
    low = np.full(len(groups.first), np.iinfo(np.int32).max)
    high = np.full(len(groups.first), -1)
    np.minimum.at(low, groups.group, pool.labels)
    np.maximum.at(high, groups.group, pool.labels)
    return int((low != high)[groups.group].sum())


def _exact_pairs(pool: Pool, groups: Groups) -> list[tuple[int, int]]:
    """The first image of a group and every other one of it, those of other labels and splits first; at most LISTED."""
    others = np.setdiff1d(np.arange(len(pool)), groups.first)
    first = groups.first[groups.group[others]]
    same_label = pool.labels[first] == pool.labels[others]
    same_split = pool.split_of[first] == pool.split_of[others]
    order = np.lexsort((others, same_split, same_label))[:LISTED]
    return [(int(first[i]), int(others[i])) for i in order]


def _pair(pool: Pool, first: int, second: int, distance: float | None, labelled: bool) -> Pair:
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
