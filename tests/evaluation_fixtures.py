"""Fixtures of the evaluation's tests: the digits with their classifier, a small made-up set, and quick recipes."""

import numpy as np
import pytest

from kgen.config import DataConfig


def blobs(count: int, *, side: int = 8, channels: int = 1, classes: int = 2, seed: int = 0):
    """Noise with a brighter quarter whose place is the class: pixels [N, side, side, C] uint8, labels [N] int32."""
    draw = np.random.default_rng(seed)
    labels = (np.arange(count) % classes).astype(np.int32)
    pixels = draw.integers(0, 60, (count, side, side, channels))
    half = side // 2
    for image, label in zip(pixels, labels, strict=True):
        top, left = half * (label // 2 % 2), half * (label % 2)
        image[top : top + half, left : left + half] += 150
    return pixels.astype(np.uint8), labels


@pytest.fixture
def save_set(tmp_path):
    """A function that writes a set as .npz with a training split of its own, and returns a DataConfig of it."""

    def write(name="blobs", count=80, test=40, labelled=True, **options):
        arrays = {}
        for split, number, seed in (("train", count, 1), ("test", test, 2)):
            if number:
                arrays[f"x_{split}"], labels = blobs(number, seed=seed, **options)
                arrays |= {f"y_{split}": labels} if labelled else {}
        path = tmp_path / f"{name}.npz"
        np.savez(path, **arrays)
        return DataConfig(dataset=str(path))

    return write


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache that nothing else has filled; returns its folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KGEN_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def quick_classifier(monkeypatch, own_cache):
    """Classifiers of few steps, which no other test finds in its cache."""
    from kgen.features import classifier

    monkeypatch.setattr(classifier, "EPOCHS", 2)
    monkeypatch.setattr(classifier, "LEAST_STEPS", 40)


@pytest.fixture(scope="session")
def digits():
    """The Reference of the digits: 360 test images, 1437 training images."""
    from kgen.data.reference import load_reference

    return load_reference(DataConfig())


@pytest.fixture(scope="session")
def digits_classifier(digits, make_once):
    """Their classifier, trained once a session (half a minute)."""
    from kgen.features.classifier import open_classifier

    make_once("digits_classifier", lambda folder: open_classifier(digits))  # into the cache
    return open_classifier(digits)


@pytest.fixture(scope="session")
def trained_vae(tmp_path_factory):
    """An unconditional run on the digits, hardly trained."""
    import kgen
    from kgen.config import override

    settings = {
        "model": "vae", "train.epochs": 2, "train.batch_size": 128, "train.jit_compile": False,
        "model_args.hidden": [16], "model_args.latent_dim": 2,
    }  # fmt: skip
    return kgen.train.train(override(kgen.RunConfig(), settings), run_dir=str(tmp_path_factory.mktemp("vae") / "run"))
