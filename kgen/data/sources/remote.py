"""Data sets at an address, gs://, s3://, https:// …: copied once into the folder of the cache, and read from there.

`gs://` is read by TensorFlow's own file systems, `https://` by requests, every other address by fsspec, which is
imported when one is given. A copy is resumed where it was interrupted; files that changed at the address are copied
again. Where the set has a file SHA256SUMS, it says which files there are, and their content is checked.
"""

import contextlib
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kgen.cache import cache_root, digest
from kgen.data.sources.shards import SUMS, expand, read_sums
from kgen.errors import DataMissing, UserError
from kgen.io import write_aside
from kgen.tables import counted

OF_TENSORFLOW = ("gs", "ram")
"""Schemes that TensorFlow reads: Google Cloud Storage, and its file system in memory."""
VERSIONS = ("etag", "ETag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created")
"""Of what a file system tells of a file: what changes when the file does, the first of these first."""
REFUSES_HEAD = (403, 405, 501)
"""What a web server answers that sends a file and does not describe it."""
TIMEOUT_SECONDS = 60
THREADS = 8
TRIES, FIRST_WAIT_SECONDS = 5, 0.5
"""How often a file is asked for, and the time before the second try, which doubles with each."""
BLOCK_BYTES = 2**20
EXTRA = "pip install 'kgen[remote]'"
DOWNLOAD = "download the images and give their path"


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address.

    Attributes:
        url: of the file.
        size: bytes; None where that is not told.
        version: changes when the file does; "" where that is not told.
        sha256: of its content, 64 hex digits; "" where it is not known.
    """

    url: str
    size: int | None
    version: str
    sha256: str = ""


class NotThere(DataMissing):
    """A file that is not at its address, or not for this user."""


class TensorFlowFiles:
    """What TensorFlow's file systems read."""

    def describe(self, url: str) -> RemoteFile:
        import tensorflow as tf

        status = tf.io.gfile.stat(url)
        return RemoteFile(url, status.length, str(status.mtime_nsec))

    def open(self, url: str) -> BinaryIO:
        import tensorflow as tf

        return tf.io.gfile.GFile(url, "rb")

    def list(self, url: str) -> dict[str, RemoteFile]:
        """Path below the folder -> file."""
        import tensorflow as tf

        found = {}
        for folder, _, names in tf.io.gfile.walk(url):
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                found[path.removeprefix(f"{url}/")] = self.describe(path)
        return found


class WebFiles:
    """What a web server sends; it lists no folders."""

    def __init__(self):
        import requests

        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"

    def describe(self, url: str) -> RemoteFile:
        answer = self._session.head(url, allow_redirects=True, timeout=TIMEOUT_SECONDS)
        if answer.status_code in REFUSES_HEAD:
            answer = self._session.get(url, stream=True, timeout=TIMEOUT_SECONDS)
            answer.close()
        headers = _found(answer).headers
        size = int(headers["Content-Length"]) if headers.get("Content-Length", "").isdigit() else None
        return RemoteFile(url, size, headers.get("ETag") or headers.get("Last-Modified") or "")

    def open(self, url: str) -> BinaryIO:
        return _found(self._session.get(url, stream=True, timeout=TIMEOUT_SECONDS)).raw

    def list(self, url: str) -> dict[str, RemoteFile]:
        return {}


def _found(answer):
    """The answer of a web server.

    Raises:
        OSError: it is that of a failure.
    """
    if answer.ok:
        return answer
    answer.close()
    errors = dict.fromkeys((404, 410), FileNotFoundError) | dict.fromkeys((401, 403), PermissionError)
    raise errors.get(answer.status_code, OSError)(f"{answer.status_code} {answer.reason}")


class FsspecFiles:
    """What fsspec reads; `url` names the scheme.

    Raises:
        UserError: fsspec, or what it needs for the scheme, is not installed.
    """

    def __init__(self, url: str):
        scheme = url.partition("://")[0]
        try:
            import fsspec

            self._fs, _ = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise UserError(f"{url!r} is read by fsspec: {EXTRA} ({error})") from error
        except ValueError as error:
            raise UserError(f"{url!r} is an address of a kind that is not read, {scheme}://: {error}") from error

    def describe(self, url: str) -> RemoteFile:
        return _described(url, self._fs.info(url))

    def open(self, url: str) -> BinaryIO:
        return self._fs.open(url, "rb")

    def list(self, url: str) -> dict[str, RemoteFile]:
        """Path below the folder -> file."""
        top = f"{self._fs._strip_protocol(url).rstrip('/')}/"
        found = self._fs.find(url, detail=True)
        return {
            path.removeprefix(top): _described(self._fs.unstrip_protocol(path), info)
            for path, info in found.items()
            if path.startswith(top)
        }


def _described(url: str, info: dict) -> RemoteFile:
    version = next((str(info[key]) for key in VERSIONS if info.get(key)), "")
    return RemoteFile(url, info.get("size"), version)


def check_address(address: str) -> None:
    """Raises UserError where what reads an address is not installed; asks no server."""
    _files_of(address)


def local_copy(address: str, is_file: Callable[[str], bool]) -> tuple[str, str]:
    """Copies what is at an address, unless it was copied before.

    Args:
        address: of a folder, of a file, of its SHA256SUMS, or a pattern with braces.
        is_file: whether the name of a file is that of a data set of its own.

    Returns:
        The path, or the pattern of the paths, of the copy; and a note for the log.

    Raises:
        UserError: what reads it is not installed, the disk has no room, or a checksum is wrong.
        DataMissing: there is no such file or folder, or the server does not answer.
    """
    address = address.strip().rstrip("/").removesuffix(f"/{SUMS}")
    remote = _files_of(address)
    top, _, last = address.rpartition("/")
    if "{" in address:
        top = address[: address.index("{")].rpartition("/")[0]
        wanted = {url.removeprefix(f"{top}/"): url for url in expand(address) or [address]}
        files = _ask(address, lambda: _in_threads(remote.describe, wanted))
        folder = _folder_of(top) / top.rpartition("/")[2]
        result = str(folder / address.removeprefix(f"{top}/"))
    elif is_file(last):
        files, folder = _ask(address, lambda: {last: remote.describe(address)}), _folder_of(top)
        result = str(folder / last)
    else:
        files, folder = _files_in(address, remote), _folder_of(address) / last
        for gone in set(_copied(_log_of(folder))).difference(files):
            (folder / gone).unlink(missing_ok=True)
        result = str(folder)
    note = _copy(address, files, folder, remote)
    return result, note


def _files_of(address: str) -> TensorFlowFiles | WebFiles | FsspecFiles:
    scheme = address.strip().partition("://")[0].lower()
    if scheme in OF_TENSORFLOW:
        return TensorFlowFiles()
    return WebFiles() if scheme in ("http", "https") else FsspecFiles(address)


def _folder_of(address: str) -> Path:
    return cache_root() / "remote" / digest(address)


def _files_in(address: str, remote) -> dict[str, RemoteFile]:
    """Path below a folder -> file: those that its SHA256SUMS names, else all that are listed."""
    try:
        sums = read_sums(_ask(f"{address}/{SUMS}", lambda: _read(remote, f"{address}/{SUMS}")).decode(errors="replace"))
    except NotThere:
        files = _ask(address, lambda: remote.list(address))
        if not files:
            raise DataMissing(
                f"nothing is found at {address}. Where a server lists no folders, name the shards, "
                f"'{address}/train-{{000..009}}.tar', or put a file {SUMS} beside them: sha256sum * > {SUMS}. Of any "
                f"other page {DOWNLOAD}"
            ) from None
        return files
    named = _ask(address, lambda: _in_threads(remote.describe, {name: f"{address}/{name}" for name in sums}))
    return {name: RemoteFile(f.url, f.size, f.version, sums[name]) for name, f in named.items()}


def _read(remote, url: str) -> bytes:
    with remote.open(url) as file:
        return file.read()


def _in_threads(function: Callable, arguments: dict[str, str]) -> dict:
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(arguments, pool.map(function, arguments.values()), strict=True))


def _ask(address: str, question: Callable):
    """The answer of a server, asked several times.

    Raises:
        DataMissing: there is no such thing, or no answer.
    """
    for number in range(TRIES):
        try:
            return question()
        except UserError:
            raise
        except Exception as error:  # each file system has errors of its own
            gone = isinstance(error, (FileNotFoundError, PermissionError)) or "NotFound" in type(error).__name__
            if gone or number + 1 == TRIES:
                what = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read"
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                raise (NotThere if gone else DataMissing)(f"{address} {what}: {reason}; {DOWNLOAD}") from error
            time.sleep(FIRST_WAIT_SECONDS * 2**number)


def _copy(address: str, files: dict[str, RemoteFile], folder: Path, remote) -> str:
    """Copies those of the files that are not there in this version; a note for the log."""
    log, lock = _log_of(folder), threading.Lock()
    known = _copied(log)
    missing = {name: file for name, file in files.items() if not _is_here(folder / name, file, known.get(name))}
    size = sum(file.size or 0 for file in files.values())
    if not missing:
        return f"{address}: {counted(len(files), 'file')} of an earlier copy, {size / 2**20:.1f} MiB, in {folder}"
    needed = sum(file.size or 0 for file in missing.values())
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free * 9 // 10
    if needed > free:
        raise UserError(
            f"{address} holds {needed / 2**30:.1f} GiB, and {cache_root()} has {free / 2**30:.1f} GiB left for a copy; "
            "set KGEN_CACHE_DIR to a larger disk, or name fewer shards"
        )
    from tqdm import tqdm

    with tqdm(total=needed, desc=address, unit="B", unit_scale=True, delay=2, leave=False, disable=None) as bar:

        def copy(name: str) -> None:
            file = missing[name]
            _ask(file.url, lambda: write_aside(folder / name, lambda aside: _fetch(remote, file, aside, bar.update)))
            with lock, open(log, "a", encoding="utf-8") as lines:
                lines.write(json.dumps([name, file.size, file.version, file.sha256]) + "\n")

        with ThreadPoolExecutor(THREADS) as pool:
            for done in [pool.submit(copy, name) for name in missing]:
                done.result()
    return f"{address}: copied {counted(len(missing), 'file')} of {len(files)}, {needed / 2**20:.1f} MiB, to {folder}"


def _fetch(remote, file: RemoteFile, aside: Path, count: Callable[[int], object]) -> None:
    """Copies one file.

    Raises:
        UserError: its content has another checksum.
        OSError: it has another size.
    """
    state, size = hashlib.sha256(), 0
    with remote.open(file.url) as source, open(aside, "wb") as target:
        while block := source.read(BLOCK_BYTES):
            target.write(block)
            state.update(block)
            size += len(block)
            count(len(block))
    if file.size is not None and size != file.size:
        raise OSError(f"{size} of {file.size} bytes arrived")
    if file.sha256 and state.hexdigest() != file.sha256:
        raise UserError(f"{file.url} has another content than {SUMS} says: it was damaged or written anew")


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
