"""The doctor's report as text: tables of splits and classes, then findings, one sentence each."""

from collections.abc import Sequence

from kgen.data.doctor import Report

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
