"""Limits of size and time, ranges of values, and names that must not become paths."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import numpy as np
import pytest
import tiny_models
from serving_case import NUMBERS, SECONDS, Held, ask, refusal, request_of, running
from tiny_models import images_of

from kgen.serve.predictor import Gate
from kgen.serve.validation import ServingError, check_depth

BODY = {"inputs": {"label": [1], "seed": [2]}}
SMALL = {"max_body_bytes": 2000, "max_rows": 8, "max_depth": 5, "max_concurrent": 2, "max_seconds": SECONDS}


@pytest.fixture(scope="module")
def small(tiny):
    with running(tiny, limits=SMALL) as server:
        yield server


def still_correct(server):
    answer = server.predict(BODY)
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(answer.json()["outputs"], images_of([1], [2]))


def test_bodies(small):
    answer = small.predict(" " * 2000 + "{}")
    assert answer.status_code == 413 and "2000 bytes (--max_body_bytes)" in answer.json()["error"]
    answer = small.http.post("/v1/models/tiny:predict", content=iter([b" " * 500] * 100))  # of no announced length
    assert answer.status_code == 413
    too_large = request_of(small, "single", x=np.zeros(1000, np.float32))
    assert refusal(small.prediction.Predict, too_large)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    still_correct(small)


def test_a_small_message_that_claims_a_large_tensor(small):
    request = request_of(small, "wide", x=np.zeros([1, 1], np.float32))
    request.inputs["x"].tensor_shape.dim[1].size = 2**40
    code, text = refusal(small.prediction.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "2000 bytes (--max_body_bytes)" in text
    request.inputs["x"].tensor_shape.dim[1].size = -1
    code, text = refusal(small.prediction.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "input 'x'" in text


def test_rows(small):
    answer = small.predict({"signature_name": "single", "instances": [1] * 9})
    assert answer.status_code == 400
    for part in ("'x'", "'single'", "at most 8", "--max_rows", "Received: 9"):
        assert part in answer.json()["error"]
    code, text = refusal(small.prediction.Predict, request_of(small, "single", x=np.zeros(9, np.float32)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "at most 8 rows" in text
    assert small.predict({"signature_name": "single", "instances": [1] * 8}).json() == {"predictions": [2.0] * 8}


def test_depth(small):
    answer = small.predict('{"instances": ' + "[" * 500 + "]" * 500 + "}")
    assert answer.status_code == 400
    assert "at most 5 deep (--max_depth). Received: 501" in answer.json()["error"]
    still_correct(small)


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("{}", 1),
        ('{"a": [[1], [2, {"b": []}]]}', 5),
        ('{"a": "[[[[[[[["}', 1),
        (r'{"a": "\"[[[[\\", "b": [[]]}', 3),
        ('"[[[[[[', 0),
        ('[[["\\', 3),
        ("", 0),
        ("]]]][[", 0),
    ],
)
def test_depth_is_counted_outside_of_strings(text, depth):
    check_depth(text.encode(), depth)
    if depth:
        with pytest.raises(ServingError, match=rf"{depth - 1} deep.*--max_depth.*Received: {depth}"):
            check_depth(text.encode(), depth - 1)


def test_requests_at_once(small, monkeypatch):
    """Two are under way; the third is turned away at once, by either protocol; then all is well again."""
    held = Held(monkeypatch, "serving_default")
    with ThreadPoolExecutor(2) as clients:
        asked = [clients.submit(small.predict, BODY) for _ in range(2)]
        assert held.running.wait(SECONDS)
        while small.server.predictor.gate.inside < 2:
            threading.Event().wait(0.001)
        answer = small.predict(BODY)
        assert answer.status_code == 429
        assert "2 requests" in answer.json()["error"] and "--max_concurrent" in answer.json()["error"]
        code, _ = refusal(small.prediction.Predict, request_of(small, **NUMBERS))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert small.get().status_code == 200 and small.http.get("/healthz").status_code == 200
        held.go_on.set()
        assert [answer.result().status_code for answer in asked] == [200, 200]
    still_correct(small)


def test_the_gate_counts_those_who_leave_by_an_error():
    gate = Gate(1)
    for _ in range(3):
        with pytest.raises(KeyError), gate:
            raise KeyError
    with gate, pytest.raises(ServingError), gate:
        pass
    assert gate.inside == 0


def test_seconds(tiny, monkeypatch):
    held = Held(monkeypatch, "serving_default")
    with running(tiny, limits={"max_seconds": 0.1}) as server:
        answer = server.predict(BODY)
        assert answer.status_code == 504 and "0.1 seconds (--max_seconds)" in answer.json()["error"]
        code, text = refusal(server.prediction.Predict, request_of(server, **NUMBERS))
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED and "0.1 seconds (--max_seconds)" in text
        held.go_on.set()


def test_a_body_that_never_ends(tiny):
    with running(tiny, limits={"max_seconds": 0.1}) as server:
        ended = threading.Event()

        def slowly():
            yield b"{"
            assert ended.wait(SECONDS)

        with httpx.Client() as client:
            request = client.build_request("POST", f"{server.rest}/v1/models/tiny:predict", content=slowly())
            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(client.send, request)
                while "DEADLINE_EXCEEDED" not in server.http.get("/metrics").text:
                    assert not asked.done() or asked.result().status_code == 504
                ended.set()


def test_what_is_not_finite_reaches_a_model_that_states_no_ranges(served):
    found = ask(served, "single", x=np.float32([1, np.nan, np.inf, -np.inf]))["y"]
    np.testing.assert_array_equal(found, np.float32([2, np.nan, np.inf, -np.inf]))
    answer = served.predict('{"signature_name": "single", "instances": [0.1, NaN, Infinity, -Infinity, 1.8e308]}')
    assert answer.text == '{"predictions":[0.2,NaN,Infinity,-Infinity,Infinity]}'
    answer = served.predict('{"signature_name": "single", "instances": [1e999]}')
    assert answer.status_code == 400 and "JSON" in answer.text


@pytest.mark.parametrize(
    ("name", "value"), [("small", 128), ("small", -129), ("byte", 256), ("byte", -1), ("long", 2**63)]
)
def test_integers_stay_in_their_type(served, name, value):
    row = {"small": 0, "byte": 0, "long": 0, "double": 0, "flag": False} | {name: value}
    answer = served.predict({"signature_name": "types", "instances": [row]})
    assert answer.status_code == 400
    assert f"'{name}'" in answer.json()["error"] and str(value) in answer.json()["error"]


def test_text_that_is_no_text(served):
    answer = served.predict({"signature_name": "text", "inputs": [{"b64": "/w=="}]})
    assert answer.status_code == 400
    assert "output 'upper'" in answer.json()["error"] and "_bytes" in answer.json()["error"]


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../tiny",
        "%2e%2e",
        "..%2ftiny",
        "%2fetc%2fpasswd",
        "tiny%00",
        "tiny%2f1",
        ".",
        "~",
        "tiny%2f..%2ftiny",
        "%ff",
    ],
)
def test_names_are_no_paths(served, name):
    for call in (f"/v1/models/{name}:predict", f"/v1/models/{name}/labels/..%2f..:predict"):
        request = httpx.Request("POST", served.rest + "/x", json=BODY)
        request.url = httpx.URL(served.rest).copy_with(raw_path=call.encode())  # as it is, not made tidy
        answer = served.http.send(request)
        assert answer.status_code in (400, 404), (call, answer.text)
        assert "/tmp" not in answer.text


def test_ranges_of_the_manifest(exports):
    (exports / "models.config").unlink()
    ranges = {"label": [0, 9], "seed": [0, 2147483647], "z": [-4.5, 4.5], "unknown": [0, 1]}
    tiny_models.write(exports / "tiny" / "2", ranges=ranges)
    with running(exports) as server:
        assert (
            server.predict({"instances": [{"label": 9, "seed": 0}, {"label": 0, "seed": 2147483647}]}).status_code
            == 200
        )
        for row, text in (
            ({"label": 12, "seed": 0}, r"'label'.*\[0, 9\].*: 12"),
            ({"label": -1, "seed": 0}, r"'label'.*\[0, 9\].*: -1"),
            ({"label": 0, "seed": -1}, r"'seed'.*\[0, 2147483647\].*: -1"),
        ):
            answer = server.predict({"instances": [{"label": 1, "seed": 1}, row]})
            assert answer.status_code == 400 and re.search(text, answer.json()["error"])
        wrong = {"z": np.array([[0, 5, 0]], np.float32), "label": np.array([1], np.int32)}
        code, text = refusal(server.prediction.Predict, request_of(server, "decode", **wrong))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert re.search(r"'z'.*'decode'.*\[-4.5, 4.5\].*: 5\.0", text)
        for value, shown in ((np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")):
            odd = wrong | {"z": np.float32([[0, value, 0]])}
            code, text = refusal(server.prediction.Predict, request_of(server, "decode", **odd))
            assert code == grpc.StatusCode.INVALID_ARGUMENT and re.search(rf"'z'.*: {shown}", text)
        for body in ({"label": [1, 2], "seed": [1]}, {"label": [], "seed": []}):
            answer = server.predict({"inputs": body})
            assert answer.status_code == 400 and "same number of rows, at least one" in answer.json()["error"]
        assert ask(server, "decode", **wrong | {"z": np.zeros([1, 3], np.float32)})["images"].shape == (1, 2, 2, 1)


def test_ranges_that_are_none_fail_the_load(exports, capsys):
    tiny_models.write(exports / "tiny" / "2", ranges={"label": "all"})
    with running(exports) as server:
        status = server.get("/versions/2").json()["model_version_status"][0]["status"]
        assert status["error_code"] == "FAILED_PRECONDITION"
        assert '"ranges" must be like {"label": [0, 9]}' in status["error_message"]
        still_correct(server)
