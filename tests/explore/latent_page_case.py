"""What the tests of the page share: Chromium on it, and exports of untrained models as far as it reads them."""

import json
from pathlib import Path

import numpy as np
from browser import Browser

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "exports" / "cvae-mnist" / "1"
SECONDS = 60


class LatentPage(Browser):
    """Headless Chromium on a page that lies on the disk."""

    def open(self, page: Path):
        """Opens it; returns when the decoder is there."""
        self.complaints()  # those about the page before
        self.driver.get("about:blank")
        self.driver.get(page.as_uri())
        self.wait(lambda: self.one("#studio").is_displayed() or self.one("#status.error"))
        self.settle()

    def settle(self):
        """Waits until what was begun is drawn: a picture that is asked for now comes after those that wait."""
        self.driver.execute_async_script(
            "const [done] = arguments; kgen.ready.then(async (decoder) => {"
            "  for (let i = 0, last; i < 3; last = decoder.last) {"
            "    await decoder.last; await new Promise((resume) => setTimeout(resume, 20));"
            "    i = last === decoder.last ? i + 1 : 0;"
            "  } done(); })"
        )

    def ask(self, method: str, *rows) -> np.ndarray:
        """What a method of window.kgen gives for rows of arguments: [N, H * W * C] uint8."""
        code = (
            "const [method, rows, done] = arguments; (async () => { const found = [];"
            "  for (const row of rows) found.push(Array.from(await kgen[method](...row)));"
            "  return found; })().then(done, (error) => done(String(error.stack ?? error)))"
        )
        found = self.driver.execute_async_script(code, method, [list(row) for row in rows])
        assert not isinstance(found, str), found
        return np.array(found, np.uint8)

    def painted(self, css: str, place: int = 0) -> np.ndarray:
        """The pixels of a canvas: [H, W, 3] uint8."""
        self.settle()
        height, width, *values = self.driver.execute_script(
            "const canvas = document.querySelectorAll(arguments[0])[arguments[1]], { width, height } = canvas;"
            "return [height, width, ...canvas.getContext('2d').getImageData(0, 0, width, height).data]",
            css,
            place,
        )
        return np.reshape(values, (height, width, 4)).astype(np.uint8)[..., :3]

    def complaints(self) -> list[str]:
        """The errors in the console; a browser without a GPU warns of that."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


def write_version(version: Path, model_name: str, spec, prior=None, **model_args) -> Path:
    """A version of an export of a model as it is before training, as far as a page reads it.

    Args:
        version: its folder.
        prior: what seeds draw from; else the standard normal.
    """
    from kgen.export.signatures import ranges, signatures
    from kgen.export.tflite import convert
    from kgen.models import build_model
    from kgen.sampling import StandardNormal

    model = build_model(model_name, spec, seed=3, **model_args)
    for weights in model.trainable_variables:  # further from the start, that pictures differ
        weights.assign(3.0 * weights)
    density = prior or StandardNormal(model.latent_shape)
    found = signatures(model, density, batch_size=1)
    version.mkdir(parents=True)
    needed = ("generate", "decode", "interpolate")
    (version / "model.tflite").write_bytes(convert({signature: found[signature] for signature in needed}))
    told = {
        "model": model_name,
        "model_args": model_args,
        "spec": spec.to_json(),
        "class_names": list(spec.class_names),
        "class_numbers": list(spec.class_numbers),
        "latent_shape": list(model.latent_shape),
        "ranges": ranges(spec),
        "prior": density.name,
        "conditional": model.conditional,
        "run": version.parent.name,
        "parameters": model.parameters,
    }
    (version / "manifest.json").write_text(json.dumps(told))
    return version
