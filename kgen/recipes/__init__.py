"""Recipes: named, complete experiments, one JSON file each with the fields of `Recipe`.

>>> config = configure("mnist-mlp-vae", {"train.epochs": 5})
>>> run = kgen.train(config)  # what `kgen-train --recipe mnist-mlp-vae --epochs 5` does
"""

from kgen.recipes.configuration import account, configure
from kgen.recipes.recipe import RECIPES, Figure, Recipe, load_recipe
from kgen.recipes.stand_ins import stand_in_words

__all__ = ["RECIPES", "Figure", "Recipe", "account", "configure", "load_recipe", "stand_in_words"]
