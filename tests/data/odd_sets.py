"""Odd data sets as people bring them, and what must be read from each: every report of a user adds one.

An odd set is a function that writes files into a folder and returns what must come of them: the images and labels that
are read (`Read`), or the words of the refusal (`Refused`). tests/data/test_odd_sets.py opens them all;
`python tests/data/odd_sets.py [NAME ...]` prints a table of what comes of each.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Read:
    """A set that must be read.

    Attributes:
        dataset: the path.
        splits: split -> (images [N, H, W, C] uint8, the class name of each or None), in any order.
        settings: of DataConfig.
        noted: words that the notes must hold.
        findings: words that the findings must hold; without any there must be no finding.
    """

    dataset: Path
    splits: Mapping[str, tuple[np.ndarray, Sequence[str] | None]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    noted: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A set that must be refused with one message that holds these words."""

    dataset: Path
    words: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


SETS: dict[str, Callable[[Path], Read | Refused]] = {}
"""Name -> a function that writes the files of an odd set into an empty folder."""


def odd(make):
    """Enters an odd set under the name of its function."""
    SETS[make.__name__] = make
    return make


def pictures(count: int, height: int = 8, width: int = 6, channels: int = 1, seed: int = 0) -> np.ndarray:
    """[N, H, W, C] uint8, all different; every picture reaches from 0 to 255, and its halves differ in brightness."""
    values = np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8)
    values[:, : height // 2] //= 4
    values[:, 0, 0], values[:, -1, -1] = 0, 255
    return values


def save(path: Path, image: np.ndarray, **options) -> Path:
    """Writes [H, W, C] as a picture of the format that the suffix names."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path, **options)
    return path


def place(folder: Path, *places: str, count: int = 5) -> dict[str, np.ndarray]:
    """Writes `count` pictures into each folder under `folder`; returns folder -> its images, all different."""
    images = pictures(count * len(places), seed=len(places))
    groups = dict(zip(places, images.reshape(len(places), count, *images.shape[1:]), strict=True))
    for name, group in groups.items():
        for i, image in enumerate(group):
            save(folder / name / f"{i}.png", image)
    return groups


def of_classes(groups: Mapping[str, np.ndarray], classes: Mapping[str, str | None]) -> tuple[np.ndarray, list]:
    """The images of some folders, and the class of each.

    Args:
        groups: what `place` returns.
        classes: folder -> the name of its class.
    """
    images = np.concatenate([groups[folder] for folder in classes])
    return images, [name for folder, name in classes.items() for _ in groups[folder]]


def laid_out(folder: Path, wanted: Mapping[str, Mapping[str, str | None]], *others: str, **expected) -> Read:
    """A folder data set.

    Args:
        wanted: split -> {folder: class of its pictures}.
        others: folders whose pictures must not be read.
        expected: of Read.
    """
    groups = place(folder, *(name for split in wanted.values() for name in split), *others)
    return Read(folder, {split: of_classes(groups, classes) for split, classes in wanted.items()}, **expected)


# Value range ----------------------------------------------------------------------------------------------------------


@odd
def float_images_with_an_overshoot(folder: Path) -> Read:
    images = pictures(20)
    values = images.astype(np.float32) / 255
    values[3, 4, 4] = 1.0000001
    images[3, 4, 4] = 255
    np.savez(folder / "x.npz", images=values)
    return Read(folder / "x.npz", {"train": (images, None)}, noted=("1",))


# Orientation and axes -------------------------------------------------------------------------------------------------

# Class order and names ------------------------------------------------------------------------------------------------


@odd
def class_folders_that_are_numbers(folder: Path) -> Read:
    wanted = {str(number): str(number) for number in range(11)}
    return laid_out(
        folder, {"train": wanted}, noted=("11 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 1 more; splits: none",)
    )


@odd
def class_folders_in_two_cases(folder: Path) -> Read:
    wanted = {"train": {"train/Cat": "Cat", "train/dog": "dog"}, "test": {"test/cat": "cat", "test/dog": "dog"}}
    return laid_out(folder, wanted, findings=("'Cat' and 'cat'", "only in the split train: Cat"))


@odd
def class_folders_with_a_trailing_blank(folder: Path) -> Read:
    return laid_out(folder, {"train": {"cat": "cat", "cat ": "cat ", "n.a.": "n.a."}}, findings=("'cat' and 'cat '",))


@odd
def class_folders_in_two_unicode_forms(folder: Path) -> Read:
    return laid_out(folder, {"train": {"caf\u00e9": "caf\u00e9", "cafe\u0301": "caf\u00e9", "the": "the"}})


@odd
def class_folder_that_is_no_utf8(folder: Path) -> Read:
    return laid_out(folder, {"train": {"caf\udce9": "caf\\xe9", "the": "the"}})


@odd
def a_class_in_one_split_only(folder: Path) -> Read:
    wanted = {"train": {"train/cat": "cat", "train/dog": "dog"}, "test": {"test/cat": "cat"}}
    return laid_out(folder, wanted, findings=("1 class only in the split train: dog",))


# Layouts --------------------------------------------------------------------------------------------------------------


@odd
def a_class_called_train(folder: Path) -> Read:
    wanted = {name: name for name in ("bus", "train", "truck")}
    noted = ("layout: 3 classes: bus, train, truck; splits: none",)
    return laid_out(folder, {"train": wanted}, noted=noted, findings=("train/", "--layout split"))


@odd
def a_class_called_train_in_splits(folder: Path) -> Read:
    wanted = {split: {f"{split}/{name}": name for name in ("bus", "train")} for split in ("train", "test")}
    return laid_out(folder, wanted, noted=("layout: 2 classes: bus, train; splits: train, test",))


@odd
def a_split_train_beside_another_folder(folder: Path) -> Read:
    wanted = {"train": {"train/cat": "cat", "train/dog": "dog"}}
    return laid_out(folder, wanted, "extra", findings=("5 images in extra/", "--layout class"))


@odd
def a_split_train_by_the_layout(folder: Path) -> Read:
    wanted = {"train": {"train": None}}
    return laid_out(folder, wanted, "bus", settings={"layout": "split"}, findings=("5 images in bus/",))


@odd
def splits_in_the_class_folders(folder: Path) -> Read:
    wanted = {split: {f"{name}/{split}": name for name in ("cat", "dog")} for split in ("train", "test")}
    return laid_out(folder, wanted, noted=("layout: 2 classes: cat, dog; splits: train, test",))


@odd
def splits_in_an_images_folder(folder: Path) -> Read:
    wanted = {split: {f"images/{split}/{name}": name for name in ("cat", "dog")} for split in ("train", "test")}
    return laid_out(folder, wanted)


@odd
def splits_with_a_prefix(folder: Path) -> Read:
    """The image set of Intel."""
    wanted = {
        split: {f"seg_{split}/seg_{split}/{name}": name for name in ("sea", "street")} for split in ("train", "test")
    }
    return laid_out(folder, wanted, "seg_pred/seg_pred", findings=("5 images in seg_pred/",))


@odd
def splits_with_a_suffix(folder: Path) -> Read:
    noted = ("splits: train (training_set), test (test-set)",)
    return laid_out(folder, {"train": {"training_set": None}, "test": {"test-set": None}}, noted=noted)


@odd
def splits_train_dev_eval(folder: Path) -> Read:
    wanted = {"train": {"Train": None}, "validation": {"dev": None}, "test": {"eval": None}}
    return laid_out(folder, wanted, noted=("splits: train (Train), validation (dev), test (eval)",))


@odd
def splits_val_and_dev(folder: Path) -> Read:
    wanted = {"train": {"train": None}, "validation": {"val": None}, "test": {"test": None}}
    findings = ("val/ is the split validation", "dev/ is not used", "5 images in dev/")
    return laid_out(folder, wanted, "dev", findings=findings)


@odd
def splits_test_and_eval(folder: Path) -> Read:
    wanted = {"train": {"train": None}, "validation": {"eval": None}, "test": {"test": None}}
    return laid_out(folder, wanted, findings=("eval/ is the split validation",))


@odd
def class_folders_that_only_look_like_splits(folder: Path) -> Read:
    return laid_out(folder, {"train": {name: name for name in ("steam_train", "bus", "test_tube")}})


@odd
def folders_around_the_classes(folder: Path) -> Read:
    return laid_out(folder, {"train": {f"data/flowers/{name}": name for name in ("rose", "tulip")}})


@odd
def a_folder_around_the_classes_of_each_split(folder: Path) -> Read:
    wanted = {split: {f"{split}/flowers/{name}": name for name in ("rose", "tulip")} for split in ("train", "test")}
    return laid_out(folder, wanted)


@odd
def a_folder_around_the_classes_and_one_picture(folder: Path) -> Read:
    wanted = laid_out(folder, {"train": {f"flowers/{name}": name for name in ("rose", "tulip")}})
    save(folder / "preview.png", pictures(1, seed=9)[0])
    return replace(wanted, findings=("1 image without a label", "preview.png"))


@odd
def batches_of_classes(folder: Path) -> Read:
    wanted = {f"batch{number}/{name}": name for number in (1, 2) for name in ("cat", "dog")}
    return laid_out(folder, {"train": wanted}, findings=("cat/, dog/ in batch1/, batch2/", "--layout class"))


@odd
def batches_as_classes_by_the_layout(folder: Path) -> Read:
    wanted = {f"batch{number}/{name}": f"batch{number}" for number in (1, 2) for name in ("cat", "dog")}
    return laid_out(folder, {"train": wanted}, settings={"layout": "class"})


@odd
def domains_of_classes(folder: Path) -> Read:
    """Office-31."""
    wanted = {f"{domain}/images/{name}": name for domain in ("amazon", "dslr") for name in ("bike", "mug")}
    return laid_out(folder, {"train": wanted}, findings=("bike/, mug/ in amazon/, dslr/",))


@odd
def groups_of_classes(folder: Path) -> Read:
    wanted = {"animal/cat": "animal", "animal/dog": "animal", "vehicle/bus": "vehicle", "vehicle/car": "vehicle"}
    return laid_out(folder, {"train": wanted}, findings=("animal/, vehicle/", "--layout folder/class"))


@odd
def groups_of_classes_by_the_layout(folder: Path) -> Read:
    wanted = {"animal/cat": "cat", "animal/dog": "dog", "vehicle/bus": "bus", "vehicle/car": "car"}
    return laid_out(folder, {"train": wanted}, settings={"layout": "folder/class"})


@odd
def a_folder_images_in_each_class(folder: Path) -> Read:
    """Tiny ImageNet, training images only."""
    return laid_out(folder, {"train": {f"train/{name}/images": name for name in ("n01443537", "n01629819")}})


@odd
def a_test_split_without_labels(folder: Path) -> Read:
    wanted = {"train": {"train/cat": "cat", "train/dog": "dog"}}
    return laid_out(folder, wanted, "test", findings=("test: 5 images have no label and are not used",))


@odd
def a_test_split_in_a_folder_unknown(folder: Path) -> Read:
    wanted = {"train": {"train/cat": "cat", "train/dog": "dog"}}
    return laid_out(folder, wanted, "test/unknown", findings=("test: 5 images have no label and are not used",))


@odd
def a_test_split_without_labels_by_the_layout(folder: Path) -> Read:
    wanted = {"train": {"train/cat": None, "train/dog": None}, "test": {"test": None}}
    return laid_out(folder, wanted, settings={"layout": "split"})


@odd
def a_single_class_folder(folder: Path) -> Read:
    return laid_out(folder, {"train": {"cats": None}}, noted=("layout: no classes; splits: none",))


@odd
def pictures_beside_class_folders(folder: Path) -> Read:
    findings = ("5 images without a label",)
    return laid_out(folder, {"train": {"cat": "cat", "dog": "dog"}}, ".", findings=findings)


@odd
def a_class_folder_without_pictures(folder: Path) -> Read:
    (folder / "owl").mkdir()
    return laid_out(folder, {"train": {"cat": "cat", "dog": "dog"}}, findings=("owl",))


@odd
def pictures_and_masks(folder: Path) -> Read:
    wanted = {"train": {"images/cat": "cat", "images/dog": "dog"}}
    return laid_out(folder, wanted, "annotations/trimaps", findings=("5 pictures in annotations/",))


@odd
def a_folder_for_each_picture(folder: Path) -> Read:
    images = pictures(24)
    for i, image in enumerate(images):
        save(folder / f"item {i:02}" / "a.png", image)
    labels = [f"item {i:02}" for i in range(24)]
    return Read(folder, {"train": (images, labels)}, findings=("24 of 24 classes have one image only",))


@odd
def a_layout_without_its_classes(folder: Path) -> Refused:
    place(folder, "train", "test")
    return Refused(folder, ("data.layout", "split/class"), {"layout": "split/class"})


# Labels beside the images ---------------------------------------------------------------------------------------------

# Files that vanish ----------------------------------------------------------------------------------------------------

# Archives -------------------------------------------------------------------------------------------------------------


# What comes of each ---------------------------------------------------------------------------------------------------


def outcome(wanted: Read | Refused) -> str:
    """What `kgen.data.load` makes of an odd set, in words: "right", "refused: ...", or what is wrong."""
    from kgen.config import DataConfig
    from kgen.data import load
    from kgen.errors import UserError

    try:
        dataset = load(DataConfig(str(wanted.dataset), validation_fraction=0, **wanted.settings))
    except UserError as error:
        missing = [word for word in getattr(wanted, "words", ()) if word not in str(error)]
        return f"refused: {error}" if isinstance(wanted, Refused) and not missing else f"WRONG words: {error}"
    if isinstance(wanted, Refused):
        return f"WRONG: read as {dataset.spec}"
    if set(dataset.splits) != set(wanted.splits):
        return f"WRONG splits: {dataset.splits}"
    names = dataset.spec.class_names
    for split, (images, labels) in wanted.splits.items():
        found, numbers = dataset.arrays(split)
        if found.shape != images.shape:
            return f"WRONG shape of {split}: {found.shape}"
        of = [None] * len(numbers) if not names else [names[number] for number in numbers]
        if sorted(x.tobytes() for x in found) != sorted(x.tobytes() for x in images):
            return f"WRONG pixels of {split}: {found.min()} to {found.max()}, mean {found.mean():.1f}"
        right = sorted((x.tobytes(), str(y)) for x, y in zip(images, labels or [None] * len(images), strict=True))
        if sorted((x.tobytes(), str(y)) for x, y in zip(found, of, strict=True)) != right:
            return f"WRONG labels of {split}: classes {names}"
    said = " ".join(dataset.notes)
    findings = getattr(dataset, "findings", ())
    if missing := [word for word in wanted.noted if word not in said]:
        return f"WRONG notes, without {missing}: {said}"
    if missing := [word for word in wanted.findings if word not in " ".join(findings)]:
        return f"WRONG findings, without {missing}: {findings}"
    return "right" if wanted.findings or not findings else f"WRONG findings: {findings}"


def main():
    for name in sys.argv[1:] or SETS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(f"{name}: {outcome(SETS[name](Path(folder)))}", flush=True)
            except Exception as error:
                print(f"{name}: TRACEBACK {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main()
