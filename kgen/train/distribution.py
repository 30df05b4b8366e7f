"""Which devices train together: a strategy of tf.distribute, and what the workers of one must agree on.

All workers of a multi-worker training do the same in the same order, or they would wait for each other forever: they
evaluate together, and write checkpoints together. Worker 0, the chief, alone writes the run; the others write what they
would have written to a temporary folder, which goes when they end. What a clock or a signal decides, they agree on.
"""

import atexit
import contextlib
import dataclasses
import functools
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from kgen.config import RunConfig
from kgen.errors import TrainingFailed, UserError, image_lost
from kgen.run import Run
from kgen.spec import DataSpec

EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'


class WorkerRun(Run):
    """Of a worker that is not the chief: in a temporary folder, and it prints nothing."""

    def log(self, message: str, *, show: bool = True):
        super().log(message, show=False)


class Devices:
    """Those that one training uses.

    Args:
        strategy: of tf.distribute.
        worker: the number of this process; 0 is the chief.
        workers: how many processes there are.
    """

    def __init__(self, strategy: tf.distribute.Strategy, worker: int = 0, workers: int = 1):
        self.strategy, self.worker, self.workers = strategy, worker, workers
        self.where = "RUN"

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """How many shares a batch is divided into."""
        return self.strategy.num_replicas_in_sync

    def scope(self):
        """Variables are made in here."""
        return self.strategy.scope()

    def agreed(self, value: float) -> float:
        """The largest of what the workers say; every one of them must ask."""
        return value if self.workers == 1 else float(self._largest(tf.constant(value, tf.float32)))

    @functools.cached_property
    def _largest(self):
        def largest(value):
            def own():
                replica = tf.distribute.get_replica_context().replica_id_in_sync_group
                return value * tf.one_hot(replica, self.replicas)

            return tf.reduce_max(self.strategy.reduce("SUM", self.strategy.run(own), axis=None))

        return tf.function(largest)

    def duties(self, config: RunConfig) -> RunConfig:
        """The configuration, without what the chief does alone."""
        if self.is_chief:
            return config
        once = {"samples_every": config.train.epochs, "eval_every": None, "best_by": "loss", "patience": 0}
        return dataclasses.replace(config, train=dataclasses.replace(config.train, **once))

    def create_run(self, config: RunConfig, spec: DataSpec, hashes: Mapping[str, str], **places: Any) -> Run:
        """A new run; see `Run.create`."""
        self.where = places.get("run_dir") or self.where
        if self.is_chief:
            return Run.create(config, spec, data_hashes=hashes, **places)
        return WorkerRun.create(config, spec, data_hashes=hashes, run_dir=str(_temporary_folder()))

    def open_run(self, path: str | Path) -> Run:
        """The run to go on with; of another worker than the chief a copy of what it needs of it.

        Raises:
            UserError: there is no run.
        """
        run, self.where = Run.open(path), str(path)
        if not self.is_chief:
            folder = _temporary_folder()
            shutil.copytree(path, folder, dirs_exist_ok=True, ignore=_not_needed)
            run = WorkerRun.open(folder)
        self.agreed(0)  # nobody changes the run before all have read it
        return run

    @contextlib.contextmanager
    def watched(self):
        """Tells of a worker that is gone, as TrainingFailed; a lost image is told as that."""
        try:
            yield
        except tf.errors.OpError as error:
            if self.workers == 1 or image_lost(error):
                raise
            raise TrainingFailed(self._lost(error)) from error

    def _lost(self, error: tf.errors.OpError) -> str:
        again = shlex.join(["kgen-train", "--resume", self.where])
        said = re.search(r"aborted by: (.+)", str(error.message))
        reason = said[1] if said else " ".join(str(error.message).split())[:200]
        return (
            f"worker {self.worker} of {self.workers} stops, for another one is gone or does not answer "
            f"({type(error).__name__}: {reason}). Start every worker again with: {again}"
        )

    def __str__(self) -> str:
        if self.workers > 1:
            return f"{self.workers} workers, {self.replicas} replicas"
        return f"{self.replicas} replica{'s' if self.replicas > 1 else ''}"


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="kgen-worker-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _not_needed(folder: str, names: list[str]) -> list[str]:
    """Of a run, to go on with it."""
    kept = ("config.json", "metrics.jsonl", "DONE", "checkpoints")
    return [name for name in names if name not in kept and not name.startswith("step-")]


def devices_of(name: str) -> Devices:
    """The devices of `train.strategy`; of several workers make them before TensorFlow computes anything.

    Raises:
        UserError: there are none, or TF_CONFIG does not say which.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "multi_worker":
        worker, addresses = cluster_of(os.environ.get("TF_CONFIG"))
        return _multi_worker(worker, addresses)
    if name == "tpu":
        return Devices(_tpu())
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        kind = "GPU" if gpus else "CPU"
        devices = tuple(f"{kind}:{i}" for i, _ in enumerate(tf.config.list_logical_devices(kind)))
        return Devices(_mirrored(devices))
    return Devices(tf.distribute.get_strategy())


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One a process: the collectives of a second would bear the numbers of the first."""
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
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            f"--strategy multi_worker must come before TensorFlow computes anything in this process ({error})"
        ) from error
    return Devices(strategy, worker, len(addresses))


def cluster_of(text: str | None) -> tuple[int, tuple[str, ...]]:
    """The number of this worker, and the addresses of all, chief first, as the variable TF_CONFIG says.

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
