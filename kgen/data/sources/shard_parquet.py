"""One shard of a set in Parquet files, as the Hugging Face hub stores sets of images.

A picture is a file in a column of structs, `image.bytes`, or in a column of bytes; the label is a column of whole
numbers or texts. The schema's metadata `huggingface` say which columns are images and labels, and name the classes.
Rows are read by groups, which are kept for a while: an epoch goes through them in windows (`kgen.data.order`).
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kgen.data.sources.picture import Unreadable
from kgen.errors import UserError

WINDOW_IMAGES, WINDOW_BYTES = 16_384, 2**28
"""Of the pictures that an epoch mixes, at most, and of their files; two windows are kept."""
LEAST_GROUPS = 4
"""Groups of rows that are kept in any case."""
IMAGE_NAMES = ("image", "img", "images", "picture", "photo", "jpg", "png")
LABEL_NAMES = ("label", "labels", "class", "cls", "target", "class_label", "category")
AGAIN = "download or write it again"


class RowGroups:
    """The pictures of groups of rows that were read last; many threads may ask at once."""

    def __init__(self):
        self._kept, self._lock, self._room = OrderedDict(), threading.Lock(), LEAST_GROUPS
        self._of_thread = threading.local()

    def make_room(self, shards: Sequence["ParquetShard"]) -> int:
        """How many groups an epoch mixes, so that those of two windows fit into the memory; keeps so many."""
        groups = sum(len(shard.ends) for shard in shards)
        pictures, size = sum(map(len, shards)) / groups, max(1, sum(shard.size for shard in shards)) / groups
        window = max(1, int(min(WINDOW_IMAGES / pictures, WINDOW_BYTES / size)))
        self._room = max(LEAST_GROUPS, 2 * window)
        return window

    def get(self, shard: "ParquetShard", group: int):
        """The pictures of a group of rows, as a `pyarrow.ChunkedArray`; a thread keeps the one it asked for last.

        Raises:
            UserError: it is damaged.
        """
        key = (shard.path, group)
        last, column = getattr(self._of_thread, "last", (None, None))
        if last == key:
            return column
        with self._lock:
            place = self._kept.setdefault(key, _Place())
            self._kept.move_to_end(key)
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)
        with place.lock:  # of this group: others are read at the same time
            if place.column is None:
                place.column = _read_group(shard, group)
            self._of_thread.last = key, place.column
            return place.column


def _read_group(shard: "ParquetShard", group: int):
    """The pictures of a group of rows, from the file."""
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(shard.path, metadata=shard.metadata) as file:
            return file.read_row_group(group, columns=[shard.column]).column(0)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file makes pyarrow raise many kinds
        raise UserError(f"{shard.path}: group {group} of its rows is damaged: {_first_line(error)}; {AGAIN}") from error


class _Place:
    """A group of rows, read when it is asked for the first time."""

    def __init__(self):
        self.lock, self.column = threading.Lock(), None


@dataclass(frozen=True, eq=False)
class ParquetShard:
    """The pictures of a Parquet file; see `shards.Shard`.

    Attributes:
        column: of the pictures.
        ends: [groups] int64, rows up to the end of each group.
        size: bytes of the file.
        metadata: of the file, so that they are not read for each group.
        groups: reads them.
    """

    path: Path
    column: str
    ends: np.ndarray
    size: int
    metadata: Any
    groups: RowGroups
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    findings: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def keys_digest(self) -> str:
        return str(len(self))

    def key(self, row: int) -> str:
        return f"row {row}"

    def read(self, row: int) -> bytes:
        group = int(np.searchsorted(self.ends, row, side="right"))
        start = int(self.ends[group - 1]) if group else 0
        value = self.groups.get(self, group)[row - start].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is None:
            other = value.get("path") if isinstance(value, dict) else None
            raise Unreadable(
                f"is not in the shard but in a file of its own, {other}" if other else "there is no picture"
            )
        return content


def open_parquet(path: Path, column: str | None, groups: RowGroups) -> ParquetShard:
    """Lists the pictures of a shard; reads its labels.

    Args:
        path: of the file.
        column: that of the labels; "" for no labels, None where it is found.
        groups: that all shards of the set share.

    Raises:
        UserError: it is damaged or holds no pictures, there is no such column, or pyarrow is not installed.
    """
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise UserError(f"{path} is a Parquet file, which pyarrow reads: pip install pyarrow") from error
    try:
        with parquet.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
            described = (
                json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
            )
            image, image_note = _image_column(path, schema, described)
            label, finding = _label_column(path, schema, described, column)
            texts = None
            if label:
                values = file.read(columns=[label]).column(0).to_pylist()
                texts = np.array([b"" if value is None else str(value).encode() for value in values], "S")
    except UserError:
        raise
    except Exception as error:  # a damaged file makes pyarrow raise many kinds
        raise UserError(f"{path} cannot be read as a Parquet file: {_first_line(error)}; {AGAIN}") from error
    names = described.get(label, {}).get("names") if label else None
    return ParquetShard(
        path,
        image,
        np.cumsum(rows, dtype=np.int64),
        path.stat().st_size,
        metadata,
        groups,
        texts,
        tuple(map(str, names or ())),
        image_note,
        finding,
    )


def _image_column(path: Path, schema, described: Mapping) -> tuple[str, tuple[str, ...]]:
    """(the column of the pictures, notes)."""
    import pyarrow as arrow

    def holds_files(kind) -> bool:
        if arrow.types.is_struct(kind):
            return any(field.name == "bytes" and holds_files(field.type) for field in kind)
        return arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)

    stored = [field.name for field in schema if holds_files(field.type)]
    images = [name for name in stored if described.get(name, {}).get("_type") == "Image"]
    images = images or [name for name in stored if arrow.types.is_struct(schema.field(name).type)]
    images = images or [name for name in stored if name.lower() in IMAGE_NAMES]
    if not images:
        has = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise UserError(
            f"{path} has no column of pictures; it has {has}. The Hugging Face hub stores them as image.bytes"
        )
    column = next((name for name in IMAGE_NAMES if name in images), images[0])
    return column, (f"pictures are taken from the column {column!r} of {images}",) if len(images) > 1 else ()


def _label_column(path: Path, schema, described: Mapping, column: str | None) -> tuple[str | None, tuple[str, ...]]:
    """(the column of the labels, findings)."""
    import pyarrow as arrow

    if column == "":
        return None, ()
    if column is not None:
        if column not in schema.names:
            raise UserError(f"{path} has no column {column!r} for --labels; it has {', '.join(schema.names)}")
        return column, ()
    classes = [name for name in schema.names if described.get(name, {}).get("_type") == "ClassLabel"]
    named: Sequence[str] = classes or [
        field.name
        for field in schema
        if field.name.lower() in LABEL_NAMES
        and (arrow.types.is_integer(field.type) or arrow.types.is_string(field.type))
    ]
    best = next((name for name in LABEL_NAMES if name in named), named[0] if len(named) == 1 else None)
    if named and best is None:
        return None, (f"no labels: the columns {', '.join(named)} could each be them; say which: --labels :{named[0]}",)
    return best, ()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
