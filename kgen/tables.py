"""Tables and counts as text for a terminal, a pipe or a log.

>>> print(render_table(["name", "fid"], [["dcgan", 12.345], ["vae", None]]), end="")
name  | fid
------+------
dcgan | 12.35
vae   |     -
"""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kgen.progress import folded


def format_number(value: float | None, digits: int = 4) -> str:
    """`digits` significant digits; whole numbers and all digits left of the point are kept; None and NaN are "-"."""
    if value is None or math.isnan(value):
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if 10**digits - 0.5 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}".rstrip(".")


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 file", "3 files", "2 classes"; `many` where the plural is another: "2 files are"."""
    return f"{number} {one if number == 1 else many or one + ('es' if one.endswith('s') else 's')}"


def wrapped(lines: Iterable[str], width: int | None) -> str:
    """Lines, each with its end of line, folded where they are longer; with a width of None as they are."""
    return "".join(f"{line if width is None else folded(line, width)}\n" for line in lines)


def render_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    marks: Mapping[tuple[int, int], str] | None = None,
    width: int | None = None,
) -> str:
    """A table as lines of text; no cell is ever cut off.

    Args:
        headers: one per column.
        rows: of cells. Numbers are formatted by `format_number`; a column after the first whose cells all begin like
            numbers is aligned to the right; None is "-".
        marks: (row, column) -> a mark that is put before the cell, e.g. "*" for the best.
        width: characters per line; a wider table is split into several, each with the first column, or becomes a
            list where not even one fits beside it. None for lines of any length.

    Returns:
        Lines, each with its end of line.
    """
    from rich.cells import cell_len

    marks = marks or {}
    texts = [
        [f"{marks[i, j]} {_text(cell)}" if (i, j) in marks else _text(cell) for j, cell in enumerate(row)]
        for i, row in enumerate(rows)
    ]
    right = [j > 0 and all(_is_numeric(row[j]) for row in rows) for j in range(len(headers))]
    widths = [max(map(cell_len, column)) + 3 for column in zip(headers, *texts, strict=True)]
    if width and len(headers) > 1 and widths[0] + max(widths[1:]) - 3 > width:
        pairs = [[f"  {h} {x}" for h, x in zip(headers[1:], row[1:], strict=True) if x != "-"] for row in texts]
        return "".join(f"{line}\n" for row, others in zip(texts, pairs, strict=True) for line in (row[0], *others))
    parts, used = [[0]], widths[0]
    for column in range(1, len(headers)):
        if width and used + widths[column] - 3 > width and parts[-1] != [0]:
            parts.append([0])
            used = widths[0]
        parts[-1].append(column)
        used += widths[column]
    return "\n".join(
        _render([headers[j] for j in part], [[row[j] for j in part] for row in texts], [right[j] for j in part])
        for part in parts
    )


def _render(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    from rich.box import ASCII2
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=ASCII2, show_edge=False, pad_edge=False)
    for j, header in enumerate(headers):
        table.add_column(Text(header), justify="right" if right[j] else "left", no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    file = io.StringIO()
    Console(file=file, width=1_000_000, color_system=None, legacy_windows=False).print(table)
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, (int, float)) and not isinstance(cell, bool)):
        return format_number(cell)
    return str(cell)


def _is_numeric(cell: Any) -> bool:
    text = _text(cell).lstrip("-")
    return not text or text[0].isdigit() or text.startswith("inf")
