"""TF Serving's REST contract: https://www.tensorflow.org/tfx/serving/api_rest, and the statuses of its sources.

Runs against a real TF Serving too: see `any_server` in conftest.py.
"""

import base64
import json
import re

import numpy as np
import pytest
from tiny_models import LABEL, images_of, png_of

ROWS = [{"label": 3, "seed": 7}, {"label": 4, "seed": 8}]
COLUMNS = {"label": [3, 4], "seed": [7, 8]}
TARGETS = ["", "/versions/1", f"/labels/{LABEL}"]


@pytest.mark.parametrize("target", TARGETS)
def test_rows(any_server, target):
    answer = any_server.predict({"instances": ROWS}, target)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/json")
    assert {*answer.json()} == {"predictions"}
    np.testing.assert_array_equal(answer.json()["predictions"], images_of([3, 4], [7, 8]))


@pytest.mark.parametrize("target", TARGETS)
def test_columns(any_server, target):
    answer = any_server.predict({"inputs": COLUMNS}, target)
    assert answer.status_code == 200 and {*answer.json()} == {"outputs"}
    np.testing.assert_array_equal(answer.json()["outputs"], images_of([3, 4], [7, 8]))


def test_the_signature_can_be_named(any_server):
    answer = any_server.predict({"signature_name": "decode", "instances": [{"z": [1.5, 2, 3], "label": 1}]})
    np.testing.assert_array_equal(answer.json()["predictions"], images_of([1], [6.5]))
    default = any_server.predict({"signature_name": "serving_default", "instances": ROWS}).json()
    assert default == any_server.predict({"signature_name": "", "instances": ROWS}).json()


def test_a_single_input_may_come_bare(any_server):
    body = {"signature_name": "single"}
    assert any_server.predict(body | {"instances": [1.0, 2.5]}).json() == {"predictions": [2.0, 5.0]}
    assert any_server.predict(body | {"instances": [{"x": 1.0}]}).json() == {"predictions": [2.0]}
    assert any_server.predict(body | {"inputs": [1.0, 2.5]}).json() == {"outputs": [2.0, 5.0]}
    assert any_server.predict(body | {"inputs": {"x": [4]}}).json() == {"outputs": [8.0]}


def test_several_outputs_come_under_their_names(any_server):
    body = {"signature_name": "pair"}
    rows = any_server.predict(body | {"instances": [[1.0, 3.0]]}).json()
    assert rows == {"predictions": [{"mean": 2.0, "log_var": [1.0, 3.0]}]}
    columns = any_server.predict(body | {"inputs": [[1.0, 3.0]]}).json()
    assert columns == {"outputs": {"mean": [2.0], "log_var": [[1.0, 3.0]]}}


def test_bytes_go_out_in_base64_if_their_name_says_so(any_server):
    answer = any_server.predict({"signature_name": "generate_png", "instances": ROWS}).json()
    assert [base64.b64decode(row["b64"]) for row in answer["predictions"]] == [png_of(3, 7), png_of(4, 8)]
    assert all({*row} == {"b64"} for row in answer["predictions"])


def test_bytes_come_in_as_text_or_base64(any_server):
    words = ["abc", {"b64": base64.b64encode(b"x").decode()}]
    rows = any_server.predict({"signature_name": "text", "instances": words}).json()["predictions"]
    assert [row["upper"] for row in rows] == ["ABC", "X"]
    assert [base64.b64decode(row["raw_bytes"]["b64"]) for row in rows] == [b"abc", b"x"]


def test_numbers_keep_their_type(any_server):
    row = {"small": -128, "byte": 255, "long": -(2**53) - 1, "double": 0.1, "flag": True}
    answer = any_server.predict({"signature_name": "types", "instances": [row]}).json()
    assert answer == {"predictions": [row]}
    assert [type(x) for x in answer["predictions"][0].values()] == [
        type(row[name]) for name in answer["predictions"][0]
    ]
    body = any_server.predict({"signature_name": "single", "instances": [0.1, 3]}).text
    assert [repr(x) for x in json.loads(body)["predictions"]] == ["0.2", "6.0"]  # float32, without digits of noise


def test_half_floats_cannot_be_read(any_server):
    answer = any_server.predict({"signature_name": "halves", "inputs": [0.5]})
    assert answer.status_code == 501
    assert "half" in answer.json()["error"] and "0.5" in answer.json()["error"]
    assert any_server.predict({"signature_name": "halves", "instances": [0.5]}).status_code == 400


def test_status(any_server):
    expected = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for target in ("", "/versions/1"):
        assert any_server.get(target).json() == {"model_version_status": [expected]}


def test_metadata(any_server):
    for target in TARGETS:
        answer = any_server.get(f"{target}/metadata").json()
        assert answer["model_spec"] == {"name": any_server.model, "signature_name": "", "version": "1"}
        assert {*answer} == {"model_spec", "metadata"} and {*answer["metadata"]} == {"signature_def"}
        decode = answer["metadata"]["signature_def"]["signature_def"]["decode"]
        assert decode["method_name"] == "tensorflow/serving/predict"
        z = decode["inputs"]["z"]
        assert z["dtype"] == "DT_FLOAT" and z["name"] == "decode_z:0"
        dims = [{"size": "-1", "name": ""}, {"size": "3", "name": ""}]
        assert z["tensor_shape"] == {"dim": dims, "unknown_rank": False}


WRONG = [
    ("", ""),
    ("nonsense", r"\d"),
    ('{"instances": [1', r"\d"),
    ([], r"\[\]"),
    ({}, r"inputs.*instances|instances.*inputs"),
    ({"signature_name": 100}, r"signature_name.*100|100.*signature_name"),
    ({"signature_name": "no"}, r"\bno\b"),
    ({"signature_name": "no", "instances": ROWS}, r"\bno\b"),
    ({"instances": ROWS, "inputs": COLUMNS}, r"inputs.*instances|instances.*inputs"),
    ({"instances": 1}, r"instances"),
    ({"instances": []}, r"instances"),
    ({"instances": [1]}, r"instances"),
    ({"instances": [ROWS[0], 1]}, r"\b1\b"),
    ({"instances": [{"label": 1}]}, r"label, ?seed"),
    ({"instances": [ROWS[0] | {"z": 1}]}, r"0.*\bz\b"),
    ({"instances": [{"label": "a", "seed": 1}]}, r'label.*int32.*"a"|label.*"a".*int32'),
    ({"instances": [{"label": 1.5, "seed": 1}]}, r"label.*1\.5"),
    ({"instances": [{"label": True, "seed": 1}]}, r"label.*int32"),
    ({"instances": [{"label": None, "seed": 1}]}, r"label.*int32"),
    ({"instances": [{"label": 2**31, "seed": 1}]}, r"label.*2147483648"),
    ({"instances": [ROWS[0], {"label": [1], "seed": 1}]}, r"label.*\[1\]"),
    ({"inputs": 5}, r"inputs"),
    ({"inputs": {"label": [1]}}, r"seed"),
    ({"inputs": {"label": [[1], 2], "seed": [1]}}, r"\b2\b"),
    ({"inputs": {"label": [1, [2]], "seed": [1, 2]}}, r"1"),
    ({"signature_name": "pair", "inputs": [[1, 2], [3]]}, r"1"),
    ({"signature_name": "pair", "instances": [[1, 2], [3]]}, r"1"),
    ('{"signature_name": "single", "instances": [1e999]}', r"\d"),
    ({"signature_name": "single", "instances": [{"b64": "AA=="}]}, r"instances|float"),
    ({"signature_name": "text", "instances": [{"b64": "!"}]}, r"(?i)base64"),
    ({"signature_name": "text", "inputs": [{"b32": "A"}]}, r"(?i)base64"),
    ({"signature_name": "decode", "inputs": {"z": [[1, 2]], "label": [1]}}, r"\[1,2\]"),
]
"""(body, what the message names: the offending name or value, in the wording of either server)."""


@pytest.mark.parametrize(("body", "message"), WRONG)
def test_wrong_requests(any_server, body, message):
    answer = any_server.predict(body)
    assert answer.status_code == 400, answer.text
    assert {*answer.json()} == {"error"}
    assert re.search(message, answer.json()["error"], re.DOTALL), answer.json()["error"]


PLACES = [
    ("POST", "/v1/models/none:predict", 404, "none"),
    ("POST", "/v1/models/{}/versions/7:predict", 404, "7"),
    ("POST", "/v1/models/{}/labels/none:predict", 400, "none"),
    ("POST", "/v1/models/{}/versions/99999999999999999999:predict", 400, "99999999999999999999"),
    ("POST", "/v1/models/{}", 400, "POST /v1/models/{}"),
    ("POST", "/v1/models/{}:invent", 400, "POST /v1/models/{}:invent"),
    ("GET", "/v1/models/{}:predict", 400, "GET /v1/models/{}:predict"),
    ("DELETE", "/v1/models/{}", 400, "DELETE /v1/models/{}"),
    ("GET", "/v1/models/none", 404, "none"),
    ("GET", "/v1/models/{}/versions/7", 404, "7"),
    ("GET", "/v1/models/none/metadata", 404, "none"),
    ("GET", "/v1/models/{}/versions/7/metadata", 404, "7"),
    ("GET", "/v1/models/", 400, ""),
]


@pytest.mark.parametrize(("method", "path", "status", "message"), PLACES)
def test_places_that_do_not_exist(any_server, method, path, status, message):
    name = any_server.model
    body = {"json": {"instances": ROWS}} if method == "POST" else {}
    answer = any_server.http.request(method, path.replace("{}", name), **body)
    assert answer.status_code == status, answer.text
    assert message.replace("{}", name) in answer.json()["error"]


@pytest.mark.parametrize("method", ["classify", "regress"])
def test_signatures_that_do_not_classify(any_server, method):
    answer = any_server.http.post(f"/v1/models/{any_server.model}:{method}", json={"examples": [{"x": 1.0}]})
    assert answer.status_code == 400
    assert "tensorflow/serving/predict" in answer.text and method in answer.text
