"""The models in memory: loading a SavedModel, warming it up, running its signatures, replacing its versions.

A version is loaded (`LoadedModel`), replays its recorded requests (`warm_up`) and answers requests in batches
(`Servable`). `ModelStore` polls the folder and keeps all versions; as with TF Serving's availability-preserving policy,
an old version is unloaded only when a wanted one is available.
"""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import get_model_status_pb2, prediction_log_pb2

from kgen.config import RequestLimits
from kgen.errors import UserError
from kgen.provenance import made_by
from kgen.registry import nearest
from kgen.sampling.exported import MODEL, read_metadata
from kgen.sampling.manifest import MANIFEST, read_unchanged
from kgen.serve.batcher import Batcher
from kgen.serve.codec import decode_proto
from kgen.serve.discovery import MODEL_CONFIG_FILE, FoundModel, Inspection, Notices, ServedFolder, inspect
from kgen.serve.examples import INPUTS, serialized
from kgen.serve.metrics import Metrics
from kgen.serve.runtimes import open_runtime
from kgen.serve.validation import DEFAULT, Code, ServingError, Signature, TensorInfo, graph_message, invalid

log = logging.getLogger(__name__)


class LoadedModel:
    """A version in memory; loaded and called in threads.

    Args:
        path: exports/NAME/VERSION.

    Raises:
        ServingError: it cannot be loaded, its manifest has changed since the export, or the ranges or class numbers in
            it are invalid.
    """

    def __init__(self, path: Path):
        self.path = path
        ranges, class_numbers = stated_values(path)
        self.origin = origin_of(path)
        try:
            self._runtime = open_runtime(path)
        except Exception as error:  # files of any content
            raise ServingError(Code.NOT_FOUND, f"no SavedModel can be loaded from {path}: {error}") from error
        self.signature_defs = self._runtime.definitions
        self.signatures = {
            name: Signature(
                name,
                definition.method_name,
                {key: TensorInfo.from_proto(info) for key, info in definition.inputs.items()},
                {key: TensorInfo.from_proto(info) for key, info in definition.outputs.items()},
                ranges,
                class_numbers,
                {key: tf.make_ndarray(tensor) for key, tensor in definition.defaults.items()},
            )
            for name, definition in self.signature_defs.items()
        }

    def signature(self, name: str, code: Code = Code.INVALID_ARGUMENT) -> Signature:
        """The signature of a name; "" is the default.

        Raises:
            ServingError: with this code, if there is none.
        """
        name = name or DEFAULT
        if name not in self.signatures:
            raise ServingError(code, f"no signature '{name}'; the model has {', '.join(sorted(self.signatures))}")
        return self.signatures[name]

    def call(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on inputs that fit it."""
        return self._runtime.call(name, inputs)


def stated_values(path: Path) -> tuple[dict[str, tuple[float, float]], list[int]]:
    """What the manifest of a kgen export states of its inputs; nothing without a manifest.

    Returns:
        Input -> (least, greatest) value, and the numbers of the classes; [] in an export that states none.

    Raises:
        ServingError: the manifest is damaged or its digest is another, or they are not of the form {"label": [0, 9]}
            and [0, 1, 2].
    """
    try:
        manifest = _statements(path)
        ranges = {name: (low + 0, high + 0) for name, (low, high) in manifest.get("ranges", {}).items()}
        return ranges, [number + 0 for number in manifest.get("class_numbers", [])]  # + 0 fails unless it is a number
    except UserError as error:
        raise ServingError(Code.FAILED_PRECONDITION, str(error)) from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        form = '"ranges" must be like {"label": [0, 9]} and "class_numbers" like [0, 1, 2]'
        message = f"{path / 'manifest.json'}: {form} ({error}); export again"
        raise ServingError(Code.FAILED_PRECONDITION, message) from error


def origin_of(path: Path) -> dict[str, Any]:
    """What a picture says of the export that made it; see `kgen.provenance`. {} of what kgen did not export."""
    values = _statements(path)
    if "weights_hash" not in values:
        return {}
    return made_by(
        "kgen-serve",
        model=f"{path.parent.name}-{path.name}",
        weights_hash=values["weights_hash"],
        prior=values.get("prior"),
        all_classes=False,
        picture="image",
    )


def _statements(path: Path) -> dict:
    """The manifest of a version; without one the metadata of its .tflite file, where that is what runs."""
    if (path / MANIFEST).exists():
        return read_unchanged(path)
    if (path / MODEL).exists() and not any(path.glob("saved_model.pb*")):
        with contextlib.suppress(UserError):  # kgen did not write it
            return read_metadata(path / MODEL)
    return {}


# Warm-up --------------------------------------------------------------------------------------------------------------

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_WARMUP_RECORDS = 1000


def warm_up(model: LoadedModel, limits: RequestLimits) -> int:
    """Replays the recorded requests of a model: a TFRecord of PredictionLog messages.

    https://www.tensorflow.org/tfx/serving/saved_model_warmup: a record that fails fails the load of the model.

    Returns:
        The number of records; 0 without a file.

    Raises:
        ServingError: a record cannot be read, or its request fails.
    """
    path = model.path / WARMUP_FILE
    if not path.is_file():
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            count += 1
            if count > MAX_WARMUP_RECORDS:
                raise invalid(f"there may be at most {MAX_WARMUP_RECORDS} records")
            _replay(model, record, limits)
    except tf.errors.DataLossError as error:
        message = f"{path} is not a complete TFRecord file: {graph_message(error.message)}"
        raise ServingError(Code.DATA_LOSS, message) from error
    except tf.errors.OpError as error:
        raise ServingError(Code(error.error_code), _in_warmup(path, count, graph_message(error.message))) from error
    except ServingError as error:
        raise ServingError(error.code, _in_warmup(path, count, error.message)) from error
    return count


def _in_warmup(path: Path, count: int, message: str) -> str:
    return f"warm-up record {count} of {path}: {message}"


def _replay(model: LoadedModel, record: bytes, limits: RequestLimits):
    try:
        recorded = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid("it is not a PredictionLog") from error
    kind = recorded.WhichOneof("log_type")
    if kind == "predict_log":
        request = recorded.predict_log.request
        signature = model.signature(request.model_spec.signature_name, Code.FAILED_PRECONDITION)
        model.call(signature.name, decode_proto(request.inputs, signature, limits))
    elif kind in ("classify_log", "regress_log", "multi_inference_log"):
        request = getattr(recorded, kind).request
        specs = [task.model_spec for task in request.tasks] if kind == "multi_inference_log" else [request.model_spec]
        for spec in specs:
            model.call(model.signature(spec.signature_name).name, {INPUTS: serialized(request.input, limits)})
    else:
        raise ServingError(Code.UNIMPLEMENTED, f"requests of a {kind} cannot be replayed")


# Servable -------------------------------------------------------------------------------------------------------------


LEAST_PART_ROWS = 64
"""A request of no more rows is run in one call, even where --max_batch_size is less."""


class Servable:
    """A loaded model that answers requests, with a queue for each signature that can be batched.

    Args:
        name: of the model, in the metrics.
        loaded: its SavedModel.
        threads: where TensorFlow runs.
        max_batch_size, batch_timeout_ms: see Batcher.
        metrics: count rows in the queues and in the calls.
    """

    def __init__(
        self,
        name: str,
        loaded: LoadedModel,
        threads: Executor,
        *,
        max_batch_size: int,
        batch_timeout_ms: float,
        metrics: Metrics,
    ):
        self.name, self.loaded, self._threads, self._metrics = name, loaded, threads, metrics
        self._part_rows = max(max_batch_size, LEAST_PART_ROWS)
        self._batchers = {
            signature.name: Batcher(
                partial(self._call, signature.name),
                max_rows=max_batch_size,
                wait_seconds=batch_timeout_ms / 1000,
                on_call=metrics.batch_rows.labels(name, signature.name).observe,
                on_queue=metrics.queue_rows.labels(name).inc,
                on_wait=metrics.count_wait,
            )
            for signature in loaded.signatures.values()
            if signature.batchable
        }

    async def predict(self, signature: Signature, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on inputs that fit it, in one batch with other requests where possible.

        Many rows of an export of kgen, whose rows do not depend on each other, are run in parts, between which others
        have their turn; they need the memory of a part.
        """
        rows, batcher = signature.batch_size(inputs), self._batchers.get(signature.name)
        if not rows or batcher is None:
            return await self._call(signature.name, inputs)
        if rows <= self._part_rows or not signature.ranges:
            return await batcher.submit(inputs, rows)
        parts = []
        for first in range(0, rows, self._part_rows):
            part = {name: values[first : first + self._part_rows] for name, values in inputs.items()}
            parts.append(await batcher.submit(part, min(self._part_rows, rows - first)))
        return await asyncio.to_thread(
            lambda: {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )

    async def _call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, signature, inputs)

    def _run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        started = time.perf_counter()
        outputs = self.loaded.call(signature, inputs)
        self._metrics.count_graph_run(time.perf_counter() - started, batched=signature in self._batchers)
        return outputs


# Versions -------------------------------------------------------------------------------------------------------------

State = get_model_status_pb2.ModelVersionStatus.State
OF_A_VERSION = {"incomplete", "load", "unseen"}
OF_A_MODEL = {*OF_A_VERSION, "base", "double", "empty", "absent", "label"}
"""Kinds of notices that end with it."""


class Version:
    """The state of a version, its users, and the error of its load.

    Args:
        model: its name.
        number: its version.
        path: its folder.
    """

    def __init__(self, model: str, number: int, path: Path):
        self.model, self.number, self.path = model, number, path
        self.state = State.START
        self.fingerprint: tuple | None = None
        """Of the files that were loaded last, or failed to."""
        self.error: ServingError | None = None
        self.failures, self.failed_at = 0, 0.0
        self.servable: Servable | None = None
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @contextlib.contextmanager
    def lease(self):
        """Keeps the version loaded inside the context; gives its Servable."""
        self._users += 1
        self._unused.clear()
        try:
            yield self.servable
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def wait_unused(self):
        """Returns when no request uses the version."""
        await self._unused.wait()

    def status(self) -> get_model_status_pb2.ModelVersionStatus:
        """For GetModelStatus."""
        status = get_model_status_pb2.ModelVersionStatus(version=self.number, state=self.state)
        status.status.error_code = self.error.code if self.error else 0
        status.status.error_message = self.error.message if self.error else ""
        return status


class ModelStore:
    """All versions of all models of a folder.

    Args:
        root: the folder.
        load: reads and warms up a version; runs in a thread.
        servable: makes a Servable of a model's name and what `load` returned.
        metrics: show which versions are available.
        settle_seconds: how long the files of a version whose manifest lists none must be unchanged before it is loaded.
        on_change: called after each look at the folder.
    """

    RETRIES, RETRY_SECONDS = 5, 60.0
    """Loads that failed are tried again that often, as by TF Serving; and at once when files have changed."""

    def __init__(
        self,
        root: Path,
        load: Callable[[Path], LoadedModel],
        servable: Callable[[str, LoadedModel], Servable],
        metrics: Metrics,
        *,
        settle_seconds: float = 0.0,
        on_change: Callable[[], Awaitable[None]] | None = None,
    ):
        self.root, self._load, self._servable, self._metrics = root, load, servable, metrics
        self._settle_seconds, self._on_change = settle_seconds, on_change
        self.notices, self.stopping = Notices(), False
        self._folder = ServedFolder(root, self.notices)
        self._models: dict[str, dict[int, Version]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._seen: dict[tuple[str, int], tuple[tuple, float]] = {}  # fingerprint of a version to load, and since when
        self._unseen: dict[tuple[str, int], str] = {}  # why a version could not be looked at the last time
        self._loader = ThreadPoolExecutor(1, "kgen-serve-load")
        self._retirements: set[asyncio.Task] = set()
        self._polling = asyncio.Lock()

    # -- look-up ------------------------------------------------------------------------------------------------------

    def find(self, name: str, version: int | None = None, label: str | None = None) -> Version:
        """The available version that a request names; the newest if it names none.

        Raises:
            ServingError: there is none.
        """
        if not name:
            raise invalid("the request names no model")
        if label is not None:
            version = self.label(name, label)
        available = {v.number: v for v in self._models.get(name, {}).values() if v.state == State.AVAILABLE}
        if version is None and available:
            return available[max(available)]
        if version not in available:
            what = f"model '{name}'" if version is None else f"version {version} of model '{name}'"
            hint = "GET /v1/models/NAME shows the versions" if name in self._models else nearest(name, self._models)
            raise ServingError(Code.NOT_FOUND, f"{what} is not available; {hint}")
        return available[version]

    def versions(self, name: str, version: int | None = None) -> list[Version]:
        """All versions of a model since the start, or the one asked for; the newest first.

        Raises:
            ServingError: there is none.
        """
        known = self._models.get(name, {})
        found = [known[number] for number in sorted(known, reverse=True) if version in (None, number)]
        if not found:
            what = f"model '{name}'" if version is None else f"version {version} of model '{name}'"
            raise ServingError(Code.NOT_FOUND, f"{what} is not in the served folder")
        return found

    def label(self, name: str, label: str) -> int:
        """The version that a label of a model names.

        Raises:
            ServingError: there is no such label.
        """
        labels = self._labels.get(name, {})
        if label not in labels:
            raise invalid(f"model '{name}' has no label '{label}'; models.config has {', '.join(labels) or 'none'}")
        return labels[label]

    def available(self) -> dict[str, list[int]]:
        """Model -> its available versions."""
        found = {
            name: sorted(v.number for v in versions.values() if v.state == State.AVAILABLE)
            for name, versions in sorted(self._models.items())
        }
        return {name: numbers for name, numbers in found.items() if numbers}

    def names(self) -> list[str]:
        """All models since the start."""
        return sorted(self._models)

    @property
    def ready(self) -> bool:
        """Whether something can be served."""
        return not self.stopping and bool(self.available())

    @property
    def settling(self) -> bool:
        """Whether files of a version that is not loaded have changed just now."""
        now = time.monotonic()
        return any(now - since < self._settle_seconds + 1 for _, since in self._seen.values())

    # -- updates ------------------------------------------------------------------------------------------------------

    async def poll(self):
        """Reads the folder once; returns when new versions are available. Old ones retire as their requests end."""
        async with self._polling:
            try:
                found = await self._in_thread(self._folder.look)
            except UserError as error:  # a wrong models.config, before any was right
                self.notices.tell(("config",), str(error))
                return
            self._tell_unused(found)
            for name, model in found.items():
                await self._update(name, model)
            for name in self._models.keys() - found.keys():  # models.config does not list it any more
                for version in self._models[name].values():
                    if version.state == State.AVAILABLE:
                        self._retire(version)
                self._labels.pop(name, None)
                for key in [key for key in self.notices.current if key[0] in OF_A_MODEL and key[1] == name]:
                    self.notices.over(key)
            self._metrics.problems.set(len(self.notices.current))
            if self._on_change:
                await self._on_change()

    async def poll_forever(self, seconds: float):
        """Polls until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.poll()
            except Exception:  # a folder in an unexpected state must not end the polling
                log.exception("polling %s failed", self.root)

    async def close(self):
        """Returns when all retired versions are unloaded."""
        await asyncio.gather(*self._retirements)
        self._loader.shutdown()

    def _tell_unused(self, found: Mapping[str, FoundModel]):
        """Names what models.config sets and nothing is made of here."""
        unused = {("unused", name, part) for name, model in found.items() for part in model.config.unused}
        for key in [key for key in self.notices.current if key[0] == "unused" and key not in unused]:
            self.notices.over(key)
        for key in sorted(unused):
            path = self.root / MODEL_CONFIG_FILE
            self.notices.tell(key, f"{path}: the entry of '{key[1]}' sets {key[2]}, which kgen-serve ignores")

    async def _update(self, name: str, found: FoundModel):
        if found.versions is None:  # the base path cannot be listed
            return
        versions, candidates = self._models.setdefault(name, {}), {*found.versions}
        self._forget_versions(name, candidates)
        while True:
            wanted = found.config.select(candidates)
            failed = {n for n in sorted(wanted, reverse=True) if not await self._ensure(name, n, found.versions[n])}
            available = {number for number, version in versions.items() if version.state == State.AVAILABLE}
            if available or not failed:
                break
            candidates -= failed  # nothing serves: an older version is better than none
        if available & wanted or not wanted:
            for number in available - wanted:
                self._retire(versions[number])
        self._tell_empty(name, found, available)
        self._assign_labels(name, found.config.labels)

    def _forget_versions(self, name: str, kept: set[int]):
        """Forgets what was found and logged of versions that were removed."""
        for memory in (self._seen, self._unseen):
            for key in [key for key in memory if key[0] == name and key[1] not in kept]:
                del memory[key]
        for key in [*self.notices.current]:
            if key[0] in OF_A_VERSION and key[1] == name and key[2] not in kept:
                self.notices.over(key)

    def _tell_empty(self, name: str, found: FoundModel, available: set[int]):
        """Says that there is nothing to serve of a model, and which versions are asked for and not there."""
        empty, absent = ("empty", name), ("absent", name)
        if found.config.select({*found.versions}):
            self.notices.over(empty)
        elif available or empty not in self.notices.current:
            then = "it is unloaded" if available else "nothing of it is served"
            self.notices.tell(empty, f"{found.base} holds no version of '{name}' to serve: {then}")
        if missing := sorted((found.config.specific or frozenset()) - {*found.versions}):
            path, numbers = self.root / MODEL_CONFIG_FILE, ", ".join(map(str, missing))
            self.notices.tell(absent, f"{path} asks for version {numbers} of '{name}', which {found.base} has not")
        else:
            self.notices.over(absent)

    def _assign_labels(self, name: str, wanted: Mapping[str, int]):
        """Points labels to versions; one that is in use moves only to a version that is available, as in TF Serving."""
        old, new = self._labels.get(name, {}), {}
        available = {v.number for v in self._models[name].values() if v.state == State.AVAILABLE}
        for label, number in wanted.items():
            key, what = ("label", name, label), f"label '{label}' of model '{name}'"
            if number in available:
                new[label] = number
                self.notices.over(key, f"{what} is version {number}")
            elif label in old and old[label] != number and old[label] in available:
                new[label] = old[label]
                self.notices.tell(key, f"{what} stays on version {old[label]}: version {number} is not available")
            else:
                new[label] = number
                self.notices.tell(key, f"{what} is version {number}, which is not available")
        self._labels[name] = new

    async def _ensure(self, name: str, number: int, path: Path) -> bool:
        """Loads a version when its files are complete, and again when they have changed since.

        Returns:
            Whether it is available.
        """
        await self._look(name, number, path)
        known = self._models[name].get(number)
        return known is not None and known.state == State.AVAILABLE

    async def _look(self, name: str, number: int, path: Path):
        versions, key = self._models[name], (name, number)
        known = versions.get(number)
        try:
            seen = await self._in_thread(inspect, path)
        except OSError as error:  # removed in the meantime, or still being written: next time
            self._tell_unseen(key, path, error)
            return
        self._unseen.pop(key, None)
        self.notices.over(("unseen", *key))
        if known and known.path == path and known.fingerprint == seen.fingerprint:
            self._seen.pop(key, None)
            self.notices.over(("incomplete", *key))
            unloaded = known.state == State.END and not known.failures
            again = 0 < known.failures <= self.RETRIES and time.monotonic() - known.failed_at >= self.RETRY_SECONDS
            if not (unloaded or again):
                return
        elif not self._settled(key, seen):
            if known is None or known.state == State.END:
                waiting = versions[number] = Version(name, number, path)
                waiting.error = ServingError(
                    Code.UNAVAILABLE, f"{path} is not complete: {seen.missing or 'it changes'}"
                )
            return
        await self._reload(name, number, path, seen)

    def _tell_unseen(self, key: tuple[str, int], path: Path, error: OSError):
        """Says what cannot be looked at in a version, unless it is another thing than at the last look."""
        text = f"version {key[1]} of '{key[0]}' cannot be looked at ({error})"
        if self._unseen.get(key) == text:
            self.notices.tell(("unseen", *key), f"{text}; it has to wait")
        self._unseen[key] = text
        known = self._models[key[0]].get(key[1])
        if known is None or known.state == State.END:
            waiting = self._models[key[0]][key[1]] = Version(*key, path)
            waiting.error = ServingError(Code.UNAVAILABLE, text)

    def _settled(self, key: tuple[str, int], seen: Inspection) -> bool:
        """Whether the files of a version are complete."""
        (name, number), now, notice = key, time.monotonic(), ("incomplete", *key)
        fingerprint, since = self._seen.get(key, ((), now))
        if fingerprint != seen.fingerprint:
            since = now
        self._seen[key] = seen.fingerprint, since
        still = max(now - since, seen.age_seconds) >= self._settle_seconds
        if seen.missing and still:
            text = (
                f"version {number} of '{name}' is not complete: {seen.missing} (see its manifest.json); it has to wait"
            )
            self.notices.tell(notice, text)
        if seen.missing or (seen.missing is None and not still):
            return False
        self.notices.over(notice)
        del self._seen[key]
        return True

    async def _reload(self, name: str, number: int, path: Path, seen: Inspection):
        """Loads a version; the one of this number that is available serves until then, and further if this fails."""
        versions = self._models[name]
        known = versions.get(number)
        serving = known if known and known.state == State.AVAILABLE else None
        version = Version(name, number, path)
        version.state, version.fingerprint = State.LOADING, seen.fingerprint
        if serving is None:
            versions[number] = version
        notice, what = ("load", name, number), f"{name} version {number}"
        try:
            loaded = await self._in_thread(self._load, path)
            servable = self._servable(name, loaded)
        except Exception as error:
            failed = serving or version
            same = known is not None and known.fingerprint == seen.fingerprint
            failed.failures, failed.failed_at = (known.failures if same else 0) + 1, time.monotonic()
            failed.fingerprint = seen.fingerprint
            reason = error if isinstance(error, ServingError) else ServingError(Code.UNKNOWN, str(error))
            if serving:
                self.notices.tell(notice, f"{what} has changed and failed to load, the old one serves: {reason}")
            else:
                version.error, version.state = reason, State.END
                self.notices.tell(notice, f"{what} failed to load: {reason}")
            return
        self.notices.over(notice, f"{what} is loaded")
        version.servable, version.state = servable, State.AVAILABLE
        versions[number] = version
        if serving:
            self.notices.tell(("again", name, number), f"{what} has changed and is loaded again")
            self.notices.over(("again", name, number))
            self._unload_when_unused(serving)
        self._metrics.versions.labels(name, number).set(1)

    def _retire(self, version: Version):
        self._metrics.versions.remove(version.model, version.number)
        self._unload_when_unused(version)

    def _unload_when_unused(self, version: Version):
        version.state = State.UNLOADING
        task = asyncio.create_task(self._unload(version))
        self._retirements.add(task)
        task.add_done_callback(self._retirements.discard)

    async def _unload(self, version: Version):
        await version.wait_unused()
        version.servable = None
        await self._in_thread(gc.collect)  # the graph's reference cycles
        version.state = State.END

    async def _in_thread(self, function: Callable, *arguments):
        return await asyncio.get_running_loop().run_in_executor(self._loader, function, *arguments)
