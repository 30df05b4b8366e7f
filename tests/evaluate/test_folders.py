"""Folders of images as what is evaluated and as the reference: whole, and against themselves 0."""

import numpy as np
import pytest
from evaluation_fixtures import blobs

import kgen
from kgen.cli.eval import main
from kgen.config import EvalConfig
from kgen.evaluate import evaluate

QUICK = EvalConfig(metrics=("fid", "kid", "prdc", "swd"), features="random")


def save_folder(folder, count=60, splits=("",), seed=0):
    for number, split in enumerate(splits):
        pixels, _ = blobs(count, seed=seed + number)
        kgen.images.save_pngs(folder / split, pixels, [f"{i:03d}" for i in range(count)])
    return folder


def measured(path, dataset, out, config=QUICK):
    rows, _ = evaluate(path, config, dataset=str(dataset), out=out)
    return {row["metric"]: row for row in rows}


@pytest.mark.parametrize("splits", [("",), ("train", "test"), ("train",)], ids=["plain", "train and test", "train"])
@pytest.mark.parametrize("archive", [False, True], ids=["folder", "npz"])
def test_a_set_against_itself_is_0(tmp_path, splits, archive):
    place = save_folder(tmp_path / "a", splits=splits)
    if archive:
        arrays = {f"x_{split or 'train'}": blobs(60, seed=number)[0] for number, split in enumerate(splits)}
        place = tmp_path / "a.npz"
        np.savez(place, **arrays)
    found = measured(place, place, tmp_path / "out.jsonl")
    assert found["fid"]["value"] == pytest.approx(0, abs=1e-5) and found["kid"]["value"] == 0
    assert found["swd"]["value"] == 0
    assert [found[name]["value"] for name in ("precision", "recall", "density", "coverage")] == [1, 1, 1, 1]
    for row in found.values():
        split = "test" if "test" in splits else "all"
        assert (row["protocol"]["split"], row["protocol"]["num_real"], row["protocol"]["num_fake"]) == (split, 60, 60)
        assert row["target"].get("split") == (split if "test" in splits else None)


def test_the_same_choice_of_a_set_that_is_larger_than_what_is_compared(tmp_path):
    place = save_folder(tmp_path / "a")
    config = EvalConfig(metrics=("kid",), features="random", count=40, num_real=40, seed=3)
    assert measured(place, place, tmp_path / "out.jsonl", config)["kid"]["value"] == 0


def test_every_image_of_a_folder_is_compared_unless_a_split_is_asked_for(tmp_path, capsys):
    fakes, real = save_folder(tmp_path / "fakes", seed=5), save_folder(tmp_path / "real")
    out = ["--out", str(tmp_path / "out.jsonl"), "--metrics", "kid"]
    assert main([str(fakes), "--dataset", str(real), *out]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "60 real and 60 generated" in printed and "the whole set" in printed and "Baseline: none" in printed
    assert main([str(fakes), "--dataset", str(real), "--split", "validation", *out]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "6 real and 60 generated" in printed and "validation split" in printed and "Baseline: none" not in printed
    assert main([str(fakes), "--dataset", str(real), "--split", "test", *out]) == 2
    assert "no split 'test'" in capsys.readouterr().err


def test_the_ratio_and_the_copies_need_images_that_no_training_saw(tmp_path):
    """The others are measured without them, beside no baseline: training images are copies of themselves."""
    fakes, real = save_folder(tmp_path / "fakes", seed=5), save_folder(tmp_path / "real")
    config = EvalConfig(metrics=("memorization",), features="random")
    rows = measured(fakes, real, tmp_path / "out.jsonl", config)
    missing = {name for name, row in rows.items() if row["value"] is None}
    assert missing == {"nearest_ratio", "copies"} and rows["near_copies"]["value"] == 0
    assert all(("--split validation" in row["note"]) == (name in missing) for name, row in rows.items())
    assert {(row["baseline"], row["baseline_count"]) for row in rows.values()} == {(None, None)}
    config = EvalConfig(metrics=("memorization",), features="random", split="validation")
    rows = measured(fakes, real, tmp_path / "out.jsonl", config)
    assert rows["copies"]["value"] == 0
