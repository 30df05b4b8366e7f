"""Odd data sets as people bring them, and what must be read from each: every report of a user adds one.

An odd set is a function that writes files into a folder and returns what must come of them: the images and labels that
are read (`Read`), or the words of the refusal (`Refused`). tests/data/test_odd_sets.py opens them all;
`python tests/data/odd_sets.py [NAME ...]` prints a table of what comes of each.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Read:
    """A set that must be read.

    Attributes:
        dataset: the path.
        splits: split -> (images [N, H, W, C] uint8, the class name of each or None), in any order.
        settings: of DataConfig.
        noted: words that the notes must hold.
        findings: words that the findings must hold; without any there must be no finding.
    """

    dataset: Path
    splits: Mapping[str, tuple[np.ndarray, Sequence[str] | None]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    noted: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A set that must be refused with one message that holds these words."""

    dataset: Path
    words: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


SETS: dict[str, Callable[[Path], Read | Refused]] = {}
"""Name -> a function that writes the files of an odd set into an empty folder."""


def odd(make):
    """Enters an odd set under the name of its function."""
    SETS[make.__name__] = make
    return make


def pictures(count: int, height: int = 8, width: int = 6, channels: int = 1, seed: int = 0) -> np.ndarray:
    """[N, H, W, C] uint8, all different; every picture reaches from 0 to 255, and its halves differ in brightness."""
    values = np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8)
    values[:, : height // 2] //= 4
    values[:, 0, 0], values[:, -1, -1] = 0, 255
    return values


def save(path: Path, image: np.ndarray, **options) -> Path:
    """Writes [H, W, C] as a picture of the format that the suffix names."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path, **options)
    return path


# Value range ----------------------------------------------------------------------------------------------------------


@odd
def float_images_with_an_overshoot(folder: Path) -> Read:
    images = pictures(20)
    values = images.astype(np.float32) / 255
    values[3, 4, 4] = 1.0000001
    images[3, 4, 4] = 255
    np.savez(folder / "x.npz", images=values)
    return Read(folder / "x.npz", {"train": (images, None)}, noted=("1",))


# Orientation and axes -------------------------------------------------------------------------------------------------

# Class order and names ------------------------------------------------------------------------------------------------

# Layouts --------------------------------------------------------------------------------------------------------------

# Labels beside the images ---------------------------------------------------------------------------------------------

# Files that vanish ----------------------------------------------------------------------------------------------------

# Archives -------------------------------------------------------------------------------------------------------------


# What comes of each ---------------------------------------------------------------------------------------------------


def outcome(wanted: Read | Refused) -> str:
    """What `kgen.data.load` makes of an odd set, in words: "right", "refused: ...", or what is wrong."""
    from kgen.config import DataConfig
    from kgen.data import load
    from kgen.errors import UserError

    try:
        dataset = load(DataConfig(str(wanted.dataset), validation_fraction=0, **wanted.settings))
    except UserError as error:
        missing = [word for word in getattr(wanted, "words", ()) if word not in str(error)]
        return f"refused: {error}" if isinstance(wanted, Refused) and not missing else f"WRONG words: {error}"
    if isinstance(wanted, Refused):
        return f"WRONG: read as {dataset.spec}"
    if set(dataset.splits) != set(wanted.splits):
        return f"WRONG splits: {dataset.splits}"
    names = dataset.spec.class_names
    for split, (images, labels) in wanted.splits.items():
        found, numbers = dataset.arrays(split)
        if found.shape != images.shape:
            return f"WRONG shape of {split}: {found.shape}"
        of = [None] * len(numbers) if not names else [names[number] for number in numbers]
        if sorted(x.tobytes() for x in found) != sorted(x.tobytes() for x in images):
            return f"WRONG pixels of {split}: {found.min()} to {found.max()}, mean {found.mean():.1f}"
        right = sorted((x.tobytes(), str(y)) for x, y in zip(images, labels or [None] * len(images), strict=True))
        if sorted((x.tobytes(), str(y)) for x, y in zip(found, of, strict=True)) != right:
            return f"WRONG labels of {split}: classes {names}"
    said = " ".join(dataset.notes)
    findings = getattr(dataset, "findings", ())
    if missing := [word for word in wanted.noted if word not in said]:
        return f"WRONG notes, without {missing}: {said}"
    if missing := [word for word in wanted.findings if word not in " ".join(findings)]:
        return f"WRONG findings, without {missing}: {findings}"
    return "right" if wanted.findings or not findings else f"WRONG findings: {findings}"


def main():
    for name in sys.argv[1:] or SETS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(f"{name}: {outcome(SETS[name](Path(folder)))}", flush=True)
            except Exception as error:
                print(f"{name}: TRACEBACK {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main()
