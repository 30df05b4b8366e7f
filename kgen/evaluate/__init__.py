"""Evaluation: metrics of generated images, each with the protocol by which it was computed.

Names load when they are first used: comparing results needs no TensorFlow.
"""

import importlib

from kgen.config import EvalConfig

_HOMES = {
    "METRICS": "registry",
    "Evaluator": "evaluator",
    "Monitor": "monitor",
    "evaluate": "evaluator",
}

__all__ = ["EvalConfig", *_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"kgen.evaluate.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kgen.evaluate' has no attribute {name!r}")
