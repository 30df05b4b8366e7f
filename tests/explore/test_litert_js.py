"""LiteRT.js: fetched once, checked, kept; and what is said where it cannot be had."""

import base64
import functools
import hashlib
import http.server
import io
import json
import tarfile
import threading

import pytest
from latent_page_case import ROOT

from kgen.errors import UserError
from kgen.explore import litert_js
from kgen.explore.litert_js import FOLDER_VARIABLE, PACKAGES, Package, registry, runtime_files

LOCK = ROOT / "tools" / "on_device" / "web" / "package-lock.json"
CONTENT = b"export const answer = 42;"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty cache, and no settings of this machine's."""
    for variable in (FOLDER_VARIABLE, "NPM_CONFIG_REGISTRY", "npm_config_registry"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def served(place, monkeypatch):
    """A registry with one package whose archive also wants to write elsewhere; the folder that it serves."""
    folder = place / "registry"
    archive = folder / "@some" / "thing" / "-" / f"thing-{litert_js.VERSION}.tgz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("package/dist/index.js", "../outside.js", "/outside.js", "package/dist/other.js"):
            member = tarfile.TarInfo(name)
            member.size = len(CONTENT)
            tar.addfile(member, io.BytesIO(CONTENT))
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    files = {"@some/thing/dist/index.js": hashlib.sha256(CONTENT).hexdigest()}
    monkeypatch.setattr(litert_js, "PACKAGES", (Package("@some/thing", f"sha512-{digest}", files),))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Stays quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{server.server_port}/")
    yield archive
    server.shutdown()
    server.server_close()


def test_the_pins_are_those_of_the_lock_file():
    locked = json.loads(LOCK.read_text())["packages"]
    for package in PACKAGES:
        found = locked[f"node_modules/{package.name}"]
        assert (found["version"], found["integrity"]) == (litert_js.VERSION, package.integrity)


def test_they_are_fetched_once(served, place, capsys):
    expected = {"@some/thing/dist/index.js": CONTENT}
    assert runtime_files() == expected
    assert capsys.readouterr().err == f"fetching @some/thing from {litert_js.registry()} …\n"
    kept = [path for path in (place / "cache").rglob("*") if path.is_file()]
    assert [path.name for path in kept] == ["index.js"]  # and nothing of what else the archive holds
    assert not [*place.rglob("outside.js")]
    served.unlink()
    assert runtime_files() == expected and capsys.readouterr().err == ""
    kept[0].write_bytes(b"broken")
    with pytest.raises(UserError, match="HTTP 404"):
        runtime_files()


def test_another_archive_is_refused(served, place):
    served.write_bytes(served.read_bytes() + b"\0")
    with pytest.raises(UserError, match=r"thing-.*\.tgz is not @some/thing .*: its SHA-512 differs"):
        runtime_files()
    assert not (place / "cache").exists()


def test_no_registry_is_reached(monkeypatch):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=rf"not in the cache and cannot be fetched .* set {FOLDER_VARIABLE} to its"):
        runtime_files()


def test_a_folder_of_packages(served, place, monkeypatch):
    folder = place / "node_modules"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    with pytest.raises(UserError, match=rf"{FOLDER_VARIABLE}=.*node_modules holds no @some/thing .*npm install"):
        runtime_files()
    (folder / "@some" / "thing" / "dist").mkdir(parents=True)
    (folder / "@some" / "thing" / "dist" / "index.js").write_bytes(CONTENT)
    assert runtime_files() == {"@some/thing/dist/index.js": CONTENT}
    assert not (place / "cache").exists()


def test_which_registry(place, monkeypatch):
    assert registry() == "https://registry.npmjs.org"
    (place / ".npmrc").write_text(
        "fund=false\nregistry = https://npm.example/all/\n@mine:registry=https://mine.example\n"
    )
    assert registry() == "https://npm.example/all"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://other.example/")
    assert registry() == "https://other.example"
