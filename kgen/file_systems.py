"""File systems at addresses, gs://, s3://, https:// …: their files are described, listed, read, written and removed.

`gs://` is TensorFlow's own, `https://` is read by requests, every other scheme is fsspec's, which is imported when an
address of one is given.
"""

import contextlib
import datetime
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from kgen.errors import UserError
from kgen.io import TRIES, try_again

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
"""What an address begins with; a drive of Windows has one letter."""
OF_TENSORFLOW = ("gs", "ram")
"""Schemes that TensorFlow reads: Google Cloud Storage, and its file system in memory."""
OF_THE_WEB = ("http", "https")
VERSIONS = ("etag", "ETag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created")
"""Keys of a file's description that change when the file does, in the order in which they are tried."""
REFUSES_HEAD = (403, 405, 501)
"""What a web server answers that sends a file and does not describe it."""
PART, CHANGED = 206, (412, 416)
"""What a web server answers to a request with a range: here it is; the file is another one, or shorter."""
CONNECTIONS = 32
"""To a web server that are kept open."""
TIMEOUT_SECONDS = 60
THREADS = 8
REFUSALS = ("NotFound", "PermissionDenied", "Unauthenticated", "Unimplemented", "NotImplemented", "InvalidArgument")
"""Parts of the names of errors, of TensorFlow and others, after which another try would end in the same way."""
BLOCK_BYTES = 2**20
EXTRA = "pip install 'kgen[remote]'"
OPEN_AGAIN = "start the command again, which opens the new version of the set"


class FileChanged(UserError):
    """A file at an address that is another one than it was when it was described."""


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address.

    Attributes:
        url: of the file.
        size: bytes; None where the file system does not say.
        version: changes when the file does; "" where the file system does not say.
        sha256: of its content, 64 hex digits; "" where it is not known.
    """

    url: str
    size: int | None
    version: str
    sha256: str = ""


class TensorFlowFiles:
    """What TensorFlow's file systems hold.

    Args:
        ranges: files are read by ranges. The client of Google Cloud Storage then asks for 512 KiB at a time, else for
            4 MiB. It keeps the first setting of a process.
    """

    def __init__(self, *, ranges: bool = False):
        os.environ.setdefault("GCS_RETRY_CONFIG_MAX_RETRIES", "3")  # of its own, in place of 10; `ask` asks again too
        os.environ.setdefault("GCS_READAHEAD_BUFFER_SIZE_BYTES", "0" if ranges else str(2**22))  # in place of 64 MiB
        os.environ.setdefault("GCS_STAT_CACHE_MAX_AGE", "0")  # else it does not see that a file changed

    def describe(self, url: str) -> RemoteFile:
        import tensorflow as tf

        status = tf.io.gfile.stat(url)
        return RemoteFile(url, status.length, str(status.mtime_nsec))

    def open(self, url: str) -> BinaryIO:
        import tensorflow as tf

        return tf.io.gfile.GFile(url, "rb")

    def read_range(self, file: RemoteFile, offset: int, length: int) -> bytes:
        """See `WebFiles.read_range`. A second request detects a file that changed."""
        with self.open(file.url) as stream:
            stream.seek(offset)
            content = stream.read(length)
        return _of_the_same(file, self.describe(file.url), content, length)

    def find(self, url: str) -> dict[str, RemoteFile]:
        """Path below the folder -> file."""
        import tensorflow as tf

        found = {}
        for folder, _, names in tf.io.gfile.walk(url):
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                found[path.removeprefix(f"{url}/")] = self.describe(path)
        return found

    def names(self, url: str) -> list[str]:
        """The names of what is in a folder, not below it; [] where there is none."""
        import tensorflow as tf

        try:
            return [name for found in tf.io.gfile.listdir(url) if (name := found.strip("/"))]
        except tf.errors.NotFoundError:
            return []

    def write(self, url: str, path: Path) -> None:
        """Copies a file of this machine to an address."""
        import tensorflow as tf

        if scheme_of(url) != "ram":
            tf.io.gfile.copy(str(path), url, overwrite=True)
            return
        aside = f"{url}.part-{uuid.uuid4().hex}"  # this file system appends to a file that is there
        tf.io.gfile.copy(str(path), aside)
        tf.io.gfile.rename(aside, url, overwrite=True)

    def remove(self, url: str) -> None:
        import tensorflow as tf

        tf.io.gfile.remove(url)


class WebFiles:
    """What a web server sends; it lists no folders."""

    def __init__(self):
        import requests

        self._session = requests.Session()
        for scheme in OF_THE_WEB:
            self._session.mount(f"{scheme}://", requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS))
        self._session.headers["Accept-Encoding"] = "identity"

    def describe(self, url: str) -> RemoteFile:
        answer = self._session.head(url, allow_redirects=True, timeout=TIMEOUT_SECONDS)
        if answer.status_code in REFUSES_HEAD:
            answer = self._session.get(url, stream=True, timeout=TIMEOUT_SECONDS)
            answer.close()
        headers = _found(answer).headers
        size = int(headers["Content-Length"]) if headers.get("Content-Length", "").isdigit() else None
        return RemoteFile(url, size, _version_in(headers))

    def open(self, url: str) -> BinaryIO:
        return _found(self._session.get(url, stream=True, timeout=TIMEOUT_SECONDS)).raw

    def read_range(self, file: RemoteFile, offset: int, length: int) -> bytes:
        """Bytes of a file.

        Args:
            file: as it was described; its url is asked.
            offset, length: bytes; the range lies within the file.

        Raises:
            FileChanged: the file is another one now, by its size or its version.
            UserError: the server sends no parts of files.
            OSError: fewer bytes arrived.
        """
        headers = {"Range": f"bytes={offset}-{offset + length - 1}"}
        if file.version.startswith('"'):  # an ETag that stands for every byte
            headers["If-Match"] = file.version
        with self._session.get(file.url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer:
            if answer.status_code in CHANGED:
                raise _changed(file, f"the server answers {answer.status_code} {answer.reason}")
            if _found(answer).status_code != PART:
                raise UserError(
                    f"{file.url}: the server sends whole files and no parts of them (it answers {answer.status_code} "
                    "to a request with a range), so that the set cannot be streamed; copy it: --remote copy"
                )
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            now = RemoteFile(file.url, int(total) if total.isdigit() else None, _version_in(answer.headers))
            return _of_the_same(file, now, answer.content, length)

    def find(self, url: str) -> dict[str, RemoteFile]:
        return {}


def _version_in(headers: Mapping[str, str]) -> str:
    """What changes when the file does, of the headers of an answer; "" where they do not say."""
    return headers.get("ETag") or headers.get("Last-Modified") or ""


def _of_the_same(file: RemoteFile, now: RemoteFile, content: bytes, length: int) -> bytes:
    """What was read of a file, if it is the one that was described.

    Raises:
        FileChanged: it is another one.
        OSError: there is less than `length` of it.
    """
    if file.size is not None and now.size is not None and file.size != now.size:
        raise _changed(file, f"it has {now.size} bytes, and had {file.size}")
    if file.version and now.version and _moment(file.version) != _moment(now.version):
        raise _changed(file, f"its version is {now.version}, and was {file.version}")
    if len(content) != length:
        raise OSError(f"{len(content)} of {length} bytes arrived")
    return content


def _moment(version: str) -> float | str:
    """A version that is a time, in seconds, also where it is a date: fsspec lists the one and describes the other."""
    for read in (float, lambda text: datetime.datetime.fromisoformat(text).timestamp()):
        with contextlib.suppress(ValueError):
            return read(version)
    return version


def _changed(file: RemoteFile, how: str) -> FileChanged:
    return FileChanged(f"{file.url} changed while it was read: {how}; {OPEN_AGAIN}")


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
    """What fsspec's file systems hold; `url` names the scheme.

    Raises:
        UserError: fsspec, or what it needs for the scheme, is not installed.
    """

    def __init__(self, url: str):
        scheme = url.partition("://")[0]
        try:
            import fsspec

            folders = {"auto_mkdir": True} if scheme == "file" else {}  # others have none
            self._fs, _ = fsspec.core.url_to_fs(url, **folders)
        except ImportError as error:
            raise UserError(f"{url!r} is read by fsspec: {EXTRA} ({error})") from error
        except ValueError as error:
            raise UserError(f"{url!r} is an address of a kind that is not read, {scheme}://: {error}") from error

    def describe(self, url: str) -> RemoteFile:
        return _described(url, self._fs.info(url))

    def open(self, url: str) -> BinaryIO:
        self._fs.invalidate_cache()  # of listings, which also tell sizes
        return self._fs.open(url, "rb")

    def read_range(self, file: RemoteFile, offset: int, length: int) -> bytes:
        """See `WebFiles.read_range`. A second request detects a file that changed."""
        content = self._fs.cat_file(file.url, start=offset, end=offset + length)
        self._fs.invalidate_cache()
        return _of_the_same(file, self.describe(file.url), content, length)

    def find(self, url: str) -> dict[str, RemoteFile]:
        """Path below the folder -> file."""
        top = f"{self._fs._strip_protocol(url).rstrip('/')}/"
        found = self._fs.find(url, detail=True)
        return {
            path.removeprefix(top): _described(self._fs.unstrip_protocol(path), info)
            for path, info in found.items()
            if path.startswith(top)
        }

    def names(self, url: str) -> list[str]:
        """The names of what is in a folder, not below it; [] where there is none."""
        self._fs.invalidate_cache()
        top = self._fs._strip_protocol(url).rstrip("/")
        try:
            paths = [path.rstrip("/") for path in self._fs.ls(url, detail=False)]
        except FileNotFoundError:
            return []
        return [path.rpartition("/")[2] for path in paths if path != top]  # some list an object for the folder

    def write(self, url: str, path: Path) -> None:
        """Copies a file of this machine to an address."""
        self._fs.put_file(str(path), url)

    def remove(self, url: str) -> None:
        self._fs.rm_file(url)


def _described(url: str, info: dict) -> RemoteFile:
    version = next((str(info[key]) for key in VERSIONS if info.get(key)), "")
    return RemoteFile(url, info.get("size"), version)


def is_address(value: object) -> bool:
    """Whether this is an address, gs://bucket/photos, and not a path."""
    return isinstance(value, str) and bool(ADDRESS.match(value.strip()))


def scheme_of(address: str) -> str:
    """ "gs" of gs://bucket/photos."""
    return address.strip().partition("://")[0].lower()


def files_of(address: str, *, ranges: bool = False) -> TensorFlowFiles | WebFiles | FsspecFiles:
    """The file system of an address; asks no server. `ranges`: its files are read by these.

    Raises:
        UserError: what reads it is not installed, or its scheme is not known.
    """
    scheme = scheme_of(address)
    if scheme in OF_TENSORFLOW:
        return TensorFlowFiles(ranges=ranges)
    return WebFiles() if scheme in OF_THE_WEB else FsspecFiles(address)


def in_threads(function: Callable, arguments: Mapping[str, Any]) -> dict:
    """{key: function(argument)}, several at a time; raises the first error."""
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(arguments, pool.map(function, arguments.values()), strict=True))


def ask(question: Callable, tries: int = TRIES):
    """The answer of a file system, asked again after a failure; raises the last, and at once what will not change."""
    return try_again(question, lambda error: not isinstance(error, UserError) and not is_refusal(error), tries)


def is_refusal(error: Exception) -> bool:
    """Whether an answer is no for good: there is no such file, or not for this user."""
    named = any(part in type(error).__name__ for part in REFUSALS)
    return named or isinstance(error, (FileNotFoundError, PermissionError, NotImplementedError))


def is_missing(error: Exception) -> bool:
    """Whether an answer says that there is no such file."""
    return isinstance(error, FileNotFoundError) or "NotFound" in type(error).__name__


def reason_of(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def copy_out(files, url: str, target: Path, count: Callable[[int], object] = lambda size: None) -> tuple[int, str]:
    """Copies what is at an address into a file of this machine; its size and its SHA-256."""
    state, size = hashlib.sha256(), 0
    with files.open(url) as source, open(target, "wb") as stream:
        while block := source.read(BLOCK_BYTES):
            stream.write(block)
            state.update(block)
            size += len(block)
            count(len(block))
    return size, state.hexdigest()


def is_inside(path: str) -> bool:
    """Whether a name, of a file of a folder, leads to no other place."""
    pure = PurePosixPath(path)
    return bool(path) and not pure.is_absolute() and ".." not in pure.parts and "\\" not in path and ":" not in path
