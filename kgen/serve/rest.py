"""TF Serving's REST calls, metrics, health and the page as a Starlette application.

https://www.tensorflow.org/tfx/serving/api_rest; the paths are those of http_rest_api_util.cc.
"""

import re
from urllib.parse import unquote

import orjson
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2

from kgen.serve import answers_json, metrics, page, tensors_json
from kgen.serve.errors import Code, ServingError, invalid, serving_error
from kgen.serve.predictor import Predictor, no_classifier
from kgen.serve.signature import DEFAULT

TARGET = r"/v1/models/([^/:]+)(?:/versions/([0-9]+)|/labels/([^/:]+))?"
CALL = re.compile(TARGET + r":(predict|classify|regress)", re.IGNORECASE)
LOOK = re.compile(TARGET + r"(/metadata)?", re.IGNORECASE)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
LARGEST_VERSION = 2**63 - 1


def application(predictor: Predictor) -> Starlette:
    """The routes over one Predictor."""

    async def count(request: Request) -> Response:
        return Response(predictor.metrics.text(), media_type=metrics.CONTENT_TYPE)

    async def health(request: Request) -> Response:
        return _json({"status": "ok", "models": predictor.store.serving()})

    async def api(request: Request) -> Response:
        try:
            return await answer(predictor, request)
        except ServingError as error:
            return _failure(error)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            return _failure(serving_error(error, predictor.limits.max_seconds))

    return Starlette(
        routes=[
            Route("/v1/{path:path}", api, methods=METHODS),  # first: what is asked most
            Route("/metrics", count),
            Route("/monitoring/prometheus/metrics", count),
            Route("/healthz", health),
            *page.routes(predictor.store),
            Route("/{path:path}", api, methods=METHODS),
        ]
    )


async def answer(predictor: Predictor, request: Request) -> Response:
    """The answer to a call below /v1."""
    path = request.scope["raw_path"].decode("latin-1")
    if not path.lower().startswith("/v1/"):
        raise ServingError(Code.NOT_FOUND, f"Not Found: {path}")
    if request.method == "POST" and (found := CALL.fullmatch(path)):
        name, version, label = _target(found)
        if found[4].lower() == "predict":
            return await _predict(predictor, request, name, version, label)
        return await _classify(predictor, request, name, version, label, found[4].lower())
    if request.method == "GET" and (found := LOOK.fullmatch(path)):
        name, version, label = _target(found)
        if found[4]:
            return _metadata(predictor.metadata(name, version, label))
        return _json(_to_dict(predictor.status(name, version)))
    if request.method == "GET" and path.rstrip("/").lower() == "/v1/models":
        raise invalid("Missing model name in request.")
    raise invalid(f"Malformed request: {request.method} {path}")


def _target(found: re.Match) -> tuple[str, int | None, str | None]:
    """Name, version and label; names are looked up among known models and never become paths."""
    version = found[2] and int(found[2])
    if version is not None and version > LARGEST_VERSION:
        raise invalid(f"Failed to convert version: {found[2]} to numeric.")
    return unquote(found[1]), version, found[3] and unquote(found[3])


async def _predict(
    predictor: Predictor, request: Request, name: str, version: int | None, label: str | None
) -> Response:
    async with predictor.request("rest") as account:
        body = await _body(predictor, request)
        predictor.limits.check_depth(body)
        values = tensors_json.parse(body)
        wanted = tensors_json.signature_name(values)
        found = predictor.store.find(name, version, label)
        account.model = name
        with found.lease() as servable:
            signature = servable.loaded.signature(wanted)
            if signature is None:
                raise invalid(f'Serving signature name: "{wanted or DEFAULT}" not found in signature def')
            account.signature = signature.name
            inputs, by_rows = tensors_json.inputs_of(values, signature)
            outputs = await predictor.predict(servable, signature, inputs)
        return Response(answers_json.answer(outputs, by_rows), media_type="application/json")


async def _classify(
    predictor: Predictor, request: Request, name: str, version: int | None, label: str | None, method: str
) -> Response:
    async with predictor.request("rest"):
        body = await _body(predictor, request)
        predictor.limits.check_depth(body)
        wanted = tensors_json.signature_name(tensors_json.parse(body))
        with predictor.store.find(name, version, label).lease() as servable:
            raise no_classifier(servable.loaded.signature(wanted), wanted or DEFAULT, method)


async def _body(predictor: Predictor, request: Request) -> bytes:
    """The body of a request, read no further than it may be long."""
    limits = predictor.limits
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced) > limits.max_body_bytes:
        raise limits.body_too_large()
    parts, length = [], 0
    async for part in request.stream():
        parts.append(part)
        length += len(part)
        if length > limits.max_body_bytes:
            raise limits.body_too_large()
    return b"".join(parts)


def _metadata(response) -> Response:
    """As http_rest_api_util.cc prints it: the map itself, without the Any around it."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return _json({"model_spec": _to_dict(response.model_spec), "metadata": {"signature_def": _to_dict(signatures)}})


def _to_dict(message) -> dict:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _json(values, status: int = 200) -> Response:
    return Response(orjson.dumps(values, option=orjson.OPT_INDENT_2), status, media_type="application/json")


def _failure(error: ServingError) -> Response:
    return _json({"error": error.message.encode("utf-8", "replace").decode()}, error.http_status)
