"""The files of LiteRT.js, which runs .tflite files in a browser: from npm's registry, verified, stored in the cache.

The WebAssembly build is the one without relaxed SIMD and threads: it runs in every browser of the last years, also from
a local file, where a page may not have threads.
"""

import base64
import hashlib
import io
import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from kgen.cache import cache_root
from kgen.errors import UserError
from kgen.io import write_aside
from kgen.progress import announce

VERSION = "2.5.3"
FOLDER_VARIABLE = "KGEN_LITERT_JS"
REGISTRY = "https://registry.npmjs.org"
TIMEOUT_SECONDS = 60
MAX_PACKAGE_BYTES = 64 * 2**20
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
        integrity: "sha512-..." of its archive, as in lock files.
        files: path below node_modules -> SHA-256 of each file that is needed.
    """

    name: str
    integrity: str
    files: dict[str, str]

    @property
    def path(self) -> str:
        """Path of the archive in a registry."""
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
        UserError: they are not available, or have other hashes than kgen expects.
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
            announce(f"fetching {package.name} from {registry()}")
            files = _unpack(package, _download(package))
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
    """The files of a package in a folder of packages; None unless all are there and have the expected hashes."""
    try:
        found = {name: (folder / name).read_bytes() for name in package.files}
    except OSError:
        return None
    return found if _verified(package, found) else None


def _verified(package: Package, found: dict[str, bytes]) -> bool:
    return all(hashlib.sha256(found[name]).hexdigest() == expected for name, expected in package.files.items())


def _refused(package: Package, folder: Path):
    raise UserError(
        f"{FOLDER_VARIABLE}={folder} holds no {package.name} {VERSION}; name the node_modules of a folder in which "
        f"'npm install @litertjs/core@{VERSION}' was run, or unset it"
    )


def _download(package: Package) -> bytes:
    """Downloads the archive of a package and verifies its hash."""
    import requests

    url, content = f"{registry()}/{package.path}", b""
    try:
        with requests.get(url, timeout=TIMEOUT_SECONDS, stream=True) as answer:
            answer.raise_for_status()
            for part in answer.iter_content(2**20):
                content += part
                if len(content) > MAX_PACKAGE_BYTES:
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
            f"{url} is not {package.name} {VERSION}: its SHA-512 differs from the expected one; is "
            f"NPM_CONFIG_REGISTRY or ~/.npmrc what you mean? Received: {len(content)} bytes from {registry()}"
        )
    return content


def _reason(error: Exception) -> str:
    answer = getattr(error, "response", None)
    return f"HTTP {answer.status_code}" if answer is not None else type(error).__name__


def _unpack(package: Package, archive: bytes) -> dict[str, bytes]:
    """The needed files by their exact names; no path of the archive is used for writing."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for name in package.files:
            member = tar.extractfile(f"package{name.removeprefix(package.name)}")
            found[name] = member.read()
    return found
