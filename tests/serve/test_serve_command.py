"""kgen-serve as a user runs it: from the ready line to a graceful end, and the messages for mistakes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import tiny_models
from serving_case import SECONDS, Held, running
from tiny_models import images_of

from kgen.cli import serve

ROOT = Path(__file__).parents[2]
BODY = {"inputs": {"label": [1], "seed": [2]}}


def start(*arguments):
    """The command in a process of its own, as quiet as a user's."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.Popen(
        [sys.executable, "-c", "from kgen.cli.serve import main; raise SystemExit(main())", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_from_start_to_end(tiny, number):
    process = start(tiny, "--port", 0, "--grpc_port", 0)
    try:
        line = process.stdout.readline() + process.stdout.readline()
        found = re.fullmatch(
            r"kgen-serve is ready: page and REST (http://127\.0\.0\.1:\d+), gRPC 127\.0\.0\.1:\d+; "
            r"serving tiny \(version 1\)\ntry: curl -d '(.*)' (http://127\.0\.0\.1:\d+/v1/models/tiny:predict)\n",
            line,
        )
        assert found, line or process.stderr.read()
        answer = httpx.post(found[3], content=found[2], timeout=SECONDS)  # the line's own example
        np.testing.assert_array_equal(answer.json()["outputs"], images_of([0], [0]))
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
        steps = "starting TensorFlow …\nloading the models …\nkgen-serve: stopped\n"
        assert (process.returncode, out, err) == (0, "", steps)
        with pytest.raises(httpx.ConnectError):
            httpx.get(found[1])
    finally:
        process.kill()


def test_what_is_under_way_is_finished(tiny, monkeypatch):
    """A request that runs when the server is stopped gets its answer; no new one gets in."""
    held = Held(monkeypatch, "serving_default")
    with running(tiny) as server, ThreadPoolExecutor(2) as pool:
        asked = pool.submit(server.predict, BODY)
        assert held.running.wait(SECONDS)
        stopping = pool.submit(server.run, server.server.stop())
        refused = threading.Event()
        while not refused.is_set():
            try:
                httpx.get(f"{server.rest}/healthz", timeout=0.2)
            except httpx.TransportError:
                refused.set()
        assert not stopping.done() and not asked.done()
        held.go_on.set()
        np.testing.assert_array_equal(asked.result().json()["outputs"], images_of([1], [2]))
        stopping.result()
        monkeypatch.setattr(server.server, "stop", _done)


async def _done():
    """In place of a second stop."""


def mistake(capsys, *arguments) -> str:
    """The one-line message for a mistake."""
    assert serve.main([*map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("kgen-serve: ") and "Traceback" not in err
    return err


def test_no_folder(capsys, tmp_path):
    assert f"no folder {tmp_path / 'none'}; name the one that holds exports" in mistake(capsys, tmp_path / "none")


def test_an_empty_folder(capsys, tmp_path):
    (tmp_path / "notes").mkdir()
    text = mistake(capsys, tmp_path, "--port", 0, "--grpc_port", 0)
    assert f"{tmp_path} holds no model (NAME/VERSION/saved_model.pb); write one with kgen-export" in text


def test_one_version_is_not_a_folder_of_models(capsys, tiny):
    text = mistake(capsys, tiny / "tiny" / "1", "--port", 0, "--grpc_port", 0)
    assert f"name the folder of its model, {tiny / 'tiny'}, or the one above" in text


def test_a_model_that_cannot_be_loaded(capsys, tmp_path):
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"no")
    assert serve.main([str(tmp_path), "--port", "0", "--grpc_port", "0"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "no model could be loaded; no SavedModel can be loaded from" in lines[-1] and "Traceback" not in str(lines)


def test_a_config_that_is_none(capsys, exports):
    (exports / "models.config").write_text("no config")
    text = mistake(capsys, exports, "--port", 0, "--grpc_port", 0)
    assert "models.config is not a ModelServerConfig" in text and "correct or remove it" in text


def test_ports_that_are_taken(capsys, tiny):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = mistake(capsys, tiny, "--port", port, "--grpc_port", 0)
        assert f"--port {port} on --host 127.0.0.1: Address already in use; choose another with --port" in text
        text = mistake(capsys, tiny, "--port", 0, "--grpc_port", port)
        assert f"--grpc_port {port} on --host 127.0.0.1 cannot be taken; choose another" in text


def test_two_servers_do_not_share_a_port(capsys, tiny, served):
    port = served.server.grpc_port
    assert "cannot be taken" in mistake(capsys, tiny, "--port", 0, "--grpc_port", port)


def test_the_extra_is_missing(tiny, capsys, monkeypatch):
    monkeypatch.setattr(serve, "PACKAGES", ("starlette", "not_a_package"))
    assert mistake(capsys, tiny) == "kgen-serve: not_a_package: not installed; pip install 'kgen[serve]'\n"


@pytest.mark.parametrize(
    ("flag", "value"),
    [("port", 65536), ("grpc_port", -1), ("max_batch_size", 0), ("max_rows", 0), ("poll_seconds", 0), ("engine", "x")],
)
def test_invalid_flags(capsys, tiny, flag, value):
    assert flag in mistake(capsys, tiny, f"--{flag}={value}")


def test_flags_are_read_before_anything_is_imported():
    program = (
        "import sys; from kgen.cli import serve; code = serve.main(['--no_such_flag']); "
        "print(code, *{'tensorflow', 'starlette', 'grpc'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["2"] and "unknown flag --no_such_flag" in done.stderr


# -- --engine tf_serving ----------------------------------------------------------------------------------------------

ENGINE = ("--engine", "tf_serving", "--port", 8601, "--grpc_port", 8600)


@pytest.fixture
def binary(tmp_path, monkeypatch):
    """A tensorflow_model_server that writes down what it was started with."""
    folder, record = tmp_path / "bin", tmp_path / "arguments.json"
    folder.mkdir()
    script = folder / "tensorflow_model_server"
    script.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(record)!r}, 'w'))\nprint('it ran')\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return record


def engine_arguments(binary, *arguments) -> list[str]:
    process = start(*arguments, *ENGINE)
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (0, "it ran\n"), err
    assert "TF Serving listens on all addresses of this machine, ports 8601 and 8600" in err
    return json.loads(binary.read_text())


PORTS = ["--port=8600", "--rest_api_port=8601", "--rest_api_timeout_in_ms=60000", "--file_system_poll_wait_seconds=1"]


def test_the_engine_gets_equal_flags(binary, exports):
    (exports / "models.config").write_text(tiny_models.config(exports, stable=1))
    (exports / "batching.config").write_text("max_batch_size { value: 16 }")
    (exports / "monitoring.config").write_text("prometheus_config { enable: true }")
    assert engine_arguments(binary, exports) == [
        *PORTS,
        f"--model_config_file={exports / 'models.config'}",
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_batching=true",
        f"--batching_parameters_file={exports / 'batching.config'}",
        f"--monitoring_config_file={exports / 'monitoring.config'}",
    ]


def test_the_engine_gets_one_model(binary, exports):
    base = exports / "tiny"
    assert engine_arguments(binary, base) == [*PORTS, "--model_name=tiny", f"--model_base_path={base}"]


def test_the_engine_gets_a_config_for_this_machine(binary, exports):
    """models.config was written for a container: its paths are not here; labels and policy are kept."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    (exports / "models.config").write_text(tiny_models.config(Path("/models"), stable=1))
    flags = engine_arguments(binary, exports)
    assert flags[:4] == PORTS and flags[5] == "--allow_version_labels_for_unavailable_models=true"
    written = Path(flags[4].removeprefix("--model_config_file="))
    text = written.read_text()
    (model,) = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("tiny", str(exports / "tiny"), "tensorflow")
    assert model.version_labels == {"stable": 1} and model.model_version_policy.HasField("all")


def test_no_engine_is_here(capsys, tiny, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    text = mistake(capsys, tiny, *ENGINE)
    assert "--engine tf_serving needs tensorflow_model_server on the path" in text and "leave out --engine" in text


def test_the_engine_needs_ports(capsys, tiny, binary):
    assert "needs --port and --grpc_port" in mistake(capsys, tiny, "--engine", "tf_serving", "--port", 0)
