"""Evaluation: figures that say how they were measured.

Names load when they are first used: comparing what was evaluated needs no TensorFlow.
"""

import importlib

from kgen.callable_module import make_callable

_HOMES = {
    "METRICS": "measures",
    "EvalConfig": "evaluator",
    "Evaluator": "evaluator",
    "Reference": "reference",
    "Watch": "watch",
    "evaluate": "evaluator",
    "load_reference": "reference",
}

__all__ = [*_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"kgen.evaluate.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kgen.evaluate' has no attribute {name!r}")


make_callable(__name__, "evaluate")
