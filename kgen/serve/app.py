"""`GET /`: a page for people over the models that serve.

Its pictures come through the public REST calls, so the calls it shows are those it made. It has one endpoint of its
own, for what TF Serving does not tell: `GET /page/models.json`.
"""

import asyncio
import contextlib
import json
import math
import os
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from urllib.parse import unquote

import grpc
import orjson
import uvicorn
from google.protobuf import json_format
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

from kgen.errors import UserError
from kgen.serve import codec, metrics
from kgen.serve.grpc import SERVICES, add_services
from kgen.serve.metrics import Metrics
from kgen.serve.models import LoadedModel, ModelStore, Servable, Version, check_folder, warm_up
from kgen.serve.predictor import Predictor, no_classifier
from kgen.serve.validation import DEFAULT, Code, Limits, ServingError, Signature, invalid, serving_error

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
NO_MANIFEST = "it has no manifest.json, so kgen did not export it"


def page_routes(store: ModelStore) -> list[Route]:
    """The page at `/`, its files below `/page/` by their names alone, and what it shows of the models."""

    async def models(request: Request) -> Response:
        versions = [store.find(name, number) for name, numbers in store.serving().items() for number in numbers[::-1]]
        told = await asyncio.to_thread(lambda: [describe_model(version) for version in versions])
        return Response(orjson.dumps({"models": told}), headers=HEADERS, media_type="application/json")

    def route(path: str, file) -> Route:
        content, kind = file.read_bytes(), TYPES[Path(file.name).suffix]

        async def answer(request: Request) -> Response:
            return Response(content, headers=HEADERS, media_type=kind)

        return Route(path, answer)

    shared = resources.files("kgen.web")
    folder = shared / "serve_page"
    found = [*shared.iterdir(), *folder.iterdir()]
    files = sorted((file for file in found if Path(file.name).suffix in TYPES), key=lambda f: f.name)
    return [
        Route("/page/models.json", models),
        route("/", folder / "index.html"),
        *(route(f"/page/{file.name}", file) for file in files),
    ]


def describe_model(version: Version) -> dict:
    """What the page knows of a version.

    Returns:
        {"name", "version", "signatures": their names, "problem": why "kgen" is None, else None, "kgen": {"class_names",
        "num_classes", "latent_shape", "image_shape", "prior", "conditional", "ranges"} of the export's manifest}.
    """
    servable = version.servable  # None as soon as it is retired
    told = {
        "name": version.model,
        "version": version.number,
        "signatures": sorted(servable.loaded.signatures) if servable else [],
    }
    try:
        return {**told, "problem": None, "kgen": read_manifest(version.path)}
    except FileNotFoundError:
        return {**told, "problem": NO_MANIFEST, "kgen": None}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return {**told, "problem": f"its manifest.json is none of kgen's ({error!r})", "kgen": None}


def read_manifest(path: Path) -> dict:
    """The part of a manifest that the page needs, every value of its type.

    Raises:
        OSError, ValueError, TypeError, KeyError, AttributeError: there is none, or it is not kgen's.
    """
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    height, width, channels = map(int, manifest["spec"]["image_shape"])
    return {
        "class_names": [str(name) for name in manifest["class_names"]],
        "num_classes": int(manifest["spec"]["num_classes"]),
        "latent_shape": [int(side) for side in manifest["latent_shape"]],
        "image_shape": [height, width, channels],
        "prior": str(manifest["prior"]),
        "conditional": bool(manifest["conditional"]),
        "ranges": {name: [low + 0, high + 0] for name, (low, high) in manifest["ranges"].items()},
    }


# Rest -----------------------------------------------------------------------------------------------------------------
# TF Serving's REST calls, metrics, health and the page as a Starlette application.
#
# https://www.tensorflow.org/tfx/serving/api_rest; the paths are those of http_rest_api_util.cc.


TARGET = r"/v1/models/([^/:]+)(?:/versions/([0-9]+)|/labels/([^/:]+))?"
CALL = re.compile(TARGET + r":(predict|classify|regress)", re.IGNORECASE)
LOOK = re.compile(TARGET + r"(/metadata)?", re.IGNORECASE)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
LARGEST_VERSION = 2**63 - 1


def application(predictor: Predictor) -> Starlette:
    """The routes over one Predictor."""

    async def count(request: Request) -> Response:
        return Response(predictor.metrics.text(), media_type=metrics.CONTENT_TYPE)

    async def health(request: Request) -> Response:
        return _json({"status": "ok", "models": predictor.store.serving()})

    async def api(request: Request) -> Response:
        try:
            return await answer(predictor, request)
        except ServingError as error:
            return _failure(error)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            return _failure(serving_error(error, predictor.limits.max_seconds))

    return Starlette(
        routes=[
            Route("/v1/{path:path}", api, methods=METHODS),  # first: what is asked most
            Route("/metrics", count),
            Route("/monitoring/prometheus/metrics", count),
            Route("/healthz", health),
            *page_routes(predictor.store),
            Route("/{path:path}", api, methods=METHODS),
        ]
    )


async def answer(predictor: Predictor, request: Request) -> Response:
    """The answer to a call below /v1."""
    path = request.scope["raw_path"].decode("latin-1")
    if not path.lower().startswith("/v1/"):
        raise ServingError(Code.NOT_FOUND, f"Not Found: {path}")
    if request.method == "POST" and (found := CALL.fullmatch(path)):
        name, version, label = _target(found)
        if found[4].lower() == "predict":
            return await _predict(predictor, request, name, version, label)
        return await _classify(predictor, request, name, version, label, found[4].lower())
    if request.method == "GET" and (found := LOOK.fullmatch(path)):
        name, version, label = _target(found)
        if found[4]:
            return _metadata(predictor.metadata(name, version, label))
        return _json(_to_dict(predictor.status(name, version)))
    if request.method == "GET" and path.rstrip("/").lower() == "/v1/models":
        raise invalid("Missing model name in request.")
    raise invalid(f"Malformed request: {request.method} {path}")


def _target(found: re.Match) -> tuple[str, int | None, str | None]:
    """Name, version and label; names are looked up among known models and never become paths."""
    version = found[2] and int(found[2])
    if version is not None and version > LARGEST_VERSION:
        raise invalid(f"Failed to convert version: {found[2]} to numeric.")
    return unquote(found[1]), version, found[3] and unquote(found[3])


async def _predict(
    predictor: Predictor, request: Request, name: str, version: int | None, label: str | None
) -> Response:
    async with predictor.request("rest") as account:
        body = await _body(predictor, request)
        predictor.limits.check_depth(body)
        values = codec.parse(body)
        wanted = codec.signature_name(values)
        found = predictor.store.find(name, version, label)
        account.model = name
        with found.lease() as servable:
            signature = servable.loaded.signature(wanted)
            if signature is None:
                raise invalid(f'Serving signature name: "{wanted or DEFAULT}" not found in signature def')
            account.signature = signature.name
            inputs, by_rows = codec.inputs_of(values, signature)
            outputs = await predictor.predict(servable, signature, inputs)
        return Response(codec.answer(outputs, by_rows), media_type="application/json")


async def _classify(
    predictor: Predictor, request: Request, name: str, version: int | None, label: str | None, method: str
) -> Response:
    async with predictor.request("rest"):
        body = await _body(predictor, request)
        predictor.limits.check_depth(body)
        wanted = codec.signature_name(codec.parse(body))
        with predictor.store.find(name, version, label).lease() as servable:
            raise no_classifier(servable.loaded.signature(wanted), wanted or DEFAULT, method)


async def _body(predictor: Predictor, request: Request) -> bytes:
    """The body of a request, read no further than it may be long."""
    limits = predictor.limits
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced) > limits.max_body_bytes:
        raise limits.body_too_large()
    parts, length = [], 0
    async for part in request.stream():
        parts.append(part)
        length += len(part)
        if length > limits.max_body_bytes:
            raise limits.body_too_large()
    return b"".join(parts)


def _metadata(response) -> Response:
    """As http_rest_api_util.cc prints it: the map itself, without the Any around it."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return _json({"model_spec": _to_dict(response.model_spec), "metadata": {"signature_def": _to_dict(signatures)}})


def _to_dict(message) -> dict:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _json(values, status: int = 200) -> Response:
    return Response(orjson.dumps(values, option=orjson.OPT_INDENT_2), status, media_type="application/json")


def _failure(error: ServingError) -> Response:
    return _json({"error": error.message.encode("utf-8", "replace").decode()}, error.http_status)


# Server ---------------------------------------------------------------------------------------------------------------
# REST and gRPC in one event loop over one store of models, from the first load to a graceful end.


Health = health_pb2.HealthCheckResponse


@dataclass(frozen=True)
class Settings:
    """Each is a flag of kgen-serve.

    Args:
        host: an address of this machine.
        port, grpc_port: 0 takes a free one.
        poll_seconds: between two looks at the folder.
        max_batch_size: rows of a joined call.
        batch_timeout_ms: see Batcher.
        threads: in which TensorFlow runs.
    """

    host: str = "127.0.0.1"
    port: int = 8501
    grpc_port: int = 8500
    poll_seconds: float = 1.0
    max_batch_size: int = 64
    batch_timeout_ms: float = 2.0
    threads: int = 2
    limits: Limits = field(default_factory=Limits)


class Uvicorn(uvicorn.Server):
    """Leaves signals to `serve`."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield


class Server:
    """A server in the running event loop: `await start()`, ..., `await stop()`.

    Args:
        root: a folder of exports, or one export.
        settings: see there.
    """

    def __init__(self, root: Path, settings: Settings):
        self.root, self.settings, self.metrics = root, settings, Metrics()
        self._threads = ThreadPoolExecutor(settings.threads, "kgen-serve-run")
        servable = partial(
            Servable,
            threads=self._threads,
            max_batch_size=settings.max_batch_size,
            batch_timeout_ms=settings.batch_timeout_ms,
            metrics=self.metrics,
        )
        self.store = ModelStore(root, self._load, servable, self.metrics)
        self.predictor = Predictor(self.store, settings.limits, self.metrics)

    def _load(self, path: Path) -> LoadedModel:
        model = LoadedModel(path)
        warm_up(model, self.settings.limits)
        return model

    async def start(self):
        """Takes the ports, loads the models, then answers.

        Raises:
            UserError: a port is taken, there is nothing to serve, or nothing of it can be loaded.
        """
        check_folder(self.root)
        socket_ = self._bind()
        try:
            self._bind_grpc()
            self.port = socket_.getsockname()[1]
            await self.store.poll()
            if not self.store.serving():
                raise UserError(f"{self.root}: no model could be loaded; {self._first_error()}")
        except UserError:
            socket_.close()
            raise
        add_services(self._grpc, self.predictor)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        await self._tell_health(Health.SERVING)
        await self._grpc.start()
        self._uvicorn = Uvicorn(
            uvicorn.Config(
                application(self.predictor),
                lifespan="off",
                ws="none",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=math.ceil(self.settings.limits.max_seconds),
            )
        )
        self.serving = asyncio.create_task(self._uvicorn.serve([socket_]))
        self._polling = asyncio.create_task(self.store.poll_forever(self.settings.poll_seconds))
        await self._greet()

    async def stop(self):
        """Takes no more requests, finishes those under way, ends."""
        await self._tell_health(Health.NOT_SERVING)
        self._polling.cancel()
        self._uvicorn.should_exit = True
        await asyncio.gather(self.serving, self._grpc.stop(self.settings.limits.max_seconds))
        with contextlib.suppress(asyncio.CancelledError):
            await self._polling
        await self.store.close()
        self._threads.shutdown()

    def ready(self) -> str:
        """One line: where, what, and a call to try."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        models = {name: ", ".join(map(str, versions)) for name, versions in self.store.serving().items()}
        told = "; ".join(f"{name} (version {versions})" for name, versions in models.items())
        url = f"http://{host}:{self.port}"
        return f"ready: REST {url}, gRPC {host}:{self.grpc_port}; serving {told}; try: {self._example(url)}"

    def _example(self, url: str) -> str:
        name = next(iter(self.store.serving()))
        signature = self.store.find(name).servable.loaded.signature(DEFAULT)
        inputs = None if signature is None else _example_inputs(signature)
        address = f"{url}/v1/models/{name}"
        if inputs is None:
            return f"curl {address}/metadata"
        return f"curl -d '{json.dumps({'inputs': inputs})}' {address}:predict"

    def _first_error(self) -> str:
        versions = [version for name in self.store.names() for version in self.store.versions(name)]
        return str(next((version.error for version in versions if version.error), "there is none"))

    async def _greet(self):
        """Asks itself once, so that no client waits for what is built with the first request."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.settings.host, self.settings.host)
        with contextlib.suppress(OSError):  # TimeoutError is one; where this is forbidden, the first client waits
            async with asyncio.timeout(self.settings.limits.max_seconds):
                reader, writer = await asyncio.open_connection(host, self.port)
                writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
                await reader.read()
                writer.close()

    def _bind(self) -> socket.socket:
        host, port = self.settings.host, self.settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            bound = socket.create_server((host, port), family=family)
        except OSError as error:
            what = f"--port {port} on --host {host}: {os.strerror(error.errno) if error.errno else error}"
            raise UserError(f"{what}; choose another with --port, 0 for any that is free") from error
        # Accepted sockets inherit it; asyncio sets it of sockets made with IPPROTO_TCP alone. Without it an answer,
        # sent as head and body, waits 40 ms for the client's delayed acknowledgement.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return bound

    def _bind_grpc(self):
        limits = self.settings.limits
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", limits.max_body_bytes),
            ("grpc.max_send_message_length", -1),
        ]
        self._grpc = grpc.aio.server(options=options)
        host, port = self.settings.host, self.settings.grpc_port
        try:
            self.grpc_port = self._grpc.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except RuntimeError as error:
            what = f"--grpc_port {port} on --host {host} cannot be taken; choose another, 0 for any that is free"
            raise UserError(what) from error

    async def _tell_health(self, status):
        for service in ("", *SERVICES):
            await self._health.set(service, status)


def _example_inputs(signature: Signature) -> dict | None:
    """Zeros for a signature of a number or a text a row; None for one that takes more."""
    inputs = {}
    for name, info in signature.inputs.items():
        if info.shape is None or len(info.shape) != 1:
            return None
        zero = "" if info.dtype == types_pb2.DT_STRING else info.numpy_dtype.type(0).item()
        inputs[name] = [zero] * (info.shape[0] or 1)
    return inputs


def serve(root: Path, settings: Settings):
    """Serves until SIGTERM or SIGINT; the body of kgen-serve."""
    asyncio.run(_serve(root, settings))


async def _serve(root: Path, settings: Settings):
    server, stop = Server(root, settings), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    print(f"kgen-serve is {server.ready()}", flush=True)
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait({asked, server.serving}, return_when=asyncio.FIRST_COMPLETED)
    await server.stop()
