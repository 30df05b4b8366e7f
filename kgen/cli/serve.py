"""kgen-serve: serves exports with TF Serving's REST and gRPC calls."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from kgen.cli.command import Command
from kgen.config import RequestLimits, ServeConfig
from kgen.errors import UserError

EXAMPLES = (
    ("kgen-serve exports/", "every model below exports/, REST on port 8501, gRPC on 8500, for this machine alone"),
    ("kgen-serve exports/cvae --port 9001 --grpc_port 9000", "one model, other ports"),
    ("kgen-serve exports/ --max_batch_size 16 --max_concurrent 32", "smaller batches, fewer requests at once"),
    ("kgen-serve exports/ --engine tf_serving", "starts the TF Serving that is installed here on the same folder"),
)
OWN = (
    "rest_socket_path",
    "grpc_socket_path",
    "ssl_certificate",
    "ssl_key",
    "token_file",
    "allow_origin",
    "allow_host",
)
"""Settings that TF Serving is not given."""
PACKAGES = ("starlette", "uvicorn", "grpc", "grpc_health", "tensorflow_serving", "prometheus_client", "orjson")


def command() -> Command:
    """The command line."""
    cmd = Command(
        "kgen-serve",
        "serve exports as TF Serving does.",
        EXAMPLES,
        ("FOLDER",),
    )
    cmd.options(ServeConfig, "Batches")
    cmd.flag(
        "Models",
        "enum",
        "engine",
        "kgen",
        "Server: this program, or the tensorflow_model_server that is installed here.",
        enum_values=["kgen", "tf_serving"],
    )
    cmd.options(RequestLimits, "Limits")
    return cmd


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(folder: str):
        if missing := [name for name in PACKAGES if find_spec(name) is None]:
            raise UserError(f"{', '.join(missing)}: not installed; pip install 'kgen[serve]'")
        config, limits = cmd.build(ServeConfig), cmd.build(RequestLimits)
        if cmd["engine"] == "tf_serving":
            if given := [f"--{name}" for name in OWN if getattr(config, name)]:
                raise UserError(
                    f"--engine tf_serving takes no {', '.join(given)}: give TF Serving's own flags to itself"
                )
            from kgen.serve import tf_serving

            tf_serving.run(Path(folder), config.port, config.grpc_port, config.poll_seconds, limits.max_seconds)
        from kgen.serve.credentials import check_access
        from kgen.serve.discovery import check_folder
        from kgen.serve.ports import check_ports

        check_folder(Path(folder))
        check_access(config)
        check_ports(config)
        from kgen.serve.server import serve  # imports TensorFlow

        serve(Path(folder), config, limits)

    return cmd.run(body, argv)
