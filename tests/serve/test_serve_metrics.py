"""Metrics, health, and the services that are not offered."""

import socket

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from serving_case import SECONDS, ask, refusal, running
from tensorflow_serving.apis import model_management_pb2

BATCHING = ":tensorflow:serving:batching_session:"
BODY = {"inputs": {"label": [1, 2, 3], "seed": [2, 2, 2]}}


def samples(server, path: str = "/metrics") -> dict:
    """{(name, labels): value}."""
    answer = server.http.get(path)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(found: dict, name: str, **labels) -> float:
    return found.get((f"kgen_serve_{name}", tuple(sorted((k, str(v)) for k, v in labels.items()))), 0)


def test_what_is_counted(tiny):
    with running(tiny) as server:
        for _ in range(2):
            assert server.predict(BODY).status_code == 200
        ask(server, "single", x=np.zeros(5, np.float32))
        server.predict({"instances": [1]})
        server.predict({"signature_name": "none", "instances": [1]})
        server.http.post("/v1/models/none:predict", json=BODY)
        found = samples(server)
        assert {k[0] for k in found} == {k[0] for k in samples(server, "/monitoring/prometheus/metrics")}
        rest = {"api": "rest", "model": "tiny", "signature": "serving_default"}
        assert value(found, "requests_total", **rest, code="OK") == 2
        assert value(found, "requests_total", **rest, code="INVALID_ARGUMENT") == 1
        assert value(found, "requests_total", **rest | {"signature": ""}, code="INVALID_ARGUMENT") == 1
        assert value(found, "requests_total", api="rest", model="", signature="", code="NOT_FOUND") == 1
        assert value(found, "requests_total", api="grpc", model="tiny", signature="single", code="OK") == 1
        assert value(found, "request_seconds_count", **rest) == 3
        assert 0 < value(found, "request_seconds_sum", **rest) < SECONDS
        batch = {"model": "tiny", "signature": "serving_default"}
        assert (value(found, "batch_rows_count", **batch), value(found, "batch_rows_sum", **batch)) == (2, 6)
        assert value(found, "queue_rows", model="tiny") == 0
        path, loader = (("model_path", str(tiny / "tiny" / "1")),), ":tensorflow:cc:saved_model:load_"
        # the Python parser adds _total to the names of counters
        assert found[":tensorflow:core:graph_runs_total", ()] == 3 == found[f"{BATCHING}wrapped_run_count_total", ()]
        assert 0 < found[":tensorflow:core:graph_run_time_usecs_total", ()] < 1e6 * SECONDS
        assert found[f"{loader}attempt_count_total", (*path, ("status", "success"))] == 1
        assert 0 < found[f"{loader}latency_total", path] < 1e6 * SECONDS
        assert found[f"{BATCHING}queuing_latency_count", (("thread_pool_name", "kgen-serve-run"),)] == 3
        text = server.http.get("/metrics").text
        assert ":tensorflow:core:graph_runs 3.0\n" in text and ":tensorflow:serving:request_count{" in text


def test_health(served):
    answer = served.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "models": {"tiny": [1]}})
    stub = health_pb2_grpc.HealthStub(served.channel)
    for service in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        found = stub.Check(health_pb2.HealthCheckRequest(service=service), SECONDS)
        assert found.status == health_pb2.HealthCheckResponse.SERVING


def test_calls_that_are_not_offered(served):
    code, text = refusal(served.models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest())
    assert code == grpc.StatusCode.UNIMPLEMENTED and "edit models.config in the served folder" in text


def test_a_body_that_is_broken_off_is_no_error_of_the_server(tiny, caplog):
    """It is counted as cancelled; the log gets no traceback."""
    with running(tiny) as server:
        host, port = server.rest.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), SECONDS) as connection:
            connection.sendall(
                b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
            )
        labels = {"api": "rest", "model": "", "signature": "", "code": "CANCELLED"}
        for _ in range(1000):
            if value(samples(server), "requests_total", **labels):
                break
        assert value(samples(server), "requests_total", **labels) == 1
    assert not caplog.records


def test_places_outside_of_the_api(served):
    for path in ("/nothing", "/v2/models/tiny", "/v1"):
        answer = served.http.get(path)
        assert answer.status_code == 404 and "Not Found" in answer.json()["error"]
