"""A stand-in for Google Cloud Storage on this machine, which TensorFlow's own client of gs:// talks to.

The client asks www.googleapis.com and storage.googleapis.com by TLS, and no setting changes that. But it heeds a proxy
and a file of authorities: the stand-in is a proxy that answers itself, with a certificate for these names.
"""

import contextlib
import json
import os
import random
import socketserver
import ssl
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

HOSTS = ("www.googleapis.com", "storage.googleapis.com")


class Handler(BaseHTTPRequestHandler):
    """The calls of the JSON API that the client makes; objects are bytes by "bucket/name"."""

    protocol_version = "HTTP/1.1"

    def do_CONNECT(self):
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def _answer(self, code: int, body: bytes = b"", **headers: str):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _object(self) -> tuple[str, dict[str, str]]:
        """ "bucket/name" and the parameters of a call."""
        url = urllib.parse.urlsplit(self.path)
        parts = [urllib.parse.unquote(part) for part in url.path.split("/") if part]
        values = dict(urllib.parse.parse_qsl(url.query))
        if parts[:2] == ["storage", "v1"] or parts[:3] == ["upload", "storage", "v1"]:  # …/b/BUCKET/o/NAME
            at = parts.index("b")
            return "/".join([parts[at + 1], *parts[at + 3 :]]), values
        return "/".join(parts), values

    def do_GET(self):
        objects, (name, values) = self.server.objects, self._object()
        api = self.path.startswith("/storage/v1/")
        if api and "/" not in name:  # a bucket: whether it is there, or what is in it
            if "/o" not in urllib.parse.urlsplit(self.path).path:
                return self._answer(200, json.dumps({"name": name, "location": "here"}).encode())
            return self._answer(200, json.dumps(self._listed(name, values)).encode())
        if name not in objects:
            return self._answer(404)
        content, generation = objects[name]
        if api:
            about = {"size": str(len(content)), "generation": str(generation), "updated": "2026-01-01T00:00:00.000Z"}
            return self._answer(200, json.dumps(about).encode())
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        if int(first) >= len(content):
            return self._answer(416)
        return self._answer(206, content[int(first) : int(last) + 1 if last else None])

    def _listed(self, bucket: str, values: dict[str, str]) -> dict:
        prefix, delimiter = values.get("prefix", ""), values.get("delimiter", "")
        names = sorted(name.removeprefix(f"{bucket}/") for name in self.server.objects if name.startswith(f"{bucket}/"))
        items, prefixes = [], set()
        for name in names:
            rest = name.removeprefix(prefix)
            if name.startswith(prefix):
                if delimiter and delimiter in rest:
                    prefixes.add(prefix + rest.partition(delimiter)[0] + delimiter)
                else:
                    items.append({"name": name})
        return {"items": items, "prefixes": sorted(prefixes)}

    def do_POST(self):
        self._body()
        name, values = self._object()
        if self.server.refuses():
            return self._answer(503)
        session = f"https://{HOSTS[0]}/upload/storage/v1/b/{name}/o/{urllib.parse.quote(values['name'], '')}"
        return self._answer(200, Location=session)

    def do_PUT(self):
        content = self._body()
        if self.server.refuses():
            return self._answer(503)
        with self.server.lock:
            self.server.written += 1
            self.server.objects[self._object()[0]] = (content, self.server.written)
        return self._answer(200, b"{}")

    def do_DELETE(self):
        found = self.server.objects.pop(self._object()[0], None)
        return self._answer(404 if found is None else 204)

    def log_message(self, *args):
        pass


class CloudStorage(socketserver.ThreadingTCPServer):
    """The stand-in. `share` of its writes are refused with 503, which the client repeats."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext, share: float = 0.0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls, self.share, self.objects, self.written, self.lock = tls, share, {}, 0, threading.Lock()
        self.refused, self._draw = 0, random.Random(0)

    def refuses(self) -> bool:
        found = self._draw.random() < self.share
        self.refused += found
        return found


@contextlib.contextmanager
def cloud_storage(folder: Path, share: float = 0.0) -> Iterator[tuple[CloudStorage, dict[str, str]]]:
    """A stand-in, and the environment of a process that talks to it."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS).configure_cert(tls)
    with CloudStorage(tls, share) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield (
            server,
            os.environ
            | {
                "https_proxy": f"http://127.0.0.1:{server.server_address[1]}",
                "CURL_CA_BUNDLE": str(folder / "authority.pem"),
                "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
                "NO_GCE_CHECK": "true",
                "no_proxy": "",
                "GCS_RETRY_CONFIG_INIT_DELAY_TIME_US": "1000",
            },
        )
        server.shutdown()
