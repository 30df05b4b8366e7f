"""A stand-in for an object store on this machine: a web server that sends ranges of the files of a folder."""

import contextlib
import gc
import http.server
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    """GET and HEAD; files have ETags of their size and time of change."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_HEAD(self):
        self._answer(only_headers=True)

    def do_GET(self):
        self._answer()

    def _answer(self, *, only_headers: bool = False):
        server, name = self.server, urllib.parse.unquote(self.path).lstrip("/")
        time.sleep(server.delay)
        path = server.folder / name
        asked = self.headers.get("Range")
        if asked and server.fault(name):
            return self._empty(503)
        if not path.is_file():
            return self._empty(404)
        status = path.stat()
        tag = f'"{status.st_size}-{status.st_mtime_ns}"'
        if self.headers.get("If-Match", tag) != tag:
            return self._empty(412)
        code, first, last = 200, 0, status.st_size - 1
        if asked and server.sends_ranges:
            code = 206
            first, last = (int(place) for place in asked.removeprefix("bytes=").split("-"))
            if first >= status.st_size:
                return self._empty(416)
            last = min(last, status.st_size - 1)
        self.send_response(code)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(last + 1 - first))
        if code == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{status.st_size}")
        self.end_headers()
        if only_headers:
            return None
        with open(path, "rb") as file:
            file.seek(first)
            content = file.read(last + 1 - first)
        if asked and server.cuts_off(name):
            content = content[: len(content) // 2]
            self.close_connection = True
        server.answers.append((name, len(content)))
        self.wfile.write(content)
        return None

    def _empty(self, code: int):
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class RangeServer(http.server.ThreadingHTTPServer):
    """The store.

    Attributes:
        folder: whose files it sends.
        delay: seconds before each answer.
        sends_ranges: else it sends whole files.
        fault, cuts_off: functions of a name: whether an answer to a range is 503, or ends in its middle.
        answers: (name, bytes of content) of each, in their order.
    """

    daemon_threads, request_queue_size = True, 128

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.delay, self.sends_ranges = folder, 0.0, True
        self.fault = self.cuts_off = lambda name: False
        self.answers: list[tuple[str, int]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def requests(self) -> Counter:
        """Name -> how many answers had content of it."""
        return Counter(name for name, _ in list(self.answers))

    @property
    def bytes(self) -> Counter:
        """Name -> bytes of it that were sent."""
        found = Counter()
        for name, size in list(self.answers):
            found[name] += size
        return found

    def reset(self):
        """Counts from here on."""
        self.answers.clear()

    def handle_error(self, *args):
        """A client that went away is no error."""


@contextlib.contextmanager
def range_server(folder: Path) -> Iterator[RangeServer]:
    """A store that runs.

    Meanwhile Python collects no garbage but at the end: an iterator of TensorFlow that a thread of the store collects
    would wait for the reads that wait for that thread.
    """
    with RangeServer(folder) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        gc.disable()
        try:
            yield server
        finally:
            gc.collect()
            gc.enable()
            server.shutdown()
