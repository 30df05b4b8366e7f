"""The HTTP application: TF Serving's REST calls, metrics, health, and a page for people.

https://www.tensorflow.org/tfx/serving/api_rest; the paths are those of http_rest_api_util.cc. The page at `/` uses the
public REST calls, and one endpoint of its own for what TF Serving does not state: `GET /page/models.json`.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from urllib.parse import unquote

import orjson
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2

from kgen.config import ServeConfig
from kgen.provenance import tagged
from kgen.sampling.exported import LARGEST_VERSION, class_numbers_of, version_number
from kgen.serve import metrics
from kgen.serve.access import Access
from kgen.serve.codec import answer_bytes, decode_query, encode_json
from kgen.serve.examples import to_json
from kgen.serve.models import ModelStore, Version
from kgen.serve.parsing import SMALL_BYTES, JsonBody, Memory
from kgen.serve.predictor import SMALL_ARRAY_BYTES, Predictor
from kgen.serve.validation import Code, ServingError, body_too_large, client_gone, invalid, serving_error

MODEL = r"/v1/models/([^/:]+)(?:/versions/([0-9]+)|/labels/([^/:]+))?"
POST = re.compile(MODEL + r":(predict|classify|regress)", re.IGNORECASE)
GET = re.compile(MODEL + r"(/metadata)?", re.IGNORECASE)
IMAGE = re.compile(MODEL + r"/image\.png", re.IGNORECASE)
IMAGE_SIGNATURE, IMAGE_OUTPUT = "generate_png", "png_bytes"
PIECE_BYTES = 2**18
"""So much of a large answer is sent at once."""
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

Target = tuple[str, int | None, str | None]
"""(model, version, label)"""


def application(predictor: Predictor, config: ServeConfig, tokens: tuple[bytes, ...]) -> Access:
    """All routes over one Predictor, for those who may call them."""

    async def api(request: Request) -> Response:
        try:
            return await answer(predictor, request)
        except ServingError as error:
            return _failure(error)
        except Exception as error:
            return _failure(serving_error(error, predictor.limits.max_seconds))

    async def prometheus(request: Request) -> Response:
        return Response(predictor.metrics.text(), media_type=metrics.CONTENT_TYPE)

    async def ready(request: Request) -> Response:
        store = predictor.store
        status, code = ("ok", 200) if store.ready else ("not ready", 503)
        return _json({"status": status, "models": store.available()}, code)

    async def alive(request: Request) -> Response:
        return _json({"status": "ok"})

    others = Starlette(
        routes=[
            Route("/metrics", prometheus),
            Route("/monitoring/prometheus/metrics", prometheus),
            Route("/readyz", ready),
            Route("/healthz", ready),
            Route("/livez", alive),
            *page_routes(predictor.store),
            Route("/{path:path}", api, methods=METHODS),
        ]
    )

    async def routes(scope, receive, send):
        if scope["path"].startswith("/v1/"):  # the most frequent, without Starlette's layers
            response = await api(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await others(scope, receive, send)

    return Access(routes, config, tokens, _failure)


async def answer(predictor: Predictor, request: Request) -> Response:
    """The answer to a REST call.

    Raises:
        ServingError: there is no such call, or it fails.
    """
    path = request.scope["raw_path"].decode("latin-1")
    if not path.lower().startswith("/v1/"):
        raise ServingError(Code.NOT_FOUND, f"Not Found: {path}")
    if request.method == "POST" and (found := POST.fullmatch(path)):
        target, method = _target(found), found[4].lower()
        if method == "predict":
            return await _predict(predictor, request, target)
        return await _classify(predictor, request, target, method)
    if request.method == "GET" and (found := GET.fullmatch(path)):
        name, version, label = _target(found)
        if found[4]:
            return _metadata(predictor.metadata(name, version, label))
        return _json(_dict(predictor.status(name, version)))
    if request.method == "GET" and (found := IMAGE.fullmatch(path)):
        return await _image(predictor, request, _target(found))
    raise invalid(f"no such call: {request.method} {path}; POST /v1/models/NAME:predict, or GET /v1/models/NAME")


def _target(found: re.Match) -> Target:
    """Names are looked up among known models and never become paths."""
    version = found[2] and version_number(found[2].lstrip("0") or "0")
    if found[2] and version is None:
        raise invalid(f"a version may be at most {LARGEST_VERSION}. Received: {found[2][:100]}")
    return unquote(found[1]), version, found[3] and unquote(found[3])


async def _predict(predictor: Predictor, request: Request, target: Target) -> Response:
    async with predictor.request("rest", "predict") as account, _body(predictor, request) as (body, encoding):
        with predictor.gate, contextlib.ExitStack() as leases:
            async with predictor.parser.parsed(JsonBody, body, encoding) as parsed:
                version = predictor.store.find(*target)
                account.model = version.model
                servable = leases.enter_context(version.lease())
                signature = servable.loaded.signature(parsed.head)
                account.signature = signature.name
                inputs, by_rows = await parsed.inputs(signature)
            outputs = await predictor.predict(servable, signature, inputs)
        if (size := answer_bytes(outputs)) <= SMALL_ARRAY_BYTES:
            return Response(encode_json(outputs, by_rows), media_type="application/json")
        with predictor.answers.taken(size):
            written = await asyncio.to_thread(encode_json, outputs, by_rows)
        return LargeAnswer(written, predictor.answers)


class LargeAnswer(Response):
    """An answer that is sent as fast as the client reads it, and counts to the memory of large answers until then.

    Args:
        text: JSON.
        memory: of large answers.

    Raises:
        ServingError: there is not as much left.
    """

    def __init__(self, text: bytes, memory: Memory):
        super().__init__(text, media_type="application/json")
        memory.take(len(text))
        self._memory = memory

    async def __call__(self, scope, receive, send):
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for first in range(0, len(self.body), PIECE_BYTES):
                piece, more = self.body[first : first + PIECE_BYTES], first + PIECE_BYTES < len(self.body)
                await send({"type": "http.response.body", "body": piece, "more_body": more})
        finally:
            self._memory.give_back(len(self.body))


async def _image(predictor: Predictor, request: Request, target: Target) -> Response:
    """A picture for `<img src>`; TF Serving has no such call."""
    async with predictor.request("rest") as account:
        with predictor.gate:
            version = predictor.store.find(*target)
            account.model = version.model
            with version.lease() as servable:
                signature = servable.loaded.signature(IMAGE_SIGNATURE)
                account.signature = signature.name
                inputs = decode_query(request.scope["query_string"].decode("latin-1"), signature)
                outputs = await predictor.predict(servable, signature, inputs, [IMAGE_OUTPUT])
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    content = outputs[IMAGE_OUTPUT][0]
    if servable.loaded.origin:
        content = tagged(content, servable.loaded.origin | _request_of(inputs))
    return Response(content, media_type="image/png", headers=headers)


def _request_of(inputs: dict) -> dict:
    """The seed, the class and the temperature of a picture; see `kgen.provenance`."""
    label = inputs.get("label")
    return {
        "seed": int(inputs["seed"][0]),
        "label": None if label is None else str(int(label[0])),
        "temperature": float(inputs["temperature"][0]) if "temperature" in inputs else 1.0,
    }


async def _classify(predictor: Predictor, request: Request, target: Target, method: str) -> Response:
    async with predictor.request("rest", method) as account, _body(predictor, request) as (body, encoding):
        with predictor.gate, contextlib.ExitStack() as leases:
            async with predictor.parser.parsed(JsonBody, body, encoding) as parsed:
                examples = await parsed.examples()
                version = predictor.store.find(*target)
                account.model = version.model
                servable = leases.enter_context(version.lease())
                signature = servable.loaded.signature(parsed.head)
                account.signature = signature.name
            result = await predictor.classify(servable, signature, method, examples)
        return Response(to_json(result), media_type="application/json")


@contextlib.asynccontextmanager
async def _body(predictor: Predictor, request: Request) -> AsyncIterator[tuple[bytes, str]]:
    """The body and its content coding, of which no more is read than --max_body_bytes; it counts to the memory of
    large bodies as long as the context lasts."""
    limits, memory = predictor.limits, predictor.parser.memory
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced) > limits.max_body_bytes:
        raise body_too_large(limits.max_body_bytes)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    parts, length, taken = [], 0, 0
    try:
        async for part in _stream(request):
            parts.append(part)
            length += len(part)
            if length > limits.max_body_bytes:
                raise body_too_large(limits.max_body_bytes)
            if length > SMALL_BYTES:
                memory.take(length - taken)
                taken = length
        body = b"".join(parts)
        parts.clear()
        yield body, "" if encoding == "identity" else encoding
    finally:
        memory.give_back(taken)


async def _stream(request: Request) -> AsyncIterator[bytes]:
    """The parts of the body.

    Raises:
        ServingError: the client closed the connection before its end.
    """
    try:
        async for part in request.stream():
            yield part
    except ClientDisconnect as error:
        raise client_gone() from error


def _metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> Response:
    """As http_rest_api_util.cc prints it: the map itself, without the Any around it."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return _json({"model_spec": _dict(response.model_spec), "metadata": {"signature_def": _dict(signatures)}})


def _dict(message) -> dict:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _json(values, status: int = 200) -> Response:
    return Response(orjson.dumps(values, option=orjson.OPT_INDENT_2), status, media_type="application/json")


def _failure(error: ServingError) -> Response:
    response = _json({"error": error.message.encode("utf-8", "replace").decode()}, error.http_status)
    if error.code == Code.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


# The page -------------------------------------------------------------------------------------------------------------

MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page_routes(store: ModelStore) -> list[Route]:
    """The page at `/`, its files at `/page/NAME`, and the models that it offers at `/page/models.json`."""

    async def models(request: Request) -> Response:
        found = [store.find(name, number) for name, numbers in store.available().items() for number in numbers[::-1]]
        described = await asyncio.to_thread(lambda: [describe_model(version) for version in found])
        return Response(orjson.dumps({"models": described}), headers=HEADERS, media_type="application/json")

    def route(path: str, file) -> Route:
        content, media_type = file.read_bytes(), MEDIA_TYPES[Path(file.name).suffix]

        async def send(request: Request) -> Response:
            return Response(content, headers=HEADERS, media_type=media_type)

        return Route(path, send)

    web = resources.files("kgen.web")
    folder = web / "serve_page"
    files = [file for file in (*(web / "shared").iterdir(), *folder.iterdir()) if Path(file.name).suffix in MEDIA_TYPES]
    return [
        Route("/page/models.json", models),
        route("/", folder / "index.html"),
        *(route(f"/page/{file.name}", file) for file in sorted(files, key=lambda file: file.name)),
    ]


def describe_model(version: Version) -> dict:
    """What the page shows of a version.

    Returns:
        {"name", "version", "signatures": their names, "problem": why "kgen" is None, else None, "kgen": see
        `read_manifest`, "origin": see `kgen.serve.models.origin_of`}.
    """
    servable = version.servable  # None as soon as the version is retired
    signatures = sorted(servable.loaded.signatures) if servable else []
    manifest, problem = None, None
    try:
        manifest = read_manifest(version.path)
    except FileNotFoundError:
        problem = "it has no manifest.json, so kgen did not export it"
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"its manifest.json was not written by kgen ({error!r})"
    return {
        "name": version.model,
        "version": version.number,
        "signatures": signatures,
        "problem": problem,
        "kgen": manifest,
        "origin": servable.loaded.origin if servable else {},
    }


def read_manifest(path: Path) -> dict:
    """The part of an export's manifest that the page needs, each value converted to its type.

    Returns:
        {"class_names", "class_numbers", "num_classes", "latent_shape", "image_shape", "prior", "conditional",
        "ranges"}.

    Raises:
        OSError, ValueError, TypeError, KeyError, AttributeError: there is none, or kgen did not write it.
    """
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    height, width, channels = map(int, manifest["spec"]["image_shape"])
    return {
        "class_names": [str(name) for name in manifest["class_names"]],
        "class_numbers": [int(number) for number in class_numbers_of(manifest)],
        "num_classes": int(manifest["spec"]["num_classes"]),
        "latent_shape": [int(side) for side in manifest["latent_shape"]],
        "image_shape": [height, width, channels],
        "prior": str(manifest["prior"]),
        "conditional": bool(manifest["conditional"]),
        "ranges": {name: [low + 0, high + 0] for name, (low, high) in manifest["ranges"].items()},
    }
