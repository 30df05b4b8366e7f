"""Whether a version of an export holds what kgen-export wrote, and nothing else; needs no TensorFlow."""

import hashlib
from pathlib import Path
from typing import Any

from kgen.errors import ExportFailed
from kgen.sampling.manifest import AGAIN, MANIFEST, check_signature, read_manifest

RESULTS = "eval"
"""The folder that kgen-eval writes into a version."""


def check_files(folder: Path, key: Any = None) -> dict[str, Any]:
    """Compares all files of a version with its manifest, and that with its digest.

    Args:
        folder: of the version.
        key: a `public_key` that the manifest must be signed with; None for any, or no signature.

    Returns:
        The manifest.

    Raises:
        UserError: the manifest is missing or damaged.
        ExportFailed: a file has changed, is missing or was added, or the signature is not that of the key.
    """
    manifest = read_manifest(folder)
    if key is not None:
        check_signature(folder, manifest, key)
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        raise ExportFailed(f"{folder / MANIFEST} lists no files: {AGAIN}")
    found = file_hashes(folder)
    for name in [*files, *found]:
        if files.get(name) != found.get(name):
            problem = "is missing" if name not in found else "has changed" if name in files else "was added"
            raise ExportFailed(f"{folder / name} {problem} since the export was written")
    return manifest


def file_hashes(folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> {"bytes", "sha256"} of every file of a version, except its manifest and those in RESULTS.

    A link to a file counts as the file; one to a folder, which is not followed, and a device as an empty file.
    """
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        exempt = name == MANIFEST or name.startswith(f"{RESULTS}/") or (file.is_dir() and not file.is_symlink())
        if not exempt:
            content = file.read_bytes() if file.is_file() else b""
            found[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return found
