"""--init_from of an export at an address: fetched once, checked by its manifest."""

import functools
import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest

import kgen
from kgen.errors import UserError
from kgen.sampling.fetched_export import fetch_export
from kgen.train.init_from import TrainedModel

SHIPPED = Path(kgen.__file__).parents[1] / "exports" / "emoji-dcgan" / "1"


@pytest.fixture
def served(tmp_path, monkeypatch):
    """(address of a copy of a shipped export, its folder, the paths that were asked for)."""
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("kgen.io.FIRST_WAIT_SECONDS", 0.0)
    folder, asked = tmp_path / "www" / "emoji" / "1", []
    shutil.copytree(SHIPPED, folder)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/emoji/1", folder, asked
        server.shutdown()


def test_an_export_is_fetched_once(served):
    address, folder, asked = served
    found = TrainedModel.open(address)
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    assert found.model == "dcgan" and found.attribution and found.where == address
    for name in ["manifest.json", *listed]:
        assert (found.export / name).read_bytes() == (folder / name).read_bytes()
    asked.clear()
    assert TrainedModel.open(f"{address}/").export == found.export and len(asked) == 1  # the manifest alone
    networks, weights_hash = found.load()
    assert {"decoder", "discriminator"} == set(networks) and weights_hash == found.manifest["weights_hash"]


def test_what_is_wrong_is_named(served):
    address, folder, _ = served
    with pytest.raises(UserError, match=r"holds neither a run nor a version of an export \(no manifest\.json: 404"):
        TrainedModel.open(address.removesuffix("/1"))
    with pytest.raises(UserError, match="the address of a server, which gives images and no weights"):
        TrainedModel.open("http://127.0.0.1:1/v1/models/emoji")
    with pytest.raises(UserError, match="cannot be read"):
        TrainedModel.open("http://127.0.0.1:1/emoji/1")
    content = (folder / "discriminator.npz").read_bytes()
    (folder / "discriminator.npz").write_bytes(content[:-1] + b"!")
    with pytest.raises(UserError, match=r"discriminator\.npz has another content than manifest\.json says"):
        fetch_export(address)
    (folder / "discriminator.npz").unlink()
    with pytest.raises(UserError, match=r"of which manifest\.json says more, cannot be read: 404"):
        fetch_export(address)
