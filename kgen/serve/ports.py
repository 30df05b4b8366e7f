"""The ports of a server: taken where it starts, and tried before TensorFlow is imported."""

import contextlib
import os
import socket
import stat

from kgen.config import ServeConfig
from kgen.errors import UserError


def listen(config: ServeConfig) -> socket.socket:
    """The socket of REST, bound.

    Raises:
        UserError: the port cannot be taken.
    """
    host, port = config.host, config.port
    if config.rest_socket_path:
        return _listen_unix(config.rest_socket_path, "--rest_socket_path")
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
        if config.grpc_socket_path:
            raise UserError(f"--grpc_socket_path {config.grpc_socket_path} cannot be taken: {error}") from error
        what = f"--grpc_port {config.grpc_port} on --host {config.host} cannot be taken"
        raise UserError(f"{what}; choose another, 0 for any that is free") from error


def check_ports(config: ServeConfig):
    """Takes both ports and gives them back.

    Raises:
        UserError: one cannot be taken.
    """
    with listen(config):
        if config.grpc_socket_path:
            _listen_unix(config.grpc_socket_path, "--grpc_socket_path").close()
        else:
            with taking_grpc_port(config), _create(config.host, config.grpc_port):
                pass
    for path in filter(None, (config.rest_socket_path, config.grpc_socket_path)):
        os.unlink(path)


def free_socket_path(path: str, flag: str):
    """Removes the socket that a server left which is no more.

    Raises:
        UserError: something else is there.
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise UserError(f"{flag} {path}: there is a file that is no socket")
        with socket.socket(socket.AF_UNIX) as tried:
            tried.connect(path)
        raise UserError(f"{flag} {path}: a server listens there")
    except FileNotFoundError:
        pass
    except ConnectionRefusedError:
        os.unlink(path)


def _listen_unix(path: str, flag: str) -> socket.socket:
    free_socket_path(path, flag)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(path)
        bound.listen()
    except OSError as error:
        bound.close()
        raise UserError(f"{flag} {path}: {error}") from error
    return bound


def _create(host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
