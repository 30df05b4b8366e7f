"""Files: written aside and then renamed, so that they appear whole or not at all; and data files found by their name.

What is read from disks that fail at times is tried again. Data files are looked for in $KGEN_DATA_DIR, or in
../shared/data where that exists.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from kgen.errors import UserError

T = TypeVar("T")

ASIDE = ".part-"
"""How the name of a file or folder that is not whole yet starts."""
LEFTOVER_SECONDS = 24 * 3600
"""Age at which what is not whole yet is a leftover of a process that was killed."""


def aside_of(path: Path) -> Path:
    """A new name beside a path, with its suffixes; ids of processes repeat between containers, so it has none."""
    return path.with_name(f"{ASIDE}{secrets.token_hex(6)}-{path.name}")


def remove_leftovers(folder: Path):
    """Removes what processes that were killed left in a folder a day ago; what cannot be removed stays."""
    for path in folder.glob(f"{ASIDE}*"):
        with contextlib.suppress(OSError):  # another process removes it as well
            newest = max(part.lstat().st_mtime for part in (path, *path.rglob("*")))
            if time.time() - newest < LEFTOVER_SECONDS:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def write_aside(path: str | os.PathLike, write: Callable[[Path], Any]) -> Path:
    """Calls `write` with a name beside `path` (same suffixes), then renames: `path` appears whole or not at all.

    Args:
        path: of the file; its folder is made.
        write: writes a file at the path that it is given.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(path)
    try:
        write(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Writes a text file whole; half characters, of file names that are no UTF-8, as JSON writes them."""
    return write_aside(path, lambda aside: aside.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_json(path: str | os.PathLike, values: Any) -> Path:
    """Writes a JSON file whole, indented by two."""
    return write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def check_writable(folder: str | os.PathLike, what: str, advice: str = "name another place with --out"):
    """Finds out whether files can be written into a folder, before what they hold is computed; leaves nothing behind.

    Args:
        folder: it need not exist yet.
        what: begins the message.
        advice: ends it.

    Raises:
        UserError: they cannot.
    """
    try:
        try_to_write(folder)
    except OSError as error:
        reason, existing = error.strerror or error, error.filename
        raise UserError(f"{what} cannot be written: {existing}: {reason}; {advice}") from error


def try_to_write(folder: str | os.PathLike):
    """Writes a file into a folder, or, if it does not exist yet, into the one that it would be made in, and removes it.

    Raises:
        OSError: that cannot be done; its `filename` is the folder.
    """
    folder = Path(folder).absolute()
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing, prefix=ASIDE):
            pass
    except OSError as error:
        error.filename = str(existing)
        raise


# Reading that fails at times ------------------------------------------------------------------------------------------

TRIES, FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 5, 0.5, 30.0
"""How often something is tried, and the time before the second try, which doubles with each up to the longest."""
PASSING = {
    getattr(errno, name)
    for name in (
        "EIO", "EAGAIN", "EBUSY", "EINTR", "ESTALE", "ETIMEDOUT", "ECONNRESET", "ECONNABORTED", "ENETDOWN",
        "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "EREMOTEIO",
    )
    if hasattr(errno, name)
}  # fmt: skip
"""Errors of disks and file systems of a network that may be gone the next time."""


def may_pass(error: BaseException) -> bool:
    """Whether what raised an error may succeed when it is tried again."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in PASSING:
            return True
        error = error.__cause__
    return False


def try_again(function: Callable[[], T], passes: Callable[[Exception], bool] = may_pass, tries: int = TRIES) -> T:
    """What a function returns, which is called several times with growing pauses where its error may pass."""
    for number in range(tries - 1):
        try:
            return function()
        except Exception as error:
            if not passes(error):
                raise
            time.sleep(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**number))
    return function()


# Data files -----------------------------------------------------------------------------------------------------------

VARIABLE = "KGEN_DATA_DIR"
DEFAULT_FOLDER = Path("../shared/data")
"""Where data files are looked for when the variable is not set, from the current folder."""


def data_folder() -> Path | None:
    """The folder of data files; None where there is none.

    Raises:
        UserError: KGEN_DATA_DIR names no folder.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return DEFAULT_FOLDER if DEFAULT_FOLDER.is_dir() else None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UserError(f"{VARIABLE} must name a folder with data files, or not be set. Received: {given}")
    return folder


def find_data_file(name: str) -> Path | None:
    """The absolute path of the file of this name in the folder or below it, the nearest to its top; None if not there.

    Hidden folders are left out.
    """
    folder = data_folder()
    level = [folder.resolve()] if folder else []
    while level:
        found = [parent / name for parent in level if (parent / name).is_file()]
        if found:
            return found[0]
        level = [child for parent in level for child in sorted(parent.iterdir()) if _is_open(child)]
    return None


def where_looked() -> str:
    """What a message says of a file that was not found."""
    folder = data_folder()
    if os.environ.get(VARIABLE):
        return f"{VARIABLE} is {folder}"
    return f"{VARIABLE} is not set" + (f", looked in {folder}" if folder else "")


def _is_open(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
