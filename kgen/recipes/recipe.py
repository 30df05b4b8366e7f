"""Recipe: one named experiment, and the JSON file that it is read from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgen.errors import UserError
from kgen.registry import nearest

FOLDER = Path(__file__).parent
RECIPES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
"""The names of all recipes."""


@dataclass(frozen=True)
class Figure:
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
    reached: tuple[Figure, ...] = ()
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
    values["reached"] = tuple(Figure(**figure) for figure in values["reached"])
    values["stand_ins"] = tuple(values["stand_ins"])
    return Recipe(name, **values)
