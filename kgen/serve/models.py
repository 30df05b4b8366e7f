"""The models in memory: loading a SavedModel, warming it up, running its signatures, replacing its versions.

A version is loaded (`LoadedModel`), replays its recorded requests (`warm_up`) and answers requests in batches
(`Servable`). `ModelStore` polls the folder and keeps all versions; as with TF Serving's availability-preserving policy,
an old version is unloaded only when a wanted one is available.
"""

import asyncio
import contextlib
import gc
import json
import logging
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_status_pb2, prediction_log_pb2

from kgen.config import RequestLimits
from kgen.errors import UserError
from kgen.serve.batcher import Batcher
from kgen.serve.codec import decode_proto
from kgen.serve.discovery import FoundModel, find_models, fingerprint
from kgen.serve.metrics import Metrics
from kgen.serve.validation import DEFAULT, Code, ServingError, Signature, TensorInfo, graph_message, invalid

log = logging.getLogger(__name__)

INTERNAL_SIGNATURES = "__saved_model_"
"""Prefix of the signatures that TensorFlow adds, e.g. for initialization."""


class LoadedModel:
    """A SavedModel in memory; loaded and called in threads.

    Args:
        path: exports/NAME/VERSION.

    Raises:
        ServingError: it cannot be loaded, or the ranges or class numbers in its manifest are invalid.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self.signature_defs = _signature_defs(path)
            self._module = tf.saved_model.load(str(path))
        except Exception as error:  # files of any content
            raise ServingError(Code.NOT_FOUND, f"no SavedModel can be loaded from {path}: {error}") from error
        ranges, class_numbers = stated_values(path)
        self.signatures = {
            name: Signature(
                name,
                definition.method_name,
                {key: TensorInfo.from_proto(info) for key, info in definition.inputs.items()},
                {key: TensorInfo.from_proto(info) for key, info in definition.outputs.items()},
                ranges,
                class_numbers,
            )
            for name, definition in self.signature_defs.items()
            if name in self._module.signatures
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
        types = self.signatures[name].inputs
        tensors = {key: tf.constant(values, types[key].dtype) for key, values in inputs.items()}
        return {key: np.asarray(tensor) for key, tensor in self._module.signatures[name](**tensors).items()}


def _signature_defs(path: Path) -> dict:
    """The SignatureDefs of the graph tagged "serve"."""
    saved = saved_model_pb2.SavedModel()
    if (path / "saved_model.pb").is_file():
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    else:
        text_format.Parse((path / "saved_model.pbtxt").read_text(encoding="utf-8"), saved)
    for graph in saved.meta_graphs:
        if tf.saved_model.SERVING in graph.meta_info_def.tags:
            return {k: v for k, v in graph.signature_def.items() if not k.startswith(INTERNAL_SIGNATURES)}
    raise ValueError(f"it has no graph with the tag '{tf.saved_model.SERVING}'")


def stated_values(path: Path) -> tuple[dict[str, tuple[float, float]], list[int]]:
    """What the manifest of a kgen export states of its inputs; nothing without a manifest.

    Returns:
        Input -> (least, greatest) value, and the numbers of the classes; [] in an export that states none.

    Raises:
        ServingError: they are not of the form {"label": [0, 9]} and [0, 1, 2].
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        ranges = {name: (low + 0, high + 0) for name, (low, high) in manifest.get("ranges", {}).items()}
        return ranges, [number + 0 for number in manifest.get("class_numbers", [])]  # + 0 fails unless it is a number
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, TypeError, AttributeError) as error:
        form = '"ranges" must be like {"label": [0, 9]} and "class_numbers" like [0, 1, 2]'
        message = f"{path / 'manifest.json'}: {form} ({error}); export again"
        raise ServingError(Code.FAILED_PRECONDITION, message) from error


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
    if kind != "predict_log":
        raise ServingError(Code.UNIMPLEMENTED, f"only predict_log can be replayed. Received: {kind}")
    request = recorded.predict_log.request
    signature = model.signature(request.model_spec.signature_name, Code.FAILED_PRECONDITION)
    model.call(signature.name, decode_proto(request.inputs, signature, limits))


# Servable -------------------------------------------------------------------------------------------------------------


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
        self.loaded, self._threads = loaded, threads
        self._batchers = {
            signature.name: Batcher(
                partial(self._call, signature.name),
                max_rows=max_batch_size,
                wait_seconds=batch_timeout_ms / 1000,
                on_call=metrics.batch_rows.labels(name, signature.name).observe,
                on_queue=metrics.queue_rows.labels(name).inc,
            )
            for signature in loaded.signatures.values()
            if signature.batchable
        }

    async def predict(self, signature: Signature, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on inputs that fit it, in one batch with other requests where possible."""
        rows = signature.batch_size(inputs)
        if rows and signature.name in self._batchers:
            return await self._batchers[signature.name].submit(inputs, rows)
        return await self._call(signature.name, inputs)

    async def _call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.loaded.call, signature, inputs)


# Versions -------------------------------------------------------------------------------------------------------------

State = get_model_status_pb2.ModelVersionStatus.State


class Version:
    """The state of a version, its users, and the error of its load.

    Args:
        model: its name.
        number: its version.
        path: its folder.
        fingerprint: of the folder when it was found.
    """

    def __init__(self, model: str, number: int, path: Path, fingerprint: tuple):
        self.model, self.number, self.path, self.fingerprint = model, number, path, fingerprint
        self.state = State.START
        self.error: ServingError | None = None
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
    """

    def __init__(
        self,
        root: Path,
        load: Callable[[Path], LoadedModel],
        servable: Callable[[str, LoadedModel], Servable],
        metrics: Metrics,
    ):
        self.root, self._load, self._servable, self._metrics = root, load, servable, metrics
        self._models: dict[str, dict[int, Version]] = {}
        self._labels: dict[str, dict[str, int]] = {}
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
            labels = self._labels.get(name, {})
            if label not in labels:
                raise invalid(f"model '{name}' has no label '{label}'; models.config has {', '.join(labels) or 'none'}")
            version = labels[label]
        available = {v.number: v for v in self._models.get(name, {}).values() if v.state == State.AVAILABLE}
        if version is None and available:
            return available[max(available)]
        if version not in available:
            what = f"model '{name}'" if version is None else f"version {version} of model '{name}'"
            raise ServingError(Code.NOT_FOUND, f"{what} is not available; GET /v1/models/NAME shows the versions")
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

    # -- updates ------------------------------------------------------------------------------------------------------

    async def poll(self):
        """Reads the folder once; returns when new versions are available. Old ones retire as their requests end."""
        async with self._polling:
            try:
                found = await self._in_thread(find_models, self.root)
            except UserError as error:  # models.config is being edited: nothing changes
                print(f"kgen-serve: {error}", file=sys.stderr)
                return
            for name in [*found, *(name for name in self._models if name not in found)]:
                await self._update(name, found.get(name, FoundModel({})))

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

    async def _update(self, name: str, found: FoundModel):
        versions = self._models.setdefault(name, {})
        self._labels[name] = found.config.labels
        wanted = found.config.select({*found.versions})
        for number in sorted(wanted, reverse=True):
            await self._ensure(name, number, found.versions[number])
        available = {number for number, version in versions.items() if version.state == State.AVAILABLE}
        if available & wanted or not wanted:
            for number in available - wanted:
                self._retire(versions[number])

    async def _ensure(self, name: str, number: int, path: Path):
        """Loads a version unless it is loaded, or failed and has not changed since."""
        known = self._models[name].get(number)
        if known and known.state != State.END:
            return
        try:
            found = await self._in_thread(fingerprint, path)
        except OSError:  # removed in the meantime, or still being written: next time
            return
        if known and known.error and known.fingerprint == found:
            return
        version = self._models[name][number] = Version(name, number, path, found)
        version.state = State.LOADING
        try:
            loaded = await self._in_thread(self._load, path)
        except Exception as error:
            version.error = error if isinstance(error, ServingError) else ServingError(Code.UNKNOWN, str(error))
            version.state = State.END
            print(f"kgen-serve: {name} version {number} failed to load: {version.error}", file=sys.stderr)
            return
        version.servable = self._servable(name, loaded)
        version.state = State.AVAILABLE
        self._metrics.versions.labels(name, number).set(1)

    def _retire(self, version: Version):
        version.state = State.UNLOADING
        self._metrics.versions.remove(version.model, version.number)
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
