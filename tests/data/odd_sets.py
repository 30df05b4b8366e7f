"""Odd data sets as people bring them, and what must be read from each: every report of a user adds one.

An odd set is a function that writes files into a folder and returns what must come of them: the images and labels that
are read (`Read`), or the words of the refusal (`Refused`). tests/data/test_odd_sets.py opens them all;
`python tests/data/odd_sets.py [NAME ...]` prints a table of what comes of each.
"""

import gzip
import io
import json
import os
import struct
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


def archive(folder: Path, **arrays) -> Path:
    """Writes an .npz file."""
    np.savez(folder / "x.npz", **arrays)
    return folder / "x.npz"


@odd
def float_images_with_an_overshoot(folder: Path) -> Read:
    images = pictures(20)
    values = images.astype(np.float32) / 255
    values[3, 4, 4] = 1.0000001
    images[3, 4, 4] = 255
    return Read(archive(folder, images=values), {"train": (images, None)}, noted=("1",))


@odd
def float_images_of_a_bicubic_resize(folder: Path) -> Read:
    images = pictures(20)
    values = images / 255
    values[3, 4, 4], values[5, 1, 1] = 1.1, -0.05
    images[3, 4, 4], images[5, 1, 1] = 255, 0
    path = archive(folder, images=values)
    return Read(path, {"train": (images, None)}, findings=("2 of 960 values", "-0.05", "1.1", "clipped"))


@odd
def splits_of_different_ranges(folder: Path) -> Refused:
    images = pictures(20)
    path = archive(folder, x_train=images / 255.0, x_test=images.astype(np.float64))
    return Refused(path, ("train", "0.0 to 1.0", "test", "0.0 to 255.0", "--value_range"))


@odd
def splits_of_different_types_and_ranges(folder: Path) -> Refused:
    images = pictures(20)
    path = archive(folder, x_train=images, x_test=(images / 255).astype(np.float32))
    return Refused(path, ("train", "uint8", "test", "float32"))


@odd
def splits_of_eight_and_sixteen_bits(folder: Path) -> Refused:
    images = pictures(20)
    path = archive(folder, x_train=images.astype(np.uint16) * 257, x_test=images)
    return Refused(path, ("train", "65535", "test", "255"))


@odd
def a_test_split_that_is_all_black(folder: Path) -> Read:
    images, black = pictures(20), np.zeros((2, 8, 6, 1), np.uint8)
    path = archive(folder, x_train=images / 255, x_test=black / 255)
    return Read(path, {"train": (images, None), "test": (black, None)})


@odd
def one_split_of_images_in_two_ranges(folder: Path) -> Refused:
    values = pictures(40).astype(np.float32)
    values[::4] /= 255
    return Refused(archive(folder, images=values), ("10 of 40 images", "0 to 1", "255"))


@odd
def one_image_of_many_in_another_range(folder: Path) -> Read:
    images = pictures(200)
    values = images.astype(np.float32)
    values[7] /= 255
    images[7] = np.rint(values[7])
    return Read(archive(folder, images=values), {"train": (images, None)}, findings=("1 of 200 images",))


@odd
def twelve_bits_in_uint16(folder: Path) -> Read:
    images = pictures(20)
    levels = images.astype(np.uint16) * 16
    expected = np.rint(levels / 4095 * 255).astype(np.uint8)
    return Read(archive(folder, images=levels), {"train": (expected, None)}, findings=("4095", "--value_range 0,"))


@odd
def twelve_bits_with_the_white_that_they_have(folder: Path) -> Read:
    images = pictures(20)
    path = archive(folder, images=images.astype(np.uint16) * 16)
    return Read(path, {"train": (images, None)}, {"value_range": (0, 4080)})


def _bits(name: str, top: int, dtype, ambiguous: bool):
    @odd
    def make(folder: Path) -> Read:
        images = pictures(20)
        levels = np.rint(images / 255 * top).astype(dtype)
        expected = np.rint(levels.astype(np.float64) / top * 255).astype(np.uint8)
        findings = (f"{top} as white",) if ambiguous else ()
        return Read(archive(folder, images=levels), {"train": (expected, None)}, findings=findings)

    SETS[name] = SETS.pop("make")


_bits("ten_bits_in_uint16", 1023, np.uint16, True)
_bits("fourteen_bits_in_int32", 16383, np.int32, True)
_bits("sixteen_bits_in_big_endian_order", 65535, ">u2", False)
_bits("sixteen_bits_in_int64", 65535, np.int64, False)
_bits("sixteen_bits_in_whole_floats", 65535, np.float32, False)
_bits("twelve_bits_in_whole_floats", 4095, np.float64, True)
_bits("bytes_in_int64", 255, np.int64, False)
_bits("bytes_in_uint64", 255, np.uint64, False)
_bits("bytes_in_big_endian_floats", 255, ">f4", False)


@odd
def signed_floats(folder: Path) -> Read:
    images = pictures(20)
    values = images.astype(np.float32) / 127.5 - 1
    return Read(archive(folder, images=values), {"train": (images, None)}, findings=("-1 is read as black",))


@odd
def signed_floats_with_their_range(folder: Path) -> Read:
    images = pictures(20)
    values = images.astype(np.float32) / 127.5 - 1
    return Read(archive(folder, images=values), {"train": (images, None)}, {"value_range": (-1, 1)})


@odd
def signed_bytes(folder: Path) -> Read:
    images = pictures(20)
    values = (images.astype(np.int16) - 128).astype(np.int8)
    return Read(archive(folder, images=values), {"train": (images, None)}, findings=("-128 is read as black",))


@odd
def spins(folder: Path) -> Read:
    images = np.where(pictures(20) > 100, 255, 0).astype(np.uint8)
    values = np.where(images > 0, 1, -1).astype(np.int8)
    return Read(archive(folder, images=values), {"train": (images, None)}, findings=("-1 is read as black",))


@odd
def centred_floats(folder: Path) -> Refused:
    return Refused(archive(folder, images=pictures(20) / 255 - 0.5), ("-0.5", "0.5", "centred", "--value_range"))


@odd
def standardised_floats(folder: Path) -> Refused:
    values = pictures(20) / 255
    values = (values - values.mean()) / values.std()
    return Refused(archive(folder, images=values), ("standardised", "mean", "x * stddev + mean", "--value_range"))


@odd
def hounsfield_units(folder: Path) -> Refused:
    return Refused(archive(folder, images=pictures(20).astype(np.int16) * 8 - 1024), ("-1024", "1016", "Hounsfield"))


@odd
def hounsfield_units_with_their_range(folder: Path) -> Read:
    images = pictures(20)
    path = archive(folder, images=images.astype(np.int16) * 8 - 1024)
    return Read(path, {"train": (images, None)}, {"value_range": (-1024, 1016)})


@odd
def a_range_that_most_values_leave(folder: Path) -> Refused:
    return Refused(archive(folder, images=pictures(20)), ("value_range", "0,1", "255"), {"value_range": (0, 1)})


@odd
def a_range_that_makes_all_black(folder: Path) -> Refused:
    path = archive(folder, images=pictures(20))
    return Refused(path, ("--value_range 0,255", "black"), {"value_range": (0, 65535)})


@odd
def digits_of_sixteen_levels_in_floats(folder: Path) -> Refused:
    return Refused(archive(folder, images=np.floor(pictures(20) / 15.9)), ("16", "--value_range 0,16"))


@odd
def digits_of_sixteen_levels_with_their_range(folder: Path) -> Read:
    levels = np.floor(pictures(20) / 15.9)
    expected = np.rint(levels / 16 * 255).astype(np.uint8)
    return Read(archive(folder, images=levels), {"train": (expected, None)}, {"value_range": (0, 16)})


@odd
def bytes_of_sixteen_levels(folder: Path) -> Read:
    levels = np.floor(pictures(20) / 15.9).astype(np.uint8)
    path = archive(folder, images=levels)
    return Read(path, {"train": (levels, None)}, findings=("16 of 255", "--value_range 0,16"))


@odd
def centred_bytes(folder: Path) -> Refused:
    values = pictures(20).astype(np.float32)
    return Refused(archive(folder, images=values - values.mean()), ("centred", "--value_range"))


@odd
def decibels(folder: Path) -> Refused:
    path = archive(folder, images=pictures(20) / 4 - 80)
    return Refused(path, ("decibels", "--value_range=-80.0,-16.25"))


@odd
def depths_with_a_mark_of_missing_pixels(folder: Path) -> Read:
    images = pictures(20)
    images[images > 250], values = 250, images.astype(np.uint16) * 20
    values[images > 200] = 65535
    expected = np.rint(values.astype(np.float32) * 255 / 65535).astype(np.uint8)
    path = archive(folder, images=values)
    return Read(path, {"train": (expected, None)}, findings=("are 65535", "at most 4000", "missing pixels"))


@odd
def four_bands_of_a_satellite(folder: Path) -> Read:
    images = pictures(20, channels=4)
    images[..., 3] |= 128
    alpha = images[..., 3:].astype(np.int32)
    over = ((images[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return Read(archive(folder, x=images), {"train": (over, None)}, findings=("last of 4 channels", "x[..., :3]"))


@odd
def fields_of_one_array(folder: Path) -> Refused:
    array = np.zeros(20, [("image", "u1", (8, 6)), ("label", "i4")])
    np.save(folder / "x.npy", array)
    return Refused(folder / "x.npy", ("must hold numbers", "image=array['image'], label=array['label']"))


@odd
def percent_in_floats(folder: Path) -> Read:
    values = (pictures(20) / 2.55).astype(np.float32)
    path = archive(folder, images=values)
    return Read(path, {"train": (np.rint(values).astype(np.uint8), None)}, findings=("100", "--value_range 0,100"))


@odd
def zeros_and_ones_of_every_type(folder: Path) -> Read:
    images = np.where(pictures(20) > 100, 255, 0).astype(np.uint8)
    path = archive(folder, x_train=(images > 0).astype(np.int32), x_val=images > 0, x_test=(images > 0) * 1.0)
    return Read(path, dict.fromkeys(("train", "validation", "test"), (images, None)), noted=("0 and 1 only",))


@odd
def values_that_are_not_finite(folder: Path) -> Refused:
    values = pictures(20) / 255
    values[3, 1, 2, 0], values[4, 0, 0, 0] = np.nan, np.inf
    return Refused(archive(folder, images=values), ("2 values", "not finite", "image 3", "[1, 2, 0]"))


@odd
def complex_values(folder: Path) -> Refused:
    return Refused(
        archive(folder, images=np.fft.fft2(pictures(20)[..., 0])), ("must hold numbers", "complex128", "abs()")
    )


@odd
def values_beyond_sixteen_bits(folder: Path) -> Refused:
    return Refused(archive(folder, images=pictures(20).astype(np.uint32) << 24), ("4278190080", "--value_range"))


@odd
def half_precision(folder: Path) -> Read:
    values = (pictures(20) / 255).astype(np.float16)
    expected = np.rint(values.astype(np.float32) * 255).astype(np.uint8)
    return Read(archive(folder, images=values), {"train": (expected, None)})


@odd
def an_array_of_one_value(folder: Path) -> Read:
    images = np.full((20, 8, 6, 1), 200, np.uint8)
    return Read(archive(folder, images=images), {"train": (images, None)}, findings=("one value",))


def _deep(images: np.ndarray, top: int = 65535) -> np.ndarray:
    """Levels 0 to 255 as uint16 levels 0 to `top`."""
    return np.rint(images / 255 * top).astype(np.uint16)


@odd
def pngs_of_sixteen_bits(folder: Path) -> Read:
    images = pictures(10)
    for number, image in enumerate(_deep(images)):
        save(folder / f"{number}.png", image)
    return Read(folder, {"train": (images, None)})


@odd
def pngs_of_twelve_bits(folder: Path) -> Read:
    images = pictures(10)
    images[3] //= 8  # alone, it would look like 9 bits
    for number, image in enumerate(_deep(images, 4095)):
        save(folder / f"{number}.png", image)
    return Read(folder, {"train": (images, None)}, findings=("4095 as white", "--value_range"))


@odd
def pngs_of_twelve_bits_with_the_white_that_they_have(folder: Path) -> Read:
    images = pictures(10)
    for number, image in enumerate(images.astype(np.uint16) * 16):
        save(folder / f"{number}.png", image)
    return Read(folder, {"train": (images, None)}, {"value_range": (0, 4080)})


@odd
def tiffs_of_twelve_bits(folder: Path) -> Read:
    images = pictures(10)
    for number, image in enumerate(_deep(images, 4095)):
        save(folder / f"{number}.tif", image)
    return Read(folder, {"train": (images, None)}, findings=("4095 as white",))


@odd
def tiffs_of_32_bit_integers(folder: Path) -> Read:
    images = pictures(10)
    for number, image in enumerate(_deep(images).astype(np.int32)):
        save(folder / f"{number}.tif", image)
    return Read(folder, {"train": (images, None)})


@odd
def pngs_of_sixteen_bits_in_colour(folder: Path) -> Read:
    import tensorflow as tf

    images = pictures(10, channels=3)
    for number, image in enumerate(_deep(images, 4095)):
        (folder / f"{number}.png").write_bytes(tf.io.encode_png(image).numpy())
    return Read(folder, {"train": (images, None)}, findings=("4095 as white",))


@odd
def pictures_of_eight_and_sixteen_bits(folder: Path) -> Read:
    images = pictures(10)
    for number, image in enumerate(images):
        save(folder / f"{number}.png", image if number % 2 else _deep(image))
    return Read(folder, {"train": (images, None)}, noted=("5 of 10 pictures have more than 8 bits",))


@odd
def float_tiffs_of_which_some_are_dark(folder: Path) -> Read:
    images = pictures(10)
    images[:5] //= 255
    values = images.astype(np.float32)
    values[5] += 0.25
    for number, image in enumerate(values):
        save(folder / f"{number}.tif", image)
    return Read(folder, {"train": (images, None)})


@odd
def float_tiffs_from_zero_to_one(folder: Path) -> Read:
    images = pictures(10)
    values = images.astype(np.float32) / 255
    values[2, 3, 3], images[2, 3, 3] = 1.0000001, 255
    for number, image in enumerate(values):
        save(folder / f"{number}.tif", image)
    return Read(folder, {"train": (images, None)})


@odd
def float_tiffs_in_two_ranges(folder: Path) -> Refused:
    for number, image in enumerate(pictures(10).astype(np.float32)):
        save(folder / f"{number}.tif", image / 255 if number < 5 else image + 0.25)
    return Refused(folder, ("5 of 10 images", "0 to 1", "--value_range"))


@odd
def float_tiffs_with_a_nan(folder: Path) -> Read:
    images = pictures(10)
    values = images.astype(np.float32) / 255
    values[4, 1, 1] = np.nan
    for number, image in enumerate(values):
        save(folder / f"{number}.tif", image)
    return Read(folder, {"train": (np.delete(images, 4, 0), None)}, noted=("4.tif", "not finite"))


@odd
def masks_of_zeros_and_ones(folder: Path) -> Refused:
    for number, image in enumerate(pictures(10) // 255):
        save(folder / f"{number}.png", image)
    return Refused(folder, ("brightest pixel is 1", "--value_range 0,1"))


@odd
def masks_of_zeros_and_ones_with_their_range(folder: Path) -> Read:
    images = pictures(10) // 255
    for number, image in enumerate(images):
        save(folder / f"{number}.png", image)
    return Read(folder, {"train": (images * 255, None)}, {"value_range": (0, 1)})


@odd
def pictures_of_sixteen_levels(folder: Path) -> Read:
    images = pictures(10) // 16
    for number, image in enumerate(images):
        save(folder / f"{number}.png", image)
    return Read(folder, {"train": (images, None)}, findings=("15 of 255", "--value_range 0,15"))


@odd
def pictures_of_eight_bits_with_a_range_of_twelve(folder: Path) -> Refused:
    for number, image in enumerate(pictures(10)):
        save(folder / f"{number}.png", image)
    return Refused(folder, ("value_range", "4095", "8 bits"), {"value_range": (0, 4095)})


@odd
def pictures_with_a_range_that_most_values_leave(folder: Path) -> Refused:
    for number, image in enumerate(pictures(10)):
        save(folder / f"{number}.png", image)
    return Refused(folder, ("value_range", "0,1", "lie outside"), {"value_range": (0, 1)})


# Orientation and axes -------------------------------------------------------------------------------------------------


def smooth(count: int, height: int = 8, width: int = 8, channels: int = 1, seed: int = 0) -> np.ndarray:
    """[N, H, W, C] uint8 pictures of soft blobs, no two alike, none like its own transpose."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    found = np.zeros((count, height, width, channels))
    for image in found:
        for c in range(channels):
            top, left, slope = random.uniform(0, height), random.uniform(0, width), random.uniform(0.5, 2)
            image[..., c] = np.exp(-(((y - top) / height) ** 2 + slope * ((x - left) / width) ** 2) * 4) * (1 - 0.2 * c)
    return np.clip(found * 255, 1, 255).astype(np.uint8)


MATLAB_HEADER = b"MATLAB 5.0 MAT-file, Platform: MACI64, Created on: Tue Jun  4 23:11:05 2013"


def mat(folder: Path, matlab: bool = False, **variables) -> Path:
    """Writes a .mat file as Python's savemat does it, or with the header that MATLAB writes."""
    import scipy.io

    scipy.io.savemat(folder / "x.mat", variables)
    if matlab:
        with open(folder / "x.mat", "r+b") as file:
            file.write(MATLAB_HEADER.ljust(116))
    return folder / "x.mat"


def numbers(count: int, classes: int = 3) -> np.ndarray:
    return np.arange(count) % classes


def _expected(images: np.ndarray, labels=None) -> dict:
    return {"train": (images, None if labels is None else [str(y) for y in labels])}


def _two_splits(images: np.ndarray, labels, first: int) -> dict:
    """`first` training images, the rest for testing."""
    train, test = _expected(images[:first], labels[:first]), _expected(images[first:], labels[first:])
    return {"train": train["train"], "test": test["train"]}


@odd
def mnist_original(folder: Path) -> Read:
    images, labels = smooth(30, 8, 8), numbers(30)
    path = mat(folder, data=images.reshape(30, -1).T, label=labels[None].astype(float))
    return Read(path, _expected(images, labels), noted=("scipy", "columns_transposed"))


@odd
def rows_that_savemat_wrote(folder: Path) -> Read:
    images, labels = smooth(30, 8, 8), numbers(30)
    path = mat(folder, X=images.reshape(30, -1), y=labels[:, None])
    return Read(path, _expected(images, labels), noted=("rows_transposed",))


def column_major(images: np.ndarray) -> np.ndarray:
    """[N, D]: x(:) of every picture, as MATLAB writes it."""
    return np.stack([image.flatten(order="F") for image in images])


@odd
def columns_that_matlab_wrote(folder: Path) -> Read:
    images = smooth(30, 8, 8)
    return Read(mat(folder, True, faces=column_major(images).T), _expected(images), noted=("MATLAB",))


@odd
def columns_that_matlab_wrote_row_by_row(folder: Path) -> Read:
    images = smooth(30, 8, 8)
    path = mat(folder, True, faces=images.reshape(30, -1).T)
    return Read(path, _expected(images), {"mat_orientation": "columns_transposed"})


@odd
def rows_that_savemat_wrote_column_by_column(folder: Path) -> Read:
    images = smooth(30, 8, 8)
    return Read(mat(folder, X=column_major(images)), _expected(images), {"mat_orientation": "rows_transposed"})


def _every_orientation():
    """[784, N], [N, 784], 3 and 4 dimensions, row-major and column-major, in .npz and .mat: the flags reach each."""
    for kind in ("npz", "mat", "matlab"):
        for first in (True, False):
            for row_major in (True, False):

                def make(folder: Path, kind=kind, first=first, row_major=row_major) -> Read:
                    images = smooth(10, 10, 10)
                    flat = images.reshape(10, -1) if row_major else column_major(images)
                    flat = flat if first else flat.T
                    usual = row_major == (kind != "matlab")
                    orientation = ("rows" if first else "columns") + ("" if usual else "_transposed")
                    path = archive(folder, x=flat) if kind == "npz" else mat(folder, kind == "matlab", x=flat)
                    return Read(path, _expected(images), {"mat_orientation": orientation})

                name = f"flat_{'rows' if first else 'columns'}_{'row' if row_major else 'column'}_major_in_{kind}"
                SETS[name] = make
        for first in (True, False):
            for turned in (True, False):

                def make(folder: Path, kind=kind, first=first, turned=turned) -> Read:
                    images = smooth(8)
                    stack = images[..., 0].transpose(0, 2, 1) if turned else images[..., 0]
                    stack = stack if first else np.moveaxis(stack, 0, 2)
                    orientation = ("rows" if first else "columns") + ("_transposed" if turned else "")
                    path = archive(folder, x=stack) if kind == "npz" else mat(folder, kind == "matlab", x=stack)
                    return Read(path, _expected(images), {"mat_orientation": orientation})

                SETS[f"stack_{'rows' if first else 'columns'}{'_turned' if turned else ''}_in_{kind}"] = make


_every_orientation()


@odd
def as_many_images_as_a_square_has_pixels(folder: Path) -> Read:
    images, labels = smooth(100), numbers(100)
    return Read(mat(folder, X=images.reshape(100, -1), y=labels[:, None]), _expected(images, labels))


@odd
def as_many_images_as_a_square_has_pixels_in_columns(folder: Path) -> Read:
    images, labels = pictures(100, 8, 8), numbers(100)
    return Read(archive(folder, X=images.reshape(100, -1).T, y=labels), _expected(images, labels))


@odd
def as_many_images_as_a_square_has_pixels_without_labels(folder: Path) -> Refused:
    path = mat(folder, X=pictures(100, 8, 8).reshape(100, -1))
    return Refused(
        path, ("100 images of 8x8", "64 images of 10x10", "--mat_orientation rows", "--mat_orientation columns")
    )


@odd
def smooth_images_of_which_there_are_as_many_as_a_square_has_pixels(folder: Path) -> Read:
    images = smooth(100)
    return Read(archive(folder, X=images.reshape(100, -1)), _expected(images), noted=("smooth", "rows_transposed"))


@odd
def a_square_matrix(folder: Path) -> Refused:
    path = archive(folder, X=smooth(64).reshape(64, -1))
    return Refused(path, ("64 images of 8x8", "--mat_orientation rows", "--mat_orientation columns"))


@odd
def a_cube(folder: Path) -> Refused:
    path = mat(folder, X=smooth(8)[..., 0])
    return Refused(path, ("8 images of 8x8", "--mat_orientation rows", "--mat_orientation columns"))


@odd
def a_cube_with_labels(folder: Path) -> Read:
    images, labels = smooth(8), numbers(8)
    return Read(archive(folder, X=images[..., 0], y=labels), _expected(images, labels))


@odd
def images_last_in_npz(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    return Read(archive(folder, X=np.moveaxis(images[..., 0], 0, 2), y=labels), _expected(images, labels))


@odd
def squares_last_in_npz(folder: Path) -> Read:
    images = pictures(20, 8, 8)
    return Read(archive(folder, X=np.moveaxis(images[..., 0], 0, 2)), _expected(images), noted=("[H, W, N]",))


@odd
def images_first_in_mat(folder: Path) -> Read:
    images, labels = pictures(5), numbers(5)
    return Read(mat(folder, X=images[..., 0], y=labels), _expected(images, labels))


@odd
def images_last_of_all_splits(folder: Path) -> Read:
    images, labels = pictures(50, channels=3), numbers(50)
    x, y = np.moveaxis(images, 0, 3), labels[None]
    path = mat(folder, X_train=x[..., :30], y_train=y[:, :30], X_test=x[..., 30:], y_test=y[:, 30:])
    return Read(
        path,
        {"train": _expected(images[:30], labels[:30])["train"], "test": _expected(images[30:], labels[30:])["train"]},
    )


@odd
def channels_first(folder: Path) -> Read:
    images, labels = pictures(20, channels=3), numbers(20)
    path = archive(folder, images=np.moveaxis(images, 3, 1), labels=labels)
    return Read(path, _expected(images, labels), noted=("[N, C, H, W]",))


@odd
def one_channel_first(folder: Path) -> Read:
    images = pictures(20)
    return Read(archive(folder, images=np.moveaxis(images, 3, 1)), _expected(images), noted=("[N, C, H, W]",))


@odd
def channels_first_and_images_last(folder: Path) -> Read:
    images = pictures(20, channels=3)
    return Read(mat(folder, X=images.transpose(3, 1, 2, 0)), _expected(images), noted=("[C, H, W, N]",))


@odd
def tiny_images_whose_channels_may_be_first_or_last(folder: Path) -> Refused:
    path = mat(folder, X=pictures(20, 3, 3, 3).transpose(1, 2, 3, 0))
    return Refused(path, ("20 images of 3x3x3", "[N, H, W, C]"))


@odd
def svhn(folder: Path) -> Read:
    images, labels = pictures(30, 8, 8, 3), np.arange(30) % 10 + 1
    path = mat(folder, True, X=np.moveaxis(images, 0, 3), y=labels[:, None].astype(np.uint8))
    return Read(path, _expected(images, labels))


@odd
def cifar_of_matlab(folder: Path) -> Read:
    images, labels = smooth(30, 8, 8, 3), numbers(30)
    rows = np.moveaxis(images, 3, 1).reshape(30, -1)
    path = mat(folder, True, data=rows, labels=labels[:, None].astype(np.uint8), batch_label="training batch 1 of 5")
    return Read(path, _expected(images, labels), noted=("CIFAR", "'batch_label'"))


@odd
def flat_colours_one_after_the_other(folder: Path) -> Read:
    images = smooth(30, 8, 8, 3)
    return Read(archive(folder, data=np.moveaxis(images, 3, 1).reshape(30, -1)), _expected(images), noted=("smooth",))


@odd
def flat_colours_interleaved(folder: Path) -> Read:
    images = smooth(30, 8, 8, 3)
    return Read(archive(folder, data=images.reshape(30, -1)), _expected(images), noted=("smooth",))


@odd
def flat_colours_of_noise(folder: Path) -> Refused:
    values = np.random.default_rng(0).integers(0, 256, (30, 192), np.uint8)
    return Refused(archive(folder, data=values), ("--mat_image_shape 8x8x3", "--mat_image_shape 3x8x8"))


@odd
def flat_colours_of_noise_with_their_shape(folder: Path) -> Read:
    images = pictures(30, 8, 8, 3)
    path = archive(folder, data=np.moveaxis(images, 3, 1).reshape(30, -1))
    return Read(path, _expected(images), {"mat_image_shape": (3, 8, 8)})


@odd
def frey_faces(folder: Path) -> Refused:
    path = mat(folder, True, ff=smooth(40, 14, 10).reshape(40, -1).T)
    return Refused(path, ("ff", "(140, 40)", "--mat_image_shape"))


@odd
def frey_faces_with_their_shape(folder: Path) -> Read:
    images = smooth(40, 14, 10)
    path = mat(folder, True, ff=images.reshape(40, -1).T)
    return Read(path, _expected(images), {"mat_image_shape": (14, 10)}, noted=("row by row",))


@odd
def faces_of_matlab_with_their_shape(folder: Path) -> Read:
    images = smooth(40, 14, 10)
    path = mat(folder, True, fea=column_major(images))
    return Read(path, _expected(images), {"mat_image_shape": (14, 10)}, noted=("column by column",))


@odd
def flat_pictures_of_16_to_9(folder: Path) -> Refused:
    path = archive(folder, x=smooth(40, 9, 16).reshape(40, -1), y=numbers(40))  # 144 values, as many as 12x12
    return Refused(path, ("40 images of 12x12x1", "40 images of 9x16x1", "--mat_image_shape 9x16"))


@odd
def flat_pictures_with_transparency(folder: Path) -> Refused:
    images = np.concatenate([smooth(40, 8, 8, 3), np.full((40, 8, 8, 1), 255, np.uint8)], 3)
    path = archive(folder, x=images.reshape(40, -1), y=numbers(40))  # 256 values, as many as 16x16
    return Refused(path, ("40 images of 16x16x1", "40 images of 8x8x4", "--mat_image_shape 8x8x4"))


@odd
def images_last_that_are_as_rough_as_the_images(folder: Path) -> Read:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 6, 1), np.uint8)
    images[0, 0, :2, 0] = 0, 255
    return Read(archive(folder, x=images[..., 0]), _expected(images), findings=("20 images of 8x6", "6 images of 20x8"))


@odd
def two_arrays_of_one_size(folder: Path) -> Refused:
    images = pictures(20)[..., 0]
    return Refused(mat(folder, left=images, right=images), ("--mat_key left", "--mat_key right"))


@odd
def one_of_two_arrays_of_an_npz(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    path = archive(folder, left=images, right=images[::-1], y=labels)
    return Read(path, _expected(images, labels), {"mat_key": "left"}, findings=("'right' [20, 8, 6, 1]",))


@odd
def hdf5_that_h5py_wrote(folder: Path) -> Read:
    import h5py

    images, labels = pictures(20), numbers(20)
    with h5py.File(folder / "x.mat", "w") as file:
        file["images"], file["labels"] = images, labels
    return Read(folder / "x.mat", _expected(images, labels))


@odd
def hdf5_that_matlab_wrote(folder: Path) -> Read:
    import h5py

    images, labels = smooth(20), numbers(20)
    with h5py.File(folder / "x.mat", "w", userblock_size=512) as file:
        file["X"], file["y"] = column_major(images), labels[None].astype(float)  # MATLAB's X [64, 20], y [20, 1]
    with open(folder / "x.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return Read(folder / "x.mat", _expected(images, labels), noted=("columns_transposed",))


@odd
def emnist_of_matlab(folder: Path) -> Read:
    images, labels = smooth(30), numbers(30)
    columns = images[..., 0].transpose(0, 2, 1).reshape(30, -1)
    splits = {
        split: {"images": columns[part], "labels": labels[part, None] * 1.0, "writers": labels[part, None]}
        for split, part in (("train", slice(0, 20)), ("test", slice(20, 30)))
    }
    path = mat(folder, matlab=True, dataset={**splits, "mapping": np.arange(6).reshape(3, 2)})
    words = [str(y) for y in labels]
    expected = {"train": (images[:20], words[:20]), "test": (images[20:], words[20:])}
    return Read(
        path, expected, noted=("dataset.train.labels",), findings=("'dataset.train.writers' [20, 1]", "mapping")
    )


@odd
def structs_of_matlab_7_3(folder: Path) -> Read:
    import h5py

    images, labels = smooth(20), numbers(20)
    with h5py.File(folder / "x.mat", "w", userblock_size=512) as file:
        file["imdb/images/data"], file["imdb/images/labels"] = images[..., 0].transpose(0, 2, 1), labels[:, None] * 1.0
    with open(folder / "x.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return Read(folder / "x.mat", _expected(images, labels), noted=("'imdb.images.data'",))


@odd
def cells_of_pictures(folder: Path) -> Read:
    images, cells = smooth(20), np.empty((1, 20), object)
    cells[0] = list(images[..., 0])
    return Read(mat(folder, matlab=True, images=cells, labels=numbers(20)), _expected(images, numbers(20)))


@odd
def cells_of_pictures_of_different_sizes(folder: Path) -> Refused:
    cells = np.empty((1, 2), object)
    cells[0] = [smooth(1)[0, ..., 0], smooth(1, 9)[0, ..., 0]]
    return Refused(mat(folder, matlab=True, images=cells), ("'images'", "cells of different shapes"))


@odd
def a_sparse_matrix(folder: Path) -> Read:
    import scipy.sparse

    images, labels = smooth(20), numbers(20)
    matrix = scipy.sparse.csc_matrix(images[..., 0].transpose(0, 2, 1).reshape(20, -1).astype(float))
    return Read(mat(folder, matlab=True, fea=matrix, gnd=labels[:, None]), _expected(images, labels))


@odd
def digits_of_usps_by_class(folder: Path) -> Read:
    images = pictures(3, 36, 160)
    path = mat(folder, matlab=True, data=images[..., 0].transpose(1, 2, 0), labels=numbers(3))
    return Read(path, _expected(images, numbers(3)), findings=("3 images of 36x160", "unusual shape"))


@odd
def one_colour_picture(folder: Path) -> Refused:
    np.save(folder / "x.npy", smooth(1, 12, 16, 3)[0])
    return Refused(folder / "x.npy", ("single picture of 12x16x3", "--mat_orientation columns"))


@odd
def thirteen_bands(folder: Path) -> Refused:
    return Refused(archive(folder, x=np.ones((20, 8, 8, 13))), ("(20, 8, 8, 13)", "1 or 3 of 13 channels"))


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
def splits_and_classes_in_one_name(folder: Path) -> Read:
    wanted = {split: {f"{name}_{split}": name for name in ("cat", "dog")} for split in ("train", "test")}
    noted = ("layout: 2 classes: cat, dog; splits: train, test",)
    return laid_out(folder, wanted, noted=noted, findings=("cat_test/, cat_train/",))


@odd
def splits_and_classes_in_one_name_of_two_domains(folder: Path) -> Read:
    """CycleGAN."""
    wanted = {split: {f"{split}{name}": name for name in "AB"} for split in ("train", "test")}
    return laid_out(folder, wanted, findings=("testA/, testB/",))


@odd
def splits_below_a_folder_with_others_beside(folder: Path) -> Read:
    wanted = {split: {f"data/{split}/{name}": name for name in ("cat", "dog")} for split in ("train", "test")}
    found = laid_out(folder, wanted)
    save(folder / "docs" / "logo.png", pictures(1, seed=9)[0])
    return replace(found, findings=("1 image beside the folders of the splits", "docs/logo.png"))


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
def parts_of_one_set(folder: Path) -> Read:
    """As HAM10000 is: the folders were read as two classes."""
    wanted = {"train": {"HAM10000_images_part_1": None, "HAM10000_images_part_2": None}}
    return laid_out(folder, wanted, findings=("parts of one set", "--layout class"))


@odd
def numbered_folders_of_images(folder: Path) -> Read:
    """As the chest X-rays of NIH are, with a table beside them."""
    groups = place(folder, "images_001/images", "images_002/images")
    rows = [f"{name.split('/')[0][-1]}{i},{PETS[i]}" for name in groups for i in range(5)]
    for name in groups:
        for i in range(5):
            file = folder / name / f"{i}.png"
            file.rename(file.with_name(f"{name.split('/')[0][-1]}{i}.png"))
    (folder / "Data_Entry.csv").write_text("Image Index,Finding\n" + "\n".join(rows))
    images = np.concatenate([*groups.values()])
    return Read(folder, {"train": (images, list(PETS[:5]) * 2)}, findings=("parts of one set",))


@odd
def parts_as_classes_by_the_layout(folder: Path) -> Read:
    return laid_out(folder, {"train": {"part1": "part1", "part2": "part2"}}, settings={"layout": "class"})


@odd
def folders_of_a_thousand(folder: Path) -> Read:
    """As FFHQ lies on the disk."""
    groups = place(folder, "thumbnails/00000", "thumbnails/01000")
    for name in groups:
        for i in range(5):
            (folder / name / f"{i}.png").rename(folder / name / f"{int(name[-5:]) + i:05d}.png")
    return Read(folder, {"train": of_classes(groups, dict.fromkeys(groups))}, findings=("parts of one set",))


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


@odd
def an_npz_without_names(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    np.savez(folder / "x.npz", images, labels)
    return Read(folder / "x.npz", _expected(images, labels))


@odd
def an_npz_without_names_labels_first(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    np.savez(folder / "x.npz", labels, images)
    return Read(folder / "x.npz", _expected(images, labels))


@odd
def medmnist(folder: Path) -> Read:
    images, y = pictures(30), numbers(30)[:, None]
    parts = {"train": slice(0, 20), "val": slice(20, 25), "test": slice(25, 30)}
    path = archive(
        folder, **{f"{s}_{k}": a[p] for s, p in parts.items() for k, a in (("images", images), ("labels", y))}
    )
    names = {"train": "train", "val": "validation", "test": "test"}
    return Read(path, {names[s]: _expected(images[p], y[p, 0])["train"] for s, p in parts.items()})


def _names(*keys: str):
    def make(folder: Path) -> Read:
        images, labels = pictures(30), numbers(30)
        x, y, x_test, y_test = keys
        path = archive(folder, **{x: images[:20], y: labels[:20], x_test: images[20:], y_test: labels[20:]})
        return Read(path, _two_splits(images, labels, 20))

    SETS["keys_" + "_".join(keys)] = make


_names("X_train", "y_train", "X_test", "y_test")
_names("train_x", "train_y", "test_x", "test_y")
_names("trainX", "trainY", "testX", "testY")
_names("Xtr", "Ytr", "Xte", "Yte")
_names("train_data", "train_labels", "test_data", "test_labels")
_names("train", "train_labels", "test", "test_labels")
_names("train_images", "train_targets", "test_images", "test_targets")


@odd
def torchvision_names(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    return Read(archive(folder, data=images, targets=labels), _expected(images, labels))


@odd
def one_hot_rows(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    return Read(archive(folder, x=images, y=np.eye(3, dtype=np.float32)[labels]), _expected(images, labels))


@odd
def one_hot_rows_of_every_split(folder: Path) -> Read:
    images, labels = pictures(30), numbers(30)
    y = np.eye(3, dtype=np.uint8)[labels]
    path = mat(folder, train_x=images[:20], train_y=y[:20], test_x=images[20:], test_y=y[20:])
    return Read(
        path,
        {"train": _expected(images[:20], labels[:20])["train"], "test": _expected(images[20:], labels[20:])["train"]},
    )


@odd
def rows_of_several_classes(folder: Path) -> Read:
    images, labels = pictures(20), np.random.default_rng(0).integers(0, 2, (20, 5))
    return Read(archive(folder, x=images, y=labels), _expected(images), findings=("'y' (20, 5)", "not used"))


@odd
def rows_of_shares(folder: Path) -> Read:
    images, labels = pictures(20), np.full((20, 4), 0.25)
    return Read(archive(folder, x=images, y=labels), _expected(images), findings=("'y' (20, 4)", "not used"))


@odd
def labels_in_bytes(folder: Path) -> Read:
    images, labels = pictures(20), np.array([b"cat", b"dog", "älter".encode()])[numbers(20)]
    names = [y.decode() for y in labels.tolist()]
    return Read(archive(folder, x=images, y=labels), _expected(images, names))


@odd
def labels_in_words(folder: Path) -> Read:
    images, labels = pictures(20), np.array(["cat", "dog", "owl"])[numbers(20)]
    return Read(archive(folder, x=images, y=labels), _expected(images, labels))


@odd
def labels_in_words_of_matlab(folder: Path) -> Read:
    images, labels = pictures(20), np.array(["cat", "horse", "owl"])[numbers(20)]
    return Read(mat(folder, x=images, y=labels), _expected(images, labels))


@odd
def labels_in_cells_of_matlab(folder: Path) -> Read:
    images, labels = pictures(20), np.array(["cat", "horse", "owl"], object)[numbers(20)]
    return Read(mat(folder, x=images, y=labels), _expected(images, labels))


@odd
def numbers_in_words(folder: Path) -> Read:
    images, labels = pictures(33), np.arange(33) % 11
    return Read(archive(folder, x=images, y=labels.astype(str)), _expected(images, labels))


@odd
def names_of_the_classes(folder: Path) -> Read:
    images, labels, names = pictures(20), numbers(20), np.array(["owl", "cat", "dog"])
    return Read(archive(folder, x=images, y=labels, classes=names), _expected(images, names[labels]))


@odd
def names_of_classes_from_one(folder: Path) -> Read:
    images, labels, names = pictures(20), numbers(20), np.array(["owl", "cat", "dog"])
    return Read(archive(folder, x=images, y=labels + 1, class_names=names), _expected(images, names[labels]))


@odd
def names_of_one_hot_classes(folder: Path) -> Read:
    images, labels, names = pictures(20), numbers(20), np.array([b"owl", b"cat", b"dog"])
    path = archive(folder, x=images, y=np.eye(3)[labels], label_names=names)
    return Read(path, _expected(images, names.astype(str)[labels]))


@odd
def names_that_do_not_fit(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    path = archive(folder, x=images, y=labels, target_names=np.array(["owl", "cat"]))
    return Read(path, _expected(images, labels), findings=("'target_names' holds 2 names", "not fit"))


@odd
def truth_values_as_labels(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20) == 1
    return Read(archive(folder, x=images, y=labels), _expected(images, labels))


@odd
def labels_with_gaps(folder: Path) -> Read:
    images, labels = pictures(20), np.array([0, 2, 5])[numbers(20)]
    return Read(archive(folder, x=images, y=labels.astype(float)), _expected(images, labels))


@odd
def images_without_a_label(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    labels[[3, 7]] = -1
    keep = labels >= 0
    path = archive(folder, x=images, y=labels)
    return Read(path, _expected(images[keep], labels[keep]), findings=("2 images", "-1", "left out"))


@odd
def minus_one_and_one(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20, 2) * 2 - 1
    return Read(archive(folder, x=images, y=labels), _expected(images, labels))


@odd
def labels_that_are_not_numbers(folder: Path) -> Refused:
    labels = numbers(20) * 1.0
    labels[4] = np.nan
    return Refused(archive(folder, x=pictures(20), y=labels), ("'y'", "NaN"))


@odd
def x_test_without_y_test(folder: Path) -> Read:
    images, labels = pictures(30), numbers(20)
    path = archive(folder, x_train=images[:20], y_train=labels, x_test=images[20:])
    return Read(path, _expected(images[:20], labels), findings=("test", "'x_test'", "10 images", "left out"))


@odd
def an_npz_of_labels(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    np.savez(folder / "labels.npz", labels=labels)
    return Read(archive(folder, images=images), _expected(images, labels), {"labels": str(folder / "labels.npz")})


@odd
def an_npz_of_labels_that_nobody_names(folder: Path) -> Read:
    images = pictures(20)
    np.savez(folder / "x_labels.npz", labels=numbers(20))
    return Read(archive(folder, images=images), _expected(images), findings=("x_labels.npz", "--labels"))


@odd
def npy_files(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    np.save(folder / "x.npy", images / 255)
    np.save(folder / "y.npy", labels)
    return Read(folder / "x.npy", _expected(images, labels), {"labels": str(folder / "y.npy")})


@odd
def an_npy_file_beside_its_labels(folder: Path) -> Read:
    images = pictures(20)
    np.save(folder / "train_images.npy", images)
    np.save(folder / "train_labels.npy", numbers(20))
    path = folder / "train_images.npy"
    return Read(path, _expected(images), findings=("train_labels.npy", "--labels"))


@odd
def a_table_of_labels_for_an_array(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    rows = "".join(f"{i},{y}\n" for i, y in enumerate(labels))
    (folder / "t.csv").write_text("id,label\n" + rows)
    return Read(archive(folder, images=images), _expected(images, labels), {"labels": str(folder / "t.csv")})


@odd
def a_table_of_labels_in_another_order(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    rows = "".join(f"{i},{y},x\n" for i, y in reversed(list(enumerate(labels))))
    (folder / "t.csv").write_text("index,kind,note\n" + rows)
    return Read(archive(folder, images=images), _expected(images, labels), {"labels": f"{folder / 't.csv'}:kind"})


@odd
def lines_of_labels_for_an_array(folder: Path) -> Read:
    images, labels = pictures(20), np.array(["cat", "dog", "owl"])[numbers(20)]
    (folder / "t.txt").write_text("\n".join(labels) + "\n")
    return Read(archive(folder, images=images), _expected(images, labels), {"labels": "t.txt"})


@odd
def labels_that_are_not_wanted(folder: Path) -> Read:
    images = pictures(20)
    path = archive(folder, images=images, labels=numbers(20))
    return Read(path, _expected(images), {"labels": "none"}, findings=("'labels' [20]",))


@odd
def labels_of_another_length(folder: Path) -> Refused:
    np.save(folder / "y.npy", numbers(19))
    path = archive(folder, images=pictures(20))
    return Refused(path, ("y.npy", "20 images", "(19,)"), {"labels": str(folder / "y.npy")})


PETS = ["cat", "dog", "owl", "cat"] * 5
"""Classes of twenty pictures."""


@odd
def only_a_test_split(folder: Path) -> Read:
    images, labels = pictures(20), numbers(20)
    path = archive(folder, x_test=images, y_test=labels)
    return Read(path, _expected(images, labels), noted=("no training split", "'x_test'"))


@odd
def validation_and_test_without_training(folder: Path) -> Refused:
    path = archive(folder, x_val=pictures(20), x_test=pictures(20))
    return Refused(path, ("--mat_key x_val or --mat_key x_test",))


@odd
def dsprites(folder: Path) -> Read:
    images = pictures(20)
    metadata = np.array({"title": "shapes"}, object)
    path = archive(folder, imgs=images, latents_values=np.zeros((20, 6)), metadata=metadata)
    return Read(path, _expected(images), noted=("'metadata' (Python objects)",), findings=("latents_values",))


@odd
def labels_that_are_python_objects(folder: Path) -> Refused:
    path = archive(folder, images=pictures(20), target=np.array(PETS, object))
    return Refused(path, ("'target' (Python objects)", "numpy.array(words, str)"))


@odd
def labels_that_are_python_objects_unread(folder: Path) -> Read:
    images = pictures(20)
    path = archive(folder, images=images, target=np.array(PETS, object))
    return Read(path, _expected(images), {"labels": "none"}, noted=("'target' (Python objects)",))


@odd
def an_npy_of_python_objects(folder: Path) -> Refused:
    np.save(folder / "x.npy", {"images": pictures(20)})
    return Refused(folder / "x.npy", ("Python objects", "numpy.stack"))


@odd
def labels_under_another_key(folder: Path) -> Read:
    images, ages = pictures(20), numbers(20)
    path = archive(folder, images=images, age=ages)
    return Read(path, _expected(images), findings=("'age' [20]", f"--labels {path}:age"))


@odd
def labels_under_another_key_asked_for(folder: Path) -> Read:
    images, labels = smooth(20), numbers(20)
    path = mat(folder, images=images, fine_labels=labels, coarse_labels=labels % 2)
    settings = {"labels": f"{path}:coarse_labels"}
    return Read(path, _expected(images, labels % 2), settings, findings=("fine_labels",))


def beside(folder: Path, name: str, text: str | bytes, *, names: Sequence[str | None] = PETS, **expected) -> Read:
    """Twenty pictures 0.png ... in a folder, and a file of labels.

    Args:
        name, text: of the file; relative to the set.
        names: the class of each picture that must be read.
        expected: of Read.
    """
    images = pictures(20)
    for i, image in enumerate(images):
        save(folder / f"{i}.png", image)
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Read(folder, {"train": (images, names)}, **expected)


def lines(form: str, header: str = "", labels: Sequence = PETS) -> str:
    """A line of `form` for each label, with {i} and {label}."""
    return "\n".join([*[header] * bool(header), *(form.format(i=i, label=x) for i, x in enumerate(labels)), ""])


@odd
def labels_csv(folder: Path) -> Read:
    text = lines("{i}.png,{label}", "file_name,label")
    return beside(folder, "labels.csv", text, noted=("3 classes: cat, dog, owl, from labels.csv (column label)",))


@odd
def labels_csv_without_a_header(folder: Path) -> Read:
    return beside(folder, "labels.csv", lines("./{i}.png,{label}"))


@odd
def labels_csv_with_semicolons_from_excel(folder: Path) -> Read:
    return beside(folder, "labels.csv", b"\xef\xbb\xbf" + lines("{i}.png;{label}", "Datei;Klasse").encode())


@odd
def labels_tsv_in_utf16(folder: Path) -> Read:
    return beside(folder, "labels.tsv", lines("{i}.png\t{label}", "image\tclass").encode("utf-16"))


@odd
def labels_txt_with_blanks(folder: Path) -> Read:
    return beside(folder, "labels.txt", lines("{i}.png {label}"))


@odd
def labels_csv_with_backslashes(folder: Path) -> Read:
    return beside(folder, "labels.csv", lines("C:\\photos\\{i}.png,{label}", "path,label"))


@odd
def labels_csv_without_suffixes(folder: Path) -> Read:
    """Kaggle; a row number stands in front, as pandas writes it."""
    return beside(folder, "train.csv", lines("{i},{i},{label}", ",id,breed"))


@odd
def labels_csv_with_numbers_and_names(folder: Path) -> Read:
    codes = [f"{('cat', 'dog', 'owl').index(name)},{name}" for name in PETS]
    return beside(folder, "meta.csv", lines("{i}.png,{label}", "filename,label_id,label_name", codes))


@odd
def labels_csv_with_numbers_and_classes_txt(folder: Path) -> Read:
    (folder / "classes.txt").write_text("cat\ndog\nowl\n")
    codes = [("cat", "dog", "owl").index(name) for name in PETS]
    return beside(
        folder, "labels.csv", lines("{i}.png,{label}", "file,label", codes), noted=("names from classes.txt",)
    )


@odd
def labels_csv_with_numbers_of_pandas(folder: Path) -> Read:
    numbers = [0.0, 2.0, 10.0, 0.0] * 5
    names = [str(int(number)) for number in numbers]
    text = lines("{i}.png,{label}", "file,label", numbers)
    return beside(folder, "labels.csv", text, names=names, noted=("3 classes: 0, 2, 10",))


@odd
def labels_csv_one_hot(folder: Path) -> Read:
    """Roboflow."""
    codes = [",".join(str(int(name == x)) for x in ("cat", "dog", "owl")) for name in PETS]
    return beside(folder, "_classes.csv", lines("{i}.png, {label}", "filename, cat, dog, owl", codes))


@odd
def labels_csv_with_several_classes_each(folder: Path) -> Read:
    codes = [f"{int(name == 'cat')},1,1" for name in PETS]
    text = lines("{i}.png,{label}", "filename,cat,dog,owl", codes)
    return beside(folder, "_classes.csv", text, names=[None] * 20, findings=("_classes.csv is not used for labels",))


@odd
def metadata_jsonl(folder: Path) -> Read:
    """Hugging Face's ImageFolder."""
    text = lines('{{"file_name": "{i}.png", "label": "{label}", "objects": {{"bbox": []}}}}')
    return beside(folder, "metadata.jsonl", text)


@odd
def metadata_jsonl_with_captions(folder: Path) -> Read:
    text = lines('{{"file_name": "{i}.png", "text": "picture {i} of a {label}"}}')
    return beside(
        folder, "metadata.jsonl", text, names=[None] * 20, findings=("metadata.jsonl is not used for labels",)
    )


@odd
def dataset_json(folder: Path) -> Read:
    """StyleGAN, with its folders of a thousand images each."""
    images, numbers = pictures(20), [0, 1, 2, 10] * 5
    for i, image in enumerate(images):
        save(folder / f"{i // 10:05}" / f"img{i:08}.png", image)
    labels = [[f"{i // 10:05}/img{i:08}.png", number] for i, number in enumerate(numbers)]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return Read(folder, {"train": (images, [str(n) for n in numbers])})


@odd
def dataset_json_found(folder: Path) -> Read:
    labels = [[f"{i}.png", name] for i, name in enumerate(PETS)]
    return beside(folder, "dataset.json", json.dumps({"labels": labels}))


@odd
def dataset_json_without_labels(folder: Path) -> Read:
    return beside(folder, "dataset.json", '{"labels": null}', names=[None] * 20, findings=("dataset.json is not used",))


@odd
def labels_csv_for_some_images(folder: Path) -> Read:
    found = beside(folder, "labels.csv", lines("{i}.png,{label}", "file,label", PETS[:15]) + "lost.png,owl\n")
    images, _ = found.splits["train"]
    findings = ("5 images without a label", "1 line of labels.csv names no image: lost.png")
    return replace(found, splits={"train": (images[:15], PETS[:15])}, findings=findings)


@odd
def labels_csv_for_few_images(folder: Path) -> Read:
    text = lines("{i}.png,{label}", "file,label", PETS[:5])
    return beside(folder, "labels.csv", text, names=[None] * 20, findings=("5 of 20 training images", "--labels"))


@odd
def labels_csv_that_contradicts_itself(folder: Path) -> Refused:
    found = beside(folder, "labels.csv", lines("{i}.png,{label}", "file,label") + "3.png,owl\n")
    return Refused(found.dataset, ("labels.csv", "3.png", "'cat'", "'owl'", "--labels none"))


@odd
def labels_csv_that_contradicts_itself_unread(folder: Path) -> Read:
    text = lines("{i}.png,{label}", "file,label") + "3.png,owl\n"
    return beside(folder, "labels.csv", text, names=[None] * 20, settings={"labels": "none"}, findings=("labels.csv",))


@odd
def labels_csv_of_many_columns(folder: Path) -> Read:
    text = lines("{i}.png,{label},big", "file,animal,size")
    return beside(folder, "labels.csv", text, names=[None] * 20, findings=("animal, size",))


@odd
def labels_csv_of_many_columns_asked_for(folder: Path) -> Refused:
    found = beside(folder, "labels.csv", lines("{i}.png,{label},big", "file,animal,size"))
    return Refused(
        found.dataset, ("data.labels='labels.csv'", "animal, size", "labels.csv:animal"), {"labels": "labels.csv"}
    )


@odd
def labels_csv_of_many_columns_one_asked_for(folder: Path) -> Read:
    text = lines("{i}.png,{label},big", "file,Animal,size")
    return beside(folder, "labels.csv", text, settings={"labels": "labels.csv:Animal"})


@odd
def labels_csv_without_the_column_asked_for(folder: Path) -> Refused:
    found = beside(folder, "labels.csv", lines("{i}.png,{label}", "file,label"))
    return Refused(
        found.dataset, ("'labels.csv:kind'", "no column 'kind'", "file, label"), {"labels": "labels.csv:kind"}
    )


@odd
def two_files_of_labels(folder: Path) -> Read:
    (folder / "b.csv").write_text(lines("{i}.png,{label}", "file,label", PETS[::-1]))
    text = lines("{i}.png,{label}", "file,label")
    return beside(folder, "a.csv", text, names=[None] * 20, findings=("a.csv, b.csv", "--labels a.csv"))


@odd
def two_files_of_labels_one_asked_for(folder: Path) -> Read:
    (folder / "b.csv").write_text(lines("{i}.png,{label}", "file,label", PETS[::-1]))
    text = lines("{i}.png,{label}", "file,label")
    return beside(folder, "a.csv", text, settings={"labels": "a.csv"}, findings=("b.csv",))


@odd
def labels_outside_the_folder(folder: Path) -> Read:
    found = beside(folder / "photos", "../labels.csv", lines("photos/{i}.png,{label}", "file,label"))
    return replace(found, settings={"labels": str(folder / "labels.csv")})


@odd
def labels_that_are_not_there(folder: Path) -> Refused:
    found = beside(folder, "labels.csv", lines("{i}.png,{label}", "file,label"))
    return Refused(found.dataset, ("data.labels='label.csv'", "which holds labels.csv"), {"labels": "label.csv"})


@odd
def class_folders_and_labels_csv(folder: Path) -> Read:
    (folder / "labels.csv").write_text("file,label\ncat/0.png,owl\n")
    findings = ("labels.csv is not read for labels", "--labels labels.csv")
    return laid_out(folder, {"train": {"cat": "cat", "dog": "dog"}}, findings=findings)


@odd
def class_folders_and_labels_csv_asked_for(folder: Path) -> Read:
    found = laid_out(folder, {"train": {"a": "cat", "b": "dog"}})
    text = "".join(f"{part}/{i}.png,{name}\n" for part, name in (("a", "cat"), ("b", "dog")) for i in range(5))
    (folder / "labels.csv").write_text("file,label\n" + text)
    return replace(found, settings={"labels": "labels.csv"})


@odd
def a_split_column(folder: Path) -> Read:
    images, split = pictures(20), ["train", "train", "val", "test"] * 5
    for i, image in enumerate(images):
        save(folder / "images" / f"{i}.png", image)
    rows = [f"images/{i}.png,{name},{where}" for i, (name, where) in enumerate(zip(PETS, split, strict=True))]
    (folder / "metadata.csv").write_text("\n".join(["file_name,label,split", *rows]))
    wanted = {}
    for name, word in (("train", "train"), ("validation", "val"), ("test", "test")):
        rows = [i for i in range(20) if split[i] == word]
        wanted[name] = (images[rows], [PETS[i] for i in rows])
    findings = ("only in the split train: dog",)
    return Read(folder, wanted, noted=("splits: train, validation, test",), findings=findings)


@odd
def labels_csv_in_each_split(folder: Path) -> Read:
    found = laid_out(folder, {"train": {"train": None}, "test": {"test": None}})
    names = ["cat", "dog", "cat", "dog", "cat"]
    for split in ("train", "test"):
        (folder / split / "metadata.csv").write_text(lines("{i}.png,{label}", "file_name,label", names))
    return replace(found, splits={split: (images, names) for split, (images, _) in found.splits.items()})


@odd
def train_csv_and_test_csv(folder: Path) -> Read:
    """Kaggle: the test images have no labels, and the form to send in is no file of labels."""
    found = laid_out(folder, {"train": {"train": None}, "test": {"test": None}})
    names = ["cat", "dog", "cat", "dog", "cat"]
    (folder / "train.csv").write_text(lines("{i},{label}", "id,label", names))
    (folder / "test.csv").write_text(lines("{i}", "id", range(5)))
    (folder / "sample_submission.csv").write_text(lines("{i},cat", "id,label", range(5)))
    images, _ = found.splits["train"]
    findings = ("test.csv", "test: 5 images have no label and are not used")
    return replace(found, splits={"train": (images, names)}, findings=findings)


@odd
def gtsrb(folder: Path) -> Read:
    """German traffic signs: class folders for training, a table with boxes for testing."""
    found = laid_out(
        folder, {"train": {f"Train/{number}": str(number) for number in (0, 2, 10)}, "test": {"Test": None}}
    )
    names = ["0", "2", "10", "2", "0"]
    (folder / "Test.csv").write_text(
        lines("53,54,6,5,{label},Test/{i}.png", "Width,Height,Roi.X1,Roi.Y1,ClassId,Path", names)
    )
    images, _ = found.splits["test"]
    return replace(found, splits=found.splits | {"test": (images, names)}, noted=("from Test.csv (column ClassId)",))


@odd
def labels_csv_from_another_machine(folder: Path) -> Read:
    return beside(folder, "labels.csv", lines("/home/me/pictures/{i}.png,{label}", "path,label"))


@odd
def labels_csv_of_other_images(folder: Path) -> Read:
    """The names agree, the folders do not: the images of test are not those of train."""
    images = pictures(5)
    for i, image in enumerate(images):
        save(folder / "train" / f"{i}.png", image)
    (folder / "labels.csv").write_text(lines("test/{i}.png,{label}", "path,label", PETS[:5]))
    return Read(folder, {"train": (images, None)}, findings=("labels.csv is not used for labels",))


@odd
def labels_csv_above_the_folder(folder: Path) -> Read:
    images = pictures(10)
    for i, image in enumerate(images):
        save(folder / ("train" if i < 5 else "test") / f"{i % 5}.png", image)
    names = ["cat", "dog", "cat", "dog", "cat"]
    text = lines("test/{i}.png,owl", "path,label", names) + lines("train/{i}.png,{label}", "", names)
    (folder / "labels.csv").write_text(text)
    settings = {"labels": str(folder / "labels.csv")}
    return Read(folder / "train", {"train": (images[:5], names)}, settings, findings=("5 lines",))


@odd
def tiny_imagenet(folder: Path) -> Read:
    wanted = {"train": {f"train/{name}/images": name for name in ("n01443537", "n01629819")}}
    found = laid_out(folder, wanted | {"validation": {"val/images": None}}, "test/images")
    names = ["n01443537", "n01629819", "n01443537", "n01629819", "n01443537"]
    (folder / "val" / "val_annotations.txt").write_text(lines("{i}.png\t{label}\t0\t32\t44\t62", labels=names))
    (folder / "wnids.txt").write_text("n01443537\nn01629819\n")
    images, _ = found.splits["validation"]
    findings = ("test: 5 images have no label and are not used",)
    return replace(found, splits=found.splits | {"validation": (images, names)}, findings=findings)


@odd
def labels_csv_of_train_beside_unlabelled_test_images_of_the_same_names(folder: Path) -> Read:
    found = laid_out(folder, {"train": {"train/cat": "cat", "train/dog": "dog"}}, "test")
    (folder / "labels.csv").write_text(lines("{i}.png,cat", "file,label", range(5)))
    findings = ("labels.csv", "test: 5 images have no label and are not used")
    return replace(found, findings=findings)


@odd
def annotations_of_objects(folder: Path) -> Read:
    (folder / "instances.json").write_text('{"images": [], "annotations": []}')
    for i in range(20):
        (folder / f"{i}.txt").write_text("0 0.5 0.5 1 1")
    return beside(folder, "0.xml", "<annotation/>", names=[None] * 20, noted=("20 .txt", "1 .xml"))


@odd
def labels_csv_with_boxes(folder: Path) -> Read:
    boxes = lines("{i}.png,{label},1,1,4,4", "filename,class,xmin,ymin,xmax,ymax") + "0.png,owl,1,1,2,2\n"
    return beside(folder, "_annotations.csv", boxes, names=[None] * 20, findings=("boxes of objects",))


@odd
def labels_csv_in_a_zip(folder: Path) -> Read:
    found = beside(folder / "set", "labels.csv", lines("{i}.png,{label}", "file,label"))
    with zipfile.ZipFile(folder / "set.zip", "w") as file:
        for path in sorted((folder / "set").iterdir()):
            file.write(path, f"top/{path.name}")
    return replace(found, dataset=folder / "set.zip")


def _read_labels(name: str, text: str | bytes, labels: Sequence[str | None] = PETS, **expected):
    """A function that makes twenty pictures 0.png to 19.png beside a file of their labels."""
    return lambda folder: beside(folder, name, text, names=labels, **expected)


def _rows(labels: Sequence = PETS, form: str = "{i}.png,{label}") -> str:
    return "".join(form.format(i=i, label=label) + "\n" for i, label in enumerate(labels))


SETS |= {
    "labels_csv_of_excel_that_names_its_delimiter": _read_labels(
        "labels.csv", "sep=;\r\nfile;label\r\n" + _rows(form="{i}.png;{label}\r")
    ),
    "labels_csv_below_a_comment": _read_labels("labels.csv", "# made by hand\nfile,label\n" + _rows()),
    "labels_csv_in_another_case": _read_labels(
        "labels.csv", "file,label\n" + _rows(form="{i}.PNG,{label}").upper(), [label.upper() for label in PETS]
    ),
    "labels_csv_with_none": _read_labels(
        "labels.csv",
        "file,label\n" + _rows(["None", *PETS[1:]]),
        ["None", *PETS[1:]],
        findings=("1 image the label 'None'",),
    ),
    "labels_csv_of_one_label": _read_labels(
        "labels.csv", "file,label\n" + _rows(["cat"] * 20), [None] * 20, findings=("all images have the label 'cat'",)
    ),
    "labels_csv_one_hot_in_upper_case": _read_labels(
        "GroundTruth.csv",
        "image,MEL,Nevus Benign\n" + _rows(["1.0,0.0", "0.0,1.0"] * 10, "{i},{label}"),
        ["MEL", "Nevus Benign"] * 10,
    ),
    "labels_csv_with_folds": _read_labels(
        "labels.csv", "file,label,fold\n" + _rows([f"{pet},{i % 5}" for i, pet in enumerate(PETS)]), findings=("fold",)
    ),
    "labels_csv_with_splits_that_nobody_knows": _read_labels(
        "labels.csv",
        "file,label,split\n" + _rows([f"{pet},{('tr', 'holdout')[i % 2]}" for i, pet in enumerate(PETS)]),
        findings=("column split", "holdout, tr"),
    ),
    "labels_csv_with_two_columns_of_one_name": _read_labels(
        "labels.csv",
        "file,label,label\n" + _rows([f"{pet},{i % 2}" for i, pet in enumerate(PETS)]),
        [None] * 20,
        findings=("called label; rename",),
    ),
    "attributes_of_celeba": _read_labels(
        "list_attr_celeba.txt",
        "20\nMale Young\n"
        + _rows([f"{1 - i % 2 * 2:>2} {1 - i % 3 // 2 * 2:>2}" for i in range(20)], "{i}.png {label}"),
        [None] * 20,
        findings=("--labels list_attr_celeba.txt:Male",),
    ),
    "one_attribute_of_celeba": _read_labels(
        "list_attr_celeba.txt",
        "20\nMale Young\n"
        + _rows([f"{1 - i % 2 * 2:>2} {1 - i % 3 // 2 * 2:>2}" for i in range(20)], "{i}.png {label}"),
        ["1", "-1"] * 10,
        settings={"labels": "list_attr_celeba.txt:Male"},
    ),
    "labels_txt_without_a_header_by_number": _read_labels(
        "trainval.txt",
        _rows([f"{pet} {i % 4}" for i, pet in enumerate(PETS)], "{i} {label}"),
        settings={"labels": "trainval.txt:2"},
    ),
    "metadata_jsonl_with_labels_in_labels": _read_labels(
        "metadata.jsonl",
        "".join(json.dumps({"file_name": f"{i}.png", "labels": {"class": pet}}) + "\n" for i, pet in enumerate(PETS)),
        [None] * 20,
        findings=("its labels are lists or objects",),
    ),
}


@odd
def labels_csv_with_what_programs_write_for_nothing(folder: Path) -> Read:
    missing = ("", "NaN", "nan", "<NA>", "#N/A", "null")
    text = "file,label\n" + _rows([*missing, *PETS[len(missing) :]])
    made = beside(folder, "labels.csv", text, findings=("6 images without a label",))
    images, names = made.splits["train"]
    return replace(made, splits={"train": (images[len(missing) :], names[len(missing) :])})


@odd
def a_file_of_labels_is_counted_once(folder: Path) -> Read:
    wanted = laid_out(folder, {"train": {"a": "a", "b": "b"}}, findings=("labels.csv is not read",))
    (folder / "labels.csv").write_text("file,label\n0.png,x\n")
    (folder / "notes.md").write_text("x")
    return replace(wanted, noted=("other files that are not read: 1 .md",))


@odd
def labels_in_the_names_of_images(folder: Path) -> Read:
    images = pictures(12)
    for i, image in enumerate(images):
        save(folder / "train" / f"{('cat', 'dog')[i % 2]}.{i}.png", image)
    return Read(folder, {"train": (images, None)}, findings=("not read: cat, dog; to use them",))


@odd
def names_of_two_cameras(folder: Path) -> Read:
    images = pictures(12)
    for i, image in enumerate(images):
        save(folder / f"{('IMG', 'DSC')[i % 2]}_{i}.png", image)
    return Read(folder, {"train": (images, None)})


@odd
def splits_without_a_file(folder: Path) -> Read:
    for name in ("test/a", "validation", "train/c"):
        (folder / name).mkdir(parents=True)
    return laid_out(
        folder, {"train": {"train/a": "a", "train/b": "b"}}, findings=("test, validation, train/c hold no",)
    )


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
    return Read(folder, {"train": (flat[:1], None)}, findings=("one value",))


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
    for name in ("a.arrow", "b.arrow", "README.md"):
        (folder / name).write_bytes(b"x")
    return Refused(folder, ("no images", "2 .arrow", "1 .md"))


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


@odd
def keys_that_are_not_used(folder: Path) -> Read:
    images = pictures(20)
    path = archive(folder, images=images, masks=images[..., 0], boxes=np.zeros((20, 4)), version=np.array(3))
    found = ("'masks' [20, 8, 6]", "'boxes' [20, 4]")
    return Read(path, _expected(images), noted=("'version'",), findings=found)


@odd
def variables_that_are_not_used(folder: Path) -> Read:
    images = pictures(20)
    path = mat(folder, images=images, masks=images[..., 0], meta={"camera": 3})
    return Read(path, _expected(images), noted=("'meta.camera'",), findings=("'masks' [20, 8, 6]",))


def _idx(array: np.ndarray) -> bytes:
    """A uint8 array in the format of MNIST's files."""
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def _idx_files(prefix: str = "", separator: str = "-", seed: int = 0) -> tuple[dict, dict[str, bytes]]:
    """The splits of a small MNIST, and its four files: name -> content."""
    splits, files = {}, {}
    for split, name, count in (("train", "train", 20), ("test", "t10k", 10)):
        images, labels = pictures(count, 8, 8, seed=count + seed), np.arange(count, dtype=np.uint8) % 10
        splits[split] = (images, list(map(str, labels)))
        files[f"{prefix}{name}-images{separator}idx3-ubyte"] = _idx(images[..., 0])
        files[f"{prefix}{name}-labels{separator}idx1-ubyte"] = _idx(labels)
    return splits, files


def _write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@odd
def mnist_as_torchvision_leaves_it(folder: Path) -> Read:
    splits, files = _idx_files()
    packed = {f"MNIST/raw/{name}.gz": gzip.compress(content) for name, content in files.items()}
    _write_files(folder, {**{f"MNIST/raw/{name}": content for name, content in files.items()}, **packed})
    return Read(folder, splits, noted=("IDX", "t10k-labels-idx1-ubyte"))


@odd
def mnist_by_one_of_its_files(folder: Path) -> Read:
    splits, files = _idx_files()
    _write_files(folder, {f"{name}.gz": gzip.compress(content) for name, content in files.items()})
    return Read(folder / "train-images-idx3-ubyte.gz", splits)


@odd
def mnist_in_a_zip_with_dots_in_its_names(folder: Path) -> Read:
    splits, files = _idx_files(separator=".")
    return Read(_zip(folder / "archive.zip", files.items()), splits)


@odd
def emnist_lies_on_its_side(folder: Path) -> Read:
    splits, files = _idx_files("emnist-letters-")
    _write_files(folder, {name.replace("t10k", "test"): content for name, content in files.items()})
    upright = {split: (images.transpose(0, 2, 1, 3), labels) for split, (images, labels) in splits.items()}
    return Read(folder, upright, noted=("EMNIST", "--mat_orientation"))


@odd
def two_mnists(folder: Path) -> Refused:
    for name, seed in (("MNIST", 0), ("FashionMNIST", 1)):
        _write_files(folder / name / "raw", _idx_files(seed=seed)[1])
    return Refused(folder, ("several data sets", "FashionMNIST/raw/t", "folder"))


@odd
def emnist_of_several_kinds(folder: Path) -> Refused:
    for name in ("letters", "digits"):
        _write_files(folder, _idx_files(f"emnist-{name}-")[1])
    return Refused(folder, ("2 data sets", "emnist-letters-", "emnist-digits-"))


@odd
def mnist_that_is_cut_off(folder: Path) -> Refused:
    files = {name: content[:-50] for name, content in _idx_files()[1].items()}
    return Refused(_write_files(folder, files), ("idx3-ubyte", "cannot be read", "ends after"))


@odd
def names_that_macos_decomposes(folder: Path) -> Read:
    images = pictures(8)
    for number, image in enumerate(images):
        split, name = ("train", "caf\u00e9") if number % 2 else ("test", "cafe\u0301")  # the same word, as two strings
        save(folder / split / name / f"{number}.png", image)
        save(folder / split / "bar" / f"{number}.png", image[::-1])
    both = {
        split: (np.concatenate([images[some], images[some, ::-1]]), ["caf\u00e9"] * 4 + ["bar"] * 4)
        for split, some in (("train", slice(1, None, 2)), ("test", slice(0, None, 2)))
    }
    return Read(folder, both)


@odd
def names_with_control_characters(folder: Path) -> Read:
    images = pictures(8)
    for number, image in enumerate(images):
        save(folder / ("cat\n\x1b[2J" if number % 2 else "dog") / f"{number}.png", image)
    return Read(folder, {"train": (images, ["cat\\x0a\\x1b[2J" if number % 2 else "dog" for number in range(8)])})


@odd
def cifar_as_python_pickles(folder: Path) -> Refused:
    names = ("data_batch_1", "test_batch", "batches.meta")
    _write_files(folder, {f"cifar-10-batches-py/{name}": b"\x80\x02" for name in names})
    return Refused(folder, ("no images", "2 without a suffix", "pickles", "--dataset cifar10"))


@odd
def mnist_beside_a_photo_that_is_not_read(folder: Path) -> Read:
    splits, files = _idx_files()
    _write_files(folder, {**files, "a.heic": b"x", "README.md": b"x"})
    return Read(folder, splits, noted=("1 .md",), findings=("1 .heic",))


@odd
def a_tiff_of_thirteen_channels(folder: Path) -> Refused:
    """As the satellite pictures of EuroSAT are."""
    values = np.zeros((8, 8, 13), "<u2")
    tags = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 13, 134), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 160)]
    tags += [(277, 3, 1, 13), (278, 3, 1, 8), (279, 4, 1, values.nbytes), (284, 3, 1, 1)]
    content = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    content = (content + b"\0" * 4).ljust(134, b"\0") + struct.pack("<13H", *[16] * 13) + values.tobytes()
    (folder / "a.tif").write_bytes(content)
    return Refused(folder, ("a.tif (a TIFF of a kind that is not read, for example one of more than four channels",))


@odd
def an_address(folder: Path) -> Refused:
    return Refused(
        "https://nowhere.invalid/datasets/a/b", ("https://nowhere.invalid/datasets/a/b", "download the images")
    )


@odd
def a_pattern(folder: Path) -> Refused:
    save(folder / "0.png", pictures(1)[0])
    return Refused(folder / "*.png", ("*.png", "a pattern; give the folder"))


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
        entries = [("set/readme.txt", b"x"), *((f"set/{name}", content) for name, content in files.items())]
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
def a_part_of_a_split_zip(folder: Path) -> Refused:
    (folder / "x.z01").write_bytes(b"PK")
    return Refused(_zip(folder / "x.zip", _members()[2].items()), ("x.zip", "split archive; join the parts"))


@odd
def a_7z_named_zip(folder: Path) -> Refused:
    (folder / "x.zip").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(100))
    return Refused(folder / "x.zip", ("x.zip", "it is a .7z file"))


@odd
def a_zip_that_is_cut_off(folder: Path) -> Refused:
    path = _zip(folder / "x.zip", _members()[2].items())
    path.write_bytes(path.read_bytes()[:-100])
    return Refused(path, ("x.zip", "it is cut off"))


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
