"""Training on several devices: strategies of tf.distribute, and what the workers of one must agree on.

All workers of a multi-worker training do the same in the same order, or they would wait for each other forever: they
evaluate together, and write checkpoints together. What depends on a clock or a signal they agree on (`Devices.agreed`).
Worker 0, the chief, alone writes the run directory; the others write theirs to a temporary folder, which is removed
when they end.
"""

import _thread
import atexit
import contextlib
import dataclasses
import functools
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context  # which has no public name for the end of collective operations

from kgen import gpu
from kgen.cache import digest
from kgen.config import RunConfig
from kgen.data import Dataset
from kgen.data.training_data import Content
from kgen.errors import TrainingFailed, UserError, WorkerLost, image_lost, lacks_memory, said
from kgen.file_systems import is_address
from kgen.mirror import Mirror
from kgen.progress import announce
from kgen.run import Run
from kgen.spec import DataSpec
from kgen.tables import counted
from kgen.train.checkpointing import SignalHandler
from kgen.train.peers import PeerWatch

INTERRUPT_SECONDS = 2.0
"""After the death of another worker, what does not wait for it (a measurement of the chief) is interrupted."""
EXIT_SECONDS = 5.0
"""After it, this process ends, whatever it does: the last checkpoint is on the disk."""
ABORTED = "aborted by: "
"""What TensorFlow says, before the reason, in the errors of the workers that have waited for one that failed."""
EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'


class Devices:
    """The devices of one training.

    Args:
        strategy: of tf.distribute.
        worker: index of this process; 0 is the chief.
        addresses: of all workers, "host:port".
    """

    def __init__(self, strategy: tf.distribute.Strategy, worker: int = 0, addresses: Sequence[str] = ("",)):
        self.strategy, self.worker, self.workers, self.addresses = strategy, worker, len(addresses), tuple(addresses)
        self.where = "RUN"
        self._watch, self._left, self._dead, self._interrupted = None, threading.Event(), "", False
        self.mirror: Mirror | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Into how many shares each batch is divided."""
        return self.strategy.num_replicas_in_sync

    def scope(self):
        """The scope in which variables are created."""
        return self.strategy.scope()

    def agreed(self, value: float) -> float:
        """The largest of the values of all workers; every worker must call this."""
        return value if self.workers == 1 else float(self._largest(tf.constant(value, tf.float32)))

    def check_order(self, order: str):
        """Raises UserError at every worker where one reads the training images in another order.

        Args:
            order: of this worker; see `Dataset.training_order`.
        """
        number = int(digest(order)[:6], 16)  # exact in float32
        if self.agreed(number) != -self.agreed(-number):
            raise UserError(
                f"the workers read the data set in different orders, worker {self.worker} {order}: what is read from a "
                "copy or streamed, or kept decoded, depends on each machine's disk and memory where it is not said; "
                "give every worker the same --remote and --cache, and not auto"
            )

    @functools.cached_property
    def _largest(self):
        def largest(value):
            def own():
                replica = tf.distribute.get_replica_context().replica_id_in_sync_group
                return value * tf.one_hot(replica, self.replicas)

            return tf.reduce_max(self.strategy.reduce("SUM", self.strategy.run(own), axis=None))

        return tf.function(largest)

    def batches(self, dataset: Dataset, split: str, **options: Any):
        """The batches of a split, divided among the replicas; a worker reads its own images of each batch alone.

        Args:
            dataset: the same one at every worker.
            split: its name.
            **options: see `Dataset.batches`.
        """
        if self.replicas == 1:
            return dataset.batches(split, **options)
        local = max(1, self.replicas // self.workers)

        def part(i, images, labels):
            rows = slice(i * tf.shape(labels)[0] // local, (i + 1) * tf.shape(labels)[0] // local)
            return images[rows], labels[rows]

        def parts(images, labels):  # `rebatch` would join the end of a pass with the beginning of the next
            return tf.data.Dataset.range(local, output_type=tf.int32).map(lambda i: part(i, images, labels))

        def of_worker(_context):
            batches = dataset.batches(split, share=(self.worker, self.workers), **options)
            batches = batches if local == 1 else batches.flat_map(parts)
            if options.get("repeat"):  # workers need not ask each other before each batch whether there is one
                batches = batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
            return batches

        # An iterator that fetches to devices has a tuner of its own, on whose sleeps its end waits (see `Dataset`): as
        # long again as the training took. Where the devices are CPUs there is nothing to fetch.
        fetch = any("CPU" not in device for device in self.strategy.extended.worker_devices)
        return self.strategy.distribute_datasets_from_function(
            of_worker, tf.distribute.InputOptions(experimental_fetch_to_device=fetch)
        )

    def worker_config(self, config: RunConfig) -> RunConfig:
        """The configuration of this worker: only the chief samples, measures samples and stops early."""
        if self.is_chief:
            return config
        chief_alone = {"samples_every": config.train.epochs, "eval_every": None, "best_by": "loss", "patience": 0}
        return dataclasses.replace(config, train=dataclasses.replace(config.train, **chief_alone))

    def create_run(
        self,
        config: RunConfig,
        spec: DataSpec,
        content: Content,
        *,
        initial_weights: Mapping[str, Any] | None,
        **places: Any,
    ) -> Run:
        """A new run; see `Run.create`."""
        self.where = places.get("run_dir") or self.where
        identity = {"data_hashes": content.hashes, "data_names": content.names, "initial_weights": initial_weights}
        if self.is_chief:
            self.mirror = (run := Run.create(config, spec, **identity, **places)).mirror
            return run
        return WorkerRun.create(config, spec, **identity, run_dir=str(_temporary_folder()))

    def open_run(self, path: str | Path) -> Run:
        """The run to resume; a worker that is not the chief gets a copy of what it needs of it.

        Raises:
            UserError: there is no run.
        """
        self.where = str(path)
        if self.is_chief:
            run = Run.open_to_train(path)
            self.mirror = run.mirror
        self.agreed(0)  # the chief has uploaded what only its copy of a run at an address held
        if not self.is_chief:
            folder = _temporary_folder()
            source = Mirror(path).copy(exact=True) if is_address(path) else path
            shutil.copytree(source, folder, dirs_exist_ok=True, ignore=_not_needed)
            run = WorkerRun.open(folder)
        self.agreed(0)  # no worker changes the run before all have read it
        return run

    @contextlib.contextmanager
    def workers_watched(self):
        """Notices the death of another worker meanwhile; where all goes well, no worker leaves before the others."""
        if self.workers == 1:
            yield
            return
        others = [address for index, address in enumerate(self.addresses) if index != self.worker]
        self._left.clear()
        self._watch = PeerWatch(others, self._end_without)
        try:
            yield
            self.agreed(0)
        finally:
            self.stop_watching()
        self.agreed(0)

    def stop_watching(self):
        """Before this worker and the others end in order, which is no death to be noticed."""
        self._left.set()
        if self._watch is not None:
            self._watch.stop()

    def _end_without(self, address: str):
        """Ends this training when the worker of an address has died; in a thread of the watch."""
        self._dead = f"worker {self.addresses.index(address)} ({address}) has died"
        context.context().abort_collective_ops(tf.errors.UNAVAILABLE, self._dead)  # in what waits for it
        if self._left.wait(INTERRUPT_SECONDS):
            return
        self._interrupted, until = True, time.monotonic() + EXIT_SECONDS - INTERRUPT_SECONDS
        while time.monotonic() < until:
            _thread.interrupt_main()  # the first of them may be handled as a request to stop, for which no time is left
            if self._left.wait(0.5):
                return
        print(f"kgen-train: {self._lost(self._dead)}", file=sys.stderr, flush=True)
        os._exit(WorkerLost.exit_code)

    @contextlib.contextmanager
    def uploading(self):
        """At its end the run is at its address, if it has one, however the training has ended.

        Raises:
            TrainingFailed: a training that has not failed cannot be uploaded.
        """
        self.mirror = None
        try:
            yield
        except BaseException:
            if self.mirror:
                self.mirror.finish_or_log()
            raise
        else:
            if self.mirror and not self.mirror.finish_or_log():
                raise TrainingFailed(
                    f"{self.where} does not hold the end of the training, which is whole in {self.mirror.folder}. Once "
                    f"the address can be written, this uploads it: {shlex.join(['kgen-train', '--resume', self.where])}"
                )
        finally:
            if self.mirror:
                self.mirror.release()

    @contextlib.contextmanager
    def errors_converted(self):
        """Converts the loss of a worker into WorkerLost, and a lack of NCCL into TrainingFailed; other errors pass.

        So does a lack of memory here, which a start of all workers would meet again.
        """
        try:
            yield
        except KeyboardInterrupt as error:
            if not self._interrupted:
                raise
            raise WorkerLost(self._lost(self._dead)) from error
        except tf.errors.OpError as error:
            if lacks_memory(error) and ABORTED not in str(error):  # of this worker; the others notice that it ends
                raise
            if self.workers == 1 and self.replicas > 1 and "nccl" in str(error).lower():
                raise TrainingFailed(
                    f"{self} cannot exchange their gradients by NCCL ({said(error)}); "
                    "pip install 'kgen[gpu]' brings it, and --strategy one trains on one device"
                ) from error
            if self.workers == 1 or image_lost(error):
                raise
            # TensorFlow leaves a pool of threads open here. Found by the garbage collector it may print a traceback of
            # its own; deleted with the frame that holds it, it does not.
            traceback.clear_frames(error.__traceback__)
            raise WorkerLost(self._lost(self._dead or _reason(error))) from error
        except Exception as error:
            if not self._dead or isinstance(error, WorkerLost):
                raise
            raise WorkerLost(self._lost(self._dead)) from error  # whatever came of the end of what waited for it

    def _lost(self, reason: str) -> str:
        again = shlex.join(["kgen-train", "--resume", self.where])
        return (
            f"worker {self.worker} of {self.workers} stops: another worker is gone or does not answer ({reason}). "
            f"Start every worker again with: {again}"
        )

    def __str__(self) -> str:
        if self.workers > 1:
            return f"{counted(self.workers, 'worker')}, {counted(self.replicas, 'replica')}"
        return f"{self.replicas} replica{'s' if self.replicas > 1 else ''}"


def _reason(error: tf.errors.OpError) -> str:
    found = re.search(f"{ABORTED}(.+)", str(error.message))
    return f"{type(error).__name__}: {found[1] if found else said(error)}"


class WorkerRun(Run):
    """The run directory of a worker that is not the chief: in a temporary folder, and without output."""

    def log(self, message: str, *, show: bool = True):
        super().log(message, show=False)


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="kgen-worker-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _not_needed(folder: str, names: list[str]) -> list[str]:
    """The files of a run that a worker does not need to resume it."""
    kept = ("config.json", "metrics.jsonl", "DONE", "checkpoints")
    return [name for name in names if name not in kept and not name.startswith("step-")]


# Strategies -----------------------------------------------------------------------------------------------------------


def devices_of(name: str) -> Devices:
    """The devices of `train.strategy`. Those of several workers must be created before TensorFlow computes anything.

    Raises:
        UserError: there are none, or TF_CONFIG is missing or wrong.
    """
    gpus = gpu.visible()
    if name == "multi_worker":
        worker, addresses = cluster_of(os.environ.get("TF_CONFIG"))
        if len(addresses) > 1:
            return _multi_worker(worker, addresses)
        name = "auto"  # a worker alone is a machine
    if name == "tpu":
        return Devices(_tpu())
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        kind = "GPU" if gpus else "CPU"
        devices = tuple(f"{kind}:{i}" for i, _ in enumerate(tf.config.list_logical_devices(kind)))
        if len(devices) > 1:  # over one GPU it refuses a whole step under XLA: "`merge_call` called while defining ..."
            return Devices(_mirrored(devices))
    return Devices(tf.distribute.get_strategy())


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One per process: the collectives of a second strategy would use the keys of the first."""
    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise UserError(f"--strategy tpu finds no TPU ({error}); set TPU_NAME, or use --strategy auto") from error
    return tf.distribute.TPUStrategy(resolver)


@functools.cache
def _multi_worker(worker: int, addresses: tuple[str, ...]) -> Devices:
    announce(f"waiting for {counted(len(addresses) - 1, 'other worker')}")
    try:
        with _ended_by_ctrl_c():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            f"--strategy multi_worker must come before TensorFlow computes anything in this process ({error})"
        ) from error
    except tf.errors.OpError as error:  # another worker died, or did not come, while all wait for each other
        raise WorkerLost(
            f"worker {worker} of {len(addresses)} stops: the workers did not find each other ({_reason(error)}). Start "
            "every worker again"
        ) from error
    return Devices(strategy, worker, addresses)


@contextlib.contextmanager
def _ended_by_ctrl_c():
    """Ctrl-C ends the process meanwhile, though TensorFlow lets no Python run; SIGTERM is Python's again afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SignalHandler.SIGNALS}
    if before[signal.SIGINT] is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def cluster_of(text: str | None) -> tuple[int, tuple[str, ...]]:
    """The index of this worker and the addresses of all, chief first, from the variable TF_CONFIG.

    Raises:
        UserError: it is missing, no JSON, or names no cluster of workers.
    """

    def wrong(what: str) -> UserError:
        return UserError(
            f"--strategy multi_worker: {what}; each worker needs its own, for example TF_CONFIG='{EXAMPLE}'"
        )

    if not text:
        raise wrong("the environment variable TF_CONFIG is not set")
    try:
        values = json.loads(text)
        cluster, kind, index = values["cluster"], values["task"]["type"], values["task"]["index"]
        if strange := {*cluster} - {"chief", "worker"}:
            raise wrong(f"TF_CONFIG names a job {min(strange)!r}; only chief and worker are known")
        addresses = {job: tuple(cluster.get(job, ())) for job in ("chief", "worker")}
        own = addresses[kind][index]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, UserError):
            raise
        raise wrong(f"TF_CONFIG cannot be read ({error!r}). Received: {text}") from error
    every = (*addresses["chief"], *addresses["worker"])
    if not isinstance(index, int) or index < 0 or len(addresses["chief"]) > 1 or not all(":" in a for a in every):
        raise wrong(f"TF_CONFIG is no cluster of workers. Received: {text}")
    if every.count(own) > 1:
        raise wrong(f"TF_CONFIG names {own} twice")
    return every.index(own), every
