"""Requests and answers <-> NumPy arrays: JSON in TF Serving's row and column formats, and TensorProto for gRPC.

Rows: {"instances": [a row, ...]} -> {"predictions": [a row, ...]}. Columns: {"inputs": {name: tensor}} -> {"outputs":
{name: tensor}}. The name is left out where there is a single input or output. Strings of bytes are {"b64": base64}.
https://www.tensorflow.org/tfx/serving/api_rest#encoding_binary_values
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import orjson
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from kgen.config import RequestLimits
from kgen.serve.validation import Code, ServingError, Signature, TensorInfo, body_too_large, invalid

# JSON requests --------------------------------------------------------------------------------------------------------

FLOATS = {types_pb2.DT_FLOAT: np.float32, types_pb2.DT_DOUBLE: np.float64}
INTEGERS = {
    types_pb2.DT_INT8,
    types_pb2.DT_INT16,
    types_pb2.DT_INT32,
    types_pb2.DT_INT64,
    types_pb2.DT_UINT8,
    types_pb2.DT_UINT32,
    types_pb2.DT_UINT64,
}
JSON_TYPES = {*FLOATS, *INTEGERS, types_pb2.DT_BOOL, types_pb2.DT_STRING}
EXCERPT_CHARACTERS = 300


def parse_json(body: bytes) -> dict[str, Any]:
    """The JSON object in the body of a request."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"the body must be JSON: {error.msg} at position {error.pos}") from error
    if not isinstance(request, dict):
        raise invalid(f"the body must be a JSON object. Received: {_excerpt(request)}")
    return request


def signature_name(request: Mapping[str, Any]) -> str:
    """The signature that a request names; "" if none."""
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(f"'signature_name' must be a string. Received: {_excerpt(name)}")
    return name


def decode_json(request: Mapping[str, Any], signature: Signature) -> tuple[dict[str, np.ndarray], bool]:
    """The inputs of a request by name, and whether it is in the row format.

    Raises:
        ServingError: the request has another form than the signature.
    """
    if not signature.inputs:
        raise invalid(f"signature '{signature.name}' has no inputs: it cannot be called by REST")
    if ("instances" in request) == ("inputs" in request):
        raise invalid(f"a request needs either 'instances' or 'inputs'. Received the keys: {_excerpt(list(request))}")
    if "instances" in request:
        return _decode_rows(request["instances"], signature), True
    return _decode_columns(request["inputs"], signature), False


def _decode_rows(instances: Any, signature: Signature) -> dict[str, np.ndarray]:
    if not isinstance(instances, list) or not instances:
        raise invalid(f"'instances' must be a list of at least one row. Received: {_excerpt(instances)}")
    names = sorted(signature.inputs)
    named = len(names) > 1 or _is_object(instances[0])
    for number, row in enumerate(instances):
        if _is_object(row) != named or (named and row.keys() != signature.inputs.keys()):
            expected = f"an object with the keys {', '.join(names)}" if named else "a value without a name"
            raise invalid(f"row {number} of 'instances' must be {expected}. Received: {_excerpt(row)}")
    columns = {name: [row[name] for row in instances] for name in names} if named else {names[0]: instances}
    return {name: _tensor(name, rows, signature, Code.INVALID_ARGUMENT) for name, rows in columns.items()}


def _decode_columns(inputs: Any, signature: Signature) -> dict[str, np.ndarray]:
    if not _is_object(inputs):
        if len(signature.inputs) > 1:
            names = ", ".join(sorted(signature.inputs))
            raise invalid(f"'inputs' must be an object with the keys {names}. Received: {_excerpt(inputs)}")
        inputs = dict.fromkeys(signature.inputs, inputs)
    if missing := [name for name in signature.inputs if name not in inputs]:
        raise invalid(f"{signature.describe_input(missing[0])} is missing. Received: {_excerpt(list(inputs))}")
    return {name: _tensor(name, inputs[name], signature, Code.UNIMPLEMENTED) for name in signature.inputs}


def _tensor(name: str, value: Any, signature: Signature, code_of_type: Code) -> np.ndarray:
    """The array of an input; `code_of_type` is the error of a type that JSON has no form for."""
    info, shape = signature.inputs[name], _shape_of_first(value)
    if info.dtype not in JSON_TYPES:
        message = f"{signature.describe_input(name)} has type {info.type_name}, which JSON cannot carry: call by gRPC"
        raise ServingError(code_of_type, f"{message}. Received: {_excerpt(value)}")
    if (array := _convert(value, shape, info)) is not None:
        return array
    place, wrong = _first_misfit(value, shape, info)
    where = "".join(f"[{i}]" for i in place)
    what = f"{signature.describe_input(name)} must be {info.type_name} values in nested lists of equal lengths"
    raise invalid(f"{what}. Received{' at ' + where if where else ''}: {_excerpt(wrong)}")


def _shape_of_first(value: Any) -> tuple[int, ...]:
    """The shape that the first element at each level of nested lists implies."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _convert(value: Any, shape: tuple[int, ...], info: TensorInfo) -> np.ndarray | None:
    """The array, flattened level by level; None if any value has another shape or type, or loses precision."""
    flat = [value]
    for size in shape:
        if not {*map(type, flat)} <= {list} or any(len(part) != size for part in flat):
            return None
        flat = list(chain.from_iterable(flat))
    types = {*map(type, flat)}
    if info.dtype in FLOATS and types <= {int, float}:
        values, limits = np.array(flat, np.float64), np.finfo(FLOATS[info.dtype])
        exact = int not in types or not any(type(x) is int and abs(x) >= 2 ** (limits.nmant + 1) for x in flat)
        return values.astype(FLOATS[info.dtype]).reshape(shape) if exact and (abs(values) <= limits.max).all() else None
    if info.dtype in INTEGERS and types <= {int}:
        bounds = np.iinfo(info.numpy_dtype)
        if flat and (min(flat) < bounds.min or max(flat) > bounds.max):
            return None
        return np.array(flat, info.numpy_dtype).reshape(shape)
    if info.dtype == types_pb2.DT_BOOL and types <= {bool}:
        return np.array(flat, bool).reshape(shape)
    if info.dtype == types_pb2.DT_STRING and types <= {str, dict}:
        values = np.empty(len(flat), object)
        values[:] = [_to_bytes(x) for x in flat]
        return values.reshape(shape)
    return None


def _first_misfit(value: Any, shape: tuple[int, ...], info: TensorInfo, place: tuple[int, ...] = ()):
    """(indices, value) of the first part of a value that has another shape or type; None if there is none."""
    if not shape:
        return None if _convert(value, (), info) is not None else (place, value)
    if not isinstance(value, list) or len(value) != shape[0]:
        return place, value
    parts = (_first_misfit(part, shape[1:], info, (*place, i)) for i, part in enumerate(value))
    return next((found for found in parts if found is not None), None)


def _to_bytes(value: str | dict) -> bytes:
    if isinstance(value, str):
        return value.encode()
    try:
        if not _is_base64(value):
            raise ValueError("other keys")
        text = "".join(value["b64"].split()).rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f'bytes must be a string or {{"b64": base64}}. Received: {_excerpt(value)}') from error


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    """Whether a value holds inputs by name."""
    return isinstance(value, dict) and not _is_base64(value)


def _excerpt(value: Any) -> str:
    """The start of a value, for messages."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= EXCERPT_CHARACTERS else text[:EXCERPT_CHARACTERS] + "..."


# JSON answers ---------------------------------------------------------------------------------------------------------


def encode_json(outputs: Mapping[str, np.ndarray], by_rows: bool) -> bytes:
    """The body of an answer: a single output without its name, several by name, `*_bytes` as base64.

    Args:
        outputs: by name.
        by_rows: in the row format, for which each output is a batch of the same size.

    Raises:
        ServingError: an output has no batch (row format), or a type that JSON cannot carry.
    """
    values = {name: _json_value(name, array) for name, array in sorted(outputs.items())}
    if not by_rows:
        return _dump({"outputs": values if len(values) > 1 else next(iter(values.values()))}, outputs)
    sizes = {name: len(array) if array.ndim else None for name, array in outputs.items()}
    if None in sizes.values() or len({*sizes.values()}) > 1:
        raise invalid(f"the outputs are no batch of rows (sizes: {sizes}): call with 'inputs' instead of 'instances'")
    if len(values) == 1:
        return _dump({"predictions": next(iter(values.values()))}, outputs)
    count = next(iter(sizes.values()))
    return _dump({"predictions": [{name: values[name][row] for name in values} for row in range(count)]}, outputs)


def _json_value(name: str, array: np.ndarray) -> Any:
    """A value that orjson writes; float32 with as many digits as it takes to read the same number back."""
    if array.dtype == object:
        write = _b64 if name.endswith("_bytes") else lambda value: _utf8(name, value)
        return np.frompyfunc(write, 1, 1)(array).tolist() if array.ndim else write(array.item())
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:
        raise invalid(f"output '{name}' has type {array.dtype.name}, which JSON cannot carry: call by gRPC")
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _utf8(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"output '{name}' is not UTF-8; the name of an output of bytes must end in _bytes") from error


def _dump(values: Any, outputs: Mapping[str, np.ndarray]) -> bytes:
    floats = [array for array in outputs.values() if array.dtype.kind == "f"]
    if all(np.isfinite(array).all() for array in floats):
        return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(values, default=lambda array: array.tolist()).encode()  # NaN and Infinity, as TF Serving


# gRPC -----------------------------------------------------------------------------------------------------------------

VALUE_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_STRING: "string_val",
}


def decode_proto(
    tensors: Mapping[str, tensor_pb2.TensorProto], signature: Signature, limits: RequestLimits
) -> dict[str, np.ndarray]:
    """The inputs of a request by name.

    Raises:
        ServingError: the request has another form than the signature, or a tensor is invalid.
    """
    signature.check_names(tensors)
    given = {name: _array(name, tensor, signature, limits) for name, tensor in tensors.items()}
    return {**signature.defaults, **given}


def _array(name: str, tensor: tensor_pb2.TensorProto, signature: Signature, limits: RequestLimits) -> np.ndarray:
    """The values of an input; its form is checked before memory is allocated."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    known = tensor.dtype in types_pb2.DataType.values()
    if not known or tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise invalid(f"{signature.describe_input(name)} is not a valid tensor: unknown type or shape")
    signature.check_form(name, tensor.dtype, shape, limits.max_rows)
    if math.prod(shape) * signature.inputs[name].numpy_dtype.itemsize > limits.max_body_bytes:
        raise body_too_large(limits.max_body_bytes)
    try:
        return tf.make_ndarray(tensor).reshape(shape)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise invalid(f"{signature.describe_input(name)} is not a valid tensor: {error}") from error


def encode_proto(values: np.ndarray, dtype: int) -> tensor_pb2.TensorProto:
    """A tensor with its values in the field of their type (`float_val`, ...) as TF Serving answers, not raw bytes."""
    if dtype not in VALUE_FIELDS:
        return tf.make_tensor_proto(values, dtype=dtype)
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, VALUE_FIELDS[dtype]).extend(values.ravel().tolist())
    return tensor
