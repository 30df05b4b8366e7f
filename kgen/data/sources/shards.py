"""A set of pictures in many files, the shards: WebDataset tars (`shard_tar`) or Parquet files (`shard_parquet`).

A shard lists its pictures with their labels. Here is what a number of them means together: which are of one split, by
their names; whether one of them is missing, by their numbers; and which classes the labels are.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from kgen import random
from kgen.cache import cached_json, digest
from kgen.config import DataConfig
from kgen.data.sources.base import file_identity, order_class_names, size_of, slug
from kgen.data.sources.files import listed
from kgen.data.sources.label_files import NAME_FILES, NONE, name_table
from kgen.data.sources.layout import class_name, shorten, split_of
from kgen.data.sources.parts import KeptParts
from kgen.data.sources.picture import read_header, read_pixels
from kgen.data.sources.pictures import PictureSource
from kgen.data.sources.remote_path import RemoteFolder, RemotePath, each_whole
from kgen.errors import UserError
from kgen.spec import WHOLE_NUMBER
from kgen.tables import counted

SUFFIXES = (".tar", ".parquet")
"""Of the files of a folder that are shards where it holds no pictures."""
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
PATTERN = "'photos/train-{000..009}.tar'"
MAX_SHARDS = 1_000_000
NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)-of-(?P<total>\d+)(?P<tail>(-[0-9a-f]+)?)")
"""Name of a shard that says how many there are, without its suffix: train-00003-of-00010, also with a checksum."""
COUNTED = re.compile(r"(?P<prefix>.*\D|)(?P<number>0\d\d+|\d\d\d+)(?P<tail>\D*)")
"""Name of a shard with a number of three or more digits in it."""
UNLABELLED = (b"", b"-1")
HASH_BYTES = 16
SUMS = "SHA256SUMS"
"""The file of checksums that `sha256sum` writes and checks; where there is one, it names the files of a set."""
SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class Shard(Protocol):
    """One shard.

    Attributes:
        path: of the file.
        labels: [N] bytes: the text of each picture's label, b"" where it has none; None where no picture has one.
        class_names: one per label from 0 on, as the shard names them; empty where it does not.
        keys_digest: changes when there are others, or other names of them.
        notes: sentences about which of its fields are read.
        findings: sentences about what is left unread.
    """

    path: Path | RemotePath
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    keys_digest: str
    notes: Sequence[str]
    findings: Sequence[str]

    def __len__(self) -> int:
        """Pictures in it."""

    def key(self, row: int) -> str:
        """The name of a picture within the shard."""

    def read(self, row: int) -> bytes:
        """A picture file; many threads call it at once."""


class ShardSource(PictureSource):
    """The pictures of shards, in the order in which they lie there; `open_shards` makes one.

    Args:
        name: of the set.
        where: the folder or the pattern, for messages.
        shards: split -> its shards.
        labels: split -> [N] int32, -1 for images without a label; zeros where there are no classes.
        class_names: one per class.
        config: its `value_range`.
    """

    def __init__(self, name: str, where: str, shards: Mapping[str, list[Shard]], labels, class_names, config):
        paths = [shard.path for of_split in shards.values() for shard in of_split]
        self._labels_digest = digest(list(class_names), *(x for s in sorted(labels) for x in (s, labels[s])))
        identity = (*(file_identity(path) for path in paths), self._labels_digest)
        super().__init__(name, where, labels, class_names, identity, config.value_range)
        self._shards = shards
        self._ends = {split: np.cumsum([len(shard) for shard in of_split]) for split, of_split in shards.items()}
        self._part_ends: dict[str, np.ndarray] = {}
        self._kept: KeptParts | None = None
        self.is_remote = isinstance(paths[0], RemotePath)

    def order(self, split: str) -> np.ndarray:
        """As stored, without images that have no label; images sorted by class are shuffled where any can be read."""
        labels, order = self._labels[split], super().order(split)
        if not self._part_ends and labels.size and labels[0] != labels[-1] and np.all(np.diff(labels) >= 0):
            order = random.generator(0, "mix", split).permutation(len(labels))
        return order if labels.min(initial=0) >= 0 else order[labels[order] >= 0]

    def parts(self, split: str, indices: np.ndarray) -> np.ndarray | None:
        """The groups of rows of Parquet files, and runs of tars at an address; tars here are read in any order."""
        if not self._part_ends:
            return None
        return np.searchsorted(self._part_ends[split], indices, side="right")

    def read_by_parts(self, kept: KeptParts) -> None:
        """Makes the parts of the shards those of the set, and keeps those of two windows."""
        shards = {split: [shard for shard in of_split if len(shard)] for split, of_split in self._shards.items()}
        self._part_ends = {
            split: np.concatenate(
                [
                    np.zeros(0, np.int64),
                    *(end - len(shard) + shard.ends for shard, end in zip(of_split, ends, strict=True)),
                ]
            )
            for split, of_split in shards.items()
            for ends in [np.cumsum([len(shard) for shard in of_split])]
        }
        self._kept = kept
        all_shards = [shard for of_split in shards.values() for shard in of_split]
        self.window = kept.make_room(all_shards)
        if self.window == 1 and sum(len(shard.ends) for shard in all_shards) > 1:
            self.notes.append(
                "images are mixed within one group of rows or run at a time, not over several: two of these fill the "
                "memory that is meant for them; write shards with smaller ones"
            )

    def _numbers(self, split: str, indices: Any):
        """At an address the parts of the images are asked for ahead of their use."""
        numbers = super()._numbers(split, indices)
        if not self.is_remote:
            return numbers

        def part_of(index: int) -> tuple[Shard, int]:
            shard, row = self._find(split, index)
            return shard, int(np.searchsorted(shard.ends, row, side="right"))

        return self._kept.asked_ahead(numbers, part_of)

    def headers(self, split: str, indices: np.ndarray) -> list:
        """The header of each image; None where it cannot be read. Those at an address are decoded, too: see `check`."""
        if not self.is_remote:
            return super().headers(split, indices)

        def header_of_whole(file: BinaryIO):
            header = read_header(file)
            file.seek(0)
            read_pixels(file, False)
            return header

        return self._each(split, indices, header_of_whole)

    def check(self, split: str, indices: np.ndarray) -> np.ndarray:
        """See `PictureSource.check`; images at an address were decoded when their headers were read."""
        if not self.is_remote:
            return super().check(split, indices)
        self._checked.add(split)
        return indices

    def name_of(self, split: str, index: int) -> str:
        shard, row = self._find(split, index)
        return f"{shard.path.name}: {shard.key(row)}"

    def names_digest(self, split: str, indices: np.ndarray) -> str:
        return digest([[shard.path.name, shard.keys_digest] for shard in self._shards[split]], indices)

    def content(self) -> Any:
        """The bytes of the shards and the labels; remembered as long as no file changes.

        Of shards at an address what that says of them: url, size, version, checksum.
        """
        if self.is_remote:
            return list(self.identity)

        def make():
            def checksum(shard: Shard) -> str:
                with open(shard.path, "rb") as file:
                    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=HASH_BYTES)).hexdigest()

            with ThreadPoolExecutor() as pool:
                return {split: list(pool.map(checksum, of_split)) for split, of_split in sorted(self._shards.items())}

        return [cached_json("content", {"identity": self.identity}, make), self._labels_digest]

    def _open(self, split: str, index: int) -> BinaryIO:
        shard, row = self._find(split, index)
        return BytesIO(shard.read(row))

    def _find(self, split: str, index: int) -> tuple[Shard, int]:
        """(the shard of a picture, its row there)."""
        number = int(np.searchsorted(self._ends[split], index, side="right"))
        shard = self._shards[split][number]
        return shard, int(index) - int(self._ends[split][number]) + len(shard)


def open_shards(
    paths: Sequence[Path | RemotePath], root: Path | RemoteFolder, name: str, where: str, config: DataConfig
) -> ShardSource:
    """The source of shards that are one set.

    Args:
        paths: of the shards, all of one kind, in their order.
        root: the folder that they lie in, which may hold a file of class names.
        name: of the set.
        where: the folder or the pattern, for messages.
        config: its `labels` and `value_range`.

    Raises:
        UserError: one is damaged or not to be read, or it is not clear which of its fields are meant.
    """
    column, is_remote = _label_column(config), isinstance(root, RemoteFolder)
    is_parquet = paths[0].name.endswith(".parquet")
    kept = KeptParts(ahead=is_remote) if is_parquet or is_remote else None
    shards = _opened(paths, column, kept, name, root)
    by_split, notes = _by_split(shards, root)
    labels, class_names, findings = _numbered(by_split, root)
    for split in [split for split in by_split if split not in labels]:
        del by_split[split]
    source = ShardSource(name, where, by_split, labels, class_names, config)
    if kept is not None:
        source.read_by_parts(kept)
    splits = ", ".join(f"{split} ({counted(len(of_split), 'shard')})" for split, of_split in by_split.items())
    source.notes += [
        f"layout: {counted(len(class_names), 'class') if class_names else 'no classes'}"
        f"{': ' + shorten(class_names) if class_names else ''}; splits: {splits}",
        *notes,
        *dict.fromkeys(note for shard in shards for note in shard.notes),
    ]
    source.findings += [*findings, *_joined(shards)]
    return source


def _opened(
    paths: Sequence[Path | RemotePath], column: str | None, kept: KeptParts | None, name: str, root: Path | RemoteFolder
) -> list[Shard]:
    """The shards; of those at an address several are listed at a time."""
    from tqdm import tqdm

    is_parquet, is_remote = paths[0].name.endswith(".parquet"), isinstance(root, RemoteFolder)
    by_bytes = is_remote and not is_parquet  # tars at an address are read whole
    shown = {"total": sum(map(size_of, paths)), "unit": "B", "unit_scale": True} if by_bytes else {"unit": "shard"}
    with tqdm(**{"total": len(paths), **shown}, desc=f"{name} shards", delay=2, leave=False, disable=None) as bar:

        def open_one(path: Path | RemotePath, count: Callable[[int], object]) -> Shard:
            if is_parquet:
                from kgen.data.sources.shard_parquet import open_parquet

                shard = open_parquet(path, column, kept)
            else:
                from kgen.data.sources.shard_tar import open_tar

                shard = open_tar(path, column, kept, count)
            bar.update(0 if by_bytes else 1)
            return shard

        if is_remote:
            shards = each_whole(open_one, paths, bar.update)
        else:
            shards = [open_one(path, bar.update) for path in paths]
    empty = [shard.path.name for shard in shards if not len(shard)]
    if len(empty) == len(shards):
        hints = "; ".join(_joined(shards))
        raise UserError(f"{root} holds no pictures in its shards ({listed(empty)}){'; ' * bool(hints)}{hints}")
    return shards


def _joined(shards: Sequence[Shard]) -> list[str]:
    """The findings of all shards; equal ones once, with the number of shards."""
    found = defaultdict(list)
    for shard in shards:
        for finding in shard.findings:
            found[finding].append(shard.path.name)
    return [f"{listed(names)}: {finding}" for finding, names in found.items()]


def _label_column(config: DataConfig) -> str | None:
    """The column or the JSON key of the labels that the user names; "" for none, None where it is found by its name."""
    if config.labels is None:
        return None
    if config.labels == NONE:
        return ""
    if not config.labels.startswith(":") or not config.labels[1:]:
        raise UserError(
            f"data.labels={config.labels!r} was given, but the shards of {config.dataset!r} hold labels of their own: "
            f"--labels :COLUMN names one of their columns or JSON keys, --labels {NONE} reads none"
        )
    return config.labels[1:]


# Which files are the shards of a set ----------------------------------------------------------------------------------


def expand(pattern: str) -> list[str] | None:
    """The names that a pattern with braces means, train-{000..009}.tar or {train,val}.tar; None without such braces.

    Raises:
        UserError: these are more than a million.
    """
    choices, texts, place = [], [], 0
    for match in re.finditer(f"{RANGE.pattern}|{CHOICE.pattern}", pattern):
        texts.append(pattern[place : match.start()])
        place = match.end()
        if match[3] is not None:
            choices.append(match[3].split(","))
            continue
        first, last = int(match[1]), int(match[2])
        if last < first:
            raise UserError(f"{pattern!r}: a range of numbers runs upwards. Received: {match[0]}")
        if last - first >= MAX_SHARDS:
            raise UserError(f"{pattern!r} means more than {MAX_SHARDS:,} files; give fewer")
        choices.append([f"{number:0{len(match[1])}d}" for number in range(first, last + 1)])
    if not choices:
        return None
    if np.prod([float(len(choice)) for choice in choices]) > MAX_SHARDS:
        raise UserError(f"{pattern!r} means more than {MAX_SHARDS:,} files; give fewer")
    texts = [[text] for text in texts]
    parts = [part for pair in zip(texts, choices, strict=True) for part in pair]
    return ["".join(chosen) + pattern[place:] for chosen in product(*parts)]


def shards_of_pattern(pattern: str) -> list[Path]:
    """The shards that a pattern with braces names.

    Raises:
        UserError: one of them is not there, or they are not of one kind that is read.
    """
    names = expand(pattern)
    if names is None:
        raise UserError(
            f"{pattern!r} does not exist; a pattern of shards has a range or a choice in its braces: {PATTERN}"
        )
    paths = [Path(name).expanduser() for name in names]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"{counted(len(missing), 'file')} of {len(paths)} of {pattern!r} are not there: {listed(missing)}"
        )
    kinds = {path.suffix for path in paths}
    if len(kinds) != 1 or not kinds <= set(SUFFIXES):
        raise UserError(f"{pattern!r} must name files of one kind, {' or '.join(SUFFIXES)}. Received: {sorted(kinds)}")
    return paths


def shards_among(names: Sequence[str], root: Path | RemoteFolder) -> list[Path] | list[RemotePath]:
    """The shards among the files of a folder that holds no pictures, in the order of their names; [] if there are none.

    Raises:
        UserError: one is missing in the row of their numbers, or there are two kinds.
    """
    found = {suffix: sorted(name for name in names if name.endswith(suffix)) for suffix in SUFFIXES}
    found = {suffix: of_kind for suffix, of_kind in found.items() if of_kind}
    if len(found) > 1:
        raise UserError(
            f"{root} holds shards of two kinds, {' and '.join(f'{len(n)} {suffix}' for suffix, n in found.items())}; "
            "move one of them to a folder of its own"
        )
    shards = next(iter(found.values()), [])
    if SUMS in names and isinstance(root, Path):  # at an address it said which files there are
        named = [name for name in read_sums((root / SUMS).read_text(errors="replace")) if name.endswith(SUFFIXES)]
        if missing := sorted({*named}.difference(shards)):
            raise UserError(
                f"{root}: {counted(len(missing), 'shard')} of {len(named)} that {SUMS} names are missing: "
                f"{listed(missing)}; copy them again"
            )
    _check_numbers(shards, root)
    return [root / name for name in shards]


def read_sums(text: str) -> dict[str, str]:
    """Name of a file -> its SHA-256, of the text of SHA256SUMS.

    Raises:
        UserError: a name leads out of the folder.
    """
    found = {match[2]: match[1] for match in map(SUM_LINE.fullmatch, text.splitlines()) if match}
    for name in found:
        if name.startswith("/") or ".." in name.split("/"):
            raise UserError(f"{SUMS} names a file outside of its folder: {name!r}")
    return found


def _check_numbers(names: Sequence[str], root: Path) -> None:
    """Raises UserError when a number is missing among the names of shards."""
    rows = defaultdict(dict)
    for name in names:
        stem, suffix = name.rsplit(".", 1)
        match = NUMBERED.fullmatch(stem) or COUNTED.fullmatch(stem)
        if match:
            total = match.groupdict().get("total")
            rows[match["prefix"], total, "" if total else match["tail"], suffix][int(match["number"])] = match["number"]
    for (prefix, total, tail, suffix), numbers in rows.items():
        width, first, last = len(min(numbers.values(), key=len)), min(numbers), max(numbers)
        if total:
            start = 1 if 0 not in numbers and int(total) in numbers else 0
            expected = range(start, start + int(total))
        elif not numbers[first].startswith("0"):
            continue  # years, or sizes
        else:
            expected = range(first if first == 1 else 0, last + 1)
        missing = [f"{prefix}{number:0{width}d}" for number in expected if number not in numbers]
        if missing:
            shown = [f"{name}{f'-of-{total}' if total else tail}.{suffix}" for name in missing]
            meant = "" if total else f", or name those that are meant: '{prefix}{{{numbers[first]}..…}}{tail}.{suffix}'"
            raise UserError(
                f"{root}: {counted(len(missing), 'shard')} of {len(expected)} are missing: {listed(shown)}; copy them "
                f"again{meant}"
            )


def _by_split(shards: Sequence[Shard], root: Path | RemoteFolder) -> tuple[dict[str, list[Shard]], list[str]]:
    """(split -> its shards, notes): by the words in their names and in those of their folders."""
    said = [_split_in(shard.path, root) for shard in shards]
    by_split = defaultdict(list)
    for shard, (split, prefix) in zip(shards, said, strict=True):
        by_split[split or (slug(prefix) if any(other for other, _ in said) else "train")].append(shard)
    if len(by_split) == 1 and "train" not in by_split:
        ((split, of_split),) = by_split.items()
        return {"train": of_split}, [f"there is no training split: the images of {split!r} are read as one"]
    order = ("train", "validation", "test")
    return dict(sorted(by_split.items(), key=lambda item: order.index(item[0]) if item[0] in order else 3)), []


def _split_in(path: Path | RemotePath, root: Path | RemoteFolder) -> tuple[str, str]:
    """(the split that the name of a shard says, "" for none; the name without its number)."""
    below = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    match = NUMBERED.fullmatch(below.stem) or COUNTED.fullmatch(below.stem)
    prefix = match["prefix"] if match else below.stem
    found = (split_of(part) for part in (prefix, *reversed(below.parts[:-1])))
    return next((split[0] for split in found if split), ""), prefix


# Labels ---------------------------------------------------------------------------------------------------------------


def _numbered(
    by_split: Mapping[str, Sequence[Shard]], root: Path | RemoteFolder
) -> tuple[dict[str, np.ndarray], tuple[str, ...], list[str]]:
    """(split -> labels [N] int32, class names, findings) of shards whose labels are texts.

    A split without labels is left out where the training images have some.
    """
    texts, findings = {}, []
    for split, shards in by_split.items():
        parts = [np.zeros(len(shard), "S1") if shard.labels is None else shard.labels for shard in shards]
        texts[split] = np.concatenate(parts)
    of_train = texts.get("train", np.zeros(0, "S1"))
    found = set(np.unique(np.concatenate([*texts.values()])).tolist())
    given = next((shard.class_names for shards in by_split.values() for shard in shards if shard.class_names), ())
    if given or len(found.difference(UNLABELLED)) > 1:
        found = found.difference(UNLABELLED)
    else:
        found = found.difference(UNLABELLED[:1])
    if np.isin(of_train, UNLABELLED[: 1 if b"-1" in found else 2]).all() or (len(found) < 2 and not given):
        if found and len(found) > 1:
            findings.append("the training images have no labels: those of the other splits are not used")
        return {split: np.zeros(len(text), np.int32) for split, text in texts.items()}, (), findings
    number, class_names = _classes(found, given, root)
    labels = {}
    for split, text in texts.items():
        distinct, inverse = np.unique(text, return_inverse=True)
        labels[split] = np.array([number.get(value, -1) for value in distinct.tolist()], np.int32)[inverse]
        without = int((labels[split] < 0).sum())
        if without == len(text):
            findings.append(
                f"{split}: {counted(without, 'image')} without a label are not used; --labels {NONE} reads all"
            )
            del labels[split]
        elif without:
            findings.append(f"{split}: {counted(without, 'image')} without a label left out")
    return labels, class_names, findings


def _classes(
    found: set[bytes], given: tuple[str, ...], root: Path | RemoteFolder
) -> tuple[dict[bytes, int], tuple[str, ...]]:
    """(text of a label -> its class, the names of the classes)."""
    words = {value: class_name(value.decode("utf-8", "replace")) for value in found}
    if all(WHOLE_NUMBER.fullmatch(word) for word in words.values()):
        numbers = {value: int(word) for value, word in words.items()}
        if given:
            beyond = sorted(number for number in numbers.values() if not 0 <= number < len(given))
            if beyond:
                raise UserError(f"{root}: label {beyond[0]} is none of the {len(given)} classes that the shards name")
            return numbers, given
        for path in (root / name for name in NAME_FILES):
            if path.is_file() and (names := name_table(path.read_bytes(), set(numbers.values()))):
                order = sorted(names)
                return {v: order.index(n) for v, n in numbers.items()}, tuple(class_name(names[n]) for n in order)
    names = order_class_names(words.values())
    place = {name: i for i, name in enumerate(names)}
    return {value: place[word] for value, word in words.items()}, names
