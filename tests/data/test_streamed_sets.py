"""Sets of shards at an address that are streamed: the images of a copy, in bounded memory, without files here."""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest
from check_dataset import check_dataset, taken
from range_server import range_server
from shard_files import png, write_parquet, write_tar

from kgen.cache import cache_root
from kgen.config import DataConfig, RunConfig, override
from kgen.data import load
from kgen.data.order import windowed_permutation
from kgen.data.sources import parts, pictures, shard_tar, tfds_streamed
from kgen.data.sources import tfds as kgen_tfds
from kgen.data.sources.remote import find_set
from kgen.data.sources.remote_path import each_whole
from kgen.data.sources.resolve import open_source
from kgen.data.sources.streamed import open_streamed
from kgen.data.training_data import Content
from kgen.errors import DataMissing, UserError, image_lost
from kgen.file_systems import is_address
from kgen.io import TRIES

COUNT, TESTS, BATCH = 48, 8, 8
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT + TESTS, 8, 8, 3), np.uint8)
KINDS = ("tar", "parquet", "tfrecord")
NAMES = ("cat", "dog", "owl")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Parts of two images, of which an epoch mixes eight, read two at once; no waiting."""
    monkeypatch.setattr("kgen.io.FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(parts, "ASKED_AT_ONCE", 2)
    monkeypatch.setattr(parts, "MOST_ROOM", parts.LEAST_ROOM)  # less than the set
    monkeypatch.setattr(pictures, "READ_AT_ONCE", 2)
    monkeypatch.setattr(kgen_tfds, "READ_AT_ONCE", 2)
    monkeypatch.setattr(parts, "WINDOW_IMAGES", 16)
    monkeypatch.setattr(shard_tar, "RUN", 2)
    for module in (kgen_tfds, tfds_streamed):
        monkeypatch.setattr(module, "RUN", 2)
        monkeypatch.setattr(module, "WINDOW", 8)
    monkeypatch.setattr(kgen_tfds.TfdsSource, "window", 8)


def write(folder, kind, count=COUNT, broken=()):
    """Two or three training shards and a test shard, in three classes; `broken` images cannot be decoded."""
    folder.mkdir(parents=True)
    splits = {"train": range(count), "test": range(COUNT, COUNT + TESTS)}
    if kind == "tfrecord":
        tfds = pytest.importorskip("tensorflow_datasets")
        from test_tfds import make_builder

        features = {"image": tfds.features.Image(shape=(8, 8, 3)), "label": tfds.features.ClassLabel(names=NAMES)}
        examples = {split: [{"image": PIXELS[i], "label": i % 3} for i in numbers] for split, numbers in splits.items()}
        builder = make_builder("pets", features, examples, folder.parent / "tfds")
        config = tfds.download.DownloadConfig(num_shards=3)
        builder.download_and_prepare(download_config=config)
        for path in (folder.parent / "tfds" / "pets" / "1.0.0").iterdir():
            shutil.copy(path, folder / path.name)
        return folder
    for split, numbers in splits.items():
        for shard, some in enumerate(np.array_split(numbers, 3 if split == "train" else 1)):
            if kind == "tar":
                write_tar(folder / f"pets-{split}-{shard:06d}.tar", [
                    {"png": b"broken" if i in broken else png(PIXELS[i]), "cls": str(i % 3).encode(),
                     "json": json.dumps({"number": int(i)}).encode()}
                    for i in some
                ])  # fmt: skip
            else:
                total = 3 if split == "train" else 1
                write_parquet(
                    folder / f"{split}-{shard:05d}-of-{total:05d}.parquet", [(PIXELS[i], i % 3) for i in some], NAMES,
                    group=2,
                )  # fmt: skip
    if kind == "tar":
        (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
    return folder


@pytest.fixture(params=KINDS)
def pets(request, tmp_path):
    return write(tmp_path / "here" / "pets", request.param)


@pytest.fixture
def tars(tmp_path):
    return write(tmp_path / "here" / "pets", "tar")


@pytest.fixture
def server(tmp_path):
    with range_server(tmp_path / "here") as found:
        yield found


def add_sums(folder):
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}" for p in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


@pytest.fixture(params=["http", "memory", "file", "ram"])
def address(request, pets):
    """Where the set is put: a web server, fsspec's file systems in memory and of files, TensorFlow's in memory."""
    if request.param == "http":
        add_sums(pets)
        with range_server(pets.parent) as found:
            yield f"{found.url}/pets"
        return
    if request.param == "ram":
        import tensorflow as tf

        for path in pets.iterdir():
            with tf.io.gfile.GFile(f"ram://streamed/pets/{path.name}", "wb") as file:
                file.write(path.read_bytes())
        yield "ram://streamed/pets"
        for path in pets.iterdir():
            tf.io.gfile.remove(f"ram://streamed/pets/{path.name}")
        return
    fsspec = pytest.importorskip("fsspec")
    if request.param == "file":
        yield f"file://{pets}"
        return
    fs = fsspec.filesystem("memory")
    for path in pets.iterdir():
        fs.pipe(f"/streamed/pets/{path.name}", path.read_bytes())
    yield "memory://streamed/pets"
    fs.store.clear()


def config_of(address, **settings):
    """Of what is streamed, or at a path."""
    remote = "stream" if is_address(str(address)) else "auto"
    return DataConfig(str(address), **{"cache": "none", "remote": remote, **settings})


def first_epochs(dataset, steps=12, **settings):
    return taken(dataset.batches("train", batch_size=BATCH, repeat=True, seed=4, as_uint8=True, **settings), steps)


def settle():
    """Waits until all that was asked for ahead is read."""
    barrier = threading.Barrier(parts.FETCHERS + 1)
    for _ in range(parts.FETCHERS):
        parts.fetcher.put(barrier.wait)
    barrier.wait(60)


def test_a_streamed_set_is_the_set(address, pets):
    streamed, local = load(config_of(address)), load(config_of(pets))
    assert streamed.spec == local.spec and streamed.spec.examples == {"train": 43, "validation": 5, "test": 8}
    assert streamed.spec.class_names == NAMES and streamed.skipped == local.skipped == ()
    assert "streamed and not copied" in streamed.notes[0]
    assert streamed.notes[1:] == tuple(note for note in local.notes if "1 without a suffix" not in note)  # SHA256SUMS
    assert streamed.findings == local.findings
    for split in local.splits:
        for one, other in zip(streamed.arrays(split), local.arrays(split), strict=True):
            np.testing.assert_array_equal(one, other)
    assert not Content.of(streamed).difference(Content.of(local))
    is_tar = any(path.suffix == ".tar" for path in pets.iterdir())
    same = np.array_equal(first_epochs(streamed)[0], first_epochs(local)[0])
    assert same or is_tar  # pictures of local tars are read in any order
    assert (streamed.training_order() == local.training_order()) == same
    kept = [path.relative_to(cache_root()).parts[0] for path in cache_root().rglob("*") if path.is_file()]
    assert set(kept) == {"shards"}  # what is remembered
    again = load(config_of(address))
    np.testing.assert_array_equal(first_epochs(again)[0], first_epochs(streamed)[0])


def test_streams_conform(pets, server):
    add_sums(pets)
    check_dataset(load(config_of(f"{server.url}/pets")))


def test_a_run_goes_on_within_an_epoch(pets, server):
    add_sums(pets)
    dataset = load(config_of(f"{server.url}/pets"))
    whole = first_epochs(dataset)[0]
    for step in (1, 4, 7):
        np.testing.assert_array_equal(first_epochs(dataset, 3, start_step=step)[0], whole[BATCH * step :][: 3 * BATCH])


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_each_worker_asks_for_its_part_of_the_bytes(pets, server, workers):
    add_sums(pets)
    config = config_of(f"{server.url}/pets", validation_fraction=0.0)
    asked, images = [], []
    for worker in range(workers):
        dataset = load(config)  # another process, of which nothing is in memory
        server.reset()
        for seed in range(3):
            before = sum(server.bytes.values())
            batches = dataset.batches("train", batch_size=BATCH, share=(worker, workers), seed=seed)
            images += [x.tobytes() for x in taken(batches)[0]]
            asked.append(sum(server.bytes.values()) - before)
    assert Counter(images).most_common()[-1][1] == 3 and len(set(images)) == COUNT
    whole = sum(path.stat().st_size for path in pets.iterdir() if "train" in path.name)
    assert max(asked) <= 1.5 * whole / workers  # of 24 parts, 7 are cut between streams and 3 between shards


def test_the_first_opening_reads_each_byte_twice_and_later_ones_none(pets, server, monkeypatch):
    add_sums(pets)
    monkeypatch.setattr(parts, "WINDOW_IMAGES", 1000)
    monkeypatch.setattr(tfds_streamed, "WINDOW", 1000)
    monkeypatch.setattr(kgen_tfds, "PEEK", 2)
    monkeypatch.setattr("kgen.data.loading.BLOCK_IMAGES", 2)
    config = config_of(f"{server.url}/pets")
    first = load(config)
    shards = [path for path in pets.iterdir() if path.suffix == ".tar" or "tfrecord" in path.name]
    for path in shards:
        times = server.bytes[f"pets/{path.name}"] / path.stat().st_size
        assert times <= (1.5 if "tfrecord" in path.name else 2.0)
    server.reset()
    again = load(config)
    read = {name: size for name, size in server.bytes.items() if name.endswith(".tar") or "tfrecord" in name}
    assert sum(read.values()) <= sum(p.stat().st_size for p in shards) / 4  # the first images, for their brightness
    assert again.spec == first.spec and again.notes == first.notes


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_images_are_decoded_once_and_kept(pets, server, cache):
    add_sums(pets)
    config = config_of(f"{server.url}/pets", cache=cache)
    dataset, local = load(config), load(config_of(pets, cache=cache))
    for split in local.splits:
        assert dataset.fingerprint(split) == local.fingerprint(split)
    server.reset()
    np.testing.assert_array_equal(first_epochs(dataset)[0], first_epochs(local)[0])
    assert not server.bytes


def test_small_files_beside_the_pictures_are_kept_while_a_tar_is_listed(tars, server, monkeypatch):
    monkeypatch.setattr(shard_tar, "RUN", 64)
    load(config_of(f"{server.url}/pets/pets-train-{{000000..000002}}.tar", labels=":number", cache="memory"))
    assert server.requests["pets/pets-train-000000.tar"] < 8  # and not one for each .json


def test_one_shard_and_a_pattern(pets, server):
    shard, *_ = sorted(path.name for path in pets.iterdir() if "train" in path.name)
    if "tfrecord" in shard:
        return
    (pets / "classes.txt").unlink(missing_ok=True)  # which is none of them
    one = load(config_of(f"{server.url}/pets/{shard}"))
    local = load(config_of(pets / shard))
    assert one.spec == local.spec
    np.testing.assert_array_equal(one.arrays("train")[0], local.arrays("train")[0])
    pattern = re.sub(r"-(0+)(?=[-.])", r"-{\1..1}", shard, count=1)
    some, copied = load(config_of(f"{server.url}/pets/{pattern}")), load(config_of(pets / pattern))
    assert some.spec == copied.spec


# What is streamed and what is copied ----------------------------------------------------------------------------------


def test_what_fits_is_copied_and_what_does_not_is_streamed(pets, server, monkeypatch):
    add_sums(pets)
    url, usage = f"{server.url}/pets", shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(path)._replace(free=4096))
    streamed = load(config_of(url, remote="auto"))
    assert "streamed and not copied" in streamed.notes[0] and "GiB left for a copy" in streamed.notes[0]
    with pytest.raises(UserError, match="GiB left for a copy; set KGEN_CACHE_DIR to a larger disk"):
        load(config_of(url, remote="copy"))
    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert "copied" in load(config_of(url, remote="auto")).notes[0]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(path)._replace(free=4096))
    assert "of an earlier copy" in load(config_of(url, remote="auto")).notes[0]
    assert "streamed" in load(config_of(url)).notes[0]


def test_hidden_files_are_no_shards(tars, server):
    local, shard = load(config_of(tars)), a_shard(tars)
    for name in (f".part-{shard.name}", ".tmp/pets-train-000003.tar", "x/.tmp/pets-train-000004.tar"):
        (tars / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shard, tars / name)
    found = find_set(f"{server.url}/pets/{shard.name}", lambda name: True)
    files = {str(path.relative_to(tars)): path for path in tars.rglob("*") if path.is_file()}
    described = {name: found.system.describe(f"{server.url}/pets/{name}") for name in files}
    folder = dataclasses.replace(found, address=found.top, files=described)
    streamed = open_streamed(folder, config_of(found.top))
    assert streamed.counts == {"train": COUNT, "test": TESTS} == open_source(config_of(tars)).counts
    assert not any("part-" in text or "tmp" in text for text in (*streamed.notes, *streamed.findings))
    assert local.spec.examples["test"] == TESTS


def test_what_is_no_set_of_shards_is_not_streamed(tmp_path, server, monkeypatch, save):
    save(tmp_path / "here" / "photos" / "a.png", PIXELS[0])
    write_tar(tmp_path / "here" / "photos.tar", [{"png": png(x)} for x in PIXELS])
    np.savez(tmp_path / "here" / "set.npz", images=PIXELS)
    add_sums(tmp_path / "here" / "photos")
    for name, why in (
        ("photos", "no set of shards"),
        ("set.npz", "no set of shards"),
        ("photos.tar", "none of WebDat"),
    ):
        with pytest.raises(UserError, match=rf"data\.remote is 'stream', and .*{name} is .*{why}.*--remote copy"):
            load(config_of(f"{server.url}/{name}"))
    usage = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(path)._replace(free=0))
    with pytest.raises(UserError, match="GiB left for a copy"):
        load(config_of(f"{server.url}/set.npz", remote="auto"))


def test_a_tar_of_pictures_is_known_by_its_first_files(tmp_path, server, monkeypatch):
    usage, photos = shutil.disk_usage, tmp_path / "here" / "photos.tar"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(path)._replace(free=0))
    monkeypatch.setattr(shard_tar, "FIRST_BYTES", 4096)
    photos.parent.mkdir()
    write_tar(photos, [{"png": png(x)} for x in PIXELS])
    for remote, why in (("stream", "none of WebDataset"), ("auto", "GiB left for a copy; set KGEN_CACHE_DIR")):
        with pytest.raises(UserError, match=why):
            load(config_of(f"{server.url}/photos.tar", remote=remote))
        assert server.bytes["photos.tar"] == 4096
        server.reset()
    write_tar(photos, [{"png": png(x), "cls": b"1"} for x in PIXELS])
    assert load(config_of(f"{server.url}/photos.tar", remote="auto")).notes[0].startswith(f"{server.url}/photos.tar: 1")


def test_what_is_at_no_address_is_not_streamed_and_a_note_says_so(tars):
    for local in ("digits", str(tars), f"{tars}/pets-train-{{000000..000002}}.tar"):
        first, *others = open_source(config_of(local, remote="stream")).notes
        assert first == f"data.remote is 'stream', and {local} is at no address: nothing of it is streamed"
        for remote in ("auto", "copy"):
            assert open_source(config_of(local, remote=remote)).notes == others


def test_the_room_of_files_that_are_gone_counts_as_free(tars, server, monkeypatch):
    add_sums(tars)
    url, size = f"{server.url}/pets", sum(path.stat().st_size for path in tars.iterdir())
    load(config_of(url, remote="auto"))
    (tars / "SHA256SUMS").unlink()
    for path in tars.glob("*.tar"):
        path.rename(path.with_name(path.name.replace("pets", "cats")))
    add_sums(tars)
    usage = shutil.disk_usage
    for free, note in ((size // 2, " copied 4 files of 5"), (0, "of an earlier copy")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage(path)._replace(free=free))
        assert note in load(config_of(url, remote="auto")).notes[0]
    copied = {path.name for path in (cache_root() / "remote").rglob("*.tar")}
    assert copied == {path.name for path in tars.glob("*.tar")}


def test_a_configuration_of_an_older_version():
    config = override(RunConfig(), {"data.remote": "stream"}).to_json()
    assert RunConfig.from_json(config).data.remote == "stream"
    del config["data"]["remote"]
    assert RunConfig.from_json(config).data.remote == "auto"


# What fails -----------------------------------------------------------------------------------------------------------


def test_a_store_of_which_requests_fail_loses_nothing(pets, server):
    """Of each file four answers fail at the opening and four in training, one less than a request is asked for."""
    add_sums(pets)
    failed, lock = Counter(), threading.Lock()

    def fails(name, kind):
        with lock:
            failed[name, kind] += 1
            return failed[name, kind] <= (TRIES - 1) // 2

    server.fault, server.cuts_off = lambda name: fails(name, "503"), lambda name: fails(name, "cut off")
    dataset, local = load(config_of(f"{server.url}/pets")), load(config_of(pets))
    for split in local.splits:
        np.testing.assert_array_equal(dataset.arrays(split)[0], local.arrays(split)[0])
    settle()
    assert failed.total() > 5
    failed.clear()
    assert len(first_epochs(dataset, 30)[0]) == 30 * BATCH
    assert failed.total() > 5 and not dataset.skipped


def test_a_shard_that_cannot_be_read_ends_the_reading_of_the_others():
    finished = []

    def read(path, count):
        if path == "damaged":
            raise UserError("it is damaged")
        for _ in range(2000):
            count(1)
            time.sleep(0.01)
        finished.append(path)

    with pytest.raises(UserError, match="it is damaged"):
        each_whole(read, ["a", "b", "damaged", *map(str, range(20))], lambda size: None)
    assert not finished
    assert each_whole(lambda path, count: path * 2, ["a", "b"], lambda size: None) == ["aa", "bb"]


def test_a_server_that_sends_no_ranges_is_named(pets, server):
    add_sums(pets)
    server.sends_ranges = False
    with pytest.raises(UserError, match=r"sends whole files and no parts of them \(it answers 200.*--remote copy"):
        load(config_of(f"{server.url}/pets"))


def a_shard(folder):
    return next(path for path in sorted(folder.iterdir()) if "train" in path.name)


def test_a_server_that_always_fails_is_named_and_no_image_is_left_out(pets, server):
    add_sums(pets)
    server.fault = lambda name: name.endswith(a_shard(pets).name)
    for _ in range(2):
        with pytest.raises(DataMissing, match=rf"{a_shard(pets).name} cannot be read any more: 503"):
            load(config_of(f"{server.url}/pets"))
    server.fault = lambda name: False
    assert sum(load(config_of(f"{server.url}/pets")).spec.examples.values()) == COUNT + TESTS


def lost_while_training(dataset):
    with pytest.raises(Exception) as found:  # of TensorFlow
        first_epochs(dataset, 30)
    return image_lost(found.value) or dataset.explained(found.value)


def test_a_shard_that_vanishes_or_changes_is_named(pets, server, monkeypatch):
    add_sums(pets)
    shard = a_shard(pets)
    for change, why in ((os.utime, "changed while it was read"), (os.remove, "cannot be read any more: 404")):
        dataset = load(config_of(f"{server.url}/pets"))
        change(shard)
        lost = lost_while_training(dataset)
        assert lost is not None and shard.name in str(lost) and why in str(lost)
        assert ("Restore the file" in str(lost)) == (change is os.remove)  # else it is opened anew


def test_a_file_that_changes_without_a_version_is_known_by_its_size(tars, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("memory")
    for path in tars.iterdir():
        fs.pipe(f"/streamed/pets/{path.name}", path.read_bytes())
    monkeypatch.setattr("kgen.file_systems.VERSIONS", ())
    dataset = load(config_of("memory://streamed/pets"))
    shard = a_shard(tars)
    fs.pipe(f"/streamed/pets/{shard.name}", shard.read_bytes() + bytes(512))
    assert f"{shard.name} changed while it was read: it has" in str(lost_while_training(dataset))
    fs.store.clear()


def test_a_shard_that_is_cut_off_or_damaged_is_named(pets, server):
    shard = a_shard(pets)
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2 - 10])
    add_sums(pets)
    with pytest.raises(UserError, match=rf"{shard.name}.*(is cut off|cannot be read as a)"):
        load(config_of(f"{server.url}/pets"))
    if "tfrecord" in shard.name:
        damaged = bytearray(content)
        damaged[len(content) // 2] ^= 1
        shard.write_bytes(damaged)
        add_sums(pets)
        with pytest.raises(UserError, match=rf"{shard.name}: record \d+ of 16 is damaged"):
            load(config_of(f"{server.url}/pets"))


def test_a_wrong_checksum_is_named(pets, server):
    add_sums(pets)
    shard = a_shard(pets)
    if shard.suffix == ".parquet":
        return  # it is never read whole
    text = (pets / "SHA256SUMS").read_text()
    sha256 = hashlib.sha256(shard.read_bytes()).hexdigest()
    (pets / "SHA256SUMS").write_text(text.replace(sha256, "0" * 64))
    with pytest.raises(UserError, match=rf"{shard.name} has another content than SHA256SUMS says"):
        load(config_of(f"{server.url}/pets"))


def test_a_wrong_checksum_of_a_description_is_named(pets, server):
    name = next((n for n in ("features.json", "classes.txt") if (pets / n).exists()), None)
    if name is None:
        return  # Parquet files describe themselves
    add_sums(pets)
    text = (pets / "SHA256SUMS").read_text()
    sha256 = hashlib.sha256((pets / name).read_bytes()).hexdigest()
    (pets / "SHA256SUMS").write_text(text.replace(sha256, "0" * 64))
    with pytest.raises(UserError, match=rf"{name} has another content than SHA256SUMS says"):
        load(config_of(f"{server.url}/pets"))


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path, server, monkeypatch):
    add_sums(write(tmp_path / "here" / "pets", "tar", broken=(5, 17)))
    settings = {"validation_fraction": 0}
    for _ in range(2):
        dataset = load(config_of(f"{server.url}/pets", **settings))
        assert dataset.spec.examples["train"] == COUNT - 2
        assert [one.name for one in dataset.skipped] == [
            "pets-train-000000.tar: 0005.png",
            "pets-train-000001.tar: 0001.png",
        ]
    with pytest.raises(UserError, match=r"data\.strict is set and 2 files"):
        load(config_of(f"{server.url}/pets", strict=True, **settings))
    with pytest.raises(UserError, match=r"data\.max_bad_records is 0\.02"):
        load(config_of(f"{server.url}/pets", max_bad_records=0.02, **settings))
    assert load(config_of(f"{server.url}/pets", max_bad_records=0.04, **settings)).spec.examples["train"] == COUNT - 2


# What is kept of it in memory -----------------------------------------------------------------------------------------


def is_tfrecord(folder):
    return any("tfrecord" in path.name for path in folder.iterdir())


def test_parts_are_asked_for_ahead_and_each_once_per_epoch(pets, server):
    add_sums(pets)
    dataset = load(config_of(f"{server.url}/pets", validation_fraction=0.0))
    kept = dataset.source._kept
    by_two = -(-COUNT // 2) + 3  # runs of records that two shards share are cut
    assert dataset.source.window == 8 and 18 <= kept._room <= 18 * by_two / (by_two - 3)
    assert is_tfrecord(pets) or kept._room == 18
    settle()
    server.reset()
    images, _ = taken(dataset.batches("train", batch_size=BATCH, seed=4))
    settle()
    assert len(images) == COUNT and len(kept._kept) <= kept._room
    assert sum(server.requests.values()) <= by_two + 8  # what is dropped before its use, where images are decoded late


def test_the_memory_is_bounded_by_the_bytes_of_two_windows(pets, server, monkeypatch):
    add_sums(pets)
    monkeypatch.setattr(parts, "WINDOW_BYTES", 1500)
    dataset = load(config_of(f"{server.url}/pets", validation_fraction=0.0))
    kept = dataset.source._kept
    assert dataset.source.window < 8 and kept._room < 18
    assert len(first_epochs(dataset)[0]) == 12 * BATCH
    assert len(kept._kept) <= kept._room
    is_one = dataset.source.window == 1 and not is_tfrecord(pets)
    assert any("mixed within one" in note for note in dataset.notes) == is_one
    monkeypatch.setattr(parts, "WINDOW_BYTES", 1)
    dataset = load(config_of(f"{server.url}/pets", validation_fraction=0.0))
    assert dataset.source.window == 1 and dataset.source._kept._room == parts.LEAST_PARTS
    mixed = "1 runs of 2 records are mixed, not 8" if is_tfrecord(pets) else "mixed within one group of rows or run"
    assert any(mixed in note for note in dataset.notes)


class FakeShard:
    """A shard of `rows` rows, of which one run ends at every multiple of `run` rows of the set; counts its reads."""

    def __init__(self, first, rows, run, size):
        self.path, self.first, self.rows, self.size, self.read = object(), first, rows, size, Counter()
        cuts = [end for end in range(first + 1, first + rows) if end % run == 0]
        self.ends = np.array([*cuts, first + rows]) - first

    def __len__(self):
        return self.rows

    def read_part(self, part):
        self.read[part] += 1
        return part


@pytest.mark.parametrize(("count", "rows", "megabytes"), [(60, 25, 4.5), (2000, 10, 0.1), (40, 640, 0.2)])
def test_shards_that_are_shorter_than_a_run_are_read_once_per_epoch(monkeypatch, count, rows, megabytes):
    class AtOnce:
        start, put = staticmethod(lambda: None), staticmethod(lambda task: task())

    monkeypatch.undo()
    monkeypatch.setattr(parts, "fetcher", AtOnce)
    run, window = kgen_tfds.RUN, kgen_tfds.WINDOW
    kept = parts.KeptParts(ahead=True)
    shards = [FakeShard(i * rows, rows, run, int(rows * megabytes * 2**20)) for i in range(count)]
    window = kept.make_room(shards, window, run)
    assert kept._room * sum(s.size for s in shards) / sum(len(s.ends) for s in shards) < 3 * parts.WINDOW_BYTES
    numbers = np.arange(count * rows)
    order = windowed_permutation(numbers // run, window, np.random.default_rng(0), 32)

    def find(number):
        shard = shards[number // rows]
        return shard, int(np.searchsorted(shard.ends, number % rows, side="right"))

    for place, number in enumerate(order.tolist()):
        if place == 0:
            for early in order[: kept._images_ahead].tolist():
                kept.ask_ahead(*find(early))
        if place + kept._images_ahead < len(order):
            kept.ask_ahead(*find(int(order[place + kept._images_ahead])))
        kept.get(*find(number))
    reads = [shard.read[part] for shard in shards for part in range(len(shard.ends))]
    assert min(reads) == 1 and np.mean(reads) <= 1.2


def test_a_part_is_not_waited_for_while_who_reads_it_collects_garbage():
    """By a process of its own, which would not end."""
    code = """
import gc, threading
import tensorflow as tf
from kgen.data.sources import parts

gc.disable()
asked, collected, kept = threading.Event(), [], parts.KeptParts(ahead=True)

class Shard:
    path = "a"

    def read_part(self, part):
        if threading.current_thread().name == "kgen-fetcher":
            entered.set()
            asked.wait()
            gc.collect()
            collected.append(part)
        return 7

shard, entered = Shard(), threading.Event()
kept.ask_ahead(shard, 0)
entered.wait()

def read(number):
    if number:
        asked.set()
        kept.get(shard, 0)
    return number

data = tf.data.Dataset.range(4).map(lambda n: tf.numpy_function(read, [n], tf.int64), num_parallel_calls=2)

class Node:
    pass

node = Node()
node.me, node.iterator = node, iter(data.prefetch(2))
next(node.iterator)
del node
while not collected:
    threading.Event().wait(0.05)
print("collected")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "collected\n", done.stderr


def test_a_process_ends_while_parts_are_read():
    """A thread that the interpreter ends within C++ code would abort it."""
    pytest.importorskip("pyarrow")
    code = """
import io, time
import pyarrow
from kgen.data.sources import parts

class File(io.RawIOBase):
    def readable(self):
        return True

    def read(self, size=-1):
        for _ in range(200):
            time.sleep(0.001)
        return b"1234"

class Shard:
    path = "a"

    def read_part(self, part):
        print("x", end="", flush=True)
        pyarrow.PythonFile(File(), mode="r").read(4)

kept, shard = parts.KeptParts(ahead=True), Shard()
kept._room = 1000
for part in range(1000):
    kept.ask_ahead(shard, part)
time.sleep(0.1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert 0 < len(done.stdout) < 1000  # those that were not begun are left


@pytest.mark.slow
def test_google_cloud_storage_is_streamed(tars, tmp_path):
    """By a process of its own: TensorFlow's client reads its settings once."""
    pytest.importorskip("trustme")
    from cloud_storage import cloud_storage

    code = (
        "from kgen.config import DataConfig; from kgen.data import load\n"
        "data = load(DataConfig('gs://bucket/pets', remote='stream', cache='none'))\n"
        "print(sum(len(labels) for _, labels in data.batches('train', batch_size=8)), data.notes[0])"
    )
    with cloud_storage(tmp_path) as (server, environment):
        server.objects |= {f"bucket/pets/{path.name}": (path.read_bytes(), 1) for path in tars.iterdir()}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("40 gs://bucket/pets: 5 files streamed"), done.stdout


# Commands -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_commands_on_a_stream(tars, server, tmp_path, capsys):
    from kgen.cli.data import main as data_main
    from kgen.cli.eval import main as eval_main
    from kgen.cli.train import main as train_main

    add_sums(tars)
    where = ["--dataset", f"{server.url}/pets", "--remote", "stream", "--cache", "none"]
    run = str(tmp_path / "run")
    size = ["--epochs", "2", "--batch_size", "8", "--set", "model_args.hidden=[8]"]
    measured = ["--eval_every", "1", "--eval_count", "16", "--metrics", "kid"]
    assert not train_main(["--model", "vae", *where, "--run_dir", run, *size, *measured])
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"]["remote"] == "stream"
    assert not train_main(["--resume", run, "--epochs", "3"])
    assert not eval_main([run, "--count", "16", "--metrics", "kid"])
    assert not data_main([f"{server.url}/pets", *where[2:4], "--out", str(tmp_path / "look")])
    assert "streamed and not copied" in capsys.readouterr().out
    assert not (cache_root() / "remote").exists()
