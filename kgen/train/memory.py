"""The memory that a training needs, estimated before anything is built: the impossible is refused in a sentence.

The networks are built in a scope in which Keras registers variables without values, which takes a tenth of a second and
no memory; shapes are all that is needed.
"""

import contextlib
import copy
import dataclasses
import math
import subprocess
from dataclasses import dataclass

import keras
from keras.src.backend.common import global_state

from kgen import gpu
from kgen.config import RunConfig
from kgen.errors import TrainingFailed, UserError, lacks_memory
from kgen.memory import free_memory, memory_limit
from kgen.models import build_model
from kgen.models.optimizers import build_optimizer
from kgen.models.presets import PRESETS
from kgen.nn import NETWORKS
from kgen.spec import DataSpec

FLOAT_BYTES = 4
ACTIVATIONS = {False: 1.5, True: 2.0}
"""Bytes of a step for each byte of the layers' outputs, of models with one phase and of adversarial ones.

Measured on a CPU as the growth of the largest resident memory with the batch: conv_vae 0.9 at 64 pixels and 1.1 at 128,
pixel_vae 1.2 at 28 and at 48, vae 1.6 at 256; dcgan 1.9 at 64 and 1.8 at 128.
"""
CERTAIN = 0.7
"""Share of an estimate that a training needs at the least: what exceeds the whole memory by this much is refused."""


@dataclass(frozen=True)
class StepMemory:
    """An estimate of the memory of a training step.

    Attributes:
        parameters: of the networks.
        state_bytes: of weights, also of frozen networks, the optimizers' slots and averages.
        gradient_bytes: of the phase with the most weights.
        activation_bytes: of the layers' outputs for one batch, with what the backward pass adds.
    """

    parameters: int
    state_bytes: int
    gradient_bytes: int
    activation_bytes: int

    @property
    def bytes(self) -> int:
        return self.state_bytes + self.gradient_bytes + self.activation_bytes

    @property
    def of_weights(self) -> bool:
        """Whether the weights, not the batch, make it large."""
        return self.state_bytes + self.gradient_bytes > self.activation_bytes


def step_memory(config: RunConfig, spec: DataSpec, replicas: int = 1) -> StepMemory:
    """Estimates the memory of a training step on each device.

    Args:
        config: complete.
        spec: of the data.
        replicas: devices that share a batch.

    Raises:
        UserError: as `build_model`.
    """
    train, adversarial = config.train, PRESETS[config.model].adversarial
    with _without_values():
        model = build_model(config.model, spec, seed=config.seed, **config.model_args)
        phases = [sum(_count(weight) for weight in phase.weights) for phase in model.phases()]
        weights = sum(_count(weight) for network in model.networks for weight in network.weights)
        averaged = sum(_count(weight) for network in model.averaged_networks for weight in network.weights)
        frozen = model.frozen_networks()
        constant = sum(_count(weight) for network in frozen for weight in network.weights)
        outputs = sum(_outputs(network, spec) for network in [*model.networks, *frozen])
    state = constant + weights + _slots(config) * sum(phases) + (averaged if train.ema_halflife_images else 0)
    images = -(-train.batch_size // replicas)
    width = FLOAT_BYTES if train.precision == "float32" else FLOAT_BYTES // 2
    return StepMemory(
        parameters=weights,
        state_bytes=state * FLOAT_BYTES,
        gradient_bytes=max(phases) * FLOAT_BYTES,
        activation_bytes=int(ACTIVATIONS[adversarial] * outputs * images * width),
    )


@contextlib.contextmanager
def _without_values():
    """Variables get shapes and no values."""
    try:
        with _without_trace(), keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute("uninitialized_variables", [])


@contextlib.contextmanager
def _without_trace():
    """Names that Keras counts are counted as if nothing had been built."""
    counts = copy.copy(global_state.get_global_attribute("object_name_uids"))
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", counts)


def _slots(config: RunConfig) -> int:
    """Numbers that the optimizer keeps for each weight."""
    train, weight = config.train, (1,)
    with _without_trace():
        optimizer = build_optimizer(train.optimizer, 1.0, beta_1=train.beta_1, beta_2=train.beta_2)
        optimizer.build([keras.Variable(keras.initializers.Zeros(), weight)])
        return sum(variable.shape == weight for variable in optimizer.variables)


def _count(weight) -> int:
    return math.prod(weight.shape)


def _outputs(network: keras.layers.Layer, spec: DataSpec) -> int:
    """Numbers that the layers of a network give for one image.

    A layer that was not called on symbolic tensors does not know its outputs: each of its convolutions is taken to give
    a map of the image's size.
    """
    pixels = math.prod(spec.image_shape[:2])
    if not isinstance(network, keras.Model):
        return sum(weight.shape[-1] * pixels for weight in network.weights if len(weight.shape) == 4)
    outputs = [tensor for layer in network.layers for tensor in keras.tree.flatten(layer.output)]
    return sum(math.prod(tensor.shape[1:]) for tensor in outputs)


# What there is --------------------------------------------------------------------------------------------------------


def device_memory() -> tuple[float, float]:
    """(all memory, free memory) of the smallest device that trains, in bytes; infinite where a GPU's is not known.

    nvidia-smi lists all GPUs of the machine, in an order of its own: of those that are named as the ones in use, the
    largest count. It knows cards, and not their slices (MIG).
    """
    if not (used := gpu.visible()):
        return memory_limit(), free_memory()
    query = [
        "nvidia-smi",
        "--query-gpu=name,mig.mode.current,memory.total,memory.free",
        "--format=csv,noheader,nounits",
    ]
    names, unknown = {gpu.name_of(device) for device in used}, (math.inf, math.inf)
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
        cards = [[part.strip() for part in line.rsplit(",", 3)] for line in lines if line.strip()]
        cards = [card for card in cards if card[0] in names]
        if {name for name, *_ in cards} != names or any(mig == "Enabled" for _, mig, *_ in cards):
            return unknown
        columns = [[int(number) * 2**20 for number in column] for column in list(zip(*cards, strict=True))[2:]]
    except (OSError, subprocess.SubprocessError, ValueError):  # no such command, or a GPU of another kind
        return unknown
    total, free = (min(sorted(column)[-len(used) :]) for column in columns)
    return total, free


def check_memory(config: RunConfig, spec: DataSpec, replicas: int = 1) -> tuple[StepMemory | None, str]:
    """The estimate of a training, and a sentence for the log where it may not fit ("" where it does).

    A model that cannot be built without values has no estimate.

    Args:
        config, spec, replicas: as of `step_memory`.

    Raises:
        UserError: it needs more than there is.
    """
    try:
        need = step_memory(config, spec, replicas)
    except UserError:
        raise
    except Exception:  # any kind, from a user's own layers
        return None, ""
    total, available = device_memory()
    if CERTAIN * need.bytes > total:
        raise UserError(
            f"--model {config.model} on images of {'x'.join(map(str, spec.image_shape))} has {need.parameters:,} "
            f"parameters, and a step of {config.train.batch_size} images needs about {gib(need.bytes)} "
            f"({gib(need.state_bytes + need.gradient_bytes)} for weights, gradients and optimizers, "
            f"{gib(need.activation_bytes)} for the images of a batch on their way through the layers); there are "
            f"{gib(total)} here. {_remedy(config, spec, need, total)}"
        )
    if need.bytes > available:
        return need, (
            f"note: a step needs about {gib(need.bytes)} of memory, and {gib(available)} are available; if that is "
            "not enough, use a smaller --batch_size or --image_size"
        )
    return need, ""


def _remedy(config: RunConfig, spec: DataSpec, need: StepMemory, total: int) -> str:
    side = min(spec.image_shape[:2])
    smaller = f"a smaller --image_size, for example --image_size {64 if side > 64 else max(8, side // 2)}"
    if not need.of_weights:
        fits = CERTAIN * (need.bytes - need.activation_bytes * (1 - 1 / config.train.batch_size)) <= total
        return f"Use {'a smaller --batch_size, or ' if fits else ''}{smaller}"
    arguments = config.model_args
    hidden = f", narrower layers (model_args.hidden is {[*arguments['hidden']]})" if arguments.get("hidden") else ""
    name = arguments.get("network")
    dense = name in NETWORKS and NETWORKS.defaults(name)["jit_compile_on_cpu"]
    network = "dcgan" if PRESETS[config.model].adversarial else "conv"
    return f"Use {smaller}{hidden}{f', or convolutions: --set model_args.network={network}' if dense else ''}"


def out_of_memory(error: BaseException, config: RunConfig, spec: DataSpec, replicas: int = 1) -> TrainingFailed | None:
    """What to say where memory was not enough, with a batch size that fits; None of other errors."""
    if not lacks_memory(error):
        return None
    fits = batch_size_by_estimate(config, spec, replicas)
    smaller = f"--batch_size {fits} should fit, or let --batch_size auto try; else use " if fits else "use "
    return TrainingFailed(
        f"out of memory: --model {config.model} with --batch_size {config.train.batch_size} on images of "
        f"{'x'.join(map(str, spec.image_shape))}; {smaller}a smaller --image_size or a smaller model"
    )


ROOM = 0.8
"""Share of a device's memory that a step may take by its estimate, to be recommended."""


def batch_size_by_estimate(config: RunConfig, spec: DataSpec, replicas: int = 1) -> int | None:
    """The largest half, quarter, ... of a batch that was too large whose step fits by its estimate; None: none."""
    total, _ = device_memory()
    for size in smaller_sizes(config)[1:]:
        try:
            need = step_memory(with_batch_size(config, size), spec, replicas)
        except Exception:  # of a user's own layers, or for want of memory
            return size
        if need.bytes <= ROOM * total:
            return size
    return None


def with_batch_size(config: RunConfig, size: int, **settings) -> RunConfig:
    """The configuration with another batch size, and other settings of its training."""
    return dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=size, **settings))


def smaller_sizes(config: RunConfig) -> list[int]:
    """The batch size of a complete configuration, its half, quarter, ...: multiples of the critic's steps."""
    steps = config.model_args.get("critic_steps", 1)
    sizes, each = [config.train.batch_size], config.train.batch_size // steps // 2
    while each:
        sizes.append(steps * each)
        each //= 2
    return sizes


def gib(count: float) -> str:
    """Bytes in words: "23.5 GiB", "300 MiB"."""
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
