"""Images of the user's own, brought to the shape that the model takes."""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from kgen import data
from kgen.config import DataConfig
from kgen.data.sources.resolve import is_data_file
from kgen.errors import UserError
from kgen.explore.context import Context


def load_user_images(context: Context, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads the images of a folder, a .zip or one file.

    Labels are `--label`, or come from folders that are named like the model's classes.

    Returns:
        ([N, H, W, C] uint8, [N] int32).

    Raises:
        UserError: there are no images, or the model is conditional and there is no label.
    """
    height, width, channels = context.spec.image_shape
    source = Path(path)
    if not source.exists():
        raise UserError(f"--images {path} does not exist; give a folder, a .zip or an image file")
    with tempfile.TemporaryDirectory() as folder:
        if source.is_file() and not is_data_file(source):
            shutil.copy(source, Path(folder) / source.name)
            source = Path(folder)
        config = DataConfig(
            dataset=str(source),
            image_size=(height, width),
            grayscale=channels == 1,
            validation_fraction=0.0,
            cache="memory",
        )
        found = data.load(config)
        parts = [found.arrays(split) for split in found.splits]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if found.spec.image_shape != context.spec.image_shape:
        raise UserError(
            f"--images {path}: images of shape {found.spec.image_shape}, the model's are {context.spec.image_shape}"
        )
    return np.array(pixels), _labels(context, found.spec.class_names, labels)


def _labels(context: Context, names: tuple[str, ...], labels: np.ndarray) -> np.ndarray:
    if not context.sampler.conditional:
        return np.zeros(len(labels), np.int32)
    if context.label is not None:
        return np.full(len(labels), context.label, np.int32)
    known = context.spec.class_names
    if names and {*names} <= {*known}:
        return np.array([known.index(name) for name in names], np.int32)[labels]
    raise UserError(
        "the model is conditional and needs the class of --images: give --label, or put them into folders named like "
        f"the classes ({', '.join(map(str, known[:10]))})"
    )
