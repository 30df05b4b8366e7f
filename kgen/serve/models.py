"""models.config in the served folder: labels and version policies, as TF Serving's --model_config_file has them."""

import asyncio
import contextlib
import gc
import json
import logging
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_status_pb2, prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from kgen.errors import UserError
from kgen.serve.batcher import Batcher
from kgen.serve.codec import to_array
from kgen.serve.metrics import Metrics
from kgen.serve.validation import DEFAULT, Code, Limits, ServingError, Signature, TensorInfo, graph_message, invalid

MODEL_CONFIG_FILE = "models.config"


@dataclass(frozen=True)
class ModelConfig:
    """What the file says of one model.

    Args:
        latest: how many of the newest versions serve; 0 for all.
        specific: if any are named, these serve and no others.
        labels: names of versions.
    """

    latest: int = 1
    specific: frozenset[int] = frozenset()
    labels: dict[str, int] = field(default_factory=dict)

    def wanted(self, versions: set[int]) -> set[int]:
        """Those of the versions on the disk that shall serve."""
        if self.specific:
            return versions & self.specific
        return set(sorted(versions)[-self.latest :])


def read_model_config(root: Path) -> dict[str, tuple[str, ModelConfig]]:
    """Of each model of the file: the name of its folder, and its configuration; empty without a file.

    Base paths are those of the machine that the file was written for (a container): their last part counts.

    Raises:
        UserError: it is no ModelServerConfig.
    """
    return {model.name: (Path(model.base_path).name or model.name, _of(model)) for model in _models(root)}


def base_paths(root: Path) -> list[Path]:
    """The base paths as the file has them."""
    return [Path(model.base_path) for model in _models(root)]


def _models(root: Path) -> list:
    """The ModelConfig messages of the file."""
    path = root / MODEL_CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise UserError(f"{path} is no ModelServerConfig ({error}); put it right or take it away") from error
    return [*config.model_config_list.config]


def _of(model) -> ModelConfig:
    policy = model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    return ModelConfig(
        latest=0 if kind == "all" else max(1, policy.latest.num_versions),
        specific=frozenset(policy.specific.versions) if kind == "specific" else frozenset(),
        labels=dict(model.version_labels),
    )


# Discovery ------------------------------------------------------------------------------------------------------------
# What lies in the served folder: models and their versions.


HOW = "name the folder that holds exports, e.g. kgen-serve exports/"


@dataclass(frozen=True)
class Found:
    """A model on the disk."""

    versions: dict[int, Path]
    config: ModelConfig = field(default_factory=ModelConfig)


def find_models(root: Path) -> dict[str, Found]:
    """The models of a folder by name: NAME/VERSION/ below it, or VERSION/ if the folder is one model.

    Raises:
        UserError: models.config cannot be read.
    """
    configured = read_model_config(root)
    named = {folder: (name, config) for name, (folder, config) in configured.items()}
    if own := versions_of(root):
        folders = {root.resolve().name: own}
    else:
        children = [path for path in _folders(root) if not path.name.startswith(".")]
        folders = {path.name: versions for path in children if (versions := versions_of(path))}
    models = {}
    for folder, versions in folders.items():
        name, config = named.get(folder, (folder, ModelConfig()))
        models[name] = Found(versions, config)
    return models


def versions_of(base: Path) -> dict[int, Path]:
    """The folders below a model base path whose names are numbers."""
    return {int(path.name): path for path in _folders(base) if path.name.isascii() and path.name.isdigit()}


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:  # gone while we looked
        return []


def check_folder(root: Path):
    """Raises a UserError unless there is something to serve."""
    if not root.is_dir():
        raise UserError(f"no folder {root}; {HOW}")
    if (root / "saved_model.pb").is_file():
        base = root.resolve().parent
        raise UserError(f"{root} is one version of a model; name the folder of its model, {base}, or the one above")
    if not find_models(root):
        raise UserError(f"{root} holds no model (NAME/VERSION/saved_model.pb); write one with kgen-export, or {HOW}")


def fingerprint(path: Path) -> tuple:
    """Changes when a file of the folder does."""
    stats = [(file, file.stat()) for file in sorted(path.rglob("*")) if file.is_file()]
    return tuple((str(file.relative_to(path)), stat.st_size, stat.st_mtime_ns) for file, stat in stats)


# Loaded ---------------------------------------------------------------------------------------------------------------
# One loaded SavedModel: its signatures, and calls of them.


HIDDEN = "__saved_model_"  # signatures of TensorFlow's own, e.g. of its initialisation


class LoadedModel:
    """A SavedModel in memory; made and called in threads.

    Args:
        path: exports/NAME/VERSION.

    Raises:
        ServingError: it cannot be loaded, or its manifest states ranges that are none.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self.signature_defs = _signature_defs(path)
            self._module = tf.saved_model.load(str(path))
        except Exception as error:  # files of any content
            raise ServingError(Code.NOT_FOUND, f"no SavedModel can be loaded from {path}: {error}") from error
        ranges = stated_ranges(path)
        self.signatures = {
            name: Signature(
                name,
                definition.method_name,
                {key: TensorInfo.of(info) for key, info in definition.inputs.items()},
                {key: TensorInfo.of(info) for key, info in definition.outputs.items()},
                ranges,
            )
            for name, definition in self.signature_defs.items()
            if name in self._module.signatures
        }

    def signature(self, name: str) -> Signature | None:
        """The signature of a name; "" names the default."""
        return self.signatures.get(name or DEFAULT)

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
            return {k: v for k, v in graph.signature_def.items() if not k.startswith(HIDDEN)}
    raise ValueError(f"it has no graph with the tag '{tf.saved_model.SERVING}'")


def stated_ranges(path: Path) -> dict[str, tuple[float, float]]:
    """What the manifest of a kgen export says of input values; empty if there is none.

    Raises:
        ServingError: the ranges are not of the form {"label": [0, 9]}.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        ranges = manifest.get("ranges", {})
        return {name: (low + 0, high + 0) for name, (low, high) in ranges.items()}  # numbers, whole or not
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        what = f'{path / "manifest.json"}: "ranges" must be like {{"label": [0, 9]}} ({error}); export anew'
        raise ServingError(Code.FAILED_PRECONDITION, what) from error


# Warmup ---------------------------------------------------------------------------------------------------------------
# Replays a model's recorded requests before it serves: assets.extra/tf_serving_warmup_requests.
#
# https://www.tensorflow.org/tfx/serving/saved_model_warmup: a TFRecord of PredictionLog; a failing record fails the
# load.


WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MOST_RECORDS = 1000


def warm_up(model: LoadedModel, limits: Limits) -> int:
    """Runs every recorded request; returns how many there were.

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
            if count > MOST_RECORDS:
                raise invalid(f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {path}")
            _run(model, record, limits)
    except tf.errors.DataLossError as error:
        what = f"{graph_message(error.message)}. Please verify your warmup data is in TFRecord format."
        raise ServingError(Code.DATA_LOSS, what) from error
    except tf.errors.OpError as error:
        what = f"warmup record {count} of {path}: {graph_message(error.message)}"
        raise ServingError(Code(error.error_code), what) from error
    except ServingError as error:
        raise ServingError(error.code, f"warmup record {count} of {path}: {error.message}") from error
    return count


def _run(model: LoadedModel, record: bytes, limits: Limits):
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid("Failed to parse warmup record") from error
    kind = log.WhichOneof("log_type")
    if kind != "predict_log":
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    request = log.predict_log.request
    signature = model.signature(request.model_spec.signature_name)
    if signature is None:
        name = request.model_spec.signature_name
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    signature.check_names(request.inputs)
    model.call(
        signature.name, {name: to_array(name, tensor, signature, limits) for name, tensor in request.inputs.items()}
    )


# Servable -------------------------------------------------------------------------------------------------------------
# A loaded model that answers requests: a queue for each signature that can be batched.


class Servable:
    """One version of a model at work.

    Args:
        name: of the model, in the metrics.
        loaded: its SavedModel.
        threads: where TensorFlow runs.
        max_batch_size, batch_timeout_ms: of the queues.
        metrics: are told of every call.
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
        """Runs a signature on inputs that fit it, together with others if that is possible."""
        rows = signature.rows(inputs)
        if rows and signature.name in self._batchers:
            return await self._batchers[signature.name].submit(inputs, rows)
        return await self._call(signature.name, inputs)

    async def _call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.loaded.call, signature, inputs)


# Version --------------------------------------------------------------------------------------------------------------
# One version of a model, from its folder to its retirement.


State = get_model_status_pb2.ModelVersionStatus.State


class Version:
    """Where a version stands, who uses it, and what went wrong with it.

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
        """Keeps the version loaded as long as the context lasts; gives its Servable."""
        self._users += 1
        self._unused.clear()
        try:
            yield self.servable
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def unused(self):
        """Returns when no request uses the version."""
        await self._unused.wait()

    def status(self) -> get_model_status_pb2.ModelVersionStatus:
        """As GetModelStatus tells it."""
        status = get_model_status_pb2.ModelVersionStatus(version=self.number, state=self.state)
        status.status.error_code = self.error.code if self.error else 0
        status.status.error_message = self.error.message if self.error else ""
        return status


# Store ----------------------------------------------------------------------------------------------------------------
# The versions of all models: found, loaded, served, retired.
#
# As TF Serving's availability-preserving policy has it: a version goes only when a wanted one serves.


log = logging.getLogger(__name__)


class ModelStore:
    """All models of a folder.

    Args:
        root: the folder.
        load: reads and warms up a version; runs in a thread.
        servable: makes a Servable of a model's name and what `load` returned.
        metrics: are told which versions serve.
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

    # -- who serves ---------------------------------------------------------------------------------------------------

    def find(self, name: str, version: int | None = None, label: str | None = None) -> Version:
        """The version that a request means.

        Raises:
            ServingError: there is none, in the words of TF Serving.
        """
        if not name:
            raise invalid("ModelSpec has no name specified.")
        if label is not None:
            if label not in self._labels.get(name, {}):
                raise invalid(f"Unrecognized servable version label: {label}")
            version = self._labels[name][label]
        serving = {v.number: v for v in self._models.get(name, {}).values() if v.state == State.AVAILABLE}
        if version is None and serving:
            return serving[max(serving)]
        if version is None or version not in serving:
            what = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {what}")
        return serving[version]

    def versions(self, name: str, version: int | None = None) -> list[Version]:
        """All versions of a model that were ever seen, or the one asked for; the newest first."""
        known = self._models.get(name, {})
        if version is not None and version not in known:
            raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
        if not known:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        return [known[number] for number in sorted(known, reverse=True) if version in (None, number)]

    def serving(self) -> dict[str, list[int]]:
        """The versions that serve, by model."""
        found = {
            name: sorted(v.number for v in versions.values() if v.state == State.AVAILABLE)
            for name, versions in sorted(self._models.items())
        }
        return {name: numbers for name, numbers in found.items() if numbers}

    def names(self) -> list[str]:
        """All models that were ever seen."""
        return sorted(self._models)

    # -- how that changes ---------------------------------------------------------------------------------------------

    async def poll(self):
        """Looks at the folder once; returns when new versions serve. Old ones retire as their requests end."""
        async with self._polling:
            try:
                found = await self._in_thread(find_models, self.root)
            except UserError as error:  # a models.config that is being edited: what served goes on
                print(f"kgen-serve: {error}", file=sys.stderr)
                return
            for name in [*found, *(name for name in self._models if name not in found)]:
                await self._update(name, found.get(name, Found({})))

    async def poll_forever(self, seconds: float):
        """Polls until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.poll()
            except Exception:  # a folder that is odd for a moment must not end the polling
                log.exception("polling %s failed", self.root)

    async def close(self):
        """Ends when all retirements have."""
        await asyncio.gather(*self._retirements)
        self._loader.shutdown()

    async def _update(self, name: str, found: Found):
        versions = self._models.setdefault(name, {})
        self._labels[name] = found.config.labels
        wanted = found.config.wanted({*found.versions})
        for number in sorted(wanted, reverse=True):
            await self._ensure(name, number, found.versions[number])
        available = {number for number, version in versions.items() if version.state == State.AVAILABLE}
        if available & wanted or not wanted:
            for number in available - wanted:
                self._retire(versions[number])

    async def _ensure(self, name: str, number: int, path: Path):
        """Loads a version unless it serves already, or failed and has not changed since."""
        known = self._models[name].get(number)
        if known and known.state != State.END:
            return
        try:
            found = await self._in_thread(fingerprint, path)
        except OSError:  # gone while we looked, or still being written: next time
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
        await version.unused()
        version.servable = None
        await self._in_thread(gc.collect)  # the graph's cycles
        version.state = State.END

    async def _in_thread(self, function: Callable, *arguments):
        return await asyncio.get_running_loop().run_in_executor(self._loader, function, *arguments)
