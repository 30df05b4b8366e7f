"""Runs the real TF Serving (`tensorflow_model_server`) on the served folder: `kgen-serve --engine tf_serving`."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from kgen.errors import UserError
from kgen.io import write_text
from kgen.serve.discovery import (
    MODEL_CONFIG_FILE,
    PLATFORM,
    FoundModel,
    Notices,
    ServedFolder,
    base_paths,
    check_folder,
)

BINARY = "tensorflow_model_server"
BATCHING, MONITORING = "batching.config", "monitoring.config"


def run(root: Path, port: int, grpc_port: int, poll_seconds: float, max_seconds: float):
    """Replaces this process by `tensorflow_model_server`; returns only by raising.

    Raises:
        UserError: it is not on the path, or a port is not given.
    """
    check_folder(root)
    binary = shutil.which(BINARY)
    if binary is None:
        raise UserError(
            f"--engine tf_serving needs {BINARY} on the path; install TF Serving "
            "(https://www.tensorflow.org/tfx/serving/setup), or leave out --engine"
        )
    if not port or not grpc_port:
        raise UserError("--engine tf_serving needs --port and --grpc_port; TF Serving does not take 0")
    print(
        f"kgen-serve: TF Serving listens on all addresses of this machine, ports {port} and {grpc_port}",
        file=sys.stderr,
    )
    sys.stderr.flush()
    os.execv(binary, [binary, *arguments(root.resolve(), port, grpc_port, poll_seconds, max_seconds)])


def arguments(root: Path, port: int, grpc_port: int, poll_seconds: float, max_seconds: float) -> list[str]:
    """The flags with which TF Serving serves the folder."""
    flags = [
        f"--port={grpc_port}",
        f"--rest_api_port={port}",
        f"--rest_api_timeout_in_ms={round(max_seconds * 1000)}",
        f"--file_system_poll_wait_seconds={max(1, round(poll_seconds))}",
        *_models(root),
    ]
    if (root / BATCHING).is_file():
        flags += ["--enable_batching=true", f"--batching_parameters_file={root / BATCHING}"]
    if (root / MONITORING).is_file():
        flags.append(f"--monitoring_config_file={root / MONITORING}")
    return flags


def _models(root: Path) -> list[str]:
    found = ServedFolder(root, Notices()).look()
    path = root / MODEL_CONFIG_FILE
    if not path.is_file() and len(found) == 1 and (model := next(iter(found.items())))[1].base == root:
        return [f"--model_name={model[0]}", f"--model_base_path={root}"]
    if not path.is_file() or not all(base.is_dir() for base in base_paths(root)):
        path = write_text(Path(tempfile.mkdtemp(prefix="kgen-serve-")) / MODEL_CONFIG_FILE, config_text(found))
    labelled = any(model.config.labels for model in found.values())
    return [
        f"--model_config_file={path}",
        *(["--allow_version_labels_for_unavailable_models=true"] if labelled else []),
    ]


def config_text(found: dict[str, FoundModel]) -> str:
    """A ModelServerConfig of the models found; for a folder without one, or whose own has paths of another machine."""
    config = model_server_config_pb2.ModelServerConfig()
    for name, model in found.items():
        entry = config.model_config_list.config.add(
            name=name, base_path=str(model.base), model_platform=PLATFORM, version_labels=model.config.labels
        )
        for field, value in model.config.unused.items():
            getattr(entry, field).CopyFrom(value)
        policy = entry.model_version_policy
        if model.config.specific is not None:
            policy.specific.versions.extend(sorted(model.config.specific))
        elif model.config.latest:
            policy.latest.num_versions = model.config.latest
        else:
            policy.all.SetInParent()
    return text_format.MessageToString(config)
