"""The picture files of a data set, in a folder (`FolderFiles`) or a zip (`ZipFiles`): listed, and opened by name."""

import hashlib
import os
import zipfile
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from kgen.data.sources.base import file_identity
from kgen.data.sources.picture import SUFFIXES, Unreadable
from kgen.errors import UserError

MAX_PICTURE_BYTES = 2**28
"""Of one picture in a zip: a few bytes may unpack to any number of them."""
ENCRYPTED = 1
"""Bit of an entry's flags."""


class FolderFiles:
    """The pictures of a folder.

    Attributes:
        path: of the folder.
        names: of the pictures, relative to it, with forward slashes, sorted.
        others: how many other files there are.
        other_names: those, relative to the folder, with forward slashes, sorted.
        folders: in it, those without files too, except hidden ones.
        identity: JSON values that change whenever a picture does.
    """

    def __init__(self, path: Path):
        self.path = path
        listing, digest = [], hashlib.blake2b(digest_size=16)
        self.folders: list[str] = []
        for folder, folders, files in os.walk(path, followlinks=True):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            self.folders += [(Path(folder) / f).relative_to(path).as_posix() for f in folders]
            for file in files:
                listing.append((Path(folder) / file).relative_to(path).as_posix())
        self.names = sorted(filter(is_picture, listing))
        for name in self.names:
            try:
                status = (path / name).stat()
            except OSError:  # a link to nowhere; `scan` leaves it out
                status = (path / name).lstat()
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        self.other_names = sorted(set(listing).difference(self.names))
        self.others = len(self.other_names)
        self.identity = (str(path.resolve()), digest.hexdigest())

    def open(self, name: str) -> BinaryIO:
        return open(self.path / name, "rb")


class ZipFiles(FolderFiles):
    """The pictures of a zip; many threads may read at once.

    One open `zipfile.ZipFile` serves all threads: it locks only the reading of bytes, not their decompression. Its
    directory takes about 600 bytes of memory per picture.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # a broken file makes zipfile raise many kinds
            raise UserError(f"{path} cannot be read as a zip file: {error}; pack it again") from error
        entries = [info for info in self._zip.infolist() if not info.is_dir()]
        self.folders = sorted({name.rpartition("/")[0] for name in self._zip.namelist()})
        if any(info.flag_bits & ENCRYPTED for info in entries):
            raise UserError(f"{path} is encrypted; unpack it and give the folder")
        self.names = sorted({info.filename for info in entries if is_picture(info.filename)})
        self.other_names = sorted({info.filename for info in entries}.difference(self.names))
        self.others = len(self.other_names)
        self.identity = file_identity(path)

    def open(self, name: str) -> BinaryIO:
        try:
            with self._zip.open(name) as file:  # of entries with one name, the last
                content = file.read(MAX_PICTURE_BYTES + 1)
        except Exception as error:
            raise Unreadable(f"broken in the zip: {str(error) or type(error).__name__}") from error
        if len(content) > MAX_PICTURE_BYTES:
            raise Unreadable(f"is larger than {MAX_PICTURE_BYTES >> 20} MiB in the zip")
        return BytesIO(content)


def is_picture(path: str) -> bool:
    """Whether a path is that of a picture, by its suffix; hidden files and macOS' `__MACOSX` are not."""
    parts = PurePosixPath(path).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and path.lower().endswith(SUFFIXES)
