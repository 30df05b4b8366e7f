"""RemotePath: a file at an address that is read by ranges, with what the readers of shards use of `pathlib.Path`.

Nothing of it is written to the disk. A range that does not arrive is asked for again, as copies are.
"""

import hashlib
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

from kgen.errors import DataMissing, UserError
from kgen.file_systems import THREADS, RemoteFile, ask, reason_of

T = TypeVar("T")

TRIES = 9
"""How often a range is asked for: for a minute and a half, as a training of days would end with the last failure."""
BLOCK_BYTES = 2**23
"""Of a file that is read from front to back: so many are asked for at once."""


@dataclass(frozen=True, eq=False)
class RemoteFolder:
    """The files of a set at an address.

    Attributes:
        url: of the folder, without a slash at its end.
        files: path below it -> file.
        system: reads them; a file system of `kgen.file_systems`.
    """

    url: str
    files: Mapping[str, RemoteFile]
    system: Any

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(self, name)


@dataclass(frozen=True, eq=False)
class RemotePath:
    """A file of a `RemoteFolder`; `below` is its path there."""

    folder: RemoteFolder
    below: str

    def __str__(self) -> str:
        return f"{self.folder.url}/{self.below}"

    @property
    def name(self) -> str:
        return PurePosixPath(self.below).name

    @property
    def parent(self) -> str:
        return str(self).rpartition("/")[0]

    def is_relative_to(self, folder: object) -> bool:
        return folder is self.folder

    def relative_to(self, folder: object) -> PurePosixPath:
        return PurePosixPath(self.below)

    def is_file(self) -> bool:
        return self.below in self.folder.files

    @property
    def size(self) -> int:
        """Bytes."""
        size = self.folder.files[self.below].size
        if size is None:
            raise UserError(
                f"{self}: the server does not say how large the file is, so that it cannot be streamed; copy the set: "
                "--remote copy"
            )
        return size

    @property
    def identity(self) -> tuple:
        """JSON values that change when the file does."""
        file = self.folder.files[self.below]
        return (file.url, file.size, file.version, file.sha256)

    @property
    def sha256(self) -> str:
        """What SHA256SUMS says of it; "" where it does not."""
        return self.folder.files[self.below].sha256

    def read(self, offset: int, length: int) -> bytes:
        """A range of the file, by one request.

        Raises:
            UserError: the file changed, or the server sends no ranges.
            DataMissing: there is no such file any more, or no answer after several tries.
        """
        file = self.folder.files[self.below]
        if not length:
            return b""
        try:
            return ask(lambda: self.folder.system.read_range(file, offset, length), TRIES)
        except UserError:
            raise
        except Exception as error:  # each file system has its own
            raise DataMissing(f"{self} cannot be read any more: {reason_of(error)}") from None  # not to be tried again

    def read_bytes(self) -> bytes:
        """The whole file; raises UserError where its content is not the one that SHA256SUMS names."""
        content = self.read(0, self.size)
        self.compare(hashlib.sha256(content))
        return content

    def compare(self, state: Any) -> None:
        """Raises UserError where the SHA-256 of the content, a state of hashlib, is not the one of SHA256SUMS."""
        if self.sha256 and state.hexdigest() != self.sha256:
            raise wrong_checksum(str(self))


def wrong_checksum(url: str) -> UserError:
    """The error for a file whose SHA-256 is not the one that SHA256SUMS names."""
    return UserError(f"{url} has another content than SHA256SUMS says: it was damaged or replaced")


class _Stopped(Exception):
    """Another file cannot be read, or the user ends the command."""


def each_whole(
    read: Callable[[RemotePath, Callable[[int], object]], T],
    paths: Sequence[RemotePath],
    count: Callable[[int], object],
) -> list[T]:
    """What a function returns for each of some files that it reads whole, several at a time.

    As soon as one fails, or the user ends the command, the others end at their next block.

    Args:
        read: a function of a path, and of what it calls with the bytes of each block.
        paths: of the files.
        count: called with the bytes of each block.
    """
    stop = threading.Event()

    def count_on(size: int) -> None:
        if stop.is_set():
            raise _Stopped
        count(size)

    with ThreadPoolExecutor(THREADS) as pool:
        try:
            tasks = [pool.submit(read, path, count_on) for path in paths]
            done, left = wait(tasks, return_when=FIRST_EXCEPTION)
            if left:
                raise next(error for task in tasks if task in done and (error := task.exception()))
            return [task.result() for task in tasks]
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class RangeReader(io.RawIOBase):
    """A file at an address as a Python file; each read is a request of its own.

    Args:
        path: of the file.
        known: (offset, bytes) of a range that is here already.
    """

    def __init__(self, path: RemotePath, known: tuple[int, bytes] = (0, b"")):
        super().__init__()
        self._path, self._place, self._known = path, 0, known

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._path.size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._path.size - self._place)
        content = self.at(self._place, left if size is None or size < 0 else min(size, left))
        self._place += len(content)
        return content

    def readinto(self, buffer) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def at(self, offset: int, length: int) -> bytes:
        """Bytes from an offset on, which lie within the file."""
        start, known = self._known
        if start <= offset and offset + length <= start + len(known):
            return known[offset - start : offset - start + length]
        return self._path.read(offset, length)


class SequentialReader(RangeReader):
    """A file at an address that is read from front to back once, in blocks of 8 MiB, of which one is kept.

    Args:
        path: of the file.
        count: called with the size of each block.
    """

    def __init__(self, path: RemotePath, count: Callable[[int], object] = lambda size: None):
        super().__init__(path)
        self._count, self._state, self._read_until = count, hashlib.sha256() if path.sha256 else None, 0

    def at(self, offset: int, length: int) -> bytes:
        """Bytes from an offset on; fewer at the end of the file."""
        length = max(0, min(length, self._path.size - offset))
        start, known = self._known
        if offset < start:
            return self._path.read(offset, length)
        parts = []
        while length:
            while offset >= start + len(known):
                start, known = start + len(known), self._next_block()
            parts.append(known[offset - start : offset - start + length])
            offset, length = offset + len(parts[-1]), length - len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def finish(self) -> None:
        """Reads what is left; raises UserError where the content is not the one that SHA256SUMS names."""
        while self._read_until < self._path.size:
            self._next_block()
        if self._state is not None:
            self._path.compare(self._state)

    def _next_block(self) -> bytes:
        start = self._read_until
        block = self._path.read(start, min(BLOCK_BYTES, self._path.size - start))
        if self._state is not None:
            self._state.update(block)
        self._count(len(block))
        self._known, self._read_until = (start, block), start + len(block)
        return block
