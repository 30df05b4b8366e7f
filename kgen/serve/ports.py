"""The ports of a server: taken where it starts, and tried before TensorFlow is imported."""

import contextlib
import os
import socket

from kgen.config import ServeConfig
from kgen.errors import UserError


def listen(config: ServeConfig) -> socket.socket:
    """The socket of REST, bound.

    Raises:
        UserError: the port cannot be taken.
    """
    host, port = config.host, config.port
    try:
        bound = _create(host, port)
    except OSError as error:
        what = f"--port {port} on --host {host}: {os.strerror(error.errno) if error.errno else error}"
        raise UserError(f"{what}; choose another with --port, 0 for any that is free") from error
    # Accepted sockets inherit it; asyncio sets it only on sockets made with IPPROTO_TCP. Without it an answer,
    # sent as head and body, waits 40 ms for the client's delayed acknowledgement.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


@contextlib.contextmanager
def taking_grpc_port(config: ServeConfig):
    """Raises UserError where the port of gRPC cannot be taken: gRPC raises a RuntimeError, a socket an OSError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        what = f"--grpc_port {config.grpc_port} on --host {config.host} cannot be taken"
        raise UserError(f"{what}; choose another, 0 for any that is free") from error


def check_ports(config: ServeConfig):
    """Takes both ports and gives them back.

    Raises:
        UserError: one cannot be taken.
    """
    with listen(config), taking_grpc_port(config), _create(config.host, config.grpc_port):
        pass


def _create(host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
