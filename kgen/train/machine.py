"""How the machine is used: precision, XLA, steps a call. Defaults are those that were measured to be fast."""

import keras
import tensorflow as tf

from kgen.config import RunConfig
from kgen.models import MODELS
from kgen.models.adversarial import Adversarial
from kgen.nn import NETWORKS

STEPS_A_CALL = 64
"""Optimizer steps a Python call: enough to keep Python out of the way, and the progress bar still moves."""

LONG_TRAINING_STEPS = 20_000
"""From here on the seconds that XLA compiles are worth it for a dense autoencoder, and those for four steps at once."""


def set_precision(config: RunConfig):
    """Sets Keras' dtype policy (networks end in float32 whatever it is), and asks for determinism if that is wanted."""
    keras.mixed_precision.set_global_policy(config.train.precision)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()


def use_xla(config: RunConfig, steps: int) -> bool:
    """Whether to compile the training step with XLA, for so many of them.

    On a CPU it gains nothing with convolutions, helps the many small operations of a dense GAN, and a dense autoencoder
    where several steps are unrolled (`tools/bench_train.py`: a single one takes a tenth longer); on a GPU it is on.
    """
    if config.train.jit_compile is not None:
        return config.train.jit_compile
    if tf.config.list_physical_devices("GPU"):
        return True
    if "jit_compile_on_cpu" in (own := MODELS.defaults(config.model)):
        return own["jit_compile_on_cpu"]
    network = config.model_args.get("network")
    worth_it = issubclass(MODELS[config.model], Adversarial) or steps >= LONG_TRAINING_STEPS
    return bool(network) and NETWORKS.defaults(network)["jit_compile_on_cpu"] and worth_it


def steps_per_graph(xla: bool, steps: int) -> int:
    """Steps unrolled into one XLA program: four train an MLP a seventh faster than one, and compile for longer."""
    return 4 if xla and steps >= LONG_TRAINING_STEPS else 1


def steps_per_execution(config: RunConfig, steps_per_epoch: int) -> int:
    """Steps a Python call, at most an epoch."""
    return min(config.train.steps_per_execution or STEPS_A_CALL, steps_per_epoch)
