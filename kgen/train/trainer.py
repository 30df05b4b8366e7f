"""The training loop: from a configuration to a run directory."""

import contextlib
import dataclasses
import gc
import json
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kgen import data, images
from kgen.checkpoints import Checkpoint
from kgen.config import RunConfig
from kgen.data.training_data import Content
from kgen.errors import TrainingFailed, TrainingPaused, UserError, image_lost, said
from kgen.models import GenerativeModel, build_model, ema, resolve_model_args
from kgen.models.base import GRADIENT
from kgen.models.presets import PRESETS
from kgen.progress import announce
from kgen.recipes import log_lines
from kgen.run import INTERRUPTED, Run, is_run
from kgen.sampling import open_run
from kgen.spec import DataSpec
from kgen.tables import counted
from kgen.train import callbacks, checkpointing, checks, defaults, init_from, xla
from kgen.train.checkpointing import CheckpointCallback, SignalHandler
from kgen.train.costs import OTHER, Costs
from kgen.train.diagnostics import HealthMetrics
from kgen.train.distribution import Devices, devices_of
from kgen.train.loggers import open_loggers
from kgen.train.memory import check_memory, out_of_memory, step_memory
from kgen.train.plots import sample_sheet, sheet_origin

MAX_TESTS = 10
"""About so many epochs of a training evaluate the test images: nothing is chosen by them."""
LITTLE = 0.05
"""Share of the learning rate with which further epochs change little."""
OF_XLA = ("xla", "jit-compile", "jit_compile", "libdevice", "ptx", "cubin", "nvjitlink", "hlo", "autotuning failed")
"""Words of the errors of a program that XLA cannot compile, or the GPU's compiler after it."""
EVALUATION_BYTES = 2**23
"""Largest batch of images, in float32, of an evaluation of the loss: the activations are a multiple of it."""


def train(
    config: RunConfig,
    *,
    run_dir: str | None = None,
    runs_root: str = "runs",
    dataset: data.Dataset | None = None,
    monitor: Callable | None = None,
    on_start: Callable[[Run], None] = lambda run: None,
    pause_after: int | None = None,
) -> Run:
    """Trains a model and leaves a run directory.

    Args:
        config: what to train; see RunConfig.
        run_dir: where to, a directory or an address; None takes the next number under `runs_root`. A run that is there
            already is resumed.
        runs_root: where numbered runs live.
        dataset: already loaded; None loads `config.data`.
        monitor: the class `kgen.evaluate.Monitor`; needed when `config.train.eval_every` is set.
        on_start: called with the run before it trains, also with one that fails; with several workers the chief's
            alone.
        pause_after: stop after this epoch, with a checkpoint: the same call with a later one, or None, resumes the run.
            It becomes what it would have become without the pause.

    Returns:
        The finished run, or the paused one; a worker that is not the chief has it in a folder that is removed when the
        process ends.

    Raises:
        UserError: the configuration, the data or the directory will not do.
        TrainingFailed: a loss was not finite; the run directory then holds FAILED and the last good checkpoint.
    """
    started = time.monotonic()
    xla.try_early(config, run_dir)  # its child process needs the GPU before this one has it
    devices = devices_of(config.train.strategy)  # before TensorFlow computes anything
    with devices.uploading(), devices.errors_converted(), devices.workers_watched():
        notes = log_lines(config)
        config = checks.checked(config, run_dir)  # before any data is read
        dataset = dataset or data.load(config.data, seed=config.seed)
        defaults.check_labels(config, dataset)
        run = None
        if run_dir and devices.agreed(is_run(run_dir)):
            run = devices.open_run(run_dir)
            config = checks.with_decided(run, config)
        timed, opened = config.train.minutes is not None and config.train.epochs is None, None
        if timed:
            config, note = _within_minutes(config, dataset, devices, run_dir)
            notes = [*notes, note]
        if config.train.best_by == "auto":
            seen = run.trained_with if run else init_from.seen_extractors(config)
            config, note, opened = _with_best_by(config, dataset, monitor, timed, seen)
            notes = [*notes, note]
        asked, config = config, defaults.resolve_defaults(config, dataset)
        if asked.train.flip == "auto":
            are = "are" if config.train.flip == "on" else "are not"
            shown = counted(min(dataset.spec.examples["train"], defaults.MIRRORED_IMAGES), "image shows", "images show")
            line = f"as far as {shown}, mirrored ones {are} as near to the set as its own"
            notes = [*notes, f"flip auto: {config.train.flip}; {line}"]
        if config.train.class_balance:
            notes = [*notes, _balance_note(config, dataset)]
        given = resolve_model_args(asked.model, asked.model_args)
        if decided := {name: value for name, value in config.model_args.items() if value != given[name]}:
            words = ", ".join(f"model_args.{name}={json.dumps(value)}" for name, value in decided.items())
            notes = [*notes, f"auto, for {counted(dataset.spec.examples['train'], 'training image')}: {words}"]
        if asked.train.batch_size == "auto":
            notes = [*notes, f"batch_size auto: {config.train.batch_size}; a step of so many images was tried"]
        if asked.train.jit_compile is None and (reason := xla.failure()):
            notes = [*notes, f"note: training without XLA: {reason}; --jit_compile uses it all the same"]
        if monitor is not None:
            config = defaults.with_class_metrics(config, dataset)
            notes = [*notes, *filter(None, [defaults.class_metrics_left_out(config, dataset)])]
        places = {"run_dir": run_dir, "runs_root": runs_root}
        create = monitor if opened is None else lambda config, *_: opened.completed(config)
        return _train(run, config, dataset, devices, create, on_start, started, notes, pause_after, **places)


def resume(
    path: str | Path,
    changes: Mapping[str, Any] | None = None,
    *,
    dataset: data.Dataset | None = None,
    monitor: Callable | None = None,
    on_start: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Resumes a run; the result is the one that it would have had without the interruption.

    Args:
        path: of the run, or its address.
        changes: settings to change; see `checks.MAY_CHANGE`. "data.dataset" is where its data are now.
        dataset, monitor, on_start: as of `train`.

    Raises:
        UserError: no run, a setting that may not change, other data, or no checkpoint.
        TrainingFailed: as of `train`.
    """
    started = time.monotonic()
    config = Run.open(path).config_with(changes or {})
    xla.try_early(config, path)
    devices = devices_of(config.train.strategy)
    with devices.uploading(), devices.errors_converted(), devices.workers_watched():
        checks.check_early_stopping(config)
        checks.check_pretrained(config)
        run = devices.open_run(path)
        dataset = dataset or data.load(config.data, seed=config.seed)
        checks.check_early_stopping(config, dataset.spec.examples)
        return _train(run, config, dataset, devices, monitor, on_start, started)


def _train(
    run: Run | None,
    config: RunConfig,
    dataset: data.Dataset,
    devices: Devices,
    monitor: Callable | None,
    on_start: Callable[[Run], None],
    started: float,
    notes: Sequence[str] = (),
    pause_after: int | None = None,
    **places: Any,
) -> Run:
    """Trains a complete configuration, in a new run or in the one that is resumed.

    Args:
        run: to resume; None creates one.
        started: when, by the monotonic clock.
        notes: for the log of a new run.
        pause_after: see `train`.
        places: of a new run; see `Run.create`.
    """
    start, resumed = None, run is not None

    # Find the checkpoint to start from.
    content = Content.of(dataset)
    if resumed:
        checkpointing.check_resumable(run, config, content)
        moved = config.data.dataset != run.training_data.located.dataset
        if devices.is_chief:
            on_start(run)
        if checkpointing.is_done(run, config):
            if moved:
                run.save_config(dataclasses.replace(run.config, data=config.data))
            run.log(f"{run.place} is done: {checkpointing.how_it_ended(run)}")
            return run
        start = checkpointing.latest_checkpoint(run)
        if pause_after and start and start.state["epoch"] >= pause_after:
            return run
        longer = _longer_note(run, config, start)
        if config.train.jit_compile and (reason := xla.failure()):
            run.log(f"note: resuming without XLA, which changes the rounding: {reason}")
            config = dataclasses.replace(config, train=dataclasses.replace(config.train, jit_compile=False))
    order = dataset.training_order(config.train.class_balance)
    devices.check_order(order)
    config = devices.worker_config(config)
    if resumed:
        run.save_config(config)

    # Refuse what does not fit into memory; then build the model, and what measures its samples.
    set_precision(config)
    with run.building() if resumed else contextlib.nullcontext():
        _, scarce = check_memory(config, dataset.spec, devices.replicas)
    notes = [*notes, *filter(None, [scarce])]
    seen = run.trained_with if resumed else init_from.seen_extractors(config)
    sample_monitor = _create_monitor(monitor, config, dataset, seen)
    with devices.scope(), run.building() if resumed else contextlib.nullcontext():
        try:
            model = build_model(config.model, dataset.spec, seed=config.seed, **config.model_args)
        except Exception as error:
            if lacking := out_of_memory(error, config, dataset.spec, devices.replicas):
                raise lacking from error
            raise
    model.agreed = devices.agreed
    initial = None
    if start is None and config.train.init_from:
        lines, initial = init_from.initialize_weights(model, config)
        notes = [*notes, *lines]
        if resumed:
            init_from.check_same(run, initial)

    if not resumed and (other := defaults.convolutional_counterpart(config, dataset.spec)):
        notes = [*notes, _dense_note(model, dataset.spec, other)]

    # Create the run directory, when nothing that the user can get wrong is left.
    if not resumed:
        run = devices.create_run(config, dataset.spec, content, initial_weights=initial, **places)
        if devices.is_chief:
            on_start(run)
        _log_start(run, dataset, model, devices, notes)
    else:
        _log_resume(run, start, devices, order)
        if longer:
            run.log(longer)
        if moved:
            run.log(f"data: taken from {config.data.dataset}; {run.training_data.content.compared(content)} agree")

    # Train.
    try:
        with devices.errors_converted(), SignalHandler() as stopper:
            stopped_early = _fit_or_roll_back(run, dataset, model, sample_monitor, start, stopper, devices, pause_after)
        if devices.is_chief:
            sampler = open_run(run, dataset=dataset)
            made = sheet_origin(run, sampler, "final", checkpoint="best")
            images.save_png(run.path / "samples" / "final.png", sample_sheet(sampler, run.config.seed), made)
    except TrainingPaused:
        run.log(f"paused after epoch {pause_after} of {run.config.train.epochs}; go on with: {_resume_command(run)}")
        return run
    except KeyboardInterrupt:
        run.fail(f"{INTERRUPTED} by the user")
        run.log(f"interrupted; resume with: {_resume_command(run)}")
        raise
    except BrokenPipeError:  # `kgen-train … | head`
        run.fail(f"{INTERRUPTED}: what it prints is not read any more; resume with: {_resume_command(run)}")
        raise
    except BaseException as error:
        if failed := failure_of(error, run.config, run.spec, devices.replicas):
            error = failed
        elif lost := image_lost(error) or dataset.explained(error):
            error = TrainingFailed(f"{lost}: {_resume_command(run)}")
        with contextlib.suppress(OSError):  # e.g. the disk is full, which `error` says
            run.fail(str(error) or repr(error))
        raise error

    # Finish.
    if stopped_early:
        run.log(stopped_early)
    run.finish(stopped_early)
    run.log(f"done in {time.monotonic() - started:.0f} seconds")
    return run


def _within_minutes(
    config: RunConfig, dataset: data.Dataset, devices: Devices, run_dir: str | None = None
) -> tuple[RunConfig, str]:
    """The configuration with the epochs that take `train.minutes`, and a line about them for the log."""
    from kgen.train.dry_run import dry_run  # which compiles as this module does

    if devices.replicas > 1:
        raise UserError(
            f"train.minutes={config.train.minutes:g} is measured on one device, and {devices.replicas} train together; "
            "give --epochs instead"
        )
    found = dry_run(config, run_dir=run_dir, dataset=dataset)
    gc.collect()  # the model that was measured: a GPU would hold its weights and optimizer beside those that train
    epochs = found.config.train.epochs
    each = f"{counted(found.steps_per_epoch, 'step')}, {found.step_words} each"
    note = f"minutes {config.train.minutes:g}: {counted(epochs, 'epoch')} of {each}"
    return dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=epochs)), note


def _with_best_by(
    config: RunConfig, dataset: data.Dataset, monitor: Callable | None, timed: bool, seen: Sequence[str]
) -> tuple[RunConfig, str, Any]:
    """The configuration with what `best_by="auto"` stands for, a line about it for the log, and the monitor that it
    took to decide it, or None.

    Args:
        timed: the epochs are those that take `train.minutes`, of which evaluations are to be a small share.
        seen: see `kgen.evaluate.Monitor`.
    """
    minutes = config.train.minutes
    asked = dataclasses.replace(config, train=dataclasses.replace(config.train, minutes=minutes if timed else None))
    by_loss = dataclasses.replace(config.train, best_by="loss"), "best_by auto: loss", None
    train, note, opened = monitor.decided(asked, dataset, seen) if monitor else by_loss
    return dataclasses.replace(config, train=dataclasses.replace(train, minutes=minutes)), note, opened


def _create_monitor(monitor: Callable | None, config: RunConfig, dataset: data.Dataset, seen: Sequence[str]):
    if config.train.eval_every and monitor is None:
        raise UserError(
            "train.eval_every or train.best_by asks for metrics of samples; call kgen.train.train(..., "
            "monitor=kgen.evaluate.Monitor)"
        )
    return monitor(config, dataset, seen) if config.train.eval_every else None


def _fit_or_roll_back(
    run: Run,
    dataset: data.Dataset,
    model: GenerativeModel,
    monitor,
    start: Checkpoint | None,
    stopper: SignalHandler,
    devices: Devices,
    pause_after: int | None,
) -> str:
    """`_fit`; with `train.on_nan="rollback"` again from the last checkpoint, once, after a loss that was not finite."""
    rollbacks = start.state["rollbacks"] if start else 0
    while True:
        try:
            return _fit(run, dataset, model, monitor, start, rollbacks, stopper, devices, pause_after)
        except TrainingFailed as error:
            if run.config.train.on_nan != "rollback" or rollbacks:
                raise
            run.log(f"{error}; rolling back to the last checkpoint, with half the learning rate")
            start, rollbacks = checkpointing.latest_checkpoint(run), 1


def _fit(
    run: Run,
    dataset: data.Dataset,
    model: GenerativeModel,
    monitor,
    start: Checkpoint | None,
    rollbacks: int,
    stopper: SignalHandler,
    devices: Devices,
    pause_after: int | None,
) -> str:
    """Trains a model to the end, or to a pause.

    Args:
        run: written to.
        dataset: to train on.
        model: built; it is compiled here.
        monitor: measures samples, or None.
        start: the checkpoint to start from, or None.
        rollbacks: each halves the learning rate.
        stopper: handles signals.
        devices: that share each batch.
        pause_after: see `train`.

    Returns:
        Why the training stopped early, or "".

    Raises:
        TrainingFailed: a loss was not finite.
        TrainingPaused: after that epoch.
    """
    train, seed = run.config.train, run.config.seed
    steps_per_epoch = run.spec.examples["train"] // train.batch_size
    epoch, step = (start.state["epoch"], start.state["steps_in_epoch"]) if start else (0, 0)

    # Set up the optimizers, in the state of the checkpoint.
    with devices.scope():  # they create variables
        compile_model(model, run.config, steps_per_epoch, learning_rate_factor=0.5**rollbacks)
    if start:
        try:
            checkpointing.restore(model, start.arrays)
        except ValueError as error:
            raise UserError(
                f"the checkpoint of step {start.state['step']} does not fit {run.path / 'config.json'}, which was "
                "changed since; restore it as it was, or start a new run"
            ) from error
    model.stop_asked = lambda: stopper.received

    # Batches, and the rows of metrics.jsonl.
    rows = run.metrics()
    training = {
        "batch_size": train.batch_size, "seed": seed, "repeat": True, "as_uint8": True, "flip": train.flip == "on",
        "class_balance": train.class_balance,
    }  # fmt: skip
    batches = devices.batches(dataset, "train", **training, start_epoch=epoch, start_step=step)
    first_batch = next(iter(dataset.batches("train", **training)))
    image_bytes = 4 * run.spec.num_pixels
    size = min(PRESETS[run.config.model].evaluation_batch_size, max(1, EVALUATION_BYTES // image_bytes))
    tests_every = train.validate_every * math.ceil(train.epochs / (train.validate_every * MAX_TESTS))
    evaluate = {
        split: callbacks.Evaluate(
            run,
            rows,
            split,
            devices.batches(dataset, split, batch_size=size, seed=seed, repeat=True),
            math.ceil(run.spec.examples[split] / size),
            every,
        )
        for split, every in (("validation", train.validate_every), ("test", tests_every))
        if split in run.spec.examples
    }

    # Callbacks: what is done beside the steps, in this order.
    costs = Costs()
    loggers = callbacks.Loggers(run, rows, open_loggers(train.logger, run) if devices.is_chief else [])
    health = HealthMetrics(model, dataset, seed) if PRESETS[run.config.model].adversarial else None
    objective = callbacks.Objective.of(train, model, evaluate, monitor)
    epoch_row = callbacks.EpochRow(run, rows, train.batch_size, costs)
    best = callbacks.BestCheckpoint(run, rows, objective)
    early_stopping = callbacks.EarlyStopping(run, rows, best)
    histograms = callbacks.Histograms(run, rows, first_batch, loggers)
    diagnoses = [callbacks.LogDiagnoses(run, rows, health)] if health else []
    timed, averaged = costs.callback, model.averages is not None
    first = epoch * steps_per_epoch + step
    progress = callbacks.Progress(train.epochs, steps_per_epoch, first, shown=devices.is_chief)
    unit = "" if health else "nats per image"
    order = dataset.training_order(train.class_balance)
    columns = _columns(model, "validation" in evaluate, monitor)
    resumable = [epoch_row, best, early_stopping, histograms, *diagnoses]
    used = [
        progress,
        callbacks.StopOnFailure(),
        *([callbacks.Profile(run)] if train.profile else []),
        *([callbacks.SwapAverages(at_train_end=True)] if averaged else []),  # what follows sees the averages
        epoch_row,
        *([timed("evaluation", evaluate["validation"])] if "validation" in evaluate else []),
        *(
            [timed("samples", callbacks.MeasureSamples(run, rows, monitor, epoch_row, train.eval_every))]
            if monitor
            else []
        ),
        *([timed("health", callbacks.MeasureHealth(run, rows, health))] if health else []),
        timed("checkpoints", best),
        early_stopping,
        *([timed("evaluation", evaluate["test"])] if "test" in evaluate else []),
        timed("checkpoints", keras.callbacks.LambdaCallback(on_epoch_end=best.write_if_due)),
        callbacks.MetricsLog(run, rows),
        callbacks.LogEpochs(run, rows, columns, unit),
        timed("loggers", loggers),
        timed("pictures", callbacks.Curves(run, rows, monitor=monitor)),
        *diagnoses,
        timed("pictures", callbacks.SampleGrids(run, rows, train.samples_every, loggers)),
        *([callbacks.SwapAverages(at_train_end=False)] if averaged else []),
        timed("loggers", histograms),  # of the weights that are trained
        timed(
            "checkpoints",
            CheckpointCallback(run, rows, resumable, stopper, start, rollbacks, order, pause_after),
        ),
    ]

    # Train. A run that was killed after it had stopped early, and before DONE was written, has no epoch left.
    stopped = devices.agreed(start is not None and not step and early_stopping.triggered)
    if devices.is_chief and not stopped:
        announce("compiling the training step")
    model.timed = costs.of
    finished = False
    with costs.of("loggers"):
        loggers.begin()
    try:
        with costs.of(OTHER):
            model.fit(
                batches,
                initial_epoch=epoch,
                initial_step=step,
                epochs=epoch if stopped else train.epochs,
                steps_per_epoch=steps_per_epoch,
                verbose=0,
                callbacks=used,
            )
        finished = int(model.failed_step.numpy()) < 0
    except KeyboardInterrupt:
        devices.stop_watching()
        raise
    finally:
        progress.close()
        with costs.of("loggers"):
            loggers.end(finished)
    if (failed := int(model.failed_step.numpy())) >= 0:
        raise TrainingFailed(_failure(run, failed, steps_per_epoch))
    costs.write(run)
    run.log(_quality(best, unit, rows, monitor))
    return early_stopping.reason()


def _columns(model: GenerativeModel, validated: bool, monitor) -> dict[str, str]:
    """Name of a value in a row -> its header in the log: losses, what is measured, and the other terms."""
    terms = [name for name in model.trackers if not name.endswith(GRADIENT)]
    losses = [name for name in terms if name.endswith("loss")]
    found = {f"train_{name}": callbacks.header(name) for name in losses}
    if validated and "loss" in terms:
        found["validation_loss"] = "validation"
    if monitor is not None:
        found |= {f"{monitor.split}_{name}": name.replace("_", " ") for name in monitor.main}
    return found | {f"train_{name}": callbacks.header(name) for name in terms if name not in losses}


def set_precision(config: RunConfig):
    """Sets Keras' dtype policy, before a model is built, and asks for deterministic operations where that is wanted."""
    keras.config.set_floatx("float32")  # whatever ~/.keras/keras.json says
    keras.mixed_precision.set_global_policy(config.train.precision)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()


def compile_model(model: GenerativeModel, config: RunConfig, steps_per_epoch: int, learning_rate_factor: float = 1.0):
    """Gives a model the optimizers, the averages and the compiled training step of a complete configuration."""
    train = config.train
    init_from.freeze_layers(model, train.freeze_layers)
    steps = train.epochs * steps_per_epoch
    updates = {phase.name: steps * phase.repeats for phase in model.phases()}
    halflife = train.ema_halflife_images
    model.compile(
        defaults.phase_optimizers(config, updates, learning_rate_factor),
        steps_per_execution=train.steps_per_execution,
        jit_compile=train.jit_compile,
        steps_per_graph=defaults.steps_per_graph(config),
        ema_momentum=ema.momentum_of(halflife, train.batch_size) if halflife else None,
        ema_rampup=train.ema_rampup,
    )


def failure_of(error: BaseException, config: RunConfig, spec: DataSpec, replicas: int = 1) -> TrainingFailed | None:
    """What to say of an error of a training step that a setting avoids: of memory, determinism or XLA; None of others.

    Args:
        error: any.
        config: complete.
        spec: of the data.
        replicas: devices that share a batch.
    """
    if lacking := out_of_memory(error, config, spec, replicas):
        return lacking
    if not isinstance(error, tf.errors.OpError):
        return None
    words, train = said(error), config.train
    if train.deterministic and "determinis" in words.lower():
        return TrainingFailed(f"--deterministic does not work here ({words}); leave it out")
    if train.jit_compile and any(word in words.lower() for word in OF_XLA):
        return TrainingFailed(
            f"the training step cannot be compiled with XLA ({words}); --nojit_compile trains without it"
        )
    return None


# Messages -------------------------------------------------------------------------------------------------------------


def _resume_command(run: Run) -> str:
    return shlex.join(["kgen-train", "--resume", run.place])


def _failure(run: Run, step: int, steps_per_epoch: int) -> str:
    return (
        f"the loss was not finite at step {step} (in epoch {step // steps_per_epoch + 1}); the last good checkpoint is "
        f"{run.checkpoint('last')}. Try a smaller --learning_rate (it was {run.config.train.learning_rate:g}), "
        "--set model_args.batch_norm=true, or --precision float32"
    )


def _quality(best: callbacks.BestCheckpoint, unit: str, rows: Sequence[Mapping[str, Any]], monitor) -> str:
    """How good the training became: its best score, and the last metrics of its samples."""
    parts, objective = [], best.objective
    if objective.key and math.isfinite(best.score):
        value = best.score if objective.lower_is_better else -best.score
        unit = f" {unit}" if unit and objective.key == "validation_loss" else ""
        parts.append(f"best {objective.key.replace('_', ' ')} {value:.4g}{unit}, epoch {best.epoch}")
    names = {f"{monitor.split}_{name}": name.replace("_", " ") for name in monitor.main} if monitor else {}
    for row in reversed(rows):
        if values := [f"{name} {row[key]:.4g}" for key, name in names.items() if row.get(key) is not None]:
            parts.append(f"samples of epoch {row['epoch']}: {', '.join(values)}")
            break
    return "; ".join(parts) or f"trained {counted(len(rows), 'epoch')}"


def _dense_note(model: GenerativeModel, spec: DataSpec, other: RunConfig) -> str:
    size, parameters = "×".join(map(str, spec.image_shape)), step_memory(other, spec).parameters
    return (
        f"note: dense layers make {model.parameters:,} parameters of pictures of {size}; --model {other.model}, with "
        f"convolutions and {parameters:,} parameters, suits them better; --dry_run says how long each takes"
    )


def _balance_note(config: RunConfig, dataset: data.Dataset) -> str:
    """How often the largest and the smallest class are drawn; and what a model without labels makes of it.

    The mixture of `train.prior` is fitted to the images as they are, so that samples from it have the data's classes.
    """
    train = config.train
    images_of, draws_of = dataset.draws_per_class(train.class_balance, train.batch_size)
    found = np.flatnonzero(images_of)
    largest, smallest = (int(found[place(images_of[found])]) for place in (np.argmax, np.argmin))
    note = f"class_balance {train.class_balance:g}"
    if images_of[largest] == images_of[smallest]:
        return f"{note} changes no shares: every class has {counted(int(images_of[largest]), 'image')}"

    def words(number):
        found = f"{images_of[number]:,} of {images_of.sum():,} images"
        drawn = f"{draws_of[number] / draws_of.sum():.1%} of the draws"
        return f"{dataset.spec.class_name(number)!r} has {found} and {drawn}"

    times = draws_of[smallest] / images_of[smallest]
    note = (
        f"{note}: {words(largest)}, {words(smallest)}, each of its images "
        f"{f'{times:,.0f}' if times >= 10 else f'{times:.3g}'} times per epoch"
    )
    if PRESETS[config.model].conditional or train.prior == "gaussian_mixture":
        return note
    return (
        f"{note}. {config.model!r} takes no labels, so the classes of its samples follow the draws, and its metrics "
        "compare them with images whose classes are as in the data"
    )


def _longer_note(run: Run, config: RunConfig, start: Checkpoint | None) -> str:
    """What further epochs of a cosine schedule begin with; "" where the schedule is constant or as long as before."""
    epochs = config.train.epochs
    if start is None or config.train.schedule != "cosine" or epochs <= run.config.train.epochs:
        return ""
    steps = epochs * (run.spec.examples["train"] // config.train.batch_size)
    share = float(keras.optimizers.schedules.CosineDecay(1.0, steps)(start.state["step"]))
    again = shlex.join(["--init_from", run.place])
    little = f", and change little; a new training can begin from this one, with {again}" if share < LITTLE else ""
    return (
        f"note: the cosine schedule now ends with epoch {epochs}: further epochs begin with {100 * share:.2g} % of the "
        f"learning rate{little}"
    )


def _log_resume(run: Run, start: Checkpoint | None, devices: Devices, order: str):
    if start is None:
        if devices.is_chief:
            run.record_environment(from_start=True)
        run.log(f"run {run.place}: starts from the beginning, it has no checkpoint")
        return
    place = f"epoch {start.state['epoch'] + 1} of {run.config.train.epochs}"
    run.log(f"run {run.place}: resumes in {place}, after step {start.state['step']:,}")
    before = start.state.get("order", order)  # older runs did not write it
    steps_per_epoch = run.spec.examples["train"] // run.config.train.batch_size
    if start.state["steps_in_epoch"] % steps_per_epoch and before != order:
        run.log(
            f"note: this epoch was read {before} and is now read {order}: of its images some come twice, and some not; "
            "--remote and --cache as before keep the order"
        )
    if devices.is_chief and (differences := run.record_environment()):
        run.log(f"note: {', '.join(differences)}: {checkpointing.OTHER_ENVIRONMENT}")


def _log_start(run: Run, dataset: data.Dataset, model: GenerativeModel, devices: Devices, notes: Sequence[str]):
    spec, train = run.spec, run.config.train
    splits = ", ".join(f"{count} {split}" for split, count in spec.examples.items())
    height, width, channels = spec.image_shape
    classes = counted(spec.num_classes, "class") if spec.num_classes else "no labels"
    run.log(f"run {run.place}")
    for note in notes:
        run.log(note)
    run.log(f"data {spec.name}: {splits} images, {height}x{width}x{channels}, {classes}")
    for note in dataset.notes:
        run.log(f"data {spec.name}: {note}")
    if run.config.model_args.get("likelihood") == "bernoulli" and not dataset.binary:
        run.log(
            f"note: pixels of {spec.name} are not only 0 and 1, so the Bernoulli term is a cross-entropy, and its "
            "value is not a likelihood; use --binarize sample or --set model_args.likelihood=gaussian_learned for one"
        )
    if model.rounds and model.levels == 2 and not dataset.binary:
        run.log(
            f"note: pixels of {spec.name} are rounded to black and white; --binarize sample samples them, and "
            "--set model_args.levels=256 keeps every grey level"
        )
    xla_used = train.jit_compile and (devices.replicas == 1 or model.changes_weights_alone)
    run.log(
        f"model {run.config.model}: {model.parameters:,} parameters; {counted(train.epochs, 'epoch')}, batches of "
        f"{train.batch_size}, learning rate {train.learning_rate:g} ({train.schedule}), seed {run.config.seed}, "
        f"XLA {'on' if xla_used else 'off'}"
    )
    if devices.replicas > 1:
        run.log(f"devices: {devices}; each batch is divided among the replicas")
