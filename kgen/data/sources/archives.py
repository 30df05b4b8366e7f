"""The files of a zip (`ZipFiles`) and of a tar (`TarFiles`): nothing is ever unpacked to a path of its own.

Names of archives come with backslashes, from above the folder that was packed ("../f/1.png"), twice, and in any
encoding; `_Archive` makes them paths of one tree, or refuses them.
"""

import bz2
import gzip
import lzma
import os
import posixpath
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from kgen.cache import cache_root
from kgen.data.sources.base import file_identity
from kgen.data.sources.files import FolderFiles, is_hidden, listed, to_path
from kgen.data.sources.picture import START_BYTES, Unreadable
from kgen.errors import UserError
from kgen.tables import counted

MAX_PICTURE_BYTES = 2**28
"""Of one picture in an archive: a few bytes may unpack to any number of them."""
ENCRYPTED, UTF8 = 1, 0x800
"""Bits of a zip entry's flags."""
ROOT = re.compile(r"(?:[A-Za-z]:(?=/))?/*")
"""Of an absolute name: "/" or "C:/"; "" of others."""
COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
"""The first bytes of a compressed file, and what opens it."""
OTHER_ARCHIVES = {
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
    b"\x1f\x8b": "gz",
    b"<": "web page",
    b"\xfd7zXZ": "xz",
    b"BZh": "bz2",
}
"""The first bytes of files that are no zip -> what they are."""
AGAIN = "download or pack it again"
FIRST_PARTS = (".z01", ".Z01")
"""Suffixes of the first part of a zip that was split."""
BLOCK_BYTES = 2**20
HEADER_BYTES = 512
PLAIN_NAME, OCTAL = re.compile(rb"([^\0]*[^\0/])\0*"), re.compile(rb" *([0-7]+)[\0 ]*")
"""Fields of a header in a tar."""
PLAUSIBLE_BYTES, PLAUSIBLE_RATIO = 2**30, 200
"""A tar that unpacks to more than both is no tar of pictures."""


class _Archive(FolderFiles):
    """What zip and tar share; see `FolderFiles`."""

    def _list_members(self, members: Iterable[tuple[str, Any]], folders: Iterable[str]):
        """Sorts the members into `names` and the others.

        Args:
            members: (name, what `_read` needs for it) of the regular files, in the order of the archive.
            folders: names of those that have an entry of their own.

        Raises:
            UserError: a name climbs out of the archive.
        """
        tops, entries, twice = {}, {}, []
        for name, entry in members:
            top, path = _clean(name, self.path)
            tops.setdefault(top, name)
            if path in entries:
                twice.append(path)
            entries[path] = entry
        if len(tops) > 1:
            (top, one), (_, other) = sorted(tops.items(), reverse=True)[:2]
            raise UserError(
                f"{self.path} holds {one!r}, whose name climbs out of the archive (to {top!r}), beside {other!r}; pack "
                "one folder"
            )
        (top,) = tops or ("",)
        if top:
            self.notes.append(f"all names begin with {top!r}, which is ignored; nothing is written there")
        if twice:
            self.findings.append(
                f"{counted(len(twice), 'file is', 'files are')} not read, since the archive holds a later one of the "
                f"same name, and the last one counts: {listed(sorted(set(twice)))}"
            )
        self._list(entries, _common_folder(entries))
        paths = [*entries, *(_clean(f"{name}/x", self.path)[1] for name in folders)]
        inside = {posixpath.dirname(path) for path in paths if not is_hidden(path)} - {""}
        self.folders = sorted(map(to_path, inside))

    def open(self, name: str) -> BinaryIO:
        content = self._read(self._entries[name], MAX_PICTURE_BYTES + 1)
        if len(content) > MAX_PICTURE_BYTES:
            raise Unreadable(f"is larger than {MAX_PICTURE_BYTES >> 20} MiB in the archive")
        return BytesIO(content)

    def start(self, name: str) -> bytes:
        return self._read(self._entries[name], START_BYTES)

    def _read(self, entry: Any, count: int) -> bytes:
        """The first `count` bytes of a member."""
        raise NotImplementedError

    def _say_links(self, links: list[str]):
        if links:
            self.unread.append(
                f"{counted(len(links), 'member is', 'members are')} no regular file: {listed(sorted(links))}"
            )


class ZipFiles(_Archive):
    """The pictures of a zip; many threads may read at once.

    One open `zipfile.ZipFile` serves all threads: it locks only the reading of bytes, not their decompression. Its
    directory takes about 600 bytes of memory per picture.
    """

    def __init__(self, path: Path):
        self.path = path
        self._start_lists()
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # a broken file makes zipfile raise many kinds
            raise UserError(f"{path} cannot be read as a zip file: {_what_it_is(path) or error}; {AGAIN}") from error
        if any(path.with_suffix(suffix).exists() for suffix in FIRST_PARTS):
            raise UserError(
                f"{path} is the last part of a split archive; join the parts: zip -s 0 {path.name} --out joined.zip"
            )
        entries = self._zip.infolist()
        if any(info.flag_bits & ENCRYPTED for info in entries):
            raise UserError(f"{path} is encrypted; unpack it and give the folder")
        folders = [info.filename for info in entries if info.filename.endswith(("/", "\\"))]
        entries = [info for info in entries if not info.filename.endswith(("/", "\\"))]
        links = {info.filename for info in entries if stat.S_ISLNK(info.external_attr >> 16)}
        self._say_links(sorted(links))
        names = self._names(entries)
        self._list_members(
            ((n, info) for n, info in zip(names, entries, strict=True) if info.filename not in links), folders
        )
        self.identity = file_identity(path)

    def checksum(self, name: str) -> str:
        """The size and the CRC-32 of a picture, from the directory: nothing is read."""
        return f"{self._entries[name].file_size} {self._entries[name].CRC}"

    def _names(self, entries: list[zipfile.ZipInfo]) -> list[str]:
        """The names, where Python took UTF-8 for the old code page 437: many programs do not say that it is UTF-8."""
        names = [info.filename for info in entries]
        odd = [i for i, info in enumerate(entries) if not info.flag_bits & UTF8 and not info.filename.isascii()]
        try:
            decoded = [names[i].encode("cp437").decode() for i in odd]
        except UnicodeError:
            self.notes.append(
                f"{counted(len(odd), 'name is', 'names are')} not UTF-8 and read as code page 437, so that class "
                f"names may look strange: {listed([names[i] for i in odd])}"
            )
            return names
        for i, name in zip(odd, decoded, strict=True):
            names[i] = name
        return names

    def _read(self, entry: zipfile.ZipInfo, count: int) -> bytes:
        try:
            with self._zip.open(entry) as file:
                return file.read(count)
        except Exception as error:
            raise Unreadable(f"broken in the zip: {str(error) or type(error).__name__}") from error


class TarFiles(_Archive):
    """The pictures of a tar, also a compressed one; many threads may read at once.

    A compressed tar can be read from front to back only: it is unpacked into one nameless file in the folder of the
    cache, which is gone when the process ends.
    """

    def __init__(self, path: Path):
        self.path = path
        self._start_lists()
        self._file = self._opened()
        self._list_members(*self._members())
        self.identity = file_identity(path)

    def _opened(self) -> BinaryIO:
        return _uncompressed(self.path)

    def _at(self, offset: int, count: int) -> bytes:
        """Bytes of the tar; fewer at its end."""
        return os.pread(self._file.fileno(), count, offset)

    def _pass(self, name: str, place: tuple[int, int]) -> None:
        """Called for each file while the tar is listed from front to back."""

    def place(self, name: str) -> tuple[int, int]:
        """(offset, size) of a file in the tar, in bytes."""
        return self._entries[name]

    def close(self):
        """Closes the tar; nothing can be read any more."""
        self._file.close()

    def _members(self) -> tuple[list[tuple[str, tuple[int, int]]], list[str]]:
        """(name, (offset, size)) of the regular files and of hard links to them, and the names of folders."""
        places, links, members, folders = {}, [], [], []
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                while info := tar.next():
                    tar.members.clear()  # a kibibyte for each
                    place = places.get(info.linkname) if info.islnk() else (info.offset_data, info.size)
                    if info.isdir():
                        folders.append(info.name)
                    elif place is None or info.issparse() or not (info.isreg() or info.islnk()):
                        links.append(info.name)
                    else:
                        places[info.name] = place
                        members.append((info.name, place))
                        self._pass(info.name, place)
                    if not tar.pax_headers:  # of all members that follow
                        plain, tar.offset = self._plain_members(tar.offset)
                        places.update(plain)
                        members += plain
                end = tar.offset
        except UserError:
            raise
        except Exception as error:  # a broken file makes tarfile raise many kinds
            raise UserError(
                f"{self.path} cannot be read as a tar file: {str(error) or type(error).__name__}; pack it again"
            ) from error
        self._file.seek(end)
        while block := self._file.read(BLOCK_BYTES):
            if block.strip(b"\0"):
                raise UserError(
                    f"{self.path} goes on after the end of its {len(members)} files: it is damaged, or several were "
                    "joined; pack it again"
                )
        self._say_links(links)
        return members, folders

    def _plain_members(self, offset: int) -> tuple[list[tuple[str, tuple[int, int]]], int]:
        """The regular files from an offset on up to the first header that says more than a short name and a size.

        `tarfile` takes several times as long, and reads that one.

        Returns:
            (name, (offset, size)), and the offset of that header.
        """
        members = []
        while found := _plain_header(self._at(offset, HEADER_BYTES)):
            name, size = found
            members.append((name, (offset + HEADER_BYTES, size)))
            self._pass(*members[-1])
            offset += HEADER_BYTES + -(-size // HEADER_BYTES) * HEADER_BYTES
        return members, offset

    def _read(self, entry: tuple[int, int], count: int) -> bytes:
        offset, size = entry
        content = self._at(offset, min(size, count))
        if len(content) < min(size, count):
            raise Unreadable("broken in the tar: it is cut off")
        return content


def _plain_header(header: bytes) -> tuple[str, int] | None:
    """(name, size) of a regular file, of its header in a tar; None where that says more, or is damaged."""
    if len(header) < HEADER_BYTES or header[156] not in b"0\0" or header[345]:  # its kind; the prefix of a long name
        return None
    name = PLAIN_NAME.fullmatch(header, 0, 100)
    size, checksum = OCTAL.fullmatch(header, 124, 136), OCTAL.fullmatch(header, 148, 156)
    if not (name and size and checksum):
        return None
    if sum(header[:148]) + sum(header[156:]) + 8 * ord(" ") != int(checksum[1], 8):
        return None
    return name[1].decode(tarfile.ENCODING, "surrogateescape"), int(size[1], 8)


def without_suffix(path: Path) -> str:
    """The name of an archive without its suffix, also without both of .tar.gz."""
    stem = path.stem
    return stem[: -len(".tar")] if stem.lower().endswith(".tar") else stem


def _what_it_is(path: Path) -> str:
    """What a file is that is no zip, in words; "" where that is not known."""
    with open(path, "rb") as file:
        start = file.read(START_BYTES)
    if not start:
        return "it is empty"
    kind = next((kind for magic, kind in OTHER_ARCHIVES.items() if start.startswith(magic)), None)
    if kind is None:
        return "it is cut off, or more follows its end" if start.startswith(b"PK") else ""
    return f"it is a {kind}" if " " in kind else f"it is a .{kind} file"


def _uncompressed(path: Path) -> BinaryIO:
    """A tar, open for reading; a compressed one is unpacked into a temporary file."""
    file = open(path, "rb")  # noqa: SIM115
    start = file.read(max(map(len, COMPRESSED)))
    unpack = next((unpack for magic, unpack in COMPRESSED.items() if start.startswith(magic)), None)
    if unpack is None:
        file.seek(0)
        return file
    file.close()
    packed, size = path.stat().st_size, 0
    cache_root().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache_root()).free * 9 // 10
    whole = tempfile.TemporaryFile(dir=cache_root())  # noqa: SIM115
    try:
        with unpack(path, "rb") as blocks:
            while block := blocks.read(BLOCK_BYTES):
                size += len(block)
                if size > free:
                    raise UserError(
                        f"{path} unpacks to more than the {free / 2**30:.1f} GiB that {cache_root()} has left; set "
                        "KGEN_CACHE_DIR to a larger disk, or unpack it and give the folder"
                    )
                if size > max(PLAUSIBLE_BYTES, PLAUSIBLE_RATIO * packed):
                    raise UserError(
                        f"{path} unpacks to more than {PLAUSIBLE_RATIO} times its size, which pictures do not; unpack "
                        "it and give the folder"
                    )
                whole.write(block)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{path} cannot be unpacked: {error}; pack or download it again") from error
    whole.seek(0)  # writes what is buffered, too
    return whole


def _clean(name: str, archive: Path) -> tuple[str, str]:
    """(the part of a name that leads out of the archive, the path within).

    "../../f/1.png" gives ("../../", "f/1.png"), and "C:\\f\\1.png" gives ("C:/", "f/1.png").

    Raises:
        UserError: the name climbs out after it has begun: "f/../../1.png".
    """
    path = name.replace("\\", "/")
    if not path.startswith(("/", ".")) and "/." not in path and "//" not in path and path[1:2] != ":":
        return "", path
    root = ROOT.match(path)[0]
    parts = [part for part in path[len(root) :].split("/") if part not in ("", ".")]
    climbs = 0 if root else next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    rest = posixpath.normpath("/".join(parts[climbs:]))
    if rest.split("/")[0] in ("..", "."):
        raise UserError(
            f"{archive} holds a file whose name climbs out of it, {name!r}; do not trust it, or pack the folder again"
        )
    return f"{root.rstrip('/')}/" if root else "../" * climbs, rest


def _common_folder(names: Iterable[str]) -> str:
    """The folders, with a slash at the end, that all names begin with; those of operating systems do not count."""
    names = [name for name in names if not name.startswith("__MACOSX/")]
    if not names:
        return ""
    first, last = min(names), max(names)
    equal = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind("/", 0, equal) + 1]
