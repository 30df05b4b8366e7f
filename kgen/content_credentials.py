"""C2PA content credentials: a signed record in a picture's file that a trained model made it (https://c2pa.org).

Needs the extra `c2pa`, the library of the Content Authenticity Initiative. The text chunk of `kgen.provenance` is among
what is signed, so that it cannot be changed unnoticed; who trusts the signature decides who trusts the certificate.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path

from kgen import __version__
from kgen.errors import UserError

SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for what a model made that was trained on other media."""
ALGORITHMS = ("es256", "es384", "es512", "ps256", "ed25519")
"""By the kind of the private key."""

Sign = Callable[[bytes], bytes]
"""A PNG file -> the same with a signed record."""


def signer_of(option: str) -> Sign:
    """Signs PNG files with a certificate.

    Args:
        option: "CERT,KEY", two PEM files: the certificate with those that certify it, and its private key.

    Raises:
        UserError: the library is missing, a file cannot be read, or the two make no signature.
    """
    paths = [Path(path.strip()) for path in option.split(",")]
    if len(paths) != 2:
        raise UserError(f"--c2pa takes two PEM files, CERT,KEY. Received: {option}")
    try:
        certificate, key = (path.read_bytes() for path in paths)
    except OSError as error:
        raise UserError(f"--c2pa {option}: {error.filename}: {error.strerror}") from error
    try:
        import c2pa
    except ImportError as error:
        raise UserError(f"--c2pa needs the library c2pa-python; pip install 'kgen[c2pa]' ({error})") from error
    agent = {"name": "kgen", "version": __version__}
    action = {"action": "c2pa.created", "digitalSourceType": SOURCE, "softwareAgent": agent}
    manifest = {
        "claim_generator_info": [agent],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }

    def sign_with(algorithm: str, png: bytes) -> bytes:
        signed = io.BytesIO()
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, certificate, key, None))
        c2pa.Builder(json.dumps(manifest)).sign(signer, "image/png", io.BytesIO(png), signed)
        return signed.getvalue()

    reasons = []
    for algorithm in ALGORITHMS:
        try:
            sign_with(algorithm, _smallest_png())
        except c2pa.C2paError as error:
            reasons.append(" ".join(str(error).split()))
        else:
            return lambda png: sign_with(algorithm, png)
    raise UserError(f"--c2pa {option}: no signature can be made of these files ({reasons[0]})")


def _smallest_png() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    return file.getvalue()
