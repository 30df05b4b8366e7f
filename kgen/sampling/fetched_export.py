"""A version of an export at an address: its files are copied once, and checked by what its manifest says of them."""

import hashlib
import tempfile
from pathlib import Path

from kgen.cache import cache_root, digest
from kgen.errors import UserError
from kgen.file_systems import ask, copy_out, files_of, in_threads, is_inside, is_refusal, reason_of
from kgen.io import write_aside
from kgen.sampling.manifest import MANIFEST, read_manifest


def fetch_export(address: str) -> Path:
    """The folder of the copy of a version of an export.

    Args:
        address: of the version, the folder that holds its manifest.

    Raises:
        UserError: there is none, a file is missing or has another content than the manifest says, or no answer comes.
    """
    address = address.strip().rstrip("/")
    files, name = files_of(address), address.rpartition("/")[2]
    with tempfile.TemporaryDirectory() as place:
        try:
            ask(lambda: copy_out(files, f"{address}/{MANIFEST}", Path(place) / MANIFEST))
        except UserError:
            raise
        except Exception as error:  # each file system has errors of its own
            if is_refusal(error):
                raise UserError(
                    f"{address} holds neither a run nor a version of an export (no {MANIFEST}: {reason_of(error)})"
                ) from error
            raise UserError(f"{address} cannot be read: {reason_of(error)}") from error
        manifest = read_manifest(Path(place))
        listed = manifest.get("files") or {}
        if strange := [path for path in listed if not is_inside(path)]:
            raise UserError(f"{address}/{MANIFEST} names a file outside of its folder: {strange[0]!r}")
        content = (Path(place) / MANIFEST).read_bytes()
    folder = cache_root() / "exports" / digest(address, content) / name

    def fetch(path: str) -> None:
        def into(aside: Path) -> None:
            _, found = ask(lambda: copy_out(files, f"{address}/{path}", aside))
            if found != listed[path]["sha256"]:
                raise UserError(f"{address}/{path} has another content than {MANIFEST} says: it is damaged")

        target = folder / path
        if not target.is_file() or hashlib.sha256(target.read_bytes()).hexdigest() != listed[path]["sha256"]:
            write_aside(target, into)

    try:
        in_threads(fetch, {path: path for path in listed})
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{address}, of which {MANIFEST} says more, cannot be read: {reason_of(error)}") from error
    write_aside(folder / MANIFEST, lambda aside: aside.write_bytes(content))
    return folder
