"""What the tests of the page share: exports of untrained models, and Chromium on a page."""

import base64
import io
import json
from pathlib import Path

import numpy as np
from browser import Browser
from PIL import Image
from serving_case import SECONDS


def manifest(spec, *, latent_shape, prior: str = "standard_normal", conditional: bool = True) -> dict:
    """What the page reads of a manifest.json."""
    from kgen.export.signatures import ranges

    return {
        "spec": spec.to_json(),
        "class_names": list(spec.class_names),
        "class_numbers": list(spec.class_numbers),
        "latent_shape": list(latent_shape),
        "prior": prior,
        "conditional": conditional,
        "ranges": ranges(spec),
    }


def write_export(path: Path, name: str, spec, **model_args) -> Path:
    """A model as it is before training, with kgen's signatures and a manifest."""
    from kgen.export.saved_model import write_saved_model
    from kgen.export.signatures import signatures
    from kgen.models import build_model
    from kgen.sampling import StandardNormal

    model = build_model(name, spec, seed=3, hidden=[8], **model_args)
    for weights in model.trainable_variables:  # further from the start, that pictures differ
        weights.assign(3.0 * weights)
    write_saved_model(signatures(model, StandardNormal(model.latent_shape)), path)
    values = manifest(spec, latent_shape=model.latent_shape, conditional=model.conditional)
    (path / "manifest.json").write_text(json.dumps(values))
    return path


def pixels(source: str | bytes) -> np.ndarray:
    """The pixels of a PNG, of its bytes or its data URL: [H, W, C] uint8 without opacity."""
    content = png(source) if isinstance(source, str) else source
    found = np.asarray(Image.open(io.BytesIO(content)))
    return found[..., None] if found.ndim == 2 else found[..., :3]


def png(source: str) -> bytes:
    """The bytes of a data URL."""
    return base64.b64decode(source.removeprefix("data:image/png;base64,"))


class Page(Browser):
    """Headless Chromium on the page of a server."""

    def __init__(self):
        super().__init__(SECONDS)

    def open(self, server, model: str = "toy/1"):
        """The page on a model, with nothing kept; returns when the samples are there."""
        self.complaints()  # those about the page before
        stored = {"origin": server.rest, "storageTypes": "local_storage"}
        self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", stored)
        self.go(server, model)

    def go(self, server, model: str = "toy/1"):
        """The page on a model, with what was kept before."""
        self.driver.get("about:blank")
        self.driver.get(f"{server.rest}/#{model.replace('/', '%2F')}")
        self.wait(lambda: len(self.all("#grid li")) == 24 or self.one("#about").is_displayed())

    def sources(self, css: str) -> list[str]:
        """The addresses of images."""
        return self.driver.execute_script("return [...document.querySelectorAll(arguments[0])].map(i => i.src)", css)

    def copied(self, button: str) -> str:
        """What a button has put on the clipboard."""
        grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        self.driver.execute_cdp_cmd("Browser.grantPermissions", grant)
        self.click(button)
        self.wait(lambda: self.text("#copy-status") == "Copied.")
        return self.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")

    def module(self, file: str, expression: str, *arguments):
        """The value of an expression of a module's `m` and of `a`, the arguments."""
        code = f"const a = [...arguments], done = a.pop(); import('/page/{file}').then(m => done({expression}))"
        return self.driver.execute_async_script(code, *arguments)
