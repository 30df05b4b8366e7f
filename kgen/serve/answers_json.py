"""The JSON of a prediction: "predictions" by rows or "outputs" by columns."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from kgen.serve.errors import invalid

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
