import io
import shutil
import warnings
import zipfile

import numpy as np
import PIL.Image
import pytest
from check_dataset import check_dataset

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.sources.files import FolderFiles
from kgen.data.sources.folder import open_folder
from kgen.errors import UserError


@pytest.fixture
def photos(tmp_path, noise, save):
    """A folder of 40 RGB pictures in two classes."""
    for i, pixels in enumerate(noise(40, 9, 8, 3)):
        save(tmp_path / "Photos" / ("cats" if i % 2 else "dogs") / f"{i}.png", pixels)
    return tmp_path / "Photos"


def names_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def test_a_picture_that_is_removed_while_the_folder_is_listed_is_left_out(photos, monkeypatch):
    listed = FolderFiles._list

    def list_then_remove(files, entries, top=""):
        listed(files, entries, top)
        (photos / "cats" / "1.png").unlink()

    monkeypatch.setattr(FolderFiles, "_list", list_then_remove)
    dataset = load(DataConfig(str(photos), validation_fraction=0))
    assert dataset.spec.examples == {"train": 39} and dataset.skipped[0].name == "cats/1.png"


@pytest.mark.slow
def test_folder_conforms(photos):
    dataset = load(DataConfig(str(photos)))
    check_dataset(dataset, forget=lambda: shutil.rmtree(photos))
    assert dataset.spec.name == "photos" and dataset.spec.image_shape == (9, 8, 3)
    assert dataset.spec.class_names == ("cats", "dogs") and dataset.spec.examples == {"train": 36, "validation": 4}


def test_pixels_and_labels_are_those_of_the_files(photos, noise):
    pixels, labels = load(DataConfig(str(photos), validation_fraction=0)).arrays("train")
    where = {image.tobytes(): i for i, image in enumerate(noise(40, 9, 8, 3))}
    numbers = [where[image.tobytes()] for image in pixels]
    assert sorted(numbers) == list(range(40))
    assert labels.tolist() == [0 if i % 2 else 1 for i in numbers]  # cats have odd numbers
    assert len(set(labels[:8].tolist())) == 2  # the first images show every class


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_threads_that_take_many_at_once_keep_the_order_and_leave_out_the_broken_one(photos, noise, monkeypatch, cache):
    from kgen.data.sources import pictures

    monkeypatch.setattr(pictures, "IMAGES_PER_TASK", 3)
    (photos / "cats" / "7.png").write_bytes(b"broken")
    dataset = load(DataConfig(str(photos), validation_fraction=0, cache=cache))
    where = {image.tobytes(): i for i, image in enumerate(noise(40, 9, 8, 3))}
    pixels, labels = dataset.arrays("train")
    numbers = [where[image.tobytes()] for image in pixels]
    assert sorted(numbers) == [i for i in range(40) if i != 7]
    assert labels.tolist() == [0 if i % 2 else 1 for i in numbers]
    assert [skipped.name for skipped in dataset.skipped] == ["cats/7.png"]


@pytest.mark.slow
@pytest.mark.parametrize("top", ["", "wrapped/"])
def test_zip_conforms(tmp_path, photos, top):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in names_of(photos):
            file.write(photos / name, top + name)
            file.writestr(f"__MACOSX/{top}{name}", b"resource fork")
        file.writestr(f"{top}labels.csv", "a,b")
        file.writestr(f"{top}.hidden.png", b"hidden")
    dataset = load(DataConfig(str(path)))
    check_dataset(dataset, forget=path.unlink)
    assert dataset.spec.class_names == ("cats", "dogs") and dataset.spec.examples == {"train": 36, "validation": 4}
    assert not dataset.skipped


@pytest.mark.parametrize(("validation", "test"), [("val", "testing"), ("valid", "test"), ("Validation", "TEST")])
def test_split_folders(tmp_path, noise, save, validation, test):
    for i, pixels in enumerate(noise(30, 5, 5, 1)):
        split = "train" if i < 20 else validation if i < 25 else test
        save(tmp_path / "set" / split / f"class {i % 3}" / f"{i}.BMP", pixels)
    dataset = load(DataConfig(str(tmp_path / "set")))
    assert dataset.spec.examples == {"train": 20, "validation": 5, "test": 5} and dataset.spec.num_classes == 3
    assert [set(dataset.arrays(split)[1].tolist()) for split in dataset.splits] == [{0, 1, 2}] * 3
    assert dataset.spec.image_shape == (5, 5, 1)


def test_validation_comes_from_train_and_never_from_test(tmp_path, noise, save):
    for i, pixels in enumerate(noise(30, 5, 5, 1)):
        save(tmp_path / "set" / ("train" if i < 20 else "test") / f"{i}.png", pixels)
    dataset = load(DataConfig(str(tmp_path / "set"), validation_fraction=0.25))
    assert dataset.spec.examples == {"train": 15, "validation": 5, "test": 10} and dataset.spec.num_classes == 0
    first = {image.tobytes() for image in noise(30, 5, 5, 1)[:20]}
    assert all(image.tobytes() in first for image in dataset.arrays("validation")[0])


def test_broken_files_are_left_out_counted_and_named(photos, noise, save):
    jpeg = save(photos / "cats" / "cut.jpg", noise(1, 9, 8, 3)[0], quality=95)
    jpeg.write_bytes(jpeg.read_bytes()[:-150])
    (photos / "dogs" / "words.png").write_text("I am no picture")
    (photos / "dogs" / "empty.jpeg").touch()
    for cache in ("memory", "disk", "disk", "none"):  # the second "disk" reads what the first one wrote
        dataset = load(DataConfig(str(photos), cache=cache))
        reasons = {s.name: s.reason for s in dataset.skipped}
        assert set(reasons) == {"cats/cut.jpg", "dogs/words.png", "dogs/empty.jpeg"}
        assert reasons["dogs/words.png"] == "not an image" and "truncated" in reasons["cats/cut.jpg"]
        assert sum(dataset.spec.examples.values()) == 40
        (note,) = [note for note in dataset.notes if "left out" in note]
        assert note.startswith("3 of 43 files") and all(name in note for name in reasons)
        with pytest.raises(UserError, match="strict") as error:
            load(DataConfig(str(photos), strict=True, cache=cache))
        assert "words.png" in str(error.value)


def test_different_sizes(photos, noise, save):
    save(photos / "cats" / "big.png", noise(1, 20, 30, 3)[0])
    with pytest.raises(UserError) as error:
        load(DataConfig(str(photos)))
    assert all(words in str(error.value) for words in ("9x8 (40)", "20x30 (1)", "--image_size"))
    dataset = load(DataConfig(str(photos), image_size=(6, 6)))
    assert dataset.spec.image_shape == (6, 6, 3) and sum(dataset.spec.examples.values()) == 41


def test_no_images(tmp_path):
    (tmp_path / "labels.csv").touch()
    for path in (tmp_path, tmp_path / "a.zip"):
        if path.suffix:
            with zipfile.ZipFile(path, "w") as file:
                file.writestr("a.txt", "")
        with pytest.raises(UserError, match="holds no images") as error:
            load(DataConfig(str(path)))
        assert ".webp" in str(error.value)


def test_nothing_but_broken_files(tmp_path):
    (tmp_path / "a.png").write_text("words")
    with pytest.raises(UserError, match=r"no image can be read.*a\.png \(not an image\)"):
        load(DataConfig(str(tmp_path)))


def test_a_zip_gives_each_name_its_own_pixels(tmp_path, noise):
    """Stored and deflated, a name that Python shortens, one name twice (the last counts, as for `unzip`)."""
    images, path = noise(5, 9, 8, 3), tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, pixels, how in zip(
            ("b.png", "a/ü.png", "0.png\0.txt", "c.png", "c.png"), images, (0, 8, 0, 8, 0), strict=True
        ):
            stream = io.BytesIO()
            PIL.Image.fromarray(pixels).save(stream, "PNG")
            entry = zipfile.ZipInfo(name)
            entry.filename = name  # it was cut at the NUL
            file.writestr(entry, stream.getvalue(), how)
    source = open_folder(path)
    assert source.counts == {"train": 4}
    source.scan({"train": np.arange(4)})
    found = {source.name_of("train", index): source._read("train", index)[0] for index in range(4)}
    expected = {"b.png": images[0], "a/ü.png": images[1], "0.png": images[2], "c.png": images[4]}
    assert {*found} == {*expected} and all(np.array_equal(found[name], expected[name]) for name in found)


def test_an_entry_that_lies_nowhere_is_left_out(tmp_path, noise, save):
    save(tmp_path / "a.png", noise(1, 9, 8, 3)[0])
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        file.write(tmp_path / "a.png", "a.png")
        file.write(tmp_path / "a.png", "b.png")
        file.infolist()[1].header_offset = 2**64 - 2  # goes to the directory as a 64-bit number
    dataset = load(DataConfig(str(tmp_path / "set.zip"), validation_fraction=0))
    assert dataset.spec.examples == {"train": 1} and [skipped.name for skipped in dataset.skipped] == ["b.png"]


def test_no_zip_file(tmp_path):
    (tmp_path / "a.zip").write_text("no zip")
    with pytest.raises(UserError, match="cannot be read as a zip file"):
        load(DataConfig(str(tmp_path / "a.zip")))


def test_only_a_test_folder(tmp_path, noise, save):
    save(tmp_path / "set" / "test" / "a.png", noise(1)[0])
    with pytest.raises(UserError, match="no training images"):
        load(DataConfig(str(tmp_path / "set")))


def test_images_beside_class_folders_have_no_label(photos, noise, save):
    save(photos / "stray.png", noise(1, 9, 8, 3)[0])
    dataset = load(DataConfig(str(photos)))
    assert [(s.name, "no label" in s.reason) for s in dataset.skipped] == [("stray.png", True)]
    assert sum(dataset.spec.examples.values()) == 40


def test_one_folder_is_no_class(tmp_path, noise, save):
    for i, pixels in enumerate(noise(4)):
        save(tmp_path / "set" / "train" / "images" / f"{i}.png", pixels)
    assert load(DataConfig(str(tmp_path / "set"))).spec.num_classes == 0


@pytest.mark.slow
def test_a_limit_is_a_seeded_choice_made_before_decoding(photos):
    (photos / "cats" / "broken.png").write_text("words")
    # 5 + 4 of 41 files are opened, so few seeds meet the broken one; were all decoded, every seed would.
    one, two = (load(DataConfig(str(photos), limit=5), seed=seed) for seed in (1, 2))
    assert sum(len(load(DataConfig(str(photos), limit=5), seed=seed).skipped) == 0 for seed in range(4)) >= 1
    assert max(one.spec.examples.values()) <= 5
    assert not np.array_equal(one.arrays("train")[0], two.arrays("train")[0])
    check_dataset(one)


def test_a_set_of_one_image_still_trains(tmp_path, noise, save):
    save(tmp_path / "set" / "a.png", noise(1)[0])
    dataset = load(DataConfig(str(tmp_path / "set"), validation_fraction=0.5))
    assert dataset.spec.examples == {"train": 1}
    assert any("neither a validation nor a test split" in note for note in dataset.notes)
    check_dataset(dataset)
