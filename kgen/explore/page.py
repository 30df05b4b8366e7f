"""The latent page: one HTML file with a decoder inside, which runs it without a server and without a network."""

import base64
import gzip
import math
import re
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from kgen.errors import UserError
from kgen.explore.kinds import PAGE
from kgen.explore.litert_js import CORE, LOADER, VERSION, WASM, WASM_UTILS, runtime_files
from kgen.io import write_text
from kgen.provenance import made_by
from kgen.sampling import generator_name
from kgen.sampling.exported import class_numbers_of
from kgen.sampling.manifest import read_manifest
from kgen.web.html import asset, content_policy, data_url, script_json

DECODER = "model.tflite"
MAX_DECODER_BYTES = 10 * 2**20
STYLES = ("shared/palette.css", "shared/theme.css", "shared/controls.css", "shared/parts.css", "latent_page/style.css")
PREFIX = "kgen/"
"""Prefix of module names: modules in data URLs can import only by names of the import map."""
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
    about, decoder = describe(version, source), _decoder(version)
    return write_text(out, assemble(about, decoder, runtime_files()))


def describe(version: Path, source: str | None = None) -> dict[str, Any]:
    """The description of the model for the page: see `embedded.js`."""
    manifest = read_manifest(version)
    size, arguments = math.prod(manifest["latent_shape"]), manifest["model_args"]
    code_size = arguments.get("latent_dim", size)  # what follows in z is noise of pixels
    if code_size < size and arguments.get("levels") == 2:
        raise UserError(
            f"model {manifest['model']!r} with two levels ends in a loop, and LiteRT.js gives no output of one, so it "
            "cannot run in a page; export the run and look at it with the page of kgen-serve"
        )
    known = ("class_names", "latent_shape", "prior", "conditional", "ranges")
    return {
        "name": manifest["model"],
        "data": manifest["spec"]["name"],
        "parameters": manifest["parameters"],
        "source": source or f"runs/{manifest['run']}",
        "code_size": code_size,
        "origin": made_by(
            f"kgen-explore --what {PAGE}",
            model=generator_name(version),
            weights_hash=manifest.get("weights_hash"),  # an older export has none
            prior=manifest["prior"],
            all_classes=False,
            picture="image",
        ),
        "kgen": {name: manifest[name] for name in known}
        | {name: manifest["spec"][name] for name in ("image_shape", "num_classes")}
        | {"class_numbers": class_numbers_of(manifest)},
    }


def assemble(about: dict[str, Any], decoder: bytes, runtime: dict[str, bytes]) -> str:
    """The text of the page.

    Args:
        about: from `describe`.
        decoder: a .tflite file with the signatures decode, generate and interpolate.
        runtime: from `runtime_files`.
    """
    style = "\n".join(map(asset, STYLES))
    modules = script_json({"imports": _modules(runtime)})
    values = {
        "policy": content_policy([style], [modules, ENTRY], ("data:", "blob:", "'wasm-unsafe-eval'")),
        "title": escape(f"{about['name']} of {about['data']}"),
        "icon": data_url("image/svg+xml", asset("shared/icon.svg").encode()),
        "style": style,
        "modules": modules,
        "entry": ENTRY,
        "version": VERSION,
        "model": script_json(about),
        "decoder": _packed(decoder),
        "loader": _packed(runtime[LOADER]),
        "wasm": _packed(runtime[WASM]),
    }
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], asset("latent_page/index.html"))


def _decoder(version: Path) -> bytes:
    path = version / DECODER
    if not path.is_file():
        raise UserError(f"{path} is missing: keep what kgen-export wrote together, or export the run again")
    if (size := path.stat().st_size) > MAX_DECODER_BYTES:
        raise UserError(
            f"a page holds decoders of up to {MAX_DECODER_BYTES / 2**20:.0f} MiB, and this one ({path}) has "
            f"{size / 2**20:.1f} MiB; export the run and look at it with the page of kgen-serve"
        )
    return path.read_bytes()


def _modules(runtime: dict[str, bytes]) -> dict[str, str]:
    """Name of a module, as others import it -> a data URL with its text."""
    folders = (resources.files("kgen.web") / name for name in ("shared", "latent_page"))
    files = [file for folder in folders for file in folder.iterdir() if file.name.endswith(".js")]
    texts = {f"{PREFIX}{file.name}": file.read_text(encoding="utf-8") for file in files}
    sources = {name: re.sub(r'from "\./', f'from "{PREFIX}', text).encode() for name, text in texts.items()}
    sources["@litertjs/core"] = runtime[CORE]
    sources["@litertjs/wasm-utils"] = runtime[WASM_UTILS]
    return {name: data_url("text/javascript", sources[name]) for name in sorted(sources)}


def _packed(content: bytes) -> str:
    """gzip in base64; deterministic."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()
