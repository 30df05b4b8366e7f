"""JSON <-> NumPy in the row format ("instances") and the column format ("inputs"); TF Serving's json_tensor.cc.

A well-formed list is converted level by level; only one that is not is walked value by value, for the message.
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

from kgen.serve.validation import Code, Limits, ServingError, Signature, TensorInfo, invalid, sizes

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
JSON_TYPES = {
    type(None): "Null",
    bool: "",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}
SHOWN_CHARACTERS = 300


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a request."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    if not isinstance(values, dict):
        raise invalid(f"JSON Value: {_text(values)} Is not object")
    return values


def signature_name(request: Mapping[str, Any]) -> str:
    """The signature that a request names; "" if none."""
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {_text(request)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def inputs_of(request: Mapping[str, Any], signature: Signature) -> tuple[dict[str, np.ndarray], bool]:
    """The tensors of a request, and whether it is in the row format."""
    if not signature.inputs:
        raise invalid(f"Failed to get input map for signature: {signature.name}")
    if "instances" in request and "inputs" in request:
        what = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        raise invalid(f"JSON Value: {_text(request)} {what}")
    if "instances" in request:
        instances = request["instances"]
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {_text(request)} Excepting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {_text(request)} No values in 'instances' array")
        return _from_rows(instances, signature), True
    if "inputs" in request:
        return _from_columns(request["inputs"], signature), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _from_rows(instances: list, signature: Signature) -> dict[str, np.ndarray]:
    names = sorted(signature.inputs)
    if not isinstance(instances[0], dict) and len(names) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = _is_object(instances[0])
    for position, row in enumerate(instances):
        if named and not _is_object(row):
            raise invalid(f"Expecting object but got list at item {position} of input list")
        if not named and _is_object(row):
            raise invalid(f"Expecting value/list but got object at item {position} of input list")
        if named and row.keys() != signature.inputs.keys():
            _refuse_keys(position, row, signature)
    columns = {name: [row[name] for row in instances] for name in names} if named else {names[0]: instances}
    return {name: _column(name, rows, signature, named) for name, rows in columns.items()}


def _refuse_keys(position: int, row: dict, signature: Signature):
    for name in row:
        if name not in signature.inputs:
            raise invalid(
                f"Failed to process element: {position} key: {name} of 'instances' list. Error: INVALID_ARGUMENT: "
                f"JSON object: does not have named input: {name}"
            )
    keys = ",".join(sorted(signature.inputs))
    raise invalid(
        f"Failed to process element: {position} of 'instances' list. JSON object: {_text(row)} keys must be equal "
        f"to: {keys}"
    )


def _column(name: str, rows: list, signature: Signature, named: bool) -> np.ndarray:
    """All rows of one input."""
    info, values = signature.inputs[name], None
    shape = dense_shape(rows)
    if (values := _convert(rows, shape, info)) is not None:
        return values
    for position, row in enumerate(rows):  # which one, and why
        try:
            own = dense_shape(row)
            _walk(row, 0, own, info)
            if np.prod(own, dtype=int) != np.prod(shape[1:], dtype=int):
                raise invalid(
                    f"Expecting tensor size: {np.prod(shape[1:], dtype=int)} but got: {np.prod(own, dtype=int)}"
                )
            if own != shape[1:]:
                raise invalid(f"Expecting shape {sizes(shape[1:])} but got: {sizes(own)}")
        except ServingError as error:
            key = f" key: {name}" if named else ""
            what = f"{error.code.name}: {error}"
            raise invalid(f"Failed to process element: {position}{key} of 'instances' list. Error: {what}") from error
    raise invalid(f"Failed to process 'instances' list: {name} is no dense list of {info.type_name}")


def _from_columns(inputs: Any, signature: Signature) -> dict[str, np.ndarray]:
    if not _is_object(inputs):
        if len(signature.inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        inputs = dict.fromkeys(signature.inputs, inputs)
    arrays = {}
    for name, info in signature.inputs.items():
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        shape = dense_shape(inputs[name])
        if (values := _convert(inputs[name], shape, info)) is None:
            _walk(inputs[name], 0, shape, info)
            raise invalid(f"input {name} is no dense list of {info.type_name}")
        arrays[name] = values
    return arrays


def dense_shape(value: Any) -> tuple[int, ...]:
    """The shape that the first elements tell."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _convert(value: Any, shape: tuple[int, ...], info: TensorInfo) -> np.ndarray | None:
    """The array, or None if anything is not as the shape and the type demand."""
    flat = [value]
    for size in shape:
        if not {*map(type, flat)} <= {list} or any(len(part) != size for part in flat):
            return None
        flat = list(chain.from_iterable(flat))
    types = {*map(type, flat)}
    if info.dtype in FLOATS and types <= {int, float}:
        values = np.array(flat, np.float64)
        exact = int not in types or not any(type(x) is int and abs(x) > _largest_integer(info) for x in flat)
        return values.astype(FLOATS[info.dtype]).reshape(shape) if exact and _in_range(values, info) else None
    if info.dtype in INTEGERS and types <= {int}:
        bounds = np.iinfo(info.numpy_dtype)
        if flat and (min(flat) < bounds.min or max(flat) > bounds.max):
            return None
        return np.array(flat, info.numpy_dtype).reshape(shape)
    if info.dtype == types_pb2.DT_BOOL and types <= {bool}:
        return np.array(flat, bool).reshape(shape)
    if info.dtype == types_pb2.DT_STRING and types <= {str, dict}:
        values = np.empty(len(flat), object)
        values[:] = [_string(x) for x in flat]
        return values.reshape(shape)
    return None


def _largest_integer(info: TensorInfo) -> int:
    return 2 ** (np.finfo(FLOATS[info.dtype]).nmant + 1) - 1


def _in_range(values: np.ndarray, info: TensorInfo) -> bool:
    return bool((np.abs(values) <= np.finfo(FLOATS[info.dtype]).max).all())


def _walk(value: Any, level: int, shape: tuple[int, ...], info: TensorInfo):
    """Raises at the first value that does not belong there; json_tensor.cc, FillTensorProto."""
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid(
                f"JSON Value: {_text(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at "
                f"level: {rank}"
            )
        _check_value(value, info)
        return
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for part in value:
        _walk(part, level + 1, shape, info)


def _check_value(value: Any, info: TensorInfo):
    if info.dtype in FLOATS and type(value) in (int, float):
        lossy = type(value) is int and abs(value) > _largest_integer(info)
        if lossy or not _in_range(np.float64(value), info):
            raise invalid(f"Cannot convert JSON value: {_text(value)} to {info.type_name} without loss of precision.")
    elif _convert(value, (), info) is None:
        known = info.dtype in FLOATS or info.dtype in INTEGERS
        if known or info.dtype in (types_pb2.DT_BOOL, types_pb2.DT_STRING):
            kind = JSON_TYPES[type(value)] or str(value)
            raise invalid(f"JSON Value: {_text(value)} Type: {kind} is not of expected type: {info.type_name}")
        what = f"Conversion of JSON Value: {_text(value)} to type: {info.type_name}"
        raise ServingError(Code.UNIMPLEMENTED, what)


def _string(value: str | dict) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_text(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _text(value: Any) -> str:
    """A value as the messages show it, cut if long."""
    text = json.dumps(value, indent=4, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


# Answers json ---------------------------------------------------------------------------------------------------------
# The JSON of a prediction: "predictions" by rows or "outputs" by columns.


WRITABLE = "fiub"


def answer(outputs: Mapping[str, np.ndarray], by_rows: bool) -> bytes:
    """What TF Serving answers: one output comes bare, several under their names; `*_bytes` as b64 objects.

    Raises:
        ServingError: an output is no batch (row format), or of a type that JSON cannot tell.
    """
    values = {name: _values(name, array) for name, array in sorted(outputs.items())}
    if not by_rows:
        return _dump({"outputs": values if len(values) > 1 else next(iter(values.values()))}, outputs)
    count = None
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if count not in (None, len(array)):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {count}")
        count = len(array)
    if len(values) == 1:
        return _dump({"predictions": next(iter(values.values()))}, outputs)
    return _dump({"predictions": [{name: values[name][row] for name in values} for row in range(count)]}, outputs)


def _values(name: str, array: np.ndarray) -> Any:
    """Something that orjson writes: float32 with as many digits as it takes to read the same number back."""
    if array.dtype == object:
        write = _b64 if name.endswith("_bytes") else lambda value: _utf8(name, value)
        return np.frompyfunc(write, 1, 1)(array).tolist() if array.ndim else write(array.item())
    if array.dtype.kind not in WRITABLE or array.dtype == np.float16:
        raise invalid(f"Failed to write JSON value for tensor type: {_type(array)}")
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _type(array: np.ndarray) -> str:
    return "half" if array.dtype == np.float16 else array.dtype.name


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _utf8(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"output '{name}' is no UTF-8 text; an output of bytes must be named *_bytes") from error


def _dump(values: Any, outputs: Mapping[str, np.ndarray]) -> bytes:
    floats = [array for array in outputs.values() if array.dtype.kind == "f"]
    if all(np.isfinite(array).all() for array in floats):
        return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(values, default=lambda array: array.tolist()).encode()  # NaN, Infinity: as TF Serving writes them


# Tensors proto --------------------------------------------------------------------------------------------------------
# TensorProto <-> NumPy, as gRPC clients send and read them.


FIELDS = {
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


def to_array(name: str, tensor: tensor_pb2.TensorProto, signature: Signature, limits: Limits) -> np.ndarray:
    """The values of an input; its form is checked before any memory is taken.

    Raises:
        ServingError: it does not fit the signature, or is no tensor.
    """
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    known = tensor.dtype in types_pb2.DataType.values()
    if not known or tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise invalid(f"tensor parsing error: {name}")
    signature.check_form(name, tensor.dtype, shape, limits.max_rows)
    if math.prod(shape) * signature.inputs[name].numpy_dtype.itemsize > limits.max_body_bytes:
        raise limits.body_too_large()
    try:
        return tf.make_ndarray(tensor).reshape(shape)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise invalid(f"tensor parsing error: {name}") from error


def to_proto(values: np.ndarray, dtype: int) -> tensor_pb2.TensorProto:
    """The values in the field of their type, as TF Serving answers (`float_val`, ...), not as raw content."""
    if dtype not in FIELDS:
        return tf.make_tensor_proto(values, dtype=dtype)
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, FIELDS[dtype]).extend(values.ravel().tolist())
    return tensor
