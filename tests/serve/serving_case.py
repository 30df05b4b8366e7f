"""What the tests of serving share: servers in threads, requests by either protocol, calls that wait.

Each server has an event loop of its own, and ports that the system chose.
"""

import asyncio
import contextlib
import threading
from dataclasses import dataclass

import grpc
import httpx
import numpy as np
import pytest
from tensorflow_serving.apis import model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc

from kgen.config import RequestLimits, ServeConfig

SECONDS = 30  # the most that anything here may take


@dataclass
class Address:
    """How to reach a server, and which model of it is the tiny one."""

    rest: str
    grpc: str
    model: str = "tiny"

    def __post_init__(self):
        self.http = httpx.Client(base_url=self.rest, timeout=SECONDS)
        self.channel = grpc.insecure_channel(self.grpc)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def predict(self, body, target: str = ""):
        """POST of a prediction; `target` is e.g. "/versions/1"."""
        content = {"content": body} if isinstance(body, (bytes, str)) else {"json": body}
        return self.http.post(f"/v1/models/{self.model}{target}:predict", **content)

    def get(self, target: str = ""):
        return self.http.get(f"/v1/models/{self.model}{target}")

    def close(self):
        self.http.close()
        self.channel.close()


class Running(Address):
    """A server of ours, in a thread."""

    def __init__(self, root, config, limits):
        from kgen.serve.server import Server

        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self.run(self._start(Server(root, config, limits)))
        super().__init__(f"http://127.0.0.1:{self.server.port}", f"127.0.0.1:{self.server.grpc_port}")

    async def _start(self, server):
        await server.start()
        return server

    def run(self, coroutine):
        """What a coroutine returns in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(SECONDS)

    def poll(self):
        """Makes the server look at its folder now."""
        self.run(self.server.store.poll())

    def stop(self):
        self.run(self.server.stop())
        self.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()
        self.loop.close()


@contextlib.contextmanager
def running(root, *, limits: dict | None = None, **settings):
    """A server as long as the context lasts; its folder is read only by `poll`."""
    config = ServeConfig(**({"port": 0, "grpc_port": 0, "poll_seconds": 3600, "settle_seconds": 0} | settings))
    server = Running(root, config, RequestLimits(**(limits or {})))
    try:
        yield server
    finally:
        server.stop()


class Held:
    """Blocks the calls of a signature until `go_on` is set, and records their rows."""

    def __init__(self, monkeypatch, signature: str):
        from kgen.serve.models import LoadedModel

        self.calls, self.running, self.go_on = [], threading.Event(), threading.Event()
        call = LoadedModel.call

        def held(model, name, inputs):
            if name == signature:
                self.calls.append(len(next(iter(inputs.values()))))
                self.running.set()
                assert self.go_on.wait(SECONDS)
            return call(model, name, inputs)

        monkeypatch.setattr(LoadedModel, "call", held)


def request_of(server, signature: str = "", *, version=None, version_label=None, only=(), **inputs):
    import tensorflow as tf

    request = predict_pb2.PredictRequest(output_filter=only)
    request.model_spec.name, request.model_spec.signature_name = server.model, signature
    if version is not None:
        request.model_spec.version.value = version
    if version_label is not None:
        request.model_spec.version_label = version_label
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request


def ask(server, *arguments, **keywords) -> dict[str, np.ndarray]:
    import tensorflow as tf

    response = server.prediction.Predict(request_of(server, *arguments, **keywords), SECONDS)
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def refusal(call, request) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(request, SECONDS)
    return raised.value.code(), raised.value.details()


NUMBERS = {"label": np.array([3, 4], np.int32), "seed": np.array([7, 8], np.int32)}
