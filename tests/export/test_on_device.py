"""tools/on_device: a script of numpy and LiteRT, and a page of LiteRT.js, give the images of the model."""

import functools
import http.server
import re
import shutil
import site
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from browser import Browser
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from kgen import images
from kgen.export.golden import Golden
from kgen.export.signatures import ExportSignature
from kgen.export.tflite import convert
from kgen.export.tolerances import near_border
from kgen.sampling.exported import with_metadata

FOLDER = Path(__file__).parents[2] / "tools" / "on_device"
SCRIPT, WEB = FOLDER / "generate.py", FOLDER / "web"
BOUND = 1e-5
EXPECTED = {"serving_default": "images", "decode": "images", "generate": "tempered", "interpolate": "interpolated"}
SECONDS = 60

ROWS = """
import sys
import numpy as np
from generate import image
given = np.load(sys.argv[2])
rows = [image(sys.argv[1], sys.argv[3], **dict(zip(given, row))) for row in zip(*given.values())]
np.save(sys.argv[4], rows)
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """An import path of numpy, ai_edge_litert and its reader of the file format, and nothing else."""
    folder = tmp_path_factory.mktemp("libraries")
    installed = [Path(place) for place in site.getsitepackages()]
    for name in ("numpy", "numpy.libs", "ai_edge_litert", "flatbuffers"):
        for place in installed:
            if (place / name).exists():
                (folder / name).symlink_to(place / name)
    return folder


@pytest.fixture(scope="module")
def golden(default_export):
    return Golden.load(default_export)


@pytest.fixture(scope="module")
def clear_row(golden):
    """Of the golden row that is farthest from being rounded to other grey levels."""
    return int(near_border(golden.images, BOUND).reshape(len(golden.images), -1).sum(axis=1).argmin())


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """A .tflite file without labels: 2 x 3 pixels of red 10 * row + column, green the seed, blue 100 * temperature."""

    def generate_u8(seed, temperature):
        red = tf.constant([[0.0, 1, 2], [10, 11, 12]])
        values = (red, tf.cast(seed, tf.float32) + 0 * red, 100 * temperature + 0 * red)
        return {"images": tf.cast(tf.stack(values, axis=-1)[None], tf.uint8)}

    inputs = (tf.TensorSpec([1], tf.int32, name="seed"), tf.TensorSpec([1], name="temperature"))
    about = {
        "signatures": {"generate_u8": ["seed", "temperature"]},
        "ranges": {"seed": [0, 255], "temperature": [0, 2]},
        "class_names": [],
        "model": "colours",
        "parameters": 6,
        "spec": {"name": "nothing"},
    }
    path = tmp_path_factory.mktemp("colours") / "colours.tflite"
    path.write_bytes(with_metadata(convert({"generate_u8": ExportSignature(generate_u8, inputs)}), about))
    return path


def coloured(seed, temperature):
    """The image of `colours`, by hand."""
    return [[[10 * i + j, seed, 100 * temperature] for j in range(3)] for i in range(2)]


def python(libraries, folder, *arguments):
    """Runs Python in an empty folder, where only `libraries` and the script can be imported."""
    path = {"PYTHONPATH": f"{libraries}:{FOLDER}"}
    command = [sys.executable, "-S", *map(str, arguments)]
    return subprocess.run(command, env=path, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("module", ["kgen", "keras", "tensorflow", "PIL"])
def test_the_script_has_few_libraries(libraries, tmp_path, module):
    """Else the tests of it would prove little."""
    assert f"No module named '{module}'" in python(libraries, tmp_path, "-c", f"import {module}").stderr


@pytest.mark.parametrize("signature", EXPECTED)
def test_the_script_gives_the_golden_pixels(default_export, golden, libraries, tmp_path, signature):
    np.savez(tmp_path / "given.npz", **golden.inputs(signature))
    arguments = (default_export / "model.tflite", "given.npz", signature, "got.npy")
    done = python(libraries, tmp_path, "-c", ROWS, *arguments)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "got.npy"), getattr(golden, EXPECTED[signature]), rtol=0, atol=BOUND)


def test_the_script_writes_the_picture(default_export, golden, clear_row, libraries, tmp_path):
    row = (f"--label={golden.label[clear_row]}", f"--seed={golden.seed[clear_row]}")
    done = python(libraries, tmp_path, SCRIPT, default_export / "model.tflite", *row, "--out=three.png")
    assert (done.returncode, done.stdout) == (0, "three.png written\n"), done.stderr
    with Image.open(tmp_path / "three.png") as found:
        assert (found.format, found.mode) == ("PNG", "L")
        np.testing.assert_array_equal(np.asarray(found), images.to_uint8(golden.images[clear_row])[..., 0])


@pytest.mark.slow
def test_the_script_draws_in_colour(colours, libraries, tmp_path):
    done = python(libraries, tmp_path, SCRIPT, colours, "--seed=7", "--temperature=0.5")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "picture.png") as found:
        assert found.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(found), coloured(7, 0.5))


@pytest.mark.parametrize(
    ("file", "arguments", "message"),
    [
        ("model.tflite", (), "it needs --label from 0 to 9. Received: None"),
        ("model.tflite", ("--label=10",), "it needs --label from 0 to 9. Received: 10"),
        ("model.tflite", ("--label=1", "--seed=-1"), "it needs --seed from 0 to 2147483647. Received: -1"),
        ("encoder.tflite", (), "it has no generate_u8 but encode; take model.tflite"),
        ("manifest.json", (), "The model is not a valid Flatbuffer buffer"),
        ("missing.tflite", (), "Could not open "),
    ],
)
def test_the_script_says_what_is_wrong(default_export, libraries, tmp_path, file, arguments, message):
    done = python(libraries, tmp_path, SCRIPT, default_export / file, *arguments)
    assert done.returncode == 2 and f"generate.py: error: {default_export / file}: {message}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_script_refuses_half_a_file(default_export, libraries, tmp_path):
    content = (default_export / "model.tflite").read_bytes()
    (tmp_path / "half.tflite").write_bytes(content[: len(content) // 2])
    done = python(libraries, tmp_path, SCRIPT, "half.tflite", "--label=1")
    assert done.returncode == 2 and "half.tflite: The model is not a valid Flatbuffer buffer" in done.stderr


@pytest.fixture(scope="module")
def litert_js():
    """Installs what package-lock.json names, once."""
    installed, locked = WEB / "node_modules" / ".package-lock.json", WEB / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= locked.stat().st_mtime:
        return
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed; LiteRT.js comes from it")
    command = ("npm", "ci", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=60000")
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True)
    if re.search(r"code E(NOTFOUND|AI_AGAIN|CONN\w+|TIMEDOUT|NETUNREACH|HOSTUNREACH)", done.stderr):
        pytest.skip("npm reaches no package registry, and LiteRT.js is not installed")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def address(litert_js, default_export):
    """Of a server of the page, with an export beside it."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path):
            found = {"/exported.tflite": default_export / "model.tflite", "/model.tflite": WEB / "not there"}
            return str(found.get(path) or super().translate_path(path))

        def log_message(self, *_):
            """Stays quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=WEB))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(litert_js):
    with Browser(SECONDS) as started:
        yield started.driver


IN_THE_BROWSER = """
const [signature, rows, done] = arguments;
(async () => {
  const {openGenerator} = await import('/generator.js');
  const answer = await fetch('/exported.tflite');
  const generator = await openGenerator(new Uint8Array(await answer.arrayBuffer()));
  const found = [];
  for (const row of rows) found.push(await generator.run(signature, row));
  generator.delete();
  return found.map(({values, shape}) => [Array.from(values), Array.from(shape)]);
})().then(done, (error) => done(String(error.stack ?? error)));
"""


@pytest.mark.slow
@pytest.mark.parametrize("signature", EXPECTED)
def test_the_browser_gives_the_golden_pixels(golden, address, browser, signature):
    browser.get(address)
    inputs = golden.inputs(signature)
    rows = [{name: value[i].tolist() for name, value in inputs.items()} for i in range(len(inputs["label"]))]
    found = browser.execute_async_script(IN_THE_BROWSER, signature, rows)
    assert not isinstance(found, str), found
    got = np.concatenate([np.reshape(values, shape) for values, shape in found])
    np.testing.assert_allclose(got, getattr(golden, EXPECTED[signature]), rtol=0, atol=BOUND)


@pytest.mark.slow
def test_the_lines_of_the_guide_draw_in_a_page(golden, clear_row, address, browser):
    """Those of kgen/export/APP.md."""
    guide = (Path(__file__).parents[2] / "kgen" / "export" / "APP.md").read_text(encoding="utf-8")
    code = re.search(r"^```js\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)[1]
    for written, taken in (
        ("import {openGenerator} from './generator.js';", "const {openGenerator} = await import('/generator.js');"),
        ("'model.tflite'", "'/exported.tflite'"),
        ("label: 3, seed: 7", f"label: {golden.label[clear_row]}, seed: {golden.seed[clear_row]}"),
    ):
        assert written in code
        code = code.replace(written, taken)
    browser.get(address)
    done = "const done = arguments[0]; (async () => {%s})().then(done, (error) => done(String(error.stack ?? error)));"
    assert browser.execute_async_script(done % code) is None
    expected = images.to_uint8(golden.images[clear_row])
    np.testing.assert_array_equal(painted(browser), np.broadcast_to(expected, (28, 28, 3)))


@pytest.mark.slow
def test_the_browser_refuses_a_number_of_no_class(address, browser):
    browser.get(address)
    for wrong in (-1, 10):
        row = {"label": wrong, "seed": 0, "temperature": 1}
        found = browser.execute_async_script(IN_THE_BROWSER, "generate", [row])
        assert f"no class has the number {wrong}, only 0, 1" in found


def test_the_page_draws_what_was_asked_for(golden, clear_row, address, browser):
    browser.get(f"{address}?model=exported.tflite")
    until_status(browser, "class 0, seed 0, temperature 1: 28 × 28 pixels in")
    label, seed = golden.label[clear_row], golden.seed[clear_row]
    Select(browser.find_element(By.ID, "label")).select_by_visible_text(str(label))
    enter(browser, "seed", seed)
    browser.find_element(By.XPATH, "//button[text()='Draw']").click()
    until_status(browser, f"class {label}, seed {seed}, temperature 1: 28 × 28 pixels in")
    expected = images.to_uint8(golden.images[clear_row])
    np.testing.assert_array_equal(painted(browser), np.broadcast_to(expected, (28, 28, 3)))
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(({name}) => name)")
    assert any(name.endswith(".wasm") for name in asked)
    assert [name for name in asked if not name.startswith(address)] == []


@pytest.mark.slow
def test_the_page_takes_a_file_from_the_disk(colours, default_export, address, browser):
    """Unusable files are refused; then one in colour and without classes is accepted."""
    browser.get(address)
    until_status(browser, "Choose the model.tflite of an export.")
    file = browser.find_element(By.ID, "file")
    for name, message in (
        ("encoder.tflite", "encoder.tflite has no generate_u8 but encode; choose model.tflite"),
        ("manifest.json", "manifest.json cannot be opened: "),
    ):
        file.send_keys(str(default_export / name))
        until_status(browser, message)
        assert not browser.find_element(By.ID, "seed").is_enabled()
    file.send_keys(str(colours))
    until_status(browser, "seed 0, temperature 1: 3 × 2 pixels in")
    assert not browser.find_element(By.ID, "label").is_displayed()
    enter(browser, "seed", 7)
    enter(browser, "temperature", 0.5)
    browser.find_element(By.XPATH, "//button[text()='Draw']").click()
    until_status(browser, "seed 7, temperature 0.5: 3 × 2 pixels in")
    np.testing.assert_array_equal(painted(browser), coloured(7, 0.5))
    browser.find_element(By.ID, "another").click()
    seed = int(browser.find_element(By.ID, "seed").get_attribute("value"))
    until_status(browser, f"seed {seed}, temperature 0.5: 3 × 2 pixels in")
    np.testing.assert_array_equal(painted(browser), coloured(seed, 0.5))


def until_status(browser, text):
    """Waits until the page has done what it was asked and its status begins with a text."""
    form, status = (browser.find_element(By.ID, name) for name in ("form", "status"))
    WebDriverWait(browser, SECONDS).until(
        lambda _: form.get_attribute("aria-busy") == "false" and status.text.startswith(text), f"no status: {text}"
    )


def enter(browser, name, value):
    field = browser.find_element(By.ID, name)
    field.clear()
    field.send_keys(str(value))


def painted(browser):
    """The pixels of the canvas: [H, W, 3]."""
    height, width, *values = browser.execute_script("""
      const {width, height} = canvas;
      return [height, width, ...canvas.getContext('2d').getImageData(0, 0, width, height).data];
    """)
    return np.reshape(values, (height, width, 4))[..., :3]
