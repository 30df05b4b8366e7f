"""Exploration: pictures of a model's samples, of its latent space and of its training. See `explore`.

It stands above training, evaluation and export: neighbours and features are measured, curves are plotted, and the page
runs an export. Names load when they are first used.
"""

import importlib

_HOMES = {"KINDS": "kinds", "Options": "kinds", "explore": "explorer", "explore_page": "explorer"}

__all__ = [*_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"kgen.explore.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kgen.explore' has no attribute {name!r}")
