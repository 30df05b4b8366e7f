"""The page's routes: its files and no others, and the models that it lists."""

import http.client
import json
import re

import numpy as np
import pytest
import tiny_models
from page_case import manifest
from serving_case import SECONDS, running

import kgen
from kgen.images import png_bytes
from kgen.provenance import read_tag, tagged
from kgen.serve.app import _request_of, read_manifest
from kgen.spec import DataSpec

ORIGIN = {
    "kgen": kgen.__version__, "command": "kgen-serve", "model": "pets-2", "weights_hash": "12ab",
    "prior": "standard_normal", "all_classes": False, "picture": "image",
}  # fmt: skip
SPEC = DataSpec("pets", (2, 2, 1), num_classes=2, class_names=("cat", "dog"))


@pytest.fixture(scope="module")
def three_models(tmp_path_factory):
    """A server of one model with a manifest of kgen, one with another's, one with none; the first in two versions."""
    root = tmp_path_factory.mktemp("page") / "exports"
    for name, version in (("pets", 2), ("plain", 1)):
        tiny_models.write(root / name / str(version))
    (root / "pets" / "2" / "manifest.json").write_text(
        json.dumps(manifest(SPEC, latent_shape=(3,)) | {"weights_hash": "12ab"})
    )
    tiny_models.write(root / "strange" / "1", ranges={"label": [0, 9]})
    with running(root) as server:
        yield server


def test_all_that_the_page_asks_for_is_there(served):
    types = {"/": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    wanted, seen = ["/"], set()
    while wanted:
        path = wanted.pop()
        seen.add(path)
        answer = served.http.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].split(";")[0] == types[path.rsplit(".", 1)[-1]]
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'self'", "img-src 'self' data: blob:", "frame-ancestors 'none'"} <= {*policy}
        text = answer.text.replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|style=|on(click|load)=", text), f"{path} reaches elsewhere or is inline"
        found = re.findall(r'(?:href|src)="(/[^"]+)"', text)
        found += [f"/page/{name}" for name in re.findall(r'from "\./([^"]+)"', text)]
        wanted += {*found} - seen
    assert {"/page/style.css", "/page/portable.js", "/page/icon.svg"} <= seen
    assert served.http.head("/").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/..",
        "/page",
        "/page/",
        "/page/nothing.js",
        "/page/page.py",
        "/page/../page.py",
        "/page/%2e%2e/page.py",
        "/page/..%2fpage.py",
        "/page/%2e%2e%2f%2e%2e%2fcli%2fserve.py",
        "/page//etc/passwd",
        "/page/style.css/",
        "/page/style.css%00",
        "/page/./style.css",
        "/index.html",
    ],
)
def test_no_other_path_leads_anywhere(served, path):
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=SECONDS)
    connection.request("GET", path)  # as it is: httpx would make it tidy
    answer = connection.getresponse()
    assert answer.status == 404 and "Not Found" in json.loads(answer.read())["error"]
    connection.close()


def test_the_page_is_only_read(served):
    for path in ("/", "/page/style.css", "/page/models.json"):
        for method in ("POST", "PUT", "DELETE"):
            assert served.http.request(method, path).status_code == 404


def test_models_json(three_models):
    answer = three_models.http.get("/page/models.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    pets, plain, strange = answer.json()["models"]
    assert (pets["name"], pets["version"], pets["problem"]) == ("pets", 2, None)
    assert {"generate_png", "decode", "serving_default"} <= {*pets["signatures"]}
    assert pets["kgen"] == {
        "class_names": ["cat", "dog"],
        "class_numbers": [0, 1],
        "num_classes": 2,
        "latent_shape": [3],
        "image_shape": [2, 2, 1],
        "prior": "standard_normal",
        "conditional": True,
        "ranges": {
            "seed": [0, 2**31 - 1], "temperature": [0, 10], "t": [0, 1], "images": [0, 1], "label": [0, 1],
        },
    }  # fmt: skip
    assert (plain["name"], plain["kgen"]) == ("plain", None) and "no manifest.json" in plain["problem"]
    assert (strange["name"], strange["kgen"]) == ("strange", None) and "not written by kgen" in strange["problem"]
    assert pets["origin"] == ORIGIN and plain["origin"] == {}
    assert str(three_models.server.root) not in answer.text  # no path of the machine


def test_a_picture_says_what_made_it(tmp_path):
    inputs = {"label": np.array([1]), "seed": np.array([7]), "temperature": np.array([0.5], np.float32)}
    made = ORIGIN | _request_of(inputs)
    assert (made["label"], made["seed"], made["temperature"]) == ("1", 7, 0.5)
    assert _request_of({"seed": np.array([7])}) == {"label": None, "seed": 7, "temperature": 1.0}
    (tmp_path / "a.png").write_bytes(tagged(png_bytes(np.zeros((2, 2, 1), np.uint8)), made))
    assert read_tag(tmp_path / "a.png") == made and tagged(b"of a server's own", made) == b"of a server's own"


@pytest.mark.parametrize("key, value", [("spec", []), ("class_names", 3), ("latent_shape", "x"), ("ranges", {"t": 1})])
def test_a_manifest_of_other_types_is_refused(tmp_path, key, value):
    values = manifest(SPEC, latent_shape=(3,)) | {key: value}
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    with pytest.raises((ValueError, TypeError, KeyError)):
        read_manifest(tmp_path)


def test_the_manifest_of_a_real_export(default_export):
    found = read_manifest(default_export)
    assert found["class_names"] == [str(digit) for digit in range(10)]
    assert (found["latent_shape"], found["image_shape"], found["conditional"]) == ([2], [28, 28, 1], True)
    assert found["prior"] == "standard_normal" and found["ranges"]["label"] == [0, 9]


@pytest.mark.slow
def test_new_versions_are_listed(tmp_path):
    tiny_models.write(tmp_path / "tiny" / "1")
    with running(tmp_path) as server:
        tiny_models.write(tmp_path / "tiny" / "2")
        server.poll()
        versions = [model["version"] for model in server.http.get("/page/models.json").json()["models"]]
        assert versions == [2]
