"""Recipe: one named experiment, and the JSON file that it is read from."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgen.config import DataConfig, RunConfig, override
from kgen.errors import DataMissing, UserError
from kgen.io import find_data_file, where_looked
from kgen.registry import nearest
from kgen.tables import render_table

FOLDER = Path(__file__).parent
RECIPES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
"""The names of all recipes."""


@dataclass(frozen=True)
class ReachedFigure:
    """What a run of the recipe reached.

    Attributes:
        figure: its name as in kgen-eval, e.g. "nll".
        value: in `unit`.
        unit: e.g. "nats"; empty for a number without one.
        protocol: how it was taken, in words.
        seconds: wall time of the training.
        hardware: what it was trained on.
    """

    figure: str
    value: float
    unit: str
    protocol: str
    seconds: float
    hardware: str

    def __str__(self) -> str:
        value = f"{self.figure} {self.value:g}{' ' if self.unit else ''}{self.unit}"
        return f"{value} ({self.protocol})"


@dataclass(frozen=True)
class Recipe:
    """One experiment.

    Attributes:
        name: of its file.
        title: what it is, one line.
        reproduces: the experiment or publication that it goes back to, with the figure that was published.
        settings: dotted settings, as `--set` takes them, over the defaults of RunConfig.
        reached: what was measured; empty where nothing was.
        stand_ins: names of data files to train on where the recipe's own data are not at hand, the best first.
        note: what else is to know; may be empty.
    """

    name: str
    title: str
    reproduces: str
    settings: Mapping[str, Any]
    reached: tuple[ReachedFigure, ...] = ()
    stand_ins: tuple[str, ...] = ()
    note: str = ""

    @property
    def dataset(self) -> str | None:
        """What it is trained on: a TFDS set or the name of a data file; None where the user brings the images."""
        return self.settings.get("data.dataset")


def load_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    if name not in RECIPES:
        raise UserError(f"unknown recipe {name!r}: {nearest(name, RECIPES)}; kgen-train --list_recipes explains them")
    values = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    values["reached"] = tuple(ReachedFigure(**figure) for figure in values["reached"])
    values["stand_ins"] = tuple(values["stand_ins"])
    return Recipe(name, **values)


# Stand ins ------------------------------------------------------------------------------------------------------------
# What a recipe is trained on: its own data, or, where these are not at hand, a stand-in from the data folder.


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


# Configuration --------------------------------------------------------------------------------------------------------
# From a recipe to the configuration of a run, and what the run's log says of it.


def configure(
    name: str, settings: Mapping[str, Any] | None = None, *, open_source: Callable[[DataConfig], Any] | None = None
) -> RunConfig:
    """The configuration of a recipe.

    Args:
        name: of the recipe.
        settings: dotted settings that win over the recipe's.
        open_source: `kgen.data.sources.resolve.open_source`, to learn whether a TFDS set can be had; None takes it to
            be there.

    Raises:
        UserError: no such recipe or setting, or no data to train on.
    """
    recipe, settings = load_recipe(name), settings or {}
    config = override(RunConfig(), {**recipe.settings, **settings})
    if "data.dataset" not in settings:
        dataset = choose_data(recipe, config.data, open_source)
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, dataset=dataset))
    return dataclasses.replace(config, recipe=name)


def account(config: RunConfig) -> list[str]:
    """What a log says of the recipe that a configuration comes from; nothing where it comes from none.

    Args:
        config: as `configure` gave it, before choices are filled in that depend on the data.

    Raises:
        UserError: there is no recipe of this name.
    """
    if config.recipe is None:
        return []
    recipe = load_recipe(config.recipe)
    changed = ", ".join(f"{setting}={json.dumps(value)}" for setting, value in changes(recipe, config).items())
    told = (
        f"{recipe.title}; reproduces {recipe.reproduces}",
        recipe.note and f"note: {recipe.note}",
        changed and f"changed by you: {changed}",
        stand_in_words(recipe, config.data.dataset),
    )
    return [f"recipe {recipe.name}: {line}" for line in told if line]


def changes(recipe: Recipe, config: RunConfig) -> dict[str, Any]:
    """The dotted settings of `config` that are not the recipe's; a stand-in, the place of a file, or what the
    user has to bring, is none.
    """
    own, asked = (_dotted(c.to_json()) for c in (override(RunConfig(), recipe.settings), config))
    same_data = {recipe.dataset, *recipe.stand_ins}
    asked_for = recipe.dataset is None or Path(config.data.dataset).name in same_data
    ignored = {"recipe", "data.dataset"} if asked_for else {"recipe"}
    return {name: value for name, value in asked.items() if name not in ignored and value != own.get(name)}


def _dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"seed": 0, "train": {"epochs": 3}} -> {"seed": 0, "train.epochs": 3}."""
    found = {}
    for name, value in values.items():
        found |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, Mapping) else {name: value}
    return found


# Table ----------------------------------------------------------------------------------------------------------------
# The recipes as a table: what each reproduces and what it reached.


HEADERS = ("recipe", "what it is; what it reproduces", "what it reached")
LEAST_WIDTH = 60


def render_recipes(width: int | None = None) -> str:
    """The table as text.

    Args:
        width: characters a line; longer cells are wrapped. None wraps nothing: a line per recipe, for a file or a pipe.

    Returns:
        Lines, each with its end of line.
    """
    separator = "; " if width is None else "\n"
    rows = [
        (recipe.name, f"{recipe.title}{separator}reproduces {recipe.reproduces}", separator.join(reached(recipe)))
        for recipe in map(load_recipe, RECIPES)
    ]
    return render_table(HEADERS, rows, width=width and max(width, LEAST_WIDTH), wrap=True)


def reached(recipe: Recipe) -> list[str]:
    """The recipe's figures in words, those of one training together."""
    lines = []
    for (seconds, hardware), figures in itertools.groupby(recipe.reached, lambda f: (f.seconds, f.hardware)):
        lines += [*map(str, figures), f"in {seconds:,.0f} s on {hardware}"]
    return lines or ["not measured"]
