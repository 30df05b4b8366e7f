"""The folder with data files that are found by their name: $KGEN_DATA_DIR, or ../shared/data where it exists."""

import os
from pathlib import Path

from kgen.errors import UserError

VARIABLE = "KGEN_DATA_DIR"
BESIDE = Path("../shared/data")
"""Where data are looked for when the variable is not set, from the current folder."""


def data_folder() -> Path | None:
    """The folder; None where there is none.

    Raises:
        UserError: KGEN_DATA_DIR names no folder.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return BESIDE if BESIDE.is_dir() else None
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
