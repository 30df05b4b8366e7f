"""The training loop: from a configuration to a run directory."""

import contextlib
import dataclasses
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kgen import data, images
from kgen.checkpoints import Checkpoint
from kgen.config import RunConfig, override
from kgen.errors import TrainingFailed, UserError, image_lost
from kgen.models import GenerativeModel, build_model, ema, resolve_model_args
from kgen.models.presets import PRESETS
from kgen.recipes import log_lines
from kgen.run import Run
from kgen.sampling import check_prior, open_run
from kgen.train import callbacks, checkpointing, defaults, init_from
from kgen.train.callbacks import Checkup, Profile, Progress, Record, StopOnFailure, Swap
from kgen.train.checkpointing import CheckpointCallback, SignalHandler, restore
from kgen.train.diagnostics import HealthMetrics
from kgen.train.distribution import Devices, devices_of
from kgen.train.plots import Histograms, SampleGrids, sample_sheet

DEFAULT_STEPS = 4_000
"""About how many steps per training takes when --epochs does not say."""
MOST_DEFAULT_EPOCHS = 200
SMALL_EPOCH_STEPS = 40
MOST_VALIDATIONS = 200
HALFLIVES, LONGEST_HALFLIFE = 20, 50_000
"""Of the average of an adversarial model's weights: how many a training has, and images."""
WATCHES = 20
GRIDS = 20


def prepare(config: RunConfig, dataset: data.Dataset) -> RunConfig:
    """The configuration with every choice made that depends on the model or the data.

    Raises:
        UserError: an unknown model or model argument, or nothing that early stopping could go by.
    """
    callbacks.check_early_stopping(config, dataset.spec.examples)
    model_args = resolve_model_args(config.model, config.model_args)
    count = dataset.spec.examples["train"]
    moves = model_args.get("critic_steps", 1)  # each on images of its own
    batch_size = min(config.train.batch_size or moves * max(16, min(128, count // moves // SMALL_EPOCH_STEPS)), count)
    steps_per_epoch = count // batch_size
    epochs = config.train.epochs or max(1, min(MOST_DEFAULT_EPOCHS, round(DEFAULT_STEPS / steps_per_epoch)))
    config = dataclasses.replace(config, model_args=model_args)
    halflife = config.train.ema_halflife_images
    if halflife is None:
        averaged = PRESETS[config.model].adversarial
        halflife = min(LONGEST_HALFLIFE, epochs * steps_per_epoch * batch_size / HALFLIVES) if averaged else 0.0
    train = dataclasses.replace(
        config.train,
        epochs=epochs,
        ema_halflife_images=halflife,
        batch_size=batch_size,
        **defaults.default_optimizer_settings(config),
        steps_per_execution=defaults.steps_per_execution(config, steps_per_epoch),
        jit_compile=defaults.use_xla(config, epochs * steps_per_epoch),
        validate_every=config.train.validate_every or -(-epochs // MOST_VALIDATIONS),
        samples_every=config.train.samples_every or max(1, epochs // GRIDS),
    )
    return dataclasses.replace(config, train=train)


def watch_classes(config: RunConfig, dataset: data.Dataset) -> RunConfig:
    """Has an adversarial training on labelled data measure about WATCHES times which classes its samples fall into.

    Its losses do not tell a collapse. What `train.eval_every` and `train.metrics` ask for is measured beside.
    """
    preset, train = PRESETS[config.model], config.train
    if dataset.spec.num_classes < 2 or not preset.adversarial:
        return config
    wanted = train.metrics if train.eval_every else ()
    wanted += ("coverage", "label_agreement") if preset.conditional else ("coverage",)
    every = train.eval_every or -(-train.epochs // WATCHES)
    train = dataclasses.replace(train, eval_every=every, metrics=tuple(dict.fromkeys(wanted)))
    return dataclasses.replace(config, train=train)


def train(
    config: RunConfig,
    *,
    run_dir: str | None = None,
    runs_root: str = "runs",
    dataset: data.Dataset | None = None,
    watch: Callable | None = None,
    opened: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Trains a model and leaves a run directory.

    Args:
        config: what to train; see RunConfig.
        run_dir: where to; None takes the next number under `runs_root`. A run that is there already goes on.
        runs_root: where numbered runs live.
        dataset: already loaded; None loads `config.data`.
        watch: `kgen.evaluate.Monitor`; needed when `config.train.eval_every` is set.
        opened: is told of the run before it trains, also of one that fails; of several workers the chief's alone.

    Returns:
        The finished run; a worker that is not the chief has it in a folder that is removed when the process ends.

    Raises:
        UserError: the configuration, the data or the directory will not do.
        TrainingFailed: a loss was not finite; the run directory then holds FAILED and the last good checkpoint.
    """
    started = time.monotonic()
    devices = devices_of(config.train.strategy)  # before TensorFlow computes anything
    with devices.watched():
        PRESETS[config.model]  # a wrong name is said before any data is read
        check_prior(config.train.prior, config.model)
        callbacks.check_early_stopping(config)
        told = log_lines(config)
        config = init_from.with_architecture(config)
        dataset = dataset or data.load(config.data, seed=config.seed)
        run = None
        if run_dir and devices.agreed((Path(run_dir) / "config.json").is_file()):
            run = devices.open_run(run_dir)
            config = checkpointing.with_decided(run, config)
        config = prepare(config, dataset)
        if watch is not None:
            config = watch_classes(config, dataset)
        hashes = {split: dataset.fingerprint(split) for split in dataset.splits} if dataset.kept else {}
        if run:
            checkpointing.check_resumable(run, config, hashes, dataset.spec.examples)
            return _go_on(run, config, dataset, watch, opened, devices)
        config = devices.duties(config)
        watching = _watching(config, dataset, watch)
        model = _build(config, dataset, devices)
        told = [*told, *init_from.initialize_weights(model, config)]
        run = devices.create_run(config, dataset.spec, hashes, run_dir=run_dir, runs_root=runs_root)
        if devices.is_chief:
            opened(run)
        _describe(run, dataset, model, devices, told)
        return _finish(run, dataset, model, watching, None, started, devices)


def resume(
    path: str | Path,
    changes: Mapping[str, Any] | None = None,
    *,
    dataset: data.Dataset | None = None,
    watch: Callable | None = None,
    opened: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Goes on with a run; what comes out is what would have come out without the interruption.

    Args:
        path: of the run.
        changes: settings to change; see `going_on.MAY_CHANGE`.
        dataset, watch, opened: as of `train`.

    Raises:
        UserError: no run, a setting that may not change, other data, or no checkpoint.
        TrainingFailed: as of `train`.
    """
    config = override(Run.open(path).config, changes or {})
    devices = devices_of(config.train.strategy)
    with devices.watched():
        callbacks.check_early_stopping(config)
        run = devices.open_run(path)
        dataset = dataset or data.load(config.data, seed=config.seed)
        callbacks.check_early_stopping(config, dataset.spec.examples)
        hashes = {split: dataset.fingerprint(split) for split in dataset.splits} if dataset.kept else {}
        checkpointing.check_resumable(run, config, hashes, dataset.spec.examples)
        return _go_on(run, config, dataset, watch, opened, devices)


def _go_on(run: Run, config: RunConfig, dataset: data.Dataset, watch, opened, devices: Devices) -> Run:
    started = time.monotonic()
    if devices.is_chief:
        opened(run)
    if checkpointing.is_done(run, config):
        run.log(f"{run.path} is done: {checkpointing.how_it_ended(run)}")
        return run
    start = checkpointing.latest_checkpoint(run)
    config = devices.duties(config)
    run.save_config(config)
    watching = _watching(config, dataset, watch)
    with run.building():
        model = _build(config, dataset, devices)
    if start is None:
        init_from.initialize_weights(model, config)
        if devices.is_chief:
            run.record_environment(from_start=True)
        run.log(f"run {run.path}: starts anew, it had written no checkpoint")
    else:
        where = f"epoch {start.state['epoch'] + 1}, step {start.state['step']}"
        run.log(f"run {run.path}: goes on in {where} of {config.train.epochs} epochs")
        if devices.is_chief and (found := run.record_environment()):
            run.log(f"note: {', '.join(found)}: {checkpointing.OTHER_ENVIRONMENT}")
    return _finish(run, dataset, model, watching, start, started, devices)


def _watching(config: RunConfig, dataset: data.Dataset, watch):
    if config.train.eval_every and watch is None:
        raise UserError(
            "train.eval_every asks for figures of samples; give kgen.train.train(..., watch=kgen.evaluate.Monitor)"
        )
    return watch(config, dataset) if config.train.eval_every else None


def _build(config: RunConfig, dataset: data.Dataset, devices: Devices) -> GenerativeModel:
    defaults.set_precision(config)
    with devices.scope():
        model = build_model(config.model, dataset.spec, seed=config.seed, **config.model_args)
    model.agreed = devices.agreed
    return model


def _finish(
    run: Run,
    dataset: data.Dataset,
    model: GenerativeModel,
    watching,
    start: Checkpoint | None,
    started: float,
    devices: Devices,
) -> Run:
    """Trains to the end, from a checkpoint if there is one; says in the run how it ended."""
    slowed = start.state["slowed"] if start else 0
    try:
        with devices.watched(), SignalHandler() as stopper:
            while True:
                try:
                    early = _fit(run, dataset, model, watching, start, slowed, stopper, devices)
                    break
                except TrainingFailed as error:
                    if run.config.train.on_nan != "rollback" or slowed:
                        raise
                    run.log(f"{error}; going back to the last checkpoint, with half the learning rate")
                    start, slowed = checkpointing.latest_checkpoint(run), 1
        if devices.is_chief:
            sampler = open_run(run, dataset=dataset)
            images.save_png(run.path / "samples" / "final.png", sample_sheet(sampler, run.config.seed))
    except KeyboardInterrupt:
        run.fail("interrupted by the user")
        run.log(f"interrupted; go on with: {shlex.join(['kgen-train', '--resume', str(run.path)])}")
        raise
    except BaseException as error:
        if lost := image_lost(error):
            error = TrainingFailed(f"{lost}: {shlex.join(['kgen-train', '--resume', str(run.path)])}")
        with contextlib.suppress(OSError):  # a full disk is told below
            run.fail(str(error) or repr(error))
        raise error
    if early:
        run.log(early)
    run.finish(early)
    run.log(f"done in {time.monotonic() - started:.0f} seconds")
    return run


def _describe(run: Run, dataset: data.Dataset, model: GenerativeModel, devices: Devices, told: Sequence[str]):
    spec, train = run.spec, run.config.train
    splits = ", ".join(f"{count} {split}" for split, count in spec.examples.items())
    height, width, channels = spec.image_shape
    classes = f"{spec.num_classes} classes" if spec.num_classes else "no labels"
    run.log(f"run {run.path}")
    for line in told:
        run.log(line)
    run.log(f"data {spec.name}: {splits} images, {height}x{width}x{channels}, {classes}")
    for note in dataset.notes:
        run.log(f"data {spec.name}: {note}")
    if run.config.model_args.get("likelihood") == "bernoulli" and not dataset.binary:
        run.log(
            f"note: pixels of {spec.name} are not only 0 and 1, so the Bernoulli term is a cross-entropy, and its "
            "nats are no likelihood; --binarize sample, or --set model_args.likelihood=gaussian_learned, makes them one"
        )
    if model.rounds and model.levels == 2 and not dataset.binary:
        run.log(
            f"note: pixels of {spec.name} are rounded to black and white; --binarize sample draws them, and "
            "--set model_args.levels=256 keeps every grey level"
        )
    run.log(
        f"model {run.config.model}: {model.parameters:,} parameters; {train.epochs} epochs, batches of "
        f"{train.batch_size}, learning rate {train.learning_rate:g} ({train.schedule}), seed {run.config.seed}, "
        f"XLA {'on' if train.jit_compile and devices.replicas == 1 else 'off'}"
    )
    if devices.replicas > 1:
        run.log(f"devices: {devices}; each batch is divided among the replicas")


def _fit(
    run: Run,
    dataset: data.Dataset,
    model: GenerativeModel,
    watching,
    start: Checkpoint | None,
    slowed: int,
    stopper: SignalHandler,
    devices: Devices,
) -> str:
    """Trains; returns why it ended early, or ""."""
    train, seed = run.config.train, run.config.seed
    steps_per_epoch = run.spec.examples["train"] // train.batch_size
    steps = train.epochs * steps_per_epoch
    moves = {phase.name: steps * phase.repeats for phase in model.phases()}
    halflife = train.ema_halflife_images
    with devices.scope():  # an optimizer makes variables when it is made
        model.compile(
            defaults.phase_optimizers(run.config, moves, 0.5**slowed),
            steps_per_execution=train.steps_per_execution,
            jit_compile=train.jit_compile,
            steps_per_graph=defaults.steps_per_graph(run.config, steps),
            ema_momentum=ema.momentum_of(halflife, train.batch_size) if halflife else None,
        )
    epoch, taken = (start.state["epoch"], start.state["taken"]) if start else (0, 0)
    if start:
        try:
            restore(model, start.arrays)
        except ValueError as error:
            raise UserError(
                f"the checkpoint of step {start.state['step']} does not fit {run.path / 'config.json'}, which was "
                "changed since; bring it back as it was, or start a new run"
            ) from error
    model.stop_asked = lambda: stopper.asked
    batches = dataset.batches(
        "train", batch_size=train.batch_size, seed=seed, repeat=True, start_epoch=epoch, start_step=taken
    )
    first = dataset.batches("train", batch_size=train.batch_size, seed=seed, repeat=True)
    size = PRESETS[run.config.model].evaluation_batch_size
    evaluations = {
        split: dataset.batches(split, batch_size=size, seed=seed)
        for split in ("validation", "test")
        if split in run.spec.examples
    }
    health = HealthMetrics(model, dataset, seed) if PRESETS[run.config.model].adversarial else None
    record = Record(run, evaluations, steps_per_epoch * train.batch_size, watching, health)
    histograms = Histograms(run, next(iter(first)))
    checkup = [Checkup(run, health)] if health else []
    keeper = CheckpointCallback(run, [record, histograms, *checkup], stopper, start, slowed)
    over = devices.agreed(start is not None and not taken and record.out_of_patience)  # killed between stop and DONE
    model.fit(
        batches,
        initial_epoch=epoch,
        initial_step=taken,
        epochs=epoch if over else train.epochs,
        steps_per_epoch=steps_per_epoch,
        verbose=0,
        callbacks=[
            Progress(train.epochs, steps_per_epoch, epoch * steps_per_epoch + taken, shown=devices.is_chief),
            StopOnFailure(),
            *([Profile(run)] if train.profile else []),
            *([Swap(at_end=True)] if halflife else []),
            record,
            *checkup,
            histograms,
            SampleGrids(run, train.samples_every),
            *([Swap(at_end=False)] if halflife else []),
            keeper,
        ],
    )
    if (step := int(model.failed_step.numpy())) >= 0:
        raise TrainingFailed(_advice(run, step))
    return record.why_early()


def _advice(run: Run, step: int) -> str:
    train = run.config.train
    epoch = step // (run.spec.examples["train"] // train.batch_size) + 1
    return (
        f"the loss was not finite at step {step} (in epoch {epoch}); the last good checkpoint is "
        f"{run.checkpoint('last')}. Try a smaller --learning_rate (it was "
        f"{train.learning_rate:g}), --set model_args.batch_norm=true, or --precision float32"
    )
