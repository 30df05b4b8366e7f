"""The latent page: one HTML file with a decoder inside, which runs it without a server and without a network."""

import base64
import gzip
import math
import re
import tempfile
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from kgen import checkpoints
from kgen.errors import UserError
from kgen.explore.kinds import PAGE
from kgen.explore.litert_js import CORE, LOADER, VERSION, WASM, WASM_UTILS, runtime_files
from kgen.io import write_text
from kgen.models.presets import PRESETS
from kgen.provenance import made_by
from kgen.run import Run
from kgen.sampling import generator_name
from kgen.sampling.exported import class_numbers_of
from kgen.sampling.manifest import read_manifest
from kgen.web.html import asset, content_policy, data_url, script_json

DECODER = "model.tflite"
MAX_DECODER_BYTES = 10 * 2**20
"""Of an embedded decoder. One of up to twice as many, in 32 bits, is embedded with weights of 16 bits."""
NOT_DECODED_WITH = ("encoder", "discriminator")
ADVICE = "export the run and look at it with the page of kgen-serve"
STYLES = ("shared/palette.css", "shared/theme.css", "shared/controls.css", "shared/parts.css", "latent_page/style.css")
PREFIX = "kgen/"
"""Prefix of module names: modules in data URLs can import only by names of the import map."""
ENTRY = f'import "{PREFIX}page.js";'


def check_run(run: Run, checkpoint: str):
    """Refuses a run that no page can hold, before it is exported: from its settings and the state of a checkpoint.

    Raises:
        UserError: LiteRT.js does not run its decoder, or cannot be had; or the decoder is too large.
    """
    path, pixels = run.check_checkpoint(checkpoint), PRESETS[run.config.model].family == "PixelVAE"
    _check_loop(run.config.model, pixels, run.config.model_args.get("levels", 2))
    try:
        parameters = checkpoints.read_state(path).get("parameters", {})  # an older checkpoint has none
    except (OSError, ValueError):
        parameters = {}  # whoever reads its weights says so
    size = 4 * sum(count for name, count in parameters.items() if name not in NOT_DECODED_WITH)
    if size > (1 if pixels else 2) * 1.02 * MAX_DECODER_BYTES:  # 2 %: batch normalizations vanish in an export
        raise _too_large(size, path, may_round=not pixels)
    runtime_files()


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
    about = describe(version, source)
    decoder, about["precision"] = _decoder(version, about["code_size"] == math.prod(about["kgen"]["latent_shape"]))
    return write_text(out, assemble(about, decoder, runtime_files()))


def describe(version: Path, source: str | None = None) -> dict[str, Any]:
    """The description of the model for the page: see `embedded.js`."""
    manifest = read_manifest(version)
    size, arguments = math.prod(manifest["latent_shape"]), manifest["model_args"]
    code_size = arguments.get("latent_dim", size)  # what follows in z is noise of pixels
    _check_loop(manifest["model"], code_size < size, arguments.get("levels"))
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


def _check_loop(model: str, pixel_by_pixel: bool, levels: int | None):
    if pixel_by_pixel and levels == 2:
        raise UserError(
            f"model {model!r} with two levels ends in a loop, and LiteRT.js gives no output of one, so it cannot run "
            f"in a page; {ADVICE}"
        )


def _too_large(size: int, path: Path, *, may_round: bool, loss: str = "") -> UserError:
    most = MAX_DECODER_BYTES / 2**20
    rounded = f" ({2 * most:.0f} MiB where weights can be rounded to 16 bits)" if may_round else ""
    return UserError(
        f"a page holds decoders of up to {most:.0f} MiB{rounded}, and this one ({path}) has {size / 2**20:.1f} MiB"
        f"{loss}; {ADVICE}"
    )


def _decoder(version: Path, may_round: bool) -> tuple[bytes, str]:
    """The file to embed, and what was changed in it, in words; "" if nothing was.

    Args:
        version: of an export.
        may_round: weights may have 16 bits; rounded ones would sample other pixels where they are sampled one by one.
    """
    path = version / DECODER
    if not path.is_file():
        raise UserError(f"{path} is missing: keep what kgen-export wrote together, or export the run again")
    size = path.stat().st_size
    if size <= MAX_DECODER_BYTES:
        return path.read_bytes(), ""
    if not may_round or size > 2.04 * MAX_DECODER_BYTES:
        raise _too_large(size, path, may_round=may_round)
    from kgen.export.quantization import float16

    rounded = float16(path.read_bytes())
    if len(rounded) > MAX_DECODER_BYTES:
        raise _too_large(size, path, may_round=True)
    difference, exceeded = _deviation(rounded, version)
    if exceeded:
        raise _too_large(size, path, may_round=True, loss=f", and 16-bit weights change its images: {exceeded}")
    return rounded, f"16-bit weights, which change a pixel by up to {255 * difference:.1g} of 255 levels"


def _deviation(decoder: bytes, version: Path) -> tuple[float, str]:
    """The largest difference of a pixel in [0, 1] between a decoder with 16-bit weights and the golden batch of the
    export, and what exceeds the tolerance of such files, or ""."""
    from kgen.export.golden import Golden
    from kgen.export.tolerances import TOLERANCES
    from kgen.export.verify import compare_signature
    from kgen.sampling.exported import TFLiteRuntime

    golden, found = Golden.load(version), []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / DECODER
        file.write_bytes(decoder)
        runtime = TFLiteRuntime(file)
        for signature in ("decode", "generate", "interpolate"):
            found += [d for _, d in compare_signature(DECODER, "float16", runtime.call, signature, golden)]
    worst = max(found, key=lambda deviation: deviation.max_abs_difference)
    return worst.max_abs_difference, ", ".join(worst.exceeded(TOLERANCES["float16"]))


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
