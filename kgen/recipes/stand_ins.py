"""What a recipe is trained on: its own data, or, where these are not at hand, a stand-in from the data folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kgen.config import DataConfig
from kgen.data_folder import find_data_file, where_looked
from kgen.errors import DataMissing, UserError
from kgen.recipes.recipe import Recipe

FILE_SUFFIXES = (".mat", ".npz", ".zip")
"""What the name of a data file ends with; any other name is that of a TFDS set."""


def choose_data(recipe: Recipe, data: DataConfig, open_source: Callable[[DataConfig], Any] | None) -> str:
    """The `dataset` to train on: the recipe's own, if it can be had, or else the first of its stand-ins.

    Args:
        recipe: to be trained.
        data: its data settings.
        open_source: opens what the settings name, or raises DataMissing; where None, a TFDS set is taken to be there.

    Returns:
        The name of a TFDS set, or the path of a file.

    Raises:
        UserError: neither is there.
    """
    if recipe.dataset is None:
        missing = f"recipe {recipe.name!r} is for images of your own: give --dataset photos/ (a folder or a .zip)"
    elif recipe.dataset.endswith(FILE_SUFFIXES):
        if path := find_data_file(recipe.dataset):
            return str(path)
        missing = (
            f"recipe {recipe.name!r} needs {recipe.dataset}, which was not found ({where_looked()}): give the file "
            "with --dataset, or set KGEN_DATA_DIR to a folder that holds it"
        )
    else:
        try:
            if recipe.stand_ins and open_source:
                open_source(data)
            return recipe.dataset
        except DataMissing as error:
            missing = str(error)
    for name in recipe.stand_ins:
        if path := find_data_file(name):
            return str(path)
    if recipe.stand_ins:
        missing += (
            f". Its stand-in, {' or '.join(recipe.stand_ins)}, was not found either ({where_looked()}); "
            "KGEN_DATA_DIR names the folder that holds it"
        )
    raise UserError(missing)


def stand_in_words(recipe: Recipe, dataset: str) -> str:
    """That `dataset` is not the recipe's own data but a stand-in for them; empty where it is none."""
    if Path(dataset).name not in recipe.stand_ins:
        return ""
    instead = f" instead of {recipe.dataset}" if recipe.dataset else ""
    return f"training on the stand-in {Path(dataset).name}{instead}: its figures do not compare with the original's"
