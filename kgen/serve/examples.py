"""Classify, Regress and MultiInference: signatures that take tf.Examples, by gRPC and REST, as TF Serving has them.

https://www.tensorflow.org/tfx/serving/api_rest#classify_and_regress_api; the checks are those of TF Serving's
classifier.cc and regressor.cc.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from kgen.config import RequestLimits
from kgen.serve.codec import _excerpt as excerpt
from kgen.serve.codec import _to_bytes as to_bytes
from kgen.serve.validation import Code, ServingError, Signature, body_too_large, invalid

INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"
CLASSIFY, REGRESS = "classify", "regress"
METHODS = {f"tensorflow/serving/{method}": method for method in (CLASSIFY, REGRESS)}

Arrays = Mapping[str, np.ndarray]


def check_method(signature: Signature, method: str):
    """Raises ServingError unless a signature has the inputs and outputs of a method."""
    if method == CLASSIFY:
        fits = len(signature.outputs) in (1, 2) and {CLASSES, SCORES} & {*signature.outputs}
        expected = f"the output '{CLASSES}' or '{SCORES}', or both"
    else:
        fits, expected = {*signature.outputs} == {OUTPUTS}, f"the one output '{OUTPUTS}'"
    if {*signature.inputs} != {INPUTS} or not fits:
        raise invalid(
            f"signature '{signature.name}' ({signature.method_name}) cannot {method}: it must have the one input "
            f"'{INPUTS}' and {expected}"
        )
    if signature.inputs[INPUTS].dtype != types_pb2.DT_STRING:
        raise invalid(f"{signature.describe_input(INPUTS)} must take strings, which are serialized tf.Examples")


def serialized(examples: input_pb2.Input, limits: RequestLimits) -> np.ndarray:
    """The examples of a request, each after the context that they share, so that its own features win.

    Returns:
        [B] bytes.
    """
    kind = examples.WhichOneof("kind")
    given = getattr(examples, kind) if kind else None
    if given is None or not given.examples:
        raise invalid("the input is empty; give at least one example")
    if len(given.examples) > limits.max_rows:
        raise invalid(f"there may be at most {limits.max_rows} examples (--max_rows). Received: {len(given.examples)}")
    context = given.context.SerializeToString() if kind == "example_list_with_context" else b""
    if len(context) * len(given.examples) > limits.max_body_bytes:
        raise body_too_large(limits.max_body_bytes)
    values = np.empty(len(given.examples), object)
    values[:] = [context + example.SerializeToString() for example in given.examples]
    return values


# Results --------------------------------------------------------------------------------------------------------------


def classifications(outputs: Arrays, rows: int) -> classification_pb2.ClassificationResult:
    """Classes with labels or scores or both, a list for each example."""
    given = {name: outputs[name] for name in (CLASSES, SCORES) if name in outputs}
    for name, kind in ((CLASSES, "O"), (SCORES, "f")):
        if name in given:
            array = given[name]
            if array.ndim != 2 or len(array) != rows:
                raise invalid(f"output '{name}' must have shape [{rows}, classes]. Received: {list(array.shape)}")
            if array.dtype.kind != kind:
                raise invalid(f"output '{name}' must hold {'strings' if kind == 'O' else 'floats'}")
    if len({array.shape for array in given.values()}) > 1:
        raise invalid(f"outputs '{CLASSES}' and '{SCORES}' must have one shape")
    result = classification_pb2.ClassificationResult()
    for row in range(rows):
        found = result.classifications.add()
        for column in range(next(iter(given.values())).shape[1]):
            one = found.classes.add()
            if CLASSES in given:
                one.label = given[CLASSES][row, column]
            if SCORES in given:
                one.score = given[SCORES][row, column]
    return result


def regressions(outputs: Arrays, rows: int) -> regression_pb2.RegressionResult:
    """One number for each example."""
    array = outputs[OUTPUTS]
    if array.shape not in ((rows,), (rows, 1)):
        raise invalid(f"output '{OUTPUTS}' must have shape [{rows}] or [{rows}, 1]. Received: {list(array.shape)}")
    if array.dtype != np.float32:
        raise invalid(f"output '{OUTPUTS}' must be float. Received: {array.dtype.name}")
    result = regression_pb2.RegressionResult()
    for value in array.ravel():
        result.regressions.add().value = value
    return result


RESULTS = {CLASSIFY: classifications, REGRESS: regressions}


# JSON -----------------------------------------------------------------------------------------------------------------


def from_json(request: Mapping[str, Any]) -> input_pb2.Input:
    """The examples in the body of a REST request: {"examples": [{feature: value or list}], "context": {...}}."""
    found, examples = input_pb2.Input(), request.get("examples")
    if not isinstance(examples, list) or not examples:
        raise invalid(f"'examples' must be a list of at least one example. Received: {excerpt(request)}")
    target = found.example_list
    if "context" in request:
        target = found.example_list_with_context
        _fill(target.context, request["context"])
    for example in examples:
        _fill(target.examples.add(), example)
    return found


def _fill(example, features: Any):
    if not isinstance(features, dict):
        raise invalid(f"an example must be an object of features. Received: {excerpt(features)}")
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        field, numbers = _feature(name, values)
        feature = example.features.feature[name]
        if field:
            getattr(feature, field).value.extend(numbers)


def _feature(name: str, values: Sequence[Any]) -> tuple[str, list]:
    """(the field of tf.Feature, its values): floats, integers and booleans, or strings, but no mixture."""
    kinds = {_kind(name, value) for value in values}
    if len(kinds) > 1:
        raise invalid(f"the values of feature '{name}' must be of one type. Received: {excerpt(values)}")
    kind = kinds.pop() if kinds else ""
    if kind == "bytes_list":
        return kind, [to_bytes(value) for value in values]
    if kind == "int64_list" and not all(-(2**63) <= value < 2**63 for value in values):
        raise invalid(f"feature '{name}' has an integer beyond int64. Received: {excerpt(values)}")
    return kind, [*map(int, values)] if kind == "int64_list" else [*values]


def _kind(name: str, value: Any) -> str:
    if isinstance(value, (bool, int)):
        return "int64_list"
    if isinstance(value, float):
        return "float_list"
    if isinstance(value, (str, dict)):
        return "bytes_list"
    raise invalid(f"feature '{name}' must be numbers, booleans, strings or base64. Received: {excerpt(value)}")


def to_json(result) -> bytes:
    """{"results": [[[label, score], ...], ...]} for classes, {"results": [number, ...]} for regressions."""
    if isinstance(result, regression_pb2.RegressionResult):
        rows: list = [_shortest(one.value) for one in result.regressions]
    else:
        rows = [[[one.label, _shortest(one.score)] for one in found.classes] for found in result.classifications]
    return json.dumps({"results": rows}).encode()  # NaN and Infinity, as TF Serving


def _shortest(value: float) -> float:
    """A float32 with as many digits as it takes to read the same number back."""
    return float(str(np.float32(value)))


def unsupported(method_name: str) -> ServingError:
    """The error of a method that MultiInference does not know."""
    known = ", ".join(METHODS)
    return ServingError(Code.UNIMPLEMENTED, f"method_name must be one of {known}. Received: {method_name}")
