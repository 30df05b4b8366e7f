"""New versions are loaded, warmed up, served; old ones retire when their requests are done; nothing is dropped."""

import asyncio
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_models
from serving_case import SECONDS, Held, request_of, running
from tensorflow_serving.apis import prediction_log_pb2
from tf_serving_cases import case
from tiny_models import images_of

BODY = {"inputs": {"label": [1], "seed": [2]}}


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Version 2 of the tiny model: all pixels are 0.5 higher."""
    return tiny_models.write(tmp_path_factory.mktemp("second") / "2", offset=0.5)


def add(second, exports, number: int = 2):
    """Lets a version appear as a whole."""
    aside = exports / "tiny" / f".part-{number}"
    shutil.copytree(second, aside)
    aside.rename(exports / "tiny" / str(number))


def alone(exports):
    """Without models.config: the newest version serves."""
    (exports / "models.config").unlink()
    return exports


def states(server, model="tiny") -> dict[str, str]:
    found = server.http.get(f"/v1/models/{model}").json()["model_version_status"]
    return {version["version"]: version["state"] for version in found}


def settle(server):
    """Returns when all retirements under way are done."""

    async def retired():
        await asyncio.gather(*server.server.store._retirements)

    server.run(retired())


@pytest.mark.slow
def test_a_new_version_takes_over(exports, second):
    with running(alone(exports)) as server:
        np.testing.assert_array_equal(server.predict(BODY).json()["outputs"], images_of([1], [2]))
        add(second, exports)
        server.poll()
        np.testing.assert_array_equal(server.predict(BODY).json()["outputs"], images_of([1], [2], 0.5))
        settle(server)
        assert states(server) == {"2": "AVAILABLE", "1": "END"}
        assert server.server.store.versions("tiny", 1)[0].servable is None
        assert server.predict(BODY, "/versions/1").status_code == 404


@pytest.mark.slow
def test_the_folder_is_polled(exports, second):
    with running(alone(exports), poll_seconds=0.01) as server:
        add(second, exports)
        for _ in range(10_000):
            if server.predict(BODY).json()["outputs"] != images_of([1], [2]).tolist():
                break
        np.testing.assert_array_equal(server.predict(BODY).json()["outputs"], images_of([1], [2], 0.5))


@pytest.mark.slow
def test_nothing_is_dropped_by_a_change(exports, second):
    """Sixteen clients ask by REST and gRPC while version 2 replaces version 1: every answer is one of the two."""
    before, after = images_of([1], [2]).ravel().tolist(), images_of([1], [2], 0.5).ravel().tolist()
    changed, answers = threading.Event(), []

    def rest(server):
        while True:
            last = changed.is_set()
            answer = server.predict(BODY)
            assert answer.status_code == 200, answer.text
            answers.append(np.ravel(answer.json()["outputs"]).tolist())
            if last:
                return answers[-1]

    def by_grpc(server):
        numbers = {"label": np.array([1], np.int32), "seed": np.array([2], np.int32)}
        while True:
            last = changed.is_set()
            answer = list(server.prediction.Predict(request_of(server, **numbers), SECONDS).outputs["images"].float_val)
            answers.append(answer)
            if last:
                return answer

    with running(alone(exports)) as server, ThreadPoolExecutor(16) as clients:
        asking = [clients.submit(rest, server) for _ in range(8)] + [clients.submit(by_grpc, server) for _ in range(8)]
        add(second, exports)
        server.poll()
        settle(server)
        changed.set()
        assert all(client.result() == after for client in asking)  # what was asked after the change
    assert {*map(tuple, answers)} == {tuple(before), tuple(after)}


@pytest.mark.slow
def test_a_version_goes_when_its_last_request_is_done(exports, second, monkeypatch):
    held = Held(monkeypatch, "serving_default")
    with running(alone(exports)) as server, ThreadPoolExecutor(1) as client:
        asked = client.submit(server.predict, BODY)
        assert held.running.wait(SECONDS)
        add(second, exports)
        server.poll()
        assert states(server) == {"2": "AVAILABLE", "1": "UNLOADING"}
        held.go_on.set()
        np.testing.assert_array_equal(asked.result().json()["outputs"], images_of([1], [2]))
        settle(server)
        assert states(server) == {"2": "AVAILABLE", "1": "END"}


@pytest.mark.slow
def test_a_version_that_fails_leaves_the_old_one(exports, second, capsys):
    with running(alone(exports)) as server:
        (exports / "tiny" / "2").mkdir()
        (exports / "tiny" / "2" / "saved_model.pb").write_bytes(b"not a model")
        server.poll()
        newest = server.get().json()["model_version_status"][0]
        assert (newest["version"], newest["state"]) == ("2", "END")
        assert newest["status"]["error_code"] == "NOT_FOUND"
        assert "no SavedModel can be loaded from" in newest["status"]["error_message"]
        assert "tiny version 2 failed to load" in capsys.readouterr().err
        assert states(server)["1"] == "AVAILABLE" and server.predict(BODY).status_code == 200
        server.poll()
        assert capsys.readouterr().err == ""  # it is not tried again ...
        shutil.rmtree(exports / "tiny" / "2")
        add(second, exports)
        server.poll()  # ... before its files change
        assert states(server)["2"] == "AVAILABLE"


@pytest.mark.slow
def test_models_come_and_go(exports, second):
    with running(alone(exports)) as server:
        (exports / "other").mkdir()
        shutil.copytree(second, exports / "other" / "5")
        server.poll()
        assert states(server, "other") == {"5": "AVAILABLE"}
        assert server.http.get("/healthz").json()["models"] == {"other": [5], "tiny": [1]}
        shutil.rmtree(exports / "tiny" / "1")
        server.poll()
        settle(server)
        assert states(server) == {"1": "END"}
        answer = server.predict(BODY)
        assert answer.status_code == 404 and "'tiny'" in answer.json()["error"]


def test_labels_and_policy_follow_the_file(exports, second):
    with running(exports) as server:
        add(second, exports)
        (exports / "models.config").write_text(tiny_models.config(exports, stable=1, canary=2))
        server.poll()
        assert states(server) == {"2": "AVAILABLE", "1": "AVAILABLE"}  # model_version_policy { all {} }
        for label, offset in (("stable", 0.0), ("canary", 0.5)):
            answer = server.predict(BODY, f"/labels/{label}")
            np.testing.assert_array_equal(answer.json()["outputs"], images_of([1], [2], offset))
        (exports / "models.config").write_text("no config")
        server.poll()
        assert server.predict(BODY, "/labels/canary").status_code == 200  # what served goes on


def test_without_the_file_there_are_no_labels(exports):
    with running(alone(exports)) as server:
        answer = server.predict(BODY, "/labels/stable")
        assert answer.status_code == 400 and "'stable'" in answer.text


def test_one_model_can_be_served(exports):
    with running(exports / "tiny") as server:
        assert server.predict(BODY).status_code == 200


def warm(**inputs):
    """A recorded request."""
    import tensorflow as tf

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "any"
    for name, values in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(values, tf.int32))
    return log


def test_recorded_requests_are_replayed(exports, monkeypatch):
    from kgen.serve.models import LoadedModel

    calls, call = [], LoadedModel.call

    def counted(model, name, inputs):
        calls.append((name, len(inputs["label"])))
        return call(model, name, inputs)

    monkeypatch.setattr(LoadedModel, "call", counted)
    records = [warm(label=[1], seed=[1]), warm(label=[1, 2], seed=[1, 2])]
    tiny_models.write(exports / "tiny" / "3", warmup=records)
    with running(alone(exports)) as server:
        assert states(server) == {"3": "AVAILABLE"}
        assert calls == [("serving_default", 1), ("serving_default", 2)]


SESSION_RUN = prediction_log_pb2.PredictionLog(session_run_log=prediction_log_pb2.SessionRunLog())


@pytest.mark.parametrize(
    ("records", "code", "text"),
    [
        ([warm], "INVALID_ARGUMENT", "record 1 of .*label, seed. Received: label"),
        ([b"\xff\xff"], "INVALID_ARGUMENT", "record 1 of .*PredictionLog"),
        ([SESSION_RUN], "UNIMPLEMENTED", "record 1 of .*session_run_log"),
    ],
)
def test_a_record_that_fails_fails_the_load(exports, records, code, text, capsys):
    records = [record(label=[1]) if callable(record) else record for record in records]
    tiny_models.write(exports / "tiny" / "2", warmup=records)
    with running(exports) as server:
        newest = server.get().json()["model_version_status"][0]
        assert (newest["version"], newest["state"], newest["status"]["error_code"]) == ("2", "END", code)
        assert re.search(text, newest["status"]["error_message"])
        assert server.predict(BODY).status_code == 200  # version 1


@case("saved_model_warmup_util_test: UnsupportedFileFormat")
def test_no_file_of_records_at_all(exports, capsys):
    path = tiny_models.write(exports / "tiny" / "2", warmup=[])
    (path / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no TFRecord at all")
    with running(exports) as server:
        status = server.get().json()["model_version_status"][0]["status"]
        assert status["error_code"] == "DATA_LOSS" and "tf_serving_warmup_requests" in status["error_message"]
