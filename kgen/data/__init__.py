"""Images in: any source -> one shape -> (images [B, H, W, C] float32 in [0, 1], labels [B] int32).

`load` opens a data set, `pipeline` is the short way from a name to a `tf.data.Dataset`. Importing this loads no
TensorFlow. Names load when they are first used: finding a run's data needs none of what reads them.
"""

import importlib

_HOMES = {
    "Dataset": "dataset",
    "Skipped": "sources.base",
    "SplitImages": "dataset",
    "load": "loading",
    "pipeline": "loading",
    "resplit": "loading",
}

__all__ = [*_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"kgen.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kgen.data' has no attribute {name!r}")
