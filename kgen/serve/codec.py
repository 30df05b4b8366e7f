"""Requests and answers <-> NumPy arrays: JSON in TF Serving's row and column formats, and TensorProto for gRPC.

Rows: {"instances": [a row, ...]} -> {"predictions": [a row, ...]}. Columns: {"inputs": {name: tensor}} -> {"outputs":
{name: tensor}}. The name is left out where there is a single input or output. Strings of bytes are {"b64": base64}.
https://www.tensorflow.org/tfx/serving/api_rest#encoding_binary_values
"""

import base64
import binascii
import json
import math
import sys
import zlib
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import orjson
from tensorflow.core.framework import tensor_pb2, types_pb2

from kgen.config import RequestLimits
from kgen.serve.validation import (
    NUMPY_TYPES,
    Code,
    ServingError,
    Signature,
    TensorInfo,
    body_too_large,
    check_depth,
    invalid,
)

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
BOUNDS = {dtype: (np.iinfo(NUMPY_TYPES[dtype]).min, np.iinfo(NUMPY_TYPES[dtype]).max) for dtype in INTEGERS}
JSON_TYPES = {*FLOATS, *INTEGERS, types_pb2.DT_BOOL, types_pb2.DT_STRING}
EXCERPT_CHARACTERS = 300
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP = {"gzip", "x-gzip"}
LARGEST_EXPONENT = 308  # of a float64


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body of a request without its content coding.

    Raises:
        ServingError: the coding is neither gzip nor none, the bytes are not of it, or more than `max_bytes` come out.
    """
    if encoding not in GZIP:
        message = f"a body may be compressed by gzip alone. Received: content-encoding {encoding[:EXCERPT_CHARACTERS]}"
        raise ServingError(Code.INVALID_ARGUMENT, message, 415)
    parts, length = [], 0
    while body:
        stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            parts.append(stream.decompress(body, max_bytes + 1 - length))
        except zlib.error as error:
            raise invalid(f"the body is not gzip, as its content-encoding says: {error}") from error
        length += len(parts[-1])
        if length > max_bytes:
            raise body_too_large(max_bytes)
        if not stream.eof:
            raise invalid("the gzip data in the body has no end")
        body = stream.unused_data  # another member
    return b"".join(parts)


def parse_json(body: bytes, limits: RequestLimits) -> dict[str, Any]:
    """The JSON object in the body of a request.

    NaN, Infinity and numbers beyond float64 are read as TF Serving's RapidJSON reads them.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    check_depth(body, limits.max_depth)
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            request = json.loads(body.decode(), parse_float=_parse_float)
        except (ValueError, RecursionError):
            raise invalid(f"the body must be JSON: {error.msg} at position {error.pos}") from error
    if not isinstance(request, dict):
        raise invalid(f"the body must be a JSON object. Received: {_excerpt(request)}")
    return request


def _parse_float(text: str) -> float:
    """1.8e308 is Infinity, and 1e999 an error, as in RapidJSON."""
    value = float(text)
    if math.isinf(value):
        digits, _, exponent = text.lower().partition("e")
        if int(exponent or 0) > LARGEST_EXPONENT + len(digits.partition(".")[2]):
            raise ValueError(f"{text} is too big")
    return value


def signature_name(request: Mapping[str, Any]) -> str:
    """The signature that a request names; "" if none."""
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(f"'signature_name' must be a string. Received: {_excerpt(name)}")
    return name


def decode_json(
    request: Mapping[str, Any], signature: Signature, limits: RequestLimits
) -> tuple[dict[str, np.ndarray], bool]:
    """The inputs of a request by name, and whether it is in the row format.

    Raises:
        ServingError: the request has another form than the signature.
    """
    if not signature.inputs:
        raise invalid(f"signature '{signature.name}' has no inputs: it cannot be called by REST")
    if ("instances" in request) == ("inputs" in request):
        raise invalid(f"a request needs either 'instances' or 'inputs'. Received the keys: {_excerpt(list(request))}")
    if "instances" in request:
        return _decode_rows(request["instances"], signature, limits), True
    return _decode_columns(request["inputs"], signature), False


def _decode_rows(instances: Any, signature: Signature, limits: RequestLimits) -> dict[str, np.ndarray]:
    if not isinstance(instances, list) or not instances:
        raise invalid(f"'instances' must be a list of at least one row. Received: {_excerpt(instances)}")
    names = sorted(signature.inputs)
    for name in names:
        signature.check_rows(name, len(instances), limits.max_rows)
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


QUERY_DEFAULTS = {"seed": 0, "temperature": 1}


def decode_query(query: str, signature: Signature) -> dict[str, np.ndarray]:
    """The inputs of one row from a query like `label=3&seed=1`; see QUERY_DEFAULTS.

    Raises:
        ServingError: a name is none of the inputs, is given twice or is missing, or a value is no number of its type.
    """
    given = parse_qsl(query, keep_blank_values=True)
    names = [name for name, _ in given]
    if len({*names}) < len(names) or not {*names} <= {*signature.inputs}:
        known = ", ".join(sorted(signature.inputs))
        raise invalid(f"the query may have each of {known} once, as numbers. Received: {query[:EXCERPT_CHARACTERS]}")
    row = QUERY_DEFAULTS | {name: _number(name, text, signature) for name, text in given}
    if missing := [name for name in signature.inputs if name not in row]:
        raise invalid(f"{signature.describe_input(missing[0])} is missing in the query, e.g. ?{missing[0]}=0&seed=1")
    return {name: _tensor(name, [row[name]], signature, Code.INVALID_ARGUMENT) for name in signature.inputs}


def _number(name: str, text: str, signature: Signature) -> int | float:
    try:
        if isinstance(value := orjson.loads(text), (int, float)) and not isinstance(value, bool):
            return value
    except orjson.JSONDecodeError:
        pass
    raise invalid(f"{signature.describe_input(name)} must be a number. Received: {text[:EXCERPT_CHARACTERS]}")


class _Misfit(Exception):
    """A part of a value has another shape or type than the others.

    Args:
        index: of the part among all of its level.
        part: what it is.
    """

    def __init__(self, index: int, part: Any):
        self.index, self.part = index, part


def _tensor(name: str, value: Any, signature: Signature, code_of_type: Code) -> np.ndarray:
    """The array of an input; `code_of_type` is the error of a type that JSON has no form for."""
    info, shape = signature.inputs[name], _shape_of_first(value)
    if info.dtype not in JSON_TYPES:
        message = f"{signature.describe_input(name)} has type {info.type_name}, which JSON cannot carry: call by gRPC"
        raise ServingError(code_of_type, f"{message}. Received: {_excerpt(value)}")
    level, flat = 0, [value]
    try:
        for size in shape:
            flat = _flatten(flat, size)
            level += 1
        return _values(flat, info).reshape(shape)
    except _Misfit as misfit:
        where = "".join(f"[{i}]" for i in np.unravel_index(misfit.index, shape[:level])) if level else ""
        what = f"{signature.describe_input(name)} must be {info.type_name} values in nested lists of equal lengths"
        raise invalid(f"{what}. Received{' at ' + where if where else ''}: {_excerpt(misfit.part)}") from None


def _shape_of_first(value: Any) -> tuple[int, ...]:
    """The shape that the first element at each level of nested lists implies."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _flatten(parts: list, size: int) -> list:
    """The elements of lists that must all have this size."""
    if not {*map(type, parts)} <= {list} or not {*map(len, parts)} <= {size}:
        raise next(_Misfit(i, part) for i, part in enumerate(parts) if type(part) is not list or len(part) != size)
    return list(chain.from_iterable(parts))


def _values(flat: list, info: TensorInfo) -> np.ndarray:
    """The values as an array of the type; numbers are rounded to a float, beyond its range to infinity."""
    if info.dtype in FLOATS:
        _check_types(flat, int, float)
        try:
            values = np.array(flat, np.float64)
        except OverflowError:  # an integer of hundreds of digits
            raise next(_Misfit(i, x) for i, x in enumerate(flat) if abs(x) > sys.float_info.max) from None
        with np.errstate(over="ignore"):
            return values.astype(FLOATS[info.dtype])
    if info.dtype in INTEGERS:
        _check_types(flat, int)
        least, greatest = BOUNDS[info.dtype]
        if flat and (min(flat) < least or max(flat) > greatest):
            raise next(_Misfit(i, x) for i, x in enumerate(flat) if not least <= x <= greatest)
        return np.array(flat, info.numpy_dtype)
    if info.dtype == types_pb2.DT_BOOL:
        _check_types(flat, bool)
        return np.array(flat, bool)
    _check_types(flat, str, dict)
    values = np.empty(len(flat), object)
    values[:] = [_to_bytes(x) for x in flat]
    return values


def _check_types(flat: list, *types: type):
    if not {*map(type, flat)} <= {*types}:
        raise next(_Misfit(i, x) for i, x in enumerate(flat) if type(x) not in types)


def _to_bytes(value: str | dict) -> bytes:
    try:
        if isinstance(value, str):
            return value.encode()
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
    """The start of a value, for messages; no more of it is written than that."""
    text = ""
    for piece in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        text += piece
        if len(text) > EXCERPT_CHARACTERS:
            return text[:EXCERPT_CHARACTERS] + "..."
    return text


# JSON answers ---------------------------------------------------------------------------------------------------------

PIECE_ELEMENTS = 2**16  # written by one call, so that it does not hold the interpreter for long


def encode_json(outputs: Mapping[str, np.ndarray], by_rows: bool) -> bytes:
    """The body of an answer: a single output without its name, several by name, `*_bytes` as base64.

    Args:
        outputs: by name.
        by_rows: in the row format, for which each output is a batch of the same size.

    Raises:
        ServingError: an output has no batch (row format), or a type that JSON cannot carry.
    """
    floats = [array for array in outputs.values() if array.dtype.kind == "f"]
    finite = all(np.isfinite(array).all() for array in floats)
    dump = _dump if finite else _dump_plain
    values = {name: _json_value(name, array, finite) for name, array in sorted(outputs.items())}
    if not by_rows:
        texts = {name: _write(value, dump) for name, value in values.items()}
        named = b"{" + b",".join(orjson.dumps(name) + b":" + text for name, text in texts.items()) + b"}"
        return b'{"outputs":' + (named if len(texts) > 1 else next(iter(texts.values()))) + b"}"
    sizes = {name: len(array) if array.ndim else None for name, array in outputs.items()}
    if None in sizes.values() or len({*sizes.values()}) > 1:
        raise invalid(f"the outputs are no batch of rows (sizes: {sizes}): call with 'inputs' instead of 'instances'")
    if len(values) == 1:
        return b'{"predictions":' + _write(next(iter(values.values())), dump) + b"}"
    rows = next(iter(sizes.values()))
    step = _rows_of_a_piece(rows, sum(array.size for array in outputs.values()))
    pieces = (
        dump([{name: value[row] for name, value in values.items()} for row in range(first, min(first + step, rows))])
        for first in range(0, rows, step)
    )
    return b'{"predictions":[' + b",".join(piece[1:-1] for piece in pieces) + b"]}"


def answer_bytes(outputs: Mapping[str, np.ndarray]) -> int:
    """The size of the values of an answer."""
    return sum(sum(map(len, a.flat)) if a.dtype == object else a.nbytes for a in outputs.values())


def _json_value(name: str, array: np.ndarray, finite: bool) -> Any:
    """A value that `_dump` writes, or `_dump_plain` unless all are `finite`; float32 with its shortest digits."""
    if array.dtype == object:
        write = _b64 if name.endswith("_bytes") else lambda value: _utf8(name, value)
        return np.frompyfunc(write, 1, 1)(array).tolist() if array.ndim else write(array.item())
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:
        raise invalid(f"output '{name}' has type {array.dtype.name}, which JSON cannot carry: call by gRPC")
    if finite:
        return np.ascontiguousarray(array) if array.ndim else array[()]
    if array.dtype.kind == "f":
        array = np.array([float(str(x)) for x in array.ravel()]).reshape(array.shape)
    return array.tolist()


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _utf8(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"output '{name}' is not UTF-8; the name of an output of bytes must end in _bytes") from error


def _write(value: Any, dump: Callable[[Any], bytes]) -> bytes:
    if not isinstance(value, np.ndarray) or value.size <= PIECE_ELEMENTS:
        return dump(value)
    step = _rows_of_a_piece(len(value), value.size)
    pieces = (dump(value[first : first + step]) for first in range(0, len(value), step))
    return b"[" + b",".join(piece[1:-1] for piece in pieces) + b"]"


def _rows_of_a_piece(rows: int, elements: int) -> int:
    return max(1, PIECE_ELEMENTS * rows // max(1, elements))


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _dump_plain(value: Any) -> bytes:
    """With NaN and Infinity, as TF Serving."""
    return json.dumps(value, separators=(",", ":")).encode()


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
STORED_AS = {
    types_pb2.DT_HALF: ("half_val", np.uint16),
    types_pb2.DT_BFLOAT16: ("half_val", np.uint16),
    types_pb2.DT_COMPLEX64: ("scomplex_val", np.float32),
    types_pb2.DT_COMPLEX128: ("dcomplex_val", np.float64),
}
"""(field, type of its values) of types that are stored as another."""


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
        return _values_of(tensor, math.prod(shape)).reshape(shape)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise invalid(f"{signature.describe_input(name)} is not a valid tensor: {error}") from error


def _values_of(tensor: tensor_pb2.TensorProto, size: int) -> np.ndarray:
    """The values in a tensor; the last one is repeated where there are fewer, as in TensorFlow."""
    dtype = np.dtype(NUMPY_TYPES[tensor.dtype])
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype).copy()
    name, stored = STORED_AS.get(tensor.dtype) or (VALUE_FIELDS[tensor.dtype], dtype)
    field = getattr(tensor, name)
    values = np.empty(len(field), stored)
    for first in range(0, len(field), PIECE_ELEMENTS):
        part = field[first : first + PIECE_ELEMENTS]
        values[first : first + len(part)] = part
    values = values.view(dtype)
    last = values[-1] if len(values) else b"" if dtype.hasobject else 0
    return np.concatenate([values, np.full(max(0, size - len(values)), last, dtype)])


def encode_proto(values: np.ndarray, dtype: int) -> tensor_pb2.TensorProto:
    """A tensor with its values in the field of their type (`float_val`, ...) as TF Serving answers, not raw bytes."""
    if dtype not in VALUE_FIELDS:
        from tensorflow import make_tensor_proto

        return make_tensor_proto(values, dtype=dtype)
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    field, flat = getattr(tensor, VALUE_FIELDS[dtype]), values.ravel()
    for first in range(0, len(flat), PIECE_ELEMENTS):
        field.extend(flat[first : first + PIECE_ELEMENTS].tolist())
    return tensor
