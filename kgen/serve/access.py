"""Who may call: host names, origins of web pages, and bearer tokens.

A page of any site can make the browser of someone who visits it send requests to a server that only this browser can
reach. It is refused where it would read or change something: by its origin (cross-site requests), and by the name that
it calls the server (a name of the attacker's that leads to 127.0.0.1: DNS rebinding).
"""

import hmac
import ipaddress
from collections.abc import Callable, Mapping

import grpc
from starlette.responses import Response

from kgen.config import ServeConfig
from kgen.serve.validation import Code, ServingError, invalid

HEALTH_PATHS = {"/healthz", "/readyz", "/livez"}
"""Open to everybody: probes know neither name nor token."""
LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
PREFLIGHT_SECONDS = 600  # a browser remembers the answer


class Access:
    """The application behind its checks.

    Args:
        application: in ASGI.
        config: whom to let in.
        tokens: of which a call must show one; empty for none.
        failure: makes the answer of an error.
    """

    def __init__(
        self, application, config: ServeConfig, tokens: tuple[bytes, ...], failure: Callable[[ServingError], Response]
    ):
        self._application, self._tokens, self._failure = application, tokens, failure
        self._hosts = allowed_hosts(config)
        self._origins = {origin.lower().encode() for origin in config.allow_origin}

    async def __call__(self, scope, receive, send):
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        allowed = origin is not None and not self._origins.isdisjoint({origin.lower(), b"*"})
        if allowed:
            send = self._with_origin(send, b"*" if b"*" in self._origins else origin)
        try:
            self._check(scope, headers, allowed)
        except ServingError as error:
            return await self._failure(error)(scope, receive, send)
        if scope["method"] == "OPTIONS":
            return await self._options(headers, allowed)(scope, receive, send)
        return await self._application(scope, receive, send)

    def _check(self, scope, headers: Mapping[bytes, bytes], allowed: bool):
        if scope["path"] in HEALTH_PATHS:
            return
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._hosts is not None and host and _name_of(host) not in self._hosts:
            message = f"this server is not known as '{_name_of(host)}'; --allow_host {_name_of(host)} makes it known"
            raise ServingError(Code.PERMISSION_DENIED, message)
        if scope["method"] not in SAFE_METHODS and not allowed and _cross_origin(headers, host):
            page = headers.get(b"origin", b"").decode("latin-1")
            what, flag = (f"a page of {page}", page) if page else ("a page of another site", "with its origin")
            message = f"{what} may not call this server; --allow_origin {flag} allows it"
            raise ServingError(Code.PERMISSION_DENIED, message)
        if self._tokens and scope["method"] != "OPTIONS":
            check_token(headers.get(b"authorization", b""), self._tokens)

    def _options(self, headers: Mapping[bytes, bytes], allowed: bool) -> Response:
        """The answer to OPTIONS: without an origin an error, as of TF Serving."""
        if not headers.get(b"origin", b"").startswith((b"http://", b"https://")) and not allowed:
            return self._failure(invalid("Origin header is missing in CORS preflight"))
        found = {"Allow": "GET, POST, OPTIONS"}
        if allowed:
            found |= {
                "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
                "Access-Control-Allow-Headers": "Authorization, Content-Encoding, Content-Type",
                "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            }
            if b"access-control-request-private-network" in headers:
                found["Access-Control-Allow-Private-Network"] = "true"
        return Response(headers=found)

    @staticmethod
    def _with_origin(send, origin: bytes):
        async def sending(message):
            if message["type"] == "http.response.start":
                added = [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
                message = message | {"headers": [*message.get("headers", ()), *added]}
            await send(message)

        return sending


def _cross_origin(headers: Mapping[bytes, bytes], host: str) -> bool:
    """Whether a request comes from a page of another origin; the rules are those of Go's http.CrossOriginProtection."""
    if site := headers.get(b"sec-fetch-site"):
        return site not in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    return origin is not None and origin.decode("latin-1").lower().partition("://")[2] != host


def _name_of(host: str) -> str:
    """`localhost:8501` -> localhost, `[::1]:8501` -> ::1."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].rstrip(".")


def allowed_hosts(config: ServeConfig) -> set[str] | None:
    """The names by which the server may be called; None for any.

    On a loopback address these are its own and those of --allow_host, else those of --allow_host, or any without it.
    """
    given = {name.lower() for name in config.allow_host}
    loopback = config.host == "localhost" or (
        _is_address(config.host) and ipaddress.ip_address(config.host).is_loopback
    )
    if loopback or config.rest_socket_path or given:
        return None if "*" in given else given | LOOPBACK_NAMES | {config.host.lower()}
    return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_token(authorization: bytes, tokens: tuple[bytes, ...]):
    """Raises ServingError unless an Authorization header shows one of the tokens."""
    scheme, _, token = authorization.partition(b" ")
    known = [hmac.compare_digest(token.strip(), one) for one in tokens]
    if scheme.lower() != b"bearer" or not any(known):
        message = "a call needs the header 'Authorization: Bearer TOKEN' with a token of --token_file"
        raise ServingError(Code.UNAUTHENTICATED, message)


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Asks gRPC calls for a token, in the metadata `authorization`; not those of the health service."""

    def __init__(self, tokens: tuple[bytes, ...]):
        self._tokens = tokens

    async def intercept_service(self, continuation, details: grpc.HandlerCallDetails):
        """The handler of a call, or one that refuses it."""
        if not details.method.startswith("/grpc.health.v1.Health/"):
            shown = dict(details.invocation_metadata).get("authorization", b"")
            try:
                check_token(shown.encode() if isinstance(shown, str) else shown, self._tokens)
            except ServingError as error:
                return _refusing(error.message)
        return await continuation(details)


def _refusing(message: str) -> grpc.RpcMethodHandler:
    async def refuse(request, context):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, message)

    return grpc.unary_unary_rpc_method_handler(refuse)
