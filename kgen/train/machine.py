"""How the machine is used: precision, XLA, steps a call. Defaults are those that were measured to be fast."""

import keras
import tensorflow as tf

from kgen.config import RunConfig
from kgen.models import MODELS
from kgen.models.adversarial import Adversarial
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
    return _dense(config) and (issubclass(MODELS[config.model], Adversarial) or steps >= LONG_TRAINING_STEPS)


def steps_per_graph(config: RunConfig, steps: int) -> int:
    """Steps unrolled into one XLA program.

    Eight train a dense autoencoder a fifth faster than one, and compile some seconds longer; a GAN gains nothing.
    """
    gains = _dense(config) and not issubclass(MODELS[config.model], Adversarial)
    return UNROLLED_STEPS if gains and config.train.jit_compile and steps >= LONG_TRAINING_STEPS else 1


def _dense(config: RunConfig) -> bool:
    """Whether the steps are of small matrix products, so that what is between them counts."""
    if "jit_compile_on_cpu" in (own := MODELS.defaults(config.model)):
        return own["jit_compile_on_cpu"]
    network = config.model_args.get("network")
    return bool(network) and NETWORKS.defaults(network)["jit_compile_on_cpu"]


def steps_per_execution(config: RunConfig, steps_per_epoch: int) -> int:
    """Steps a Python call, at most an epoch."""
    return min(config.train.steps_per_execution or STEPS_A_CALL, steps_per_epoch)
