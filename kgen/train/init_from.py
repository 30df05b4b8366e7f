"""Initializes an adversarial model from a trained VAE: the generator from its decoder, and the discriminator, if that
is wanted, from its encoder (with another output layer).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from kgen.config import RunConfig
from kgen.errors import UserError
from kgen.models.presets import PRESETS
from kgen.run import Run

if TYPE_CHECKING:
    import keras

    from kgen.models import GenerativeModel

SHARED = ("latent_dim", "network", "hidden", "filters", "activation", "batch_norm")
"""Arguments of a VAE that define its decoder; those of the generator have the same names."""
SOURCES = tuple(name for name, preset in PRESETS.items() if preset.family == "VAE" and not preset.conditional)
TARGETS = tuple(name for name, preset in PRESETS.items() if preset.family == "VAEGAN")


def with_architecture(config: RunConfig) -> RunConfig:
    """The configuration with the architecture of the run that `train.init_from` names.

    Raises:
        UserError: the run is no VAE, the model cannot start from one, or an argument was given that is not the run's.
    """
    train = config.train
    if train.init_from is None:
        if train.init_discriminator:
            raise UserError("train.init_discriminator starts it from the run that train.init_from names; name one")
        return config
    if config.model not in TARGETS:
        raise UserError(f"train.init_from starts a {' or '.join(TARGETS)}; {config.model!r} cannot start from a run")
    source = Run.open(train.init_from).config
    if source.model not in SOURCES:
        raise UserError(
            f"train.init_from takes a run of {' or '.join(SOURCES)}, whose decoder is an unconditional generator. "
            f"Received: {train.init_from}, a {source.model}"
        )
    wanted = {name: source.model_args[name] for name in SHARED}
    if train.init_discriminator:
        wanted["discriminator_activation"] = source.model_args["activation"]
    for name, value in wanted.items():
        given = config.model_args.get(name, value)
        if (list(given) if isinstance(given, (list, tuple)) else given) != value:
            raise UserError(
                f"model_args.{name}={given!r} is not what the run {train.init_from} has ({value!r}); leave it out: the "
                "architecture comes with the weights"
            )
    return dataclasses.replace(config, model_args={**config.model_args, **wanted})


def initialize_weights(model: GenerativeModel, config: RunConfig) -> list[str]:
    """Copies the weights of the run that `train.init_from` names into the model; returns lines for the log.

    Raises:
        UserError: the run's checkpoint does not fit.
    """
    train = config.train
    if train.init_from is None:
        return []
    run = Run.open(train.init_from)
    source = run.load_model("best")
    copied = [_copy(source.decoder, model.generator, train.init_from)]
    if train.init_discriminator:
        copied.append(_copy(source.encoder, model.discriminator, train.init_from, new=("logit",)))
    return [f"weights of {' and '.join(copied)} are those of {run.path} ({run.config.model}, checkpoint best)"]


def _copy(source: keras.Model, target: keras.Model, where: str, new: tuple[str, ...] = ()) -> str:
    """Copies the weights of every layer by its name; layers named in `new` keep their own.

    Where the target has no batch normalization (an R1 penalty forbids it), that of the source is folded into the kernel
    and bias of its layer, which then computes what both compute in an evaluation.
    """
    given = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        if layer.name in new or not layer.weights:
            continue
        if layer.name not in given:
            raise UserError(
                f"train.init_from={where}: its {source.name} has no layer {layer.name!r}; it has {', '.join(given)}"
            )
        norm = f"{layer.name}_norm"
        if norm in given and norm not in {other.name for other in target.layers}:
            weights = _folded(given[layer.name], given[norm])
        else:
            weights = [np.asarray(w) for w in given[layer.name].weights]
        shapes = [[w.shape for w in weights], [tuple(w.shape) for w in layer.weights]]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"train.init_from={where}: layer {layer.name!r} of its {source.name} has weights of {shapes[0]}, here "
                f"they are {shapes[1]}; train on images of the size and channels of the run's"
            )
        layer.set_weights(weights)
    return f"the {target.name if target.name == 'discriminator' else 'generator'}"


def _folded(linear: keras.layers.Layer, norm: keras.layers.BatchNormalization) -> list[np.ndarray]:
    """[kernel, bias] of a linear layer that equals one without a bias followed by batch normalization."""
    kernel, gamma, beta = (np.asarray(w) for w in (linear.kernel, norm.gamma, norm.beta))
    scale = gamma / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    return [kernel * scale, beta - np.asarray(norm.moving_mean) * scale]
