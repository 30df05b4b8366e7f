"""Data sets at an address, gs://, s3://, https:// …: copied once into the folder of the cache, and read from there.

`kgen.file_systems` reads them. A copy is resumed where it was interrupted; files that changed at the address are copied
again. Where the set has a file SHA256SUMS, it says which files there are, and their content is checked.
"""

import contextlib
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kgen.cache import cache_root, digest
from kgen.data.sources.shards import SUMS, expand, read_sums
from kgen.errors import DataMissing, UserError
from kgen.file_systems import THREADS, RemoteFile, ask, copy_out, files_of, in_threads, is_refusal, reason_of
from kgen.io import write_aside
from kgen.tables import counted

DOWNLOAD = "download the images and give their path"


class NotThere(DataMissing):
    """A file that is not at its address, or not for this user."""


def check_address(address: str) -> None:
    """Raises UserError where what reads an address is not installed; asks no server."""
    files_of(address)


def local_copy(address: str, is_file: Callable[[str], bool]) -> tuple[str, str]:
    """Copies what is at an address, unless it was copied before.

    Args:
        address: of a folder, of a file, of its SHA256SUMS, or a pattern with braces.
        is_file: whether the name of a file is that of a data set of its own.

    Returns:
        The path, or the pattern of the paths, of the copy; and a note for the log.

    Raises:
        UserError: what reads it is not installed, the disk has no room, or a checksum is wrong.
        DataMissing: there is no such file or folder, or the server does not answer.
    """
    address = address.strip().rstrip("/").removesuffix(f"/{SUMS}")
    remote = files_of(address)
    top, _, last = address.rpartition("/")
    if "{" in address:
        top = address[: address.index("{")].rpartition("/")[0]
        wanted = {url.removeprefix(f"{top}/"): url for url in expand(address) or [address]}
        files = _ask(address, lambda: in_threads(remote.describe, wanted))
        folder = _folder_of(top) / top.rpartition("/")[2]
        result = str(folder / address.removeprefix(f"{top}/"))
    elif is_file(last):
        files, folder = _ask(address, lambda: {last: remote.describe(address)}), _folder_of(top)
        result = str(folder / last)
    else:
        files, folder = _files_in(address, remote), _folder_of(address) / last
        for gone in set(_copied(_log_of(folder))).difference(files):
            (folder / gone).unlink(missing_ok=True)
        result = str(folder)
    note = _copy(address, files, folder, remote)
    return result, note


def _folder_of(address: str) -> Path:
    return cache_root() / "remote" / digest(address)


def _files_in(address: str, remote) -> dict[str, RemoteFile]:
    """Path below a folder -> file: those that its SHA256SUMS names, else all that are listed."""
    try:
        sums = read_sums(_ask(f"{address}/{SUMS}", lambda: _read(remote, f"{address}/{SUMS}")).decode(errors="replace"))
    except NotThere:
        files = _ask(address, lambda: remote.find(address))
        if not files:
            raise DataMissing(
                f"nothing is found at {address}. Where a server lists no folders, name the shards, "
                f"'{address}/train-{{000..009}}.tar', or put a file {SUMS} beside them: sha256sum * > {SUMS}. Of any "
                f"other page {DOWNLOAD}"
            ) from None
        return files
    named = _ask(address, lambda: in_threads(remote.describe, {name: f"{address}/{name}" for name in sums}))
    return {name: RemoteFile(f.url, f.size, f.version, sums[name]) for name, f in named.items()}


def _read(remote, url: str) -> bytes:
    with remote.open(url) as file:
        return file.read()


def _ask(address: str, question: Callable):
    """The answer of a file system, asked several times.

    Raises:
        DataMissing: there is no such thing, or no answer.
    """
    try:
        return ask(question)
    except UserError:
        raise
    except Exception as error:
        what = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read"
        kind = NotThere if is_refusal(error) else DataMissing
        raise kind(f"{address} {what}: {reason_of(error)}; {DOWNLOAD}") from error


def _copy(address: str, files: dict[str, RemoteFile], folder: Path, remote) -> str:
    """Copies those of the files that are not there in this version; a note for the log."""
    log, lock = _log_of(folder), threading.Lock()
    known = _copied(log)
    missing = {name: file for name, file in files.items() if not _is_here(folder / name, file, known.get(name))}
    size = sum(file.size or 0 for file in files.values())
    if not missing:
        return f"{address}: {counted(len(files), 'file')} of an earlier copy, {size / 2**20:.1f} MiB, in {folder}"
    needed = sum(file.size or 0 for file in missing.values())
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free * 9 // 10
    if needed > free:
        raise UserError(
            f"{address} holds {needed / 2**30:.1f} GiB, and {cache_root()} has {free / 2**30:.1f} GiB left for a copy; "
            "set KGEN_CACHE_DIR to a larger disk, or name fewer shards"
        )
    from tqdm import tqdm

    with tqdm(total=needed, desc=address, unit="B", unit_scale=True, delay=2, leave=False, disable=None) as bar:

        def copy(name: str) -> None:
            file = missing[name]
            _ask(file.url, lambda: write_aside(folder / name, lambda aside: _fetch(remote, file, aside, bar.update)))
            with lock, open(log, "a", encoding="utf-8") as lines:
                lines.write(json.dumps([name, file.size, file.version, file.sha256]) + "\n")

        with ThreadPoolExecutor(THREADS) as pool:
            for done in [pool.submit(copy, name) for name in missing]:
                done.result()
    return f"{address}: copied {counted(len(missing), 'file')} of {len(files)}, {needed / 2**20:.1f} MiB, to {folder}"


def _fetch(remote, file: RemoteFile, aside: Path, count: Callable[[int], object]) -> None:
    """Copies one file.

    Raises:
        UserError: its content has another checksum.
        OSError: it has another size.
    """
    size, sha256 = copy_out(remote, file.url, aside, count)
    if file.size is not None and size != file.size:
        raise OSError(f"{size} of {file.size} bytes arrived")
    if file.sha256 and sha256 != file.sha256:
        raise UserError(f"{file.url} has another content than {SUMS} says: it was damaged or written anew")


def _log_of(folder: Path) -> Path:
    """The file that has a line for each file that was copied into a folder."""
    return folder.with_name(f"{folder.name}.copied.jsonl")


def _copied(log: Path) -> dict[str, list]:
    """Name -> [size, version, sha256] of the files that were copied."""
    found = {}
    with contextlib.suppress(OSError):
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # the last one may be cut off
                name, *facts = json.loads(line)
                found[name] = facts
    return found


def _is_here(path: Path, file: RemoteFile, known: list | None) -> bool:
    if known != [file.size, file.version, file.sha256] or not path.is_file():
        return False
    return file.size is None or path.stat().st_size == file.size
