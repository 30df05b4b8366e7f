"""From a recipe to the configuration of a run, and what the run's log says of it."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kgen.config import DataConfig, RunConfig, override
from kgen.recipes.recipe import Recipe, load_recipe
from kgen.recipes.stand_ins import choose_data, stand_in_words


def configure(
    name: str, settings: Mapping[str, Any] | None = None, *, open_source: Callable[[DataConfig], Any] | None = None
) -> RunConfig:
    """The configuration of a recipe.

    Args:
        name: of the recipe.
        settings: dotted settings that win over the recipe's.
        open_source: `kgen.data.resolve.open_source`, to learn whether a TFDS set can be had; where None, it is taken to
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
