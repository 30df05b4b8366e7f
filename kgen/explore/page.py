"""LiteRT.js, which runs .tflite files in a browser: its files, from npm's registry, checked and kept in the cache.

The build of WebAssembly is the one without relaxed SIMD and threads: it runs in every browser of the last years, also
from a file, where a page may not have threads.
"""

import base64
import gzip
import hashlib
import html
import io
import json
import math
import os
import re
import tarfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from kgen.cache import cache_root
from kgen.errors import UserError
from kgen.io import write_aside, write_text
from kgen.sampling.exported import read_manifest

VERSION = "2.5.3"
FOLDER_VARIABLE = "KGEN_LITERT_JS"
REGISTRY = "https://registry.npmjs.org"
SECONDS = 60
LARGEST_PACKAGE_BYTES = 64 * 2**20
CORE, LOADER, WASM, WASM_UTILS = (
    "@litertjs/core/dist/index.js",
    "@litertjs/core/wasm/litert_wasm_compat_internal.js",
    "@litertjs/core/wasm/litert_wasm_compat_internal.wasm",
    "@litertjs/wasm-utils/dist/index.js",
)


@dataclass(frozen=True)
class Package:
    """A package of npm.

    Attributes:
        integrity: of its archive, as lock files have it.
        files: path below node_modules -> SHA-256 of each file that is wanted.
    """

    name: str
    integrity: str
    files: dict[str, str]

    @property
    def path(self) -> str:
        """Of the archive, in a registry."""
        return f"{self.name}/-/{self.name.rsplit('/', 1)[-1]}-{VERSION}.tgz"


PACKAGES = (
    Package(
        "@litertjs/core",
        "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        {
            CORE: "e7daccc3a31eef890848a737ccb863ded5f046a6b40c3fdc0556495adeb5d9b3",
            LOADER: "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5",
            WASM: "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c",
        },
    ),
    Package(
        "@litertjs/wasm-utils",
        "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        {WASM_UTILS: "e0e20bc28ab001ac732cf40d15b6eebd24fb0deaeb95eeba5100f51eebf015f2"},
    ),
)


def runtime_files() -> dict[str, bytes]:
    """CORE, LOADER, WASM and WASM_UTILS -> content.

    From the node_modules folder that $KGEN_LITERT_JS names; else from the cache; else from npm's registry, into the
    cache.

    Raises:
        UserError: they are nowhere, or not the files that kgen knows.
    """
    if given := os.environ.get(FOLDER_VARIABLE):
        found = {}
        for package in PACKAGES:
            found |= _read(package, Path(given)) or _refused(package, Path(given))
        return found
    cache, found = cache_root() / "litert-js" / VERSION, {}
    for package in PACKAGES:
        files = _read(package, cache)
        if files is None:
            files = _unpacked(package, _fetched(package))
            for name, content in files.items():
                write_aside(cache / name, lambda aside, content=content: aside.write_bytes(content))
        found |= files
    return found


def registry() -> str:
    """npm's registry: of NPM_CONFIG_REGISTRY, of ~/.npmrc, or the public one."""
    for variable in ("NPM_CONFIG_REGISTRY", "npm_config_registry"):
        if value := os.environ.get(variable):
            return value.rstrip("/")
    settings = Path.home() / ".npmrc"
    text = settings.read_text(encoding="utf-8") if settings.is_file() else ""
    found = re.findall(r"^\s*registry\s*=\s*(\S+)\s*$", text, re.MULTILINE)
    return (found[-1] if found else REGISTRY).rstrip("/")


def _read(package: Package, folder: Path) -> dict[str, bytes] | None:
    """The files of a package in a folder of packages; None unless all are there and are the known ones."""
    try:
        found = {name: (folder / name).read_bytes() for name in package.files}
    except OSError:
        return None
    return found if _known(package, found) else None


def _known(package: Package, found: dict[str, bytes]) -> bool:
    return all(hashlib.sha256(found[name]).hexdigest() == expected for name, expected in package.files.items())


def _refused(package: Package, folder: Path):
    raise UserError(
        f"{FOLDER_VARIABLE}={folder} holds no {package.name} {VERSION}; name the node_modules of a folder in which "
        f"'npm install @litertjs/core@{VERSION}' was run, or unset it"
    )


def _fetched(package: Package) -> bytes:
    """The archive of a package, checked."""
    import requests

    url, content = f"{registry()}/{package.path}", b""
    try:
        with requests.get(url, timeout=SECONDS, stream=True) as answer:
            answer.raise_for_status()
            for part in answer.iter_content(2**20):
                content += part
                if len(content) > LARGEST_PACKAGE_BYTES:
                    break
    except requests.RequestException as error:
        raise UserError(
            f"LiteRT.js, which runs the decoder in the page, is not in the cache and cannot be fetched from {url} "
            f"({_reason(error)}); connect once, or run 'npm install @litertjs/core@{VERSION}' elsewhere and set "
            f"{FOLDER_VARIABLE} to its node_modules"
        ) from error
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if f"sha512-{digest}" != package.integrity:
        raise UserError(
            f"{url} is not {package.name} {VERSION}: its SHA-512 differs from the one that kgen knows; is "
            f"NPM_CONFIG_REGISTRY or ~/.npmrc what you mean? Received: {len(content)} bytes from {registry()}"
        )
    return content


def _reason(error: Exception) -> str:
    answer = getattr(error, "response", None)
    return f"HTTP {answer.status_code}" if answer is not None else type(error).__name__


def _unpacked(package: Package, archive: bytes) -> dict[str, bytes]:
    """The wanted files alone, by their exact names: nothing is written where an archive says."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for name in package.files:
            member = tar.extractfile(f"package{name.removeprefix(package.name)}")
            found[name] = member.read()
    return found


# Page -----------------------------------------------------------------------------------------------------------------
# A page with a decoder inside: one HTML file that draws without a server and without a network.


DECODER = "model.tflite"
LARGEST_BYTES = 10 * 2**20
SHARED = ("clipboard.js", "dom.js", "manifest.js", "pad.js", "seeds.js", "portable.js")
STYLES = ("theme.css", "controls.css", "parts.css", "latent_page/page.css")
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
    return write_text(out, assembled(about, decoder, runtime_files()))


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
    package = resources.files("kgen.web")
    style = "\n".join((package / name).read_text(encoding="utf-8") for name in STYLES)
    modules = _json({"imports": _modules(package, runtime)})
    values = {
        "policy": _policy(style, modules, ENTRY),
        "title": html.escape(f"{about['name']} of {about['data']}"),
        "icon": _data_url("image/svg+xml", (package / "icon.svg").read_bytes()),
        "style": style,
        "modules": modules,
        "entry": ENTRY,
        "version": VERSION,
        "model": _json(about),
        "decoder": _packed(decoder),
        "loader": _packed(runtime[LOADER]),
        "wasm": _packed(runtime[WASM]),
    }
    template = (package / "latent_page" / "index.html").read_text(encoding="utf-8")
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
    own = [file for file in (package / "latent_page").iterdir() if file.name.endswith(".js")]
    files = [*own, *(package / name for name in SHARED)]
    texts = {f"{PREFIX}{file.name}": file.read_text(encoding="utf-8") for file in files}
    sources = {name: re.sub(r'from "\./', f'from "{PREFIX}', text).encode() for name, text in texts.items()}
    sources["@litertjs/core"] = runtime[CORE]
    sources["@litertjs/wasm-utils"] = runtime[WASM_UTILS]
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
