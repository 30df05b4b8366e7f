"""A folder of pictures, or an archive of one, as a Source: any sizes, any formats that Pillow reads.

`files` lists and opens its files, `layout` says which folders are splits and classes, `pictures` decodes them.
"""

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kgen.cache import cached_json, digest
from kgen.config import DataConfig
from kgen.data.sources.archives import TarFiles, ZipFiles, without_suffix
from kgen.data.sources.base import Source
from kgen.data.sources.files import FolderFiles, unread_sentences
from kgen.data.sources.idx import is_idx, open_idx
from kgen.data.sources.label_files import NAME_FILES, add_labels
from kgen.data.sources.layout import (
    Layout,
    find_empty_classes,
    find_empty_splits,
    number_classes,
    read_folders,
    shorten,
)
from kgen.data.sources.pictures import PictureSource, map_in_threads
from kgen.data.sources.shard_tar import is_shard
from kgen.data.sources.shards import open_shards, shards_among


def open_folder(path: Path, config: DataConfig | None = None) -> Source:
    """The source of a folder, a .zip or a .tar (also .tar.gz, .tar.bz2, .tar.xz): pictures, shards or IDX files.

    Args:
        path: of the folder or the archive.
        config: its `layout` and `labels`.

    Raises:
        UserError: there are none, or the archive is broken, encrypted or not to be trusted.
    """
    kind = FolderFiles if path.is_dir() else ZipFiles if path.suffix.lower() == ".zip" else TarFiles
    files = kind(path)
    if not files.names and any(map(is_idx, files.other_names)):
        names = list(filter(is_idx, files.other_names))
        source = open_idx(names, files.open, path, config or DataConfig(), files.identity)
        _report_unread(source, files, names)
        return source
    config = config or DataConfig()
    if path.is_dir() and not files.names and (shards := shards_among(files.other_names, path)):
        source = open_shards(shards, path, path.resolve().name, str(path), config)
        used = {shard.relative_to(path).as_posix() for shard in shards}
        _report_unread(source, files, {*used, *(name for name in files.other_names if name in NAME_FILES)})
        return source
    if isinstance(files, TarFiles) and is_shard(files):
        files.close()
        return open_shards([path], path.parent, without_suffix(path), str(path), config)
    files.refuse_without_pictures()
    return FolderSource(path, files, config)


class FolderSource(PictureSource):
    """The pictures of a folder or an archive; `open_folder` makes one."""

    def __init__(self, path: Path, files: FolderFiles, config: DataConfig):
        layout, used = _read_layout(files, config)
        self._paths, self._files, self._layout_digest = layout.paths, files, _digest(layout)
        super().__init__(
            without_suffix(path) if path.is_file() else path.resolve().name,
            str(files.path),
            layout.labels,
            layout.class_names,
            (*files.identity, self._layout_digest),
            config.value_range,
        )
        self.notes.append(layout.description)
        _report_unread(self, files, used)
        self.skipped += layout.skipped
        self.findings += layout.findings

    def name_of(self, split: str, index: int) -> str:
        return self._paths[split][index]

    def _open(self, split: str, index: int) -> BinaryIO:
        return self._files.open(self._paths[split][index])

    def content(self) -> Any:
        """The bytes of the pictures, their splits and labels; remembered as long as no file changes."""

        def make():
            from tqdm import tqdm

            names = np.array([path for split in sorted(self._paths) for path in self._paths[split]], object)
            with tqdm(
                total=len(names), desc=f"{self.name} content", unit="img", delay=2, leave=False, disable=None
            ) as bar:

                def checksum(number: int) -> str:
                    bar.update(1)
                    try:
                        return self._files.checksum(names[number])
                    except OSError:
                        return "unreadable"

                return digest(map_in_threads(checksum, np.arange(len(names))))

        return [cached_json("content", {"identity": self.identity}, make), self._layout_digest]


def _read_layout(files: FolderFiles, config: DataConfig) -> tuple[Layout, Iterable[str]]:
    """The splits and classes of the pictures, by their folders and by files of labels; and these files."""
    folders = read_folders(files.names, config.layout)
    add_labels(folders, files, config.labels)
    empty = find_empty_classes(folders, files.folders, files.names)
    empty = find_empty_splits(files.folders, [*files.names, *files.other_names]) + empty
    if empty:
        folders.findings.append(f"{shorten(empty)} {'holds' if len(empty) == 1 else 'hold'} no images")
    return number_classes(folders), {*folders.labels_from, *folders.label_files}


def _digest(layout: Layout) -> str:
    """Changes whenever a split, a label or the name of a class does."""
    digest = hashlib.blake2b("\0".join(layout.class_names).encode(), digest_size=8)
    for split, paths in layout.paths.items():
        digest.update("\0".join((split, *paths)).encode("utf-8", "surrogateescape"))
        digest.update(np.array(layout.labels[split], np.int32))
    return digest.hexdigest()


def _report_unread(source: Source, files: FolderFiles, used: Collection[str]) -> None:
    """Adds to a source what is to be said of the files that are neither pictures nor used."""
    images, arrays, others = unread_sentences([name for name in files.other_names if name not in used])
    source.notes += [*files.notes, *others]
    source.unread += [*files.unread, *images]
    source.findings += [*files.findings, *source.unread, *arrays]
