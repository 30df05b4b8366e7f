"""Export: a trained model as files that need no kgen, each compared with the model.

Names load when they are first used: the names of the quantizations need no TensorFlow.
"""

import importlib

_HOMES = {"export": "bundle", "verify_export": "verify", "QUANTIZATIONS": "tolerances"}

__all__ = [*_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"kgen.export.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kgen.export' has no attribute {name!r}")
