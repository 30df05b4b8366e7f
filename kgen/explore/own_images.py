"""Images of the user's own, brought to the shape that the model knows."""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from kgen import data
from kgen.config import DataConfig
from kgen.errors import UserError
from kgen.explore.lab import Lab


def load_images(lab: Lab, path: str) -> tuple[np.ndarray, np.ndarray]:
    """The images of a folder, a .zip or one file.

    Labels are those of folders that bear names of the model's classes, or `--label`.

    Returns:
        ([N, H, W, C] uint8, [N] int32).

    Raises:
        UserError: nothing there, or a conditional model and no label.
    """
    height, width, channels = lab.spec.image_shape
    place = Path(path)
    if not place.exists():
        raise UserError(f"--images {path} does not exist; give a folder, a .zip or an image file")
    with tempfile.TemporaryDirectory() as folder:
        if place.is_file() and place.suffix.lower() not in (".zip", ".npz", ".mat"):
            shutil.copy(place, Path(folder) / place.name)
            place = Path(folder)
        config = DataConfig(
            dataset=str(place),
            image_size=(height, width),
            grayscale=channels == 1,
            validation_fraction=0.0,
            cache="memory",
        )
        found = data.load(config)
        parts = [found.arrays(split) for split in found.splits]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if found.spec.image_shape != lab.spec.image_shape:
        raise UserError(
            f"--images {path}: images of shape {found.spec.image_shape}, the model's are {lab.spec.image_shape}"
        )
    return np.array(pixels), _labels(lab, found.spec.class_names, labels)


def _labels(lab: Lab, names: tuple[str, ...], labels: np.ndarray) -> np.ndarray:
    if not lab.sampler.conditional:
        return np.zeros(len(labels), np.int32)
    if lab.label is not None:
        return np.full(len(labels), lab.label, np.int32)
    known = lab.spec.class_names
    if names and {*names} <= {*known}:
        return np.array([known.index(name) for name in names], np.int32)[labels]
    raise UserError(
        "the model is conditional and must be told the class of --images: give --label, or put them into folders with "
        f"the names of classes ({', '.join(map(str, known[:10]))})"
    )
