"""Who may call: origins, hosts, tokens, TLS, Unix sockets; and pictures for `<img src>`."""

import ssl
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving_case import NUMBERS, SECONDS, request_of, running
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tf_serving_cases import case
from tiny_models import images_of, png_of

from kgen.config import ServeConfig
from kgen.errors import UserError
from kgen.serve.access import Access, allowed_hosts
from kgen.serve.app import _failure
from kgen.serve.credentials import check_access

BODY = {"inputs": {"label": [1], "seed": [2]}}
PAGE = "https://page.example"


def client(tokens: tuple[bytes, ...] = (), **settings) -> TestClient:
    """Of an application that answers everything."""
    access = Access(PlainTextResponse("in"), ServeConfig(**settings), tokens, _failure)
    return TestClient(access, base_url="http://localhost:8501")


FROM_PAGE = {"Origin": PAGE, "Content-Type": "text/plain"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        (FROM_PAGE, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:8501"}, 200),
        ({"Origin": "http://localhost:8502"}, 403),
        ({"Origin": "http://localhost:8501", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://behind.proxy", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_pages_of_other_origins_may_not_post(headers, status):
    answer = client().post("/v1/models/tiny:predict", headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    if headers is FROM_PAGE:
        assert f"--allow_origin {PAGE}" in answer.json()["error"]
    assert client().get("/v1/models/tiny", headers=headers).status_code == 200


def test_pages_of_an_allowed_origin():
    allowed = client(allow_origin=(PAGE, "null"))
    for origin in (PAGE, "null"):
        answer = allowed.post("/v1/models/tiny:predict", headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
        assert answer.headers["vary"] == "Origin"
    assert allowed.post("/", headers={"Origin": "https://other.example"}).status_code == 403
    everybody = client(allow_origin=("*",))
    assert everybody.post("/", headers=FROM_PAGE).headers["access-control-allow-origin"] == "*"


def test_options():
    """As http_server.cc of TF Serving: an origin is needed; headers of CORS only where they are switched on."""
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = client().options("/v1/models/tiny:predict", headers=asked)
    assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers
    answer = client().options("/v1/models/tiny:predict")
    assert answer.status_code == 400 and answer.json() == {"error": "Origin header is missing in CORS preflight"}
    answer = client((b"secret",), allow_origin=(PAGE,)).options("/v1/models/tiny:predict", headers=asked)  # no token
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == PAGE
    assert "Content-Type" in answer.headers["access-control-allow-headers"]
    assert "POST" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        ({}, "localhost:8501", 200),
        ({}, "127.0.0.1", 200),
        ({}, "[::1]:8501", 200),
        ({}, "localhost.:8501", 200),
        ({}, "evil.example:8501", 403),
        ({"allow_host": ("my.example",)}, "MY.example", 200),
        ({"allow_host": ("*",)}, "evil.example", 200),
        ({"host": "0.0.0.0"}, "evil.example", 200),
        ({"host": "0.0.0.0", "allow_host": ("my.example",)}, "evil.example", 403),
        ({"host": "0.0.0.0", "allow_host": ("my.example",)}, "my.example:80", 200),
        ({"host": "::1"}, "evil.example", 403),
        ({"rest_socket_path": "x"}, "evil.example", 403),
    ],
)
def test_names_of_the_server(settings, host, status):
    asking = client(**settings)
    answer = asking.get("/v1/models/tiny", headers={"Host": host})
    assert answer.status_code == status
    assert asking.get("/healthz", headers={"Host": host}).status_code == 200  # a probe knows no name
    if status == 403:
        assert "--allow_host evil.example" in answer.json()["error"]


def test_the_name_that_is_listened_on_is_known():
    assert "localhost" in allowed_hosts(ServeConfig(host="127.0.0.2")) >= {"127.0.0.2"}
    assert allowed_hosts(ServeConfig(host="192.0.2.1")) is None


@pytest.mark.parametrize(
    ("shown", "status"),
    [("Bearer one", 200), ("bearer two ", 200), ("Bearer on", 401), ("Bearer", 401), ("Basic one", 401), (None, 401)],
)
def test_tokens(shown, status):
    asking = client((b"one", b"two"))
    headers = {} if shown is None else {"Authorization": shown}
    for path in ("/v1/models/tiny", "/metrics", "/", "/page/models.json", "//healthz"):
        answer = asking.get(path, headers=headers)
        assert answer.status_code == status, path
        if status == 401:
            assert answer.headers["www-authenticate"] == "Bearer" and "--token_file" in answer.json()["error"]
    assert asking.get("/livez").status_code == 200


# Servers --------------------------------------------------------------------------------------------------------------


def test_tls_and_tokens_on_both_ports(tiny, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    authority, certificate, key = (str(tmp_path / name) for name in ("authority.pem", "certificate.pem", "key.pem"))
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(authority)
    issued = issuer.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    with running(tiny, ssl_certificate=certificate, ssl_key=key, token_file=str(tokens)) as server:
        assert f"REST https://127.0.0.1:{server.server.port}" in server.server.ready()
        url, shown = f"https://localhost:{server.server.port}", {"Authorization": "Bearer secret"}
        with httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=authority), timeout=SECONDS) as http:
            assert http.post("/v1/models/tiny:predict", json=BODY).status_code == 401
            answer = http.post("/v1/models/tiny:predict", json=BODY, headers=shown)
            np.testing.assert_array_equal(answer.json()["outputs"], images_of([1], [2]))
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https", "http") + "/healthz", timeout=SECONDS)
        credentials = grpc.ssl_channel_credentials(Path(authority).read_bytes())
        with grpc.secure_channel(f"localhost:{server.server.grpc_port}", credentials) as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            with pytest.raises(grpc.RpcError) as raised:
                predict(request_of(server, **NUMBERS), SECONDS)
            assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
            predict(request_of(server, **NUMBERS), SECONDS, metadata=[("authorization", "Bearer secret")])
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), SECONDS)  # needs none


@case("tensorflow_model_server_test: testPredictUDS")
def test_unix_sockets(tiny, tmp_path):
    rest, other = str(tmp_path / "rest"), str(tmp_path / "grpc")
    for _ in range(2):  # the second finds what the first left
        with running(tiny, rest_socket_path=rest, grpc_socket_path=other) as server:
            assert f"--unix-socket {rest} -d" in server.server.ready()
            with httpx.Client(transport=httpx.HTTPTransport(uds=rest), base_url="http://localhost") as http:
                answer = http.post("/v1/models/tiny:predict", json=BODY)
                np.testing.assert_array_equal(answer.json()["outputs"], images_of([1], [2]))
            with grpc.insecure_channel(f"unix:{other}") as channel:
                predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
                assert predict(request_of(server, **NUMBERS), SECONDS).outputs["images"].dtype == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ssl_certificate": "x"}, "--ssl_certificate and --ssl_key are given together"),
        ({"ssl_certificate": "no", "ssl_key": "no"}, "--ssl_certificate no cannot be read"),
        ({"ssl_certificate": __file__, "ssl_key": __file__}, "are no certificate"),
        ({"token_file": "/dev/null"}, "--token_file /dev/null is empty"),
        ({"token_file": "no"}, "--token_file no cannot be read"),
        ({"allow_origin": ("page.example",)}, "--allow_origin takes origins like"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(UserError, match=message):
        check_access(ServeConfig(**settings))


# Pictures -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["", "/versions/1", "/labels/stable"])
def test_a_picture_by_its_address(served, target):
    answer = served.get(f"{target}/image.png?label=3&seed=7")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == png_of(3, 7)
    assert served.get(f"{target}/image.png?label=3").content == png_of(3, 0)


def test_a_picture_that_is_none(served):
    for target, status, word in (
        ("/image.png", 400, "label"),
        ("/image.png?label=a", 400, "number"),
        ("/versions/9/image.png?label=1", 404, "9"),
        ("/image.png?label=1&temperature=1", 400, "label, seed"),
    ):
        answer = served.get(target)
        assert answer.status_code == status and word in answer.json()["error"]
