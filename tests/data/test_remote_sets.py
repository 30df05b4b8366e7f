"""Sets at an address: fsspec's and TensorFlow's file systems in memory, and a web server on this machine."""

import functools
import hashlib
import http.server
import os
import random
import threading

import numpy as np
import pytest
from shard_files import write_tar
from test_shards import sample

from kgen.config import DataConfig
from kgen.data import load
from kgen.errors import DataMissing, UserError


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("kgen.io.FIRST_WAIT_SECONDS", 0.0)


@pytest.fixture
def pets(tmp_path):
    """Two shards of six images, and a file of class names."""
    folder = tmp_path / "here" / "pets"
    for shard in range(2):
        write_tar(folder / f"train-{shard:03d}.tar", [sample(i) for i in range(6 * shard, 6 * shard + 6)])
    (folder / "classes.txt").write_text("cat\ndog\n")
    return folder


@pytest.fixture
def memory(pets):
    """The set in fsspec's file system in memory, and that file system."""
    fs = pytest.importorskip("fsspec").filesystem("memory")
    for path in pets.iterdir():
        fs.pipe(f"/bucket/pets/{path.name}", path.read_bytes())
    yield fs
    fs.store.clear()


def is_the_set(address, pets, **settings):
    dataset = load(DataConfig(address, **settings))
    local = load(DataConfig(str(pets), **settings))
    assert dataset.spec == local.spec
    np.testing.assert_array_equal(dataset.arrays("train")[0], local.arrays("train")[0])
    return dataset


def test_a_folder_is_copied_once_and_again_where_it_changed(memory, pets):
    assert "copied 3 files of 3" in is_the_set("memory://bucket/pets/", pets).notes[0]
    assert "3 files of an earlier copy" in is_the_set("memory://bucket/pets", pets).notes[0]
    changed = write_tar(pets / "train-001.tar", [sample(i) for i in range(4, 9)])
    memory.pipe("/bucket/pets/train-001.tar", changed.read_bytes())
    assert "copied 1 file of 3" in is_the_set("memory://bucket/pets", pets).notes[0]
    memory.rm("/bucket/pets/classes.txt")
    (pets / "classes.txt").unlink()
    assert is_the_set("memory://bucket/pets", pets).spec.class_names == ("0", "1")


def test_patterns_and_single_files_at_an_address(memory, pets):
    pattern = load(DataConfig("memory://bucket/pets/train-{000..001}.tar", validation_fraction=0))
    assert pattern.spec.examples == {"train": 12} and pattern.spec.name == "pets"
    one = load(DataConfig("memory://bucket/pets/train-001.tar", validation_fraction=0))
    assert one.spec.examples == {"train": 6} and one.spec.name == "train-001"
    with pytest.raises(DataMissing, match=r"train-\{000\.\.002\}\.tar is not there"):
        load(DataConfig("memory://bucket/pets/train-{000..002}.tar"))
    with pytest.raises(DataMissing, match=r"nothing is found at memory://bucket/nothing"):
        load(DataConfig("memory://bucket/nothing"))
    with pytest.raises(UserError, match="'nosuch://a' is an address of a kind that is not read"):
        load(DataConfig("nosuch://a"))


def test_tensorflows_file_systems_are_read(pets):
    import tensorflow as tf

    for path in pets.iterdir():
        with tf.io.gfile.GFile(f"ram://pets/{path.name}", "wb") as file:
            file.write(path.read_bytes())
    is_the_set("ram://pets", pets)


@pytest.fixture
def server(pets):
    """The address of a web server that serves the set; `server.faults` requests of shards fail first."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path.endswith(".tar") and http_server.faults > 0:
                http_server.faults -= 1
                self.send_error(503)
            elif (left := http_server.failures.get(self.path, 0)) > 0 and left % 2:
                http_server.failures[self.path] -= 1
                self.send_error(500)
            elif left > 0:  # half of the file, then the connection ends
                http_server.failures[self.path] -= 1
                content = (pets.parent / self.path.lstrip("/")).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
            else:
                super().do_GET()

        def list_directory(self, path):
            self.send_error(403)

        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=str(pets.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        http_server.faults, http_server.failures = 0, {}
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        yield http_server
        http_server.shutdown()


def test_a_web_server_that_lists_nothing_and_fails_at_times(server, pets):
    address = f"http://127.0.0.1:{server.server_port}/pets"
    with pytest.raises(DataMissing, match="put a file SHA256SUMS beside them"):
        load(DataConfig(address))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in pets.iterdir()]
    (pets / "SHA256SUMS").write_text("\n".join(sums))
    server.faults = 3
    is_the_set(f"{address}/SHA256SUMS", pets)
    assert server.faults == 0
    server.faults = 1000
    assert is_the_set(address, pets, labels="none").spec.num_classes == 0  # nothing is asked for again
    (pets / "train-000.tar").write_bytes((pets / "train-000.tar").read_bytes().replace(b"0003", b"0009"))
    os.utime(pets / "train-000.tar", (2e9, 2e9))  # a server tells the time of change in whole seconds
    server.faults = 0
    with pytest.raises(UserError, match=r"train-000\.tar has another content than SHA256SUMS says"):
        load(DataConfig(address))


def test_a_store_of_which_reads_fail_loses_nothing(server, pets):
    """Shards of five pictures; of each the first 0 to 4 answers are an error or end in the middle, which is random."""
    for number in range(2, 20):
        write_tar(pets / f"train-{number:03d}.tar", [sample(i) for i in range(5)])
    draw = random.Random(0)
    server.failures = {f"/pets/train-{number:03d}.tar": draw.randrange(5) for number in range(20)}
    dataset = is_the_set(f"http://127.0.0.1:{server.server_port}/pets/train-{{000..019}}.tar", pets, labels="none")
    assert sum(dataset.spec.examples.values()) == 12 + 18 * 5 and not dataset.skipped
    assert not any(server.failures.values())


def test_a_server_that_always_fails_is_named(server):
    server.faults = 1000
    with pytest.raises(DataMissing, match=r"train-000\.tar cannot be read: 503"):
        load(DataConfig(f"http://127.0.0.1:{server.server_port}/pets/train-000.tar"))


def test_sums_that_name_a_file_elsewhere_are_refused(memory):
    memory.pipe("/bucket/pets/SHA256SUMS", f"{'0' * 64}  ../../evil".encode())
    with pytest.raises(UserError, match=r"outside of its folder: '\.\./\.\./evil'"):
        load(DataConfig("memory://bucket/pets"))
