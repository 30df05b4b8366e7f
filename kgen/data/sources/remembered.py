"""What was found by looking at every image of a large set: remembered, as long as no file of it changes.

Headers of millions of images are read, and the images decoded, once, not each time that the set is opened.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kgen.cache import cached_arrays, digest
from kgen.data.sources.base import Skipped, Source

LARGE = 10_000
"""Images from which on it is worth the file; of those at an address one is enough."""
VERSION = 1
FACTS = ("size", "channels", "value_range")
"""Attributes that a scan sets, beside those that a source names itself."""


def remembered_scan(
    source: Source,
    settings: Sequence[Any],
    chosen: Mapping[str, np.ndarray],
    scan: Callable[[], dict[str, np.ndarray]],
    *,
    facts: Sequence[str] = (),
    sizes: Counter,
) -> dict[str, np.ndarray]:
    """What `Source.scan` returns; what `scan` sets is set when it is not called, too.

    Args:
        source: its `identity` changes when an image does.
        settings: JSON values: what the outcome depends on besides.
        chosen: see `Source.scan`.
        scan: does the work.
        facts: names of further attributes that it sets, JSON values or tuples.
        sizes: (height, width) -> how many images, which it counts.
    """
    if sum(map(len, chosen.values())) < LARGE and not source.is_remote:
        return scan()
    readable, before = None, (len(source.notes), len(source.findings), len(source.skipped))

    def make() -> dict[str, np.ndarray]:
        nonlocal readable
        readable = scan()
        notes, findings, skipped = before
        said = {"notes": source.notes[notes:], "findings": source.findings[findings:]}
        said |= {name: getattr(source, name) for name in (*FACTS, *facts)}
        said["sizes"] = [[*size, count] for size, count in sizes.items()]
        lost = {f"lost {split}": _lost(indices, readable[split]) for split, indices in chosen.items()}
        return {"said": np.array(json.dumps(said)), "skipped": _as_array(source.skipped[skipped:]), **lost}

    found = cached_arrays("shards", _key(source, "scan", settings, chosen), make)
    if readable is not None:
        return readable
    said = json.loads(str(found["said"]))
    source.notes += said["notes"]
    source.findings += said["findings"]
    for name in (*FACTS, *facts):
        setattr(source, name, tuple(said[name]) if isinstance(said[name], list) else said[name])
    sizes.update({(height, width): count for height, width, count in said["sizes"]})
    _add_skipped(source, found["skipped"])
    return {split: _without(indices, found[f"lost {split}"]) for split, indices in chosen.items()}


def remembered_check(
    source: Source, settings: Sequence[Any], split: str, indices: np.ndarray, check: Callable[[], np.ndarray]
) -> np.ndarray:
    """What `Source.check` returns; what `check` adds to `source.skipped` is added when it is not called, too.

    Args:
        source, settings: see `remembered_scan`.
        split, indices: that are checked.
        check: does the work.
    """
    if len(indices) < LARGE and not source.is_remote:
        return check()
    left, before = None, len(source.skipped)

    def make() -> dict[str, np.ndarray]:
        nonlocal left
        left = check()
        return {"lost": _lost(indices, left), "skipped": _as_array(source.skipped[before:])}

    found = cached_arrays("shards", _key(source, "check", settings, {split: indices}), make)
    if left is not None:
        return left
    _add_skipped(source, found["skipped"])
    return _without(indices, found["lost"])


def _key(source: Source, what: str, settings: Sequence[Any], chosen: Mapping[str, np.ndarray]) -> dict:
    images = digest(list(source.identity), *(part for split in sorted(chosen) for part in (split, chosen[split])))
    return {"version": VERSION, "what": what, "images": images, "settings": list(settings)}


def _lost(indices: np.ndarray, left: np.ndarray) -> np.ndarray:
    """The places of `indices` that are not in `left`."""
    return np.flatnonzero(~np.isin(indices, left)) if len(left) < len(indices) else np.zeros(0, np.int64)


def _without(indices: np.ndarray, lost: np.ndarray) -> np.ndarray:
    return np.delete(indices, lost) if len(lost) else indices


def _as_array(skipped: Iterable[Skipped]) -> np.ndarray:
    """[n, 2] texts: name and reason."""
    return np.array([[one.name, one.reason] for one in skipped], "U").reshape(-1, 2)


def _add_skipped(source: Source, pairs: np.ndarray) -> None:
    known = {one.name for one in source.skipped}
    source.skipped += [Skipped(name, reason) for name, reason in pairs.tolist() if name not in known]
