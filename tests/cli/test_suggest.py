"""The last line of kgen-data is a kgen-train command that fits the set."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shard_files import write_parquet

from kgen.cli import data, suggest, train
from kgen.data import load, store
from kgen.errors import UserError


def last_line(capsys, *argv):
    """What kgen-data proposes, as the words after "kgen-train", which must be a valid command line."""
    assert data.main([*argv, "--out", "out", "--near", "0"]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words[:2] == ["next:", "kgen-train"]
    cmd = train.command()
    cmd.parse(words[2:])
    config = train.config_of(cmd)
    assert config.data.dataset == argv[0]
    return config


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def noise(count, height, width, channels):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), np.uint8)


@pytest.mark.parametrize(
    ("shape", "classes", "model"),
    [
        ((60, 9, 8, 1), 2, "cvae"),
        ((60, 9, 8, 1), 0, "vae"),
        ((60, 9, 8, 1), 20, "vae"),  # three images of each class are too few to condition on
        ((60, 9, 8, 3), 3, "conv_cvae"),
        ((60, 40, 33, 1), 0, "conv_vae"),
    ],
)
def test_the_model_goes_by_size_colour_and_labels(capsys, shape, classes, model):
    labels = {"labels": np.arange(len(noise(*shape))) % classes} if classes else {}
    np.savez("set.npz", images=noise(*shape), **labels)
    config = last_line(capsys, "set.npz")
    assert config.model == model and config.data.image_size is None and not config.data.grayscale


def test_many_images_get_an_adversarial_model(capsys, monkeypatch):
    monkeypatch.setattr(suggest, "ENOUGH_FOR_A_GAN", 50)
    monkeypatch.setattr(suggest, "ENOUGH_WITH_LABELS", 50)
    for labels, model in (({"labels": np.arange(60) % 3}, "cdcgan"), ({}, "dcgan")):
        np.savez("set.npz", images=noise(60, 9, 8, 3), **labels)
        config = last_line(capsys, "set.npz")
        assert (config.model, config.recipe) == (model, "own-pictures")
        assert config.data.image_size == (9, 8)  # and not the recipe's
        assert bool(config.model_args.get("projection")) == (model == "cdcgan")


@pytest.mark.parametrize("flags", [[], ["--cache", "none"]])
def test_very_unequal_classes_are_drawn_equally_often(capsys, monkeypatch, flags):
    """55 of one class and 11 of the other, where five times is the bound; with 12 it is not reached."""
    monkeypatch.setattr(suggest, "UNEQUAL_CLASSES", 5)
    for rare, expected in ((11, 1.0), (12, 0.0)):
        labels = np.repeat([0, 1], [55, rare])
        np.savez("set.npz", images=noise(len(labels), 9, 8, 1), labels=labels)
        config = last_line(capsys, "set.npz", "--validation_fraction", "0", *flags)
        assert config.model == "cvae" and config.train.class_balance == expected


@pytest.mark.parametrize("flags", [["--cache", "memory"], ["--cache", "none"], ["--cache_gib", "1e-9"]])
def test_nothing_is_proposed_that_the_training_refuses(capsys, monkeypatch, flags):
    """Groups of rows are read part by part unless the images are kept, also where "auto" finds no room for them."""
    monkeypatch.setattr(suggest, "UNEQUAL_CLASSES", 5)
    monkeypatch.setattr(store, "memory_budget", lambda: 0)
    labels = np.repeat([0, 1], [55, 11]).tolist()
    write_parquet(
        Path("groups/train-00000-of-00001.parquet"), list(zip(noise(66, 9, 8, 1)[..., 0], labels, strict=True))
    )
    config = last_line(capsys, "groups", "--validation_fraction", "0", *flags)
    report = json.loads(Path("out/report.json").read_text(encoding="utf-8"))
    assert report["any_order"] == bool(config.train.class_balance) == (flags[1] == "memory")
    dataset = load(config.data)
    assert config.model == "cvae" and dataset.training_order(config.train.class_balance)
    if not report["any_order"]:
        with pytest.raises(UserError, match=r"train.class_balance=1 draws images in any order"):
            dataset.training_order(1.0)


def test_pictures_of_different_sizes_get_one(capsys, tmp_path):
    (tmp_path / "my photos").mkdir()
    for i, pixels in enumerate(noise(20, 40, 50, 3)):
        Image.fromarray(pixels[: 33 + i % 4]).save(tmp_path / "my photos" / f"{i}.png")
    assert last_line(capsys, "my photos").data.image_size == (32, 32)


def test_large_pictures_get_a_size_to_begin_with(capsys):
    np.savez("set.npz", images=noise(20, 100, 80, 3))
    assert last_line(capsys, "set.npz").data.image_size == (64, 51)
    assert last_line(capsys, "set.npz", "--image_size", "96").data.image_size == (96, 96)


def test_gray_pictures_in_colour_get_one_channel(capsys):
    np.savez("set.npz", images=noise(40, 9, 8, 1).repeat(3, axis=-1))
    config = last_line(capsys, "set.npz")
    assert config.data.grayscale and config.model == "vae"


def test_the_settings_that_were_given_go_on_to_the_training(capsys):
    np.savez("set.npz", images=noise(40, 9, 8, 1))
    flags = ["--value_range", "-5,255", "--seed", "3", "--limit", "30", "--validation_fraction", "0.2", "--strict"]
    config = last_line(capsys, "set.npz", *flags)
    assert (config.data.value_range, config.seed, config.data.limit) == ((-5, 255), 3, 30)
    assert config.data.validation_fraction == 0.2 and config.data.strict
