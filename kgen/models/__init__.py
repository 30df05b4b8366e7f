"""The models. What a name means is in `presets`; each class is in the module of its family.

Names load when they are first used: `import kgen.models.presets` imports no TensorFlow.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from kgen.models.presets import FAMILIES, PRESETS
from kgen.spec import DataSpec

_HOMES = {"GenerativeModel": "kgen.models.base", "Phase": "kgen.models.base"} | FAMILIES

__all__ = [*_HOMES, "PRESETS", "build_model", "model_class", "resolve_model_args"]


def model_class(name: str) -> type:
    """The class of a preset, e.g. GAN of "wgan_gp"; an unknown name raises UserError."""
    family = PRESETS[name].family
    return getattr(importlib.import_module(FAMILIES[family]), family)


def resolve_model_args(name: str, model_args: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a preset: those given, checked, and the defaults of the others.

    Raises:
        UserError: an unknown name, an unknown argument (with the nearest names), or a wrong type.
    """
    from kgen.config import resolve_arguments  # which reads the names of models from `presets`

    return resolve_arguments(model_class(name), model_args, PRESETS[name].args)


def build_model(name: str, spec: DataSpec, *, seed: int = 0, **model_args):
    """A new GenerativeModel, not yet compiled.

    Args:
        name: of a preset, e.g. "cvae".
        spec: of the data.
        seed: root of the initial weights and the training noise.
        **model_args: arguments of the model's class, in place of the preset's.

    Raises:
        UserError: an unknown name or argument, or a model that does not fit the data.
    """
    arguments = resolve_model_args(name, model_args)
    return model_class(name)(spec, conditional=PRESETS[name].conditional, seed=seed, name=name, **arguments)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'kgen.models' has no attribute {name!r}")
