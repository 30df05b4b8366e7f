"""Sets of shards at an address that are streamed: read by ranges, without a copy on the disk.

Here is which files of a set are its shards, by their names alone; `shards`, `shard_tar`, `shard_parquet` and
`tfds_streamed` read them.
"""

import posixpath
from collections.abc import Sequence
from pathlib import PurePosixPath

from kgen.config import DataConfig
from kgen.data.sources.base import Source
from kgen.data.sources.files import is_hidden, is_system, suffix_of, unread_sentences
from kgen.data.sources.idx import is_idx
from kgen.data.sources.label_files import NAME_FILES
from kgen.data.sources.picture import picture_suffixes
from kgen.data.sources.remote import RemoteSet
from kgen.data.sources.remote_path import RemoteFolder, RemotePath
from kgen.data.sources.shard_tar import begins_without_fields
from kgen.data.sources.shards import SUFFIXES, open_shards, shards_among
from kgen.data.sources.tfds import tfds_folder_among
from kgen.errors import UserError
from kgen.file_systems import RemoteFile


def is_streamable(found: RemoteSet) -> bool:
    """Whether the files at an address are those of a set of shards, by their names; of one tar by its first files."""
    return not _why_not(found)


def _why_not(found: RemoteSet) -> str:
    """Why the files at an address are none of a set of shards; "" where they are."""
    if found.is_folder:
        is_set = holds_records(found) or bool(_shards_in(_folder(found)))
    else:
        is_set = {PurePosixPath(name).suffix for name in found.files} in [{suffix} for suffix in SUFFIXES]
    if not is_set:
        return "is no set of shards (WebDataset .tar, .parquet, TFRecord of TFDS), which alone can be streamed"
    if found.is_folder or "{" in found.address or not found.address.endswith(".tar"):
        return ""
    (name,) = found.files
    if not begins_without_fields(_folder(found) / name):
        return ""
    return "is a tar of pictures but none of WebDataset, whose pictures have a .cls or a .json beside them"


def holds_records(found: RemoteSet) -> bool:
    """Whether they are TFRecord shards that TFDS wrote."""
    return found.is_folder and tfds_folder_among(found.files) is not None


def open_streamed(found: RemoteSet, config: DataConfig) -> Source:
    """The source of shards at an address.

    Args:
        found: its files; they are shards, or `config.remote` is "stream".
        config: its `labels`, `value_range` and `remote`.

    Raises:
        UserError: they are no shards, or these cannot be read.
        DataMissing: they are not there any more, or the server does not answer.
    """
    if config.remote == "stream" and (why := _why_not(found)):
        raise UserError(f"data.remote is 'stream', and {found.address} {why}; copy it: --remote copy")
    folder = _folder(found)
    if holds_records(found):
        from kgen.data.sources.tfds_streamed import open_streamed_tfds

        below = tfds_folder_among(found.files)
        return open_streamed_tfds(_below(folder, below) if below else folder, config.value_range)
    if not found.is_folder:
        shards = [folder / name for name in found.files]
        if len(shards) == 1 and "{" not in found.address:
            return open_shards(shards, folder, PurePosixPath(shards[0].name).stem, found.address, config)
        common = posixpath.commonpath([posixpath.dirname(f"/{name}") for name in found.files])
        return open_shards(shards, folder, PurePosixPath(folder.url + common).name, found.address, config)
    shards = _shards_in(folder)
    source = open_shards(shards, folder, PurePosixPath(found.address).name, found.address, config)
    used = {*(shard.below for shard in shards), *NAME_FILES}
    images, arrays, others = unread_sentences(sorted(n for n in folder.files if n not in used and not is_hidden(n)))
    source.notes += others
    source.unread += images
    source.findings += [*images, *arrays]
    return source


def _folder(found: RemoteSet) -> RemoteFolder:
    return RemoteFolder(found.top, found.files, found.system)


def _below(folder: RemoteFolder, name: str) -> RemoteFolder:
    """A folder in a folder."""
    files: dict[str, RemoteFile] = {
        path.removeprefix(f"{name}/"): file for path, file in folder.files.items() if path.startswith(f"{name}/")
    }
    return RemoteFolder(f"{folder.url}/{name}", files, folder.system)


def _shards_in(folder: RemoteFolder) -> Sequence[RemotePath]:
    """The shards of a folder; [] where it holds pictures, or none of them."""
    names = [name for name in folder.files if not is_system(name)]
    pictures = picture_suffixes()
    if any(is_idx(name) or (suffix_of(name) in pictures and not is_hidden(name)) for name in names):
        return []
    names = [name for name in names if not is_hidden(name)]
    return shards_among(sorted(names), folder)
