"""Decoded images on disk are found by their content, bounded in size, and listed."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from check_dataset import evaluated

from kgen.cli.data import main
from kgen.config import DataConfig
from kgen.data import image_cache, load, store
from kgen.data.image_cache import GIB
from kgen.errors import UserError

SIZE = 24 * 8 * 8 * 3


@pytest.fixture(autouse=True)
def release():
    """What a test holds is in use no longer when it ends."""
    yield
    forget()


def forget():
    for file in image_cache._held.values():
        os.close(file)
    image_cache._held.clear()


@pytest.fixture
def decodes(monkeypatch):
    """The splits that were decoded."""
    found, decode = [], store._decode
    monkeypatch.setattr(store, "_decode", lambda *args: found.append(args[1]) or decode(*args))
    return found


@pytest.fixture
def photos(tmp_path, noise, save):
    def write(name: str, seed: int = 0):
        for i, pixels in enumerate(noise(24, 8, 8, 3, seed=seed)):
            save(tmp_path / name / "ab"[i % 2] / f"{i}.png", pixels)
        return tmp_path / name

    return write


def on_disk(path, **settings):
    return load(DataConfig(str(path), cache="disk", **settings))


def test_a_touched_or_copied_folder_makes_no_second_copy(photos, tmp_path, decodes):
    folder = photos("photos")
    first = on_disk(folder)
    os.utime(folder / "a" / "0.png")
    on_disk(folder)
    copy = on_disk(shutil.copytree(folder, tmp_path / "elsewhere" / "copy"))
    assert decodes == ["train"] and len(image_cache.entries()) == 1
    np.testing.assert_array_equal(evaluated(first, "train")[0], evaluated(copy, "train")[0])
    (folder / "a" / "0.png").rename(folder / "b" / "0.png")  # another label
    on_disk(folder)
    assert len(decodes) == 2


def test_other_bytes_of_the_same_size_are_another_set(photos, decodes, tmp_path):
    from PIL import Image

    folder = photos("photos")
    for path in folder.rglob("*.png"):  # BMP: the size of a file does not depend on its pixels
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    on_disk(folder)
    changed = folder / "a" / "0.bmp"
    changed.write_bytes(changed.read_bytes()[:-1] + b"\0")
    on_disk(folder)
    assert len(decodes) == 2


@pytest.mark.parametrize("kind", ["zip", "tar", "npz"])
def test_a_copied_file_makes_no_second_copy(photos, tmp_path, noise, decodes, kind):
    if kind == "npz":
        path = tmp_path / "set.npz"
        np.savez(path, images=noise(24, 8, 8, 3), labels=np.arange(24) % 2)
    else:
        path = shutil.make_archive(tmp_path / "set", kind, photos("photos"))
    on_disk(path)
    os.utime(path)
    on_disk(path)
    on_disk(shutil.copy(path, tmp_path / f"other.{kind}"))
    assert decodes == ["train"]


def test_arrays_read_in_two_ways_are_two_sets(tmp_path, noise, decodes):
    np.savez(tmp_path / "a.npz", images=noise(24, 8, 8, 3))
    on_disk(tmp_path / "a.npz")
    on_disk(tmp_path / "a.npz", value_range=(0, 510))
    np.savez(tmp_path / "b.npz", images=noise(24, 8, 8, 3), labels=np.arange(24) % 2)
    on_disk(tmp_path / "b.npz")
    assert len(decodes) == 3


def test_the_bytes_of_an_untouched_set_are_hashed_once(photos, monkeypatch):
    from kgen.data.sources.files import FolderFiles

    folder, hashed, checksum = photos("photos"), [], FolderFiles.checksum
    monkeypatch.setattr(FolderFiles, "checksum", lambda self, name: hashed.append(name) or checksum(self, name))
    load(DataConfig(str(folder), cache="memory"))
    assert not hashed
    on_disk(folder)
    on_disk(folder, image_size=(4, 4))
    assert len(hashed) == 24


def test_the_oldest_go_first_and_what_is_in_use_stays(photos, decodes):
    one, two, three = (photos(name, seed) for seed, name in enumerate(("one", "two", "three")))
    for age, path in ((30, one), (20, two)):
        on_disk(path)
        forget()
        os.utime(image_cache.entries()[0].folder / image_cache.MARK, (time.time() - age,) * 2)
    on_disk(one)  # used again: two is the oldest now
    forget()
    bound = 2.5 * image_cache.entries()[0].size / GIB
    on_disk(three, cache_gib=bound)
    assert [entry.name for entry in image_cache.entries()] == ["three", "one"]
    held = {entry.name: entry.folder for entry in image_cache.entries()}
    on_disk(one)  # both are in use
    on_disk(two, cache_gib=bound)
    assert len(image_cache.entries()) == 3 and all(folder.is_dir() for folder in held.values())


@pytest.mark.skipif(sys.platform == "win32", reason="there the system refuses to remove mapped files")
def test_what_another_process_uses_stays(photos):
    on_disk(photos("one"))
    forget()
    (entry,) = image_cache.entries()
    code = (
        "import sys; from pathlib import Path; from kgen.data import image_cache; "
        "image_cache.hold(Path(sys.argv[1])); print('held', flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(entry.folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout.readline().strip() == b"held"
        assert "1 are in use" in image_cache.clear() and entry.folder.is_dir()
    finally:
        process.communicate(b"\n")
    assert "removed 1" in image_cache.clear() and not entry.folder.is_dir()


def test_a_set_beyond_the_bound_is_not_kept(photos, monkeypatch):
    folder, bound = photos("photos"), 0.5 * SIZE / GIB
    with pytest.raises(UserError, match="--cache_gib"):
        on_disk(folder, cache_gib=bound)
    monkeypatch.setattr(store, "memory_budget", lambda: 100)
    dataset = load(DataConfig(str(folder), cache_gib=bound))
    assert not dataset.kept and any("cache_gib" in note for note in dataset.notes)
    assert not image_cache.entries()


def test_what_a_killed_process_left_is_removed_after_a_day(photos, tmp_path):
    for name, age in (("old", 2 * image_cache.ABANDONED_SECONDS), ("new", 60)):
        folder = tmp_path / "cache" / f".{name}-{'0' * 16}.abc123"
        folder.mkdir(parents=True)
        (folder / "train.images.npy").write_bytes(b"x")
        for path in (folder / "train.images.npy", folder):
            os.utime(path, (time.time() - age,) * 2)
    on_disk(photos("photos"))
    assert [path.name[1:4] for path in (tmp_path / "cache").glob(".*")] == ["new"]


def test_the_command_lists_and_empties(photos, capsys):
    assert main(["--cache"]) == 0
    assert "0.0 MiB" in capsys.readouterr().out
    on_disk(photos("photos"))
    forget()
    (entry,) = image_cache.entries()
    for words in (["--cache"], ["--cache=list"], ["--cache", "list"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        assert str(entry.folder) in out and "24" in out and "8x8x3" in out and "--cache_gib" in out
    assert main(["--cache", "clear"]) == 0
    assert "removed 1" in capsys.readouterr().out and not image_cache.entries()
