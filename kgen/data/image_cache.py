"""Decoded images on disk: one folder per set, found by a hash of its content, bounded in size, the oldest go first.

A folder appears whole or not at all. While a process uses one it holds a lock on it, so that no other process removes
it; where there are no such locks (Windows), the system itself refuses to remove files that are mapped.
"""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kgen.cache import cache_root
from kgen.tables import counted, render_table

MARK = "skipped.json"
"""The file that every folder of decoded images has; its time of change is that of the last use."""
UNFINISHED = re.compile(r"\..+-[0-9a-f]{16}\.\w+")
"""Names of folders that a process is writing, or was when it was killed."""
ABANDONED_SECONDS = 24 * 3600
GIB = 2**30

_held: dict[Path, int] = {}
"""Folder -> the open file whose lock says that this process uses it."""


@dataclass(frozen=True)
class Entry:
    """A folder of decoded images.

    Attributes:
        folder: its path.
        size: bytes.
        used: when it was used last, in seconds since the epoch.
    """

    folder: Path
    size: int
    used: float

    @property
    def name(self) -> str:
        """Of the data set."""
        return self.folder.name.rpartition("-")[0]

    def shapes(self) -> list[tuple[int, ...]]:
        """[N, H, W, C] of each split."""
        return [np.load(path, mmap_mode="r").shape for path in sorted(self.folder.glob("*.images.npy"))]


def find(name: str, key: str) -> Path:
    """The folder of a key: the one that is there, under whatever name the data set had, or a new one."""
    return next(cache_root().glob(f"*-{key}"), cache_root() / f"{name}-{key}")


def write(folder: Path, fill: Callable[[Path], None]) -> None:
    """Makes a folder by `fill`, which writes into a folder aside: what is there is always whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        fill(aside)
        try:
            os.rename(aside, folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def hold(folder: Path) -> None:
    """Notes that this process uses a folder, from now on until it ends."""
    os.utime(folder / MARK)
    if folder not in _held:
        file = os.open(folder / MARK, os.O_RDONLY)
        _lock(file, shared=True)
        _held[folder] = file


def entries() -> list[Entry]:
    """All folders of decoded images, the one that was used last first."""
    found = []
    for folder in cache_root().glob("*-*") if cache_root().is_dir() else ():
        with contextlib.suppress(OSError):  # removed meanwhile
            if not folder.name.startswith("."):
                found.append(Entry(folder, _size(folder), (folder / MARK).stat().st_mtime))
    return sorted(found, key=lambda entry: -entry.used)


def make_room(needed: int, bound: int) -> list[Entry]:
    """Removes the folders that were used longest ago, until those that stay and `needed` bytes are within the bound.

    Folders in use stay. What processes left unfinished more than a day ago goes too.

    Returns:
        What was removed.
    """
    remove_unfinished(ABANDONED_SECONDS)
    there, removed = entries(), []
    total = needed + sum(entry.size for entry in there)
    for entry in reversed(there):
        if total > bound and _remove(entry.folder):
            total -= entry.size
            removed.append(entry)
    return removed


def clear() -> str:
    """Removes all decoded images that no process uses; returns a sentence about it."""
    remove_unfinished(ABANDONED_SECONDS)
    there = entries()
    removed = [entry for entry in there if _remove(entry.folder)]
    kept = len(there) - len(removed)
    return (
        f"removed {counted(len(removed), 'set')} of decoded images, {_in_words(sum(entry.size for entry in removed))}"
        + (f"; {kept} are in use and stay" if kept else "")
    )


def remove_unfinished(seconds: float) -> None:
    """Removes what processes were writing that have been killed: folders in which nothing changed for so long."""
    for folder in cache_root().glob(".*") if cache_root().is_dir() else ():
        if UNFINISHED.fullmatch(folder.name):
            with contextlib.suppress(OSError):
                changed = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
                if time.time() - changed > seconds:
                    shutil.rmtree(folder, ignore_errors=True)


def report(bound_gib: float) -> str:
    """A table of the decoded images on disk, and what else the folder of the cache holds."""
    there = entries()
    rows = []
    for entry in there:
        shapes = entry.shapes()
        shape = "x".join(map(str, shapes[0][1:])) if shapes else "-"
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        rows.append([entry.name, sum(s[0] for s in shapes), shape, _in_words(entry.size), day, str(entry.folder)])
    table = render_table(["set", "images", "shape", "size", "last used", "folder"], rows) if rows else ""
    total = _in_words(sum(entry.size for entry in there))
    others = [f"{name} {_in_words(size)}" for name, size in _others(there)]
    return (
        f"{table}decoded images in {cache_root()}: {total}, at most {bound_gib:g} GiB (--cache_gib)\n"
        + (f"also there: {', '.join(others)}\n" if others else "")
        + ("empty it with: kgen-data --cache clear\n" if rows else "")
    )


def _others(there: list[Entry]) -> Iterator[tuple[str, int]]:
    """(name, bytes) of the other folders of the cache."""
    known = {entry.folder for entry in there}
    for folder in sorted(cache_root().iterdir()) if cache_root().is_dir() else ():
        if folder.is_dir() and folder not in known:
            yield folder.name, _size(folder)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _in_words(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.1f} MiB"


def _remove(folder: Path) -> bool:
    """Removes a folder that no process uses; whether it is gone."""
    try:
        file = os.open(folder / MARK, os.O_RDONLY)
    except OSError:
        return False
    try:
        if folder in _held or not _lock(file, shared=False):
            return False
        aside = folder.with_name(f".{folder.name}.removed{os.getpid()}")
        os.rename(folder, aside)  # at once, so that no process opens a part of it
        shutil.rmtree(aside, ignore_errors=True)
        return True
    except OSError:
        return False
    finally:
        os.close(file)


def _lock(file: int, *, shared: bool) -> bool:
    """Locks an open file without waiting; False if another process has locked it. True where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
