"""How a request fails: the codes of gRPC, and their HTTP status as TF Serving's http_server.cc maps them."""

import asyncio
import enum
import logging
import re

import tensorflow as tf

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
