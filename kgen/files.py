"""Whole files or none: written aside, then renamed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

ASIDE = ".part-"
"""How the name of a file starts that is not whole yet; the number of the process that writes it follows."""


def write_aside(path: str | os.PathLike, write: Callable[[Path], Any]) -> Path:
    """Calls `write` with a name beside `path` (same suffixes), then renames: `path` appears whole or not at all.

    Args:
        path: of the file; its folder is made.
        write: writes a file at the path that it is given.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{ASIDE}{os.getpid()}-{path.name}")
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
