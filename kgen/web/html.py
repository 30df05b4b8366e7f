"""Pieces of self-contained HTML pages: one document that needs no other file and no network.

Text that is given to these functions is escaped; arguments named `body` are HTML.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from kgen.tables import counted

UNBROKEN = re.compile(r"\S*(?:--|[=_/])\S*")
"""Words of a command line, in escaped text."""
MAX_INLINE = 60
"""Characters; a longer value is folded."""


def asset(name: str) -> str:
    """The text of a file of kgen/web, e.g. "report.css"."""
    return (resources.files("kgen.web") / name).read_text(encoding="utf-8")


def document(title: str, body: str, *, style: str, script: str = "") -> str:
    """A page in the common colors. It runs no other script than `script` and loads nothing, whatever its texts hold."""
    style = asset("shared/palette.css") + style
    policy = content_policy(styles=[style], scripts=[script] if script else [])
    element = f"<script>{script}</script>\n" if script else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}{element}</body>\n</html>\n"
    )


def content_policy(styles: Iterable[str], scripts: Iterable[str], script_sources: Sequence[str] = ()) -> str:
    """A Content-Security-Policy that allows these inline styles and scripts, and images in data URLs, and no more.

    Args:
        styles, scripts: contents of <style> and <script> elements.
        script_sources: further sources of scripts, e.g. "blob:".
    """
    allowed = " ".join([*map(_hash, scripts), *script_sources]) or "'none'"
    return (
        f"default-src 'none'; img-src data:; style-src {' '.join(map(_hash, styles))}; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def data_url(media_type: str, content: bytes) -> str:
    """A file inside a page: "data:image/png;base64,..."."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def script_json(values: Any) -> str:
    """JSON for the content of a <script> element, which it cannot end."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).replace("<", r"\u003c")


def section(title: str, body: str, name: str) -> str:
    """A part of the page with a heading; an empty body leaves the part out."""
    return f'<section id="{name}">\n<h2>{escape(title)}</h2>\n{body}</section>\n' if body else ""


def note(kind: str, title: str, body: str) -> str:
    """A box with a heading; `kind`: "quiet", "well" or "wrong"."""
    return f'<aside class="note {kind}"><h2>{escape(title)}</h2>\n{body}</aside>\n'


def words(text: str) -> str:
    """Text in which a line ends within a flag, a setting or a path only where it is too long: see palette.css."""
    return UNBROKEN.sub(lambda found: f'<span class="word">{_breakable(found[0])}</span>', escape(text))


def paragraphs(sentences: Iterable[str]) -> str:
    """A paragraph per sentence."""
    return "".join(f"<p>{words(sentence)}</p>\n" for sentence in sentences)


def quiet(sentence: str) -> str:
    """A paragraph in the color of remarks."""
    return f'<p class="quiet">{words(sentence)}</p>\n'


def items(sentences: Iterable[str]) -> str:
    """A list with an entry per sentence."""
    entries = "".join(f"<li>{words(sentence)}</li>\n" for sentence in sentences)
    return f"<ul>\n{entries}</ul>\n"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], label: str, *, stacks: bool = False) -> str:
    """A table of texts that scrolls sideways where it has no room.

    The first column names the row; what is in parentheses there is shown in small letters. If it `stacks`, a narrow
    page shows the cells of a row below each other instead, each beside its header: see `.stacks` of the page's style.
    """
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    body = ""
    for name, *cells in rows:
        data = "".join(
            f'<td data-label="{escape(header)}">{escape(cell)}</td>' if stacks else f"<td>{escape(cell)}</td>"
            for header, cell in zip(headers[1:], cells, strict=True)
        )
        name, parenthesis, small = name.partition(" (")
        small = f" <small>({escape(small)}</small>" if parenthesis else ""
        body += f'<tr><th scope="row">{escape(name)}{small}</th>{data}</tr>\n'
    return (
        f'<div class="scroll{" stacks" if stacks else ""}" role="region" aria-label="{escape(label)}" tabindex="0">'
        f"<table>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )


def sheet(url: str, size: tuple[int, int], text: str, names: Sequence[str] = (), *, width: int, name: str = "") -> str:
    """A grid of samples with the names of its rows beside it; see sheets.css.

    Args:
        url: of the picture.
        size: its width and height in pixels, which are enlarged by a whole factor.
        text: the alternative text.
        names: of the rows, from the top; none are written if empty.
        width: about so wide is the enlarged picture, in pixels.
        name: the id of the picture, or "".
    """
    factor = max(1, round(width / size[0]))
    rows = f'<div class="rows">{"".join(f"<span>{escape(one)}</span>" for one in names)}</div>' if names else ""
    known = f' id="{name}"' if name else ""
    return (
        f'<div class="sheet">{rows}<img class="pixels"{known} src="{url}" width="{size[0] * factor}" '
        f'height="{size[1] * factor}" alt="{escape(text)}"></div>'
    )


def pairs(values: Mapping[str, Any]) -> str:
    """Names and values; long values are folded."""
    rows = "".join(
        f"<div><dt>{_breakable(escape(name))}</dt><dd>{_value(value)}</dd></div>\n" for name, value in values.items()
    )
    return f'<dl class="pairs">\n{rows}</dl>\n'


def definitions(entries: Iterable[tuple[str, str]]) -> str:
    """Terms with their texts; consecutive entries of one term share it."""
    items, last = "", None
    for term, text in entries:
        items += ("" if term == last else f"<dt>{escape(term)}</dt>") + f"<dd>{escape(text)}</dd>\n"
        last = term
    return f'<dl class="words">\n{items}</dl>\n'


def fold(summary: str, body: str) -> str:
    """A part that opens on request."""
    return f"<details><summary>{escape(summary)}</summary>\n{body}</details>\n"


def text_of(value: Any) -> str:
    """A setting as JSON, but words without quotes."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.12g}"  # 0.0002 in place of 0.00019999999999999998
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _breakable(escaped: str) -> str:
    """Text that a narrow column breaks after underscores, slashes and equals signs."""
    return re.sub("([=_/])", r"\1<wbr>", escaped)


def _value(value: Any) -> str:
    text = text_of(value)
    if len(text) <= MAX_INLINE:
        return _breakable(escape(text))
    short = counted(len(value), "value") if isinstance(value, (list, tuple, dict)) else f"{text[: MAX_INLINE // 2]}…"
    return f"<details><summary>{escape(short)}</summary>{escape(text)}</details>"
