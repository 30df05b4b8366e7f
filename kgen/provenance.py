"""What made a picture, inside its file: a JSON object, in a PNG as text chunk "kgen", in a GIF as comment, in an .npz
file of samples as array "made".

It changes no pixel, every reader of pictures skips it, and the same values give the same bytes. It records the settings
of the command; it is not signed, and whoever edits the file can change it.
"""

import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgen import __version__

KEYWORD = "kgen"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_BYTES = 33
"""Of the signature and the first chunk, IHDR."""


def made_by(command: str, *, model: str, weights_hash: str | None, prior: str, **more: Any) -> dict[str, Any]:
    """What made a picture.

    Args:
        command: of kgen, that wrote it.
        model: name of the generator.
        weights_hash: of its parameters; None if unknown.
        prior: name of the prior.
        more: what else draws it again: "seed"; "label", the class, or None of all classes in turn and of no classes;
            "temperature"; ...
    """
    return drawn_by(command, model=model, weights_hash=weights_hash, prior=prior, **more)


def drawn_by(command: str, **more: Any) -> dict[str, Any]:
    """What made a picture that is no sample alone: a plot, a sheet of real images."""
    return {"kgen": __version__, "command": command, **more}


def tagged(png: bytes, made: Mapping[str, Any]) -> bytes:
    """A PNG file with the values of `made` (of JSON types) as text chunk, after its header; what is no PNG as it is."""
    if not png.startswith(SIGNATURE):
        return png
    body = b"tEXt" + KEYWORD.encode() + b"\0" + as_text(made)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:HEADER_BYTES] + chunk + png[HEADER_BYTES:]


def as_text(made: Mapping[str, Any]) -> bytes:
    """The values of `made` as JSON in ASCII."""
    return json.dumps(made, sort_keys=True).encode("ascii")


def read_tag(path: str | Path) -> dict[str, Any] | None:
    """What made the PNG, GIF or .npz file at `path`; None if it does not say, or is no such file."""
    try:
        made = json.loads(_text_of_arrays(path) if zipfile.is_zipfile(path) else _text_of_picture(path))
    except (OSError, KeyError, TypeError, ValueError, SyntaxError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return made if isinstance(made, dict) and "kgen" in made else None


def _text_of_picture(path: str | Path) -> str | bytes:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.info["comment" if picture.format == "GIF" else KEYWORD]


def _text_of_arrays(path: str | Path) -> str:
    import numpy as np

    with np.load(path) as arrays:
        return str(arrays["made"])
