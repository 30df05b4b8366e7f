"""kgen-serve: serves exports with TF Serving's REST and gRPC calls."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from kgen.cli.command import Command, import_tensorflow_quietly
from kgen.errors import UserError

EXAMPLES = (
    ("kgen-serve exports/", "every model below exports/, REST on port 8501, gRPC on 8500, for this machine alone"),
    ("kgen-serve exports/cvae --port 9001 --grpc_port 9000", "one model, other ports"),
    ("kgen-serve exports/ --max_batch_size 16 --max_concurrent 32", "smaller batches, fewer requests at once"),
    ("kgen-serve exports/ --engine tf_serving", "starts the TF Serving that is installed here on the same folder"),
)
PACKAGES = ("starlette", "uvicorn", "grpc", "grpc_health", "tensorflow_serving", "prometheus_client", "orjson")


def command() -> Command:
    """The command line."""
    cmd = Command(
        "kgen-serve",
        "serve exports as TF Serving does.",
        EXAMPLES,
        ("FOLDER",),
        tensorflow=False,  # imported when the packages and the folder are there, and not for the other engine
    )
    cmd.flag("Address", "string", "host", "127.0.0.1", "Where to listen; 0.0.0.0 lets other machines in.")
    cmd.flag("Address", "integer", "port", 8501, "REST; 0 takes a free one.", lower_bound=0, upper_bound=65535)
    cmd.flag("Address", "integer", "grpc_port", 8500, "gRPC; 0 takes a free one.", lower_bound=0, upper_bound=65535)
    cmd.flag("Models", "float", "poll_seconds", 1.0, "Between two looks for new versions.", lower_bound=0.01)
    cmd.flag("Models", "enum", "engine", "kgen", "Who serves: this programme, or tensorflow_model_server.",
             enum_values=["kgen", "tf_serving"])  # fmt: skip
    cmd.flag("Speed", "integer", "max_batch_size", 64, "Rows that requests are joined to; 1 joins none.", lower_bound=1)
    cmd.flag("Speed", "float", "batch_timeout_ms", 2.0, "How long a request is held back for others while many come.",
             lower_bound=0)  # fmt: skip
    cmd.flag("Speed", "integer", "threads", 2, "In which TensorFlow runs.", lower_bound=1)
    cmd.flag("Limits", "integer", "max_body_bytes", 16 * 2**20, "Of a request.", lower_bound=1)
    cmd.flag("Limits", "integer", "max_rows", 1024, "Of a request.", lower_bound=1)
    cmd.flag("Limits", "integer", "max_depth", 16, "Of nested JSON.", lower_bound=1)
    cmd.flag("Limits", "integer", "max_concurrent", 256, "Predictions under way; others get 429.", lower_bound=1)
    cmd.flag("Limits", "float", "max_seconds", 60.0, "For a request; then 504.", lower_bound=0.001)
    return cmd


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(folder: str):
        if missing := [name for name in PACKAGES if find_spec(name) is None]:
            raise UserError(f"{', '.join(missing)}: not installed; pip install 'kgen[serve]'")
        if not Path(folder).is_dir():
            raise UserError(f"no folder {folder}; name the one that holds exports, e.g. kgen-serve exports/")
        if cmd["engine"] == "tf_serving":
            from kgen.serve import tf_serving

            tf_serving.run(Path(folder), cmd["port"], cmd["grpc_port"], cmd["poll_seconds"], cmd["max_seconds"])
        import_tensorflow_quietly()
        from kgen.serve.server import ServerSettings, serve
        from kgen.serve.validation import Limits

        limits = Limits(**{name: cmd[name] for name in cmd.groups["Limits"]})
        names = [*cmd.groups["Address"], *cmd.groups["Speed"], "poll_seconds"]
        serve(Path(folder), ServerSettings(**{name: cmd[name] for name in names}, limits=limits))

    return cmd.run(body, argv)
