"""The programs of tools/on_device and tools/clients in other languages give the golden images of the export that comes
with the code; each test skips where its compiler is missing. For Python and the browser see test_on_device.py.
"""

import asyncio
import importlib
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from kgen import images
from kgen.export.golden import Golden
from kgen.export.tolerances import near_border

TOOLS = Path(__file__).parents[2] / "tools"
SAMPLE = Path(__file__).parents[2] / "exports" / "cvae-mnist" / "1"
ROWS = 3
"""Golden images that each program draws."""


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden.load(SAMPLE)


@pytest.fixture(scope="module")
def clear_rows(golden):
    """The golden rows that are farthest from being rounded to other grey levels."""
    near = near_border(golden.images, 1e-5).reshape(len(golden.images), -1).sum(axis=1)
    return np.argsort(near, kind="stable")[:ROWS].tolist()


def program(name: str, what: str) -> str:
    """The path of a program; skips without it."""
    return shutil.which(name) or pytest.skip(f"no {name} on the path ({what})")


def same_picture(file: Path, expected: np.ndarray):
    with Image.open(file) as found:
        np.testing.assert_array_equal(np.asarray(found), images.to_uint8(expected)[..., 0])


@pytest.mark.slow
def test_cpp_with_the_library_of_the_wheel(golden, clear_rows, tmp_path):
    """tools/on_device/generate.cpp, through the C API of LiteRT's CompiledModel."""
    import ai_edge_litert

    folder = Path(next(iter(ai_edge_litert.__path__)))
    if not (folder / "libLiteRt.so").is_file():
        pytest.skip("this wheel of ai-edge-litert has no libLiteRt.so")
    compiler, built = program("g++", "Debian: apt-get install g++"), tmp_path / "generate"
    source = TOOLS / "on_device" / "generate.cpp"
    flags = ("-std=c++17", "-Wall", "-Wextra", "-Werror", str(folder / "libLiteRt.so"), f"-Wl,-rpath,{folder}")
    subprocess.run([compiler, str(source), *flags, "-o", str(built)], check=True)

    def run(label, seed):
        words = [built, SAMPLE / "model.tflite", label, seed, tmp_path / "out.pgm"]
        return subprocess.run([str(word) for word in words], capture_output=True, text=True)

    for row in clear_rows:
        done = run(golden.label[row], golden.seed[row])
        assert done.returncode == 0, done.stderr
        same_picture(tmp_path / "out.pgm", golden.images[row])
    refused = run(10, 0)
    assert refused.returncode == 1
    assert "generate: a picture of nothing: a label or a seed that is none" in refused.stderr
    assert run("--label", 3).returncode == 2


@pytest.mark.slow
def test_python_with_the_compiled_model(golden):
    """LiteRT's newer interface runs the file as well: `CompiledModel` in place of `Interpreter`."""
    compiled_model = pytest.importorskip("ai_edge_litert.compiled_model")
    model = compiled_model.CompiledModel.from_file(str(SAMPLE / "model.tflite"))
    signatures = model.get_signature_list()
    for signature, names, expected in (
        ("serving_default", ("label", "seed"), golden.images),
        ("decode", ("label", "z"), golden.images),
    ):
        assert {*signatures[signature]["inputs"]} == {*names}
        place = [*signatures].index(signature)
        given, output = {}, model.create_output_buffer_by_name(signature, "images")
        for row in range(ROWS):
            for name in names:
                given[name] = given.get(name) or model.create_input_buffer_by_name(signature, name)
                given[name].write(np.ascontiguousarray(getattr(golden, name)[row : row + 1]))
            model.run_by_name(signature, given, {"images": output})
            got = output.read(golden.images[0].size, np.float32).reshape(golden.images[0].shape)
            np.testing.assert_allclose(got, expected[row], atol=1e-5, rtol=0, err_msg=f"{signature} {place}")


# Against the server ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of the model, served by kgen-serve in this process."""
    from kgen.config import RequestLimits, ServeConfig
    from kgen.serve.server import Server

    root = tmp_path_factory.mktemp("served") / "exports"
    shutil.copytree(SAMPLE, root / "digits" / "1")
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def start():
        server = Server(root, ServeConfig(port=0, grpc_port=0), RequestLimits())
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    yield f"http://127.0.0.1:{server.port}/v1/models/digits"
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)


def draws_from_a_server(command, served, golden, rows, tmp_path):
    """Runs `command ADDRESS ROW OUT` for rows that the server has, and for a class that it has not."""

    def run(label, seed):
        row = f'{{"label": {label}, "seed": {seed}, "temperature": 1.0}}'
        return subprocess.run([*command, served, row, str(tmp_path / "out.png")], capture_output=True, text=True)

    for row in rows:
        done = run(golden.label[row], golden.seed[row])
        assert done.returncode == 0, done.stderr
        same_picture(tmp_path / "out.png", golden.images[row])
    refused = run(10, 0)
    assert refused.returncode == 1 and "400: " in refused.stderr and "label" in refused.stderr


@pytest.mark.slow
def test_javascript(served, golden, clear_rows, tmp_path):
    command = [program("node", "Debian: apt-get install nodejs"), str(TOOLS / "clients" / "generate.mjs")]
    draws_from_a_server(command, served, golden, clear_rows, tmp_path)


@pytest.mark.slow
def test_java(served, golden, clear_rows, tmp_path):
    compiler, java = (program(name, "Debian: apt-get install default-jdk-headless") for name in ("javac", "java"))
    source = str(TOOLS / "clients" / "Generate.java")
    subprocess.run([compiler, "--release", "11", "-Xlint:all", "-Werror", "-d", str(tmp_path), source], check=True)
    draws_from_a_server([java, "-cp", str(tmp_path), "Generate"], served, golden, clear_rows, tmp_path)


# The guide ------------------------------------------------------------------------------------------------------------


GUIDE = (Path(__file__).parents[2] / "kgen" / "export" / "APP.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def applications(tmp_path_factory):
    """A folder that holds the programs of APP.md that have a file name, and the model; Python imports from there."""
    folder = tmp_path_factory.mktemp("applications")
    shutil.copy(SAMPLE / "model.tflite", folder)
    for program in PROGRAMS:
        if name := re.match(r"# (\w+\.py)\n", program):
            (folder / name[1]).write_text(program, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        yield folder
    for file in folder.glob("*.py"):
        sys.modules.pop(file.stem, None)


def get(framework: str, app, path: str) -> tuple[int, str, bytes]:
    """Status, type and body of the answer of an application, without a server."""
    if framework == "flask":
        answer = app.test_client().get(path)
        return answer.status_code, answer.content_type, answer.data

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get(path)

    answer = asyncio.run(ask())
    return answer.status_code, answer.headers["content-type"], answer.content


@pytest.mark.parametrize("framework", ["starlette", "fastapi", "flask"])
def test_python_applications(framework, applications, golden, clear_rows, tmp_path):
    pytest.importorskip(framework)
    app = importlib.import_module(f"app_{framework}").app
    for row in clear_rows:
        status, kind, body = get(framework, app, f"/digits/{golden.label[row]}.png?seed={golden.seed[row]}")
        assert (status, kind) == (200, "image/png")
        (tmp_path / "out.png").write_bytes(body)
        same_picture(tmp_path / "out.png", golden.images[row])
    status, _, body = get(framework, app, "/digits/10.png")
    assert status == 400 and b"Received: 10, 0" in body


def test_python_with_requests(served, golden, clear_rows, tmp_path):
    program = next(program for program in PROGRAMS if "import requests" in program)
    row = clear_rows[0]
    program = program.replace("http://127.0.0.1:8501/v1/models/cvae-mnist", served)
    program = program.replace('"label": 3, "seed": 7', f'"label": {golden.label[row]}, "seed": {golden.seed[row]}')
    names = {}
    exec(compile(program, "APP.md", "exec"), names)
    (tmp_path / "out.png").write_bytes(names["png"])
    same_picture(tmp_path / "out.png", golden.images[row])


def test_what_was_not_run_says_so():
    for name in ("Generate.kt", "Generate.swift"):
        assert (TOOLS / "on_device" / name).read_text(encoding="utf-8").startswith("// NOT RUN: ")
