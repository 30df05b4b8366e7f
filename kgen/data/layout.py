"""What the paths inside a folder or a zip mean: splits, classes, and what is left out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from kgen.data.picture import SUFFIXES
from kgen.data.source import Skipped

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
    """Split -> paths; split -> labels beside them (all 0 without classes); the class names; what is left out."""

    paths: dict[str, list[str]]
    labels: dict[str, list[int]]
    class_names: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def is_picture(path: str) -> bool:
    """By its suffix; hidden files and macOS' `__MACOSX` are none."""
    parts = PurePosixPath(path).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and path.lower().endswith(SUFFIXES)


def read_layout(paths: Sequence[str]) -> Layout:
    """Splits are sub-folders named train, test, val ...; classes are sub-folders; one common top folder is nothing.

    Within a split, the order is that of a hash of the path, the same everywhere, so that the first images show every
    class.

    Args:
        paths: of the pictures, with forward slashes, relative to the data set.
    """
    split_of = {path: PurePosixPath(path).parts for path in paths}
    skipped: list[Skipped] = []
    split_of = _without_common_top(split_of)
    tops = {parts[0].lower() for parts in split_of.values() if len(parts) > 1}
    in_splits = any(SPLIT_NAMES.get(top) == "train" for top in tops) or (tops and tops <= set(SPLIT_NAMES))
    by_split: dict[str, dict[str, tuple]] = {}
    for path, parts in split_of.items():
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
                kept.append((_mixed(path), path, classes.index(parts[0]) if labelled else 0))
        kept.sort()
        result[split] = [path for _, path, _ in kept]
        labels[split] = [label for _, _, label in kept]
    return Layout(result, labels, tuple(classes) if labelled else (), tuple(skipped))


def _without_common_top(split_of: dict[str, tuple]) -> dict[str, tuple]:
    while True:
        tops = {parts[0] for parts in split_of.values()}
        alone = len(tops) == 1 and all(len(parts) > 1 for parts in split_of.values())
        if not alone or next(iter(tops)).lower() in SPLIT_NAMES:
            return split_of
        split_of = {path: parts[1:] for path, parts in split_of.items()}


def _mixed(path: str) -> bytes:
    return hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest()
