"""What the paths of a folder or an archive mean: which folders are splits, and which are classes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from kgen.data.sources.base import Skipped

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}


@dataclass(frozen=True)
class Layout:
    """What the paths of a folder or a zip mean.

    Attributes:
        paths: split -> the paths of its pictures.
        labels: split -> their labels, all 0 when there are no classes.
        class_names: one per class, sorted; empty when there are no classes.
        skipped: pictures that belong to no split or no class.
    """

    paths: dict[str, list[str]]
    labels: dict[str, list[int]]
    class_names: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def read_layout(paths: Sequence[str]) -> Layout:
    """The splits, classes and labels that the paths of a data set mean.

    Sub-folders named train, test, val ... are splits; sub-folders in these, or else of the data set, are classes; a top
    folder that all paths share means nothing. Within a split, the order is that of a hash of the path: the same
    everywhere, and the first images show every class.

    Args:
        paths: of the pictures, with forward slashes, relative to the data set.
    """
    parts_of = _strip_common_top({path: PurePosixPath(path).parts for path in paths})
    skipped: list[Skipped] = []
    tops = {parts[0].lower() for parts in parts_of.values() if len(parts) > 1}
    in_splits = any(SPLIT_NAMES.get(top) == "train" for top in tops) or (tops and tops <= set(SPLIT_NAMES))
    by_split: dict[str, dict[str, tuple]] = {}
    for path, parts in parts_of.items():
        split = SPLIT_NAMES.get(parts[0].lower()) if in_splits and len(parts) > 1 else None if in_splits else "train"
        if split is None:
            skipped.append(Skipped(path, "beside the folders of the splits"))
        else:
            by_split.setdefault(split, {})[path] = parts[1:] if in_splits else parts
    classes = sorted({parts[0] for group in by_split.values() for parts in group.values() if len(parts) > 1})
    labelled = len(classes) > 1
    result, labels = {}, {}
    for split, group in by_split.items():
        kept = []
        for path, parts in group.items():
            if labelled and len(parts) == 1:
                skipped.append(Skipped(path, "has no label: it lies beside the class folders"))
            else:
                kept.append((_path_hash(path), path, classes.index(parts[0]) if labelled else 0))
        kept.sort()
        result[split] = [path for _, path, _ in kept]
        labels[split] = [label for _, _, label in kept]
    return Layout(result, labels, tuple(classes) if labelled else (), tuple(skipped))


def _strip_common_top(parts_of: dict[str, tuple]) -> dict[str, tuple]:
    while True:
        tops = {parts[0] for parts in parts_of.values()}
        alone = len(tops) == 1 and all(len(parts) > 1 for parts in parts_of.values())
        if not alone or next(iter(tops)).lower() in SPLIT_NAMES:
            return parts_of
        parts_of = {path: parts[1:] for path, parts in parts_of.items()}


def _path_hash(path: str) -> bytes:
    return hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest()
