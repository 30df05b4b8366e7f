"""TF Serving's gRPC contract, asked with its official stubs.

Runs against a real TF Serving too: see `any_server` in conftest.py.
"""

import re

import grpc
import numpy as np
import pytest
from google.protobuf import any_pb2
from serving_case import NUMBERS, SECONDS, ask, refusal, request_of
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)
from tiny_models import LABEL, images_of, png_of


@pytest.mark.parametrize("spec", [{}, {"version": 1}, {"version_label": LABEL}])
def test_predict(any_server, spec):
    response = any_server.prediction.Predict(request_of(any_server, **spec, **NUMBERS), SECONDS)
    answered = response.model_spec
    assert (answered.name, answered.signature_name, answered.version.value) == (any_server.model, "serving_default", 1)
    images = response.outputs["images"]
    assert [dim.size for dim in images.tensor_shape.dim] == [2, 2, 2, 1]
    assert list(images.float_val) == images_of([3, 4], [7, 8]).ravel().tolist()  # not as tensor_content


def test_bytes(any_server):
    found = ask(any_server, "generate_png", **NUMBERS)
    assert found["png_bytes"].tolist() == [png_of(3, 7), png_of(4, 8)]


def test_every_type(any_server):
    row = {
        "small": np.array([-128], np.int8),
        "byte": np.array([255], np.uint8),
        "long": np.array([-(2**63)], np.int64),
        "double": np.array([0.1], np.float64),
        "flag": np.array([True]),
    }
    found = ask(any_server, "types", **row)
    for name in row:
        assert found[name].dtype == row[name].dtype
        np.testing.assert_array_equal(found[name], row[name])
    assert ask(any_server, "halves", x=np.array([0.5], np.float16))["y"].tolist() == [1.0]


def test_the_outputs_can_be_chosen(any_server):
    assert {*ask(any_server, "pair", only=["mean"], x=np.ones([1, 2], np.float32))} == {"mean"}
    wrong = request_of(any_server, "pair", only=["variance"], x=np.ones([1, 2], np.float32))
    code, text = refusal(any_server.prediction.Predict, wrong)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "variance" in text and "log_var" in text
    twice = request_of(any_server, "pair", only=["mean", "mean"], x=np.ones([1, 2], np.float32))
    code, text = refusal(any_server.prediction.Predict, twice)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "mean" in text


def with_name(server, name):
    request = request_of(server, **NUMBERS)
    request.model_spec.name = name
    return request


WRONG = [
    (lambda s: predict_pb2.PredictRequest(), "INVALID_ARGUMENT", ""),
    (lambda s: with_name(s, "none"), "NOT_FOUND", "none"),
    (lambda s: with_name(s, "../tiny"), "NOT_FOUND", "../tiny"),
    (lambda s: request_of(s, version=7, **NUMBERS), "NOT_FOUND", "7"),
    (lambda s: request_of(s, version_label="no", **NUMBERS), "INVALID_ARGUMENT", "no"),
    (lambda s: request_of(s, "no", **NUMBERS), "FAILED_PRECONDITION", "no"),
    (lambda s: request_of(s, x=1), "INVALID_ARGUMENT", "x"),
    (lambda s: request_of(s, "single", x=np.array([1], np.int32)), "INVALID_ARGUMENT", "int32"),
    (lambda s: request_of(s, "pair", x=np.ones([1, 3], np.float32)), "INVALID_ARGUMENT", ""),
    (lambda s: request_of(s, "pair", x=np.float32(1)), "INVALID_ARGUMENT", ""),
    (lambda s: request_of(s, "below_100", x=np.array([100], np.float32)), "INVALID_ARGUMENT", "x is 100 or more"),
]


@pytest.mark.parametrize(("make", "code", "text"), WRONG)
def test_wrong_requests(any_server, make, code, text):
    found = refusal(any_server.prediction.Predict, make(any_server))
    assert found[0].name == code, found
    assert text in found[1]


def test_missing_and_extra_inputs_are_named(any_server):
    request = request_of(any_server, seed=NUMBERS["seed"], z=NUMBERS["seed"], x=NUMBERS["seed"])
    code, text = refusal(any_server.prediction.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "label" in text and re.search(r"seed, ?x, ?z", text)


def test_a_tensor_that_is_none(any_server):
    request = request_of(any_server, "single", x=np.ones(2, np.float32))
    request.inputs["x"].tensor_content = b"123"
    code, text = refusal(any_server.prediction.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and re.search(r"\bx\b", text)


def test_metadata(any_server):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = any_server.model
    response = any_server.prediction.GetModelMetadata(request, SECONDS)
    assert (response.model_spec.name, response.model_spec.version.value) == (any_server.model, 1)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    packed = response.metadata["signature_def"]
    assert isinstance(packed, any_pb2.Any) and packed.Unpack(signatures)
    assert {"serving_default", "decode", "generate_png"} <= {*signatures.signature_def}
    assert signatures.signature_def["decode"].inputs["z"].name == "decode_z:0"
    del request.metadata_field[:]
    code, text = refusal(any_server.prediction.GetModelMetadata, request)
    assert code.name == "INVALID_ARGUMENT" and "metadata_field" in text
    request.metadata_field.append("colour")
    code, text = refusal(any_server.prediction.GetModelMetadata, request)
    assert code.name == "INVALID_ARGUMENT" and "colour" in text


def test_status(any_server):
    request = get_model_status_pb2.GetModelStatusRequest()
    assert refusal(any_server.models.GetModelStatus, request)[0] == grpc.StatusCode.INVALID_ARGUMENT
    request.model_spec.name = any_server.model
    found = any_server.models.GetModelStatus(request, SECONDS).model_version_status
    state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(v.version, v.state, v.status.error_code) for v in found] == [(1, state, 0)]
    request.model_spec.version.value = 7
    code, text = refusal(any_server.models.GetModelStatus, request)
    assert code.name == "NOT_FOUND" and "version 7" in text and any_server.model in text
    request.model_spec.name = "none"
    request.model_spec.ClearField("version")
    code, text = refusal(any_server.models.GetModelStatus, request)
    assert code.name == "NOT_FOUND" and "none" in text


def test_signatures_that_do_not_classify(any_server):
    for kind, call in (
        (classification_pb2.ClassificationRequest, any_server.prediction.Classify),
        (regression_pb2.RegressionRequest, any_server.prediction.Regress),
    ):
        request = kind()
        request.model_spec.name = any_server.model
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(1.0)
        code, text = refusal(call, request)
        assert code.name == "INVALID_ARGUMENT" and "tensorflow/serving/predict" in text
