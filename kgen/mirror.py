"""Runs at an address, gs://bucket/runs/a: a folder of this machine, and its whole states there.

    ADDRESS/RUN.json                            the state: {"format": 1, "files": {PATH: {"size", "sha256"}}}
    ADDRESS/files/final-0123456789abcdef.png    the file samples/final.png, with 16 digits of its SHA-256 in its name

A training writes into a folder of the cache, and uploads it after each checkpoint: first the files that are new or
have changed, under names that nothing had before, then RUN.json, then it removes the files that RUN.json does not name
any more. An object store writes an object whole or not at all. So RUN.json always names a whole state, the one before
an upload or the one after it, and a reader takes the files that it names, with the content that it names. Without
RUN.json there is no run.

One process writes to an address. The copy of this machine is a state at the address, and what was changed here since: a
training whose uploads failed, results of kgen-eval. It is fetched anew when another machine has changed the state.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kgen.cache import cache_root, digest
from kgen.errors import UserError
from kgen.file_systems import (
    OF_THE_WEB,
    ask,
    copy_out,
    files_of,
    in_threads,
    is_address,
    is_inside,
    is_missing,
    reason_of,
    scheme_of,
)
from kgen.io import ASIDE, aside_of, remove_leftovers, write_aside, write_json, write_text

MARKER, OBJECTS, FORMAT = "RUN.json", "files", 1
DIGITS = 16
"""Of the SHA-256 in the name of an object."""
CONFIG = "config.json"
"""The file that every run has."""
KEPT = ("eval", "explore")
"""Folders of a copy with results of other commands, which stay when another state is fetched."""
FETCHES = 10
"""How often a fetch begins again because the run is being trained, and the files of the state were replaced."""


@dataclass(frozen=True)
class StateFile:
    """A file of a state.

    Attributes:
        size: bytes.
        sha256: of its content, 64 hex digits.
    """

    size: int
    sha256: str


class Superseded(Exception):
    """An upload that gives way to that of a later state."""


class Mirror:
    """A run at an address, and its copy on this machine.

    Args:
        address: of the run.

    Attributes:
        folder: of the copy, in the cache.
        log: gets a message when an upload fails, and when one succeeds again.

    Raises:
        UserError: no run can be at such an address.
    """

    def __init__(self, address: str):
        self.address = address.strip().rstrip("/")
        if scheme_of(address) in OF_THE_WEB:
            raise UserError(f"{address}: a web server keeps no runs; give an address as gs://bucket/NAME, or a folder")
        name = self.address.partition("://")[2].rpartition("/")[2]
        if not name or name.startswith("."):
            raise UserError(f"the address of a run ends with its name, as gs://bucket/NAME. Received: {address!r}")
        self.files = files_of(self.address)
        self.folder = cache_root() / "runs" / digest(self.address) / name
        self.log = lambda message: None
        self._state: dict[str, StateFile] = {}
        self._known: dict[str, tuple[tuple[int, int, int], StateFile]] = {}
        self._objects: set[str] = set()
        self._swept = self._failing = False
        self._training: int | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._upload: Future | None = None
        self._late = threading.Event()

    # What is there --------------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether there is a run: at the address, or in a copy of which nothing could be uploaded yet."""
        state = self._read()
        return state is not None or self._is_current(state)

    def check_new(self):
        """Raises UserError unless a new run can be written to the address."""
        try:
            held = {*ask(lambda: self.files.names(self.address))}
            left = ask(lambda: self.files.names(f"{self.address}/{OBJECTS}"))
        except Exception as error:
            raise UserError(f"--run_dir {self.address} cannot be read: {reason_of(error)}") from error
        killed = held <= {OBJECTS} and all(map(_is_object, left))  # after files, and before the first RUN.json
        if self.exists() or not killed:
            raise UserError(f"--run_dir {self.address} is not empty; name a new address, or remove what is there")
        self.check_writable("--run_dir")

    def check_writable(self, what: str):
        """Raises UserError where nothing can be written to the address; `what` begins the message."""
        probe = f"{self.address}/{OBJECTS}/{ASIDE}{uuid.uuid4().hex}"
        with tempfile.TemporaryDirectory(prefix="kgen-") as folder:
            (path := Path(folder) / "probe").write_text("kgen tries whether files can be written here\n")
            try:
                ask(lambda: self.files.write(probe, path))
                ask(lambda: self.files.remove(probe))
            except Exception as error:
                raise UserError(
                    f"{what} {self.address} cannot be written: {reason_of(error)}; name an address that "
                    "can, and see to its credentials"
                ) from error

    def _read(self) -> str | None:
        """The text of RUN.json; None where there is none."""
        url = f"{self.address}/{MARKER}"

        def read() -> bytes:
            with self.files.open(url) as file:
                return file.read()

        try:
            return ask(read).decode("utf-8", errors="replace")
        except Exception as error:
            if is_missing(error):
                return None
            raise UserError(f"{url} cannot be read: {reason_of(error)}") from error

    def _entries(self, text: str) -> dict[str, StateFile]:
        """The files that the text of RUN.json names."""
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                raise ValueError(f"it is of format {values['format']}, and this kgen reads format {FORMAT}")
            found = {path: StateFile(int(file["size"]), str(file["sha256"])) for path, file in values["files"].items()}
            if outside := [path for path in found if not is_inside(path)]:
                raise ValueError(f"it names a file outside of its folder: {outside[0]!r}")
            return found
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{self.address}/{MARKER} does not describe a run: {reason_of(error)}") from error

    # The copy of this machine ---------------------------------------------------------------------------------------

    def copy(self, *, exact: bool = False) -> Path:
        """The folder of the copy, with the state at the address; that of a training in progress here as it is.

        Args:
            exact: without what was changed here since.

        Raises:
            UserError: there is no run, it cannot be read, or a file is damaged.
        """
        with self._lock("lock"):
            with self._lock("training", wait=False) as free:
                pass
            text = self._read()
            if free and (exact or not self._is_current(text)):
                self._fetch(text)
        return self.folder

    def begin(self) -> Path:
        """The folder of the copy, to train in; what was not uploaded yet is.

        Raises:
            UserError: as of `copy`; another process of this machine trains, or the address cannot be written.
        """
        with self._lock("lock"):
            self._hold()
            try:
                text = self._read()
                if not self._is_current(text):
                    text = self._fetch(text)
                self.check_writable("run")
                self._state = {} if text is None else self._entries(text)
                self._objects = {object_of(path, entry) for path, entry in self._state.items()}
                self.finish()
            except BaseException as error:
                self.release()
                if isinstance(error, UserError) or not isinstance(error, Exception):
                    raise
                raise UserError(f"run {self.address} cannot be written: {reason_of(error)}") from error
        return self.folder

    def begin_new(self) -> Path:
        """The folder of the copy, empty, to train a new run in."""
        with self._lock("lock"):
            self._hold()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self._remember(None)
        return self.folder

    def _is_current(self, text: str | None) -> bool:
        """Whether the copy is the state of this RUN.json, and what was changed here since."""
        try:
            known = json.loads(self._beside("json").read_text(encoding="utf-8"))["state"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return known == _digest_of(text) and (self.folder / CONFIG).is_file()

    def _remember(self, text: str | None):
        write_json(self._beside("json"), {"address": self.address, "state": _digest_of(text)})

    def _beside(self, suffix: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{suffix}")

    def _fetch(self, text: str | None) -> str:
        """Makes the copy the state of a RUN.json, or of a later one that replaces it meanwhile; returns its text."""
        for _ in range(FETCHES):
            if text is None:
                raise UserError(f"{self.address} holds no run (it has no {MARKER}); kgen-train --run_dir writes one")
            entries = self._entries(text)
            self._beside("json").unlink(missing_ok=True)  # the copy is a mixture until the end
            try:
                in_threads(lambda item: self._fetch_file(*item), {path: (path, e) for path, e in entries.items()})
                break
            except UserError as error:
                before, text = text, self._read()
                if text == before:
                    raise error
        else:
            raise UserError(f"{self.address} changes faster than it can be fetched; try again later")
        for path in _files_in(self.folder):
            if path not in entries and PurePosixPath(path).parts[0] not in KEPT:
                (self.folder / path).unlink(missing_ok=True)
        self._remember(text)
        return text

    def _fetch_file(self, path: str, entry: StateFile):
        """Copies a file of a state, unless it is here.

        Raises:
            UserError: it is missing or damaged.
        """
        local, url = self.folder / path, f"{self.address}/{object_of(path, entry)}"
        if local.is_file() and local.stat().st_size == entry.size and _sha256(local) == entry.sha256:
            return

        def copy(aside: Path):
            size, sha256 = copy_out(self.files, url, aside)
            if size != entry.size:
                raise OSError(f"{size} of {entry.size} bytes arrived")
            if sha256 != entry.sha256:
                raise UserError(
                    f"{url} is damaged: its content has another SHA-256 than {MARKER} says; restore the object from a "
                    "copy, where the bucket keeps versions of objects, or train again"
                )

        try:
            ask(lambda: write_aside(local, copy))
        except UserError:
            raise
        except Exception as error:
            what = "is missing" if is_missing(error) else f"cannot be read: {reason_of(error)}"
            raise UserError(f"{url}, a file of the run, {what}") from error

    # Uploading ------------------------------------------------------------------------------------------------------

    def upload_soon(self):
        """Uploads the folder as it is now, in a thread; not while the upload before is under way."""
        if self._upload is not None and not self._upload.done():
            return
        try:
            snapshot = self._snapshot()
        except OSError as error:  # e.g. the disk is full
            return self._failed(error)
        self._pool = self._pool or ThreadPoolExecutor(1, "kgen-upload")
        self._upload = self._pool.submit(self._try_to_send, *snapshot)

    def finish(self):
        """Uploads the folder as it is now, and waits for it; raises what the file system raises when it fails."""
        self._late.set()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = self._upload = None
        self._late.clear()
        self._send(*self._snapshot())

    def finish_or_log(self) -> bool:
        """`finish`; whether it succeeded, and else a message for the log."""
        try:
            self.finish()
        except Exception as error:  # each file system has errors of its own
            self.log(f"{self.address} does not take the run: {reason_of(error)}. It is whole in {self.folder}")
            return False
        return True

    def release(self):
        """Lets another process of this machine train the run."""
        if self._training is not None:
            os.close(self._training)
            self._training = None

    def _snapshot(self) -> tuple[Path, dict[str, StateFile], dict[str, tuple[int, int, int]]]:
        """A folder with the files that may have changed, the entries of the others, and what tells a change later."""
        folder, entries, changed = aside_of(self.folder), {}, {}
        for path in _files_in(self.folder):
            source, target = self.folder / path, folder / path
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                status = source.stat()
                version = (status.st_size, status.st_mtime_ns, status.st_ino)
                before, entry = self._known.get(path, (None, None))
                if before == version:
                    entries[path] = entry
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.suffix == ".npz":  # large, and replaced as a whole
                    _link(source, target)
                else:
                    shutil.copyfile(source, target)
                changed[path] = version
        return folder, entries, changed

    def _try_to_send(self, *snapshot):
        try:
            self._send(*snapshot)
        except Superseded:
            return
        except Exception as error:
            self._failed(error)
        else:
            if self._failing:
                self.log(f"{self.address} takes the run again")
            self._failing = False

    def _failed(self, error: Exception):
        """Says so once, until an upload succeeds."""
        if not self._failing:
            self.log(
                f"{self.address} does not take the run: {reason_of(error)}. The training goes on in {self.folder}, and "
                "the next checkpoint is uploaded again"
            )
        self._failing = True

    def _send(self, folder: Path, entries: dict[str, StateFile], changed: dict[str, tuple[int, int, int]]):
        """Uploads a snapshot, and removes it."""
        try:
            found = {path: StateFile((folder / path).stat().st_size, _sha256(folder / path)) for path in changed}
            entries = {**entries, **found}
            if entries != self._state:
                objects = {object_of(path, entry): folder / path for path, entry in entries.items()}
                new = {name: (name, path) for name, path in objects.items() if name not in self._objects}
                in_threads(lambda item: self._send_file(*item), new)
                files = {path: {"size": e.size, "sha256": e.sha256} for path, e in sorted(entries.items())}
                text = json.dumps({"format": FORMAT, "files": files}, indent=1) + "\n"
                marker = write_text(folder / f"{ASIDE}{MARKER}", text)
                ask(lambda: self.files.write(f"{self.address}/{MARKER}", marker))
                self._state = entries
                self._remember(text)
                self._remove_all_but({*objects})
            self._known |= {path: (changed[path], entry) for path, entry in found.items()}
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _send_file(self, name: str, path: Path):
        if self._late.is_set():
            raise Superseded
        ask(lambda: self.files.write(f"{self.address}/{name}", path))
        self._objects.add(name)

    def _remove_all_but(self, wanted: set[str]):
        """Removes the objects that the state does not name, at first those of killed processes too.

        What cannot be removed stays.
        """
        if not self._swept:
            with contextlib.suppress(Exception):  # each file system has errors of its own
                found = ask(lambda: self.files.names(f"{self.address}/{OBJECTS}"))
                self._objects |= {f"{OBJECTS}/{name}" for name in found if _is_object(name)}
                self._swept = True

        def remove(name: str):
            with contextlib.suppress(Exception):
                self.files.remove(f"{self.address}/{name}")
                self._objects.discard(name)

        in_threads(remove, {name: name for name in self._objects - wanted})

    # Other processes of this machine --------------------------------------------------------------------------------

    def _hold(self):
        """Keeps other processes of this machine from training the run; raises UserError where one does."""
        self.release()
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder.parent)
        file = os.open(self._beside("training"), os.O_CREAT | os.O_WRONLY)
        if not _flock(file, wait=False):
            os.close(file)
            raise UserError(f"another process of this machine trains {self.address}")
        self._training = file

    @contextlib.contextmanager
    def _lock(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """Whether the lock was free, or could be waited for."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with open(self._beside(name), "w") as file:
            yield _flock(file.fileno(), wait=wait)


def local_path(path: str | Path) -> Path:
    """The path; of the address of a run the folder of its copy, which is fetched.

    Raises:
        UserError: there is no run at the address.
    """
    return Mirror(path).copy() if is_address(path) else Path(path)


def object_of(path: str, entry: StateFile) -> str:
    """The name of the object of a file, from the address."""
    pure = PurePosixPath(path)
    return f"{OBJECTS}/{pure.stem}-{entry.sha256[:DIGITS]}{pure.suffix}"


def _is_object(name: str) -> bool:
    """Whether this may be the name of an object, or of what `check_writable` left."""
    return ASIDE in name or bool(re.fullmatch(rf".*-[0-9a-f]{{{DIGITS}}}(\.[^.]*)?", name))


def _files_in(folder: Path) -> list[str]:
    """The paths of the files of a run, from its folder; without those that are not whole yet, and links."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(ASIDE)]
        paths = [Path(parent) / name for name in names if not name.startswith(ASIDE)]
        found += [path.relative_to(folder).as_posix() for path in paths if path.is_file() and not path.is_symlink()]
    return sorted(found)


def _link(source: Path, target: Path):
    """A second name of a file that is never changed in place; a copy where the disk has none."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def _flock(file: int, *, wait: bool) -> bool:
    """Locks an open file until it is closed; False where another has locked it. True where there are no locks."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    except OSError:
        return False
