"""Fixtures of the data tests: a cache of their own, small made-up sets, and the real data where they are."""

import os
from pathlib import Path

import numpy as np
import pytest

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def noise():
    """A function (count, height, width, channels) -> [N, H, W, C] uint8, all different."""

    def make(count, height=8, width=8, channels=1, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8)

    return make


@pytest.fixture
def save():
    """A function (path, pixels [h, w, c]) that writes a picture, with its folders; the suffix names the format."""
    from PIL import Image

    def write(path, pixels, **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path, **options)
        return path

    return write


@pytest.fixture
def real_data():
    """A function name -> path of a real data file; the test is skipped where it is not there."""

    def find(name):
        if not (REAL_DATA / name).exists():
            pytest.skip(f"{name} is not in ../shared/data beside the repository")
        return REAL_DATA / name

    return find


@pytest.fixture
def real_tfds(monkeypatch):
    """The folder of prepared TFDS sets: $TFDS_DATA_DIR or ../shared/data/tfds; else the test is skipped."""
    folder = Path(os.environ.get("TFDS_DATA_DIR") or REAL_DATA / "tfds")
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no prepared MNIST in {folder}; set TFDS_DATA_DIR")
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder.resolve()))
    return folder
