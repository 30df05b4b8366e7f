"""What a connection may send and hold: raw bytes, as no client library sends them."""

import asyncio
import contextlib
import gc
import json
import re
import socket
import time
import types

import grpc
import numpy as np
import pytest
from serving_case import SECONDS, Held, ask, refusal, request_of, running
from tiny_models import images_of

from kgen.serve.connection import JOINED_BYTES, NEW, _OneWrite
from kgen.serve.parsing import Turns
from kgen.serve.validation import ServingError

BODY = json.dumps({"inputs": {"label": [1], "seed": [2]}})
POST = f"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n"
GOOD = f"{POST}\r\n{BODY}".encode()
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
JAVA = (  # what java.net.http.HttpClient 17 sends
    f"POST /v1/models/tiny:predict HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: {len(BODY)}\r\n"
    "Host: localhost:8501\r\nHTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\nUpgrade: h2c\r\n"
    f"User-Agent: Java-http-client/17.0.15\r\n\r\n{BODY}"
).encode()
LIMITS = {"max_header_bytes": 2000, "header_seconds": 0.2, "idle_seconds": 0.2, "max_connections": 3}


@pytest.fixture(scope="module")
def strict(tiny):
    with running(tiny, limits=LIMITS | {"max_concurrent": 1}) as server:
        yield server


@contextlib.contextmanager
def connected(server):
    host, port = server.rest.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), SECONDS) as connection:
        yield connection


def answer(connection) -> tuple[int, dict]:
    """(status, JSON) of the next answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, head
        head += byte
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(head.split()[1]), json.loads(body)


def right(connection):
    status, found = answer(connection)
    assert status == 200, found
    np.testing.assert_array_equal(found["outputs"], images_of([1], [2]))


def test_an_offered_upgrade_keeps_the_body(served):
    with connected(served) as connection:
        connection.sendall(JAVA)
        right(connection)
        connection.sendall(JAVA + GOOD)  # again, and one behind it
        right(connection)
        right(connection)
        for position in range(len(JAVA)):
            connection.sendall(JAVA[position : position + 1])
        right(connection)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\na: " + b"b" * 2001 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 100_000, 431),
        (b"GET /" + b"a" * 100_000, 431),
        (b"a: b\r\n".join([b"GET / HTTP/1.1\r\n", *[b""] * 600]) + b"\r\n", 431),
        (b"POST /v1/models/tiny:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 100_000, 431),
        (b"POST /v1/models/tiny:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: " + b"a" * 100_000, 431),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost", 408),  # and nothing more
    ],
)
def test_headers_that_are_refused(strict, sent, status):
    with connected(strict) as connection:
        connection.sendall(sent)
        found, error = answer(connection)
        assert found == status and error["error"]
        with contextlib.suppress(ConnectionResetError):
            assert not connection.recv(1)


@pytest.mark.parametrize("sent", [b"", b"\r\n", GET, GET + b"\r\n"])
def test_a_connection_that_asks_nothing_is_closed(strict, sent):
    with connected(strict) as connection:
        connection.sendall(sent)
        if GET in sent:
            assert answer(connection)[0] == 200
        with contextlib.suppress(ConnectionResetError):
            assert not connection.recv(1)


def test_the_rest_of_a_body_is_not_waited_for(strict):
    """The answer is there before the body, which never comes."""
    with connected(strict) as connection:
        connection.sendall(b"POST /v1/models/tiny HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        assert answer(connection)[0] == 400
        with contextlib.suppress(ConnectionResetError):
            assert not connection.recv(1)


def test_requests_that_are_sent_ahead_are_answered_in_their_order(served):
    with connected(served) as connection:
        connection.sendall((GET + GOOD) * 200)
        for _ in range(200):
            assert answer(connection) == (200, {"status": "ok"})
            right(connection)


@pytest.mark.parametrize("ahead", [GET, GOOD], ids=["GET", "POST"])
def test_no_more_is_read_than_is_answered(served, ahead):
    """Of a client that sends requests and reads no answers."""
    with connected(served) as connection:
        connection.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            connection.sendall(ahead * (20_000_000 // len(ahead)))
            raise AssertionError("it took them all")
        waiting = [one for one in served.server._uvicorn.server_state.connections if one.behind]
        assert waiting and all(len(one._unread) <= 2**18 and len(one.pipeline) <= 16 for one in waiting)


def test_the_head_of_an_answer_is_sent_with_its_body(served):
    class Transport:
        def __init__(self):
            self.sent, self.gone = [], False

        def is_closing(self):
            return self.gone

        def write(self, data):
            self.sent.append(data)

        def close(self):
            self.sent.append("closed")

    transport, head, large = Transport(), b"HTTP/1.1 200 OK\r\n\r\n", b"a" * (JOINED_BYTES + 1)
    writer = _OneWrite(transport)
    for data in (head, b"body", head, large, b"HTTP/1.1 100 Continue\r\n\r\n", head):
        writer.write(data)
    writer.close()
    assert transport.sent == [head + b"body", head, large, b"HTTP/1.1 100 Continue\r\n\r\n", head, "closed"]
    transport.gone = True  # asyncio writes a warning for each that is written then
    writer.write(large)
    assert transport.sent[-1] == "closed"
    with connected(served) as connection:  # a head without a body
        connection.sendall(GET.replace(b"GET", b"HEAD") + POST.encode() + b"Expect: 100-continue\r\n\r\n")
        text = b""
        while b"Continue" not in text:
            text += connection.recv(4096)
        assert re.fullmatch(rb"HTTP/1.1 200 OK\r\n.*\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", text, re.DOTALL)
        connection.sendall(BODY.encode())
        right(connection)


def test_others_have_their_turn_between_bodies():
    """A body is parsed per iteration of the event loop, the smallest that waits first."""

    async def run():
        turns, order, loop = Turns(), [], asyncio.get_running_loop()

        async def parse(size):
            async with turns.of(size):
                order.append(size)
                loop.call_soon(order.append, "others")

        await asyncio.gather(*(parse(size) for size in (5, 4, 3)))
        return order

    assert asyncio.run(run()) == [5, "others", 3, "others", 4, "others"]


def test_a_body_in_chunks_of_one_byte(served):
    head = b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = BODY + " " * 20_000
    with connected(served) as connection:
        connection.sendall(head + b"".join(b"1\r\n%c\r\n" % byte for byte in body.encode()) + b"0\r\na: b\r\n\r\n")
        right(connection)


def test_a_slot_is_taken_by_a_request_that_is_there(strict):
    """One slot; two requests whose body never comes."""
    with connected(strict) as one, connected(strict) as two, connected(strict) as third:
        for connection in (one, two):
            connection.sendall(POST.encode() + b"\r\n{")
        third.sendall(GOOD)
        right(third)


def test_a_further_connection_of_an_address_closes_one_without_a_request(strict):
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(strict)) for _ in range(3)]
        connections[0].sendall(POST.encode() + b"\r\n{")  # a request, not complete
        time.sleep(1.5 * NEW * LIMITS["header_seconds"])
        connections[2].sendall(GET)
        answer(connections[2])
        fourth = stack.enter_context(connected(strict))
        fourth.sendall(GOOD)
        right(fourth)
        with contextlib.suppress(ConnectionResetError):
            assert not connections[1].recv(1)  # the oldest without a request
        connections[0].sendall(BODY[1:].encode())
        right(connections[0])


def test_a_new_connection_has_the_time_to_send_its_request(strict):
    """Requests without a body, one by one from one address, do not close it."""
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connected(strict)).sendall(POST.encode() + b"\r\n{")
        new = stack.enter_context(connected(strict))
        stack.enter_context(connected(strict)).sendall(POST.encode() + b"\r\n{")
        new.sendall(GOOD)
        right(new)


# Large bodies ---------------------------------------------------------------------------------------------------------


def padded(body) -> str:
    """Of more bytes than are parsed at once."""
    return json.dumps(body) + " " * 20_000


def test_large_bodies_are_answered_as_small_ones(served):
    for body in (
        {"inputs": {"label": [1], "seed": [2]}},
        {"signature_name": "single", "instances": [1, 2.5]},
        {"signature_name": "single", "instances": [1, "a"]},
        {"signature_name": "none", "instances": [1]},
        [1],
    ):
        small, large = served.predict(body), served.predict(padded(body))
        assert (small.status_code, small.json()) == (large.status_code, large.json())
    small, large = served.predict("{"), served.predict("{" + " " * 20_000)
    assert small.status_code == large.status_code == 400
    wide = np.arange(8000, dtype=np.float32)[None] / 8000
    np.testing.assert_allclose(ask(served, "wide", x=wide)["total"], [3999.5], rtol=1e-6)
    words = np.array([b"a" * 10_000, b"b" * 10_000])
    assert ask(served, "text", words=words)["upper"].tolist() == [b"A" * 10_000, b"B" * 10_000]
    code, text = refusal(served.prediction.Predict, request_of(served, "none", x=wide))
    assert "none" in text and code.name == "FAILED_PRECONDITION"


def test_an_answer_leaves_no_body_behind(served):
    """No cycle holds it (an error, its traceback, a frame, the error) until Python looks for cycles."""

    def everything():
        for body in ({"inputs": {"label": [1], "seed": [2]}}, {"inputs": {"label": ["a"], "seed": [2]}}, {}):
            served.predict(body), served.predict(padded(body))
        served.predict("{"), served.predict("[" * 100)
        served.predict("{" + " " * 20_000)
        served.http.post("/v1/models/none:predict", json={})
        served.http.post("/v1/models/tiny:classify", json={"examples": [{"a": 1}]})
        served.http.post("/v1/models/tiny:predict", content=b"a", headers={"Content-Encoding": "gzip"})
        for inputs in ({"x": np.zeros(1, np.int32)}, {"x": np.zeros(9000, np.int32)}, {"x": np.ones(1, np.float32)}):
            with contextlib.suppress(grpc.RpcError):
                ask(served, "single", **inputs)

    everything()  # what is built with the first request
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        everything()
        gc.collect()
        frames = [one for one in gc.garbage if isinstance(one, types.FrameType)]
        held = [frame for frame in frames if {"request", "body", "parsed"} & frame.f_locals.keys()]
        held += [one for one in gc.garbage if isinstance(one, ServingError)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not held


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('"' * 100_000, "JSON"),
        (json.dumps({"signature_name": "single", "instances": [1] * 30_000}), "at most 1024 rows"),
        ('{"inputs": {' + ",".join(f'"{i}": 1' for i in range(3000)) + "}}", "'(label|seed)'.*missing"),
        ('{"instances": ' + "[" * 20_000 + "]" * 20_000 + "}", "16 deep"),
    ],
)
def test_large_bodies_that_are_refused(served, body, message):
    answered = served.predict(body)
    assert answered.status_code == 400
    assert re.search(message, answered.json()["error"]), answered.json()


def test_the_parsing_process_is_started_again(served):
    body = padded({"inputs": {"label": [1], "seed": [2]}})
    assert served.predict(body).status_code == 200
    served.server.predictor.parser._process._process.kill()
    assert served.predict(body).status_code in (200, 500)
    assert served.predict(body).status_code == 200


def test_answers_in_memory_are_bounded(served):
    """They count until their client has read them, or closed the connection."""
    memory = served.server.predictor.answers
    assert memory._limit == 16 * 2**24
    body = {"signature_name": "text", "inputs": ["a" * 400_000]}
    memory.take(memory._limit)
    answered = served.predict(body)
    assert answered.status_code == 429 and "large answers" in answered.json()["error"]
    memory.give_back(memory._limit)
    answered = served.predict(body)
    assert answered.json()["outputs"]["upper"] == ["A" * 400_000] and memory._used == 0
    large = json.dumps({"signature_name": "text", "inputs": ["a" * 12_000_000]}).encode()
    with connected(served) as connection:
        connection.sendall(POST.replace(str(len(BODY)), str(len(large))).encode() + b"\r\n" + large)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        assert memory._used > 24_000_000
    until = time.monotonic() + SECONDS
    while memory._used and time.monotonic() < until:
        time.sleep(0.01)
    assert memory._used == 0


def test_a_body_whose_client_has_gone_is_not_parsed(served, monkeypatch, caplog):
    parser, calls = served.server.predictor.parser, []
    monkeypatch.setattr(parser._process, "call", lambda *message: calls.append(message))
    turn = parser._turns.of(0)
    served.run(turn.__aenter__())
    with connected(served) as connection:
        connection.sendall(POST.replace(str(len(BODY)), "2000000").encode() + b"\r\n" + b" " * 2_000_000)
        until = time.monotonic() + SECONDS
        while not parser._turns._waiting and time.monotonic() < until:
            time.sleep(0.01)
        assert parser.memory._used == 2_000_000
    while parser.memory._used and time.monotonic() < until:
        time.sleep(0.01)
    assert parser.memory._used == 0
    served.run(turn.__aexit__(None, None, None))
    assert served.predict(padded({})).status_code == 500 and len(calls) == 1  # of the stand-in
    assert "Exception in ASGI application" not in caplog.text


def test_a_prediction_whose_client_has_gone_is_not_made(served, monkeypatch):
    held = Held(monkeypatch, "single")
    body = json.dumps({"signature_name": "single", "instances": [1.0] * 1000})
    request = f"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    gate = served.server.predictor.gate
    with connected(served) as first, connected(served) as second:
        first.sendall(request.encode())
        assert held.running.wait(SECONDS)
        second.sendall(request.encode())
        until = time.monotonic() + SECONDS
        while gate.inside < 2 and time.monotonic() < until:
            time.sleep(0.01)
    while gate.inside and time.monotonic() < until:
        time.sleep(0.01)
    assert not gate.inside
    held.go_on.set()
    assert served.predict({"signature_name": "single", "instances": [1.0]}).json() == {"predictions": [2.0]}
    assert held.calls == [1000, 1]


def test_bodies_in_memory_are_bounded(tiny):
    with running(tiny, limits={"max_body_bytes": 20_000}) as server:
        memory = server.server.predictor.parser.memory
        assert memory._limit == 16 * 20_000
        memory.take(memory._limit)
        answered = server.predict(" " * 17_000 + BODY)
        assert answered.status_code == 429 and "large requests" in answered.json()["error"]
        assert server.predict(BODY).status_code == 200
        memory.give_back(memory._limit)
        assert server.predict(" " * 17_000 + BODY).status_code == 200 and memory._used == 0
