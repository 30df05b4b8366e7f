"""A thousand malformed requests: a 4xx each, and the server alive and correct afterwards."""

import json
import random
import socket

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_case import NUMBERS, SECONDS, request_of
from tiny_models import images_of

GOOD = {"instances": [{"label": 3, "seed": 7}, {"label": 4, "seed": 8}]}
TEXT = json.dumps(GOOD)
CALM = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": [*HealthCheck]}


@pytest.fixture(autouse=True)
def alive_and_correct(served):
    yield
    answer = served.predict(GOOD)
    np.testing.assert_array_equal(answer.json()["predictions"], images_of([3, 4], [7, 8]))
    assert served.server.predictor.gate.inside == 0
    assert not any(b._waiting for b in served.server.store.find("tiny").servable._batchers.values())


def refused(served, body, target=""):
    answer = served.predict(body, target)
    assert 400 <= answer.status_code < 500, (answer.status_code, body, answer.text)
    assert {*answer.json()} == {"error"} and answer.json()["error"]
    assert "Traceback" not in answer.text


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
trees = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
wrong_values = trees.filter(lambda x: not isinstance(x, int) or isinstance(x, bool) or not -(2**31) <= x < 2**31)


@pytest.mark.slow
@settings(max_examples=250, **CALM)
@given(wrong_values, st.sampled_from(["label", "seed"]), st.integers(0, 1))
def test_values_of_the_wrong_kind(served, value, name, position):
    rows = [dict(row) for row in GOOD["instances"]]
    rows[position][name] = value
    refused(served, json.dumps({"instances": rows}))


@settings(max_examples=200, **CALM)
@given(
    trees.filter(lambda x: not (isinstance(x, dict) and {"label", "seed"} <= {*x})),
    st.sampled_from(["instances", "inputs"]),
)
def test_trees_of_any_form(served, tree, key):
    refused(served, json.dumps({key: tree}))


@settings(max_examples=150, **CALM)
@given(st.binary(max_size=300))
def test_noise(served, noise):
    refused(served, noise)


def test_every_truncation(served):
    for length in range(len(TEXT)):
        refused(served, TEXT[:length])


def test_bytes_in_the_wrong_place(served):
    """A character of the request replaced by one that makes it another, 200 times; it may by chance be right."""
    rng = random.Random(6)
    for _ in range(200):
        position = rng.randrange(len(TEXT))
        body = TEXT[:position] + rng.choice('{}[]",:\\\x00ÿ-.eE') + TEXT[position + 1 :]
        answer = served.predict(body.encode("latin-1"))
        assert answer.status_code == 200 or 400 <= answer.status_code < 500, (body, answer.text)


HUGE = {
    "deep lists": '{"instances": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep objects": '{"instances": ' + '{"a": ' * 50_000 + "1" + "}" * 50_000 + "}",
    "open lists": "[" * 1_000_000,
    "a long string": '{"instances": [{"label": "' + "x" * 1_000_000 + '", "seed": 1}]}',
    "a long number": '{"instances": [{"label": ' + "9" * 100_000 + ', "seed": 1}]}',
    "a long name": '{"signature_name": "' + "s" * 100_000 + '", "instances": [1]}',
    "many rows": json.dumps({"signature_name": "single", "instances": [1.0] * 100_000}),
    "many keys": json.dumps({"inputs": {str(n): n for n in range(20_000)}}),
    "17 MiB": " " * (17 * 2**20),
    "ragged rows": json.dumps({"signature_name": "wide", "instances": [[1.0] * n for n in range(200)]}),
    "empty rows": json.dumps({"signature_name": "pair", "instances": [[]] * 10}),
    "no rows": json.dumps({"signature_name": "pair", "inputs": []}),
    "surrogates": '{"signature_name": "\\ud800", "instances": [1]}',
    "zero bytes": '{"signature_name": "\\u0000", "instances": [1]}',
}


@pytest.mark.parametrize("kind", HUGE)
def test_what_is_huge_or_odd(served, kind):
    refused(served, HUGE[kind])


@settings(max_examples=100, **CALM)
@given(st.binary(min_size=1, max_size=40))
def test_odd_paths(served, noise):
    """Sent as they are: no client library lets them through."""
    path = b"/v1/models/" + noise.replace(b"\n", b"").replace(b"\r", b"") + b":predict"
    host, port = served.rest.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), SECONDS) as connection:
        head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
        connection.sendall(head)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 4"), (path, answer)


METHODS = ["Predict", "GetModelMetadata", "Classify", "Regress"]
CLIENT_ERRORS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def refused_by_grpc(served, method: str, data: bytes):
    call = served.channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")
    with pytest.raises(grpc.RpcError) as raised:
        call(data, SECONDS)
    assert raised.value.code() in CLIENT_ERRORS, (raised.value.code(), raised.value.details(), data)


@settings(max_examples=150, **CALM)
@given(st.binary(max_size=200), st.sampled_from(METHODS))
def test_noise_by_grpc(served, noise, method):
    refused_by_grpc(served, method, noise)


def test_damaged_messages_by_grpc(served):
    """A good message cut off anywhere; and with one byte changed, which by chance may still be good."""
    good, rng = request_of(served, **NUMBERS).SerializeToString(), random.Random(7)
    for length in range(len(good)):
        refused_by_grpc(served, "Predict", good[:length])
    call = served.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    for _ in range(100):
        position = rng.randrange(len(good))
        damaged = good[:position] + bytes([rng.randrange(256)]) + good[position + 1 :]
        try:
            call(damaged, SECONDS)
        except grpc.RpcError as error:
            assert error.code() in CLIENT_ERRORS, (error.code(), error.details(), damaged)
