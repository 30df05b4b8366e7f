"""Image sets of TensorFlow Datasets (TFDS), by name, and folders of TFRecord shards as TFDS writes them.

Offline, a set that is not prepared is refused at once. A folder of shards is read wherever it lies: `features.json`
says what its records hold, `dataset_info.json` which shards there are and how many records each has.
"""

import difflib
import functools
import json
import os
import re
import struct
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kgen.cache import cached_arrays, digest
from kgen.data import value_range
from kgen.data.sources.base import BLOCK, Source, file_identity, size_of
from kgen.data.sources.remembered import remembered_check
from kgen.data.sources.remote_path import RemotePath
from kgen.errors import DataMissing, UserError
from kgen.io import data_folder, try_again
from kgen.registry import nearest
from kgen.tables import counted

PROBE_SECONDS = 3.0
PROBE_HOSTS = 3
FALLBACK_URL = "https://storage.googleapis.com"
MAX_LABEL_SCAN = 100_000  # images of a split whose labels are read beforehand; larger sets lose no class
PEEK = 64  # images that show whether the values may be 0 and 1
SPLIT_NAMES = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}
COPY_AGAIN = "copy or write it again"
FOLDER_FILES = ("dataset_info.json", "features.json")
"""What lies beside TFRecord shards that TFDS wrote."""
LENGTH_BYTES, CHECKSUM_BYTES = 8, 4
"""Of the framing of a record: its length and a checksum of it before, a checksum of its content after."""
RUN = 64
"""Records that lie behind each other and are read in one window; see `Source.parts`."""
WINDOW = 256
"""Runs that are mixed."""
READ_AT_ONCE = 64
"""Records that are parsed together."""
FRAME_BYTES = LENGTH_BYTES + 2 * CHECKSUM_BYTES


class TfdsSource(Source):
    """A prepared TFDS set; `open_tfds` makes one."""

    window = WINDOW

    def __init__(self, name: str, builder, given: value_range.Bounds | None = None, *, is_folder: bool = False):
        """is_folder: whether the user names a folder of shards, not a set that TFDS knows."""
        self._builder, self._is_folder = builder, is_folder
        self._found: dict[str, tuple[np.ndarray, ...]] = {}
        features = builder.info.features
        self._image, self._label, notes = _find_features(name, features)
        stored = {split: SPLIT_NAMES.get(split, split) for split in builder.info.splits}
        self._stored = {ours: theirs for theirs, ours in stored.items()}
        counts = {ours: builder.info.splits[theirs].num_examples for ours, theirs in self._stored.items()}
        names = features[self._label].names if self._label else ()
        if self._label and not names:
            names = range(features[self._label].num_classes)
        super().__init__(name, counts, names, (builder.info.full_name, str(builder.data_path)))
        self.notes += notes
        height, width, channels = features[self._image].shape
        if channels not in (1, 2, 3, 4) or features[self._image].np_dtype not in (np.uint8, np.uint16):
            raise UserError(
                f"the images of TFDS set {name!r} are {features[self._image]}; kgen reads 8-bit or 16-bit images of "
                "1, 3 or 4 channels"
            )
        if builder.info.file_format.value != "tfrecord":
            raise UserError(
                f"TFDS set {name!r} is prepared as {builder.info.file_format.value}; prepare it as tfrecord, "
                "the default of TFDS"
            )
        self.channels = channels
        self.size = (height, width) if height and width else None
        self._dtype = features[self._image].np_dtype
        self._wide = self._dtype == np.uint16
        self._given = given
        self._table = None

    def content(self) -> Any:
        """The version of the set, what describes it, and the sizes of its files: TFDS never changes a version."""
        folder = Path(str(self._builder.data_path))
        described = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.json"))]
        return [self.identity[0], described, sorted((path.name, path.stat().st_size) for path in folder.iterdir())]

    def labels(self, split: str) -> np.ndarray | None:
        """Read from the records in a pass of its own, of sets of at most 100,000 images; no image is decoded."""
        if not self._label or self.counts[split] > MAX_LABEL_SCAN:
            return None
        found = np.full(self.counts[split], -1, np.int32)
        for numbers, _, labels in self._read(split, self._encoded(split, np.arange(self.counts[split]))):
            found[numbers] = labels
        return found

    def choose(self, split: str, candidates: np.ndarray, limit: int, seed: int) -> np.ndarray:
        """The first ones: TFDS mixed them when it prepared the set (otherwise a seeded choice)."""
        if self._builder.info.disable_shuffling:
            return super().choose(split, candidates, limit, seed)
        return candidates[:limit]

    def scan(self, chosen):
        """Finds the values of black and white: by a pass over all chosen images unless they are plainly 0 and 255."""
        split = next(iter(chosen))
        first = self._encoded(split, chosen[split][:PEEK]).unbatch().map(lambda i, x, y: self._decode(x))
        peeked = list(self._read(split, first))
        binary = bool(peeked) and max(image.max() for image in peeked) <= 1
        if self._given is None and not self._wide and not binary:
            return dict(chosen)
        where = f"TFDS set {self.name!r}"
        found = {s: measured for s, indices in chosen.items() if (measured := self._measure(s, indices, where))}
        if found:
            bounds = value_range.decide(found, where, self._given)
            self.notes, self.findings = [*self.notes, *bounds.notes], [*self.findings, *bounds.findings]
            self.value_range = bounds.bounds
        levels = np.arange(1 + np.iinfo(self._dtype).max, dtype=self._dtype)
        if self._wide or self.value_range != value_range.BYTES:
            self._table = value_range.to_pixels(levels, self.value_range)
        return dict(chosen)

    def _measure(self, split: str, indices: np.ndarray, where: str) -> value_range.Statistics | None:
        """The statistics of the images as they are stored; None where there are none."""
        import tensorflow as tf

        decode = self._builder.info.features[self._image].decode_example

        def decode_all(index, encoded, label):
            return tf.map_fn(decode, encoded, fn_output_signature=tf.as_dtype(self._dtype))

        records = self._encoded(split, indices)
        if not self.size:
            records = records.unbatch().batch(1)
        images = records.map(decode_all, num_parallel_calls=tf.data.AUTOTUNE)
        parts = [value_range.measure(block, where, self._given) for block in self._read(split, images) if len(block)]
        return value_range.join(parts) if parts else None

    def check(self, split: str, indices: np.ndarray) -> np.ndarray:
        """Those that have a label (in a labelled set, TFDS writes -1 for none); no image is decoded."""

        def check() -> np.ndarray:
            blocks = [numbers for numbers, _, _ in self._read(split, self._encoded(split, indices))]
            return np.concatenate(blocks) if blocks else indices[:0]

        return remembered_check(self, [file_identity(path) for path in self._paths(split)], split, indices, check)

    def names_digest(self, split: str, indices: np.ndarray) -> str:
        if not self._is_folder:
            return super().names_digest(split, indices)
        lengths = self._builder.info.splits[self._stored[split]].shard_lengths
        return digest([[path.name, n] for path, n in zip(self._paths(split), lengths, strict=True)], indices)

    def describe_sizes(self) -> str:
        return f"sizes that differ or are not recorded ({self._builder.info.features[self._image]})"

    def records(self, split: str, indices: Any):
        import tensorflow as tf

        records = self._at(split, indices).unbatch()
        return records.map(lambda i, x, y: (i, self._decode(x), y), num_parallel_calls=tf.data.AUTOTUNE)

    def blocks(self, split: str, indices: np.ndarray):
        import tensorflow as tf

        def decode(index, encoded, label):
            shape = tf.TensorSpec((*self.size, self.channels), tf.uint8)
            return index, tf.map_fn(self._decode, encoded, fn_output_signature=shape), label

        return self._encoded(split, indices).map(decode, num_parallel_calls=tf.data.AUTOTUNE)

    def explain(self, split: str, error: BaseException) -> BaseException:
        """Reads the shards one by one, and names the first record that is damaged or that holds no image."""
        import tensorflow as tf

        if not isinstance(error, tf.errors.OpError):
            return error
        decode, schema = self._builder.info.features[self._image].decode_example, self._schema()
        stored = self._builder.info.splits[self._stored[split]]
        for path, count in zip(map(str, stored.filepaths), stored.shard_lengths, strict=True):
            number = 0
            try:
                for example in tf.data.TFRecordDataset(path):
                    decode(tf.io.parse_single_example(example, schema)[self._image])
                    number += 1
            except tf.errors.OpError as found:
                return self.record_fault(path, number, count, found)
            if number != count:
                return UserError(
                    f"{path} holds {counted(number, 'record')}, and {count} are declared in "
                    f"{FOLDER_FILES[0]}; {COPY_AGAIN}"
                )
        return error

    @staticmethod
    def record_fault(path: object, number: int, count: int, error: BaseException) -> UserError:
        """The error for a record at which TensorFlow failed."""
        import tensorflow as tf

        what = "is damaged" if isinstance(error, tf.errors.DataLossError) else "holds no image that can be read"
        return UserError(f"{path}: record {number} of {count} {what} ({first_line(error)}); {COPY_AGAIN}")

    def _read(self, split: str, records):
        """The records as NumPy arrays; an error names the shard."""
        try:
            yield from records.as_numpy_iterator()
        except Exception as error:  # which of them are explained, is decided there
            explained = self.explain(split, error)
            if explained is error:
                raise
            raise explained from error

    def _decode(self, encoded):
        import tensorflow as tf

        pixels = self._builder.info.features[self._image].decode_example(encoded)
        return pixels if self._table is None else tf.gather(self._table, tf.cast(pixels, tf.int32))

    def _encoded(self, split: str, indices: np.ndarray):
        """(indices [b] int64, encoded images [b], labels [b]), straight from the record files.

        Many examples are parsed in one call: several times as fast as TFDS' `as_dataset`.
        """
        import tensorflow as tf

        with tf.device("CPU:0"):
            wanted = np.zeros(self.counts[split], bool)
            wanted[indices] = True
            wanted = tf.constant(wanted)

        def parse(numbers, examples):
            keep = tf.gather(wanted, numbers)
            return self._parsed(tf.boolean_mask(numbers, keep), tf.boolean_mask(examples, keep))

        files = list(map(str, self._paths(split)))
        last = int(np.max(indices, initial=-1)) + 1
        records = tf.data.TFRecordDataset(files).apply(tf.data.experimental.assert_cardinality(self.counts[split]))
        return records.take(last).enumerate().batch(BLOCK).map(parse, num_parallel_calls=tf.data.AUTOTUNE)

    def _parsed(self, numbers, examples):
        """(numbers [b], encoded images [b], labels [b]) of serialised examples, of those that have a label."""
        import tensorflow as tf

        fields = tf.io.parse_example(examples, self._schema())
        encoded = fields[self._image]
        if not self._label:
            return numbers, encoded, tf.zeros_like(numbers, tf.int32)
        labels = tf.cast(fields[self._label], tf.int32)
        keep = labels >= 0  # TFDS writes -1 where a labelled set has no label
        return tf.boolean_mask(numbers, keep), tf.boolean_mask(encoded, keep), tf.boolean_mask(labels, keep)

    def parts(self, split: str, indices: np.ndarray) -> np.ndarray:
        """Runs of records that lie behind each other in the shards."""
        return (np.asarray(indices) // RUN).astype(np.int32)

    def _at(self, split: str, indices: Any):
        """(indices [b] int64, encoded images [b], labels [b]) in any order, each record read by its place."""
        import tensorflow as tf

        read = self._reader(split)

        def parse(numbers):
            examples = tf.numpy_function(read, [numbers], tf.string, stateful=False)
            return self._parsed(numbers, tf.ensure_shape(examples, (None,)))

        return (
            self._numbers(split, indices)
            .batch(READ_AT_ONCE)
            .map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        )

    def _numbers(self, split: str, indices: Any):
        """A `tf.data.Dataset` of the single indices int64, in the order in which they are read."""
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices(tf.cast(indices, tf.int64))

    def _reader(self, split: str) -> Callable[[np.ndarray], np.ndarray]:
        """A function indices [n] -> their records [n], bytes."""
        paths = list(map(str, self._paths(split)))
        ends, offsets, lengths = self._places(split)

        def read(numbers):
            shards = np.searchsorted(ends, numbers, side="right").tolist()
            places = [(paths[s], offsets[i], lengths[i]) for s, i in zip(shards, numbers.tolist(), strict=True)]
            return np.array([try_again(functools.partial(_read_at, *place)) for place in places], object)

        return read

    def _places(self, split: str) -> tuple[np.ndarray, ...]:
        """(end [shards], offset [N], length [N]), int64: the number of the first record after each shard, and the bytes
        of every record; remembered while no shard changes.
        """
        if split not in self._found:
            paths = self._paths(split)

            def make() -> dict[str, np.ndarray]:
                found = [_record_places(path) for path in paths]
                offsets, lengths = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
                return {"ends": np.cumsum([len(of_shard) for of_shard, _ in found]), "o": offsets, "l": lengths}

            key = {"identity": [file_identity(path) for path in paths], "what": "places of records", "version": 2}
            arrays = cached_arrays("shards", key, make)
            self._found[split] = (arrays["ends"], arrays["o"], arrays["l"])
        return self._found[split]

    def _paths(self, split: str) -> list[Path]:
        """The shards of a split."""
        return [Path(str(path)) for path in self._builder.info.splits[self._stored[split]].filepaths]

    def _schema(self) -> dict:
        """What is parsed of an example."""
        import tensorflow as tf

        label = {self._label: tf.io.FixedLenFeature((), tf.int64)} if self._label else {}
        return {self._image: tf.io.FixedLenFeature((), tf.string), **label}


def open_tfds(name: str, given: value_range.Bounds | None = None) -> TfdsSource:
    """The TFDS set `name`; one that is not prepared is downloaded into TFDS_DATA_DIR (or ~/tensorflow_datasets).

    Args:
        name: of the set, with its configuration.
        given: the values of black and white, if the user names them.

    Raises:
        DataMissing: it is not prepared and cannot be downloaded.
        UserError: no such set or configuration, or no images in it.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir(name), try_gcs=False)
    except Exception as error:  # TFDS raises many kinds for a wrong name, configuration or version
        raise UserError(f"TFDS set {name!r} cannot be opened: {first_line(error)}. {_configs(name)}") from error
    _find_features(name, builder.info.features)
    if not builder.is_prepared():
        _prepare(name, builder)
    return TfdsSource(name, builder, given)


def find_tfds_folder(folder: Path) -> Path | None:
    """The folder of TFRecord shards that TFDS wrote: this one, or the newest version in it; None if it is none."""
    names = [name for name in FOLDER_FILES if (folder / name).is_file()]
    versions = (path.parent for path in folder.glob(f"[0-9]*.[0-9]*.[0-9]*/{FOLDER_FILES[1]}"))
    names += [f"{path.name}/{name}" for path in versions for name in FOLDER_FILES if (path / name).is_file()]
    below = tfds_folder_among(names)
    return None if below is None else folder / below


def tfds_folder_among(names: Collection[str]) -> str | None:
    """The path of the folder of TFRecord shards that TFDS wrote, by the paths of files; "" for that of all of them."""
    if all(name in names for name in FOLDER_FILES):
        return ""
    folders = {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] == FOLDER_FILES[1]}
    versions = [folder for folder in folders if re.fullmatch(r"\d+\.\d+\.\d+", folder)]
    newest = max(versions, key=lambda folder: [int(part) for part in folder.split(".")], default=None)
    return newest if newest is not None and f"{newest}/{FOLDER_FILES[0]}" in names else None


def open_tfds_folder(folder: Path, given: value_range.Bounds | None = None) -> TfdsSource:
    """The TFRecord shards of a folder, with the splits, labels and class names that are described beside them.

    Args:
        folder: with `dataset_info.json` and `features.json`.
        given: the values of black and white, if the user names them.

    Raises:
        UserError: the description cannot be read, has no images, or a shard is missing or cut off.
    """
    builder = described_builder(folder, str(folder))
    _check_shards(builder)
    return TfdsSource(builder.info.name or folder.name, builder, given, is_folder=True)


def described_builder(folder: Path, where: str):
    """The builder of the TFRecord shards that the files of a folder describe.

    Args:
        folder: with `dataset_info.json` and `features.json`.
        where: the shards are, for messages.

    Raises:
        UserError: the description cannot be read, or has no images.
    """
    import tensorflow_datasets as tfds

    try:
        classes = set(_class_names_in(json.loads((folder / FOLDER_FILES[1]).read_text(encoding="utf-8"))))
        foreign = sorted(name for name in classes if not name.startswith("tensorflow_datasets."))
        if foreign:  # TFDS would import the module
            raise UserError(
                f"{where}/{FOLDER_FILES[1]} names {foreign[0]}, which is no feature of TFDS and is not imported"
            )
        builder = tfds.builder_from_directory(str(folder))
    except UserError:
        raise
    except Exception as error:  # a damaged file makes TFDS raise many kinds
        raise UserError(
            f"{where} cannot be read as TFRecord shards of TFDS: {first_line(error)}; tfds.folder_dataset."
            f"write_metadata writes its {' and '.join(FOLDER_FILES)} again"
        ) from error
    _find_features(where, builder.info.features)
    return builder


def _class_names_in(value: Any):
    """The Python classes that the JSON of features names."""
    if isinstance(value, dict):
        yield from (name for key, name in value.items() if key in ("pythonClassName", "type") and isinstance(name, str))
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _class_names_in(item)


def _check_shards(builder) -> None:
    """Raises UserError when a shard is missing or is cut off. Only where the sizes do not add up, shards are read."""
    for split in builder.info.splits.values():
        shards = list(zip([Path(str(path)) for path in split.filepaths], split.shard_lengths, strict=True))
        missing = [path.name for path, _ in shards if not path.is_file()]
        if missing:
            raise UserError(
                f"{builder.data_path}: {counted(len(missing), 'shard')} of {len(shards)} of the split {split.name!r} "
                f"are missing: {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}; {COPY_AGAIN}"
            )
        size = sum(path.stat().st_size for path, _ in shards)
        if size != split.num_bytes + FRAME_BYTES * split.num_examples:
            for path, count in shards:
                _check_lengths(path, count)


def _check_lengths(path: Path, count: int) -> None:
    """Walks over the lengths of the records of a shard; see `check_records`."""
    offsets, lengths = _record_places(path)
    check_records(path, offsets, lengths, count)


def check_records(path: Path | RemotePath, offsets: Sequence[int], lengths: Sequence[int], count: int) -> None:
    """Raises UserError unless a shard holds `count` whole records, the last of which ends where it ends.

    Args:
        path: of the shard.
        offsets, lengths: bytes, of the contents of its whole records.
        count: how many are declared.
    """
    end = int(offsets[-1] + lengths[-1]) + CHECKSUM_BYTES if len(offsets) else 0
    if len(offsets) != count or end != size_of(path):
        raise UserError(
            f"{path} holds {counted(len(offsets), 'whole record')}, and {count} are declared in {FOLDER_FILES[0]}: it "
            f"is cut off or was replaced; {COPY_AGAIN}"
        )


def _record_places(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(offset, length), [N] int64 in bytes, of the contents of the whole records of a shard."""
    size, place, offsets, lengths = path.stat().st_size, 0, [], []
    with open(path, "rb") as file:
        while place + FRAME_BYTES <= size:
            (length,) = struct.unpack("<Q", os.pread(file.fileno(), LENGTH_BYTES, place))
            if place + FRAME_BYTES + length > size:
                break
            offsets.append(place + LENGTH_BYTES + CHECKSUM_BYTES)
            lengths.append(length)
            place += FRAME_BYTES + length
    return np.array(offsets, np.int64), np.array(lengths, np.int64)


def _read_at(path: str, offset: int, length: int) -> bytes:
    """Bytes of a file; fewer where it is shorter now."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.pread(file, length, offset)
    finally:
        os.close(file)


def data_dir(name: str = "") -> str:
    """Where TFDS keeps the set `name`: $TFDS_DATA_DIR, or its own default, ~/tensorflow_datasets.

    Where the variable is not set and the set lies prepared in `tfds/` of the data folder alone, it is that.
    """
    folders = _data_dirs()
    return next((folder for folder in folders if name.split(":")[0] in _prepared_in(folder)), folders[0])


def _data_dirs() -> list[str]:
    """The folders that prepared sets are read from; what has to be downloaded goes to the first."""
    if given := os.environ.get("TFDS_DATA_DIR"):
        return [os.path.expanduser(given)]
    folder = data_folder()
    return [os.path.expanduser("~/tensorflow_datasets"), *([str(folder.resolve() / "tfds")] if folder else [])]


def registered_sets() -> list[str]:
    """The names of all sets that TFDS knows how to prepare."""
    import tensorflow_datasets as tfds

    return tfds.list_builders(with_community_datasets=False)


def prepared_sets() -> list[str]:
    """The sets that lie prepared: "mnist", "imagenette/160px-v2"."""
    return sorted({name for folder in _data_dirs() for name in _prepared_in(folder)})


def _prepared_in(folder: str) -> set[str]:
    root = Path(folder)
    infos = [*root.glob("*/*/dataset_info.json"), *root.glob("*/*/*/dataset_info.json")]
    return {info.parent.parent.relative_to(root).as_posix() for info in infos}


def _find_features(name: str, features) -> tuple[str, str | None, list[str]]:
    """(key of the image, key of the label or None, notes)."""
    import tensorflow_datasets as tfds

    items = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    pictures = [k for k, v in items.items() if type(v) is tfds.features.Image]
    if not pictures:
        has = ", ".join(f"{k} ({type(v).__name__})" for k, v in items.items()) or type(features).__name__
        raise UserError(f"TFDS set {name!r} has no image feature; it has {has}. Choose an image set such as mnist")
    image = "image" if "image" in pictures else pictures[0]
    classes = [k for k, v in items.items() if isinstance(v, tfds.features.ClassLabel)]
    label = "label" if "label" in classes else classes[0] if len(classes) == 1 else None
    notes = [f"images are taken from feature {image!r} of {pictures}"] if len(pictures) > 1 else []
    if classes and label is None:
        notes.append(f"no labels: features {classes} could each be the label")
    return image, label, notes


def _prepare(name: str, builder) -> None:
    """Downloads and prepares a set, after checking that its servers can be reached."""
    import tensorflow_datasets as tfds

    where = f"TFDS set {name!r} is not prepared in {data_dir()}"
    manual = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    folder = Path(data_dir()) / "downloads" / "manual"
    if manual and not (folder.is_dir() and any(folder.iterdir())):
        raise DataMissing(
            f"{where} and must be downloaded by hand into {folder}: {' '.join(manual.split())}. {_instead()}"
        )
    try:
        urls = list(builder.url_infos)
    except Exception:  # a set without recorded checksums
        urls = []
    failures = probe(urls or [FALLBACK_URL])
    if failures:
        raise DataMissing(f"{where}, and it cannot be downloaded: {'; '.join(failures)}. {_instead()}")
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:  # the network, the disk, a changed checksum: all for the user to solve
        raise DataMissing(f"{where}, and preparing it failed: {first_line(error)}. {_instead()}") from error


def probe(urls: list[str], seconds: float = PROBE_SECONDS) -> list[str]:
    """Why none of the servers behind `urls` answers within `seconds`; empty when one does.

    Any HTTP status is an answer: some servers refuse a HEAD request and still send the file.
    """
    first_of_host = {urllib.parse.urlsplit(url).netloc: url for url in reversed(urls)}
    results: dict[str, str] = {}

    def ask(host: str, url: str) -> None:
        try:
            opener = urllib.request.build_opener()  # a fresh one reads the proxies of now
            opener.open(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
        except urllib.error.HTTPError:
            results[host] = ""
        except Exception as error:  # anything else means that there is no way through
            results[host] = f"{host} cannot be reached ({first_line(error)})"
        else:
            results[host] = ""

    hosts = list(first_of_host.items())[-PROBE_HOSTS:]
    threads = [threading.Thread(target=ask, args=pair, daemon=True) for pair in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    answers = [results.get(host, f"{host} did not answer within {seconds:g} seconds") for host, _ in hosts]
    return [] if "" in answers else answers


def _instead() -> str:
    prepared = prepared_sets()
    sets = f"the prepared sets {', '.join(prepared)}" if prepared else "another TFDS_DATA_DIR that holds it"
    return f"Use {sets}, the embedded 'digits', or a folder of images; or connect to the network and try again"


def _configs(name: str) -> str:
    import tensorflow_datasets as tfds

    base, _, config = name.partition("/")
    try:
        configs = list(tfds.builder_cls(base.split(":")[0]).builder_configs)
    except Exception:  # the set itself is not known to TFDS
        return f"Known sets: {nearest(name, difflib.get_close_matches(name, registered_sets(), n=5))}"
    return f"Its configurations: {nearest(config, configs)}" if configs else "It has no configurations"


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
