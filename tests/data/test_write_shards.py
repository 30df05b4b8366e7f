"""Shards that kgen-data writes: what is read back, by kgen, TFDS and webdataset, and what a kill leaves."""

import hashlib
import subprocess

import numpy as np
import pytest

from kgen.cli import data
from kgen.config import DataConfig
from kgen.data import load
from kgen.data.write_shards import TarShards, TfrecordShards, write_shards
from kgen.errors import UserError
from kgen.file_systems import FsspecFiles

FORMATS = [TarShards, TfrecordShards]


@pytest.fixture
def photos(tmp_path, noise, save):
    """16 training and 6 test images of 9x8 in two classes."""
    folder = tmp_path / "photos"
    for i, pixels in enumerate(noise(22, 9, 8, 3)):
        save(folder / ("train" if i < 16 else "test") / ("cats" if i % 2 else "dogs") / f"{i}.png", pixels)
    return folder


def written(photos, to, kind, **settings):
    per_shard = settings.pop("images_per_shard", 5)
    return write_shards(DataConfig(str(photos), **settings), to, kind, images_per_shard=per_shard)


def names_and_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("settings", [{}, {"image_size": (4, 6), "grayscale": True}])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_training_on_the_shards_sees_the_same_images_in_the_same_splits(photos, tmp_path, kind, settings):
    notes = written(photos, tmp_path / "out", kind, **settings)
    assert any("22 images (16 train, 6 test) in 6 shards" in note for note in notes)
    shards, source = load(DataConfig(str(tmp_path / "out"))), load(DataConfig(str(photos), **settings))
    assert shards.spec.examples == source.spec.examples == {"train": 14, "validation": 2, "test": 6}
    assert shards.spec.class_names == source.spec.class_names == ("cats", "dogs")
    for split in source.splits:
        assert shards.fingerprint(split) == source.fingerprint(split)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_call_that_was_killed_goes_on_to_the_same_bytes(photos, tmp_path, kind, monkeypatch):
    written(photos, tmp_path / "whole", kind)
    calls, write = [], kind.write

    def killed(path, samples):
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"a part")
            raise KeyboardInterrupt
        return write(path, samples)

    monkeypatch.setattr(kind, "write", staticmethod(killed))
    with pytest.raises(KeyboardInterrupt):
        written(photos, tmp_path / "out", kind)
    with pytest.raises(UserError, match="unfinished shards of other images or settings"):
        written(photos, tmp_path / "out", kind, limit=3)
    notes = written(photos, tmp_path / "out", kind)
    assert any("2 shards were there from an earlier call" in note for note in notes) and len(calls) == 3 + 4
    whole = names_and_bytes(tmp_path / "whole")
    assert names_and_bytes(tmp_path / "out") == whole
    with pytest.raises(UserError, match="is not empty"):
        written(photos, tmp_path / "out", kind)
    sums = dict(reversed(line.split("  ")) for line in whole["SHA256SUMS"].decode().splitlines())
    assert sums == {n: hashlib.sha256(content).hexdigest() for n, content in whole.items() if n != "SHA256SUMS"}


@pytest.mark.parametrize("kind", FORMATS)
def test_shards_go_to_an_address_and_only_through_the_disk(photos, tmp_path, kind, monkeypatch):
    """A store that fails now and then, and once for good: the same call goes on."""
    fs = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setattr("kgen.io.FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    write, calls, gone = FsspecFiles.write, [], True

    def failing(files, url, path):
        calls.append(url)
        if len(calls) % 3 == 0 or (gone and len(calls) > 4):
            raise OSError("the store does not answer")
        write(files, url, path)

    monkeypatch.setattr(FsspecFiles, "write", failing)
    address = f"memory://bucket-{tmp_path.name}/shards"
    with pytest.raises(UserError, match="cannot be written: the store does not answer; the same command goes on"):
        written(photos, address, kind)
    assert not fs.exists(f"{address}/SHA256SUMS") and fs.ls(address)
    gone = False
    assert any("shards were there from an earlier call" in note for note in written(photos, address, kind))
    written(photos, tmp_path / "shards", kind)
    assert {path.rpartition("/")[2]: fs.cat(path) for path in fs.find(address)} == names_and_bytes(tmp_path / "shards")
    assert not list((tmp_path / "cache" / "shards-to").iterdir())
    assert load(DataConfig(address)).spec == load(DataConfig(str(tmp_path / "shards"))).spec
    with pytest.raises(UserError, match="is not empty"):
        written(photos, address, kind)


def test_tfds_opens_them(photos, tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    written(photos, tmp_path / "out", TfrecordShards)
    builder = tfds.builder_from_directory(str(tmp_path / "out"))
    assert builder.info.features["label"].names == ["cats", "dogs"] and builder.info.splits["train"].num_shards == 4
    examples = list(tfds.as_numpy(builder.as_dataset(split="test")))
    assert len(examples) == 6 and examples[0]["image"].shape == (9, 8, 3)
    assert all((b"/cats/" in e["name"]) == (e["label"] == 0) for e in examples)


def test_webdataset_opens_them(photos, tmp_path):
    wds = pytest.importorskip("webdataset")
    written(photos, tmp_path / "out", TarShards)
    samples = list(wds.WebDataset(str(tmp_path / "out" / "photos-train-{000000..000003}.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"{number:09d}" for number in range(16)]
    assert {sample["cls"] for sample in samples} == {b"0", b"1"} and all(s["png"][:4] == b"\x89PNG" for s in samples)


def test_pictures_that_other_programs_would_read_in_another_way_are_written_anew(tmp_path, noise, save):
    pixels = noise(4, 8, 8, 3)
    for i in range(2):
        save(tmp_path / "set" / f"{i}.jpg", pixels[i], quality=90)
    from PIL import Image

    turned = Image.Exif()
    turned[0x0112] = 6
    save(tmp_path / "set" / "2.jpg", pixels[2], exif=turned)
    save(tmp_path / "set" / "3.png", np.concatenate([pixels[3], pixels[3][..., :1]], 2))
    write_shards(DataConfig(str(tmp_path / "set")), tmp_path / "out", TarShards)
    assert (tmp_path / "set" / "0.jpg").read_bytes() in (tmp_path / "out" / "set-train-000000.tar").read_bytes()
    assert (tmp_path / "set" / "2.jpg").read_bytes() not in (tmp_path / "out" / "set-train-000000.tar").read_bytes()
    same = load(DataConfig(str(tmp_path / "out"))).fingerprint("train")
    assert same == load(DataConfig(str(tmp_path / "set"))).fingerprint("train")


@pytest.mark.parametrize("settings", [{}, {"image_size": (4, 4)}])
def test_what_cannot_be_read_is_left_out_and_named(photos, tmp_path, settings):
    bad = photos / "train" / "cats" / "7.png"
    bad.write_bytes(bad.read_bytes()[:-40])
    notes = written(photos, tmp_path / "out", TarShards, **settings)
    assert any("1 of 22 files could not be used, left out: train/cats/7.png" in note for note in notes)
    assert sum(load(DataConfig(str(tmp_path / "out"))).spec.examples.values()) == 21
    with pytest.raises(UserError, match=r"strict is set and 1 file .* train/cats/7\.png"):
        written(photos, tmp_path / "strict", TarShards, strict=True, **settings)


def test_arrays_and_sets_of_tfds_are_written(tmp_path):
    write_shards(DataConfig("digits", limit=40), tmp_path / "one", TfrecordShards, images_per_shard=16)
    write_shards(DataConfig(str(tmp_path / "one")), tmp_path / "two", TarShards, images_per_shard=7)
    shards, digits = load(DataConfig(str(tmp_path / "two"))), load(DataConfig("digits", limit=40))
    assert shards.spec.image_shape == (28, 28, 1) and shards.spec.class_names == digits.spec.class_names
    assert shards.spec.examples["test"] == 40 and shards.fingerprint("test") == digits.fingerprint("test")


def test_as_typed(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        data.main(["shard", "photos", "--to", "out", "--image_size", "4", "--format", "tar", "--per_shard", "9"]) == 0
    )
    said = capsys.readouterr().out
    assert "22 images (16 train, 6 test) in 3 shards" in said and "next: kgen-data out" in said
    check = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out")
    assert check.returncode == 0 and not list((tmp_path / "out").glob(".*"))
    (tmp_path / "out" / "photos-train-000001.tar").rename(tmp_path / "elsewhere.tar")  # no gap in the numbers
    with pytest.raises(UserError, match=r"1 shard of 3 that SHA256SUMS names are missing: photos-train-000001\.tar"):
        load(DataConfig("out"))
    for arguments, words in (
        (["photos", "--to", "x"], "kgen-data shard DATASET --to FOLDER"),
        (["shrad", "photos", "--to", "x"], "kgen-data shard DATASET --to FOLDER"),
        (["shard", "photos"], "takes --to FOLDER"),
        (["shard", "photos", "--to", "https://bucket/x"], "a web server takes no files"),
        (["shard", "photos", "--to", "nothing://bucket/x"], "is an address of a kind that is not read"),
        (["shard", "photos", "--to", "x", "--near", "0.3"], "--near changes nothing in shards"),
        (["shard", "photos", "--to", "photos"], "is not empty"),
    ):
        assert data.main(arguments) == 2
        assert words in capsys.readouterr().err
