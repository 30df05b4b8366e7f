"""How the machine is used: precision, XLA, steps per call. Defaults are those that were measured to be fast."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from kgen.config import RunConfig
from kgen.errors import UserError
from kgen.models.optimizers import build_optimizer
from kgen.models.presets import PRESETS
from kgen.nn import NETWORKS

STEPS_A_CALL = 64
"""Optimizer steps a Python call: enough to keep Python out of the way, and the progress bar still moves."""

LONG_TRAINING_STEPS, UNROLLED_STEPS = 20_000, 8
"""From so many steps on, the seconds that XLA takes to compile several of a dense autoencoder into one are worth it."""


def set_precision(config: RunConfig):
    """Sets Keras' dtype policy (networks end in float32 whatever it is), and asks for determinism if that is wanted."""
    keras.config.set_floatx("float32")  # whatever ~/.keras/keras.json says
    keras.mixed_precision.set_global_policy(config.train.precision)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()


def use_xla(config: RunConfig, steps: int) -> bool:
    """Whether to compile the training step with XLA, for so many of them.

    On a CPU it gains nothing with convolutions, helps the many small operations of a dense GAN, and a dense autoencoder
    where steps are unrolled (`tools/bench_train.py`: a single one is hardly faster, and starts later). On a GPU it is
    on.
    """
    if config.train.jit_compile is not None:
        return config.train.jit_compile
    if tf.config.list_physical_devices("GPU"):
        return True
    return _dense(config) and (PRESETS[config.model].adversarial or steps >= LONG_TRAINING_STEPS)


def steps_per_graph(config: RunConfig, steps: int) -> int:
    """Steps unrolled into one XLA program.

    Eight train a dense autoencoder a fifth faster than one, and compile some seconds longer; a GAN gains nothing.
    """
    gains = _dense(config) and not PRESETS[config.model].adversarial
    return UNROLLED_STEPS if gains and config.train.jit_compile and steps >= LONG_TRAINING_STEPS else 1


def _dense(config: RunConfig) -> bool:
    """Whether the steps are of small matrix products, so that what is between them counts."""
    if (own := PRESETS[config.model].jit_compile_on_cpu) is not None:
        return own
    network = config.model_args.get("network")
    return bool(network) and NETWORKS.defaults(network)["jit_compile_on_cpu"]


def steps_per_execution(config: RunConfig, steps_per_epoch: int) -> int:
    """Steps a Python call, at most an epoch."""
    return min(config.train.steps_per_execution or STEPS_A_CALL, steps_per_epoch)


# Optimizers -----------------------------------------------------------------------------------------------------------
# The optimizer of each phase: what the configuration asks for, and what the preset has.


def default_optimizer_settings(config: RunConfig) -> dict[str, Any]:
    """The settings of TrainConfig that tell the optimizers, all of them chosen.

    Raises:
        UserError: a discriminator's learning rate for a model that has none.
    """
    preset, train = PRESETS[config.model], config.train
    rates = preset.learning_rates
    if train.discriminator_learning_rate and "discriminator" not in rates:
        raise UserError(
            f"train.discriminator_learning_rate is of adversarial models; {config.model!r} has no discriminator. "
            f"Received: {train.discriminator_learning_rate:g}"
        )
    chosen = {"learning_rate": train.learning_rate or max(rates.values())}
    if "discriminator" in rates:
        follows = rates["discriminator"] * chosen["learning_rate"] / max(rates.values())
        chosen["discriminator_learning_rate"] = train.discriminator_learning_rate or follows
    for name in ("optimizer", "beta_1", "beta_2"):
        given = getattr(train, name)
        chosen[name] = getattr(preset, name) if given is None else given
    return chosen


def phase_optimizers(
    config: RunConfig, moves: Mapping[str, int], factor: float = 1.0
) -> dict[str, keras.optimizers.Optimizer]:
    """An optimizer a phase.

    Args:
        config: with every choice made; see `choices`.
        moves: of each phase in the whole training, over which the learning rate follows its schedule. A critic that
            moves five times per step counts five times as many as its generator.
        factor: of every learning rate.
    """
    train, rates = config.train, PRESETS[config.model].learning_rates
    found = {}
    for phase, rate in rates.items():
        rate *= train.learning_rate / max(rates.values())
        rate = train.discriminator_learning_rate if phase == "discriminator" else rate
        rate *= factor
        if train.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, moves[phase])
        found[phase] = build_optimizer(train.optimizer, rate, beta_1=train.beta_1, beta_2=train.beta_2)
    return found
