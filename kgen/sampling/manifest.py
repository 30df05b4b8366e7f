"""manifest.json of a version of an export: what was exported and measured, the hash of every file, and its own digest.

The last value is the SHA-256 digest of the text that the manifest would be without it. A reader renders what it has
parsed again: the text must be the same to the byte, and so must the digest, hence every changed byte is noticed.
Whoever changes a manifest on purpose can compute another digest; only a signature (Ed25519, RFC 8032, of the text
without signature and digest) proves the author.

Manifests without "manifest_version" are older: they have no digest.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgen.errors import ExportFailed, UserError
from kgen.io import write_aside

MANIFEST = "manifest.json"
VERSION, SIGNATURE, DIGEST = "manifest_version", "signature", "digest"
CURRENT_VERSION = 2
NEEDED = ("spec", "latent_shape", "prior", "conditional")
"""What a sampler reads of every manifest."""
AGAIN = "keep what kgen-export wrote together, or export the run again"


def write_manifest(folder: Path, values: Mapping[str, Any], key: Any = None) -> Path:
    """Writes manifest.json with its digest, and with a signature if there is a key.

    Args:
        folder: of the version.
        values: of JSON types.
        key: see `private_key`.
    """
    values = unsealed(values)
    values = {VERSION: CURRENT_VERSION, **values}
    if key is not None:
        signed = key.sign(_text(values))
        values[SIGNATURE] = {"algorithm": "ed25519", "public_key": _raw(key.public_key()), "value": signed.hex()}
    values[DIGEST] = digest(values)
    return write_aside(folder / MANIFEST, lambda aside: aside.write_bytes(_text(values)))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a version of an export.

    Raises:
        UserError: there is none, it cannot be read, or it is not what kgen-export wrote.
    """
    values = read_unchanged(folder)
    if is_older(values) and (missing := [name for name in NEEDED if name not in values]):
        raise UserError(f"{folder / MANIFEST} is damaged (it lacks {', '.join(missing)}): {AGAIN}")
    return values


def read_unchanged(folder: Path) -> dict[str, Any]:
    """The JSON object in the manifest.json of any model; one with a digest has not changed since it was written.

    Raises:
        UserError: there is none, it cannot be read, or its digest is another.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise UserError(f"{file} is missing: {AGAIN}")
    content = file.read_bytes()
    try:
        values = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged ({error}): {AGAIN}") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} is damaged (no JSON object): {AGAIN}")
    if not is_older(values) and (values.get(DIGEST) != digest(values) or _text(values) != content):
        raise UserError(f"{file} has changed since the export was written (its digest is another): {AGAIN}")
    return values


def is_older(values: Mapping[str, Any]) -> bool:
    """Whether a manifest is of the form without a digest."""
    return not {VERSION, SIGNATURE, DIGEST} & {*values}


def unsealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a manifest without its version, signature and digest, as older ones are."""
    return {name: value for name, value in values.items() if name not in (VERSION, SIGNATURE, DIGEST)}


def digest(values: Mapping[str, Any]) -> str:
    """The digest of a manifest: 64 hexadecimal digits."""
    return hashlib.sha256(_text({name: value for name, value in values.items() if name != DIGEST})).hexdigest()


def _text(values: Mapping[str, Any]) -> bytes:
    """A manifest as it is written: UTF-8, indented by two; half characters of file names as JSON writes them."""
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


# Signatures -----------------------------------------------------------------------------------------------------------


def private_key(path: str | Path):
    """The Ed25519 key in a PEM file, as `openssl genpkey -algorithm ed25519` writes it.

    Raises:
        UserError: there is none.
    """
    return _key("sign", path, "private", lambda load, data: load.load_pem_private_key(data, None))


def public_key(path: str | Path):
    """The Ed25519 key in a PEM file, as `openssl pkey -pubout` writes it.

    Raises:
        UserError: there is none.
    """
    return _key("public_key", path, "public", lambda load, data: load.load_pem_public_key(data))


def check_signature(folder: Path, values: Mapping[str, Any], key: Any):
    """Checks that the owner of a key signed a manifest.

    Args:
        folder: of the version.
        values: its manifest.
        key: see `public_key`.

    Raises:
        ExportFailed: it has no signature, or not one of this key.
    """
    from cryptography.exceptions import InvalidSignature

    signature = values.get(SIGNATURE)
    if signature is None:
        raise ExportFailed(f"{folder / MANIFEST} is not signed; export the run again with --sign")
    try:
        text = _text({name: value for name, value in values.items() if name not in (SIGNATURE, DIGEST)})
        key.verify(bytes.fromhex(signature["value"]), text)
    except (InvalidSignature, KeyError, TypeError, ValueError) as error:
        raise ExportFailed(
            f"{folder / MANIFEST} was not signed with the key {_raw(key)}; it states {signing_key(values)}"
        ) from error


def signing_key(values: Mapping[str, Any]) -> str | None:
    """The public key that a manifest states, 64 hexadecimal digits; None if it is not signed."""
    signature = values.get(SIGNATURE)
    return str(signature.get("public_key")) if isinstance(signature, Mapping) else None


def _key(flag: str, path: str | Path, kind: str, load):
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise UserError(f"--{flag} needs cryptography; install it with: pip install 'kgen[sign]'") from error
    wanted = ed25519.Ed25519PrivateKey if kind == "private" else ed25519.Ed25519PublicKey
    try:
        key = load(serialization, Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"--{flag} {path}: {error.strerror}; name a PEM file with an Ed25519 {kind} key") from error
    except Exception as error:  # of the library, for a file of any content
        raise UserError(f"--{flag} {path}: no PEM file with an Ed25519 {kind} key without a password") from error
    if not isinstance(key, wanted):
        raise UserError(
            f"--{flag} {path}: the key is of another kind; make one with: openssl genpkey -algorithm ed25519"
        )
    return key


def _raw(key) -> str:
    """A public key as 64 hexadecimal digits."""
    return key.public_bytes_raw().hex()
