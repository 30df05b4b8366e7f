"""Pieces of HTML; whatever text they are given is escaped."""

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

LONG = 60
"""Letters; a longer value is folded."""


def section(title: str, body: str, name: str) -> str:
    """A part of the page with a heading; `body` is HTML, and empty leaves the part out."""
    return f'<section id="{name}">\n<h2>{escape(title)}</h2>\n{body}</section>\n' if body else ""


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> str:
    """A table of texts that scrolls sideways where it has no room.

    The first column names the row; what stands in parentheses there is told in small letters.
    """
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    body = ""
    for name, *cells in rows:
        data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        name, parenthesis, small = name.partition(" (")
        small = f" <small>({escape(small)}</small>" if parenthesis else ""
        body += f'<tr><th scope="row">{escape(name)}{small}</th>{data}</tr>\n'
    return (
        f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )


def pairs(values: Mapping[str, Any]) -> str:
    """Names and values; long values are folded."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{_value(value)}</dd></div>\n" for name, value in values.items())
    return f'<dl class="pairs">\n{rows}</dl>\n'


def fold(summary: str, body: str, *, shown: bool = False) -> str:
    """A part that opens when asked; `body` is HTML."""
    return f"<details{' open' if shown else ''}><summary>{escape(summary)}</summary>\n{body}</details>\n"


def picture(found, caption: str, *, wide: int = 0) -> str:
    """A figure of a `Picture`.

    Args:
        found: the Picture.
        caption: below it, and its words for who cannot see it.
        wide: about so many pixels wide if it can be enlarged by a whole number; 0 leaves its size.
    """
    times = max(1, round(wide / found.width))
    kind = ' class="pixels"' if wide else ""
    return (
        f'<figure><img{kind} src="{found.url}" width="{found.width * times}" height="{found.height * times}" '
        f'alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>\n'
    )


def text_of(value: Any) -> str:
    """A setting as a reader would write it: JSON, but words without quotes."""
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _value(value: Any) -> str:
    text = text_of(value)
    if len(text) <= LONG:
        return escape(text)
    many = f"{len(value)} values" if isinstance(value, (list, tuple, dict)) else f"{text[: LONG // 2]}…"
    return f"<details><summary>{escape(many)}</summary>{escape(text)}</details>"


# Pictures -------------------------------------------------------------------------------------------------------------
# Pictures inside the page: data URLs within a budget.


PAGE_BYTES = 10_000_000
"""The whole page stays below."""
TEXT_BYTES = 2_000_000
"""Of them for everything but pictures: curves are thinned and the log is cut, so that they need less."""
STILLS_BYTES = 3_000_000
"""Of data URLs of all pictures but the grids over time, which get what is left."""
MOST_FRAMES = 80
STILL_BYTES = 1_500_000
FRAME_BYTES = (600_000, 200_000, 80_000)
"""Of a data URL; a larger picture is encoded smaller. Of grids over time the first that lets all of them in."""
LONGEST_SIDES = (1600, 1200, 900, 640, 400, 200)
TYPES = {".png": "image/png", ".gif": "image/gif"}


@dataclass(frozen=True)
class EmbeddedImage:
    """One picture.

    Attributes:
        path: of its file.
        url: a data URL.
        width, height: as they were drawn, pixels.
        smaller: whether it was encoded smaller than the file is.
    """

    path: Path
    url: str
    width: int
    height: int
    smaller: bool = False


class Budget:
    """Bytes of data URLs that may still be used."""

    def __init__(self, size: int):
        self.left = size
        self.problems: list[str] = []

    def take(self, path: Path, most: int = STILL_BYTES) -> EmbeddedImage | None:
        """The picture, encoded smaller if it must be; None, and a sentence in `problems`, if it cannot be shown."""
        told = len(self.problems)
        picture = self.read(path, most)
        if len(self.problems) > told:
            return None
        if picture is None or len(picture.url) > self.left:
            self.problems.append(f"{path.name} is too large for this page: look at {path}.")
            return None
        self.left -= len(picture.url)
        return picture

    def read(self, path: Path | None, most: int) -> EmbeddedImage | None:
        """See `load`; what cannot be read is told once."""
        try:
            return load_image(path, most) if path else None
        except Exception as error:  # Pillow has many for a broken file
            sentence = f"{path.name} is no picture that can be read ({type(error).__name__})."
            self.problems += [] if sentence in self.problems else [sentence]
            return None


def load_image(path: Path, most: int) -> EmbeddedImage | None:
    """A picture as a data URL of at most `most` bytes.

    Raises:
        Exception: the file is no picture.

    Returns:
        None for a film (an animated GIF) that is larger.
    """
    from PIL import Image

    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        width, height = image.size
        url = _url(TYPES[path.suffix.lower()], content)
        if len(url) <= most:
            return EmbeddedImage(path, url, width, height)
        if getattr(image, "is_animated", False):
            return None
        still = image.convert("RGB")
    for side in LONGEST_SIDES:
        reduced = still.copy()
        reduced.thumbnail((side, side), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        reduced.save(stream, "JPEG", quality=85)
        url = _url("image/jpeg", stream.getvalue())
        if len(url) <= most:
            return EmbeddedImage(path, url, width, height, smaller=True)
    return None


def _url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def evenly(items: Sequence, count: int) -> list:
    """`count` of the items, evenly spaced, the first and the last among them; all if there are no more."""
    if len(items) <= count:
        return list(items)
    if count < 2:
        return list(items[-count:]) if count else []
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def film(moments: Sequence[Sequence[Path | None]], budget: Budget) -> list[tuple[EmbeddedImage | None, ...]]:
    """As many moments as the budget holds, evenly spaced, the first and the last among them.

    Args:
        moments: the pictures of each in the same order; None where one is missing.
        budget: that they are taken from.

    Returns:
        The pictures of each moment; None where one is missing or cannot be read. Before moments are left out, pictures
        are encoded smaller.
    """
    moments = evenly(moments, MOST_FRAMES)
    for most in FRAME_BYTES:
        shown = [tuple(budget.read(path, most) for path in moment) for moment in moments]
        size = _size(shown)
        if size <= budget.left:
            break
    while _size(shown) > budget.left:
        shown = evenly(shown, min(len(shown) - 1, int(len(shown) * budget.left / _size(shown))))
    budget.left -= _size(shown)
    return shown


def _size(shown: Sequence[Sequence[EmbeddedImage | None]]) -> int:
    return sum(len(picture.url) for moment in shown for picture in moment if picture)
