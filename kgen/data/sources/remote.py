"""Data sets at an address, gs://, s3://, https:// …: which files they are, and their copy in the folder of the cache.

`kgen.file_systems` reads them. A copy is resumed where it was interrupted; files that changed at the address are copied
again. Where the set has a file SHA256SUMS, it says which files there are, and their content is checked. Sets of shards
can be read without a copy: `streamed`.
"""

import contextlib
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kgen.cache import cache_root, digest
from kgen.data.sources.remote_path import wrong_checksum
from kgen.data.sources.shards import SUMS, expand, read_sums
from kgen.errors import DataMissing, UserError
from kgen.file_systems import THREADS, RemoteFile, ask, copy_out, files_of, in_threads, is_refusal, reason_of
from kgen.io import write_aside
from kgen.tables import counted

MIB, GIB = 2**20, 2**30
DOWNLOAD = "download the images and give their path"


class NotThere(DataMissing):
    """A file that is not at its address, or not for this user."""


def check_address(address: str) -> None:
    """Raises UserError where what reads an address is not installed; asks no server."""
    files_of(address)


@dataclass(frozen=True)
class RemoteSet:
    """The files of a set at an address; `find_set` makes one.

    Attributes:
        address: as it was given, without a slash or the name of its checksums at its end.
        top: the folder that the files lie in, an address.
        files: path below it -> file.
        folder: of this machine that a copy of it is put into.
        place: the path, or the pattern of the paths, of that copy.
        system: the file system that reads it.
    """

    address: str
    top: str
    files: dict[str, RemoteFile]
    folder: Path
    place: str
    system: Any

    @property
    def is_folder(self) -> bool:
        """Whether the address is that of a folder, and not of a file or a pattern."""
        return self.address == self.top

    def amount(self, which: str) -> str:
        """How many files it is, which ones, and how large: "3 files of an earlier copy, 0.1 MiB"."""
        size = sum(file.size or 0 for file in self.files.values())
        return f"{counted(len(self.files), 'file')} {which}, {size / MIB:.1f} MiB"

    @cached_property
    def not_copied(self) -> dict[str, RemoteFile]:
        """Those of the files that are not on this machine in this version."""
        known = _copied(_log_of(self.folder))
        return {
            name: file for name, file in self.files.items() if not _is_here(self.folder / name, file, known.get(name))
        }

    @property
    def _gone(self) -> list[Path]:
        """Files of an earlier copy that are at the address no more."""
        names = set(_copied(_log_of(self.folder))).difference(self.files) if self.is_folder else ()
        return [path for path in (self.folder / name for name in names) if path.is_file()]

    @cached_property
    def lacks_room(self) -> str:
        """Why the rest of the copy does not fit on the disk; "" where it does, also after what is gone is removed."""
        needed = sum(file.size or 0 for file in self.not_copied.values())
        place = next(place for place in (self.folder, *self.folder.parents) if place.exists())
        free = (shutil.disk_usage(place).free + sum(path.stat().st_size for path in self._gone)) * 9 // 10
        if needed <= free:
            return ""
        return (
            f"{self.address} holds {needed / GIB:.1f} GiB, and {cache_root()} has {free / GIB:.1f} GiB left for a copy"
        )

    def copy(self) -> str:
        """Copies what is not on this machine yet; a note for the log.

        Raises:
            UserError: the disk has no room, or a checksum is wrong.
            DataMissing: a file is not there any more, or the server does not answer.
        """
        if self.not_copied and self.lacks_room:
            raise UserError(f"{self.lacks_room}; set KGEN_CACHE_DIR to a larger disk, or name fewer shards")
        for path in self._gone:
            path.unlink(missing_ok=True)
        if not self.not_copied:
            return f"{self.address}: {self.amount('of an earlier copy')}, in {self.folder}"
        return _copy(self)


def find_set(address: str, is_file: Callable[[str], bool], *, ranges: bool = False) -> RemoteSet:
    """The files that are at an address; none is read but SHA256SUMS.

    Args:
        address: of a folder, of a file, of its SHA256SUMS, or a pattern with braces.
        is_file: whether the name of a file is that of a data set of its own.
        ranges: whether it is to be streamed.

    Raises:
        UserError: what reads it is not installed.
        DataMissing: there is no such file or folder, or the server does not answer.
    """
    address = address.strip().rstrip("/").removesuffix(f"/{SUMS}")
    system = files_of(address, ranges=ranges)
    top, _, last = address.rpartition("/")
    if "{" in address:
        top = address[: address.index("{")].rpartition("/")[0]
        wanted = {url.removeprefix(f"{top}/"): url for url in expand(address) or [address]}
        files = _ask(address, lambda: in_threads(system.describe, wanted))
        folder = _folder_of(top) / top.rpartition("/")[2]
        return RemoteSet(address, top, files, folder, str(folder / address.removeprefix(f"{top}/")), system)
    if is_file(last):
        files, folder = _ask(address, lambda: {last: system.describe(address)}), _folder_of(top)
        return RemoteSet(address, top, files, folder, str(folder / last), system)
    folder = _folder_of(address) / last
    return RemoteSet(address, address, _files_in(address, system), folder, str(folder), system)


def _folder_of(address: str) -> Path:
    return cache_root() / "remote" / digest(address)


def _files_in(address: str, remote) -> dict[str, RemoteFile]:
    """Path below a folder -> file: those that its SHA256SUMS names, else all that are listed."""
    try:
        sums = read_sums(_ask(f"{address}/{SUMS}", lambda: _read(remote, f"{address}/{SUMS}")).decode(errors="replace"))
    except NotThere:
        files = _ask(address, lambda: remote.find(address))
        if not files:
            raise DataMissing(
                f"nothing is found at {address}. Where a server lists no folders, name the shards, "
                f"'{address}/train-{{000..009}}.tar', or put a file {SUMS} beside them: sha256sum * > {SUMS}. Of any "
                f"other page {DOWNLOAD}"
            ) from None
        return files
    named = _ask(address, lambda: in_threads(remote.describe, {name: f"{address}/{name}" for name in sums}))
    return {name: RemoteFile(f.url, f.size, f.version, sums[name]) for name, f in named.items()}


def _read(remote, url: str) -> bytes:
    with remote.open(url) as file:
        return file.read()


def _ask(address: str, question: Callable):
    """The answer of a file system, asked several times.

    Raises:
        DataMissing: there is no such thing, or no answer.
    """
    try:
        return ask(question)
    except UserError:
        raise
    except Exception as error:
        what = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read"
        kind = NotThere if is_refusal(error) else DataMissing
        raise kind(f"{address} {what}: {reason_of(error)}; {DOWNLOAD}") from error


def _copy(found: RemoteSet) -> str:
    """Copies those of the files that are not there in this version; a note for the log."""
    missing, folder, lock = found.not_copied, found.folder, threading.Lock()
    needed, log = sum(file.size or 0 for file in missing.values()), _log_of(folder)
    folder.mkdir(parents=True, exist_ok=True)
    from tqdm import tqdm

    with tqdm(total=needed, desc=found.address, unit="B", unit_scale=True, delay=2, leave=False, disable=None) as bar:

        def copy(name: str) -> None:
            file = missing[name]
            _ask(file.url, lambda: write_aside(folder / name, lambda aside: _fetch(found, file, aside, bar.update)))
            with lock, open(log, "a", encoding="utf-8") as lines:
                lines.write(json.dumps([name, file.size, file.version, file.sha256]) + "\n")

        with ThreadPoolExecutor(THREADS) as pool:
            for done in [pool.submit(copy, name) for name in missing]:
                done.result()
    return (
        f"{found.address}: copied {counted(len(missing), 'file')} of {len(found.files)}, {needed / MIB:.1f} MiB, to "
        f"{folder}"
    )


def _fetch(found: RemoteSet, file: RemoteFile, aside: Path, count: Callable[[int], object]) -> None:
    """Copies one file.

    Raises:
        UserError: its content has another checksum.
        OSError: it has another size.
    """
    size, sha256 = copy_out(found.system, file.url, aside, count)
    if file.size is not None and size != file.size:
        raise OSError(f"{size} of {file.size} bytes arrived")
    if file.sha256 and sha256 != file.sha256:
        raise wrong_checksum(file.url)


def _log_of(folder: Path) -> Path:
    """The file that has a line for each file that was copied into a folder."""
    return folder.with_name(f"{folder.name}.copied.jsonl")


def _copied(log: Path) -> dict[str, list]:
    """Name -> [size, version, sha256] of the files that were copied."""
    found = {}
    with contextlib.suppress(OSError):
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # the last one may be cut off
                name, *facts = json.loads(line)
                found[name] = facts
    return found


def _is_here(path: Path, file: RemoteFile, known: list | None) -> bool:
    if known != [file.size, file.version, file.sha256] or not path.is_file():
        return False
    return file.size is None or path.stat().st_size == file.size
