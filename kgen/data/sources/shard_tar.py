"""One shard of WebDataset: a tar in which files of one name are a sample: 000017.jpg, 000017.cls, 000017.json.

The name of a sample ends at the first dot of its file name, what follows is the field. The picture is the field whose
name is a picture's suffix; the label is the content of `.cls`, else a key of `.json`. Where the pictures lie in the tar
is found once and remembered as long as the file does not change; nothing is unpacked.
"""

import contextlib
import json
import os
import posixpath
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np

from kgen.cache import cached_arrays, digest
from kgen.data.sources.archives import COMPRESSED, MAX_PICTURE_BYTES, TarFiles
from kgen.data.sources.base import file_identity, size_of
from kgen.data.sources.files import is_hidden, listed, suffix_of
from kgen.data.sources.parts import KeptParts
from kgen.data.sources.picture import START_BYTES, Unreadable, picture_suffixes
from kgen.data.sources.remote_path import RemotePath, SequentialReader
from kgen.errors import UserError
from kgen.tables import counted

SAMPLE = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)")
"""(the name of a sample, the name of its field), as the webdataset library parts the name of a file."""
ABOUT_THE_SHARD = re.compile(r"__[^/]*__($|/)")
"""Names that the webdataset library skips."""
LABEL, JSON = "cls", "json"
JSON_KEYS = ("label", "cls", "class", "class_id", "class_name")
"""Keys of the label, the first of these first."""
BLOCK_BYTES = 512
FIRST_BYTES = 2**23
"""Of a tar at an address, which show whether it is a shard."""
RUN, RUN_BYTES = 64, 2**24
"""Pictures of a tar at an address that are read at once, at most, and bytes of the file."""
SMALL_BYTES, ALL_SMALL_BYTES = 2**16, 2**26
"""Of a file with a label that is kept while a tar at an address is listed, and of all of one tar."""
VERSION = 1
"""Of what is remembered."""


@dataclass(frozen=True, eq=False)
class TarShard:
    """The pictures of a tar; see `shards.Shard`.

    Attributes:
        names: [N] bytes, of the picture files.
        offsets, sizes: [N] int64, bytes.
    """

    path: Path | RemotePath
    names: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    label_texts: np.ndarray
    findings: tuple[str, ...]
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.offsets)

    @cached_property
    def labels(self) -> np.ndarray | None:
        return self.label_texts if self.label_texts.any() else None

    @cached_property
    def keys_digest(self) -> str:
        return digest(self.names)

    def key(self, row: int) -> str:
        return self.names[row].decode("utf-8", "surrogateescape")

    def read(self, row: int) -> bytes:
        size = int(self.sizes[row])
        if size > MAX_PICTURE_BYTES:
            raise Unreadable(f"is larger than {MAX_PICTURE_BYTES >> 20} MiB in the shard")
        content = self._content(row, int(self.offsets[row]), size)
        if len(content) < size:
            raise Unreadable("broken in the shard: it is cut off")
        return content

    def _content(self, row: int, offset: int, size: int) -> bytes:
        file = os.open(self.path, os.O_RDONLY)
        try:
            return os.pread(file, size, offset)
        finally:
            os.close(file)


@dataclass(frozen=True, eq=False)
class StreamedTar(TarShard):
    """A tar at an address, of which runs of pictures that lie behind each other are read at once; see `parts`.

    Attributes:
        kept: the runs that are kept, of all shards of the set.
    """

    kept: KeptParts | None = None

    @cached_property
    def ends(self) -> np.ndarray:
        """[runs] int64: pictures up to the end of each."""
        begins, until, ends, start = self.offsets.tolist(), (self.offsets + self.sizes).tolist(), [], 0
        for row, end in enumerate(until):
            if row - start == RUN or (row > start and end - begins[start] > RUN_BYTES):
                ends.append(row)
                start = row
        return np.array([*ends, *[len(self)] * bool(len(self))], np.int64)

    @property
    def size(self) -> int:
        return self.path.size

    def read_part(self, part: int) -> bytes:
        start, end = self._range_of(part)
        return self.path.read(start, end - start)

    def _range_of(self, part: int) -> tuple[int, int]:
        """(start, end) of a run, in bytes of the file."""
        rows = slice(int(self.ends[part - 1]) if part else 0, int(self.ends[part]))
        return int(self.offsets[rows.start]), int((self.offsets[rows] + self.sizes[rows]).max())

    def _content(self, row: int, offset: int, size: int) -> bytes:
        part = int(np.searchsorted(self.ends, row, side="right"))
        offset -= self._range_of(part)[0]
        return self.kept.get(self, part)[offset : offset + size]


class StreamedTarFiles(TarFiles):
    """The files of a tar at an address, found by reading it once; those that hold labels are kept meanwhile."""

    def __init__(self, path: RemotePath, count: Callable[[int], object]):
        self._count, self._small, self._small_bytes = count, {}, 0
        super().__init__(path)
        self._file.finish()

    def _opened(self):
        file = SequentialReader(self.path, self._count)
        start = file.at(0, START_BYTES)
        if any(start.startswith(magic) for magic in COMPRESSED):
            raise UserError(_compressed(self.path))
        return file

    def _at(self, offset: int, count: int) -> bytes:
        kept = self._small.get((offset, count))
        return self._file.at(offset, count) if kept is None else kept

    def _pass(self, name: str, place: tuple[int, int]) -> None:
        size, match = place[1], SAMPLE.fullmatch(name)
        is_small = size <= SMALL_BYTES and self._small_bytes + size <= ALL_SMALL_BYTES
        if match and match[2].lower() in (LABEL, JSON) and is_small:
            self._small[place] = self._file.at(*place)
            self._small_bytes += size

    def close(self):
        self._small.clear()


def is_shard(files: TarFiles) -> bool:
    """Whether the first picture of a tar has a field beside it that may be its label."""
    match = SAMPLE.fullmatch(files.names[0]) if files.names else None
    return bool(match) and any(f"{match[1]}.{field}" in files.other_names for field in (LABEL, JSON))


def begins_without_fields(path: RemotePath) -> bool:
    """Whether a tar at an address is none of WebDataset, by its first block: see `is_shard`.

    It is one where the block does not show it: that is seen when it is listed.
    """
    block, names = path.read(0, min(FIRST_BYTES, path.size)), []
    with contextlib.suppress(Exception), tarfile.open(fileobj=BytesIO(block), mode="r:") as tar:  # it is cut off
        names += (posixpath.normpath(info.name) for info in iter(tar.next, None) if info.isreg())
    names = [name for name in names if not is_hidden(name)]
    first = next((n for n, name in enumerate(names) if suffix_of(name) in picture_suffixes()), None)
    if first is None or (first == len(names) - 1 and len(block) < path.size):
        return False
    match = SAMPLE.fullmatch(names[first])
    return not match or not any(f"{match[1]}.{field}" in names for field in (LABEL, JSON))


def open_tar(
    path: Path | RemotePath,
    column: str | None,
    kept: KeptParts | None = None,
    count: Callable[[int], object] = lambda size: None,
) -> TarShard:
    """Lists the pictures of a shard.

    Args:
        path: of the tar.
        column: the key of `.json` that is the label; "" for no labels, None where it is found.
        kept, count: of a tar at an address: its runs, and what is called with the bytes that are read.

    Raises:
        UserError: it is no tar, compressed, or cut off; or a sample has several pictures.
    """
    key = {"version": VERSION, "identity": file_identity(path), "column": column}
    if isinstance(path, RemotePath):

        def read() -> dict[str, np.ndarray]:
            return _index(StreamedTarFiles(path, count), path, column)

        found = cached_arrays("shards", {**key, "what": "pictures of a stream"}, read)
        return StreamedTar(path, **_from_arrays(found), kept=kept)
    with open(path, "rb") as file:
        start = file.read(START_BYTES)
    if any(start.startswith(magic) for magic in COMPRESSED):
        raise UserError(_compressed(path))
    return TarShard(path, **_from_arrays(cached_arrays("shards", key, lambda: _index(TarFiles(path), path, column))))


def _compressed(path: Path | RemotePath) -> str:
    return f"{path} is compressed, so that its pictures cannot be read in any order; unpack it: gunzip"


def _from_arrays(arrays: dict[str, np.ndarray]) -> dict:
    return {**arrays, "findings": tuple(arrays["findings"].tolist())}


def _index(files: TarFiles, path: Path | RemotePath, column: str | None) -> dict[str, np.ndarray]:
    """The fields of `TarShard`, as arrays; closes the files."""
    try:
        ends = [offset + size for offset, size in map(files.place, (*files.names, *files.other_names, *files.hidden))]
        end = -(-max(ends, default=0) // BLOCK_BYTES) * BLOCK_BYTES
        if size_of(path) < end + BLOCK_BYTES:
            raise UserError(
                f"{path} is cut off: the mark of its end is missing after {counted(len(ends), 'file')}; copy it again, "
                "or if it was written without one, unpack and pack it again"
            )
        return _samples(files, path, column)
    finally:
        files.close()


def _samples(files: TarFiles, path: Path, column: str | None) -> dict[str, np.ndarray]:
    pictures, fields = _pictures(files, path)
    others = {}
    for name in files.other_names:
        match = SAMPLE.fullmatch(name)
        if match and not ABOUT_THE_SHARD.match(name):
            others.setdefault(match[1], {})[match[2].lower()] = name
    labels = [b""] * len(pictures)
    findings = list(files.findings)
    if column != "":
        labels = [_label(files, path, others.get(sample, {}), column) for sample, _ in pictures]
    alone = sorted(set(others).difference(sample for sample, _ in pictures))
    if alone:
        findings.append(f"{counted(len(alone), 'sample has', 'samples have')} no picture: {listed(alone)}")
    if fields:
        findings.append(f"further pictures of the samples are not read: {', '.join(f'.{field}' for field in fields)}")
    if column is None and pictures and not any(labels) and any("/" in sample for sample, _ in pictures):
        findings.append(
            "the pictures have neither .cls nor a label in .json; folders in a shard are not read as classes"
        )
    if column and not any(labels):
        findings.append(f"no sample has the key {column!r} in a .json")
    places = [files.place(name) for _, name in pictures]
    return {
        "names": np.array([name.encode("utf-8", "surrogateescape") for _, name in pictures], "S"),
        "offsets": np.array([offset for offset, _ in places], np.int64),
        "sizes": np.array([size for _, size in places], np.int64),
        "label_texts": np.array(labels, "S"),
        "findings": np.array(findings, "U"),
    }


def _pictures(files: TarFiles, path: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """((sample, name of its picture) in the order of the tar, the fields of further pictures).

    A field with a dot in it, as of 17.seg.png, counts where the sample has no other.
    """
    samples, suffixes = {}, picture_suffixes()
    for name in sorted(files.names, key=files.place):
        match = SAMPLE.fullmatch(name)
        if not ABOUT_THE_SHARD.match(name):
            sample, field = (match[1], match[2].lower()) if match else (name, "")
            samples.setdefault(sample, {})[field] = name
    chosen, further = [], set()
    for sample, fields in samples.items():
        plain = [field for field in fields if f".{field}" in suffixes or not field]
        usable = plain or list(fields)
        if len(usable) > 1:
            raise UserError(
                f"{path}: sample {sample!r} has several pictures, {', '.join(f'.{field}' for field in usable)}, and "
                "one of each sample is read; write shards with the one that is meant"
            )
        chosen.append((sample, fields[usable[0]]))
        further.update(field for field in fields if field != usable[0])
    return chosen, sorted(further)


def _label(files: TarFiles, path: Path, fields: dict[str, str], column: str | None) -> bytes:
    """The label of a sample as text, b"" where it has none."""
    if not column and LABEL in fields:
        return files.open(fields[LABEL]).read().strip()
    if JSON not in fields:
        return b""
    try:
        values = json.loads(files.open(fields[JSON]).read())
    except ValueError as error:
        raise UserError(f"{path}: {fields[JSON]} is no JSON: {error}; write the shard again") from error
    for key in (column,) if column else JSON_KEYS:
        value = values.get(key) if isinstance(values, dict) else None
        if isinstance(value, (int, str)):
            return str(value if not isinstance(value, bool) else int(value)).encode()
        if isinstance(value, float) and value.is_integer():
            return str(int(value)).encode()
    return b""
