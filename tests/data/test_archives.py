"""Archives that unpack without end, folders that cannot be opened, a Pillow without AVIF: what no odd set can hold."""

import gzip
import io
import os
import shutil
import tarfile

import pytest
from check_dataset import check_dataset
from file_damage import watched

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.sources import archives, files, picture
from kgen.errors import UserError


@pytest.fixture
def packed(tmp_path, noise, save):
    """A .tar.gz of 40 RGB pictures in two classes."""
    for i, pixels in enumerate(noise(40, 9, 8, 3)):
        save(tmp_path / "photos" / ("cats" if i % 2 else "dogs") / f"{i}.png", pixels)
    with tarfile.open(tmp_path / "photos.tar.gz", "w:gz") as file:
        file.add(tmp_path / "photos", "photos")
    return tmp_path / "photos.tar.gz"


@pytest.mark.slow
def test_a_compressed_tar_conforms(packed):
    dataset = load(DataConfig(str(packed)))
    check_dataset(dataset, forget=packed.unlink)
    assert dataset.spec.name == "photos" and dataset.spec.class_names == ("cats", "dogs")
    assert dataset.spec.examples == {"train": 36, "validation": 4}


@pytest.mark.slow
def test_a_tar_leaves_nothing_behind(packed, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "own" / "cache"))
    with watched(tmp_path / "own") as events:
        for cache in ("memory", "none"):
            list(load(DataConfig(str(packed), cache=cache)).batches("train", batch_size=16))
    assert not events and not list((tmp_path / "own" / "cache").iterdir())


def test_a_tar_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "PLAUSIBLE_BYTES", 2**22)
    (tmp_path / "set.tgz").write_bytes(gzip.compress(bytes(2**24)))
    with pytest.raises(UserError, match=r"set\.tgz unpacks to more than 200 times its size"):
        load(DataConfig(str(tmp_path / "set.tgz")))


def test_a_tar_larger_than_the_disk_is_refused(packed, monkeypatch):
    usage = shutil.disk_usage(packed.parent)._replace(free=1000)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"photos\.tar\.gz unpacks to more than .* KGEN_CACHE_DIR"):
        load(DataConfig(str(packed)))


def test_a_member_that_is_too_large_is_left_out(tmp_path, monkeypatch, noise, save):
    monkeypatch.setattr(archives, "MAX_PICTURE_BYTES", 2**12)
    with tarfile.open(tmp_path / "set.tar", "w") as file:
        for number, pixels in enumerate(noise(2)):
            file.add(save(tmp_path / f"{number}.png", pixels), f"{number}.png")
        member = tarfile.TarInfo("large.png")
        member.size = 2**13
        file.addfile(member, io.BytesIO(bytes(2**13)))
    (skipped,) = load(DataConfig(str(tmp_path / "set.tar"), validation_fraction=0)).skipped
    assert skipped.name == "large.png" and "larger than" in skipped.reason


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_lists_what_tarfile_lists(tmp_path, kind):
    path, long = tmp_path / "set.tar", "x" * 90
    names = ["0.png", "1.cls", f"{long}/{long}.png", "ä.png", "a/2.png", "2.cls", ".hidden.png", "n" * 96 + ".png"]
    with tarfile.open(path, "w", format=kind) as file:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = 300 * number, 0.5 if number == 4 else 0  # PAX has a header for 0.5
            file.addfile(member, io.BytesIO(bytes(member.size)))
            if number == 3:
                folder, link = tarfile.TarInfo("a"), tarfile.TarInfo("again.png")
                folder.type, link.type, link.linkname = tarfile.DIRTYPE, tarfile.LNKTYPE, "0.png"
                file.addfile(folder)
                file.addfile(link)
    with tarfile.open(path) as file:
        expected = {m.name: (m.offset_data, m.size) for m in file.getmembers() if m.isreg()}
    tar = archives.TarFiles(path)
    places = {name: tar.place(name) for name in (*tar.names, *tar.other_names, *tar.hidden)}
    assert places == expected | {"again.png": expected["0.png"]}
    content = bytearray(path.read_bytes())
    content[512 * 1] ^= 1  # the name of the second file, after the first one without content
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"set\.tar cannot be read as a tar file|goes on after the end"):
        archives.TarFiles(path)


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch, noise, save):
    for number, pixels in enumerate(noise(4)):
        save(tmp_path / "set" / ("a" if number else "closed") / f"{number}.png", pixels)
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(files.os, "scandir", refuse)
    dataset = load(DataConfig(str(tmp_path / "set"), validation_fraction=0))
    assert dataset.spec.examples == {"train": 3}
    assert any("closed/ (Permission denied)" in finding for finding in dataset.findings)
    with pytest.raises(UserError, match=r"strict.*closed/"):
        load(DataConfig(str(tmp_path / "set"), strict=True))


def test_a_pillow_without_avif_names_the_files(tmp_path, monkeypatch, noise, save):
    known = picture.picture_suffixes() - {".avif", ".avifs"}
    monkeypatch.setattr(files, "picture_suffixes", lambda: known)
    for number, pixels in enumerate(noise(4)):
        save(tmp_path / f"{number}.png", pixels)
    (tmp_path / "x.avif").write_bytes(b"\0\0\0\x1cftypavif")
    dataset = load(DataConfig(str(tmp_path), validation_fraction=0))
    assert dataset.spec.examples == {"train": 4}
    assert any("1 .avif (x.avif); convert" in finding for finding in dataset.findings)
