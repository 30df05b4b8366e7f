"""TFRecord shards of TFDS at an address, which are streamed.

The first time, every shard is read once from front to back: where its records lie and which labels they have is
remembered, and their checksums are compared. Then runs of records are read by one request each, in the order of those
of a local set.
"""

import contextlib
import struct
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kgen.cache import cached_arrays
from kgen.data import value_range
from kgen.data.sources.base import what_then
from kgen.data.sources.parts import KeptParts
from kgen.data.sources.remote_path import RemoteFolder, RemotePath, SequentialReader, each_whole
from kgen.data.sources.tfds import (
    CHECKSUM_BYTES,
    COPY_AGAIN,
    FRAME_BYTES,
    LENGTH_BYTES,
    MAX_LABEL_SCAN,
    RUN,
    WINDOW,
    TfdsSource,
    check_records,
    described_builder,
)
from kgen.errors import ImageLost, UserError, image_lost
from kgen.tables import counted

DESCRIPTIONS = (".json", ".txt")
"""Suffixes of what describes the shards: features and splits, names of classes."""
CHECKED_BYTES = 2**23
"""Of the records that are compared with their checksums at once."""
HEAD_BYTES = LENGTH_BYTES + CHECKSUM_BYTES
VERSION = 1
"""Of what is remembered."""


@dataclass(frozen=True, eq=False)
class RecordShard:
    """One shard; see `parts.PartedShard`.

    Attributes:
        first: number of its first record in its split.
        offsets, lengths: [N] int64, bytes, of the contents of the records.
    """

    path: RemotePath
    first: int
    offsets: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def size(self) -> int:
        return self.path.size

    @cached_property
    def ends(self) -> np.ndarray:
        """[parts] int64: records up to the end of each; runs of a split that two shards share are cut."""
        start = RUN - self.first % RUN
        return np.append(np.arange(start, len(self), RUN), [len(self)] * bool(len(self)))

    def part_of(self, row: int) -> int:
        return int(np.searchsorted(self.ends, row, side="right"))

    def read_part(self, part: int) -> bytes:
        """The records of a part with their framing."""
        start, end = self._range_of(part)
        return self.path.read(start, end - start)

    def _range_of(self, part: int) -> tuple[int, int]:
        first, last = self._first_of(part), int(self.ends[part]) - 1
        return int(self.offsets[first]) - HEAD_BYTES, int(self.offsets[last] + self.lengths[last]) + CHECKSUM_BYTES

    def _first_of(self, part: int) -> int:
        return int(self.ends[part - 1]) if part else 0

    def record(self, content: bytes, part: int, row: int) -> bytes:
        """One record, of what `read_part` returned."""
        start = int(self.offsets[row]) - self._range_of(part)[0]
        return content[start : start + int(self.lengths[row])]


class StreamedTfdsSource(TfdsSource):
    """TFRecord shards at an address; `open_streamed_tfds` makes one."""

    def __init__(self, folder: RemoteFolder, builder, described: list[str], given: value_range.Bounds | None):
        super().__init__(builder.info.name or folder.url.rpartition("/")[2], builder, given, is_folder=True)
        self._folder, self._described, self.is_remote = folder, described, True
        self._of_split: dict[str, list[RecordShard]] = {}
        self._labels_of: dict[str, np.ndarray] = {}
        self._kept = KeptParts(ahead=True)
        self.identity = (
            builder.info.full_name,
            *(path.identity for split in self.counts for path in self._paths(split)),
        )

    def content(self) -> Any:
        """What describes the set, and what its address says of its files."""
        return [self._described, list(self.identity)]

    def labels(self, split: str) -> np.ndarray | None:
        if not self._label or self.counts[split] > MAX_LABEL_SCAN:
            return None
        self._shards(split)
        return self._labels_of[split]

    def check(self, split: str, indices: np.ndarray) -> np.ndarray:
        self._shards(split)
        return indices[self._labels_of[split][indices] >= 0]

    def explain(self, split: str, error: BaseException) -> BaseException:
        """Reads the shards part by part, and names the first record that is damaged or that holds no image."""
        import tensorflow as tf

        if lost := image_lost(error):
            return lost
        if not isinstance(error, tf.errors.OpError):
            return error
        for shard in self._shards(split):
            for part in range(len(shard.ends)):
                try:
                    found = self._fault(shard.read_part(part), shard.path, shard._first_of(part), len(shard))
                except UserError as found:
                    return found
                if found:
                    return found
        return error

    def _paths(self, split: str) -> list[RemotePath]:
        return [self._folder / path.name for path in super()._paths(split)]

    def _encoded(self, split: str, indices: np.ndarray):
        return self._at(split, np.sort(indices))

    def _numbers(self, split: str, indices: Any):
        """The parts of the records are asked for ahead of their use."""
        find = self._finder(split)

        def part_of(number: int) -> tuple[RecordShard, int]:
            shard, row = find(number)
            return shard, shard.part_of(row)

        return self._kept.asked_ahead(super()._numbers(split, indices), part_of)

    def _reader(self, split: str) -> Callable[[np.ndarray], np.ndarray]:
        find = self._finder(split)

        def one(number: int) -> bytes:
            shard, row = find(number)
            part = shard.part_of(row)
            return shard.record(self._kept.get(shard, part), part, row)

        def read(numbers):
            try:
                return np.array([one(number) for number in numbers.tolist()], object)
            except UserError as error:
                raise ImageLost(f"{error}{what_then(error)}") from error

        return read

    def _finder(self, split: str) -> Callable[[int], tuple[RecordShard, int]]:
        """A function number -> (its shard, its row there)."""
        shards = self._shards(split)
        ends = np.cumsum([len(shard) for shard in shards])

        def find(number: int) -> tuple[RecordShard, int]:
            shard = shards[int(np.searchsorted(ends, number, side="right"))]
            return shard, number - shard.first

        return find

    def _shards(self, split: str) -> list[RecordShard]:
        """The shards of a split; each is read once from front to back, unless it was before."""
        if split not in self._of_split:
            paths, counts = self._paths(split), self._builder.info.splits[self._stored[split]].shard_lengths
            from tqdm import tqdm

            shown = {"unit": "B", "unit_scale": True, "delay": 2, "leave": False, "disable": None}
            total = sum(path.size for path in paths)
            with tqdm(total=total, desc=f"{self.name} {split}", **shown) as bar:
                of_path = dict(zip(paths, counts, strict=True))
                found = each_whole(
                    lambda path, progress: self._listed(path, of_path[path], progress), paths, bar.update
                )
            firsts = np.cumsum([0, *counts])
            self._labels_of[split] = np.concatenate([arrays["labels"] for arrays in found])
            self._of_split[split] = [
                RecordShard(path, int(first), arrays["offsets"], arrays["lengths"])
                for path, first, arrays in zip(paths, firsts[:-1], found, strict=True)
            ]
            listed = [shard for shards in self._of_split.values() for shard in shards if len(shard)]
            self.window = self._kept.make_room(listed, WINDOW, RUN)
            if self.window < WINDOW:
                note = f"{self.window} runs of {RUN} records are mixed, not {WINDOW}: more do not fit into the memory"
                self.notes = [*(n for n in self.notes if "records are mixed" not in n), note]
        return self._of_split[split]

    def _listed(self, path: RemotePath, count: int, progress: Callable[[int], object]) -> dict[str, np.ndarray]:
        """The offsets, lengths and labels of the records of a shard, remembered while it does not change.

        Raises:
            UserError: it is cut off, or a record is damaged.
        """

        def make() -> dict[str, np.ndarray]:
            reader, offsets, lengths, labels = SequentialReader(path, progress), [], [], []
            frames, size = [], 0
            for offset, frame in _frames(reader, path.size):
                offsets.append(offset)
                lengths.append(len(frame) - FRAME_BYTES)
                frames.append(frame)
                size += len(frame)
                if size >= CHECKED_BYTES:
                    labels += self._labels_in(frames, path, len(labels), count)
                    frames, size = [], 0
            labels += self._labels_in(frames, path, len(labels), count)
            check_records(path, offsets, lengths, count)
            reader.finish()
            arrays = {"offsets": offsets, "lengths": lengths}
            arrays = {name: np.array(values, np.int64) for name, values in arrays.items()}
            return {**arrays, "labels": np.array(labels, np.int32)}

        key = {"identity": path.identity, "what": "records", "label": self._label, "image": self._image}
        return cached_arrays("shards", {**key, "version": VERSION}, make)

    def _labels_in(self, frames: list[bytes], path: RemotePath, first: int, count: int) -> list[int]:
        """The labels of records, after comparing their checksums; 0 where the set has none."""
        import tensorflow as tf

        if not frames:
            return []
        with in_memory(b"".join(frames)) as place:
            try:
                (examples,) = tf.data.TFRecordDataset(place).batch(len(frames))
                fields = tf.io.parse_example(examples, self._schema())
            except (tf.errors.OpError, ValueError) as error:
                found = self._fault(b"".join(frames), path, first, count)
                if found is None:
                    raise
                raise found from error
        return fields[self._label].numpy().tolist() if self._label else [0] * len(frames)

    def _fault(self, frames: bytes, path: RemotePath, first: int, count: int) -> UserError | None:
        """What is wrong with the first of some records that is damaged or holds no image; None where none is.

        Args:
            frames: the records with their framing.
            path, count: of their shard, and how many records it has.
            first: the number of the first one in it.
        """
        import tensorflow as tf

        decode, schema = self._builder.info.features[self._image].decode_example, self._schema()
        with in_memory(frames) as place:
            number = first
            try:
                for example in tf.data.TFRecordDataset(place):
                    decode(tf.io.parse_single_example(example, schema)[self._image])
                    number += 1
            except tf.errors.OpError as error:
                return self.record_fault(path, number, count, error)
        return None


def open_streamed_tfds(folder: RemoteFolder, given: value_range.Bounds | None = None) -> StreamedTfdsSource:
    """The TFRecord shards of a folder at an address.

    Args:
        folder: with `dataset_info.json` and `features.json`.
        given: the values of black and white, if the user names them.

    Raises:
        UserError: the description cannot be read, has no images, or a shard is missing.
        DataMissing: a file is not there any more, or the server does not answer.
    """
    with tempfile.TemporaryDirectory() as described:
        texts = []
        for name in sorted(folder.files):
            if "/" not in name and name.endswith(DESCRIPTIONS):
                content = (folder / name).read_bytes()
                (Path(described) / name).write_bytes(content)
                texts.append(content.decode(errors="replace"))
        builder = described_builder(Path(described), str(folder))
    for split in builder.info.splits.values():
        names = [Path(str(path)).name for path in split.filepaths]
        missing = [name for name in names if name not in folder.files]
        if missing:
            raise UserError(
                f"{folder}: {counted(len(missing), 'shard')} of {len(names)} of the split {split.name!r} are missing: "
                f"{', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}; {COPY_AGAIN}"
            )
    return StreamedTfdsSource(folder, builder, texts, given)


def _frames(reader: SequentialReader, size: int) -> Iterator[tuple[int, bytes]]:
    """(offset of its content, the record with its framing) of each whole record of a shard."""
    place = 0
    while place + FRAME_BYTES <= size:
        head = reader.at(place, HEAD_BYTES)
        (length,) = struct.unpack("<Q", head[:LENGTH_BYTES])
        if place + FRAME_BYTES + length > size:
            return
        yield place + HEAD_BYTES, head + reader.at(place + HEAD_BYTES, length + CHECKSUM_BYTES)
        place += FRAME_BYTES + length


@contextlib.contextmanager
def in_memory(content: bytes) -> Iterator[str]:
    """Bytes as a file of TensorFlow's file system in memory, while they are used: its readers compare checksums."""
    import tensorflow as tf

    place = f"ram://kgen/{uuid.uuid4().hex}"
    with tf.io.gfile.GFile(place, "wb") as file:
        file.write(content)
    try:
        yield place
    finally:
        tf.io.gfile.remove(place)
