"""The files of --token_file, --ssl_certificate and --ssl_key, read before TensorFlow is imported."""

import re
import ssl
from pathlib import Path

import grpc

from kgen.config import ServeConfig
from kgen.errors import UserError

ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s]+", re.IGNORECASE)


def read_tokens(config: ServeConfig) -> tuple[bytes, ...]:
    """The lines of --token_file.

    Raises:
        UserError: it cannot be read, or holds none.
    """
    if not config.token_file:
        return ()
    tokens = tuple(line.strip() for line in _read(config.token_file, "--token_file").splitlines() if line.strip())
    if not tokens:
        raise UserError(f"--token_file {config.token_file} is empty; write a token into each of its lines")
    return tokens


def tls_context(config: ServeConfig) -> ssl.SSLContext | None:
    """The TLS of the REST port; None without --ssl_certificate.

    Raises:
        UserError: the certificate and the key cannot be read, or do not fit.
    """
    if not config.ssl_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for flag in ("ssl_certificate", "ssl_key"):
        _read(getattr(config, flag), f"--{flag}")
    try:
        context.load_cert_chain(config.ssl_certificate, config.ssl_key, password=lambda: "")
    except (OSError, ValueError) as error:
        what = f"--ssl_certificate {config.ssl_certificate} and --ssl_key {config.ssl_key}"
        raise UserError(f"{what} are no certificate (PEM) and its unencrypted key: {error}") from error
    return context


def grpc_credentials(config: ServeConfig) -> grpc.ServerCredentials | None:
    """The TLS of the gRPC port; None without --ssl_certificate."""
    if not config.ssl_certificate:
        return None
    key, certificate = _read(config.ssl_key, "--ssl_key"), _read(config.ssl_certificate, "--ssl_certificate")
    return grpc.ssl_server_credentials([(key, certificate)])


def _read(file: str, flag: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UserError(f"{flag} {file} cannot be read: {error.strerror}") from error


def check_access(config: ServeConfig):
    """Reads all files.

    Raises:
        UserError: for the first that is wrong, and an --allow_origin that is none.
    """
    read_tokens(config)
    tls_context(config)
    for origin in config.allow_origin:
        if not ORIGIN.fullmatch(origin):
            raise UserError(f"--allow_origin takes origins like https://example.org:8080, or *. Received: {origin}")
