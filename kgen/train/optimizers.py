"""The optimizer of each phase: what the configuration asks for, and what the model was registered with."""

from typing import Any

import keras

from kgen.config import RunConfig
from kgen.errors import UserError
from kgen.models import MODELS

DEFAULTS = {"optimizer": "adam", "beta_1": 0.9, "beta_2": 0.999}
"""Of models that are registered without an `optimizer` of their own."""
RMSPROP_DECAY = 0.99
"""As in Arjovsky et al. 2017, whose PyTorch has it by default."""


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


def of_phases(config: RunConfig, steps: int) -> dict[str, keras.optimizers.Optimizer]:
    """An optimizer a phase, for so many training steps.

    Args:
        config: with every choice made; see `choices`.
        steps: over which the learning rate follows its schedule.
    """
    train, rates = config.train, MODELS.defaults(config.model)["learning_rates"]
    found = {}
    for phase, rate in rates.items():
        rate *= train.learning_rate / max(rates.values())
        found[phase] = _optimizer(train, train.discriminator_learning_rate if phase == "discriminator" else rate, steps)
    return found


def _optimizer(train, rate: float, steps: int) -> keras.optimizers.Optimizer:
    if train.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    if train.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(rate, rho=RMSPROP_DECAY)
    if train.optimizer == "sgd":
        return keras.optimizers.SGD(rate)
    return keras.optimizers.Adam(rate, beta_1=train.beta_1, beta_2=train.beta_2)
