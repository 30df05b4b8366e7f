"""Defaults that depend on the model and the data: batch size, epochs, optimizers, averages, XLA and the like.

`resolve_defaults` makes a configuration complete; what the user has set stays. Those of speed were measured to be fast.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kgen import data, gpu, random
from kgen.config import SHARING_STRATEGIES, RunConfig
from kgen.data.transforms import can_be_mirrored
from kgen.errors import UserError
from kgen.models import model_class, resolve_model_args
from kgen.models.optimizers import build_optimizer
from kgen.models.presets import PRESETS
from kgen.nn import NETWORKS
from kgen.spec import DataSpec
from kgen.train import batch_size as batches
from kgen.train import xla
from kgen.train.checks import check_early_stopping

TRAINING_STEPS = 4_000
"""About as many steps has a training whose epochs are not given."""
MAX_EPOCHS = 200
EPOCH_STEPS = 40
"""Small sets get smaller batches, so that an epoch has about as many steps."""
BATCH_SIZES = (16, 128)
"""The smallest and the largest batch."""

MAX_VALIDATIONS = 200
SAMPLE_GRIDS = 20
CLASS_MEASUREMENTS = 20
"""How often a training evaluates the loss, writes a grid of samples, and measures the classes of samples."""

CLASSIFIED_BYTES = 2**31
"""Of training images that are not kept decoded: more are not decoded for the classifier of classes unasked."""

DENSE_PIXELS = 2_000
"""Values of a picture up to which dense layers do well: 32×32 in gray, 25×25 in colour."""

EMA_HALFLIVES, MAX_EMA_HALFLIFE_IMAGES = 20, 50_000
"""Of the average of an adversarial model's weights: half-lives per training, and images per half-life."""

MIRRORED_IMAGES = 1_000
"""Training images of which it is asked whether they may be mirrored."""

STEPS_PER_CALL = 64
"""Optimizer steps per call from Python: enough to hide its cost, and the progress bar still moves."""

AUTOENCODER_STEPS = 3_000
"""In trainings of so many steps of a dense autoencoder XLA gains more than it takes to compile."""
STEPS_PER_PROGRAM = 64
"""Steps that one XLA program of a dense autoencoder loops over."""


def resolve_defaults(config: RunConfig, dataset: data.Dataset) -> RunConfig:
    """The complete configuration.

    Raises:
        UserError: an unknown model or model argument, early stopping without a metric to go by, a ramp-up without an
            average, or no batch that fits into memory where `train.batch_size` is "auto".
    """
    check_early_stopping(config, dataset.spec.examples)
    model_args = resolve_model_args(config.model, config.model_args)
    model_args = model_class(config.model).decided_args(model_args, dataset.spec)
    config = dataclasses.replace(config, model_args=model_args)
    given, count = config.train, dataset.spec.examples["train"]

    repeats = config.model_args.get("critic_steps", 1)  # each on a share of the batch
    smallest, largest = BATCH_SIZES
    batch_size = repeats * max(smallest, min(largest, count // repeats // EPOCH_STEPS))
    batch_size = min(batch_size if given.batch_size in (None, "auto") else given.batch_size, count)
    steps_per_epoch = count // batch_size
    epochs = given.epochs or max(1, min(MAX_EPOCHS, round(TRAINING_STEPS / steps_per_epoch)))

    halflife = given.ema_halflife_images
    if halflife is None:
        images = epochs * steps_per_epoch * batch_size
        averaged = PRESETS[config.model].adversarial
        halflife = min(MAX_EMA_HALFLIFE_IMAGES, images / EMA_HALFLIVES) if averaged else 0.0

    if given.ema_rampup is not None and not halflife:
        raise UserError(
            "train.ema_rampup limits the half-life of averaged weights, and this training has no average: add "
            f"--ema_halflife_images, or leave it out. Received: {given.ema_rampup}"
        )

    complete = dataclasses.replace(config, train=dataclasses.replace(
        given,
        epochs=epochs,
        ema_halflife_images=halflife,
        batch_size=batch_size,
        **optimizer_settings(config),
        steps_per_execution=min(given.steps_per_execution or STEPS_PER_CALL, steps_per_epoch),
        jit_compile=use_xla(config, epochs * steps_per_epoch),
        validate_every=given.validate_every or -(-epochs // MAX_VALIDATIONS),
        samples_every=given.samples_every or max(1, epochs // SAMPLE_GRIDS),
        eval_every=given.evaluated_every(epochs),
        flip=given.flip if given.flip != "auto" else ("on" if mirrors(dataset) else "off"),
    ))  # fmt: skip
    if given.batch_size == "auto" and (fits := batches.largest_that_fits(complete, dataset.spec)) != batch_size:
        return resolve_defaults(
            dataclasses.replace(config, train=dataclasses.replace(given, batch_size=fits, flip=complete.train.flip)),
            dataset,
        )
    return complete


def mirrors(dataset: data.Dataset) -> bool:
    """Whether training images may be mirrored; see `can_be_mirrored`."""
    pixels, _ = dataset.view("train")
    rows = random.generator(0, "mirrored").permutation(len(pixels))[:MIRRORED_IMAGES]
    return can_be_mirrored(np.asarray(pixels[np.sort(rows)]))


def with_class_metrics(config: RunConfig, dataset: data.Dataset) -> RunConfig:
    """The complete configuration, where adversarial training on labelled data measures the classes of its samples.

    Its losses do not show a collapse. The metrics that `train.eval_every` asks for are measured as well.
    """
    preset, train = PRESETS[config.model], config.train
    if dataset.spec.num_classes < 2 or not preset.adversarial or class_metrics_left_out(config, dataset):
        return config
    metrics = train.metrics if train.eval_every else ()
    metrics += ("coverage",)
    if preset.conditional:
        metrics += ("label_agreement",)
    every = train.eval_every or -(-train.epochs // CLASS_MEASUREMENTS)
    train = dataclasses.replace(train, eval_every=every, metrics=tuple(dict.fromkeys(metrics)))
    return dataclasses.replace(config, train=train)


def class_metrics_left_out(config: RunConfig, dataset: data.Dataset) -> str:
    """Why the classes of samples are not measured unasked, for the log; "" where they are, or there are none.

    The classifier learns from all training images, decoded in memory: too many where they are not kept.
    """
    size = dataset.spec.examples["train"] * dataset.spec.num_pixels
    is_unasked = PRESETS[config.model].adversarial and dataset.spec.num_classes > 1 and not config.train.eval_every
    if dataset.kept or not is_unasked or size <= CLASSIFIED_BYTES:
        return ""
    return (
        f"note: the classes of samples are not measured: a classifier would decode {size / 2**30:.0f} GiB of training "
        "images, which are not kept; --eval_every with --metrics coverage asks for it"
    )


def check_labels(config: RunConfig, dataset: data.Dataset):
    """Raises UserError, with what was found about the labels, when the model or the draws need them and there are none.

    Also where `train.class_balance` cannot be, because images are read by parts of their files.
    """
    preset = PRESETS[config.model]
    if preset.conditional:
        dataset.check_labelled(f"model {config.model!r} needs labels", f"use --model {preset.unconditional}")
    if config.train.class_balance:
        dataset.labels_to_balance(config.train.class_balance)


def convolutional_counterpart(config: RunConfig, spec: DataSpec) -> RunConfig | None:
    """The same training of the first model with convolutions, where pictures are large for dense layers; else None.

    Args:
        config: complete.
        spec: of the data.
    """
    preset, network = PRESETS[config.model], config.model_args.get("network")
    if spec.num_pixels <= DENSE_PIXELS or not network or not NETWORKS.defaults(network)["jit_compile_on_cpu"]:
        return None
    for name, other in PRESETS.items():
        if other.family == preset.family and other.conditional == preset.conditional and "network" in other.args:
            return dataclasses.replace(config, model=name, model_args=resolve_model_args(name, {}))
    return None


# Optimizers -----------------------------------------------------------------------------------------------------------


def optimizer_settings(config: RunConfig) -> dict[str, Any]:
    """The settings of TrainConfig for the optimizers; the model's own where none are given.

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
    found = {"learning_rate": train.learning_rate or max(rates.values())}
    if "discriminator" in rates:
        follows = rates["discriminator"] * found["learning_rate"] / max(rates.values())
        found["discriminator_learning_rate"] = train.discriminator_learning_rate or follows
    for name in ("optimizer", "beta_1", "beta_2"):
        given = getattr(train, name)
        found[name] = getattr(preset, name) if given is None else given
    return found


def phase_optimizers(
    config: RunConfig, updates: Mapping[str, int], factor: float = 1.0
) -> dict[str, keras.optimizers.Optimizer]:
    """The optimizer of each phase.

    Args:
        config: complete.
        updates: of each phase in the whole training, over which the learning rate follows its schedule. A critic with
            five updates per step has five times as many as its generator.
        factor: multiplies every learning rate.
    """
    train, rates = config.train, PRESETS[config.model].learning_rates
    found = {}
    for phase, rate in rates.items():
        rate *= train.learning_rate / max(rates.values())
        rate = train.discriminator_learning_rate if phase == "discriminator" else rate
        rate *= factor
        if train.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, updates[phase])
        found[phase] = build_optimizer(train.optimizer, rate, beta_1=train.beta_1, beta_2=train.beta_2)
    return found


# Speed ----------------------------------------------------------------------------------------------------------------


def use_xla(config: RunConfig, steps: int) -> bool:
    """Whether to compile the training step with XLA, for so many of them.

    On a CPU it helps a dense autoencoder, where one program takes many steps (`tools/bench_train.py`). Convolutions are
    slower with it than with oneDNN, also where a penalty differentiates them twice, and dense GANs no faster. It starts
    some seconds later. On a GPU it is on where it works, see `xla.failure`. Replicas on CPUs exchange gradients after
    every step, which leaves no such program (106 ms per step without XLA, 100 with it).
    """
    if config.train.jit_compile is not None:
        return config.train.jit_compile
    if gpu.visible():
        return not xla.failure()
    if config.train.strategy in SHARING_STRATEGIES:
        return False
    return _dense(config) and not PRESETS[config.model].adversarial and steps >= AUTOENCODER_STEPS


def steps_per_graph(config: RunConfig) -> int:
    """Most steps of one XLA program: many train a dense autoencoder two fifths faster than one; a GAN gains nothing."""
    gains = _dense(config) and not PRESETS[config.model].adversarial
    return STEPS_PER_PROGRAM if gains and config.train.jit_compile else 1


def _dense(config: RunConfig) -> bool:
    """Whether the steps are of small matrix products, so that what is between them counts."""
    if (own := PRESETS[config.model].jit_compile_on_cpu) is not None:
        return own
    network = config.model_args.get("network")
    return bool(network) and NETWORKS.defaults(network)["jit_compile_on_cpu"]
