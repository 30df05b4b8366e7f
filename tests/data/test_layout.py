import pytest

from kgen.config import DataConfig
from kgen.data.sources.layout import find_empty_classes, read_folders, read_layout
from kgen.data.sources.resolve import open_source
from kgen.errors import UserError


def layout_of(*folders, pattern=None, count=3):
    """The layout of `count` pictures in each folder; "" is the top."""
    paths = [f"{folder}/{i}.png".lstrip("/") for folder in folders for i in range(count)]
    return read_layout(paths, pattern)


def labels_of(layout):
    """Split -> {path: class name}."""
    return {
        split: {
            path: layout.class_names[label] if layout.class_names else None
            for path, label in zip(paths, layout.labels[split], strict=True)
        }
        for split, paths in layout.paths.items()
    }


CASES = {
    "flat": ("", "no classes; splits: none"),
    "two classes": ("cat dog", "2 classes: cat, dog; splits: none"),
    "numbers": ("1 10 2", "3 classes: 1, 2, 10; splits: none"),
    "a class called train": ("bus train truck", "3 classes: bus, train, truck; splits: none"),
    "a class called test": ("control test", "2 classes: control, test; splits: none"),
    "a single folder": ("cat", "no classes; splits: none"),
    "a folder around everything": ("a/b/cat a/b/dog", "2 classes: cat, dog; splits: none"),
    "splits": ("train test", "no classes; splits: train, test"),
    "splits with classes": ("train/x train/y val/x val/y", "2 classes: x, y; splits: train, validation (val)"),
    "train alone": ("train/x train/y", "2 classes: x, y; splits: train"),
    "a class train in splits": (
        "train/bus train/train test/bus test/train",
        "2 classes: bus, train; splits: train, test",
    ),
    "splits in classes": ("cat/train cat/test dog/train dog/test", "2 classes: cat, dog; splits: train, test"),
    "splits in images": (
        "images/train/x images/train/y images/val/x",
        "2 classes: x, y; splits: train, validation (val)",
    ),
    "images in splits": ("train/images/x train/images/y test/images/x", "2 classes: x, y; splits: train, test"),
    "a folder in splits": ("train/all/x train/all/y test/all/x", "2 classes: x, y; splits: train, test"),
    "names with a prefix": (
        "seg_train/seg_train/x seg_train/seg_train/y seg_test/seg_test/x seg_test/seg_test/y",
        "2 classes: x, y; splits: train (seg_train), test (seg_test)",
    ),
    "names with a suffix": ("train_images test-set", "no classes; splits: train (train_images), test (test-set)"),
    "GTSRB": (
        "Final_Training/Images/00000 Final_Training/Images/00001 Final_Test/Images/00001",
        "2 classes: 00000, 00001; splits: train (Final_Training), test (Final_Test)",
    ),
    "COCO": ("train2017 val2017", "no classes; splits: train (train2017), validation (val2017)"),
    "no splits by their names": ("steam_train test_tube", "2 classes: steam_train, test_tube; splits: none"),
    "dev": ("Train/x Train/y dev/x dev/y", "2 classes: x, y; splits: train (Train), validation (dev)"),
    "eval": ("train eval", "no classes; splits: train, test (eval)"),
    "test and eval": ("train test eval", "no classes; splits: train, validation (eval), test"),
    "test, val and eval": ("train test val eval", "no classes; splits: train, validation (val), test"),
    "images in classes": ("n01/images n02/images", "2 classes: n01, n02; splits: none"),
    "batches": ("batch1/x batch1/y batch2/x batch2/y", "2 classes: x, y; splits: none"),
    "batches of other classes": ("part_a/x part_a/y part_b/z", "3 classes: x, y, z; splits: none"),
    "domains": (
        "amazon/images/mug amazon/images/bike dslr/images/mug dslr/images/bike",
        "2 classes: bike, mug; splits: none",
    ),
    "numbered inner folders": ("cat/001 cat/002 dog/001 dog/002", "2 classes: cat, dog; splits: none"),
    "groups of classes": ("animal/cat animal/dog vehicle/bus vehicle/car", "2 classes: animal, vehicle; splits: none"),
    "masks": ("images masks", "no classes; splits: none"),
    "a test split without labels": ("train/x train/y test", "2 classes: x, y; splits: train"),
    "a test split of one unknown class": ("train/x train/y test/unknown", "2 classes: x, y; splits: train"),
    "train and another folder": ("train/x train/y extra", "2 classes: x, y; splits: train"),
    "a class train with inner folders": (
        "train/steam train/diesel bus/one bus/two",
        "2 classes: bus, train; splits: none",
    ),
    "MVTec": ("train/good test/good test/broken ground_truth/broken", "2 classes: broken, good; splits: train, test"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_layout_is_understood(name):
    folders, description = CASES[name]
    folders = folders.split() or [""]
    assert layout_of(*folders).description == f"layout: {description}"
    wrapped = layout_of(*(f"set/{folder}".rstrip("/") for folder in folders))
    assert wrapped.description == f"layout: {description}"


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["bus", "train"], ["train/", "--layout split"]),
        (["train/x", "train/y", "extra"], ["train/", "extra/", "--layout class"]),
        (["animal/cat", "animal/dog", "vehicle/bus"], ["animal/, vehicle/", "--layout folder/class"]),
        (["batch1/x", "batch1/y", "batch2/x"], ["x/, y/", "--layout class"]),
        (["train/a1/x", "train/a1/y", "test/a2/x", "test/a2/y"], ["a1/, a2/", "--layout split/folder/class"]),
        (["train", "test", "val", "eval"], ["eval/ is not used"]),
        (["train/x", "train/y", "test"], ["test: 3 images have no label"]),
        (["train/x", "train/y", "test/x"], ["1 class only in the split train: y"]),
        (["train/Cat", "train/dog", "test/cat", "test/dog"], ["'Cat' and 'cat'"]),
        (["cat", "cat ", "dog"], ["'cat' and 'cat '"]),
        (["images", "masks"], ["3 pictures in masks/"]),
        (["train", "test", "test_pred"], ["3 images in test_pred/"]),
        (["train_1", "train_2", "test"], ["train_1, train_2"]),
        (["cat", "dog", ""], ["3 images without a label"]),
        (["train", "test", ""], ["3 images beside the folders of the splits"]),
    ],
)
def test_what_is_doubtful_is_a_finding(folders, words):
    findings = " ".join(layout_of(*folders).findings)
    assert all(word in findings for word in words), findings


@pytest.mark.parametrize(
    "folders",
    [
        [""],
        ["cat", "dog"],
        ["n1/images", "n2/images"],
        ["train/x", "train/y", "val/x", "val/y"],
        ["cat/train", "dog/train"],
    ],
)
def test_what_is_clear_is_no_finding(folders):
    assert layout_of(*folders).findings == ()


@pytest.mark.parametrize(
    ("pattern", "description"),
    [
        ("class", "2 classes: test, train; splits: none"),
        ("split/class", "2 classes: a, b; splits: train, test"),
        ("split", "no classes; splits: train, test"),
        ("folder/class", "2 classes: a, b; splits: none"),
        ("split/folder/class", "2 classes: 1, 2; splits: train, test"),
        ("folder", "no classes; splits: none"),
    ],
)
def test_a_pattern_decides(pattern, description):
    folders = [f"{split}/{name}/{number}" for split in ("train", "test") for name in "ab" for number in "12"]
    assert layout_of(*folders, pattern=pattern).description == f"layout: {description}"


def test_a_pattern_that_finds_no_classes_is_refused():
    with pytest.raises(UserError, match=r"data\.layout.*split/class"):
        layout_of("train", "test", pattern="split/class")


@pytest.mark.parametrize("pattern", ["split//class", "split/split", "class/class", "Split", "/"])
def test_a_pattern_that_cannot_be_one_is_refused(pattern):
    with pytest.raises(UserError, match=rf"data\.layout.*'{pattern}'"):
        DataConfig(layout=pattern)


@pytest.mark.parametrize("setting", ["labels", "layout"])
def test_digits_have_neither_folders_nor_files_of_labels(setting):
    with pytest.raises(UserError, match=rf"data\.{setting}='split'.*digits"):
        open_source(DataConfig(**{setting: "split"}))


def test_labels_are_those_of_the_folders():
    found = labels_of(layout_of("batch1/x", "batch2/x", "batch2/y", count=1))
    assert found == {"train": {"batch1/x/0.png": "x", "batch2/x/0.png": "x", "batch2/y/0.png": "y"}}
    found = labels_of(layout_of("cat/train", "cat/test", "dog/train", count=1))
    assert found == {
        "train": {"cat/train/0.png": "cat", "dog/train/0.png": "dog"},
        "test": {"cat/test/0.png": "cat"},
    }


def test_two_forms_of_one_name_are_one_class():
    assert layout_of("caf\u00e9", "cafe\u0301", "the").class_names == ("caf\u00e9", "the")


def test_a_class_folder_without_pictures_is_found():
    paths = ["train/cat/1.png", "train/dog/old/1.png", "test/cat/1.png"]
    folders = ["train", "train/cat", "train/dog", "train/dog/old", "train/owl", "test", "test/cat", "notes"]
    assert find_empty_classes(read_folders(paths), folders, paths) == ["train/owl"]


@pytest.mark.slow
def test_a_million_paths_are_quick():
    import time

    paths = [f"set/{'train' if i % 5 else 'test'}/class {i % 1000}/{i}.jpg" for i in range(1_000_000)]
    start = time.process_time()
    assert len(read_layout(paths).class_names) == 1000
    assert time.process_time() - start < 20
