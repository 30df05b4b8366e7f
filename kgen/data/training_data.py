"""The images of a training: where they are now, and whether they are those that it was trained on.

`config.json` of a run and the manifest of an export hold the data settings as they were given, the places of the files
at that time, and what identifies the images: their numbers, the content hash of each split, and a digest of the names.
A path is looked for where it was, then from the current folder, then where it lay from the run.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kgen import data
from kgen.config import DataConfig
from kgen.data.sources import resolve
from kgen.data.splits import SPLITS
from kgen.errors import UserError

FILES = {"dataset": "the data set", "labels": "the labels"}
"""Settings of DataConfig that may name files, and what these are."""

Places = Mapping[str, Mapping[str, str]]
"""Setting that names files -> {"given": its value, "absolute": its path, "from_run": its path from the run}."""


@dataclass(frozen=True)
class Content:
    """What identifies the images of a training.

    Attributes:
        examples: split -> number of images.
        hashes: split -> content hash; {} of images that are not kept decoded, which would take long.
        names: split -> digest of the names of the images; {} where they are not known.
    """

    examples: Mapping[str, int] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: data.Dataset, splits: Collection[str] = SPLITS) -> Content:
        """Of a data set that is loaded, or of some of its splits."""
        splits = [split for split in dataset.splits if split in splits]
        hashes = {split: dataset.fingerprint(split) for split in splits} if dataset.kept else {}
        examples = {split: dataset.spec.examples[split] for split in splits}
        return cls(examples, hashes, {split: _names(dataset, split) for split in splits})

    def of_splits(self, splits: Collection[str]) -> Content:
        """That of some splits alone."""
        every = (self.examples, self.hashes, self.names)
        return Content(*({split: one[split] for split in one if split in splits} for one in every))

    def difference(self, now: Content) -> str:
        """How the images have changed, in words; "" where they are the same, as far as both say."""
        for split in {**self.examples, **now.examples}:
            if (was := self.examples.get(split, 0)) != (count := now.examples.get(split, 0)):
                return f"{count} {split} images can be read, and {was} were trained on"
        was, found = (self.hashes, now.hashes) if self.hashes and now.hashes else (self.names, now.names)
        for split in was if found else ():
            if was[split] != found.get(split):
                what = "content hash" if was is self.hashes else "digest of the names"
                return f"split {split!r} has the {what} {found.get(split)}, and that of the training is {was[split]}"
        return ""

    def compared(self, now: Content) -> str:
        """What `difference` goes by, in words."""
        if self.hashes and now.hashes:
            return "content hashes"
        return "numbers and names of the images (their content is not hashed)" if self.names else "numbers of images"


def _names(dataset: data.Dataset, split: str) -> str:
    stored, kept, rows = dataset.stored(split)
    return dataset.source.names_digest(stored, np.asarray(kept.indices)[rows])


def places_of(config: DataConfig, folder: Path | None = None) -> dict[str, dict[str, str]]:
    """The places of the files that the settings name, as they are now.

    Args:
        config: settings of the data.
        folder: the run; None where there is none.
    """
    found = {}
    for setting in FILES:
        path = _path(setting, getattr(config, setting))
        if path is not None and path.exists():
            found[setting] = {"given": getattr(config, setting), "absolute": str(path.absolute())}
            if folder is not None:
                found[setting]["from_run"] = os.path.relpath(path.resolve(), folder.resolve())
    return found


def _is_no_path(value: str) -> bool:
    return resolve.is_name(value) or resolve.is_address(value) or resolve.is_pattern(value)


def _path(setting: str, value: str | None) -> Path | None:
    """The path that a setting may be; None of what can be none."""
    value = (value or "").strip()
    if not value or (setting == "dataset" and _is_no_path(value)):
        return None
    return Path(value).expanduser()


@dataclass(frozen=True)
class TrainingData:
    """The images that a generator was trained on.

    Attributes:
        owner: the run or the export, for messages.
        config: how they are read, as it was given.
        seed: of the validation split.
        content: what identifies them.
        places: where the files were; None of a run that did not record them.
        folder: the run; None for an export.
    """

    owner: str
    config: DataConfig
    seed: int = 0
    content: Content = field(default_factory=Content)
    places: Places | None = None
    folder: Path | None = None

    @property
    def located(self) -> DataConfig:
        """The settings with the paths where the files are now; with those where they were, if they are nowhere."""
        return dataclasses.replace(self.config, **{
            setting: value for setting in FILES if (value := self._located(setting)) is not None
        })  # fmt: skip

    def _located(self, setting: str) -> str | None:
        given, place = getattr(self.config, setting), self._place(setting)
        if place is None:
            return given
        absolute, here = Path(place["absolute"]), Path(given).expanduser()
        candidates = [absolute, here]
        if self.folder is not None and "from_run" in place:
            candidates.append(self.folder.resolve() / place["from_run"])
        found = next((path for path in candidates if path.exists()), absolute)
        return given if here.absolute() == found else os.path.normpath(found)

    def _place(self, setting: str) -> Mapping[str, str] | None:
        """Where the files of a setting were; None where that is not known, or the setting was changed since."""
        place = (self.places or {}).get(setting)
        return place if place and place.get("given") == getattr(self.config, setting) else None

    @property
    def missing(self) -> str:
        """Why the images cannot be loaded, in a sentence; "" where their files are there."""
        located = self.located
        for setting, what in FILES.items():
            value = getattr(located, setting)
            path = _path(setting, value)
            if path is None or path.exists():
                continue
            if self._place(setting) or (self.places is None and setting == "dataset" and not resolve.is_known(value)):
                where = f"of {self.owner}, {os.path.normpath(path.absolute())},"
                if setting == "labels":
                    return f"{what} {where} are not there any more; if they were moved: --labels NEWPATH"
                return f"{what} {where} is not there any more; if it was moved: --dataset NEWPATH"
        return ""

    def load(self) -> data.Dataset:
        """The data set, from where it is now.

        Raises:
            UserError: it is not there any more, cannot be read, or holds other images.
        """
        if self.missing:
            raise UserError(self.missing)
        dataset = data.load(self.located, seed=self.seed)
        if changed := self.content.difference(Content.of(dataset)):
            raise UserError(
                f"{self.located.dataset!r} does not hold the images of {self.owner}: {changed}; bring them back, or "
                "name the place where they are with --dataset"
            )
        return dataset

    def moved(self, dataset: str) -> DataConfig:
        """The settings with the data set in another place; labels are taken from where they are found."""
        return dataclasses.replace(self.located, dataset=dataset)

    def difference_at(self, dataset: str) -> str:
        """How a data set that the user names differs from the images of the training; "" where it holds them.

        It is loaded where the number of its files does not decide.
        """
        config, trained = self.moved(dataset), sum(self.content.examples.values())
        try:
            stored = sum(resolve.open_source(config).counts.values())
            if not config.limit and not trained <= stored <= 2 * trained:  # unreadable images are left out
                return f"{stored} images, and {trained} were trained on"
            return self.content.difference(Content.of(data.load(config, seed=self.seed)))
        except UserError as error:  # whoever loads it as another data set raises it, if it is one of that set
            return str(error)
