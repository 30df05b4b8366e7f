"""Bodies of requests -> inputs. A large body is parsed in a process of its own.

A parser in C holds Python's interpreter lock until it is done: 16 MiB of `[[],[],...]` take orjson seconds, in which
nobody would be answered if they were parsed here. The process imports no TensorFlow (30 MiB, started with the first
large body), is ended where a request is out of time, and takes the smallest body that waits first.
"""

import asyncio
import contextlib
import gc
import heapq
import itertools
import os
import pickle
import signal
import struct
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

if __name__ == "__main__":  # the process: TensorFlow's messages without TensorFlow
    shell = ModuleType("tensorflow")
    shell.__path__ = list(find_spec("tensorflow").submodule_search_locations)
    sys.modules["tensorflow"] = shell

from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2

from kgen.config import RequestLimits
from kgen.serve.codec import decode_json, decode_proto, decompress, parse_json, signature_name
from kgen.serve.examples import from_json, serialized
from kgen.serve.validation import Code, ServingError, Signature, invalid

SMALL_BYTES = 2**14
"""A body of so many is parsed here, in less than a millisecond."""
TINY_BYTES = 2**12
"""Of larger ones no more than one is parsed before the event loop looks at all connections again."""
LARGE_BODIES = 16
"""So many bodies of the largest size may be in memory, and answers of as many bytes."""

Inputs = tuple[dict[str, np.ndarray], bool]
"""(the inputs by name, whether they came in TF Serving's row format)"""


class JsonBody:
    """The body of a REST call.

    Args:
        body: its bytes.
        encoding: their content coding; "" for none.
        limits: of the body.

    Raises:
        ServingError: it is no JSON object, or beyond a limit.
    """

    def __init__(self, body: bytes, encoding: str, limits: RequestLimits):
        self._limits = limits
        self._request = parse_json(decompress(body, encoding, limits.max_body_bytes) if encoding else body, limits)
        self.head = signature_name(self._request)

    def inputs(self, signature: Signature) -> Inputs:
        """The inputs of the request by name, and whether they came in rows."""
        return decode_json(self._request, signature, self._limits)

    def examples(self) -> np.ndarray:
        """[B], the serialized examples of a classification or regression."""
        return serialized(from_json(self._request), self._limits)


class PredictBody:
    """A serialized PredictRequest.

    Raises:
        ServingError: the bytes are none.
    """

    def __init__(self, body: bytes, limits: RequestLimits):
        self._limits = limits
        try:
            self._request = predict_pb2.PredictRequest.FromString(body)
        except DecodeError as error:
            raise invalid("the request is not a tensorflow.serving.PredictRequest") from error
        request = self._request
        spec = request.model_spec.SerializeToString() if request.HasField("model_spec") else None
        self.head = (spec, list(request.output_filter))

    def inputs(self, signature: Signature) -> Inputs:
        """The inputs of the request by name."""
        return decode_proto(self._request.inputs, signature, self._limits), False


KINDS = {kind.__name__: kind for kind in (JsonBody, PredictBody)}


class Parsed:
    """A body that is parsed here.

    Args:
        body: a JsonBody or a PredictBody.
    """

    def __init__(self, body: Any):
        self._body, self.head = body, body.head

    async def inputs(self, signature: Signature) -> Inputs:
        """See JsonBody and PredictBody."""
        return self._body.inputs(signature)

    async def examples(self) -> np.ndarray:
        """See JsonBody."""
        return self._body.examples()


class ParsedElsewhere:
    """A body that is parsed in the process."""

    def __init__(self, process: "Process", head: Any):
        self._process, self.head = process, head

    async def inputs(self, signature: Signature) -> Inputs:
        """See JsonBody and PredictBody."""
        return await self._process.call("inputs", signature)

    async def examples(self) -> np.ndarray:
        """See JsonBody."""
        return await self._process.call("examples")


class Parser:
    """Parses bodies of requests."""

    def __init__(self, limits: RequestLimits):
        self._limits = limits
        self._process, self._turns, self._small_turns = Process(), Turns(), Turns()
        self.memory = Memory(LARGE_BODIES * limits.max_body_bytes, "requests")

    @contextlib.asynccontextmanager
    async def parsed(self, kind: type, body: bytes, encoding: str = "") -> AsyncIterator[Parsed | ParsedElsewhere]:
        """A body, as long as the context lasts.

        Args:
            kind: JsonBody or PredictBody.
            encoding: of a JsonBody.

        Raises:
            ServingError: it is invalid.
        """
        arguments = (body, encoding, self._limits) if kind is JsonBody else (body, self._limits)
        if len(body) <= TINY_BYTES and not encoding:
            yield Parsed(kind(*arguments))
            return
        if len(body) <= SMALL_BYTES and not encoding:
            async with self._small_turns.of(0):
                yield Parsed(kind(*arguments))
            return
        async with self._turns.of(len(body)):
            yield ParsedElsewhere(self._process, await self._process.call("open", kind.__name__, *arguments))

    async def close(self):
        """Ends the process."""
        await self._process.end()


class Memory:
    """Bounds the bytes of large requests, or of large answers, that are in memory.

    Args:
        limit: all together; a single one may have more.
        what: they are, in messages.
    """

    def __init__(self, limit: int, what: str):
        self._limit, self._what, self._used = limit, what, 0

    def take(self, count: int):
        """Raises ServingError where there is not as much left."""
        if self._used and self._used + count > self._limit:
            message = f"large {self._what} of {self._used} bytes are in progress; try again later"
            raise ServingError(Code.RESOURCE_EXHAUSTED, message)
        self._used += count

    def give_back(self, count: int):
        self._used -= count

    @contextlib.contextmanager
    def taken(self, count: int):
        """Takes as much, as long as the context lasts."""
        self.take(count)
        try:
            yield
        finally:
            self.give_back(count)


class Turns:
    """One at a time and per iteration of the event loop; of those that wait, the smallest first, then the oldest."""

    def __init__(self):
        self._taken, self._waiting, self._number = False, [], itertools.count()

    @contextlib.asynccontextmanager
    async def of(self, size: int) -> AsyncIterator[None]:
        """The turn of a body of a size."""
        if self._taken:
            turn = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (size, next(self._number), turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # it had come in the same moment
                    self._next()
                raise
        self._taken = True
        try:
            yield
        finally:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self):
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False


# The process ----------------------------------------------------------------------------------------------------------

LENGTH = struct.Struct(">Q")
READ_BYTES = 2**20


class Process:
    """The other end of `main`; started by the first call, and again after it ended."""

    def __init__(self):
        self._process: asyncio.subprocess.Process | None = None

    async def call(self, *message: Any) -> Any:
        """The answer to a message. A call that is interrupted ends the process.

        Raises:
            ServingError: what the process raised, or that it ended.
        """
        try:
            if self._process is None:
                self._process = await self._start()
            data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.write(LENGTH.pack(len(data)))
            self._process.stdin.write(data)
            await self._process.stdin.drain()
            length = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))[0]
            error, value = pickle.loads(await self._process.stdout.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError) as problem:
            await self.end()
            message = "the process that parses large requests ended (out of memory?)"
            raise ServingError(Code.INTERNAL, message) from problem
        except BaseException:
            await self.end()
            raise
        if error is not None:
            raise ServingError(*error)
        return value

    @staticmethod
    async def _start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            limit=READ_BYTES,
        )

    async def end(self):
        """Kills the process."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def answer(message: tuple, opened: list) -> tuple[tuple | None, Any]:
    """(the arguments of the ServingError that a message ends with, or None; its value).

    Args:
        message: ("open", kind, arguments of it ...), ("inputs", a signature) or ("examples",).
        opened: the body that is open; empty for none.
    """
    try:
        if message[0] == "open":
            opened[:] = [KINDS[message[1]](*message[2:])]
            return None, opened[0].head
        return None, getattr(opened.pop(), message[0])(*message[1:])
    except ServingError as error:
        return (error.code, error.message, error.http_status), None
    except MemoryError:
        return (Code.RESOURCE_EXHAUSTED, "there is no memory to parse the request"), None


def main(requests: BinaryIO, answers: BinaryIO):
    """Answers messages until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, meant for the server
    gc.disable()  # JSON has no cycles; looking for them took most of the time
    opened = []
    while head := requests.read(LENGTH.size):
        data = pickle.dumps(
            answer(pickle.loads(requests.read(LENGTH.unpack(head)[0])), opened), pickle.HIGHEST_PROTOCOL
        )
        answers.write(LENGTH.pack(len(data)))
        answers.write(data)
        answers.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
