"""What the tests of the page share: exports of untrained models, and Chromium on a page."""

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving_case import SECONDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1280,900"
)


def manifest(spec, *, latent_shape, prior: str = "standard_normal", conditional: bool = True) -> dict:
    """What the page reads of a manifest.json."""
    from kgen.export.signatures import ranges

    return {
        "spec": spec.to_json(),
        "class_names": list(spec.class_names),
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
    told = manifest(spec, latent_shape=model.latent_shape, conditional=model.conditional)
    (path / "manifest.json").write_text(json.dumps(told))
    return path


def pixels(source: str | bytes) -> np.ndarray:
    """The pixels of a PNG, of its bytes or its data URL: [H, W, C] uint8 without opacity."""
    content = png(source) if isinstance(source, str) else source
    found = np.asarray(Image.open(io.BytesIO(content)))
    return found[..., None] if found.ndim == 2 else found[..., :3]


def png(source: str) -> bytes:
    """The bytes of a data URL."""
    return base64.b64decode(source.removeprefix("data:image/png;base64,"))


class Page:
    """Headless Chromium on the page of a server."""

    def __init__(self):
        if not (CHROMIUM and DRIVER):
            pytest.skip("no chromium and chromedriver on the path (Debian: apt-get install chromium chromium-driver)")
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in FLAGS.split():
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        self.driver.set_script_timeout(SECONDS)

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

    def wait(self, condition):
        """Waits for a condition to hold; returns what it gave."""
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        ignored = [StaleElementReferenceException]
        return WebDriverWait(self.driver, SECONDS, 0.02, ignored).until(lambda _: condition())

    def all(self, css: str) -> list:
        return self.driver.find_elements("css selector", css)

    def one(self, css: str):
        return self.driver.find_element("css selector", css)

    def text(self, css: str) -> str:
        return self.one(css).get_property("textContent")

    def sources(self, css: str) -> list[str]:
        """The addresses of images."""
        return self.driver.execute_script("return [...document.querySelectorAll(arguments[0])].map(i => i.src)", css)

    def click(self, css: str, place: int = 0):
        element = self.all(css)[place]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def choose(self, css: str, place: int):
        """Takes an entry of a <select>."""
        from selenium.webdriver.support.ui import Select

        Select(self.one(css)).select_by_index(place)

    def set(self, css: str, value):
        """Gives a control a value, as a person who moves it does."""
        tell = "for (const type of ['input', 'change']) element.dispatchEvent(new Event(type))"
        self.driver.execute_script(f"const [element, v] = arguments; element.value = v; {tell}", self.one(css), value)

    def drag(self, *places: tuple[float, float]):
        """Drags over the pad; places are shares of its half side from the middle, right and up."""
        from selenium.webdriver import ActionChains

        pad = self.one("#pad")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", pad)
        half = pad.size["width"] / 2
        chain = ActionChains(self.driver, duration=10)
        for number, (right, up) in enumerate(places):
            chain.move_to_element_with_offset(pad, round(half * right), round(-half * up))
            if not number:
                chain.click_and_hold()
        chain.release().perform()

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

    def complaints(self) -> list[str]:
        """What the console got, e.g. of a broken Content-Security-Policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
