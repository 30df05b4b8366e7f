"""One shard of WebDataset: a tar in which files of one name are a sample: 000017.jpg, 000017.cls, 000017.json.

The name of a sample ends at the first dot of its file name, what follows is the field. The picture is the field whose
name is a picture's suffix; the label is the content of `.cls`, else a key of `.json`. Where the pictures lie in the tar
is found once and remembered as long as the file does not change; nothing is unpacked.
"""

import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from kgen.cache import cached_arrays, digest
from kgen.data.sources.archives import COMPRESSED, MAX_PICTURE_BYTES, TarFiles
from kgen.data.sources.base import file_identity
from kgen.data.sources.files import listed
from kgen.data.sources.picture import START_BYTES, Unreadable, picture_suffixes
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
VERSION = 1
"""Of what is remembered."""


@dataclass(frozen=True, eq=False)
class TarShard:
    """The pictures of a tar; see `shards.Shard`.

    Attributes:
        names: [N] bytes, of the picture files.
        offsets, sizes: [N] int64, bytes.
    """

    path: Path
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
        file = os.open(self.path, os.O_RDONLY)
        try:
            content = os.pread(file, size, int(self.offsets[row]))
        finally:
            os.close(file)
        if len(content) < size:
            raise Unreadable("broken in the shard: it is cut off")
        return content


def is_shard(files: TarFiles) -> bool:
    """Whether the first picture of a tar has a field beside it that may be its label."""
    match = SAMPLE.fullmatch(files.names[0]) if files.names else None
    return bool(match) and any(f"{match[1]}.{field}" in files.other_names for field in (LABEL, JSON))


def open_tar(path: Path, column: str | None) -> TarShard:
    """Lists the pictures of a shard.

    Args:
        path: of the tar.
        column: the key of `.json` that is the label; "" for no labels, None where it is found.

    Raises:
        UserError: it is no tar, compressed, or cut off; or a sample has several pictures.
    """
    with open(path, "rb") as file:
        start = file.read(START_BYTES)
    if any(start.startswith(magic) for magic in COMPRESSED):
        raise UserError(f"{path} is compressed, so that its pictures cannot be read in any order; unpack it: gunzip")
    key = {"version": VERSION, "identity": file_identity(path), "column": column}
    return TarShard(path, **_from_arrays(cached_arrays("shards", key, lambda: _index(path, column))))


def _from_arrays(arrays: dict[str, np.ndarray]) -> dict:
    return {**arrays, "findings": tuple(arrays["findings"].tolist())}


def _index(path: Path, column: str | None) -> dict[str, np.ndarray]:
    """The fields of `TarShard`, as arrays."""
    files = TarFiles(path)
    try:
        ends = [offset + size for offset, size in map(files.place, (*files.names, *files.other_names, *files.hidden))]
        end = -(-max(ends, default=0) // BLOCK_BYTES) * BLOCK_BYTES
        if path.stat().st_size < end + BLOCK_BYTES:
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
