"""kgen: train, evaluate and export image generators with Keras.

    import kgen

    run = kgen.train.train(kgen.RunConfig(model="cvae"))              # as kgen-train; a Run, in runs/00000-cvae-digits
    results, file = kgen.evaluate.evaluate(run.path)                  # as kgen-eval
    samples = kgen.generate(kgen.open_sampler(run.path), 64, seed=1)  # as kgen-sample
    version = kgen.export.export(run, "exports/cvae")                 # as kgen-export

Each command is a function of the package of its name. For a model alone:

    spec = kgen.data.load(kgen.DataConfig(dataset="digits")).spec
    model = kgen.build_model("cvae", spec, seed=0)

Names load when they are first used: importing TensorFlow takes seconds, `import kgen` does not.
"""

import importlib

from kgen import imports

__version__ = "0.1.0"

_HOMES = {
    "DataSpec": "kgen.spec",
    "DataConfig": "kgen.config",
    "TrainConfig": "kgen.config",
    "RunConfig": "kgen.config",
    "EvalConfig": "kgen.config",
    "UserError": "kgen.errors",
    "PRESETS": "kgen.models.presets",
    "build_model": "kgen.models",
    "Run": "kgen.run",
    "open_sampler": "kgen.sampling",
    "generate": "kgen.sampling",
}
_PACKAGES = (
    "data", "models", "nn", "losses", "metrics", "divergence", "images", "random", "tfgan", "recipes", "train",
    "sampling", "evaluate", "export", "explore", "report",
)  # fmt: skip

__all__ = ["__version__", *_HOMES, *_PACKAGES]

imports.quietly()


def __getattr__(name: str):
    if name in _PACKAGES:
        return importlib.import_module(f"kgen.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'kgen' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
