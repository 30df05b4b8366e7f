"""Requests that wait together go through one call; everybody gets the own rows."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serving_case import SECONDS, Held, ask, running
from tiny_models import images_of, write

from kgen.serve.batcher import Batcher


@pytest.fixture
def held(monkeypatch):
    found = Held(monkeypatch, "serving_default")
    yield found
    found.go_on.set()


@pytest.fixture
def clients():
    with ThreadPoolExecutor(32) as pool:
        yield pool


async def until_queued(server, rows: int):
    """Returns when so many rows wait in the queue of serving_default."""
    batcher = server.server.store.find("tiny").servable._batchers["serving_default"]
    while batcher._rows_waiting() < rows:
        await asyncio.sleep(0.001)


def number(server, label, seed):
    return server.predict({"inputs": {"label": [label], "seed": [seed]}})


def test_what_waits_is_joined(served, held, clients):
    """While the first call runs, fifteen more requests come: they are one call."""
    first = clients.submit(number, served, 9, 0)
    assert held.running.wait(SECONDS)
    rest = [clients.submit(number, served, label, label * 3) for label in range(14)]
    many = clients.submit(ask, served, label=np.arange(5, dtype=np.int32), seed=np.arange(5, dtype=np.int32))
    served.run(until_queued(served, 19))
    held.go_on.set()
    np.testing.assert_array_equal(first.result().json()["outputs"], images_of([9], [0]))
    for label, answer in enumerate(rest):
        np.testing.assert_array_equal(answer.result().json()["outputs"], images_of([label], [label * 3]))
    np.testing.assert_array_equal(many.result()["images"], images_of(range(5), range(5)))
    assert held.calls == [1, 19]


def test_no_call_is_larger_than_it_may_be(tiny, held, clients):
    with running(tiny, max_batch_size=4) as server:
        first = clients.submit(number, server, 0, 0)
        assert held.running.wait(SECONDS)
        rest = [clients.submit(number, server, label, 1) for label in range(9)]
        server.run(until_queued(server, 9))
        held.go_on.set()
        for label, answer in enumerate(rest):
            np.testing.assert_array_equal(answer.result().json()["outputs"], images_of([label], [1]))
        assert first.result().status_code == 200 and held.calls == [1, 4, 4, 1]
        large = server.predict({"inputs": {"label": [2] * 11, "seed": [0] * 11}})
        np.testing.assert_array_equal(large.json()["outputs"], images_of([2] * 11, [0] * 11))
        assert held.calls[-1] == 11  # a request of so few rows is never torn apart


def gather(requests, call, **settings):
    """Answers (or errors) of requests that all arrive before the first call."""

    async def all_of_them():
        batcher = Batcher(call, **({"max_rows": 64, "wait_seconds": 0} | settings))
        return await asyncio.gather(*(batcher.submit(r, len(r["x"])) for r in requests), return_exceptions=True)

    return asyncio.run(all_of_them())


def rows(*values, width=1):
    return {"x": np.repeat(np.array(values, np.float32)[:, None], width, 1)}


def test_small_requests_pass_large_ones_and_these_have_their_turn():
    calls = []

    async def call(inputs):
        calls.append(inputs["x"].ravel().tolist())
        return {"y": inputs["x"]}

    large = [rows(*[value] * 4) for value in (10, 20, 30)]
    small = [rows(1), rows(2), rows(3)]
    answers = gather([*large, *small], call, max_rows=4)
    assert [answer["y"].tolist() for answer in answers] == [request["x"].tolist() for request in large + small]
    assert calls == [[10] * 4, [1, 2, 3], [20] * 4, [30] * 4]


def test_many_rows_of_an_export_are_run_in_parts(tiny, tmp_path, held, clients):
    """Between which others have their turn. The rows of a model that states no ranges may depend on each other."""
    write(tmp_path / "tiny" / "1", ranges={"seed": [0, 1000]})
    with running(tmp_path, max_batch_size=4) as server:
        label, seed = np.arange(150, dtype=np.int32) % 9, np.arange(150, dtype=np.int32)
        large = clients.submit(ask, server, label=label, seed=seed)
        assert held.running.wait(SECONDS)
        others = [clients.submit(ask, server, label=label[:64], seed=seed[:64]), clients.submit(number, server, 5, 1)]
        server.run(until_queued(server, 65))
        held.go_on.set()
        np.testing.assert_array_equal(large.result()["images"], images_of(label, seed))
        np.testing.assert_array_equal(others[0].result()["images"], images_of(label[:64], seed[:64]))
        np.testing.assert_array_equal(others[1].result().json()["outputs"], images_of([5], [1]))
        assert held.calls.index(1) <= 2 and sorted(held.calls) == [1, 22, 64, 64, 64]  # after one that came before it


def test_one_bad_request_fails_alone():
    calls = []

    async def call(inputs):
        calls.append(inputs["x"].ravel().tolist())
        if (inputs["x"] > 99).any():
            raise ValueError("x is 100 or more")
        return {"y": inputs["x"] * 2}

    answers = gather([rows(1), rows(100), rows(3, 4)], call)
    assert answers[0]["y"].tolist() == [[2.0]] and answers[2]["y"].tolist() == [[6.0], [8.0]]
    assert isinstance(answers[1], ValueError)
    assert calls == [[1, 100, 3, 4], [1], [100], [3, 4]]


def test_other_shapes_wait_for_their_own_call():
    calls = []

    async def call(inputs):
        calls.append(inputs["x"].shape)
        return {"y": inputs["x"].sum(1)}

    answers = gather([rows(1), rows(2, width=3), rows(4), rows(5, width=3)], call)
    assert [answer["y"].tolist() for answer in answers] == [[1], [6], [4], [15]]
    assert calls == [(2, 1), (2, 3)]


def test_outputs_that_are_no_batch_are_asked_one_by_one():
    async def call(inputs):
        return {"total": np.array([inputs["x"].sum()])}

    answers = gather([rows(1, 2), rows(3)], call)
    assert [answer["total"].tolist() for answer in answers] == [[3], [3]]


def test_a_client_that_left_costs_no_call():
    calls = []

    async def call(inputs):
        calls.append(inputs["x"].ravel().tolist())
        return {"y": inputs["x"]}

    async def leave():
        batcher = Batcher(call, max_rows=64, wait_seconds=0)
        leaving, staying = (asyncio.create_task(batcher.submit(rows(x), 1)) for x in (1, 2))
        await asyncio.sleep(0)  # both are in the queue, none is running
        leaving.cancel()
        return await staying

    assert asyncio.run(leave())["y"].tolist() == [[2.0]] and calls == [[2.0]]


def test_those_who_ask_again_are_waited_for():
    """Four clients in lockstep: the first call has one row, all later ones four."""
    calls = []

    async def call(inputs):
        calls.append(len(inputs["x"]))
        await asyncio.sleep(0)
        return {"y": inputs["x"]}

    async def lockstep():
        batcher = Batcher(call, max_rows=64, wait_seconds=SECONDS)

        async def client(x):
            for _ in range(5):
                await batcher.submit(rows(x), 1)

        await asyncio.gather(*map(client, range(4)))

    asyncio.run(lockstep())
    assert sum(calls) == 20 and calls[1:-1] == [4] * len(calls[1:-1])


@pytest.mark.parametrize(
    ("signature", "body", "answer"),
    [
        ("whole", {"inputs": [1.0, 2.0]}, {"outputs": 3.0}),
        ("three", {"inputs": [1.0, 2.0, 3.0]}, {"outputs": [2.0, 3.0, 4.0]}),
    ],
)
def test_what_cannot_be_batched_runs_alone(served, signature, body, answer):
    servable = served.server.store.find("tiny").servable
    assert not servable.loaded.signatures[signature].batchable and "wide" in servable._batchers
    assert served.predict({"signature_name": signature} | body).json() == answer


def test_neighbours_of_different_width(served, clients):
    bodies = [{"signature_name": "wide", "instances": [[1.0] * width]} for width in range(1, 9)] * 4
    answers = [answer.json()["predictions"] for answer in clients.map(served.predict, bodies)]
    assert answers == [[float(width)] for width in range(1, 9)] * 4
