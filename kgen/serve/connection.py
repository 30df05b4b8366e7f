"""Connections of HTTP/1.1: uvicorn's, over httptools, with bounds on what a client may send and hold.

uvicorn's protocol over httptools bounds neither the header nor the time that it takes, and drops the body of a request
that offers an upgrade (Java's HttpClient offers HTTP/2 with its first request). Its other one, over h11, does not, and
costs a third more CPU time per request.
"""

import asyncio

import httptools
import orjson
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from kgen.config import RequestLimits

SLICE_BYTES, LEAST_SLICE_BYTES = 2**14, 2**9
"""So much is parsed at once, and less where a header ends: what a client sends ahead waits until the requests before it
are answered."""
HEADER_END = b"\r\n\r\n"
JOINED_BYTES = 2**16
"""Up to here the body of an answer is sent in one piece with its head."""
CHUNK_OVERHEAD = 8
"""A chunk of one byte is sent as six."""
NO_REQUEST, INCOMPLETE, COMPLETE = range(3)
NEW = 0.1
"""For this share of `header_seconds` a connection that has sent nothing is as good as one that sends a request."""
Connections = dict[str, dict["Connection", None]]


def _slice_end(data: bytes, position: int) -> int:
    """Where the slice ends that begins at a position: a few requests behind it, if they are short."""
    found = data.find(HEADER_END, position + LEAST_SLICE_BYTES, position + SLICE_BYTES)
    return position + SLICE_BYTES if found < 0 else found + len(HEADER_END)


class _OneWrite:
    """A transport that keeps the head of an answer until its body comes: one system call and one packet for both.

    What is written after the client has gone is dropped, of which asyncio would write a warning each.
    """

    def __init__(self, transport: asyncio.Transport):
        self._transport, self._head = transport, b""

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def write(self, data: bytes):
        if self._transport.is_closing():
            return
        if not self._head and data.startswith(b"HTTP/1.1 ") and data.endswith(HEADER_END) and data[9] != ord("1"):
            self._head = data
        elif len(data) <= JOINED_BYTES:
            self._transport.write(self._head + data)
            self._head = b""
        else:
            self.flush()
            self._transport.write(data)

    def flush(self):
        """Sends a head that no body has followed."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self):
        self.flush()
        self._transport.close()


class _Flow(FlowControl):
    """uvicorn's, which would read on with every request that is answered, however much was sent ahead."""

    def __init__(self, connection: "Connection"):
        super().__init__(connection.transport)
        self._connection = connection

    def resume_reading(self):
        if not self._connection.behind:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """A connection, bounded by the limits:

    - `max_connections` of one address: a further one closes the oldest of them that has no request, or none that is
      complete, and is refused where all have; one that is new (`NEW`) has the time to send its request,
    - `max_header_bytes` of a header, `header_seconds` until it is complete,
    - `idle_seconds` between two requests, for the rest of a body after an early answer, and for a client that does not
      read its answer.

    Args:
        limits: these.
        connections: address -> its connections, the oldest first; shared by all.
    """

    def __init__(self, *arguments, limits: RequestLimits, connections: "Connections", **keywords):
        super().__init__(*arguments, **keywords)
        self.timeout_keep_alive = limits.idle_seconds
        self._limits, self._connections = limits, connections
        self._unread = b""
        self._in_header, self._message_bytes, self._body_bytes = False, 0, 0
        self._refusal: tuple[int, str] | None = None
        self._made = self.loop.time()
        self._task: asyncio.Task | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    # -- the connection -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport):
        super().connection_made(_OneWrite(transport))
        self.flow = _Flow(self)
        siblings = self._connections.setdefault(self._address(), {})
        if len(siblings) >= self._limits.max_connections:
            rest = min(siblings, key=Connection._claim)  # the first of the least
            if rest._claim() == COMPLETE:
                message = f"this address has {len(siblings)} requests in progress (--max_connections); try again later"
                self._refuse(429, message)
                return
            del siblings[rest]
            rest.transport.abort()
        siblings[self] = None
        self._start_timer(self._limits.header_seconds)

    def connection_lost(self, exc: Exception | None):
        siblings = self._connections.get(self._address(), {})
        siblings.pop(self, None)
        if not siblings:
            self._connections.pop(self._address(), None)
        self._stop_timers()
        self._unset_keepalive_if_required()
        self._unread = b""
        self.pipeline.clear()
        super().connection_lost(exc)
        if self._task:
            self._task.cancel()

    @property
    def progress(self) -> int:
        """NO_REQUEST, INCOMPLETE or COMPLETE."""
        if self.cycle is None or self.cycle.response_complete:
            return NO_REQUEST
        return INCOMPLETE if self.cycle.more_body else COMPLETE

    def _claim(self) -> int:
        """Its right to stay when the address has too many: its progress, and more while it is new."""
        new = self.cycle is None and self.loop.time() - self._made < NEW * self._limits.header_seconds
        return INCOMPLETE if new else self.progress

    @property
    def behind(self) -> bool:
        """Whether there is something to do before more is read."""
        return bool(self._unread or self.pipeline)

    def _address(self) -> str:
        return self.client[0] if self.client else ""

    # -- reading ------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes):
        self._unread += data
        self._read()

    def _read(self):
        data, position = memoryview(self._unread), 0
        if data:
            self._unset_keepalive_if_required()
        while position < len(data) and not self.pipeline and not self.transport.is_closing():
            part = data[position : _slice_end(data.obj, position)]
            position += len(part)
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade as upgrade:
                rest = data[position - len(part) + upgrade.args[0] :]
                data, position = memoryview(self._without_upgrade() + rest), 0
                continue
            except httptools.HttpParserError:
                self._refuse(*(self._refusal or (400, "the request is not HTTP/1.1")))
            if self._in_header or self.progress == INCOMPLETE:
                self._message_bytes += len(part)
                beside = self._message_bytes - CHUNK_OVERHEAD * self._body_bytes  # header, chunk sizes, trailers
                if beside > self._limits.max_header_bytes + SLICE_BYTES:  # a part may begin with another request's end
                    self._refuse(*self._header_too_large())
        self._unread = bytes(data[position:])
        if self._unread:  # the client waits for us
            self._stop_timer()
            self.flow.pause_reading()
        elif self.cycle is None or not self.cycle.more_body or len(self.cycle.body) <= HIGH_WATER_LIMIT:
            self.flow.resume_reading()  # or the end of the connection would not be noticed
        if self._unread or self._timer or self.timeout_keep_alive_task or self.transport.is_closing():
            return
        if self._in_header:
            self._start_timer(self._limits.header_seconds)
        elif self.cycle is None or self.cycle.response_complete:  # empty lines, or the rest of a body
            self._start_timer(self._limits.idle_seconds)

    def _without_upgrade(self) -> bytes:
        """The header that was read, for a new parser: an upgrade is an offer, and declined by an answer in HTTP/1.1."""
        if self.parser.get_method() == b"CONNECT":
            self._refuse(400, "there is no CONNECT here")
            return b""
        line = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = (b"%s: %s" % (name, value) for name, value in self.headers if name != b"upgrade")
        header = b"\r\n".join([line, *headers, b"", b""])
        self._in_header = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        return header

    def _header_too_large(self) -> tuple[int, str]:
        return 431, f"a header may have at most {self._limits.max_header_bytes} bytes (--max_header_bytes)"

    # -- called by the parser -----------------------------------------------------------------------------------------

    def on_message_begin(self):
        super().on_message_begin()
        self._in_header, self._message_bytes, self._body_bytes = True, 0, 0

    def on_header(self, name: bytes, value: bytes):
        if self._in_header:  # not a trailer
            super().on_header(name, value)

    def on_body(self, body: bytes):
        self._body_bytes += len(body)
        super().on_body(body)

    def on_headers_complete(self):
        if self.parser.should_upgrade():
            return
        self._in_header = False
        self._stop_timer()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.max_header_bytes:
            self._refusal = self._header_too_large()
            raise ValueError(self._refusal)  # ends the parser's work
        super().on_headers_complete()

    def on_message_complete(self):
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        if self.cycle.response_complete:
            self._stop_timer()

    # -- answering ----------------------------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle, app):
        """As uvicorn's; a request whose client has gone is ended."""

        async def run(*arguments):
            try:
                await app(*arguments)
            except asyncio.CancelledError:
                if not (cycle.disconnected or cycle.response_complete):
                    raise

        self._task = self.loop.create_task(cycle.run_asgi(run))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    def on_response_complete(self):
        self.transport.flush()
        super().on_response_complete()
        if self.transport.is_closing():
            self._start_timer(self._limits.idle_seconds)  # to read the answer
        elif self.cycle.response_complete and self.cycle.more_body:
            self._unset_keepalive_if_required()
            self._start_timer(self._limits.idle_seconds)  # to send the rest
        if self._unread and not self.pipeline:
            self.loop.call_soon(self._read)

    def pause_writing(self):
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.max_seconds, self.transport.abort)

    def resume_writing(self):
        super().resume_writing()
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None

    def _refuse(self, status: int, message: str):
        """Answers with an error, and closes."""
        if self.transport.is_closing():
            return
        body = orjson.dumps({"error": message})
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    # -- timers -------------------------------------------------------------------------------------------------------

    def _start_timer(self, seconds: float):
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._time_is_over)

    def _stop_timer(self):
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _stop_timers(self):
        self._stop_timer()
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None

    def _time_is_over(self):
        self._timer = None
        if self._in_header and not self.transport.is_closing():
            self._refuse(408, f"the header was not complete after {self._limits.header_seconds:g} seconds")
        else:
            self.transport.abort()

    def timeout_keep_alive_handler(self):
        self.transport.abort() if self.transport.get_write_buffer_size() else self.transport.close()
