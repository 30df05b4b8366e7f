"""Measures a few steps of a training: its size and how long it would take. Writes nothing."""

import dataclasses
import time
from dataclasses import dataclass

import numpy as np
import psutil

from kgen import data
from kgen.config import EPOCHS_BELOW, RunConfig
from kgen.models import build_model
from kgen.progress import announce
from kgen.run import is_run
from kgen.tables import counted
from kgen.train import checks, defaults, xla
from kgen.train.init_from import TrainedModel, check_channels, initialize_weights
from kgen.train.memory import StepMemory, check_memory, gib
from kgen.train.trainer import compile_model, failure_of, set_precision

SECONDS = 5.0
"""Steps are measured for about this long, after those that compile."""
EPOCH_SECONDS = 0.006
"""What an epoch takes beside its steps, which counts where these are few: on one core of an AMD EPYC, by costs.json of
1,436 and 7,400 epochs."""
STEPS_SHARE = 0.9
"""Of the time that a training may take; the rest is for evaluations, pictures and checkpoints."""


@dataclass(frozen=True)
class DryRun:
    """The size and the duration of a training.

    Attributes:
        config: complete.
        images: split -> number of images.
        parameters: of the networks.
        state_bytes: of weights, optimizers and averages.
        step: the estimate of the memory of a step; None without one.
        resident_bytes: of this process after some steps, with the images.
        steps_per_epoch: steps of the optimizer per epoch.
        compile_seconds: for compilation, before the first steps.
        step_seconds: per step, after that.
        findings: what was found about the data; see `kgen.data.Dataset`.
    """

    config: RunConfig
    images: dict[str, int]
    parameters: int
    state_bytes: int
    step: StepMemory | None
    resident_bytes: int
    steps_per_epoch: int
    compile_seconds: float
    step_seconds: float
    findings: tuple[str, ...] = ()

    @property
    def step_words(self) -> str:
        """How long a step takes: "12.3 ms", "1.23 s"."""
        return f"{self.step_seconds:.2f} s" if self.step_seconds >= 1 else f"{1000 * self.step_seconds:.1f} ms"

    def epochs_within(self, minutes: float) -> int:
        """Most epochs that fit, with a tenth of the time for evaluations and pictures; at least one, and a number that
        `train.epochs` takes."""
        seconds = 60 * minutes * STEPS_SHARE - self.compile_seconds
        epochs = int(seconds / (self.steps_per_epoch * self.step_seconds + EPOCH_SECONDS))
        return min(max(1, epochs), EPOCHS_BELOW - 1)

    @property
    def minutes(self) -> float:
        """Of all steps; without evaluations and pictures."""
        return (self.compile_seconds + self.config.train.epochs * self.steps_per_epoch * self.step_seconds) / 60

    def __str__(self):
        train = self.config.train
        splits = ", ".join(f"{count} {split}" for split, count in self.images.items())
        size = f"{self.parameters:,} parameters, {self.state_bytes / 2**20:.1f} MiB with optimizers and averages"
        estimate = f"about {gib(self.step.bytes)} for a step (estimate); " if self.step else ""
        most = "at most " if train.patience else ""
        epochs = counted(train.epochs, "epoch")
        steps = f"{most}{epochs} of {self.steps_per_epoch}, {train.epochs * self.steps_per_epoch:,} in all"
        each = f"{self.step_words} each after {self.compile_seconds:.0f} s of compilation"
        return (
            f"model     {self.config.model}: {size}\n"
            f"data      {self.config.data.dataset}: {splits}\n"
            f"memory    {estimate}{self.resident_bytes / 2**20:.0f} MiB of this process after some steps\n"
            f"steps     {steps}, {train.batch_size} images each\n"
            f"time      {most}{self.minutes:.1f} minutes of steps on one device ({each}); evaluations come on top"
            + "".join(f"\nfinding   {finding}" for finding in self.findings)
        )


def dry_run(
    config: RunConfig,
    *,
    run_dir: str | None = None,
    dataset: data.Dataset | None = None,
    monitor: type | None = None,
) -> DryRun:
    """Builds the model and takes a few steps.

    Args:
        config: of the training. Where it has `train.minutes` and no epochs, those that fit are in the result's.
        run_dir: where the training would go to; a run that is there needs nothing of what it started from.
        dataset: already loaded; None loads `config.data`.
        monitor: the class `kgen.evaluate.Monitor`, which is asked whether it can measure what `train.metrics` names;
            None: nobody is asked.

    Raises:
        UserError: as `kgen.train` would; also for a model that is too large for the memory.
        TrainingFailed: see `failure_of`.
    """
    config = checks.checked(config, run_dir)
    xla.try_early(config, run_dir)
    dataset = dataset or data.load(config.data, seed=config.seed)
    defaults.check_labels(config, dataset)
    resumes = is_run(run_dir)
    starts = bool(config.train.init_from) and not resumes
    if starts:
        check_channels(TrainedModel.open(config.train.init_from), dataset.spec, config.recipe)
    if monitor and config.train.measures_samples:
        monitor.measured(config, dataset)
    asked, config = config, defaults.resolve_defaults(config, dataset)
    if resumes and config.train.jit_compile and xla.failure():  # as the training does without it
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, jit_compile=False))
    set_precision(config)
    step, _ = check_memory(config, dataset.spec)
    announce("measuring the training step")
    try:
        found = _measured(config, dataset, step, starts)
    except Exception as error:
        if failed := failure_of(error, config, dataset.spec):
            raise failed from error
        raise
    if asked.train.minutes is None or asked.train.epochs is not None:
        return found
    train = dataclasses.replace(asked.train, epochs=found.epochs_within(asked.train.minutes))
    config = defaults.resolve_defaults(dataclasses.replace(asked, train=train), dataset)
    return dataclasses.replace(found, config=config)


def _measured(config: RunConfig, dataset: data.Dataset, step: StepMemory | None, starts: bool) -> DryRun:
    """Takes some steps of a complete configuration; where it `starts` from a trained model, with its weights."""
    model = build_model(config.model, dataset.spec, seed=config.seed, **config.model_args)
    if starts:
        initialize_weights(model, config)  # which refuses what does not fit
    train, steps_per_epoch = config.train, dataset.spec.examples["train"] // config.train.batch_size
    compile_model(model, config, steps_per_epoch)
    batches = dataset.batches(
        "train", batch_size=train.batch_size, seed=config.seed, repeat=True, class_balance=train.class_balance
    )
    model.make_train_function()
    iterator, started, call = iter(batches), time.monotonic(), train.steps_per_execution
    model.train_function(iterator)
    compiled, calls = time.monotonic(), 0
    while not calls or time.monotonic() - compiled < SECONDS:
        model.train_function(iterator)
        calls += 1
    step_seconds = (time.monotonic() - compiled) / (calls * call)
    kept = [*model.weights, *(v for o in model.phase_optimizers.values() for v in o.variables)]
    kept += [] if model.averages is None else model.averages.weights
    kept = {id(variable): variable for variable in kept}.values()
    return DryRun(
        config=config,
        images=dict(dataset.spec.examples),
        parameters=model.parameters,
        state_bytes=sum(np.asarray(v).nbytes for v in kept),
        step=step,
        resident_bytes=psutil.Process().memory_info().rss,
        steps_per_epoch=steps_per_epoch,
        compile_seconds=max(0.0, compiled - started - call * step_seconds),
        step_seconds=step_seconds,
        findings=dataset.findings,
    )
