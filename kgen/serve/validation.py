"""What a request may be, and how it fails: error codes, limits of size and time, signatures.

Codes and HTTP statuses are those of TF Serving (http_server.cc, http_rest_api_util.cc); the messages are our own: each
names what arrived and what is expected. A client should act on the code.
"""

import asyncio
import enum
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import ml_dtypes
import numpy as np
from tensorflow.core.framework import types_pb2

from kgen.spec import number_list

log = logging.getLogger(__name__)


# Errors ---------------------------------------------------------------------------------------------------------------


class Code(enum.IntEnum):
    """The codes of google.rpc.Code; TensorFlow's errors have the same numbers."""

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
"""All other codes are 500."""


class ServingError(Exception):
    """A request that cannot be answered.

    Args:
        code: for gRPC clients, and for the metrics.
        message: for clients of both protocols.
        http_status: for REST clients; None takes that of the code.
    """

    def __init__(self, code: Code, message: str, http_status: int | None = None):
        super().__init__(message)
        self.code, self.message = code, message
        self.http_status = http_status or HTTP_STATUS.get(code, 500)


def invalid(message: str) -> ServingError:
    """A request with invalid content."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def client_gone() -> ServingError:
    """A request that nobody waits for."""
    return ServingError(Code.CANCELLED, "the client closed the connection")


def serving_error(error: BaseException, max_seconds: float) -> ServingError:
    """The ServingError for any exception; unexpected ones are logged, and clients get no details of them.

    Args:
        error: raised while a request was answered.
        max_seconds: the time limit of a request.
    """
    if isinstance(error, ServingError):
        return error
    if isinstance(error, TimeoutError):
        return ServingError(Code.DEADLINE_EXCEEDED, f"not answered within {max_seconds:g} seconds (--max_seconds)")
    if isinstance(error, asyncio.CancelledError):
        return client_gone()
    from tensorflow.errors import OpError

    if isinstance(error, OpError):
        return ServingError(Code(error.error_code), graph_message(error.message))
    log.error("a request failed", exc_info=error)
    return ServingError(Code.INTERNAL, f"internal error ({type(error).__name__}); see the log of the server")


def graph_message(message: str) -> str:
    """The message of a TensorFlow operation, without what the eager runtime adds around it."""
    message = re.sub(r"^Graph execution error:\s*", "", message)
    message = re.sub(r"^Detected at node .*\n(<stack traces unavailable>\n|( .*\n)*)", "", message)
    return re.sub(r" \[Op:\w+\]", "", message).strip()


# Limits ---------------------------------------------------------------------------------------------------------------


def body_too_large(max_body_bytes: int) -> ServingError:
    """The error of a request, or of a tensor in it, with more bytes than that."""
    message = f"a request may have at most {max_body_bytes} bytes (--max_body_bytes)"
    return ServingError(Code.INVALID_ARGUMENT, message, 413)


def check_depth(body: bytes, max_depth: int):
    """Raises ServingError if a JSON text is nested deeper; counts brackets outside of strings, parses nothing."""
    if body.count(b"[") + body.count(b"{") <= max_depth:
        return
    # Two backslashes first: what is left before a quote is then one that escapes it.
    text = np.frombuffer(body.replace(rb"\\", b"").replace(rb"\"", b""), np.uint8)
    in_string = np.cumsum(text == ord('"'), dtype=np.uint8) & 1  # whether the number of quotes so far is odd
    change = ((text == ord("[")) | (text == ord("{"))).astype(np.int8)
    change -= (text == ord("]")) | (text == ord("}"))
    change[in_string == 1] = 0
    depth = int(np.cumsum(change, dtype=np.int32).max(initial=0))
    if depth > max_depth:
        raise invalid(f"JSON may be nested at most {max_depth} deep (--max_depth). Received: {depth}")


# Signatures -----------------------------------------------------------------------------------------------------------

DEFAULT = "serving_default"
REFERENCE = 100
"""What the type of a reference to a variable of TensorFlow 1 has above that of its values."""
LABEL = "label"
ROWS_DIMENSIONS = 2
"""Most dimensions of an input of numbers per row; one with more is of maps or sequences."""
MAX_NAMES = 20  # in a message
NUMPY_TYPES = {
    types_pb2.DT_FLOAT: np.float32,
    types_pb2.DT_DOUBLE: np.float64,
    types_pb2.DT_HALF: np.float16,
    types_pb2.DT_BFLOAT16: ml_dtypes.bfloat16,
    types_pb2.DT_INT8: np.int8,
    types_pb2.DT_INT16: np.int16,
    types_pb2.DT_INT32: np.int32,
    types_pb2.DT_INT64: np.int64,
    types_pb2.DT_UINT8: np.uint8,
    types_pb2.DT_UINT16: np.uint16,
    types_pb2.DT_UINT32: np.uint32,
    types_pb2.DT_UINT64: np.uint64,
    types_pb2.DT_BOOL: np.bool_,
    types_pb2.DT_STRING: np.object_,
    types_pb2.DT_COMPLEX64: np.complex64,
    types_pb2.DT_COMPLEX128: np.complex128,
}
"""The types that a request can carry. As a table, so that nothing here imports TensorFlow: requests are parsed in a
process that has none."""


@dataclass(frozen=True)
class TensorInfo:
    """Type and shape of an input or output of a signature.

    Args:
        dtype: the number of a TensorFlow type, e.g. types_pb2.DT_FLOAT.
        shape: with None for an unknown size; None if the rank is unknown.
    """

    dtype: int
    shape: tuple[int | None, ...] | None

    @classmethod
    def from_proto(cls, info) -> "TensorInfo":
        """From a tensorflow.TensorInfo message."""
        shape = info.tensor_shape
        sizes = None if shape.unknown_rank else tuple(d.size if d.size >= 0 else None for d in shape.dim)
        return cls(info.dtype % REFERENCE, sizes)

    @property
    def type_name(self) -> str:
        return type_name(self.dtype)

    @property
    def numpy_dtype(self) -> np.dtype:
        return np.dtype(NUMPY_TYPES.get(self.dtype, np.object_))

    @property
    def batched(self) -> bool:
        """Whether the first dimension is a batch of any size."""
        return bool(self.shape) and self.shape[0] is None

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of this shape is accepted."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            expected in (None, size) for expected, size in zip(self.shape, shape, strict=True)
        )

    def may_take(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of this shape may be accepted by a graph that takes more than it states.

        Rows of one number each may come in any shape. Maps must have the stated one, but for the size of the batch:
        convolutions of TensorFlow end the process at a tensor of fewer dimensions.
        """
        if self.shape is None or self.fits(shape):
            return True
        if len(self.shape) <= ROWS_DIMENSIONS and not {*self.shape[1:]} - {None, 1}:
            return True
        sizes = zip(self.shape[1:], shape[1:], strict=False)
        return len(shape) == len(self.shape) and all(expected in (None, size) for expected, size in sizes)


def type_name(dtype: int) -> str:
    """float, int32, half, ..."""
    return types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()


def shape_text(shape: Sequence[int | None] | None) -> str:
    """A shape for messages, e.g. [-1,28,28,1]."""
    return "[?]" if shape is None else f"[{','.join(str(-1 if size is None else size) for size in shape)}]"


@dataclass(frozen=True)
class Signature:
    """A signature of a SavedModel, and the checks of a request against it.

    Args:
        method_name: e.g. tensorflow/serving/predict.
        inputs, outputs: by name.
        ranges: [least, greatest] value of inputs, by name; inputs without an entry may have any value, NaN too.
        class_numbers: the values of the input `label`; empty where any in its range will do.
        defaults: of inputs that a gRPC request may leave out, by name.
    """

    name: str
    method_name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    class_numbers: Sequence[int] = ()
    defaults: Mapping[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def _class_numbers(self) -> set[int]:
        return {*self.class_numbers}

    @property
    def batchable(self) -> bool:
        """Whether rows of several requests may go through one call."""
        return (
            bool(self.inputs)
            and all(info.batched for info in self.inputs.values())
            and all(info.shape is None or info.batched for info in self.outputs.values())
        )

    def check_names(self, names: Iterable[str]):
        """Raises ServingError unless these are the names of the inputs; those with a default may be left out."""
        if not self.inputs.keys() - self.defaults.keys() <= {*names} <= self.inputs.keys():
            expected, received = (", ".join(sorted(islice(x, MAX_NAMES))) or "none" for x in (self.inputs, names))
            raise invalid(f"signature '{self.name}' takes the inputs {expected}. Received: {received}")

    def check_form(self, name: str, dtype: int, shape: Sequence[int], max_rows: int):
        """Raises ServingError unless type, shape and batch size of an input are accepted; needs no values.

        The shape must be the one that a kgen export states. Other models take more than they state, and TF Serving
        leaves all shapes to the graph: see `TensorInfo.may_take`.
        """
        info, what = self.inputs[name], self.describe_input(name)
        if dtype != info.dtype:
            raise invalid(f"{what} must have type {info.type_name}. Received: {type_name(dtype)}")
        if not (info.fits(shape) if self.ranges else info.may_take(shape)):
            raise invalid(f"{what} must have shape {shape_text(info.shape)}. Received: {shape_text(shape)}")
        if shape:
            self.check_rows(name, shape[0], max_rows)

    def check_rows(self, name: str, rows: int, max_rows: int):
        """Raises ServingError if the batch of an input is too large."""
        info = self.inputs[name]
        if not (info.shape and info.shape[0] == rows) and rows > max_rows:
            what = self.describe_input(name)
            raise invalid(f"{what} may have at most {max_rows} rows (--max_rows). Received: {rows}")

    def check_values(self, name: str, values: np.ndarray):
        """Raises ServingError unless the values are among those that the export states; NaN lies in no range."""
        what = self.describe_input(name)
        low, high = self.ranges.get(name, (None, None))
        if low is not None and values.size and values.dtype != object:
            outside = values[~((values >= low) & (values <= high))]
            if outside.size:
                raise invalid(f"{what} must lie in [{low}, {high}]. Received: {outside.flat[0]}")
        if name == LABEL and self.class_numbers and values.dtype != object:
            given = values.ravel().tolist()
            if not self._class_numbers.issuperset(given):
                unknown = next(number for number in given if number not in self._class_numbers)
                raise invalid(f"{what} must be {number_list(self.class_numbers)}. Received: {unknown}")

    def check_batch(self, inputs: Mapping[str, np.ndarray]):
        """Raises ServingError unless all inputs have the same rows, at least one; for kgen's exports, which state the
        ranges of their inputs. Other models may mean something by it."""
        if not self.ranges:
            return
        sizes = {name: len(values) for name, values in inputs.items() if self.inputs[name].batched}
        if sizes and (0 in sizes.values() or len({*sizes.values()}) > 1):
            received = ", ".join(f"{rows} of '{name}'" for name, rows in sorted(sizes.items()))
            what = f"the inputs of signature '{self.name}' must have the same number of rows, at least one"
            raise invalid(f"{what}. Received: {received}")

    def batch_size(self, inputs: Mapping[str, np.ndarray]) -> int | None:
        """The first dimension of a request's inputs; None if they have none, or differ."""
        sizes = {len(values) if values.ndim else None for values in inputs.values()}
        return sizes.pop() if len(sizes) == 1 else None

    def describe_input(self, name: str) -> str:
        return f"input '{name}' of signature '{self.name}'"
