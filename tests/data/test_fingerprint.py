import shutil

import numpy as np
import pytest

from kgen.config import DataConfig
from kgen.data import fingerprint as module
from kgen.data import load
from kgen.data.fingerprint import fingerprint


@pytest.fixture
def labels():
    return np.arange(12, dtype=np.int32) % 3


def test_is_blake2_of_shape_pixels_and_labels():
    import hashlib

    # What any other program would compute: the shape as Python writes it, pixels, labels as little-endian int32.
    content = b"(2, 1, 2, 1)" + bytes([1, 2, 3, 4]) + bytes([7, 0, 0, 0, 0, 1, 0, 0])
    expected = hashlib.blake2b(content, digest_size=8).hexdigest()
    assert fingerprint(np.array([1, 2, 3, 4], np.uint8).reshape(2, 1, 2, 1), np.array([7, 256])) == expected


def test_changes_with_any_pixel_label_or_order(noise, labels):
    images = noise(12, 4, 3, 3)
    seen = {fingerprint(images, labels), fingerprint(images[::-1], labels[::-1]), fingerprint(images, labels[::-1])}
    seen |= {fingerprint(images.reshape(12, 3, 4, 3), labels), fingerprint(images[:-1], labels[:-1])}
    for i in range(12):
        changed, relabelled = images.copy(), labels.copy()
        changed[i, i % 4, i % 3, i % 3] ^= 1
        relabelled[i] += 1
        seen |= {fingerprint(changed, labels), fingerprint(images, relabelled)}
    assert len(seen) == 5 + 2 * 12 and all(len(f) == 16 and int(f, 16) >= 0 for f in seen)


def test_is_the_same_in_blocks_in_a_mapped_file_and_for_any_memory_layout(tmp_path, noise, labels, monkeypatch):
    images = noise(12, 4, 3, 3)
    whole = fingerprint(images, labels)
    np.save(tmp_path / "images.npy", images)
    assert fingerprint(np.load(tmp_path / "images.npy", mmap_mode="r"), labels.astype(np.int64)) == whole
    assert fingerprint(np.asfortranarray(images), labels) == whole
    monkeypatch.setattr(module, "BLOCK_BYTES", 5 * 4 * 3 * 3)  # blocks of 5, 5 and 2 images
    assert fingerprint(images, labels) == whole
    rows = np.array([11, 2, 3, 5, 7, 0, 1])
    assert fingerprint(images, labels, rows) == fingerprint(images[rows], labels[rows]) != whole


def test_does_not_depend_on_the_cache_or_on_where_the_files_lie(tmp_path, noise, save):
    for i, pixels in enumerate(noise(20, 6, 5, 3)):
        save(tmp_path / "set" / "ab"[i % 2] / f"{i}.png", pixels)
    shutil.copytree(tmp_path / "set", tmp_path / "elsewhere" / "copy")
    configs = [DataConfig(str(tmp_path / "set"), cache=cache) for cache in ("memory", "disk", "none")]
    configs.append(DataConfig(str(tmp_path / "elsewhere" / "copy")))
    sets = [load(config, seed=3) for config in configs]
    for split in ("train", "validation"):
        assert len({dataset.fingerprint(split) for dataset in sets}) == 1
    assert all(s.fingerprint("train") == fingerprint(*s.arrays("train")) for s in sets)
    assert sets[0].fingerprint("train") != sets[0].fingerprint("validation")


def test_changes_with_binarization():
    prints = [load(DataConfig(binarize=b, limit=8)).fingerprint("test") for b in ("none", "threshold", "sample")]
    assert len(set(prints)) == 3
