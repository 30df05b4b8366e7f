"""Writes a data set as shards: TFRecord files that TFDS reads, or tars that the webdataset library reads.

Images are decoded and resized once where a size is asked for, and kept as they are otherwise; splits, labels and the
names of the classes go with them, and a file SHA256SUMS that `sha256sum --check` understands. A shard is written aside
and then renamed, and a line is kept of each: the same command goes on where it was interrupted, to the same bytes. One
that goes to an address is written into the folder of the cache, copied, and emptied here; SHA256SUMS comes last.
"""

import bisect
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from kgen.cache import cache_root, digest
from kgen.config import DataConfig
from kgen.data.loading import image_shape_of, refuse_or_note, refuse_unread
from kgen.data.sources.base import Skipped, Source
from kgen.data.sources.pictures import PictureSource, map_in_threads
from kgen.data.sources.resolve import open_source
from kgen.data.sources.shards import SUMS
from kgen.data.splits import SPLITS
from kgen.data.store import transformed_records
from kgen.data.transforms import TRANSFORM_VERSION, make_transform
from kgen.errors import UserError
from kgen.file_systems import OF_THE_WEB, ask, files_of, is_address, reason_of, scheme_of
from kgen.io import remove_leftovers, write_aside, write_text
from kgen.tables import counted

SHARD_BYTES = 2**27
"""Of a shard, about, where the number of its images is not given."""
IMAGES_OF_UNKNOWN_SIZE = 1000
"""In a shard, where their sizes differ and are not known."""
SAMPLED_FILES = 64
"""Pictures whose size is looked at, to find how many a shard has."""
BLOCK = 1024
"""Pictures that are read at once."""
LOG = ".kgen-shards.jsonl"
"""The file that has a line for what is written, and one for each shard that is done, until all are."""
PNG_START = b"\x89PNG"
VERSION = 1


@dataclass(frozen=True)
class WrittenSample:
    """An image as it is written.

    Attributes:
        place: among the images that are written in this call.
        number: within the split.
        name: of the image in its source.
        content: of the file, PNG or JPEG.
        label: None without classes.
    """

    place: int
    number: int
    name: str
    content: bytes
    label: int | None


@dataclass(frozen=True)
class WrittenShard:
    """A shard that is written: file name, split, images, bytes of its records, SHA-256, and what was left out of it."""

    name: str
    split: str
    images: int
    record_bytes: int
    sha256: str
    skipped: list


@dataclass(frozen=True)
class ShardsSpec:
    """What the shards hold together: see `DataSpec`; `image_shape` is None where the images have several sizes."""

    name: str
    image_shape: tuple[int | None, int | None, int]
    class_names: tuple[str, ...]


class TarShards:
    """Shards of WebDataset: 000000017.png, and 000000017.cls with the number of the class."""

    @staticmethod
    def file_name(name: str, split: str, number: int, total: int) -> str:
        return f"{name}-{split}-{number:06d}.tar"

    @staticmethod
    def write(path: Path, samples: Iterator[WrittenSample]) -> tuple[int, int]:
        """(images, bytes of them) that were written."""
        images = size = 0
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in samples:
                fields = {"png" if sample.content.startswith(PNG_START) else "jpg": sample.content}
                if sample.label is not None:
                    fields["cls"] = str(sample.label).encode()
                for field, content in fields.items():
                    member = tarfile.TarInfo(f"{sample.number:09d}.{field}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
                images, size = images + 1, size + len(sample.content)
        return images, size

    @staticmethod
    def describe(folder: Path, described: ShardsSpec, done: Sequence[WrittenShard]) -> list[str]:
        """Writes the names of the classes; the names of the files."""
        if not described.class_names:
            return []
        lines = [f"{number} {' '.join(name.split())}" for number, name in enumerate(described.class_names)]
        return [write_text(folder / "classes.txt", "\n".join(lines) + "\n").name]


class TfrecordShards:
    """TFRecord files with the description that TFDS reads: features `image`, `label` and `name`."""

    @staticmethod
    def file_name(name: str, split: str, number: int, total: int) -> str:
        return f"{_tfds_name(name)}-{split}.tfrecord-{number:05d}-of-{total:05d}"

    @staticmethod
    def write(path: Path, samples: Iterator[WrittenSample]) -> tuple[int, int]:
        """(images, bytes of the records) that were written."""
        import tensorflow as tf

        images = size = 0
        with tf.io.TFRecordWriter(str(path)) as writer:
            for sample in samples:
                example = tf.train.Example()
                feature = example.features.feature
                feature["image"].bytes_list.value.append(sample.content)
                feature["name"].bytes_list.value.append(sample.name.encode("utf-8", "backslashreplace"))
                if sample.label is not None:
                    feature["label"].int64_list.value.append(sample.label)
                record = example.SerializeToString(deterministic=True)
                writer.write(record)
                images, size = images + 1, size + len(record)
        return images, size

    @staticmethod
    def describe(folder: Path, described: ShardsSpec, done: Sequence[WrittenShard]) -> list[str]:
        """Writes the files that TFDS reads beside the shards; their names."""
        import tensorflow_datasets as tfds

        features = {"image": tfds.features.Image(shape=described.image_shape), "name": tfds.features.Text()}
        if described.class_names:
            features["label"] = tfds.features.ClassLabel(names=list(described.class_names))
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name=_tfds_name(described.name), filetype_suffix="tfrecord"
        )
        splits = [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[shard.images for shard in shards],
                num_bytes=sum(shard.record_bytes for shard in shards),
                filename_template=template.replace(split=split),
            )
            for split, shards in ((split, list(group)) for split, group in groupby(done, lambda shard: shard.split))
        ]
        tfds.folder_dataset.write_metadata(
            data_dir=str(folder),
            features=features,
            split_infos=splits,
            filename_template=template,
            check_data=False,
            description=f"{described.name}, written by kgen-data.",
            disable_shuffling=True,
            supervised_keys=("image", "label") if described.class_names else None,
        )
        return sorted(path.name for path in folder.iterdir() if path.suffix in (".json", ".txt"))


def _tfds_name(name: str) -> str:
    """The name of a set as TFDS spells it."""
    name = name.replace("-", "_")
    return name if name[:1].isalpha() else f"set_{name}"


@dataclass(frozen=True)
class Destination:
    """Where shards go.

    Attributes:
        folder: of this machine, into which they are written.
        address: to which each is copied when it is whole; None: they stay in the folder.
    """

    folder: Path
    address: str | None = None

    @classmethod
    def of(cls, to: str | Path) -> "Destination":
        """A folder or an address.

        Raises:
            UserError: nothing can be written to such an address.
        """
        if not is_address(to):
            return cls(Path(to))
        address = to.strip().rstrip("/")
        if scheme_of(address) in OF_THE_WEB:
            raise UserError(
                f"--to {address}: a web server takes no files; give a folder, or an address as gs://bucket/x"
            )
        files_of(address)
        return cls(cache_root() / "shards-to" / digest(address), address)

    def names(self) -> list[str]:
        """Of the files that are there."""
        if not self.address:
            return [path.name for path in self.folder.iterdir()]
        return self._ask(lambda files: files.names(self.address))

    def deliver(self, name: str) -> None:
        """Copies a file that is whole to the address; here its name stays, by which TFDS finds out which there are."""
        if self.address:
            self._ask(lambda files: files.write(f"{self.address}/{name}", self.folder / name))
            os.truncate(self.folder / name, 0)

    def __str__(self) -> str:
        return self.address or str(self.folder)

    def _ask(self, question: Callable):
        files = files_of(self.address)
        try:
            return ask(lambda: question(files))
        except UserError:
            raise
        except Exception as error:  # each file system has errors of its own
            raise UserError(
                f"--to {self.address} cannot be written: {reason_of(error)}; the same command goes on from here"
            ) from error


def write_shards(
    config: DataConfig,
    to: str | Path,
    shards: type[TarShards] | type[TfrecordShards],
    *,
    images_per_shard: int | None = None,
    seed: int = 0,
) -> list[str]:
    """Writes a data set as shards, or goes on where that was interrupted.

    Args:
        config: which images, and the size that they get; without a size they are kept as they are.
        to: the folder or the address that gets the shards; new, or with some of the same.
        shards: the format.
        images_per_shard: None: as many as take about 128 MiB.
        seed: of `config.limit`.

    Returns:
        Sentences about what was written, and what was left out.

    Raises:
        UserError: the set cannot be read, or the folder holds something else.
    """
    destination = Destination.of(to)
    source = open_source(config)
    refuse_unread(source, config)
    ordered = sorted(source.counts, key=lambda split: SPLITS.index(split) if split in SPLITS else len(SPLITS))
    chosen = {split: source.order(split) for split in ordered if source.counts[split]}
    if config.limit:
        chosen = {split: source.choose(split, order, config.limit, seed) for split, order in chosen.items()}
    total = len(source.skipped) + sum(map(len, chosen.values()))
    chosen = {split: indices for split, indices in source.scan(chosen).items() if len(indices)}
    left_out = refuse_or_note(source.skipped, total, config)
    if not chosen:
        raise UserError(f"data set {source.name!r}: no image can be read. {left_out}")
    channels = 1 if config.grayscale or source.channels < 3 else 3
    files = isinstance(source, PictureSource) and not (config.image_size or config.grayscale)
    sized = bool(config.image_size or source.default_size or source.size or (channels != source.channels and not files))
    shape = image_shape_of(source, config) if sized else (None, None, channels)
    transform = make_transform(source.channels, shape, config.fit, source.size) if sized and not files else None
    per_shard = images_per_shard or _images_per_shard(source, chosen, shape, files)
    planned = [
        (
            split,
            (shards.file_name(source.name, split, number, -(-len(indices) // per_shard)), places, number * per_shard),
        )
        for split, indices in chosen.items()
        for number, places in enumerate(np.split(indices, range(per_shard, len(indices), per_shard)))
    ]
    plan = digest(
        [VERSION, TRANSFORM_VERSION, list(source.identity), shape, files, config.fit, source.value_range, per_shard],
        [[split, name] for split, (name, _, _) in planned],
        *chosen.values(),
    )
    done = _start(destination, plan, config)
    before = len(done)
    for split in chosen:
        of_split = [shard for s, shard in planned if s == split]
        _write_split(source, split, of_split, transform, files, destination, shards, done, config)
    ordered = [done[name] for _, (name, _, _) in planned]
    lost = [Skipped(*pair) for shard in ordered for pair in shard.skipped]
    source.skipped += [skipped for skipped in lost if skipped not in source.skipped]
    described = ShardsSpec(source.name, shape, source.class_names)
    others = shards.describe(destination.folder, described, ordered)
    _finish(destination, ordered, others)
    images = sum(shard.images for shard in ordered)
    splits = ", ".join(f"{sum(s.images for s in ordered if s.split == split):,} {split}" for split in chosen)
    notes = [f"{destination}: {images:,} images ({splits}) in {counted(len(ordered), 'shard')}"]
    if before:
        notes.append(f"{counted(before, 'shard was', 'shards were')} there from an earlier call")
    return [*source.notes, *source.findings, *notes, *filter(None, [refuse_or_note(source.skipped, total, config)])]


def _images_per_shard(source: Source, chosen: Mapping[str, np.ndarray], shape, files: bool) -> int:
    if not files:
        size = np.prod(shape) if shape[0] else SHARD_BYTES / IMAGES_OF_UNKNOWN_SIZE
    else:
        split, indices = next(iter(chosen.items()))
        some = indices[:: max(1, len(indices) // SAMPLED_FILES)]
        sizes = [len(content) for content in map_in_threads(lambda i: source.encoded(split, i), some) if content]
        size = np.mean(sizes or [1])
    return max(1, int(SHARD_BYTES / size))


def _write_split(
    source, split, planned, transform, files, destination, shards, done: dict[str, WrittenShard], config
) -> None:
    """Writes the shards of one split that are not done, in one pass over their images.

    Args:
        planned: (file name, indices, number of the first image) of each.
        done: gets what was written.
    """
    from tqdm import tqdm

    folder, todo = destination.folder, [shard for shard in planned if shard[0] not in done]
    if not todo:
        return
    indices = np.concatenate([places for _, places, _ in todo])
    numbers = np.concatenate([np.arange(first, first + len(places)) for _, places, first in todo])
    ends = np.cumsum([len(places) for _, places, _ in todo]).tolist()

    def write(name: str, count: int, samples: Iterator[WrittenSample]) -> None:
        skipped, written = len(source.skipped), []
        path = write_aside(folder / name, lambda aside: written.append(shards.write(aside, samples)))
        ((images, size),) = written
        if config.strict and images < count:
            path.unlink()
            refuse_or_note(source.skipped, len(indices), config)
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        lost = [[s.name, s.reason] for s in source.skipped[skipped:]]
        destination.deliver(name)
        done[name] = WrittenShard(name, split, images, size, sha256, lost)
        with open(folder / LOG, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(done[name])) + "\n")
        bar.update(count)

    with tqdm(total=len(indices), desc=f"{source.name} {split}", unit="img", delay=2, leave=False, disable=None) as bar:
        samples = _samples(source, split, indices, numbers, transform, files)
        for shard, of_shard in groupby(samples, lambda sample: bisect.bisect_right(ends, sample.place)):
            write(todo[shard][0], len(todo[shard][1]), of_shard)
        for name, places, _ in todo:
            if name not in done:  # none of its images can be read
                write(name, len(places), iter(()))


def _samples(source: Source, split: str, indices, numbers, transform, files: bool) -> Iterator[WrittenSample]:
    """The images of `indices` in their order, with their `numbers`; those that cannot be read are missing."""
    labelled, place = source.num_classes > 0, 0

    def sample(place: int, content: bytes, label) -> WrittenSample:
        name = source.name_of(split, int(indices[place]))
        return WrittenSample(place, int(numbers[place]), name, content, int(label) if labelled else None)

    if files:
        labels = source.labels(split) if labelled else np.zeros(source.counts[split], np.int32)
        for start in range(0, len(indices), BLOCK):
            some = indices[start : start + BLOCK]
            contents = map_in_threads(lambda index: source.encoded(split, index), some)
            for place, content in enumerate(contents, start):
                if content is not None:
                    yield sample(place, content, labels[indices[place]])
        return
    import tensorflow as tf

    def encode(index, pixels, label):
        return index, tf.io.encode_png(pixels), label

    records = transformed_records(source, split, indices, transform).map(encode, tf.data.AUTOTUNE, deterministic=True)
    try:
        for index, content, label in records.prefetch(BLOCK).as_numpy_iterator():
            while indices[place] != index:  # of an image that cannot be read
                place += 1
            yield sample(place, content, label)
    except tf.errors.OpError as error:
        raise source.explain(split, error) from error


def _start(destination: Destination, plan: str, config: DataConfig) -> dict[str, WrittenShard]:
    """The shards that an earlier call with the same settings has written, by name; {} in a new folder.

    Raises:
        UserError: the folder holds something else.
    """
    folder = destination.folder
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    log, there = folder / LOG, sorted(destination.names())
    if log.is_file():
        first, *lines = log.read_text(encoding="utf-8").splitlines()
        if json.loads(first).get("plan") != plan:
            raise UserError(
                f"{destination} holds unfinished shards of other images or settings than {config.dataset!r} has now; "
                f"remove it{f' and {folder}' if destination.address else ''}, or name another folder with --to"
            )
        done = {}
        for line in lines:
            try:
                shard = WrittenShard(**json.loads(line))
            except (ValueError, TypeError):  # cut off when the process was killed
                continue
            if shard.name in there:
                done[shard.name] = shard
        return done
    if there:
        raise UserError(f"{destination} is not empty, it holds {there[0]}; name a new folder with --to")
    write_text(log, json.dumps({"plan": plan}) + "\n")
    return {}


def _finish(destination: Destination, done: Sequence[WrittenShard], others: Sequence[str]) -> None:
    """Writes the checksums of all files and removes the log: from now on the set is whole."""
    folder = destination.folder
    lines = [f"{shard.sha256}  {shard.name}" for shard in done]
    for name in others:
        lines.append(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}")
    write_text(folder / SUMS, "\n".join(lines) + "\n")
    for name in (*others, SUMS):
        destination.deliver(name)
    os.remove(folder / LOG)
    if destination.address:
        shutil.rmtree(folder, ignore_errors=True)
