"""The cases of TF Serving's own tests, asked of kgen-serve with models like those of its testdata.

tf_serving_cases.py lists them; other files of this folder repeat some too.
"""

import json
import math
import re
from pathlib import Path

import classic_models
import grpc
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_case import SECONDS, refusal, running
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)
from tf_serving_cases import DIFFERS, all_cases, case

from kgen.serve.metrics import Metrics
from kgen.serve.validation import TensorInfo


@pytest.fixture(scope="module")
def classic(tmp_path_factory):
    """A server of all models of classic_models."""
    root = tmp_path_factory.mktemp("classic")
    classic_models.write_all(root)
    with running(root) as server:
        yield server


def test_every_case_is_repeated_or_listed():
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    repeated = {*re.findall(r'"(\w+: \w+)"', "".join(re.findall(r"^@case\((?:.|\n)*?\)$", source, re.MULTILINE)))}
    listed = {name for names, _, _ in DIFFERS for name in names}
    assert not repeated & listed
    assert repeated | listed == {*all_cases()}


def ask(server, model: str, body, method: str = "predict", target: str = ""):
    content = {"content": body} if isinstance(body, str) else {"json": body}
    return server.http.post(f"/v1/models/{model}{target}:{method}", **content)


def answer(server, model: str, body, *more):
    found = ask(server, model, body, *more)
    assert found.status_code == 200, found.text
    assert found.headers["content-type"] == "application/json"
    return json.loads(found.text)  # reads NaN and Infinity


def refused(server, model: str, body, *more) -> str:
    found = ask(server, model, body, *more)
    assert found.status_code == 400, found.text
    assert {*found.json()} == {"error"}
    return found.json()["error"]


# -- REST -------------------------------------------------------------------------------------------------------------

PATHS = [
    ("GET", "/v1/foo"),
    ("POST", "/v1/foo"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/debug/model_name"),
    ("POST", "/v1/models"),
    ("GET", "/v1/models/foo:predict"),
    ("GET", "/v1/models/foo/version/50:predict"),
    ("POST", "/v1/models/foo/version/50:regress"),
    ("POST", "/v1/models/foo/versions/HELLO:regress"),
    ("POST", f"/v1/models/foo/versions/{2**64 - 1}:regress"),
    ("POST", f"/v1/models/foo/versions/{'9' * 5000}:regress"),
    ("POST", "/v1/models/foo/metadata"),
    ("POST", "/v1/models/foo/label/some_label:regress"),
    ("POST", "/v1/models/foo/versions/50/labels/some_label:regress"),
    ("POST", "/v1/models/foo/versions/some_label:regress"),
]


@case("http_rest_api_handler_test: kPathRegex", "http_rest_api_handler_test: UnsupportedApiCalls")
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_paths_that_are_no_call(classic, method, path):
    found = classic.http.request(method, path, **({"content": ""} if method == "POST" else {}))
    assert found.status_code == 400 and {*found.json()} == {"error"}


@case("http_rest_api_util_test: TestParseModelInfoForGet", "http_rest_api_util_test: TestParseModelInfoForPost")
@pytest.mark.parametrize("name", ["half_plus_two", "half%5Fplus%5ftwo"])
@pytest.mark.parametrize(
    "target", ["", "/versions/123", "/versions/0000123", "/labels/live", "/LABELS/live", "/labels/l%69ve"]
)
def test_names_versions_and_labels_in_a_path(classic, name, target):
    assert answer(classic, name, {"instances": [1.0]}, "predict", target) == {"predictions": [2.5]}
    assert classic.http.get(f"/v1/models/{name}{target}").status_code == 200
    found = classic.http.get(f"/V1/models/{name}{target}/metadata".replace("V1", "v1")).json()
    assert found["model_spec"]["name"] == "half_plus_two"
    assert found["model_spec"]["version"] == ("123" if target else "124")


@case("http_rest_api_handler_test: PredictModelNameVersionErrors")
def test_models_that_are_not_there(classic):
    for path in ("foo", "foo/versions/50", "half_plus_two99", "half_plus_two/versions/99"):
        assert classic.http.post(f"/v1/models/{path}:predict", json={"instances": [1]}).status_code == 404


@case("http_rest_api_handler_test: PredictRequestErrors", "json_tensor_test: StatusError")
def test_requests_that_are_wrong(classic):
    two = "half_plus_two"
    assert "JSON" in refused(classic, two, "") and "JSON" in refused(classic, two, "instances = [1, 2]")
    assert "float" in refused(classic, two, {"instances": ["x", "y"]})
    assert "label" in refused(classic, two, {"instances": ["x", "y"]}, "predict", "/labels/none")
    assert "'signature_name' must be a string" in refused(classic, two, {"signature_name": 100})
    assert '"key"' in refused(classic, two, '{"instances": {"key": 1}}')


@case(
    "http_rest_api_handler_test: Predict",
    "tensorflow_model_server_test: testPredictREST",
    "tensorflow_model_server_test: testPredictColumnarREST",
    "server_core_test: ModelSpecMultipleVersionsAvailable",
)
def test_predict(classic):
    two = "half_plus_two"
    assert answer(classic, two, {"instances": [[1.0, 2.0], [3.0, 4.0]]}) == {"predictions": [[2.5, 3.0], [3.5, 4.0]]}
    assert answer(classic, two, {"instances": [1.0, 2.0, 5.0]}) == {"predictions": [2.5, 3.0, 4.5]}
    for target in ("/versions/123", "/versions/124", "/labels/live"):
        assert answer(classic, two, {"instances": [1.0, 2.0]}, "predict", target) == {"predictions": [2.5, 3.0]}
    named = {"signature_name": "serving_default"}
    assert answer(classic, two, named | {"instances": [3.0, 4.0]}) == {"predictions": [3.5, 4.0]}
    assert answer(classic, two, named | {"inputs": [3.0, 4.0]}) == {"outputs": [3.5, 4.0]}
    assert answer(classic, "half_plus_three", {"instances": [1.0, 2.0, 5.0]}) == {"predictions": [3.5, 4.0, 5.5]}
    assert answer(classic, "half_plus_three", {"inputs": 2.0}) == {"outputs": 4.0}


@case(
    "http_rest_api_handler_test: Regress",
    "tensorflow_model_server_test: testRegressREST",
    "json_tensor_test: JsonFromRegressionResult",
)
@pytest.mark.parametrize("target", ["", "/versions/123", "/labels/live"])
def test_regress(classic, target):
    body = {"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}, {"x": [2.5]}]}
    assert answer(classic, "half_plus_two", body, "regress", target) == {"results": [42, 3.25]}


@case("http_rest_api_handler_test: Classify", "tensorflow_model_server_test: testClassifyREST")
@pytest.mark.parametrize("target", ["", "/versions/123", "/labels/live"])
def test_classify(classic, target):
    body = {"signature_name": "classify_x_to_y", "examples": [{"x": 20.0}, {"x": 2.0}]}
    assert answer(classic, "half_plus_two", body, "classify", target) == {"results": [[["", 12]], [["", 3]]]}


@case("json_tensor_test: JsonFromClassificationResult", "json_tensor_test: JsonFromRegressionResultWithNonFinite")
def test_results_with_labels_and_without_end(classic):
    rows = [{"class": ["car", "bike"], "output": [0.2, 0.7]}, {"class": ["bus", "car"], "output": [0.5, 0.1]}]
    expected = {"results": [[["car", 0.2], ["bike", 0.7]], [["bus", 0.5], ["car", 0.1]]]}
    assert answer(classic, "classes", {"examples": rows}, "classify") == expected
    text = '{"signature_name": "regress", "examples": [{"output": 0.2}, {"output": 1e39}, {"output": -1e39}]}'
    found = answer(classic, "classes", text, "regress")
    assert found == {"results": [0.2, math.inf, -math.inf]}


@case("json_tensor_test: RequestNoContext", "json_tensor_test: RequestWithContextAndSignature")
def test_examples_of_json():
    from kgen.serve.examples import from_json

    request = {
        "context": {"query": "pizza", "location": ["sfo"]},
        "examples": [
            {"names": ["foo", "bar"], "ratings": [8.0, math.nan, math.inf], "age": 20},
            {"names": ["baz", {"b64": "aGVsbG8="}], "ratings": 6.0, "mix": [1, True, False], "empty": []},
        ],
    }
    found = from_json(request).example_list_with_context
    assert found.context.features.feature["location"].bytes_list.value == [b"sfo"]
    first, second = (example.features.feature for example in found.examples)
    assert first["names"].bytes_list.value == [b"foo", b"bar"] and first["age"].int64_list.value == [20]
    np.testing.assert_array_equal(first["ratings"].float_list.value, [8, np.nan, np.inf])
    assert second["names"].bytes_list.value == [b"baz", b"hello"] and second["mix"].int64_list.value == [1, 1, 0]
    assert second["empty"].WhichOneof("kind") is None
    assert len(from_json({"examples": request["examples"]}).example_list.examples) == 2


WRONG_EXAMPLES = [
    ({"signature_name": ["hello"], "examples": [{"names": ["foo"]}]}, "'signature_name' must be a string"),
    ({"context": [{"names": ["foo"]}], "examples": [{}]}, "an example must be an object"),
    ({"examples": {"names": ["foo", "bar"]}}, "'examples' must be a list"),
    ({"examples": []}, "'examples' must be a list of at least one"),
    ({}, "'examples' must be a list"),
    ({"examples": [[{"names": ["foo"]}]]}, "an example must be an object"),
    ({"examples": [{"names": [10, None]}]}, "feature 'names'"),
    ({"examples": [{"names": [10, 10.0]}]}, "the values of feature 'names' must be of one type"),
    ({"examples": [{"names": [10, {"test": 10}]}]}, "'names'"),
    ({"examples": [{"names": [[10], 20]}]}, "feature 'names'"),
    ({"examples": [{"names": [20, 18446744073709551603]}]}, "feature 'names' has an integer beyond int64"),
]


@case("json_tensor_test: JsonErrors")
@pytest.mark.parametrize(("body", "message"), WRONG_EXAMPLES)
@pytest.mark.parametrize("method", ["classify", "regress"])
def test_examples_that_are_wrong(classic, body, message, method):
    assert message in refused(classic, "half_plus_two", body, method)


@case("http_rest_api_handler_test: GetStatus", "tensorflow_model_server_test: testGetStatusREST")
def test_status(classic):
    def versions(*numbers):
        status = {"error_code": "OK", "error_message": ""}
        return {"model_version_status": [{"version": n, "state": "AVAILABLE", "status": status} for n in numbers]}

    assert classic.http.get("/v1/models/half_plus_two").json() == versions("124", "123")
    for target in ("/versions/123", "/labels/live"):
        assert classic.http.get(f"/v1/models/half_plus_two{target}").json() in (versions("123"), versions("124", "123"))
    assert classic.http.get("/v1/models/foo").status_code == 404
    assert classic.http.get("/v1/models/half_plus_two/versions/9").status_code == 404


@case(
    "http_rest_api_handler_test: GetModelMetadata",
    "tensorflow_model_server_test: testGetModelMetadataREST",
    "get_model_metadata_impl_test: ReturnsSignaturesForValidModel",
)
def test_metadata(classic):
    found = classic.http.get("/v1/models/half_plus_two/metadata").json()
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert {*signatures} == {
        "serving_default", "regress_x_to_y", "regress_x_to_y2", "regress_x2_to_y3", "classify_x_to_y",
    }  # fmt: skip
    one = signatures["regress_x2_to_y3"]
    assert one["method_name"] == "tensorflow/serving/regress"
    dims = {"dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}], "unknown_rank": False}
    assert one["inputs"]["inputs"] == {"dtype": "DT_FLOAT", "tensor_shape": dims, "name": "x2:0"}
    assert signatures["classify_x_to_y"]["inputs"]["inputs"]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]


# -- JSON <-> tensors -------------------------------------------------------------------------------------------------

TENSORS = [
    ("int", "[[1,2],[3,4],[5,6]]", [[1, 2], [3, 4], [5, 6]]),
    ("float", "[1, 2.0, 3, 4, 5.003, 0.007, 0.0]", [1.0, 2.0, 3.0, 4.0, 5.003, 0.007, 0.0]),
    ("dbl", "[1.0, 2, 3, 4, 0.662, 0, 0.0]", [1.0, 2.0, 3.0, 4.0, 0.662, 0.0, 0.0]),
    ("float", "[1435774380]", [1435774300.0]),  # the shortest text of the float32 1435774336
    ("float", "[1435774380.0]", [1435774300.0]),
    ("float", "[1.7976931348623157e308, -1.7976931348623157e308]", [math.inf, -math.inf]),
    ("float", "[2.2250738585072014e-308, -2.2250738585072014e-308]", [0.0, -0.0]),
    ("float", "[NaN, Infinity, 3, -Infinity]", [math.nan, math.inf, 3.0, -math.inf]),
    ("float", "[[9000000, 999999, 0.5], [0.0003, 0.00003, 555557.5]]", [[9e6, 999999.0, 0.5], [3e-4, 3e-5, 555557.5]]),
    ("str", '["foo", {"b64": "aGVsbG8="}]', ["foo", "hello"]),
    ("str", '[[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]', [["hello"], ["world"]]),
    ("str", '[{"default": [[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]}]', [[["hello"], ["world"]]]),
    ("bytes", '[["hello", "world"]]', [[{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]]),
]


@case(
    "json_tensor_test: SingleUnnamedTensor",
    "json_tensor_test: SingleUnnamedTensorWithSignature",
    "json_tensor_test: MixedInputForFloatTensor",
    "json_tensor_test: MixedInputForDoubleTensor",
    "json_tensor_test: FloatTensorWithPrecisionLoss",
    "json_tensor_test: FloatTensorThatExceedsMaxReturnsInf",
    "json_tensor_test: FloatTensorThatExceedsMinReturnsZero",
    "json_tensor_test: SingleUnnamedTensorBase64Scalars",
    "json_tensor_test: SingleUnnamedTensorBase64Lists",
    "json_tensor_test: SingleNamedTensorBase64",
    "json_tensor_test: FromJsonSingleTensor",
    "json_tensor_test: FromJsonSingleScalarTensor",
    "json_tensor_test: FromJsonSingleBytesTensor",
    "json_tensor_test: FromJsonSingleFloatTensorSixDigitPrecision",
    "json_tensor_test: FromJsonSingleFloatTensorNonFinite",
)
@pytest.mark.parametrize(("signature", "given", "expected"), TENSORS)
def test_rows(classic, signature, given, expected):
    found = answer(classic, "echo", f'{{"signature_name": "{signature}", "instances": {given}}}')
    assert repr(found) == repr({"predictions": expected})  # 3 is not 3.0, and NaN is NaN


@case("json_tensor_test: TensorFromNonNullTerminatedBuffer")
def test_a_body_ends_where_its_length_says(classic):
    body = b'{"signature_name": "int", "instances": [[1,2]]}'
    head = (
        "POST /v1/models/echo:predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    import socket

    host, port = classic.rest.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), SECONDS) as connection:
        connection.sendall(head.encode() + body)
        found = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"200 OK" in found and b"[[1,2]]" in found.replace(b" ", b"")


ALL = [
    {
        "int_tensor": [[1, 2], [3, 4], [5, 6]], "str_tensor": ["foo", "bar"],
        "float_tensor": [1.0, math.nan], "dbl_tensor": [math.nan],
    },
    {
        "int_tensor": [[7, 8], [9, 0], [1, 2]], "str_tensor": ["baz", "bat"],
        "float_tensor": [2.0, math.inf], "dbl_tensor": [2.0],
    },
]  # fmt: skip


@case("json_tensor_test: MultipleNamedTensor", "json_tensor_test: FromJsonMultipleNamedTensors")
def test_rows_of_several_inputs(classic):
    found = answer(classic, "echo", json.dumps({"signature_name": "all", "instances": ALL}))
    assert [{k: repr(v) for k, v in row.items()} for row in found["predictions"]] == [
        {k: repr(v) for k, v in row.items()} for row in ALL
    ]


@case("json_tensor_test: SingleUnnamedTensorColumnarFormat", "json_tensor_test: MultipleNamedTensorColumnarFormat")
def test_columns(classic):
    for given in ([[[1, 2], [3, 4], [5, 6]]], 3, {"default": [[1]]}):
        found = answer(classic, "echo", {"signature_name": "int", "inputs": given})
        assert found == {"outputs": given["default"] if isinstance(given, dict) else given}
    inputs = {"int_tensor": [[[1, 2], [3, 4], [5, 6]]], "str_tensor": {"b64": "aGVsbG8="}}
    found = answer(classic, "echo", {"signature_name": "two", "inputs": inputs})
    assert found == {"outputs": inputs | {"str_tensor": "hello"}}


WRONG_TENSORS = [
    ("int", {"instances": [[1, 2], [3, 4], [5, 6, 7]]}),
    ("int", {"instances": [[1, 2]], "inputs": [[1, 2]]}),
    ("int", {"instances": [[1, 2], [3, 4], [[5, 6]]]}),
    ("int", {"instances": [1, [1]]}),
    ("int", {"instances": [[1, 2], ["a", "b"]]}),
    ("two", {"instances": [{"int_tensor": [1], "str_tensor": ["a"]}, {"int_tensor": [[1]], "str_tensor": ["a"]}]}),
    ("two", {"instances": [{"int_tensor": [1, 2], "str_tensor": ["a"]}, {"int_tensor": [1], "str_tensor": ["a"]}]}),
    ("two", {"instances": [{"int_tensor": [1], "str_tensor": ["a"]}, [1, 20, 30]]}),
    ("str", {"instances": [["baz", "bar"], {"default": ["baz", "bat"]}]}),
]


@case("json_tensor_test: SingleUnnamedTensorErrors", "json_tensor_test: MultipleNamedTensorErrors")
@pytest.mark.parametrize(("signature", "body"), WRONG_TENSORS)
def test_tensors_that_are_wrong(classic, signature, body):
    refused(classic, "echo", {"signature_name": signature} | body)


@case("json_tensor_test: DeeplyNestedMalformed")
def test_deep_nesting(classic):
    refused(classic, "echo", '{"signature_name":' + "[" * 500_000 + "]" * 500_000 + "}")


@case("json_tensor_test: FromJsonSingleTensorErrors", "json_tensor_test: FromJsonMultipleNamedTensorsErrors")
def test_outputs_that_are_no_rows():
    from kgen.serve.codec import encode_json
    from kgen.serve.validation import ServingError

    for outputs in (
        {"tensor": np.int32(1)},
        {"tensor": np.zeros(2, np.complex64)},
        {"a": np.zeros(2), "b": np.zeros(3)},
        {"a": np.zeros(2), "b": np.zeros(())},
    ):
        with pytest.raises(ServingError):
            encode_json(outputs, by_rows=True)


@case(
    "json_tensor_test: FromJsonSingleZeroBatchTensor",
    "json_tensor_test: FromJsonMultipleZeroBatchTensors",
    "json_tensor_test: FromJsonMultipleZeroBatchTensorsErrors",
)
def test_outputs_of_no_rows():
    from kgen.serve.codec import encode_json
    from kgen.serve.validation import ServingError

    none = np.zeros([0, 2], np.float32)
    assert json.loads(encode_json({"a": none}, by_rows=True)) == {"predictions": []}
    assert json.loads(encode_json({"a": none, "b": none}, by_rows=True)) == {"predictions": []}
    with pytest.raises(ServingError):
        encode_json({"a": none, "b": np.zeros([1, 2], np.float32)}, by_rows=True)


# -- gRPC: Predict, metadata, status ----------------------------------------------------------------------------------


def predict_request(model: str, signature: str = "", only=(), **inputs):
    import tensorflow as tf

    request = predict_pb2.PredictRequest(output_filter=only)
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request


def predict(server, *arguments, **keywords):
    import tensorflow as tf

    response = server.prediction.Predict(predict_request(*arguments, **keywords), SECONDS)
    return response.model_spec, {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


FLOAT = np.array([2.0], np.float32)


@case(
    "predict_impl_test: PredictionSuccess",
    "predict_util_test: PredictionSuccess",
    "tensorflow_model_server_test: testPredictSavedModel",
    "tensorflow_model_server_test: testGoodModelConfig",
)
def test_grpc_predict(classic):
    spec, outputs = predict(classic, "half_plus_two", x=FLOAT)
    assert (spec.name, spec.signature_name, spec.version.value) == ("half_plus_two", "serving_default", 124)
    assert {k: v.tolist() for k, v in outputs.items()} == {"y": [3.0]}
    assert predict(classic, "half_plus_three", x=np.float32(2))[1]["y"] == 4.0
    assert {*predict(classic, "half_plus_two", only=["y"], x=FLOAT)[1]} == {"y"}


@case(
    "predict_impl_test: PredictionWithNamedRegressionSignature",
    "predict_util_test: PredictionWithNamedRegressionSignature",
    "predict_impl_test: PredictionWithNamedClassificationSignature",
    "predict_util_test: PredictionWithNamedClassificationSignature",
)
def test_predict_with_a_signature_of_another_method(classic):
    spec, outputs = predict(classic, "half_plus_two", "regress_x2_to_y3", inputs=FLOAT)
    assert spec.signature_name == "regress_x2_to_y3" and outputs["outputs"].tolist() == [4.0]
    example = np.array([examples(2.0).example_list.examples[0].SerializeToString()], object)
    assert predict(classic, "half_plus_two", "classify_x_to_y", inputs=example)[1]["scores"].tolist() == [[3.0]]


@case("predict_impl_test: PredictionWithCustomizedSignatures", "predict_util_test: PredictionWithCustomizedSignatures")
def test_state_and_signatures_without_inputs(classic):
    def output(signature, **inputs):
        spec, outputs = predict(classic, "counter", signature, **inputs)
        assert spec.signature_name == signature
        return float(outputs["output"])

    assert output("reset_counter") == 0
    assert [output("incr_counter"), output("incr_counter"), output("get_counter")] == [1, 2, 2]
    assert [output("incr_counter_by", delta=np.float32(3)), output("reset_counter")] == [5, 0]
    assert answer(classic, "counter", {"signature_name": "incr_counter_by", "inputs": 2.0}) == {"outputs": 2.0}
    assert "no inputs" in refused(classic, "counter", {"signature_name": "get_counter", "inputs": []})


@case(
    "predict_impl_test: MissingOrEmptyModelSpec",
    "predict_util_test: MissingOrEmptyModelSpec",
    "predict_impl_test: EmptyInputList",
    "predict_util_test: EmptyInputList",
    "predict_impl_test: InputTensorsDontMatchModelSpecInputs",
    "predict_util_test: InputTensorsDontMatchModelSpecInputs",
    "predict_impl_test: InputTensorsHaveWrongType",
    "predict_util_test: InputTensorsHaveWrongType",
    "predict_util_test: PredictionInvalidTensor",
    "predict_impl_test: OutputFiltersDontMatchModelSpecOutputs",
    "predict_util_test: OutputFiltersDontMatchModelSpecOutputs",
)
def test_predictions_that_are_wrong(classic):
    for request, message in (
        (predict_pb2.PredictRequest(), ""),
        (predict_request(""), "model"),
        (predict_request("half_plus_two"), "x"),
        (predict_request("half_plus_two", unknown_key1=FLOAT, unknown_key2=FLOAT), "unknown_key1, unknown_key2"),
        (predict_request("half_plus_two", x=np.array(["a"], object)), "float"),
        (predict_request("half_plus_two", x=np.array([True])), "float"),
        (predict_request("half_plus_two", only=["output_tensor_alias"], x=FLOAT), "output_tensor_alias"),
        (predict_request("half_plus_two", only=["y", "y"], x=FLOAT), "y"),
    ):
        code, text = refusal(classic.prediction.Predict, request)
        assert code == grpc.StatusCode.INVALID_ARGUMENT and message in text


@case("predict_util_test: ModelMissingSignatures")
def test_a_signature_that_is_not_there(classic):
    code, text = refusal(classic.prediction.Predict, predict_request("counter", x=FLOAT))
    assert code == grpc.StatusCode.FAILED_PRECONDITION and "'serving_default'" in text


def test_inputs_with_a_default_may_be_left_out(classic):
    """By gRPC; REST demands every input, as TF Serving's."""
    assert predict(classic, "function", x=FLOAT)[1]["y"].tolist() == [6.0]
    assert predict(classic, "function", x=FLOAT, times=np.float32(2))[1]["y"].tolist() == [4.0]
    assert refusal(classic.prediction.Predict, predict_request("function", times=np.float32(2)))[1]
    assert "times" in refused(classic, "function", {"inputs": {"x": [1.0]}})


@case(
    "get_model_metadata_impl_test: EmptyOrInvalidMetadataFieldList",
    "get_model_metadata_impl_test: MissingOrEmptyModelSpec",
    "tensorflow_model_server_test: testGetModelMetadata",
)
def test_grpc_metadata(classic):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    assert refusal(classic.prediction.GetModelMetadata, request)[0] == grpc.StatusCode.INVALID_ARGUMENT
    request.model_spec.signature_name = "x"
    assert refusal(classic.prediction.GetModelMetadata, request)[0] == grpc.StatusCode.INVALID_ARGUMENT
    request.model_spec.name = "half_plus_two"
    found = classic.prediction.GetModelMetadata(request, SECONDS)
    assert found.model_spec.version.value == 124 and {*found.metadata} == {"signature_def"}
    for fields in ([], ["some_stuff"], ["signature_def", "some_stuff"]):
        request.metadata_field[:] = fields
        assert refusal(classic.prediction.GetModelMetadata, request)[0] == grpc.StatusCode.INVALID_ARGUMENT


@case(
    "get_model_status_impl_test: MissingOrEmptyModelSpecFailure",
    "get_model_status_impl_test: InvalidModelNameFailure",
    "get_model_status_impl_test: InvalidModelVersionFailure",
    "get_model_status_impl_test: AllVersionsSuccess",
    "get_model_status_impl_test: SingleVersionSuccess",
    "tensorflow_model_server_test: testGetModelStatus",
)
def test_grpc_status(classic):
    request = get_model_status_pb2.GetModelStatusRequest()
    assert refusal(classic.models.GetModelStatus, request)[0] == grpc.StatusCode.INVALID_ARGUMENT
    request.model_spec.name = "foo"
    assert refusal(classic.models.GetModelStatus, request)[0] == grpc.StatusCode.NOT_FOUND
    request.model_spec.name = "half_plus_two"
    found = classic.models.GetModelStatus(request, SECONDS).model_version_status
    assert {(v.version, v.status.error_code) for v in found} == {(123, 0), (124, 0)}
    request.model_spec.version.value = 123
    assert [v.version for v in classic.models.GetModelStatus(request, SECONDS).model_version_status] == [123]
    request.model_spec.version.value = 9
    assert refusal(classic.models.GetModelStatus, request)[0] == grpc.StatusCode.NOT_FOUND


# -- gRPC: Classify, Regress, MultiInference --------------------------------------------------------------------------


def examples(*xs, context: dict | None = None, **features) -> input_pb2.Input:
    """One tf.Example for each x, after what they share; or one of these features."""
    found = input_pb2.Input()
    target = found.example_list if context is None else found.example_list_with_context
    for name, value in (context or {}).items():
        found.example_list_with_context.context.features.feature[name].float_list.value.append(value)
    for x in xs:
        example = target.examples.add()
        if x is not None:
            example.features.feature["x"].float_list.value.append(x)
    for row in zip(*features.values(), strict=True):
        example = target.examples.add()
        for name, values in zip(features, row, strict=True):
            if isinstance(values[0], str):
                example.features.feature[{"labels": "class"}[name]].bytes_list.value.extend(v.encode() for v in values)
            else:
                example.features.feature[name].float_list.value.extend(values)
    return found


LABELLED = {"labels": [["dos", "uno"], ["cuatro", "tres"]], "output": [[2.0, 1.0], [4.0, 3.0]]}


def classify(server, given, signature="", model="classes"):
    request = classification_pb2.ClassificationRequest(input=given)
    request.model_spec.name, request.model_spec.signature_name = model, signature
    response = server.prediction.Classify(request, SECONDS)
    assert response.model_spec.signature_name == (signature or "serving_default") and response.model_spec.version.value
    return [[(c.label, c.score) for c in row.classes] for row in response.result.classifications]


def regress(server, given, signature="regress", model="classes"):
    request = regression_pb2.RegressionRequest(input=given)
    request.model_spec.name, request.model_spec.signature_name = model, signature
    response = server.prediction.Regress(request, SECONDS)
    assert response.model_spec.signature_name == signature and response.model_spec.version.value
    return [one.value for one in response.result.regressions]


def infer_error(call, *arguments) -> str:
    with pytest.raises(grpc.RpcError) as raised:
        call(*arguments)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    return raised.value.details()


@case(
    "classifier_test: ExampleList",
    "classifier_test: ClassesOnly",
    "classifier_test: ScoresOnly",
    "classifier_test: ZeroScoresArePresent",
    "classifier_test: ValidNamedSignature",
    "classification_service_test: ClassificationSuccess",
)
def test_classes_and_scores(classic):
    given = examples(**LABELLED)
    assert classify(classic, given) == [[("dos", 2), ("uno", 1)], [("cuatro", 4), ("tres", 3)]]
    assert classify(classic, given, "classes") == [[("dos", 0), ("uno", 0)], [("cuatro", 0), ("tres", 0)]]
    assert classify(classic, given, "scores") == [[("", 2), ("", 1)], [("", 4), ("", 3)]]
    zeros = examples(labels=[["minus", "zero", "one"]], output=[[-1.0, 0.0, 1.0]])
    assert classify(classic, zeros) == [[("minus", -1), ("zero", 0), ("one", 1)]]


@case(
    "classifier_test: ExampleListWithContext",
    "classifier_test: ExampleListWithContext_DuplicateFeatures",
    "regressor_test: BasicExampleListWithContext",
)
def test_a_context_is_part_of_each_example(classic):
    """The example's own feature wins."""
    assert classify(classic, examples(None, None, context={"x": 2.0}), "classify_x_to_y", "half_plus_two") == [
        [("", 3)],
        [("", 3)],
    ]
    assert regress(classic, examples(4.0, None, context={"x": 2.0}), "regress_x_to_y", "half_plus_two") == [4, 3]


CLASSIFY_WRONG = [
    ("none", "'none'"),
    ("no_outputs", "'classes' or 'scores'"),
    ("other_input", "the one input 'inputs'"),
    ("regress", "cannot classify"),
    ("short_classes", "shape"),
    ("short_scores", "shape"),
    ("vector", "shape"),
    ("wrong_classes", "strings"),
    ("wrong_scores", "floats"),
    ("mismatched", "one shape"),
]


@case(
    "classifier_test: InvalidNamedSignature",
    "classifier_test: MalformedScores",
    "classifier_test: MissingClassificationSignature",
    "classifier_test: ClassesIncorrectTensorBatchSize",
    "classifier_test: ClassesIncorrectTensorType",
    "classifier_test: ScoresIncorrectTensorBatchSize",
    "classifier_test: ScoresIncorrectTensorType",
    "classifier_test: MismatchedNumberOfTensorClasses",
    "classification_service_test: InvalidSignature",
)
@pytest.mark.parametrize(("signature", "message"), CLASSIFY_WRONG)
def test_signatures_that_do_not_classify(classic, signature, message):
    assert message in infer_error(classify, classic, examples(**LABELLED), signature)


@case(
    "classifier_test: EmptyInput",
    "classifier_test: EmptyExampleList",
    "classifier_test: EmptyExampleListWithContext",
    "regressor_test: EmptyInput",
    "regressor_test: EmptyExampleList",
    "regressor_test: EmptyExampleListWithContext",
)
def test_no_examples(classic):
    empty = input_pb2.Input()
    empty.example_list.SetInParent()
    for given in (input_pb2.Input(), empty, examples(context={"x": 1.0})):
        assert "input is empty" in infer_error(classify, classic, given)
        assert "input is empty" in infer_error(regress, classic, given)


@case(
    "regressor_test: BasicExampleList",
    "regressor_test: ValidNamedSignature",
    "regression_service_test: RegressionSuccess",
)
def test_grpc_regress(classic):
    given = examples(**LABELLED)
    assert regress(classic, given) == regress(classic, given, "regress_vector") == [2, 4]
    assert regress(classic, examples(2.0, 4.0), "regress_x_to_y2", "half_plus_two") == [4, 5]


REGRESS_WRONG = [
    ("none", "'none'"),
    ("regress_other", "the one output 'outputs'"),
    ("scores", "cannot regress"),
    ("regress_wide", "shape"),
    ("regress_short", "shape"),
    ("regress_strings", "float"),
]


@case(
    "regressor_test: InvalidNamedSignature",
    "regressor_test: MalformedOutputs",
    "regressor_test: UnexpectedOutputTensorSize",
    "regressor_test: UnexpectedOutputTensorType",
    "regressor_test: MissingRegressionSignature",
    "regression_service_test: InvalidSignature",
)
@pytest.mark.parametrize(("signature", "message"), REGRESS_WRONG)
def test_signatures_that_do_not_regress(classic, signature, message):
    assert message in infer_error(regress, classic, examples(**LABELLED), signature)


@case("classification_service_test: InvalidModelSpec", "regression_service_test: InvalidModelSpec")
def test_examples_of_no_model(classic):
    for request, call in (
        (classification_pb2.ClassificationRequest(), classic.prediction.Classify),
        (regression_pb2.RegressionRequest(), classic.prediction.Regress),
    ):
        assert refusal(call, request)[0] == grpc.StatusCode.INVALID_ARGUMENT
        request.model_spec.name = "none"
        request.input.CopyFrom(examples(1.0))
        assert refusal(call, request)[0] == grpc.StatusCode.NOT_FOUND


@case(
    "tensorflow_model_server_test: testClassify",
    "tensorflow_model_server_test: testRegress",
)
def test_classify_and_regress(classic):
    assert classify(classic, examples(2.0), "classify_x_to_y", "half_plus_two") == [[("", 3)]]
    assert regress(classic, examples(2.0), "regress_x_to_y", "half_plus_two") == [3]


def multi(*tasks, xs=(2.0,), model="half_plus_two") -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest(input=examples(*xs))
    for signature, method in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = model, signature
    return request


REGRESS_Y, REGRESS_Y2 = ("regress_x_to_y", "regress"), ("regress_x_to_y2", "regress")


@case(
    "multi_inference_test: ValidSingleSignatureTest",
    "multi_inference_helper_test: ValidSingleSignatureTest",
    "multi_inference_test: MultipleValidRegressSignaturesTest",
    "multi_inference_helper_test: MultipleValidRegressSignaturesTest",
    "multi_inference_test: RegressAndClassifySignaturesTest",
    "multi_inference_helper_test: RegressAndClassifySignaturesTest",
    "tensorflow_model_server_test: testMultiInference",
)
def test_multi_inference(classic):
    request = multi(REGRESS_Y, REGRESS_Y2, ("classify_x_to_y", "classify"), xs=(2.0, 4.0))
    results = classic.prediction.MultiInference(request, SECONDS).results
    assert [r.model_spec.signature_name for r in results] == [t.model_spec.signature_name for t in request.tasks]
    assert {r.model_spec.version.value for r in results} == {124}
    assert [[r.value for r in result.regression_result.regressions] for result in results[:2]] == [[3, 4], [4, 5]]
    assert [[c.score for c in row.classes] for row in results[2].classification_result.classifications] == [[3], [4]]
    assert len(classic.prediction.MultiInference(multi(REGRESS_Y), SECONDS).results) == 1


@case(
    "multi_inference_test: MissingInputTest",
    "multi_inference_helper_test: MissingInputTest",
    "multi_inference_test: UndefinedSignatureTest",
    "multi_inference_helper_test: UndefinedSignatureTest",
    "multi_inference_test: InconsistentModelSpecsInRequestTest",
    "multi_inference_helper_test: InconsistentModelSpecsInRequestTest",
    "multi_inference_test: EvaluateDuplicateSignaturesTest",
    "multi_inference_helper_test: EvaluateDuplicateSignaturesTest",
    "multi_inference_test: UsupportedSignatureTypeTest",
    "multi_inference_helper_test: UsupportedSignatureTypeTest",
)
def test_multi_inference_that_is_wrong(classic):
    other = multi(REGRESS_Y, REGRESS_Y2)
    other.tasks[1].model_spec.name = "other"
    for request, code, message in (
        (inference_pb2.MultiInferenceRequest(), "INVALID_ARGUMENT", "at least one"),
        (multi(REGRESS_Y, xs=()), "INVALID_ARGUMENT", "input is empty"),
        (multi(("ImaginarySignature", "regress")), "INVALID_ARGUMENT", "ImaginarySignature"),
        (other, "INVALID_ARGUMENT", "the same model"),
        (multi(REGRESS_Y, REGRESS_Y), "INVALID_ARGUMENT", "once"),
        (multi(("serving_default", "predict")), "UNIMPLEMENTED", "tensorflow/serving/predict"),
        (multi(REGRESS_Y, model="none"), "NOT_FOUND", "none"),
    ):
        found, text = refusal(classic.prediction.MultiInference, request)
        assert found.name == code and message in text


# -- other files ------------------------------------------------------------------------------------------------------


@case(
    "tensorflow_model_server_test: testPredictOnTfLite",
    "tensorflow_model_server_test: testPredictWithSignatureDefOnTfLite",
)
def test_tflite_versions(classic):
    for target in ("/versions/1", ""):
        found = answer(classic, "lite", {"instances": [[1.0], [2.0], [5.0]]}, "predict", target)
        assert found == {"predictions": [[2.5], [3.0], [4.5]]}
    assert "float" in refused(classic, "lite", {"instances": [["a"]]})


@case(
    "tensorflow_model_server_test: testClassifyTf2",
    "tensorflow_model_server_test: testRegressTf2",
    "tensorflow_model_server_test: testMultiInferenceTf2",
    "tensorflow_model_server_test: test_tf_saved_model_save",
    "tensorflow_model_server_test: test_tf_saved_model_save_multiple_signatures",
    "tensorflow_model_server_test: test_sequential_keras_saved_model_save",
    "tensorflow_model_server_test: test_distrat_sequential_keras_saved_model_save",
)
def test_saved_models_of_tensorflow_2(tmp_path):
    """Functions of examples, of any shape, and Keras models."""
    import keras
    import tensorflow as tf

    module = tf.Module()
    module.factor = tf.Variable(0.5)

    def y_of(inputs):
        return module.factor * tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"] + 2.0

    def signature(key):
        return tf.function(lambda inputs: {key: y_of(inputs)}, [tf.TensorSpec([None], tf.string, "inputs")])

    functions = {
        "regress_x_to_y": signature("outputs"),
        "classify_x_to_y": signature("scores"),
        "serving_default": tf.function(lambda x: {"y": 1.0 + 0.0 * x}, [tf.TensorSpec(None, tf.float32, "x")]),
        "custom": tf.function(lambda x: {"y": 2.0 * x}, [tf.TensorSpec(None, tf.float32, "x")]),
    }
    tf.saved_model.save(module, str(tmp_path / "half_plus_two" / "1"), signatures=functions)
    model = keras.Sequential([keras.Input([1], name="x"), keras.layers.Dense(1, kernel_initializer="ones")])
    model.export(str(tmp_path / "keras" / "00000123"), verbose=False)
    maps = keras.Sequential([keras.Input([8, 8, 3], name="x"), keras.layers.Conv2D(3, 3)])
    maps.export(str(tmp_path / "maps" / "1"), verbose=False)
    with running(tmp_path) as server:
        assert classify(server, examples(2.0), "classify_x_to_y", "half_plus_two") == [[("", 3)]]
        assert regress(server, examples(2.0), "regress_x_to_y", "half_plus_two") == [3]
        request = multi(REGRESS_Y, ("classify_x_to_y", "classify"))
        assert len(server.prediction.MultiInference(request, SECONDS).results) == 2
        assert answer(server, "half_plus_two", {"instances": [2.0]}) == {"predictions": [1.0]}
        assert answer(server, "half_plus_two", {"signature_name": "custom", "inputs": 2.0}) == {"outputs": 4.0}
        assert answer(server, "keras", {"instances": [[2.0]]}) == {"predictions": [[2.0]]}
        for body in ({"instances": [[]]}, {"instances": [[[[]]]]}, {"inputs": []}):  # would end the process
            assert "must have shape [-1,8,8,3]" in refused(server, "maps", body)


@pytest.mark.parametrize(
    ("stated", "shape", "taken"),
    [
        (None, (2, 3), True),
        ((None, 1), (3,), True),  # half_plus_two
        ((None, None), (), True),
        ((), (2, 3, 4), True),
        ((None, 4), (3,), False),
        ((2, 4), (3, 4), True),
        ((None, 8, 8, 1), (0, 8, 8, 1), True),
        ((None, 8, 8, 1), (1, 8, 8, 3), False),
        ((None, None, None, 1), (2, 0, 5, 1), True),
        ((None, None, None, 1), (1, 0), False),
        ((None, None, 1), (3,), False),
    ],
)
def test_shapes_that_a_graph_may_take(stated, shape, taken):
    assert TensorInfo(types_pb2.DT_FLOAT, stated).may_take(shape) == taken


@case(
    "prometheus_exporter_test: Counter",
    "prometheus_exporter_test: Gauge",
    "prometheus_exporter_test: Histogram",
    "prometheus_exporter_test: SanitizeLabelValue",
    "tensorflow_model_server_test: testPrometheusEndpoint",
)
def test_metrics_under_tf_servings_names(tmp_path):
    classic_models.save_v1(tmp_path / "m" / "1", classic_models.half_plus_two)
    with running(tmp_path) as server:
        answer(server, "m", {"instances": [2.0]})
        refused(server, "m", {"instances": ["x"]})
        regress(server, examples(2.0, 3.0), "regress_x_to_y", "m")
        text = server.http.get("/monitoring/prometheus/metrics").text
    assert "# TYPE :tensorflow:serving:request_count counter\n" in text
    assert "# TYPE :tensorflow:serving:request_latency histogram\n" in text
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 2.0\n' in text
    assert ':tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 1.0\n' in text
    found = {
        (sample.name.removeprefix(":tensorflow:serving:"), *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    name = ("model_name", "m")
    for api, entry in (("predict", "REST"), ("Regress", "GRPC")):
        labels = (("API", api), ("entrypoint", entry), name)
        assert found["request_latency_count", *labels] == 1  # of requests that succeed alone
        assert 0 < found["request_latency_sum", *labels] < 1e6 * SECONDS  # microseconds
        assert found["request_latency_bucket", *sorted((*labels, ("le", "+Inf")))] == 1
    assert found["runtime_latency_count", ("API", "Predict"), name, ("runtime", "TF1")] == 1
    assert found["request_example_counts_sum", ("model", "m")] == 2
    assert found["request_example_count_total", ("model", "m")] == 2
    odd = Metrics()
    odd.count_examples('a "b" \\c', 1)
    assert r':tensorflow:serving:request_example_count_total{model="a \"b\" \\c"} 1.0' in odd.text().decode()


# -- recorded requests ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """half_plus_two in memory."""
    from kgen.serve.models import LoadedModel

    path = tmp_path_factory.mktemp("warm") / "1"
    classic_models.save_v1(path, classic_models.half_plus_two)
    return LoadedModel(path)


def replay(model, *records: bytes) -> int:
    import tensorflow as tf

    from kgen.config import RequestLimits
    from kgen.serve.models import WARMUP_FILE, warm_up

    file = model.path / WARMUP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record)
    try:
        return warm_up(model, RequestLimits())
    finally:
        file.unlink()


def recorded(**logs) -> bytes:
    ((kind, request),) = logs.items()
    log = prediction_log_pb2.PredictionLog()
    getattr(log, kind).request.CopyFrom(request)
    return log.SerializeToString()


@case(
    "saved_model_warmup_test: MixedWarmupData",
    "saved_model_warmup_util_test: NoWarmupDataFile",
    "saved_model_warmup_util_test: WarmupDataFileEmpty",
    "saved_model_warmup_util_test: RunSuccess",
)
def test_recorded_requests_of_every_kind(loaded):
    from kgen.config import RequestLimits
    from kgen.serve.models import warm_up

    assert warm_up(loaded, RequestLimits()) == 0 and replay(loaded) == 0
    regression = regression_pb2.RegressionRequest(input=examples(1.0))
    regression.model_spec.signature_name = "regress_x_to_y"
    classification = classification_pb2.ClassificationRequest(input=examples(1.0))
    classification.model_spec.signature_name = "classify_x_to_y"
    assert (
        replay(
            loaded,
            recorded(predict_log=predict_request("m", x=FLOAT)),
            recorded(regress_log=regression),
            recorded(classify_log=classification),
            recorded(multi_inference_log=multi(REGRESS_Y, ("classify_x_to_y", "classify"))),
        )
        == 4
    )


@case(
    "saved_model_warmup_test: UnsupportedLogType_SessionRun",
    "saved_model_warmup_test: UnsupportedLogType_PredictStreamed",
    "saved_model_warmup_util_test: TooManyWarmupRecords",
    "saved_model_warmup_util_test: UnparsableRecord",
    "saved_model_warmup_util_test: RunFailure",
)
def test_recorded_requests_that_fail(loaded):
    from kgen.serve.validation import ServingError

    session = prediction_log_pb2.PredictionLog(session_run_log=prediction_log_pb2.SessionRunLog())
    streamed = prediction_log_pb2.PredictionLog(predict_streamed_log=prediction_log_pb2.PredictStreamedLog())
    good = recorded(predict_log=predict_request("m", x=FLOAT))
    for records, code in (
        ([session.SerializeToString()], "UNIMPLEMENTED"),
        ([streamed.SerializeToString()], "UNIMPLEMENTED"),
        ([good] * 1001, "INVALID_ARGUMENT"),
        ([b"\xff\xff"], "INVALID_ARGUMENT"),
        ([recorded(predict_log=predict_request("m", z=FLOAT))], "INVALID_ARGUMENT"),
    ):
        with pytest.raises(ServingError) as raised:
            replay(loaded, *records)
        assert raised.value.code.name == code
