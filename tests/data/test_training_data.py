"""The images of a training after they were moved: found, or asked for, and never taken for others."""

import shutil

import numpy as np
import pytest
from evaluation_fixtures import blobs

import kgen
from kgen.config import DataConfig
from kgen.data.training_data import Content, TrainingData, places_of
from kgen.errors import UserError


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder project/ with imgs/ and a run folder, which is the current folder."""
    folder = tmp_path / "project"
    kgen.images.save_pngs(folder / "imgs", blobs(30)[0], [f"{i:02d}" for i in range(30)])
    (folder / "runs" / "x").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def trained(project, **options):
    config = DataConfig(dataset="imgs", **options)
    run = project / "runs" / "x"
    content = Content.of(kgen.data.load(config, seed=3))
    return TrainingData("run x", config, 3, content, places_of(config, run), run)


def at(found, project):
    return TrainingData(found.owner, found.config, found.seed, found.content, found.places, project / "runs" / "x")


def test_a_relative_path_is_that_of_the_training(project, tmp_path, monkeypatch):
    found = trained(project)
    assert found.located == found.config and not found.missing
    monkeypatch.chdir(tmp_path)
    assert found.located.dataset == str(project / "imgs") and not found.missing
    (tmp_path / "imgs").mkdir()  # another folder of that name
    assert found.located.dataset == str(project / "imgs")


def test_a_project_that_was_moved_as_a_whole(project, tmp_path, monkeypatch):
    found = trained(project)
    monkeypatch.chdir(tmp_path)
    moved = shutil.move(project, tmp_path / "elsewhere")
    assert at(found, moved).located.dataset == str(moved / "imgs")
    monkeypatch.chdir(moved)
    assert at(found, moved).located.dataset == "imgs"
    assert not at(found, moved).content.difference(Content.of(at(found, moved).load()))


def test_data_that_were_moved_are_asked_for(project):
    found = trained(project)
    (project / "imgs").rename(project / "pics")
    place = project / "imgs"
    assert found.missing == f"the data set of run x, {place}, is not there any more; if it was moved: --dataset NEWPATH"
    with pytest.raises(UserError, match="not there any more"):
        found.load()
    assert found.difference_at("pics") == "" and found.moved("pics").dataset == "pics"
    unrecorded = TrainingData("run x", found.config, 3, found.content)
    assert "imgs, is not there any more" in unrecorded.missing  # not: unknown dataset, did you mean 'higgs'
    assert not TrainingData("run x", DataConfig(), 3).missing


@pytest.mark.parametrize("cache", ["auto", "none"])
def test_other_images_are_not_taken_for_them(project, cache):
    found = trained(project, cache=cache)
    assert bool(found.content.hashes) == (cache == "auto")
    others = project / "others"
    shutil.copytree(project / "imgs", others)
    assert found.difference_at("others") == ""
    if cache == "auto":
        kgen.images.save_pngs(others, blobs(1, seed=9)[0], ["07"])
        now = Content.of(kgen.data.load(found.moved("others"), seed=3))
        split = next(split for split, was in found.content.hashes.items() if was != now.hashes[split])
        assert found.content.hashes[split] in found.difference_at("others")
        assert now.hashes[split] in found.difference_at("others")
    else:
        (others / "07.png").rename(others / "97.png")
        assert "digest of the names" in found.difference_at("others")
        assert "numbers and names" in found.content.compared(found.content)
    (others / "08.png").unlink()
    assert "29 images, and 30 were trained on" in found.difference_at("others")
    with pytest.raises(UserError, match=r"'others' does not hold the images of run x"):
        TrainingData("run x", found.moved("others"), 3, found.content).load()


def test_a_file_of_labels_that_was_moved(project, tmp_path, monkeypatch):
    (project / "l.csv").write_text("file,label\n")
    config = DataConfig(dataset="imgs", labels="l.csv")
    found = TrainingData("run x", config, 0, Content(), places_of(config, project), project)
    monkeypatch.chdir(tmp_path)
    assert found.located.labels == str(project / "l.csv") and not found.missing
    (project / "l.csv").unlink()
    assert "the labels of run x" in found.missing and "--labels NEWPATH" in found.missing


def test_names_of_data_sets_are_no_places(project):
    assert places_of(DataConfig(), project) == {}
    assert places_of(DataConfig(dataset="mnist"), project) == {}
    (project / "digits").mkdir()
    assert places_of(DataConfig(dataset="digits"), project) == {}  # the embedded digits, as --dataset takes it


def test_what_two_descriptions_have_in_common_is_compared():
    was = Content({"train": 5}, {"train": "aa"}, {"train": "bb"})
    assert not was.difference(Content({"train": 5}, {"train": "aa"}, {"train": "other names"}))
    assert "bb" in was.difference(Content({"train": 5}, {}, {"train": "cc"}))
    assert not Content({"train": 5}).difference(was)
    assert "4 train images can be read, and 5" in was.difference(Content({"train": 4}))
    assert np.all([len(was.compared(one)) > 0 for one in (was, Content())])
