"""How a request fails: the codes of gRPC, and their HTTP status as TF Serving's http_server.cc maps them."""

import asyncio
import enum
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

log = logging.getLogger(__name__)


class Code(enum.IntEnum):
    """The codes of google.rpc.Code; TensorFlow's errors bear the same numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}


class ServingError(Exception):
    """A request that cannot be answered.

    Args:
        code: what a gRPC client sees.
        message: what a client of either kind sees.
        http_status: what a REST client sees; None takes that of the code.
    """

    def __init__(self, code: Code, message: str, http_status: int | None = None):
        super().__init__(message)
        self.code, self.message = code, message
        self.http_status = http_status or HTTP_STATUS.get(code, 500)


def invalid(message: str) -> ServingError:
    """A request whose content is at fault."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def serving_error(error: BaseException, max_seconds: float) -> ServingError:
    """What a client is told of any exception; what is the server's own fault is logged.

    Args:
        error: raised while a request was answered.
        max_seconds: the time that a request may take.
    """
    if isinstance(error, ServingError):
        return error
    if isinstance(error, TimeoutError):
        return ServingError(Code.DEADLINE_EXCEEDED, f"Timed out after {max_seconds:g} s (--max_seconds)")
    if isinstance(error, asyncio.CancelledError):
        return ServingError(Code.CANCELLED, "The client has gone")
    if isinstance(error, tf.errors.OpError):
        return ServingError(Code(error.error_code), graph_message(error.message))
    log.error("a request failed", exc_info=error)
    return ServingError(Code.INTERNAL, f"The server failed ({type(error).__name__}); its log says more")


def graph_message(message: str) -> str:
    """TensorFlow's message without what the eager runtime puts around that of the operation."""
    message = re.sub(r"^Graph execution error:\s*", "", message)
    message = re.sub(r"^Detected at node .*\n(<stack traces unavailable>\n|( .*\n)*)", "", message)
    return re.sub(r" \[Op:\w+\]", "", message).strip()


# Limits ---------------------------------------------------------------------------------------------------------------
# What a client may ask for: bytes, rows, depth of nesting, requests at once, seconds.


STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
BRACKETS = b"[]{}"
OTHERS = bytes(byte for byte in range(256) if byte not in BRACKETS)


@dataclass(frozen=True)
class Limits:
    """Each is a flag of kgen-serve.

    Args:
        max_body_bytes: of a request, also of one of its tensors.
        max_rows: of a request.
        max_depth: of nested JSON lists and objects.
        max_concurrent: prediction requests under way.
        max_seconds: from the start of a request to its answer.
    """

    max_body_bytes: int = 16 * 2**20
    max_rows: int = 1024
    max_depth: int = 16
    max_concurrent: int = 256
    max_seconds: float = 60.0

    def body_too_large(self) -> ServingError:
        return ServingError(Code.INVALID_ARGUMENT, f"more than {self.max_body_bytes} bytes (--max_body_bytes)", 413)

    def check_depth(self, body: bytes):
        """Raises if the JSON text is nested too deep; counts brackets, parses nothing."""
        brackets = np.frombuffer(STRINGS.sub(b"", body).translate(None, OTHERS), np.uint8)
        opening = (brackets == ord("[")) | (brackets == ord("{"))
        depth = int(np.cumsum(np.where(opening, 1, -1)).max(initial=0))
        if depth > self.max_depth:
            raise invalid(f"JSON Parse error: nested {depth} deep; at most {self.max_depth} (--max_depth)")


class Gate:
    """Lets so many requests in at once and turns the others away; `with gate: ...`."""

    def __init__(self, limit: int):
        self.limit, self.inside = limit, 0

    def __enter__(self):
        if self.inside >= self.limit:
            raise ServingError(Code.RESOURCE_EXHAUSTED, f"{self.limit} requests are under way (--max_concurrent)")
        self.inside += 1

    def __exit__(self, *error):
        self.inside -= 1


# Signature ------------------------------------------------------------------------------------------------------------
# A signature of a SavedModel: what goes in and out, and the check of a request against it.


DEFAULT = "serving_default"


@dataclass(frozen=True)
class TensorInfo:
    """One input or output.

    Args:
        dtype: the number of a TensorFlow type, e.g. types_pb2.DT_FLOAT.
        shape: with None for an unknown size; None if the rank is unknown.
    """

    dtype: int
    shape: tuple[int | None, ...] | None

    @classmethod
    def of(cls, info) -> "TensorInfo":
        """From a TensorInfo message."""
        shape = info.tensor_shape
        sizes = None if shape.unknown_rank else tuple(d.size if d.size >= 0 else None for d in shape.dim)
        return cls(info.dtype, sizes)

    @property
    def type_name(self) -> str:
        return type_name(self.dtype)

    @property
    def numpy_dtype(self) -> np.dtype:
        return np.dtype(tf.as_dtype(self.dtype).as_numpy_dtype)

    @property
    def batched(self) -> bool:
        """Whether the first dimension is free."""
        return bool(self.shape) and self.shape[0] is None

    def fits(self, shape: Sequence[int]) -> bool:
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            own in (None, size) for own, size in zip(self.shape, shape, strict=True)
        )


def type_name(dtype: int) -> str:
    """As TF Serving's messages write it: float, int32, half, ..."""
    return types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()


def sizes(shape: Sequence[int | None] | None) -> str:
    """A shape as TF Serving's messages write it: [-1,28,28,1]."""
    return "[?]" if shape is None else f"[{','.join(str(-1 if size is None else size) for size in shape)}]"


@dataclass(frozen=True)
class Signature:
    """A signature by its name.

    Args:
        ranges: of input values, both ends included; inputs that are not named may have any finite value.
    """

    name: str
    method_name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def batchable(self) -> bool:
        """Whether rows of several requests may go through one call."""
        out = self.outputs.values()
        return (
            bool(self.inputs)
            and all(info.batched for info in self.inputs.values())
            and all(info.shape is None or info.batched for info in out)
        )

    def check_names(self, names):
        """The message of predict_util.cc."""
        sent, wanted = sorted(names), sorted(self.inputs)
        if sent != wanted:
            extra, missing = sorted({*sent} - {*wanted}), sorted({*wanted} - {*sent})
            raise invalid(
                f"input size does not match signature: {len(sent)}!={len(wanted)} len({{{','.join(sent)}}}) != "
                f"len({{{','.join(wanted)}}}). Sent extra: {{{','.join(extra)}}}. "
                f"Missing but required: {{{','.join(missing)}}}."
            )

    def check_form(self, name: str, dtype: int, shape: Sequence[int], max_rows: int):
        """Type, shape and number of rows of an input; needs no values."""
        info = self.inputs[name]
        if dtype != info.dtype:  # the message of TensorFlow's session
            position = sorted(self.inputs).index(name)
            raise invalid(f"Expects arg[{position}] to be {info.type_name} but {type_name(dtype)} is provided")
        if not info.fits(shape):
            raise invalid(f"{self._input(name)} must have shape {sizes(info.shape)}. Received: {sizes(shape)}")
        if shape and (info.shape is None or info.batched) and shape[0] > max_rows:
            raise invalid(f"{self._input(name)} may have at most {max_rows} rows (--max_rows). Received: {shape[0]}")

    def check_values(self, name: str, values: np.ndarray):
        """Finite, and in the range that the export states."""
        if np.issubdtype(values.dtype, np.inexact) and not np.isfinite(values).all():
            wrong = values[~np.isfinite(values)].flat[0]
            raise invalid(f"{self._input(name)} must be finite. Received: {wrong}")
        low, high = self.ranges.get(name, (None, None))
        if low is not None and values.size and values.dtype != object:
            outside = values[(values < low) | (values > high)]
            if outside.size:
                raise invalid(f"{self._input(name)} must lie in [{low}, {high}]. Received: {outside.flat[0]}")

    def rows(self, inputs: Mapping[str, np.ndarray]) -> int | None:
        """How many rows per request has, if all its inputs have the same number; else None."""
        counts = {len(values) if values.ndim else None for values in inputs.values()}
        return counts.pop() if len(counts) == 1 else None

    def _input(self, name: str) -> str:
        return f"input '{name}' of signature '{self.name}'"
