import time

import pytest

from kgen.config import DataConfig
from kgen.data import load
from kgen.errors import UserError


@pytest.fixture(autouse=True)
def no_prepared_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("photos/", "does not exist"),
        ("./photos", "does not exist"),
        ("/no/such/folder", "does not exist"),
        ("some/photos", "does not exist"),
        ("photos.zip", "does not exist"),
        ("faces.MAT", "does not exist"),
        ("photos.tar.gz", "does not exist"),
        ("digit", "did you mean 'digits'"),
        ("mnits", "did you mean 'mnist'"),
        ("tfds:fashion_mnits", "did you mean 'fashion_mnist'"),
        ("imagenette/no-such", "160px-v2"),
        ("tfds:glue", "no image feature"),
        (" ", "--dataset takes"),
    ],
)
def test_names_that_lead_nowhere(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    with pytest.raises(UserError) as error:
        load(DataConfig(name))
    assert words in str(error.value) and name.strip().removeprefix("tfds:") in str(error.value)
    assert time.monotonic() - start < 10


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "data.csv").touch()
    with pytest.raises(
        UserError, match=r"\.csv.*--labels.*a folder of images or shards, a \.zip or \.tar.*\.mat, \.npz"
    ):
        load(DataConfig(str(tmp_path / "data.csv")))


def test_home_and_existing_paths(tmp_path, monkeypatch, noise, save):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "mnist" / "a.png", noise(1)[0])  # an existing path goes before the TFDS set of this name
    assert load(DataConfig("~/mnist")).spec.examples == {"train": 1}
    assert load(DataConfig("mnist")).spec.examples == {"train": 1}


@pytest.mark.parametrize("setting", [{"mat_key": "X"}, {"mat_orientation": "rows"}, {"mat_image_shape": (8, 8)}])
@pytest.mark.parametrize("name", ["photos", "digits"])
def test_a_setting_of_arrays_is_refused_for_other_sets(setting, name, tmp_path, monkeypatch, noise, save):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photos" / "a.png", noise(1)[0])
    with pytest.raises(UserError, match=f"data.{next(iter(setting))}=.*'{name}'"):
        load(DataConfig(name, **setting))
