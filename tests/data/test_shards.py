"""Shards: WebDataset tars and Parquet files of the Hugging Face hub, made here of a dozen small pictures."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from check_dataset import check_dataset, taken
from shard_files import png, write_parquet, write_tar

from kgen import io as kgen_io
from kgen.config import DataConfig
from kgen.data import load
from kgen.data.sources import pictures, remembered
from kgen.data.sources import shards as kgen_shards
from kgen.data.sources.shard_tar import TarShard
from kgen.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)
NUMBER = {pixels.tobytes(): i for i, pixels in enumerate(PIXELS)}


def sample(i):
    return {"png": png(PIXELS[i]), "cls": str(i % 2).encode()}


@pytest.fixture
def tars(tmp_path):
    """Three training shards of four images and one test shard of four, in two classes that a file names."""
    folder = tmp_path / "pets"
    for shard in range(3):
        write_tar(folder / f"pets-train-{shard:06d}.tar", [sample(i) for i in range(4 * shard, 4 * shard + 4)])
    write_tar(folder / "pets-test-000000.tar", [sample(i) for i in range(12, 16)])
    (folder / "classes.txt").write_text("cat\ndog\nowl\n")
    return folder


@pytest.fixture
def parquets(tmp_path):
    folder = tmp_path / "pets" / "data"
    for shard in range(2):
        rows = [(PIXELS[i], i % 2) for i in range(6 * shard, 6 * shard + 6)]
        write_parquet(folder / f"train-{shard:05d}-of-00002-6b7a1e0c.parquet", rows)
    write_parquet(folder / "test-00000-of-00001.parquet", [(PIXELS[i], i % 2) for i in range(12, 16)])
    return folder.parent


def check_labels(dataset):
    for split in dataset.splits:
        pixels, labels = dataset.arrays(split)
        numbers = [NUMBER[x.tobytes()] for x in pixels]
        assert [i % 2 for i in numbers] == labels.tolist()
        assert all((i >= 12) == (split == "test") for i in numbers)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_tars_conform(tars, cache):
    dataset = load(DataConfig(str(tars), cache=cache))
    assert dataset.spec.name == "pets" and dataset.spec.class_names == ("cat", "dog", "owl")
    assert dataset.spec.examples == {"train": 11, "validation": 1, "test": 4}
    check_dataset(dataset)
    check_labels(dataset)
    assert any("3 shards" in note for note in dataset.notes) and not dataset.findings


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_parquet_files_conform(parquets, cache):
    dataset = load(DataConfig(str(parquets), cache=cache))
    assert dataset.spec.class_names == ("cat", "dog")
    assert dataset.spec.examples == {"train": 11, "validation": 1, "test": 4}
    check_dataset(dataset)
    check_labels(dataset)


@pytest.mark.parametrize("kind", ["tars", "parquets", "folder", "memory"])
def test_a_run_goes_on_within_an_epoch(kind, request, tmp_path):
    if kind == "folder":
        for i, pixels in enumerate(PIXELS):
            (tmp_path / f"{i}.png").write_bytes(png(pixels))
    path = tmp_path if kind == "folder" else request.getfixturevalue("parquets" if kind == "memory" else kind)
    cache = "memory" if kind == "memory" else "none"
    dataset = load(DataConfig(str(path), cache=cache, validation_fraction=0))
    settings = {"batch_size": 4, "repeat": True, "seed": 3, "flip": True}
    steps = dataset.spec.examples["train"] // 4
    whole, _ = taken(dataset.batches("train", **settings), 3 * steps)
    for step in (1, steps - 1, steps + 1):
        resumed, _ = taken(dataset.batches("train", start_step=step, **settings), 2)
        np.testing.assert_array_equal(resumed, whole[4 * step : 4 * step + 8])


def test_a_pattern_names_the_shards_that_are_meant(tars, monkeypatch):
    monkeypatch.chdir(tars)
    dataset = load(DataConfig("pets-train-{000000..000001}.tar", validation_fraction=0))
    assert dataset.spec.examples == {"train": 8} and dataset.spec.name == "pets"
    with pytest.raises(UserError, match=r"1 file of 3 .* are not there: pets-test-000001\.tar"):
        load(DataConfig("pets-{train-000000,test-000000,test-000001}.tar"))
    assert len(kgen_shards.expand("{a,b}/{8..11}.tar")) == 8 and kgen_shards.expand("{a}") is None
    with pytest.raises(UserError, match="more than"):
        kgen_shards.expand("{0..9999999}.tar")


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["a-000.tar", "a-001.tar", "a-003.tar"], "a-002.tar"),
        (["a-001.tar", "a-003.tar"], "a-002.tar"),
        (["a-002.tar", "a-003.tar"], "a-000.tar, a-001.tar"),
        (["a-00000-of-00003.tar", "a-00002-of-00003.tar"], "a-00001-of-00003.tar"),
        (["a-000.tar", "b-000.tar", "b-002.tar"], "b-001.tar"),
        (["a-1-of-2.tar", "a-2-of-2.tar"], None),
        (["2019.tar", "2021.tar"], None),
        (["a1.tar", "a3.tar"], None),
        (["a-001.tar", "a-002.tar"], None),
    ],
)
def test_a_shard_that_is_missing_in_the_row_is_named(names, missing, tmp_path):
    if missing is None:
        assert len(kgen_shards.shards_among(names, tmp_path)) == len(names)
    else:
        with pytest.raises(UserError, match=f"missing: {missing};"):
            kgen_shards.shards_among(names, tmp_path)


def test_a_tar_that_is_cut_off_is_named(tars):
    (shard, *_) = sorted(tars.glob("*train*"))
    content = shard.read_bytes()
    for end in (len(content.rstrip(b"\0")) - 20, 512 * -(-len(content.rstrip(b"\0")) // 512)):
        shard.write_bytes(content[:end])
        with pytest.raises(UserError, match=shard.name):
            load(DataConfig(str(tars)))


def test_a_parquet_file_that_is_damaged_is_named(parquets):
    (shard, *_) = sorted(parquets.glob("data/train*"))
    content = bytearray(shard.read_bytes())
    shard.write_bytes(content[:-10])
    with pytest.raises(UserError, match=f"{shard.name} cannot be read as a Parquet file"):
        load(DataConfig(str(parquets)))
    content[4:40] = bytes(36)
    shard.write_bytes(content)
    with pytest.raises(UserError, match=rf"{shard.name}: group 0 of its rows is damaged"):
        load(DataConfig(str(parquets)))


def test_a_picture_that_cannot_be_decoded_is_named_and_strict_refuses_it(tmp_path):
    write_tar(tmp_path / "set" / "000.tar", [sample(i) | ({"png": b"broken"} if i == 5 else {}) for i in range(12)])
    settings = {"dataset": str(tmp_path / "set"), "validation_fraction": 0}
    dataset = load(DataConfig(**settings))
    assert dataset.spec.examples == {"train": 11} and [s.name for s in dataset.skipped] == ["000.tar: 0005.png"]
    with pytest.raises(UserError, match=r"000\.tar: 0005\.png"):
        load(DataConfig(**settings, strict=True))
    assert load(DataConfig(**settings, max_bad_records=0.09)).spec.examples == {"train": 11}
    with pytest.raises(UserError, match=r"1 of 12 files .*, 8\.33%, .*data\.max_bad_records is 0\.08: 000\.tar: 0005"):
        load(DataConfig(**settings, max_bad_records=0.08))


def test_what_is_known_of_a_large_set_is_not_looked_at_again(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "LARGE", 4)
    write_tar(tmp_path / "set" / "000.tar", [sample(i) | ({"png": b"broken"} if i == 5 else {}) for i in range(12)])
    write_tar(tmp_path / "set" / "001.tar", [sample(i) for i in range(12, 16)])
    cut = png(PIXELS[3])[:-30]  # a header that can be read
    write_tar(tmp_path / "set" / "002.tar", [sample(i) | ({"png": cut} if i == 3 else {}) for i in range(4)])
    config = DataConfig(str(tmp_path / "set"), validation_fraction=0.25, cache="none")
    first, read = load(config), []
    monkeypatch.setattr(pictures, "read_header", lambda file: read.append(file))
    monkeypatch.setattr(pictures.PictureSource, "_scan", lambda *args: read.append(args))
    second = load(config)
    assert not read and [s.name for s in second.skipped] == ["000.tar: 0005.png", "002.tar: 0003.png"]
    assert second.spec == first.spec and second.notes == first.notes and second.skipped == first.skipped
    assert second.source.sizes == first.source.sizes and second.source.size == first.source.size
    for split in first.splits:
        for one, other in zip(first.arrays(split), second.arrays(split), strict=True):
            np.testing.assert_array_equal(one, other)
    monkeypatch.undo()
    monkeypatch.setattr(remembered, "LARGE", 4)
    write_tar(tmp_path / "set" / "001.tar", [sample(i) for i in range(11, 16)])
    assert sum(load(config).spec.examples.values()) == 19


def test_a_disk_that_fails_at_times_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(kgen_io, "FIRST_WAIT_SECONDS", 0.0)
    write_tar(tmp_path / "set" / "000.tar", [sample(i) for i in range(16)])
    before, failed = TarShard.read, []

    def read(shard, row):
        if failed.count(row) < row % 5:  # so often in all
            failed.append(row)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return before(shard, row)

    monkeypatch.setattr(TarShard, "read", read)
    dataset = load(DataConfig(str(tmp_path / "set"), validation_fraction=0, cache="none"))
    assert sum(len(labels) for _, labels in dataset.batches(batch_size=4)) == 16
    assert failed and not dataset.skipped
    monkeypatch.setattr(TarShard, "read", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "gone for good")))
    with pytest.raises(Exception, match=r"cannot be read any more: .*gone for good"):
        list(dataset.batches(batch_size=4))


def test_labels_of_a_json_words_and_samples_without_one(tmp_path):
    words = ["cat", "dog", None, 7, "cat", "dog"]
    samples = [
        {"png": png(PIXELS[i]), "json": json.dumps({"label": word, "size": i % 3}).encode()}
        for i, word in enumerate(words)
    ]
    path = write_tar(tmp_path / "pets.tar", [*samples, {"json": b"{}"}])
    dataset = load(DataConfig(str(path), validation_fraction=0))
    assert dataset.spec.class_names == ("7", "cat", "dog") and dataset.spec.examples == {"train": 5}
    findings = " ".join(dataset.findings)
    assert "1 image without a label" in findings and "1 sample has no picture: 0006" in findings
    by_size = load(DataConfig(str(path), validation_fraction=0, labels=":size"))
    assert by_size.arrays("train")[1].tolist() == [0, 1, 2, 0, 1, 2]
    assert load(DataConfig(str(path), labels="none")).spec.num_classes == 0
    with pytest.raises(UserError, match="--labels :COLUMN"):
        load(DataConfig(str(path), labels="labels.csv"))


def test_samples_of_several_pictures(tmp_path):
    mask = {"seg.png": png(PIXELS[0])}
    path = write_tar(tmp_path / "set.tar", [sample(i) | mask for i in range(4)])
    dataset = load(DataConfig(str(path), validation_fraction=0))
    assert dataset.spec.examples == {"train": 4} and any(".seg.png" in finding for finding in dataset.findings)
    path = write_tar(tmp_path / "two.tar", [sample(0) | {"jpg": png(PIXELS[1])}])
    with pytest.raises(UserError, match=r"two\.tar: sample '0000' has several pictures, \.png, \.jpg"):
        load(DataConfig(str(path)))


def test_a_test_split_whose_labels_are_unknown(tmp_path):
    write_parquet(tmp_path / "train.parquet", [(PIXELS[i], i % 2) for i in range(12)])
    write_parquet(tmp_path / "test.parquet", [(PIXELS[i], -1) for i in range(12, 16)])
    dataset = load(DataConfig(str(tmp_path), validation_fraction=0))
    assert dataset.spec.examples == {"train": 12} and any("test: 4 images" in finding for finding in dataset.findings)
    unlabelled = load(DataConfig(str(tmp_path), validation_fraction=0, labels="none"))
    assert unlabelled.spec.examples == {"train": 12, "test": 4} and unlabelled.spec.num_classes == 0


def test_small_sets_import_nothing_for_shards(tmp_path, save):
    save(tmp_path / "photos" / "a.png", PIXELS[0])
    code = (
        "import sys; from kgen.data.sources.resolve import open_source; from kgen.config import DataConfig\n"
        f"open_source(DataConfig({str(tmp_path / 'photos')!r}))\n"
        "print({'pyarrow', 'fsspec', 'tensorflow', 'tensorflow_datasets', 'webdataset'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
