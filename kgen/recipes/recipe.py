"""Recipes: named, complete experiments, each a JSON file in this folder with the fields of `Recipe`.

A recipe is a set of settings over the defaults of RunConfig, with what it reproduces and what it was measured to reach.
`configure` turns its name and the user's own settings into the configuration of a run. Where a recipe's own data are
not available, it trains on the first of its stand-ins that is in the data folder, and the log says so.
"""

import dataclasses
import itertools
import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgen.config import DataConfig, RunConfig, flatten, override
from kgen.errors import DataMissing, UserError
from kgen.io import find_data_file, where_looked
from kgen.registry import nearest

FOLDER = Path(__file__).parent
RECIPES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
"""The names of all recipes."""


@dataclass(frozen=True)
class RecipeResult:
    """A metric of a run of the recipe.

    Attributes:
        metric: its name as in kgen-eval, e.g. "nll".
        value: in `unit`.
        unit: e.g. "nats"; empty for a value without one.
        protocol: how it was measured, in words.
        seconds: wall time of the training.
        hardware: what it was trained on.
    """

    metric: str
    value: float
    unit: str
    protocol: str
    seconds: float
    hardware: str

    def __str__(self) -> str:
        value = f"{self.metric} {self.value:g}{' ' if self.unit else ''}{self.unit}"
        return f"{value} ({self.protocol})"


@dataclass(frozen=True)
class Recipe:
    """One experiment.

    Attributes:
        name: of its file, without ".json".
        title: what it is, one line.
        reproduces: the experiment or publication that it follows, with the published value.
        settings: dotted settings, as `--set` takes them, over the defaults of RunConfig.
        results: what was measured; empty where nothing was.
        stand_ins: names of data files to train on where the recipe's own data are not available, the best first.
        note: remarks; may be empty.
    """

    name: str
    title: str
    reproduces: str
    settings: Mapping[str, Any]
    results: tuple[RecipeResult, ...] = ()
    stand_ins: tuple[str, ...] = ()
    note: str = ""

    @property
    def dataset(self) -> str | None:
        """What it is trained on: a TFDS set or the name of a data file; None where the user brings the images."""
        return self.settings.get("data.dataset")

    def result_lines(self) -> list[str]:
        """The results in words, those of one training together; ["not measured"] without any."""
        lines = []
        for (seconds, hardware), group in itertools.groupby(self.results, lambda r: (r.seconds, r.hardware)):
            lines += [*map(str, group), f"in {seconds:,.0f} s on {hardware}"]
        return lines or ["not measured"]


def load_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    if name not in RECIPES:
        raise UserError(f"unknown recipe {name!r}: {nearest(name, RECIPES)}; kgen-train --list_recipes explains them")
    values = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    values["results"] = tuple(RecipeResult(**result) for result in values["results"])
    values["stand_ins"] = tuple(values["stand_ins"])
    return Recipe(name, **values)


# From a recipe to the configuration of a run --------------------------------------------------------------------------


def configure(
    name: str, settings: Mapping[str, Any] | None = None, *, open_source: Callable[[DataConfig], Any] | None = None
) -> RunConfig:
    """The configuration of a recipe.

    Args:
        name: of the recipe.
        settings: dotted settings that take precedence over the recipe's.
        open_source: `kgen.data.sources.resolve.open_source`, to find out whether a TFDS set is available; None assumes
            that it is.

    Raises:
        UserError: no such recipe or setting, or no data to train on.
    """
    recipe, settings = load_recipe(name), settings or {}
    config = override(RunConfig(), {**recipe.settings, **settings})
    if "data.dataset" not in settings:
        dataset = choose_data(recipe, config.data, open_source)
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, dataset=dataset))
    return dataclasses.replace(config, recipe=name)


FILE_SUFFIXES = (".mat", ".npz", ".zip")
"""A data set with such a suffix is a data file; any other name is that of a TFDS set."""


def choose_data(recipe: Recipe, data: DataConfig, open_source: Callable[[DataConfig], Any] | None) -> str:
    """The `dataset` to train on: the recipe's own if it is available, else the first of its stand-ins that is.

    Args:
        recipe: to be trained.
        data: its data settings.
        open_source: opens what the settings name, or raises DataMissing; None assumes that a TFDS set is available.

    Returns:
        The name of a TFDS set, or the path of a file.

    Raises:
        UserError: neither is available.
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


# What the log of a run says about its recipe --------------------------------------------------------------------------


def log_lines(config: RunConfig) -> list[str]:
    """Lines for the log of a run that was configured by a recipe; [] without one.

    Args:
        config: from `configure`, before choices are filled in that depend on the data.

    Raises:
        UserError: there is no recipe of this name.
    """
    if config.recipe is None:
        return []
    recipe = load_recipe(config.recipe)
    changed = ", ".join(f"{name}={json.dumps(value)}" for name, value in changed_settings(recipe, config).items())
    lines = (
        f"{recipe.title}; reproduces {recipe.reproduces}",
        recipe.note and f"note: {recipe.note}",
        changed and f"changed by you: {changed}",
        stand_in_note(recipe, config.data.dataset),
    )
    return [f"recipe {recipe.name}: {line}" for line in lines if line]


def stand_in_note(recipe: Recipe, dataset: str) -> str:
    """A sentence that `dataset` is a stand-in for the recipe's own data; empty where it is not."""
    if Path(dataset).name not in recipe.stand_ins:
        return ""
    instead = f" instead of {recipe.dataset}" if recipe.dataset else ""
    return f"training on the stand-in {Path(dataset).name}{instead}: results are not comparable with the original's"


def changed_settings(recipe: Recipe, config: RunConfig) -> dict[str, Any]:
    """The dotted settings of `config` that differ from the recipe's.

    A stand-in, the path of a data file, or a data set that the user has to bring does not count as a change.
    """
    own, asked = (flatten(c.to_json()) for c in (override(RunConfig(), recipe.settings), config))
    same_data = {recipe.dataset, *recipe.stand_ins}
    expected_data = recipe.dataset is None or Path(config.data.dataset).name in same_data
    ignored = {"recipe", "data.dataset"} if expected_data else {"recipe"}
    return {name: value for name, value in asked.items() if name not in ignored and value != own.get(name)}


# All recipes as a table -----------------------------------------------------------------------------------------------


def render_recipes(width: int) -> str:
    """The list of `kgen-train --list_recipes`: names, each with what it is, what it reproduces and its results below.

    Args:
        width: characters per line.
    """
    entries = []
    for recipe in map(load_recipe, RECIPES):
        lines = [recipe.name]
        for words in (recipe.title, f"reproduces {recipe.reproduces}", *recipe.result_lines()):
            lines += textwrap.wrap(
                words, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False,
                break_on_hyphens=False,
            )  # fmt: skip
        entries.append("".join(f"{line}\n" for line in lines))
    return "\n".join(entries)


def markdown() -> str:
    """kgen/recipes/README.md: how to train a recipe, a table of all, and a section with settings and results of each.

    `python -m kgen.recipes > kgen/recipes/README.md` writes it; a test checks that the file is up to date.
    """
    recipes = [load_recipe(name) for name in RECIPES]
    index = "\n".join(
        f"| [{recipe.name}](#{recipe.name}) | {recipe.title} | {_data_words(recipe)} | {_headline(recipe)} |"
        for recipe in recipes
    )
    return (
        f"{_INTRODUCTION}\n| recipe | what it is | data | first result |\n|---|---|---|---|\n{index}\n\n"
        + "\n".join(map(_section, recipes))
    )


_INTRODUCTION = """\
# Recipes

<!-- Generated: python -m kgen.recipes > kgen/recipes/README.md -->

A recipe is a named, complete experiment: a model, its data, every setting that differs from the defaults, and what it
was measured to reach. Each is one JSON file in this folder.

```
kgen-train --list_recipes                           # this list, in the terminal
kgen-train --recipe mnist-mlp-vae                   # train one
kgen-train --recipe mnist-mlp-vae --epochs 5 --set model_args.latent_dim=8     # with settings of your own
kgen-train --recipe own-pictures --dataset photos/  # with images of your own
```

Flags and `--set` take precedence over the recipe. `config.json` and the log of the run name the recipe and what was
changed. Data files are found by name in the folder `KGEN_DATA_DIR`, or in `../shared/data`. Where a recipe's own data
are not available it trains on its stand-in, if it has one and that is there, and says so; results on a stand-in are
not comparable with those on the recipe's own data.
"""


def _section(recipe: Recipe) -> str:
    settings = "\n".join(f"{name}={json.dumps(value)}" for name, value in recipe.settings.items())
    facts = [f"Reproduces {recipe.reproduces}."]
    if recipe.note:
        facts.append(f"{recipe.note[:1].upper()}{recipe.note[1:]}.")
    if recipe.stand_ins:
        facts.append(f"Stand-in data: `{'`, `'.join(recipe.stand_ins)}`.")
    lines = [f"## {recipe.name}", "", f"{recipe.title[:1].upper()}{recipe.title[1:]}.", "", " ".join(facts), ""]
    if recipe.results:
        lines += ["| metric | value | protocol | training |", "|---|---|---|---|"]
        lines += [
            f"| {r.metric} | {r.value:g} {r.unit}".rstrip() + f" | {r.protocol} | {r.seconds:,.0f} s, {r.hardware} |"
            for r in recipe.results
        ]
        lines.append("")
    return "\n".join([*lines, "```", settings, "```", ""])


def _data_words(recipe: Recipe) -> str:
    return f"`{recipe.dataset}`" if recipe.dataset else "images of your own"


def _headline(recipe: Recipe) -> str:
    if not recipe.results:
        return "not measured"
    first = recipe.results[0]
    return f"{first.metric} {first.value:g} {first.unit}".rstrip()
