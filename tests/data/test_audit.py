import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from kgen.config import DataConfig
from kgen.data import load
from kgen.data.audit.contact_sheet import _printed, contact_sheet, pairs_sheet
from kgen.data.audit.report import audit_dataset, load_for_audit
from kgen.errors import UserError


def smooth(count, seed=0, side=32):
    """Colour pictures that JPEG keeps well: 4x4 random fields, made larger."""
    coarse = np.random.default_rng(seed).integers(0, 200, (count, 4, 4, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((side, side), Image.Resampling.BICUBIC)) for c in coarse])


def jpeg_copy(pixels, quality=75):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.fixture
def planted(tmp_path, save):
    """20 training and 6 test pictures of two classes, with one of every trouble; see `expected` for what it is."""
    pixels = smooth(40)
    for i in range(16):
        save(tmp_path / "set" / "train" / ("cat" if i < 10 else "dog") / f"{i}.png", pixels[i])
    folder = tmp_path / "set" / "train"
    save(folder / "cat" / "copy of 0.png", pixels[0])
    save(folder / "dog" / "copy of 1.png", pixels[1])  # a cat under another label
    save(folder / "dog" / "saved 11.png", jpeg_copy(pixels[11]))
    save(folder / "dog" / "gray all over.png", np.full((32, 32, 3), 90, np.uint8))
    for i in range(20, 23):
        save(tmp_path / "set" / "test" / "cat" / f"{i}.png", pixels[i])
    save(tmp_path / "set" / "test" / "cat" / "leak.png", pixels[3])
    save(tmp_path / "set" / "test" / "cat" / "bright leak.png", pixels[4] + np.uint8(12))
    save(tmp_path / "set" / "test" / "dog" / "24.png", pixels[24])
    broken = save(folder / "cat" / "cut.jpg", pixels[30], quality=95)
    broken.write_bytes(broken.read_bytes()[:-300])
    return tmp_path / "set"


def examined(path, **options):
    dataset = load(DataConfig(str(path), validation_fraction=0, **options))
    return dataset, audit_dataset(dataset)


def test_every_planted_trouble_is_found_and_nothing_else(planted):
    dataset, report = examined(planted)
    train, test = report.splits
    assert (train.name, train.images, test.name, test.images) == ("train", 20, "test", 6)
    assert train.classes == (11, 9) and test.classes == (5, 1) and report.class_names == ("cat", "dog")
    assert (train.copies, test.copies) == (2, 0)  # of 0 and of 1
    assert (train.near, test.near) == (2, 0)  # 11 and its JPEG
    (leak,) = report.leaks
    assert (leak.split, leak.stands_in, leak.exact, leak.near) == ("test", "train", 1, 1)
    assert report.mislabelled == 2 and report.near_pairs == 2 and report.near_pairs_mislabelled == 0
    assert [b.name for b in report.broken] == ["train/cat/cut.jpg"] and "truncated" in report.broken[0].reason
    assert [(o.name, o.split, o.reason) for o in report.outliers] == [
        ("train/dog/gray all over.png", "train", "one colour all over")
    ]
    assert report.sizes == ((32, 32, 26),) and report.image_shape == (32, 32, 3)
    assert train.fingerprint == dataset.fingerprint("train") and test.fingerprint == dataset.fingerprint("test")
    # Other labels first, then other splits, then the closest.
    pairs = [(set(p.names), p.same_pixels) for p in report.pairs]
    assert pairs[0] == ({"train/cat/1.png", "train/dog/copy of 1.png"}, True)
    assert pairs[1] == ({"train/cat/3.png", "test/cat/leak.png"}, True)
    assert pairs[2] == ({"train/cat/4.png", "test/cat/bright leak.png"}, False)
    assert pairs[3] == ({"train/cat/0.png", "train/cat/copy of 0.png"}, True)
    assert pairs[4] == ({"train/dog/11.png", "train/dog/saved 11.png"}, False) and len(pairs) == 5


def test_the_text_names_what_was_found(planted):
    text = "\n".join(examined(planted)[1].lines())
    for words in (
        "training sees 20 colour images of 32x32 (height x width) in 2 classes; 6 for test",
        "test images that stand in train: 1 pixel by pixel and 1 nearly",
        "2 images have the same pixels as another with a different label",
        "2 of the 20 train images are exact copies",
        "2 of the 20 train images are near copies",
        "train/cat/cut.jpg (broken: ",
        "1 image is an outlier, one colour all over: train/dog/gray all over.png",
        "test: test/cat/leak.png",
    ):
        assert words in text


def test_a_class_whose_name_the_font_lacks_has_its_number_on_the_sheet():
    assert [_printed(name, 3) for name in ("Käse", "猫")] == ["Käse", "class 3: 猫"]


def test_the_report_is_json(planted):
    values = json.loads(json.dumps(examined(planted)[1].to_json()))
    assert values["splits"][0]["images"] == 20 and values["leaks"][0]["exact"] == 1 and values["near"] == 0.2


def test_the_order_of_the_images_changes_no_count(tmp_path, noise):
    near = np.clip(noise(5, 9, 8).astype(int) + 1, 0, 254).astype(np.uint8)
    images = np.concatenate([noise(30, 9, 8), noise(10, 9, 8), near, noise(1, 9, 8)])
    labels = np.arange(46) % 3

    def counts(order):
        np.savez(tmp_path / "set.npz", x=images[order], y=labels[order])
        report = examined(tmp_path / "set.npz")[1]
        return (
            report.mislabelled,
            report.near_pairs,
            report.splits[0].copies,
            report.splits[0].near,
            report.splits[0].mean,
        )

    first = counts(np.arange(46))
    # 11 copies: the first ten images once more, the first of them twice. The first 5 of `noise` + 1 are near to them.
    assert first[2] == 11 and first[1] == 5
    for seed in range(3):
        assert counts(np.random.default_rng(seed).permutation(46)) == first


def test_values_by_hand(tmp_path):
    # Pixels 0 0 255 255 in the first channel: mean 0.5, standard deviation 0.5. The others: 51 is 0.2, 102 is 0.4.
    images = np.zeros((2, 1, 2, 3), np.uint8)
    images[1, ..., 0], images[..., 1], images[:, :, 0, 2], images[:, :, 1, 2] = 255, 51, 51, 102
    np.savez(tmp_path / "set.npz", x=images)
    (split,) = examined(tmp_path / "set.npz")[1].splits
    assert split.low == pytest.approx((0, 0.2, 0.2)) and split.high == pytest.approx((1, 0.2, 0.4))
    assert split.mean == pytest.approx((0.5, 0.2, 0.3)) and split.stddev == pytest.approx((0.5, 0, 0.1), abs=1e-7)
    assert not split.black_and_white and split.classes == ()


def test_black_and_white_and_inverted(tmp_path, noise):
    images = np.where(noise(40, 10, 10) > 128, 255, 0).astype(np.uint8)
    images[:, 0] = images[:, -1] = images[:, :, 0] = images[:, :, -1] = 0
    images[7] = 255 - images[7]
    np.savez(tmp_path / "set.npz", x=images)
    report = examined(tmp_path / "set.npz")[1]
    assert report.splits[0].black_and_white
    (outlier,) = report.outliers
    assert outlier.name == "image 7 of train" and "inverted" in outlier.reason


def test_nothing_is_found_in_distinct_random_images(tmp_path, noise):
    np.savez(tmp_path / "set.npz", x_train=noise(200, 8, 8), x_test=noise(50, 8, 8, seed=1))
    report = examined(tmp_path / "set.npz")[1]
    assert not (report.leaks or report.pairs or report.outliers or report.broken or report.mislabelled)
    assert report.lines()[-1] == "findings: none"


def test_classes_that_are_missing_or_not_balanced_are_named(tmp_path, noise):
    labels = np.array([0] * 12 + [1] * 4 + [2] * 4)
    np.savez(
        tmp_path / "set.npz", x_train=noise(20, 8, 8), y_train=labels, x_test=noise(2, 8, 8, seed=1), y_test=[0, 1]
    )
    report = examined(tmp_path / "set.npz")[1]
    text = "\n".join(report.lines())
    assert "'0' has 3.0 times the training images of '1'" in text and "test has no image of 1 class: 2" in text
    assert (
        "images of '1'; kgen-train --class_balance 1 draws all equally often, 0.5 rare ones more often\n" in f"{text}\n"
    )
    by_parts = "\n".join(dataclasses.replace(report, any_order=False).lines())
    assert "0.5 rare ones more often where the images are kept decoded, by --cache memory or --cache disk" in by_parts


def test_sizes_that_differ_are_shown_and_a_size_is_chosen(tmp_path, noise, save):
    for i, (height, width) in enumerate([(40, 50)] * 5 + [(70, 60)] * 3 + [(20, 90), (5, 6)]):
        save(tmp_path / "set" / f"{i}.png", noise(1, height, width, 3, seed=i)[0])
    with pytest.raises(UserError, match="image_size"):
        load(DataConfig(str(tmp_path / "set")))
    # The shorter sides: 5 20 40 40 40 40 40 60 60 60; their median is 40.
    dataset, notes = load_for_audit(DataConfig(str(tmp_path / "set"), validation_fraction=0))
    assert dataset.spec.image_shape == (32, 32, 3) and len(notes) == 1 and "--image_size 32" in notes[0]
    report = audit_dataset(dataset, notes=notes)
    assert report.sizes == ((40, 50, 5), (70, 60, 3), (5, 6, 1), (20, 90, 1)) and notes[0] in report.notes
    assert [(o.name, o.reason) for o in report.outliers] == [
        ("9.png", "tiny: 5x6 (height x width)"),
        ("8.png", "very long: 20x90 (height x width)"),
    ]
    assert load_for_audit(DataConfig(str(tmp_path / "set"), image_size=(9, 9)))[0].spec.image_shape == (9, 9, 3)


def test_another_mistake_is_not_hidden_by_the_search_for_a_size(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        load_for_audit(DataConfig(str(tmp_path / "set")))
    (tmp_path / "set" / "words.png").write_text("no picture")
    with pytest.raises(UserError, match="no image can be read"):
        load_for_audit(DataConfig(str(tmp_path / "set")))


def test_near_is_skipped_when_asked_or_when_there_are_too_many_images(monkeypatch):
    dataset = load(DataConfig(limit=50))
    report = audit_dataset(dataset, near=0)
    assert report.near_pairs is None and report.near == 0 and all(split.near is None for split in report.splits)
    monkeypatch.setattr("kgen.data.audit.report.MAX_IMAGES", 149)
    report = audit_dataset(dataset)  # 50 of each split
    assert report.near_pairs is None and "150 images (more than 149); --near_anyway" in report.notes[-1]
    assert audit_dataset(dataset, anyway=True).near_pairs is not None
    with pytest.raises(UserError, match="near must lie in"):
        audit_dataset(dataset, near=-0.1)


def test_an_incomplete_search_says_at_least(planted, monkeypatch):
    monkeypatch.setattr("kgen.data.audit.duplicates.ROWS", 4)
    monkeypatch.setattr("kgen.data.audit.duplicates.MAX_VALUES", 0)
    report = examined(planted)[1]
    assert not report.complete and report.near_pairs == 0
    assert any("was ended" in line for line in report.lines())


def test_contact_sheet_has_a_row_a_class_of_what_training_sees(tmp_path):
    images = np.repeat(np.array([0, 100, 200], np.uint8), 20)[:, None, None, None] * np.ones((1, 24, 24, 1), np.uint8)
    np.savez(tmp_path / "set.npz", x=images, y=np.repeat([0, 1, 2], 20))
    config = DataConfig(str(tmp_path / "set.npz"), validation_fraction=0)
    sheet = contact_sheet(load(config))
    # Cells of 48 (24 doubled), 4 between them, on white; one letter of 7 pixels between gaps on the left.
    assert sheet.shape == (3 * 52 + 4, 16 * 52 + 7 + 12, 1)
    for row, grey in enumerate((0, 100, 200)):
        assert (sheet[4 + 52 * row : 52 + 52 * row, 15:63] == grey).all()
        assert (sheet[4 + 52 * row : 52 + 52 * row, 15 + 15 * 52 : 63 + 15 * 52] == grey).all()
    binary = contact_sheet(load(DataConfig(str(tmp_path / "set.npz"), validation_fraction=0, binarize="threshold")))
    assert [int(binary[20 + 52 * row, 30, 0]) for row in range(3)] == [0, 0, 255]


def test_pairs_stand_side_by_side(planted):
    dataset, report = examined(planted)
    sheet = pairs_sheet(dataset, report)
    # 32 pixels are shown once or twice (48 / 32 = 1.5, to the even 2): cells of 64; the first pair has the same pixels.
    np.testing.assert_array_equal(sheet[4:68, 4:68], sheet[4:68, 72:136])
    pixels = smooth(40)[1].repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(sheet[4:68, 4:68], pixels)
    assert pairs_sheet(load(DataConfig(limit=5)), audit_dataset(load(DataConfig(limit=5)))) is None


def test_digits_are_clean():
    report = audit_dataset(load(DataConfig()))
    assert not report.leaks and not report.broken and not report.outliers and not report.mislabelled
    assert [split.copies for split in report.splits] == [0, 0, 0] and report.near_pairs == 1
