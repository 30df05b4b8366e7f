"""States of a run at an address: whole before and after every fault, on fsspec's and TensorFlow's memory."""

import json
import random
import threading
import uuid
from pathlib import Path

import pytest

from kgen.errors import UserError
from kgen.file_systems import ask, files_of
from kgen.mirror import MARKER, Mirror, local_path, object_of


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("kgen.io.FIRST_WAIT_SECONDS", 0.0)


@pytest.fixture(params=["memory", "ram"])
def address(request):
    """Of a run that is not there yet."""
    pytest.importorskip("fsspec" if request.param == "memory" else "tensorflow")
    return f"{request.param}://bucket-{uuid.uuid4().hex}/runs/a"


OLD = {"config.json": "{}", "log.txt": "a\n", "checkpoints/step-1.npz": "one", "checkpoints/best.npz": "one", "e": ""}
NEW = {"config.json": "{ }", "log.txt": "a\nb\n", "checkpoints/step-2.npz": "two", "checkpoints/best.npz": "two",
       "e": "", "samples/final.png": "picture"}  # fmt: skip


def write(folder: Path, files: dict[str, str]):
    """Makes a folder hold these files and no others, those of checkpoints replaced as a whole."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in files or path.suffix == ".npz":
            path.unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def held(folder: Path) -> dict[str, str]:
    """Path -> text of the files of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def created(address: str, files: dict[str, str] = OLD) -> Mirror:
    """A run at an address, uploaded."""
    mirror = Mirror(address)
    mirror.check_new()
    write(mirror.begin_new(), files)
    mirror.finish()
    return mirror


class Faulty:
    """A file system of which calls that change something fail; `fails(call)` decides which."""

    def __init__(self, files, fails, error=OSError):
        self.files, self.fails, self.error, self.calls = files, fails, error, 0

    def __getattr__(self, name):
        return getattr(self.files, name)

    def _call(self, name, *args):
        self.calls += 1
        if self.fails(self.calls):
            raise self.error("503 Service Unavailable")
        getattr(self.files, name)(*args)

    def write(self, url, path):
        self._call("write", url, path)

    def remove(self, url):
        self._call("remove", url)


def test_a_run_is_copied_to_another_machine(address, machine):
    mirror = created(address)
    objects = {object_of(path, entry) for path, entry in mirror._entries(mirror._read()).items()}
    assert {f"files/{name}" for name in mirror.files.names(f"{address}/files")} == objects
    machine("second")
    assert held(local_path(address)) == OLD and local_path(address).name == "a"
    assert local_path(str(mirror.folder)) == mirror.folder  # a path is one


def test_an_upload_that_ends_at_any_call_leaves_a_whole_state(address, machine, monkeypatch):
    """A reader finds the state before it, until RUN.json is written, and from then on the one after it."""
    monkeypatch.setattr("kgen.file_systems.THREADS", 1)
    seen = []
    for calls in range(5 + 1 + 4 + 1):  # objects, RUN.json, objects that are removed
        machine(f"writer-{calls}")
        mirror = created(f"{address}-{calls}")
        write(mirror.folder, NEW)
        mirror.files = Faulty(mirror.files, lambda number, limit=calls: number > limit)
        mirror.finish_or_log()
        machine(f"reader-{calls}")
        seen.append(held(local_path(mirror.address)))
    assert seen == [OLD] * 6 + [NEW] * 5
    left = {f"files/{name}" for name in mirror.files.names(f"{mirror.address}/files")}
    assert left == {object_of(path, entry) for path, entry in mirror._state.items()}  # the old ones are removed


def test_what_killed_uploads_left_is_removed(address, machine):
    mirror = created(address)
    write(mirror.folder, NEW)
    mirror.files = Faulty(mirror.files, lambda number: number > 2)
    assert not mirror.finish_or_log()
    mirror.release()
    machine("second")
    again = Mirror(address)
    write(again.begin(), OLD | {"log.txt": "c\n"})
    again.finish()
    left = {f"files/{name}" for name in again.files.names(f"{address}/files")}
    assert left == {object_of(path, entry) for path, entry in again._state.items()}


def test_a_killed_first_upload_is_no_run_and_no_obstacle(address, machine):
    mirror = Mirror(address)
    write(mirror.begin_new(), OLD)
    mirror.files = Faulty(mirror.files, lambda number: number > 3)
    assert not mirror.finish_or_log()
    machine("second")
    assert not Mirror(address).exists()
    with pytest.raises(UserError, match=r"runs/a holds no run \(it has no RUN.json\)"):
        local_path(address)
    assert held(created(address, NEW).folder) == NEW
    left = Mirror(address).files.names(f"{address}/files")
    assert len(left) == len(NEW)


def test_an_address_with_something_else_in_it_is_refused(address, machine, tmp_path):
    (tmp_path / "notes").write_text("mine")
    files_of(address).write(f"{address}/files/notes", tmp_path / "notes")
    with pytest.raises(UserError, match="is not empty; name a new address"):
        Mirror(address).check_new()
    created(f"{address}2").release()
    for name in ("first", "second"):
        machine(name)
        with pytest.raises(UserError, match="is not empty"):
            Mirror(f"{address}2").check_new()


def test_damaged_and_missing_objects_are_named(address, machine, tmp_path):
    mirror = created(address)
    name = object_of("checkpoints/best.npz", mirror._state["checkpoints/best.npz"])
    for number, (text, words) in enumerate({"own": "is damaged: its content", "on": "2 of 3 bytes arrived"}.items()):
        machine(f"reader-{number}")
        (tmp_path / "other").write_text(text)
        mirror.files.write(f"{address}/{name}", tmp_path / "other")
        with pytest.raises(UserError, match=f"{name}.*{words}"):
            local_path(address)
    mirror.files.remove(f"{address}/{name}")
    with pytest.raises(UserError, match=f"{name}, a file of the run, is missing"):
        local_path(address)
    with pytest.raises(UserError, match="is missing"):  # not a mixture on the second call
        local_path(address)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Expecting property name"),
        ('{"format": 9, "files": {}}', "of format 9, and this kgen reads format 1"),
        ('{"format": 1, "files": {"../evil": {"size": 1, "sha256": "0"}}}', "outside of its folder: '../evil'"),
    ],
)
def test_a_marker_that_is_none_is_refused(address, machine, tmp_path, text, words):
    (tmp_path / MARKER).write_text(text)
    files_of(address).write(f"{address}/{MARKER}", tmp_path / MARKER)
    with pytest.raises(UserError, match=f"RUN.json does not describe a run.*{words}"):
        local_path(address)


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_calls_that_fail_at_random_are_repeated(address, machine, share, monkeypatch):
    monkeypatch.setattr("kgen.file_systems.THREADS", 1)  # the same calls fail each time, none of them five times
    draw = random.Random(7)
    mirror = created(address)
    mirror.files = faulty = Faulty(mirror.files, lambda number: draw.random() < share)
    for number in range(20):
        write(mirror.folder, NEW | {"log.txt": f"{number}\n", "checkpoints/best.npz": f"best {number}"})
        mirror.upload_soon()
        mirror._upload.result()
        if number % 5 == 0:
            machine(f"reader-{number}")
            assert held(local_path(address))["log.txt"] == f"{number}\n"
    assert faulty.calls > 60


def test_a_store_that_fails_is_told_once_and_tried_again(address, machine):
    mirror, told, down = created(address), [], [True]
    mirror.log = told.append
    mirror.files = Faulty(mirror.files, lambda number: down[0])
    for text in ("1", "2"):
        write(mirror.folder, NEW | {"log.txt": text})
        mirror.upload_soon()
        mirror._upload.result()
    assert len(told) == 1 and f"{address} does not take the run: 503" in told[0] and str(mirror.folder) in told[0]
    down[0] = False
    write(mirror.folder, NEW | {"log.txt": "3"})
    mirror.upload_soon()
    mirror._upload.result()
    assert told[1:] == [f"{address} takes the run again"]
    machine("second")
    assert held(local_path(address)) == NEW | {"log.txt": "3"}


def test_what_could_not_be_uploaded_is_when_the_training_goes_on(address, machine):
    """Here; another machine that has gone on in between wins, and the results of other commands stay."""
    mirror = created(address)
    write(mirror.folder, NEW)
    mirror.files = Faulty(mirror.files, lambda number: True)
    assert not mirror.finish_or_log()
    mirror.release()
    assert held(local_path(address)) == NEW  # the copy, which is ahead
    again = Mirror(address)
    assert held(again.begin()) == NEW
    again.release()
    machine("second")
    assert held(local_path(address)) == NEW
    other = Mirror(address)
    write(other.begin(), OLD)
    other.finish()
    other.release()
    machine("first")
    write(mirror.folder, NEW | {"eval/best.jsonl": "{}", "checkpoints/step-3.npz": "3"})
    assert held(local_path(address)) == OLD | {"eval/best.jsonl": "{}"}


def test_exact_copies_are_without_changes(address, machine):
    mirror = created(address)
    mirror.release()
    write(mirror.folder, NEW)
    assert held(Mirror(address).copy(exact=True)) == OLD


def test_a_copy_that_was_removed_is_fetched_again(address, machine):
    import shutil

    mirror = created(address)
    mirror.release()
    shutil.rmtree(mirror.folder)
    assert held(local_path(address)) == OLD


def test_a_fetch_follows_a_run_that_is_being_trained(address, machine):
    """The files of the state that it has read are replaced while it fetches them."""
    mirror = created(address)
    machine("second")
    reader = Mirror(address)
    assert reader.folder != mirror.folder
    text = reader._read()
    write(mirror.folder, NEW)
    mirror.finish()
    reader.folder.mkdir(parents=True)
    assert json.loads(reader._fetch(text)) == json.loads(reader._read())
    assert held(reader.folder) == NEW


def test_a_training_in_progress_is_read_as_it_is(address, machine):
    pytest.importorskip("fcntl")
    mirror = created(address)
    write(mirror.folder, NEW)
    assert held(Mirror(address).copy(exact=True)) == NEW
    with pytest.raises(UserError, match="another process of this machine trains"):
        Mirror(address).begin()
    mirror.release()
    again = Mirror(address)
    again.begin()
    again.release()


def test_an_upload_gives_way_to_the_last_one(address, machine, monkeypatch):
    monkeypatch.setattr("kgen.file_systems.THREADS", 1)
    mirror = created(address)
    files, states, begun = mirror.files, [], threading.Event()

    class Slow(Faulty):
        def write(self, url, path):
            states.append(url.rpartition("/")[2])
            begun.set()
            if len(states) == 1:  # the end of the training comes while the first file is sent
                mirror._late.wait(60)
            files.write(url, path)

    mirror.files = Slow(files, None)
    write(mirror.folder, NEW)
    mirror.upload_soon()
    assert begun.wait(60)
    write(mirror.folder, NEW | {"log.txt": "end"})
    mirror.finish()
    assert states.count(MARKER) == 1
    machine("second")
    assert held(local_path(address)) == NEW | {"log.txt": "end"}


def test_addresses_that_cannot_hold_runs(machine, monkeypatch):
    for address, words in {
        "https://host/a": "a web server keeps no runs", "nosuch://b/a": "of a kind that is not read",
        "memory://": "ends with its name", "gs://.hidden": "ends with its name",
    }.items():  # fmt: skip
        with pytest.raises(UserError, match=words):
            Mirror(address)
    pytest.importorskip("fsspec")
    mirror = Mirror(f"memory://bucket-{uuid.uuid4().hex}/a")
    mirror.files = faulty = Faulty(mirror.files, lambda number: True, PermissionError)
    with pytest.raises(UserError, match=r"--run_dir memory://.* cannot be written: 503"):
        mirror.check_new()
    assert faulty.calls == 1  # a refusal is not asked for again


def test_refusals_are_not_repeated():
    for error, expected in ((FileNotFoundError("a"), 1), (PermissionError("a"), 1), (OSError("a"), 5)):
        calls = []

        def question(error=error, calls=calls):
            calls.append(1)
            raise error

        with pytest.raises(OSError, match="a"):
            ask(question)
        assert len(calls) == expected
