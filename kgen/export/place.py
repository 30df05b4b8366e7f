"""Where an export is found, and where the next one is written; nothing here needs TensorFlow."""

import contextlib
from pathlib import Path

from kgen.errors import UserError
from kgen.io import try_to_write
from kgen.run import check_space
from kgen.sampling import latest_version
from kgen.sampling.manifest import MANIFEST


def find_version(path: str | Path) -> Path:
    """The folder of a version: exports/NAME/VERSION itself, or the latest below exports/NAME, whole or not.

    Raises:
        UserError: the path is no export.
    """
    path = Path(path)
    folder = path if (path / MANIFEST).is_file() else latest_version(path, ("saved_model.pb", MANIFEST))
    if folder is None:
        raise UserError(f"{path} {'is no export' if path.exists() else 'does not exist'}; give exports/NAME")
    return folder


def check_to(to: str | Path):
    """Raises UserError when an export cannot be written to exports/NAME, or its disk is full. Makes nothing."""
    check_space(Path(to), "--to")
    with writing_to(to):
        try_to_write(to)


@contextlib.contextmanager
def writing_to(to: str | Path):
    """Raises UserError where the folder of an export cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"--to {to}: {error.strerror or error}; name a folder that can be written") from error
