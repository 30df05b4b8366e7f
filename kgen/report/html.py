"""Pieces of HTML; whatever text they are given is escaped."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
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
