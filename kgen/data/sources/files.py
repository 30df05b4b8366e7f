"""The files of a data set: which are pictures, which are not read, and why. `FolderFiles` are those of a folder.

`archives` has those of a zip and of a tar. A picture is known by its suffix, a file without a suffix by its first
bytes. Hidden files and those of operating systems are ignored; all others are counted by suffix in a note or, where
they look like images of the set, in a finding that `--strict` turns into a refusal.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from kgen.data.sources.picture import START_BYTES, Unreadable, picture_suffixes, starts_like_picture
from kgen.errors import UserError
from kgen.tables import counted

SYSTEM_FILES = (".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", r"icon\x0d")
SYSTEM_FOLDERS = frozenset((
    "__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information", "lost+found", ".git", ".svn",
    ".hg", ".ipynb_checkpoints", ".thumbnails", ".cache", ".idea", ".vscode", ".venv", ".trashes", ".spotlight-v100",
))  # fmt: skip
"""Whatever lies in them is ignored without a word."""
ARRAYS = "arrays"
UNREAD_KINDS = {
    "pictures": (
        ".heic .heif .hif .avif .jxl .jxr .svg .svgz .psd .psb .xcf .kra .ai .eps .ps .pdf .wmf .emf .fits .fit .fts "
        ".exr .hdr .dcm .dicom .nii .nrrd .mha .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .dng .orf .rw2 .raf .pef .srw "
        ".x3f .raw .djvu .dpx .cin .webp .jp2",
        "convert them to PNG or JPEG",
    ),
    "videos": (
        ".mp4 .m4v .avi .mov .mkv .webm .mpg .mpeg .wmv .flv .3gp .mts .m2ts .gifv .ogv",
        "save their frames as PNG or JPEG files",
    ),
    "archives": (
        ".zip .tar .tgz .gz .bz2 .tbz2 .xz .txz .zst .7z .rar .lzma",
        "unpack them, or give one of them as --dataset",
    ),
    ARRAYS: (
        ".npz .npy .mat .h5 .hdf5 .parquet .arrow .tfrecord .tfrecords .mdb .pt .pkl .idx",
        "an .npz, .npy or .mat file of images is a data set of its own; write the images of others as picture files",
    ),
}
"""What looks like images of the set: its suffixes, unless Pillow reads them, and what to do."""
ARRAYS = "arrays"
SUFFIX = re.compile(r"\.(?=\w*[a-z])\w{1,12}")
"""What counts as one, in lower case: the end of "frame.0001" does not."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
NAMED = 3
"""Names and suffixes that a sentence lists."""


class FolderFiles:
    """The pictures of a folder.

    Each real folder is visited once: a link to a folder that the set already has is not followed, so that a folder may
    lie inside itself.

    Attributes:
        path: of the folder.
        names: of the pictures, relative to it, with forward slashes, sorted.
        other_names: of the files that are no pictures, likewise.
        hidden: pictures that are hidden, likewise.
        folders: in it, those without files too, except hidden ones.
        notes: sentences for the log.
        findings: sentences about what was left out; see `Source.findings`.
        unread: those of the findings that `--strict` refuses.
        identity: JSON values that change whenever a picture does.
    """

    def __init__(self, path: Path):
        self.path = path
        self._start_lists()
        self._list({name: name for name in self._walk()})
        self._entries = {name: entry for name, entry in self._entries.items() if name != entry}
        digest = hashlib.blake2b(digest_size=16)
        for name in self.names:
            place = f"{path}/{self._entries.get(name, name)}"
            try:
                status = os.stat(place)
                facts = f"{status.st_size}\0{status.st_mtime_ns}"
            except OSError:  # a link to nowhere, or removed in the meantime; `scan` leaves it out
                facts = ""
            digest.update(f"{name}\0{facts}\n".encode("utf-8", "surrogateescape"))
        self.identity = (str(path.resolve()), digest.hexdigest())

    def open(self, name: str) -> BinaryIO:
        return open(self.path / self._entries.get(name, name), "rb")

    def checksum(self, name: str) -> str:
        """Of the bytes of a file."""
        with self.open(name) as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

    def start(self, name: str) -> bytes:
        """The first bytes of a file."""
        with self.open(name) as file:
            return file.read(START_BYTES)

    def _start_lists(self):
        self.names, self.other_names, self.hidden, self.folders = [], [], [], []
        self.notes: list[str] = []
        self.findings: list[str] = []
        self.unread: list[str] = []

    def _list(self, entries: dict[str, Any], top: str = ""):
        """Sorts names into `names`, `other_names` and `hidden`.

        Args:
            entries: name -> what `open` needs for it.
            top: folders that all names share; whether these are hidden does not count.
        """
        self._entries = {}
        for name, entry in entries.items():
            names = (to_path(name), legible(name), name)
            free = (n for n in names if n == name or (n not in entries and n not in self._entries))
            self._entries[next(free)] = entry
        top, suffixes, sniffed = to_path(top), picture_suffixes(), 0
        for name in sorted(self._entries):
            below = name.removeprefix(top)
            if is_system(below):
                continue
            suffix = suffix_of(name)
            if is_hidden(below):
                self.hidden += [name] * (suffix in suffixes)
            elif suffix in suffixes:
                self.names.append(name)
            elif not suffix and self._is_picture_inside(name):
                self.names.append(name)
                sniffed += 1
            else:
                self.other_names.append(name)
        if sniffed:
            count = counted(sniffed, "file without a suffix is a picture", "files without a suffix are pictures")
            self.notes.append(f"{count} by the first bytes")
        if self.hidden and self.names:
            self.notes.append(
                f"{counted(len(self.hidden), 'hidden picture is', 'hidden pictures are')} not read (a name that begins "
                f"with a dot): {listed(self.hidden)}"
            )

    def _is_picture_inside(self, name: str) -> bool:
        try:
            return starts_like_picture(self.start(name))
        except (OSError, Unreadable):
            return False

    def _walk(self) -> Iterable[str]:
        """The regular files below the folder, as paths relative to it; links are followed last."""
        root = os.path.realpath(self.path)
        todo, links, seen = [("", root)], [], {root}
        again, special, closed = [], [], []
        while todo or links:
            if not todo:
                link, real = links.pop(0)
                if real in seen or f"{root}{os.sep}".startswith(f"{real.rstrip(os.sep)}{os.sep}"):
                    again.append(link)
                    continue
                seen.add(real)
                todo.append((f"{link}/", real))
            prefix, folder = todo.pop()
            if prefix and not is_hidden(prefix):
                self.folders.append(to_path(prefix[:-1]))
            try:
                with os.scandir(folder) as entries:
                    entries = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                closed.append(f"{prefix or '.'} ({error.strerror})")
                continue
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    real = os.path.join(folder, entry.name)
                    if entry.name.lower() in SYSTEM_FOLDERS:
                        continue
                    if real in seen:
                        again.append(name)
                    else:
                        seen.add(real)
                        todo.append((f"{name}/", real))
                elif entry.is_dir():
                    if not is_hidden(name):
                        links.append((name, os.path.realpath(entry.path)))
                elif entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):
                    yield name
                else:
                    special.append(name)
        if again:
            self.findings.append(
                f"{counted(len(again), 'link')} to a folder that the data set already has, not read again: "
                f"{listed(again)}"
            )
        if special:
            self.findings.append(f"{counted(len(special), 'file is', 'files are')} no regular file: {listed(special)}")
        if closed:
            self.unread.append(f"{counted(len(closed), 'folder')} cannot be opened: {listed(closed)}")

    def refuse_without_pictures(self) -> None:
        """Raises UserError when there is no picture; it counts what is there, and says what to do."""
        if self.names:
            return
        if self.hidden:
            folder = os.path.dirname(self.hidden[0])
            raise UserError(
                f"{self.path} holds no images but {len(self.hidden)} hidden ones, which are not read (a name that "
                f"begins with a dot): {listed(self.hidden)}; rename them"
                + (f", or give the folder: --dataset {self.path / folder}" if folder and self.path.is_dir() else "")
            )
        others = self.other_names
        found = f"but {by_suffix(others)} ({listed(others)})" if others else "and no other files"
        images, arrays, _ = unread_sentences(others)
        hints = [*self.unread, *self.findings, *images, *arrays]
        sets = [name for name in others if suffix_of(name) in (".npz", ".npy", ".mat", ".zip", ".tar", ".tgz")]
        sets.sort(key=lambda name: ("label" in name.lower(), "train" not in name.lower()))
        if sets and self.path.is_dir():
            hints.append(f"a file of images is given by its path: --dataset {self.path / sets[0]}")
        if any(os.path.basename(name) == "data_batch_1" for name in others):
            hints.append("CIFAR's Python files are pickles, which are never opened; --dataset cifar10 downloads it")
        raise UserError(
            f"{self.path} holds no images {found}. Images are files that end in .png .jpg .jpeg .webp .gif .bmp .tif "
            f".avif, or another suffix that Pillow reads, in upper or lower case"
            + "".join(f"; {hint}" for hint in hints)
        )


# What is not read -----------------------------------------------------------------------------------------------------


def unread_sentences(names: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """What is to be said of files that are no pictures: (those that look like images, arrays, all others).

    Args:
        names: of the files.
    """
    rest, images, arrays = list(names), [], []
    for kind, (suffixes, advice) in UNREAD_KINDS.items():
        found = [name for name in rest if suffix_of(name) in suffixes.split()]
        if found:
            sentence = f"{kind} that are not read: {by_suffix(found)} ({listed(found)}); {advice}"
            (arrays if kind == ARRAYS else images).append(sentence)
            rest = sorted(set(rest).difference(found))
    others = [f"other files that are not read: {by_suffix(rest)}"] if rest else []
    return images, arrays, others


def by_suffix(names: Iterable[str]) -> str:
    """Files counted by suffix, the commonest first: "30 .heic, 2 .txt, 1 without a suffix"."""
    counts = Counter(suffix_of(name) or "without a suffix" for name in names).most_common()
    shown = [f"{count} {suffix}" for suffix, count in counts[: 2 * NAMED]]
    rest = sum(count for _, count in counts[2 * NAMED :])
    return ", ".join(shown) + (f" and {rest} with other suffixes" if rest else "")


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


# Names ----------------------------------------------------------------------------------------------------------------


def suffix_of(name: str) -> str:
    """The suffix of a file in lower case, with its dot; "" where the name has none that is a word."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if SUFFIX.fullmatch(suffix) else ""


def legible(name: str) -> str:
    """A name as text that can be printed and stored: control characters and bytes that are not UTF-8 become \\xNN."""
    if not name.isascii():
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", name) if not name.isprintable() else name


def to_path(name: str) -> str:
    """A name with forward slashes, as text that can be printed, in the composed form of Unicode (macOS' is not)."""
    return unicodedata.normalize("NFC", legible(name.replace("\\", "/")))


def is_hidden(name: str) -> bool:
    """Whether a file or one of its folders has a name that begins with a dot."""
    return name.startswith(".") or "/." in name


def is_system(name: str) -> bool:
    """Whether a file, or a folder that it is in, is one that operating systems and programs leave among others."""
    lower = name.lower()
    *folders, file = lower.split("/")
    return file.startswith("._") or file in SYSTEM_FILES or not SYSTEM_FOLDERS.isdisjoint(folders)
