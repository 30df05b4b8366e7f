"""Recipes: named, complete experiments, one JSON file each with the fields of `Recipe`.

>>> config = configure("mnist-mlp-vae", {"train.epochs": 5})
>>> run = kgen.train.train(config)  # what `kgen-train --recipe mnist-mlp-vae --epochs 5` does
"""

from kgen.recipes.recipe import (
    RECIPES,
    Recipe,
    RecipeResult,
    configure,
    load_recipe,
    log_lines,
    markdown,
    stand_in_note,
)

__all__ = [
    "RECIPES",
    "Recipe",
    "RecipeResult",
    "configure",
    "load_recipe",
    "log_lines",
    "markdown",
    "stand_in_note",
]
