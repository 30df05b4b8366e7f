"""kgen-data as typed, and the flags of data that commands share."""

import json

import numpy as np
import pytest
from PIL import Image

from kgen.cli import data, flags, train
from kgen.cli.command import Command
from kgen.config import DataConfig
from kgen.options import options_of


def test_it_prints_and_draws(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert data.main(["digits", "--limit", "60"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("digits: training sees 60 gray images of 28x28") and "stored as 8x8" in said
    report = json.loads((tmp_path / "data-digits" / "report.json").read_text())
    assert [split["images"] for split in report["splits"]] == [60, 60, 60]
    assert all(split["fingerprint"] in said for split in report["splits"])
    sheet = np.asarray(Image.open(tmp_path / "data-digits" / "contact-sheet.png"))
    assert sheet.ndim == 2 and sheet.shape[0] == 10 * (56 + 4) + 4  # a row per class; 28 pixels doubled
    assert not (tmp_path / "data-digits" / "duplicates.png").exists()


def test_a_folder_of_different_sizes_with_a_broken_file_is_examined(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (12, 30, 40, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels[: 20 + i]).save(tmp_path / "photos" / f"{i}.png")
    Image.fromarray(noise[3][:23]).save(tmp_path / "photos" / "again.png")
    (tmp_path / "photos" / "broken.png").write_text("no picture")
    out = tmp_path / "looked"
    assert data.main([str(tmp_path / "photos"), "--out", str(out), "--validation_fraction", "0"]) == 0
    said = capsys.readouterr().out
    assert "--image_size 16" in said and "broken.png (not an image)" in said  # the median of the heights is 25
    assert "1 of the 13 train images is an exact copy" in said
    assert Image.open(out / "duplicates.png").size[0] > 100
    (tmp_path / "photos" / "again.png").unlink()
    assert data.main([str(tmp_path / "photos"), "--out", str(out)]) == 0
    assert not (out / "duplicates.png").exists()  # that of the first look is not left behind


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-folder/"], "does not exist"),
        ([], "takes [shard] DATASET"),
        (["digits", "--near", "7"], "near must lie in"),
        (["digits", "--image_size", "big"], "--image_size takes pixels"),
        (["digits", "--dataset", "mnist"], "unknown flag --dataset"),
    ],
)
def test_mistakes_are_one_message(capsys, arguments, words):
    assert data.main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and said.startswith("kgen-data: ") and "\n" not in said


def test_the_flags_are_those_of_training():
    of_training, of_looking = train.command(), data.command()
    assert set(of_training.groups["Data"]) - {"dataset"} == set(of_looking.groups["Data"]) - {"seed"}
    shared = {option.flag for option in options_of(DataConfig).values()} - {"dataset"}
    assert all(of_training.texts[name] == of_looking.texts[name] for name in shared)


def test_flags_become_the_configuration():
    cmd = Command("kgen-x", "tries the flags.", ())
    flags.define_data(cmd)
    cmd.parse(["--image_size", "48x64", "--grayscale", "--mat_image_shape", "8x8x3", "--limit", "5"])
    assert flags.data_settings(cmd) == {
        "data.image_size": [48, 64],
        "data.grayscale": True,
        "data.mat_image_shape": [8, 8, 3],
        "data.limit": 5,
    }
    base = DataConfig("photos/", fit="pad", limit=7)
    expected = DataConfig("photos/", (48, 64), "pad", True, limit=5, mat_image_shape=(8, 8, 3))
    assert flags.data_config(cmd, base) == expected
