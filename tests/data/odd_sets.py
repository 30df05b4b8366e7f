"""Odd data sets as people bring them, and what must be read from each: every report of a user adds one.

An odd set is a function that writes files into a folder and returns what must come of them: the images and labels that
are read (`Read`), or the words of the refusal (`Refused`). tests/data/test_odd_sets.py opens them all;
`python tests/data/odd_sets.py [NAME ...]` prints a table of what comes of each.
"""

import gzip
import io
import os
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
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


@odd
def pictures_of_many_suffixes(folder: Path) -> Read:
    suffixes = [
        ".png",
        ".jfif",
        ".ppm",
        ".pgm",
        ".pnm",
        ".bmp",
        ".dib",
        ".tga",
        ".tif",
        ".TIFF",
        ".pcx",
        ".qoi",
        ".sgi",
    ]
    images = np.repeat(pictures(len(suffixes)), 3, 3)
    images[1] = 200  # JPEG is exact for one value
    for suffix, image in zip(suffixes, images, strict=True):
        save(folder / f"x{suffix}", image[..., :1] if suffix == ".pgm" else image)
    return Read(folder, {"train": (images, None)})


@odd
def avif_beside_png(folder: Path) -> Read | Refused:
    from PIL import features

    images = np.repeat(pictures(10), 3, 3)
    for number, image in enumerate(images):
        save(folder / f"{number}.png", image)
    if not features.check("avif"):
        (folder / "x.avif").write_bytes(b"\0\0\0\x1cftypavif")
        return Refused(folder, ("1 .avif", "strict"), {"strict": True})
    flat = np.full((1, 8, 6, 3), 255, np.uint8)
    save(folder / "x.avif", flat[0])
    return Read(folder, {"train": (np.concatenate([images, flat]), None)}, {"strict": True})


def _with_files(folder: Path, files: Mapping[str, bytes]) -> np.ndarray:
    """Ten pictures in a folder, and other files."""
    images = pictures(10)
    for number, image in enumerate(images):
        save(folder / f"{number}.png", image)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return images


PHOTOS = {f"IMG_{number}.HEIC": b"\0\0\0\x18ftypheic" for number in range(30)}


@odd
def heic_beside_png(folder: Path) -> Read:
    images = _with_files(folder, {**PHOTOS, "a.nef": b"x", "clip.mp4": b"x", "more.zip": b"x", "notes.txt": b"x"})
    findings = ("30 .heic", "1 .nef", "1 .mp4", "1 .zip", "JPEG", "more.zip")
    return Read(folder, {"train": (images, None)}, noted=("1 .txt",), findings=findings)


@odd
def heic_beside_png_strict(folder: Path) -> Refused:
    _with_files(folder, PHOTOS)
    return Refused(folder, ("30 .heic", "strict", "IMG_0.HEIC"), {"strict": True})


@odd
def side_files_strict(folder: Path) -> Read:
    side = dict.fromkeys(("a.txt", "b.json", "README.md", "LICENSE", ".gitignore", "Thumbs.db", ".DS_Store"), b"x")
    images = _with_files(folder, {**side, "desktop.ini": b"x", "._1.png": b"x", "@eaDir/1.png/thumb.jpg": b"x"})
    return Read(folder, {"train": (images, None)}, {"strict": True}, ("other files", "1 .json", "1 without a suffix"))


@odd
def only_heic(folder: Path) -> Refused:
    for name, content in PHOTOS.items():
        (folder / name).write_bytes(content)
    return Refused(folder, ("no images", "30 .heic", "JPEG"))


@odd
def heic_named_jpg(folder: Path) -> Read:
    images = _with_files(folder, {"x.jpg": PHOTOS["IMG_0.HEIC"]})
    return Read(folder, {"train": (images, None)}, noted=("x.jpg", "HEIC"))


@odd
def an_empty_file_and_a_web_page(folder: Path) -> Read:
    images = _with_files(folder, {"none.png": b"", "page.jpg": b"<!DOCTYPE html><html>not found</html>"})
    return Read(folder, {"train": (images, None)}, noted=("none.png", "0 bytes", "page.jpg", "web page"))


@odd
def a_picture_that_would_start_another_program(folder: Path) -> Read:
    images = _with_files(folder, {"x.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 8\n%%EndComments\n"})
    return Read(folder, {"train": (images, None)}, noted=("x.png", "not an image"))


@odd
def pictures_without_a_suffix(folder: Path) -> Read:
    images = pictures(12)
    for number, image in enumerate(images):
        name = f"frame.{number:04d}" if number % 2 else str(number)
        save(folder / f"{number}.png", image).rename(folder / name)
    (folder / "LICENSE").write_text("free")
    return Read(folder, {"train": (images, None)}, noted=("12 files without a suffix", "1 without a suffix"))


def _several_pages(path: Path, images: np.ndarray, **options):
    from PIL import Image

    first, *rest = (Image.fromarray(image[..., 0]) for image in images)
    first.save(path, save_all=True, append_images=rest, **options)


@odd
def pages_and_frames(folder: Path) -> Read:
    images = np.repeat(pictures(12), 3, 3)
    _several_pages(folder / "a.tif", images[:4, ..., :1])
    _several_pages(folder / "b.webp", images[4:7, ..., :1], lossless=True)
    _several_pages(folder / "c.png", images[7:9, ..., :1])
    _several_pages(folder / "d.gif", images[9:, ..., :1])
    kept = images[[0, 4, 7, 9]]
    return Read(folder, {"train": (kept, None)}, findings=("4 files", "8 further pages or frames"))


@odd
def the_second_picture_of_a_camera(folder: Path) -> Read:
    from PIL import Image

    flat = np.full((2, 8, 6, 3), 90, np.uint8)
    first, second = (Image.fromarray(image) for image in flat)
    first.save(folder / "a.mpo", save_all=True, append_images=[second])
    (folder / "a.mpo").rename(folder / "a.jpg")
    return Read(folder, {"train": (flat[:1], None)})


@odd
def hidden_pictures_only(folder: Path) -> Refused:
    for number, image in enumerate(pictures(4)):
        save(folder / "set" / ".data" / f"{number}.png", image)
    return Refused(folder / "set", ("4 hidden", ".data/0.png", "--dataset", "set/.data"))


@odd
def a_data_set_in_a_hidden_folder(folder: Path) -> Read:
    images = pictures(4)
    for number, image in enumerate(images):
        save(folder / ".data" / "set" / f"{number}.png", image)
    return Read(folder / ".data" / "set", {"train": (images, None)})


@odd
def a_folder_inside_itself(folder: Path) -> Read:
    images = pictures(8)
    for number, image in enumerate(images):
        save(folder / "set" / f"class{number % 2}" / f"{number}.png", image)
    (folder / "set" / "class0" / "again").symlink_to(folder / "set")
    (folder / "set" / "class1" / "above").symlink_to(folder)
    labels = [f"class{number % 2}" for number in range(8)]
    return Read(folder / "set", {"train": (images, labels)}, findings=("2 links", "class0/again", "class1/above"))


@odd
def links_to_files_and_folders_elsewhere(folder: Path) -> Read:
    images = pictures(8)
    for number, image in enumerate(images[:4]):
        save(folder / "store" / f"{number}.png", image)
        (folder / "set" / "a").mkdir(parents=True, exist_ok=True)
        (folder / "set" / "a" / f"{number}.png").symlink_to(folder / "store" / f"{number}.png")
    for number, image in enumerate(images[4:]):
        save(folder / "more" / f"{number}.png", image)
    (folder / "set" / "b").symlink_to(folder / "more")
    return Read(folder / "set", {"train": (images, ["a"] * 4 + ["b"] * 4)})


@odd
def a_pipe_with_the_name_of_a_picture(folder: Path) -> Read:
    images = _with_files(folder, {})
    os.mkfifo(folder / "pipe.png")
    return Read(folder, {"train": (images, None)}, findings=("pipe.png",))


@odd
def names_that_are_not_utf8(folder: Path) -> Read:
    images = pictures(8)
    for number, image in enumerate(images):
        target = os.fsencode(folder / "set") + (b"/caf\xe9" if number % 2 else b"/bar")
        os.makedirs(target, exist_ok=True)
        os.rename(save(folder / "x.png", image), target + b"/%d.png" % number)
    return Read(folder / "set", {"train": (images, ["caf\\xe9" if number % 2 else "bar" for number in range(8)])})


@odd
def a_zip_of_windows_unpacked_elsewhere(folder: Path) -> Read:
    images = pictures(8)
    for number, image in enumerate(images):
        save(folder / f"class{number % 2}\\{number}.png", image)
    return Read(folder, {"train": (images, [f"class{number % 2}" for number in range(8)])})


@odd
def a_folder_with_a_zip(folder: Path) -> Refused:
    (folder / "photos.zip").write_bytes(b"PK")
    return Refused(folder, ("no images", "1 .zip", "--dataset", "photos.zip"))


@odd
def a_folder_of_tables(folder: Path) -> Refused:
    for name in ("a.parquet", "b.parquet", "README.md"):
        (folder / name).write_bytes(b"x")
    return Refused(folder, ("no images", "2 .parquet", "1 .md"))


@odd
def a_single_picture(folder: Path) -> Refused:
    return Refused(save(folder / "x.png", pictures(1)[0]), ("x.png", "single picture", "folder"))


@odd
def a_table_as_a_data_set(folder: Path) -> Refused:
    (folder / "train.csv").write_text("label,pixel0\n")
    return Refused(folder / "train.csv", ("train.csv", "folder", "--labels"))


@odd
def a_file_of_records(folder: Path) -> Refused:
    (folder / "x.tfrecord").write_bytes(b"x")
    return Refused(folder / "x.tfrecord", (".tfrecord", ".npz"))


# Archives -------------------------------------------------------------------------------------------------------------


def _members(count: int = 8) -> tuple[np.ndarray, list[str], dict[str, bytes]]:
    """Pictures of two classes, and the files of a data set of them: path -> content."""
    images, files = pictures(count), {}
    labels = ["cat" if number % 2 else "dog" for number in range(count)]
    for number, image in enumerate(images):
        file = io.BytesIO()
        from PIL import Image

        Image.fromarray(image[..., 0]).save(file, "PNG")
        files[f"{labels[number]}/{number}.png"] = file.getvalue()
    return images, labels, files


def _zip(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    """A zip with exactly these names, which Python would change."""
    with zipfile.ZipFile(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in files:
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            file.writestr(entry, content)
    return path


def _tar(path: Path, files: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return path


def _is_archive(make):
    """Enters an odd set of names twice, as a zip and as a tar; `make` takes the archive's writer and its path."""
    for suffix, write in ((".zip", _zip), (".tar", _tar)):

        def in_archive(folder: Path, write=write, suffix=suffix) -> Read | Refused:
            return make(write, folder / f"set{suffix}")

        SETS[f"{make.__name__}_in_{suffix[1:]}"] = in_archive
    return make


@_is_archive
def names_with_backslashes(write, path: Path) -> Read:
    images, labels, files = _members()
    entries = [("set\\", b""), *((f"set\\{name}".replace("/", "\\"), content) for name, content in files.items())]
    return Read(write(path, entries[1:] if path.suffix == ".tar" else entries), {"train": (images, labels)})


@_is_archive
def names_from_above(write, path: Path) -> Read:
    images, labels, files = _members()
    entries = [(f"../f/{name}", content) for name, content in files.items()]
    return Read(write(path, entries), {"train": (images, labels)}, noted=("'../'",))


@_is_archive
def absolute_names(write, path: Path) -> Read:
    images, labels, files = _members()
    entries = [(f"/home/me/f/{name}", content) for name, content in files.items()]
    return Read(write(path, entries), {"train": (images, labels)}, noted=("'/'",))


@_is_archive
def names_with_a_drive(write, path: Path) -> Read:
    images, labels, files = _members()
    entries = [("C:\\f\\" + name.replace("/", "\\"), content) for name, content in files.items()]
    return Read(write(path, entries), {"train": (images, labels)}, noted=("'C:/'",))


@_is_archive
def names_with_dots(write, path: Path) -> Read:
    images, labels, files = _members()
    entries = [(f"./f//x/../{name}", content) for name, content in files.items()]
    return Read(write(path, entries), {"train": (images, labels)})


@_is_archive
def names_that_climb_out(write, path: Path) -> Refused:
    files = {**_members()[2], "cat/../../etc/x.png": b"x"}
    return Refused(write(path, files.items()), ("climbs out", "cat/../../etc/x.png"))


@_is_archive
def one_name_that_climbs_out(write, path: Path) -> Refused:
    files = {**_members()[2], "../../etc/x.png": b"x"}
    return Refused(write(path, files.items()), ("climbs out", "../../etc/x.png"))


@_is_archive
def one_absolute_name(write, path: Path) -> Refused:
    files = {**_members()[2], "/etc/x.png": b"x"}
    return Refused(write(path, files.items()), ("climbs out", "/etc/x.png"))


@_is_archive
def a_top_folder_and_what_macos_adds(write, path: Path) -> Read:
    images, labels, files = _members()
    entries = [(f"My photos/{name}", content) for name, content in files.items()]
    entries += [(f"__MACOSX/My photos/{Path(name).parent}/._{Path(name).name}", b"x") for name in files]
    entries += [("My photos/.DS_Store", b"x"), ("My photos/cat/Thumbs.db", b"x")]
    return Read(write(path, entries), {"train": (images, labels)}, {"strict": True})


@_is_archive
def a_hidden_top_folder(write, path: Path) -> Read:
    images, labels, files = _members()
    return Read(write(path, [(f".cache/f/{n}", c) for n, c in files.items()]), {"train": (images, labels)})


@_is_archive
def one_name_twice(write, path: Path) -> Read:
    images, labels, files = _members()
    entries = [("dog/0.png", b"an older one"), *files.items()]
    return Read(write(path, entries), {"train": (images, labels)}, findings=("dog/0.png", "last"))


@_is_archive
def archives_inside(write, path: Path) -> Read:
    images, labels, files = _members()
    entries = [*files.items(), ("more.zip", b"PK"), ("x/even.tar.gz", b"x"), ("a.heic", b"x")]
    findings = ("1 .zip", "1 .gz", "more.zip", "1 .heic")
    return Read(write(path, entries), {"train": (images, labels)}, findings=findings)


@_is_archive
def an_empty_picture(write, path: Path) -> Read:
    images, labels, files = _members()
    return Read(write(path, [*files.items(), ("cat/x.png", b"")]), {"train": (images, labels)}, noted=("cat/x.png",))


@_is_archive
def no_pictures(write, path: Path) -> Refused:
    return Refused(write(path, [("a.heic", b"x"), ("b.csv", b"x")]), ("no images", "1 .heic", "1 .csv"))


@_is_archive
def members_without_a_suffix(write, path: Path) -> Read:
    images, labels, files = _members()
    entries = [(name.removesuffix(".png"), content) for name, content in files.items()]
    return Read(write(path, entries), {"train": (images, labels)}, noted=("8 files without a suffix",))


def _with_name_bytes(path: Path, old: bytes, new: bytes) -> Path:
    """A zip whose names have other bytes, of the same number."""
    path.write_bytes(path.read_bytes().replace(old, new))
    return path


@odd
def names_in_utf8_that_the_zip_does_not_declare(folder: Path) -> Read:
    images, labels, files = _members()
    entries = [(name.replace("cat", "c__t"), content) for name, content in files.items()]
    path = _with_name_bytes(_zip(folder / "x.zip", entries), b"c__t", "cät".encode())
    return Read(path, {"train": (images, [label.replace("cat", "cät") for label in labels])})


@odd
def names_in_another_encoding(folder: Path) -> Read:
    images, labels, files = _members()
    entries = [(name.replace("cat", "c__t"), content) for name, content in files.items()]
    path = _with_name_bytes(_zip(folder / "x.zip", entries), b"c__t", "猫狗".encode("gbk"))
    name = "猫狗".encode("gbk").decode("cp437")
    return Read(path, {"train": (images, [label.replace("cat", name) for label in labels])}, noted=("page 437",))


@odd
def an_encrypted_zip(folder: Path) -> Refused:
    path = _zip(folder / "x.zip", _members()[2].items())
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return Refused(path, ("encrypted", "unpack"))


def _tar_set(suffix: str, mode: str):
    def make(folder: Path) -> Read:
        images, labels, files = _members()
        entries = [("set/labels.txt", b"x"), *((f"set/{name}", content) for name, content in files.items())]
        return Read(_tar(folder / f"set{suffix}", entries, mode), {"train": (images, labels)}, noted=("1 .txt",))

    SETS[f"a_tar_with_the_suffix_{suffix[1:]}"] = make


_MODES = {".tar": "w", ".tar.gz": "w:gz", ".TGZ": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
for _suffix, _mode in _MODES.items():
    _tar_set(_suffix, _mode)


@odd
def a_tar_of_a_folder(folder: Path) -> Read:
    """As `tar cf` writes it: with folders, links, a hard link and a device."""
    images, labels, files = _members()
    with tarfile.open(folder / "x.tar", "w") as file:
        for name, type, target in (
            ("./", tarfile.DIRTYPE, ""), ("./cat", tarfile.DIRTYPE, ""), ("./cat/link.png", tarfile.SYMTYPE, "/etc/x"),
            ("./null.png", tarfile.CHRTYPE, ""),
        ):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = type, target
            file.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
        entry = tarfile.TarInfo("./cat/same.png")
        entry.type, entry.linkname = tarfile.LNKTYPE, "./dog/0.png"
        file.addfile(entry)
    images, labels = np.concatenate([images, images[:1]]), [*labels, "cat"]
    return Read(folder / "x.tar", {"train": (images, labels)}, findings=("2 members", "link.png", "null.png"))


@odd
def a_tar_that_is_cut_off(folder: Path) -> Refused:
    path = _tar(folder / "x.tar", _members()[2].items())
    path.write_bytes(path.read_bytes()[:3000])
    return Refused(path, ("x.tar", "cannot be read"))


@odd
def a_compressed_tar_that_is_cut_off(folder: Path) -> Refused:
    path = _tar(folder / "x.tar.gz", _members()[2].items(), "w:gz")
    path.write_bytes(path.read_bytes()[:-100])
    return Refused(path, ("x.tar.gz", "cannot be unpacked"))


@odd
def two_tars_joined(folder: Path) -> Refused:
    path = _tar(folder / "x.tar", _members()[2].items())
    path.write_bytes(path.read_bytes() * 2)
    return Refused(path, ("x.tar", "goes on after the end"))


@odd
def a_compressed_file_that_is_no_tar(folder: Path) -> Refused:
    (folder / "x.gz").write_bytes(gzip.compress(b"some words"))
    return Refused(folder / "x.gz", ("x.gz", "unpack"))


@odd
def a_tar_named_zip(folder: Path) -> Refused:
    return Refused(_tar(folder / "x.zip", _members()[2].items()), ("x.zip", "cannot be read as a zip"))


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
