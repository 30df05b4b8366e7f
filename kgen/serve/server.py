"""The server: REST and gRPC in one event loop over one store of models, from the first load to a graceful shutdown."""

import asyncio
import contextlib
import gc
import json
import math
import signal
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow.core.framework import types_pb2

from kgen.config import RequestLimits, ServeConfig
from kgen.errors import UserError
from kgen.gpu import full_float32
from kgen.progress import announce, show, show_last
from kgen.serve.access import TokenInterceptor
from kgen.serve.app import application
from kgen.serve.connection import Connection
from kgen.serve.credentials import grpc_credentials, read_tokens, tls_context
from kgen.serve.discovery import check_folder
from kgen.serve.grpc import SERVICES, add_services
from kgen.serve.metrics import THREADS, Metrics
from kgen.serve.models import LoadedModel, ModelStore, Servable, warm_up
from kgen.serve.ports import free_socket_path, listen, taking_grpc_port
from kgen.serve.predictor import Predictor
from kgen.serve.validation import DEFAULT, LABEL, Code, ServingError, Signature

BACKLOG = 2048  # connections that wait to be accepted
COLLECTION_OBJECTS = 50_000
"""Python looks for cycles after so many new objects. Its own 700 are a part of a body of 16 KiB: the search took longer
than the parser."""
Health = health_pb2.HealthCheckResponse


class _Uvicorn(uvicorn.Server):
    """Without signal handlers: `serve` has its own.

    Args:
        config: uvicorn's.
        limits: of the connections.
        tls: None for none.
    """

    def __init__(self, config: uvicorn.Config, limits: RequestLimits, tls: ssl.SSLContext | None):
        super().__init__(config)
        self._limits, self._tls = limits, tls

    @contextlib.contextmanager
    def capture_signals(self):
        yield

    async def startup(self, sockets: list[socket.socket]):
        connection = partial(
            Connection,
            self.config,
            self.server_state,
            app_state={},
            limits=self._limits,
            connections={},
        )
        loop = asyncio.get_running_loop()
        tls = {"ssl": self._tls, "ssl_handshake_timeout": self._limits.header_seconds} if self._tls else {}
        self.servers = [await loop.create_server(connection, sock=bound, backlog=BACKLOG, **tls) for bound in sockets]
        self.started = True


class Server:
    """A server in the running event loop: `await start()`, ..., `await stop()`.

    Args:
        root: a folder of exports, or one export.
        config: addresses and batching.
        limits: of a request.
    """

    def __init__(self, root: Path, config: ServeConfig, limits: RequestLimits):
        self.root, self.config, self.limits, self.metrics = root, config, limits, Metrics()
        self._threads = ThreadPoolExecutor(config.threads, THREADS)
        servable = partial(
            Servable,
            threads=self._threads,
            max_batch_size=config.max_batch_size,
            batch_timeout_ms=config.batch_timeout_ms,
            metrics=self.metrics,
        )
        self.store = ModelStore(
            root,
            self._load,
            servable,
            self.metrics,
            settle_seconds=config.settle_seconds,
            on_change=self._update_health,
        )
        self._health = health.aio.HealthServicer()
        self._health_of: dict[str, int] = {}
        self.predictor = Predictor(self.store, limits, self.metrics)

    def _load(self, path: Path) -> LoadedModel:
        started, model = time.perf_counter(), None
        try:
            model = LoadedModel(path)
        finally:
            self.metrics.count_load(str(path), time.perf_counter() - started, succeeded=model is not None)
        started, code = time.perf_counter(), Code.UNKNOWN
        try:
            if warm_up(model, self.limits):
                code = Code.OK
        except ServingError as error:
            code = error.code
            raise
        finally:
            if code != Code.UNKNOWN:
                self.metrics.count_warmup(str(path), code.name, time.perf_counter() - started)
        return model

    async def start(self):
        """Binds the ports, loads the models, then accepts requests.

        Raises:
            UserError: a port is taken, the folder holds no model, or none can be loaded.
        """
        check_folder(self.root)
        tokens, tls = read_tokens(self.config), tls_context(self.config)
        socket_ = listen(self.config)
        try:
            self._bind_grpc(tokens)
            self.port = 0 if self.config.rest_socket_path else socket_.getsockname()[1]
            announce("loading the models")
            await self.store.poll()
            while not self.store.available() and self.store.settling:
                await asyncio.sleep(min(self.config.poll_seconds, 0.5))
                await self.store.poll()
            if not self.store.available():
                raise UserError(f"{self.root}: no model could be loaded; {self._first_error()}")
        except UserError:
            socket_.close()
            raise
        add_services(self._grpc, self.predictor)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        await self._grpc.start()
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                application(self.predictor, self.config, tokens),
                lifespan="off",
                proxy_headers=False,
                ws="none",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=math.ceil(self.limits.max_seconds),
            ),
            self.limits,
            tls,
        )
        self.serving = asyncio.create_task(self._uvicorn.serve([socket_]))
        self._polling = asyncio.create_task(self.store.poll_forever(self.config.poll_seconds))
        await self._warm_up_http()

    async def stop(self):
        """Accepts no more requests, finishes those in progress, and closes."""
        self._polling.cancel()
        self.store.stopping = True
        await self._update_health()
        self._uvicorn.should_exit = True
        await asyncio.gather(self.serving, self._grpc.stop(self.limits.max_seconds))
        with contextlib.suppress(asyncio.CancelledError):
            await self._polling
        await self.predictor.parser.close()
        await self.store.close()
        self._threads.shutdown()
        if self.config.rest_socket_path:
            Path(self.config.rest_socket_path).unlink(missing_ok=True)

    def ready(self) -> str:
        """A line with addresses and models, and one with an example call."""
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        models = {name: ", ".join(map(str, versions)) for name, versions in self.store.available().items()}
        listed = "; ".join(f"{name} (version {versions})" for name, versions in models.items())
        grpc_place = (
            f"unix:{self.config.grpc_socket_path}" if self.config.grpc_socket_path else f"{host}:{self.grpc_port}"
        )
        if self.config.rest_socket_path:
            rest, url = f"unix:{self.config.rest_socket_path}", "http://localhost"
        else:
            rest = url = f"{'https' if self.config.ssl_certificate else 'http'}://{host}:{self.port}"
        return f"ready: page and REST {rest}, gRPC {grpc_place}; serving {listed}\ntry: {self._example(url)}"

    def _example(self, url: str) -> str:
        name = next(iter(self.store.available()))
        signature = self.store.find(name).servable.loaded.signatures.get(DEFAULT)
        inputs = None if signature is None else _example_inputs(signature)
        address = f"{url}/v1/models/{name}"
        curl = "curl"
        if self.config.rest_socket_path:
            curl += f" --unix-socket {self.config.rest_socket_path}"
        if self.config.token_file:
            curl += f' -H "Authorization: Bearer $(head -1 {self.config.token_file})"'
        if self.config.ssl_certificate:
            curl += f" --cacert {self.config.ssl_certificate}"
        if inputs is None:
            return f"{curl} {address}/metadata"
        return f"{curl} -d '{json.dumps({'inputs': inputs})}' {address}:predict"

    def _first_error(self) -> str:
        versions = [version for name in self.store.names() for version in self.store.versions(name)]
        errors = [str(version.error) for version in versions if version.error]
        return next(iter([*errors, *self.store.notices.current.values()]), "there is none")

    async def _warm_up_http(self):
        """Sends itself one request, so that no client waits for what is built with the first one."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.config.host, self.config.host)
        with contextlib.suppress(
            OSError
        ):  # TimeoutError is an OSError; where connecting is forbidden, the first client waits
            async with asyncio.timeout(self.limits.max_seconds):
                if self.config.rest_socket_path:
                    reader, writer = await asyncio.open_unix_connection(self.config.rest_socket_path)
                else:
                    reader, writer = await asyncio.open_connection(host, self.port)
                writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
                await reader.read()
                writer.close()

    def _bind_grpc(self, tokens: tuple[bytes, ...]):
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self.limits.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", self.limits.max_concurrent),
            ("grpc.server_handshake_timeout_ms", math.ceil(1000 * self.limits.header_seconds)),
        ]
        self._grpc = grpc.aio.server(options=options, interceptors=[TokenInterceptor(tokens)] if tokens else [])
        host, port, credentials = self.config.host, self.config.grpc_port, grpc_credentials(self.config)
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self.config.grpc_socket_path:
            free_socket_path(self.config.grpc_socket_path, "--grpc_socket_path")
            place = f"unix:{self.config.grpc_socket_path}"
        with taking_grpc_port(self.config):
            if credentials is None:
                self.grpc_port = self._grpc.add_insecure_port(place)
            else:
                self.grpc_port = self._grpc.add_secure_port(place, credentials)

    async def _update_health(self):
        """Tells gRPC's health service: readiness for "" and the services, and for each model by its name."""
        available = self.store.available()
        serving = dict.fromkeys(("", *SERVICES), self.store.ready)
        serving |= {name: self.store.ready and name in available for name in self.store.names()}
        for service, ready in serving.items():
            status = Health.SERVING if ready else Health.NOT_SERVING
            if self._health_of.get(service) != status:
                self._health_of[service] = status
                await self._health.set(service, status)


def _example_inputs(signature: Signature) -> dict | None:
    """Zeros, and the first class, for a signature whose inputs are a scalar per row; None for others."""
    inputs = {}
    for name, info in signature.inputs.items():
        if info.shape is None or len(info.shape) != 1:
            return None
        value = "" if info.dtype == types_pb2.DT_STRING else info.numpy_dtype.type(0).item()
        if name == LABEL and signature.class_numbers:
            value = signature.class_numbers[0]
        inputs[name] = [value] * (info.shape[0] or 1)
    return inputs


@full_float32()
def serve(root: Path, config: ServeConfig, limits: RequestLimits):
    """Serves until SIGTERM or SIGINT."""
    gc.set_threshold(COLLECTION_OBJECTS)
    asyncio.run(_serve(root, config, limits))


async def _serve(root: Path, config: ServeConfig, limits: RequestLimits):
    server, stop = Server(root, config, limits), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping, starting = asyncio.create_task(stop.wait()), asyncio.create_task(server.start())
    await asyncio.wait({stopping, starting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        return show_last("kgen-serve: stopped before it was ready")
    await starting
    addresses, example = server.ready().split("\n")
    show(f"kgen-serve is {addresses}")
    print(example, flush=True)  # in a terminal that is narrower, too: it is copied
    await asyncio.wait({stopping, server.serving}, return_when=asyncio.FIRST_COMPLETED)
    await server.stop()
    show_last("kgen-serve: stopped")
