"""A page with a decoder inside: one HTML file that draws without a server and without a network."""

import base64
import gzip
import hashlib
import html
import json
import math
import re
from importlib import resources
from pathlib import Path
from typing import Any

from kgen.errors import UserError
from kgen.explore import litert_js
from kgen.files import write_text
from kgen.sampling.exported import read_manifest

DECODER = "model.tflite"
LARGEST_BYTES = 10 * 2**20
SHARED = ("web/clipboard.js", "web/dom.js", "web/manifest.js", "web/pad.js", "web/seeds.js", "portable.js")
STYLES = ("web/theme.css", "web/controls.css", "web/parts.css", "explore/page/page.css")
PREFIX = "kgen/"
"""Before the names of modules: those in data URLs can import by such names alone, which the import map knows."""
ENTRY = f'import "{PREFIX}page.js";'


def write_page(version: Path, out: Path, *, source: str | None = None) -> Path:
    """Writes the page.

    Args:
        version: a version of an export, exports/NAME/N: its manifest and its model.tflite go into the page.
        out: the HTML file, written whole or not at all.
        source: what the calls on the page name as the run or export; else the run of the manifest, below runs/.

    Returns:
        `out`.

    Raises:
        UserError: there is no export, its decoder is too large or LiteRT.js does not run it, or that cannot be had.
    """
    about, decoder = described(version, source), _decoder(version)
    return write_text(out, assembled(about, decoder, litert_js.runtime_files()))


def described(version: Path, source: str | None = None) -> dict[str, Any]:
    """What the page knows of the model: see `embedded.js`."""
    manifest = read_manifest(version)
    size, arguments = math.prod(manifest["latent_shape"]), manifest["model_args"]
    code_size = arguments.get("latent_dim", size)  # what follows in z is noise of pixels
    if code_size < size and arguments.get("levels") == 2:
        raise UserError(
            f"model {manifest['model']!r} with two levels ends in a loop, and LiteRT.js gives no output of one, so it "
            "cannot be drawn in a page; export the run and look at it with the page of kgen-serve"
        )
    known = ("class_names", "latent_shape", "prior", "conditional", "ranges")
    return {
        "name": manifest["model"],
        "data": manifest["spec"]["name"],
        "parameters": manifest["parameters"],
        "source": source or f"runs/{manifest['run']}",
        "code_size": code_size,
        "kgen": {name: manifest[name] for name in known}
        | {name: manifest["spec"][name] for name in ("image_shape", "num_classes")},
    }


def assembled(about: dict[str, Any], decoder: bytes, runtime: dict[str, bytes]) -> str:
    """The text of the page.

    Args:
        about: from `described`.
        decoder: a .tflite file with the signatures decode, generate and interpolate.
        runtime: from `litert_js.runtime_files`.
    """
    package = resources.files("kgen")
    style = "\n".join((package / name).read_text(encoding="utf-8") for name in STYLES)
    modules = _json({"imports": _modules(package, runtime)})
    values = {
        "policy": _policy(style, modules, ENTRY),
        "title": html.escape(f"{about['name']} of {about['data']}"),
        "icon": _data_url("image/svg+xml", (package / "web" / "icon.svg").read_bytes()),
        "style": style,
        "modules": modules,
        "entry": ENTRY,
        "version": litert_js.VERSION,
        "model": _json(about),
        "decoder": _packed(decoder),
        "loader": _packed(runtime[litert_js.LOADER]),
        "wasm": _packed(runtime[litert_js.WASM]),
    }
    template = (package / "explore" / "page" / "index.html").read_text(encoding="utf-8")
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], template)


def _decoder(version: Path) -> bytes:
    path = version / DECODER
    if not path.is_file():
        raise UserError(f"{path} is missing: keep what kgen-export wrote together, or export the run again")
    if (size := path.stat().st_size) > LARGEST_BYTES:
        raise UserError(
            f"a page holds decoders of up to {LARGEST_BYTES / 2**20:.0f} MiB, and this one ({path}) has "
            f"{size / 2**20:.1f} MiB; export the run and look at it with the page of kgen-serve"
        )
    return path.read_bytes()


def _modules(package, runtime: dict[str, bytes]) -> dict[str, str]:
    """Name of a module, as others import it -> its address, which holds it."""
    own = [file for file in (package / "explore" / "page").iterdir() if file.name.endswith(".js")]
    files = [*own, *(package / name for name in SHARED)]
    texts = {f"{PREFIX}{file.name}": file.read_text(encoding="utf-8") for file in files}
    sources = {name: re.sub(r'from "\./', f'from "{PREFIX}', text).encode() for name, text in texts.items()}
    sources["@litertjs/core"] = runtime[litert_js.CORE]
    sources["@litertjs/wasm-utils"] = runtime[litert_js.WASM_UTILS]
    return {name: _data_url("text/javascript", sources[name]) for name in sorted(sources)}


def _policy(style: str, *scripts: str) -> str:
    """A Content-Security-Policy that lets the page run what is in it, and reach nothing."""

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    allowed = " ".join([*map(hashed, scripts), "data:", "blob:", "'wasm-unsafe-eval'"])
    return (
        f"default-src 'none'; script-src {allowed}; style-src {hashed(style)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _json(values: Any) -> str:
    """JSON that no HTML parser takes for the end of its script."""
    return json.dumps(values, ensure_ascii=False).replace("<", r"\u003c")


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _packed(content: bytes) -> str:
    """Compressed, in base64; the same for the same content."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()
