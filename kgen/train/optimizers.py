"""The optimizer of each phase: what the configuration asks for, and what the model was registered with."""

from collections.abc import Mapping
from typing import Any

import keras

from kgen.config import RunConfig
from kgen.errors import UserError
from kgen.models import MODELS
from kgen.models.optimizers import DEFAULTS, build_optimizer


def choices(config: RunConfig) -> dict[str, Any]:
    """The settings of TrainConfig that tell the optimizers, all of them chosen.

    Raises:
        UserError: a discriminator's learning rate for a model that has none.
    """
    own = MODELS.defaults(config.model)
    rates, train = own["learning_rates"], config.train
    if train.discriminator_learning_rate and "discriminator" not in rates:
        raise UserError(
            f"train.discriminator_learning_rate is of adversarial models; {config.model!r} has no discriminator. "
            f"Received: {train.discriminator_learning_rate:g}"
        )
    chosen = {"learning_rate": train.learning_rate or max(rates.values())}
    if "discriminator" in rates:
        follows = rates["discriminator"] * chosen["learning_rate"] / max(rates.values())
        chosen["discriminator_learning_rate"] = train.discriminator_learning_rate or follows
    for name, default in (DEFAULTS | own.get("optimizer", {})).items():
        given = getattr(train, name)
        chosen[name] = default if given is None else given
    return chosen


def of_phases(
    config: RunConfig, moves: Mapping[str, int], factor: float = 1.0
) -> dict[str, keras.optimizers.Optimizer]:
    """An optimizer a phase.

    Args:
        config: with every choice made; see `choices`.
        moves: of each phase in the whole training, over which the learning rate follows its schedule. A critic that
            moves five times a step counts five times as many as its generator.
        factor: of every learning rate.
    """
    train, rates = config.train, MODELS.defaults(config.model)["learning_rates"]
    found = {}
    for phase, rate in rates.items():
        rate *= train.learning_rate / max(rates.values())
        rate = train.discriminator_learning_rate if phase == "discriminator" else rate
        rate *= factor
        if train.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, moves[phase])
        found[phase] = build_optimizer(train.optimizer, rate, beta_1=train.beta_1, beta_2=train.beta_2)
    return found
