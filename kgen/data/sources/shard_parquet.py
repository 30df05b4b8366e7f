"""One shard of a set in Parquet files, as the Hugging Face hub stores sets of images.

A picture is a file in a column of structs, `image.bytes`, or in a column of bytes; the label is a column of whole
numbers or texts. The schema's metadata `huggingface` say which columns are images and labels, and name the classes.
Rows are read by groups, which are kept for a while: an epoch goes through them in windows (`kgen.data.order`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kgen.cache import cached_arrays
from kgen.data.sources.base import size_of
from kgen.data.sources.parts import KeptParts
from kgen.data.sources.picture import Unreadable
from kgen.data.sources.remote_path import RangeReader, RemotePath
from kgen.errors import UserError

IMAGE_NAMES = ("image", "img", "images", "picture", "photo", "jpg", "png")
LABEL_NAMES = ("label", "labels", "class", "cls", "target", "class_label", "category")
AGAIN = "download or write it again"


def _read_group(shard: "ParquetShard", group: int):
    """The pictures of a group of rows, from the file; of one at an address by one request."""
    import pyarrow.parquet as parquet

    file = shard.path
    if isinstance(file, RemotePath):
        start, end = _range_of(shard, group)
        file = RangeReader(file, (start, file.read(start, end - start)))
    try:
        with parquet.ParquetFile(file, metadata=shard.metadata) as opened:
            return opened.read_row_group(group, columns=[shard.column]).column(0)
    except (FileNotFoundError, UserError):
        raise
    except Exception as error:  # a damaged file makes pyarrow raise many kinds
        raise UserError(f"{shard.path}: group {group} of its rows is damaged: {_first_line(error)}; {AGAIN}") from error


def _range_of(shard: "ParquetShard", group: int) -> tuple[int, int]:
    """(start, end), in bytes of the file, of the pictures of a group of rows."""
    rows = shard.metadata.row_group(group)
    places = []
    for number in range(rows.num_columns):
        column = rows.column(number)
        if column.path_in_schema.split(".")[0] == shard.column:
            start = column.data_page_offset
            if column.has_dictionary_page:
                start = min(start, column.dictionary_page_offset)
            places.append((start, start + column.total_compressed_size))
    return min(start for start, _ in places), max(end for _, end in places)


@dataclass(frozen=True, eq=False)
class ParquetShard:
    """The pictures of a Parquet file; see `shards.Shard`.

    Attributes:
        column: of the pictures.
        ends: [groups] int64, rows up to the end of each group.
        size: bytes of the file.
        metadata: of the file, so that they are not read for each group.
        groups: those that are kept, of all shards of the set.
    """

    path: Path | RemotePath
    column: str
    ends: np.ndarray
    size: int
    metadata: Any
    groups: KeptParts
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

    def read_part(self, part: int):
        """The pictures of a group of rows, as a `pyarrow.ChunkedArray`.

        Raises:
            UserError: it is damaged.
        """
        return _read_group(self, part)

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


def open_parquet(path: Path, column: str | None, groups: KeptParts) -> ParquetShard:
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
    size = size_of(path)
    try:
        with parquet.ParquetFile(RangeReader(path) if isinstance(path, RemotePath) else path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
            described = (
                json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
            )
            image, image_note = _image_column(path, schema, described)
            label, finding = _label_column(path, schema, described, column)
            texts = None
            if label:
                texts = _label_texts(path, file, label)
    except UserError:
        raise
    except Exception as error:  # a damaged file makes pyarrow raise many kinds
        raise UserError(f"{path} cannot be read as a Parquet file: {_first_line(error)}; {AGAIN}") from error
    names = described.get(label, {}).get("names") if label else None
    return ParquetShard(
        path,
        image,
        np.cumsum(rows, dtype=np.int64),
        size,
        metadata,
        groups,
        texts,
        tuple(map(str, names or ())),
        image_note,
        finding,
    )


def _label_texts(path: Path | RemotePath, file, label: str) -> np.ndarray:
    """[N] bytes, b"" where there is none; of a file at an address remembered as long as it does not change."""

    def read() -> dict[str, np.ndarray]:
        values = file.read(columns=[label]).column(0).to_pylist()
        return {"texts": np.array([b"" if value is None else str(value).encode() for value in values], "S")}

    if not isinstance(path, RemotePath):
        return read()["texts"]
    return cached_arrays("shards", {"identity": path.identity, "what": "labels", "column": label}, read)["texts"]


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
