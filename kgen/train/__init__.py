"""Training: the loop, its defaults and callbacks, checkpoints and resuming, diagnostics, several devices.

Names load when they are first used: the checks of a configuration need no TensorFlow. `dry_run` is in the module of its
name.
"""

import importlib

_HOMES = {"DryRun": "dry_run", "resolve_defaults": "defaults", "resume": "trainer", "train": "trainer"}

__all__ = [*_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"kgen.train.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kgen.train' has no attribute {name!r}")
