"""Tables of figures as text for a terminal or a log."""

import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

WORDS = {
    "features": "{} features",
    "extractor_hash": "extractor {}",
    "dimension": "{} dimensions",
    "resizer": "resizer {}",
    "value_range": "values {}",
    "data": "reference {}",
    "data_hash": "data hash {}",
    "split": "{} split",
    "num_real": "{} real images",
    "num_fake": "{} generated images",
    "seed": "seed {}",
    "repeats": "repeats {}",
    "weights_hash": "weights {}",
}
"""How the keys of a protocol are told, in this order."""

HASH_LETTERS = 12
"""So many letters of a hash are shown."""


def format_number(value: float | None, digits: int = 4) -> str:
    """`digits` significant digits; whole numbers and all digits left of the point are kept; None and NaN are "-"."""
    if value is None or math.isnan(value):
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if 10**digits - 0.5 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}".rstrip(".")


def format_value(row: Mapping[str, Any]) -> str:
    """A row's value with its standard deviation over the repeats: "12.34 ± 0.050"."""
    value, spread = format_number(row.get("value")), format_number(row.get("stddev"), 2)
    return value if "-" in (value, spread) else f"{value} ± {spread}"


def format_interval(row: Mapping[str, Any]) -> str:
    """A row's 95 % interval, or "-"."""
    ends = row.get("interval")
    return f"{format_number(ends[0])} to {format_number(ends[1])}" if ends else "-"


def format_settings(key: str, value: Any) -> str:
    """A protocol's value as text; hashes cut short."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={format_settings(name, one)}" for name, one in value.items())
    return str(value)[:HASH_LETTERS] if key.endswith("_hash") else str(value)


def protocol_words(protocol: Mapping[str, Any]) -> str:
    """A protocol in words; keys without a value are left out."""
    given = {key: value for key, value in protocol.items() if value not in (None, {})}
    keys = [*(key for key in WORDS if key in given), *(key for key in given if key not in WORDS)]
    return ", ".join(WORDS.get(key, f"{key} {{}}").format(format_settings(key, given[key])) for key in keys)


def render_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    best: Mapping[tuple[int, int], str] | None = None,
    width: int | None = None,
) -> str:
    """A table as text. No cell is ever cut off.

    Args:
        headers: one per column.
        rows: of cells; numbers are formatted by `number` and stand on the right, as does a column whose cells all
            begin like numbers; None is "-".
        best: (row, column) -> a mark that is put before the cell.
        width: characters a line, where a wider table is split into several with the first column in each; None never
            splits.

    Returns:
        Lines, each with its end of line.
    """
    from rich.cells import cell_len

    best = best or {}
    texts = [
        [f"{best[i, j]} {_cell(cell)}" if (i, j) in best else _cell(cell) for j, cell in enumerate(row)]
        for i, row in enumerate(rows)
    ]
    widths = [max(map(cell_len, column)) + 3 for column in zip(headers, *texts, strict=True)]
    right = [j > 0 and all(_numeric(row[j]) for row in rows) for j in range(len(headers))]
    parts, used = [[0]], widths[0]
    for column in range(1, len(headers)):
        if width and used + widths[column] > width and parts[-1] != [0]:
            parts.append([0])
            used = widths[0]
        parts[-1].append(column)
        used += widths[column]
    return "\n".join(
        _plain_table([headers[j] for j in part], [[row[j] for j in part] for row in texts], [right[j] for j in part])
        for part in parts
    )


def _plain_table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    from rich.box import ASCII2
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=ASCII2, show_edge=False, pad_edge=False)
    for header, on_the_right in zip(headers, right, strict=True):
        table.add_column(Text(header), justify="right" if on_the_right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    file = io.StringIO()
    Console(file=file, width=1_000_000, color_system=None, legacy_windows=False).print(table)
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def _cell(cell: Any) -> str:
    if cell is None or (isinstance(cell, (int, float)) and not isinstance(cell, bool)):
        return format_number(cell)
    return str(cell)


def _numeric(cell: Any) -> bool:
    text = _cell(cell).lstrip("-")
    return not text or text[0].isdigit() or text.startswith("inf")


def eval_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The figures of one subject, and below them their protocol, and the prior if it was fitted.

    Args:
        rows: evaluation rows of one subject, at least one.
    """
    headers = ("measure", "value", "95 % interval", "floor", "better", "N real / fake", "features", "note")
    cells = [
        (
            with_settings(row["measure"], row["protocol"]),
            format_value(row),
            format_interval(row),
            row.get("floor"),
            row.get("better") or "-",
            f"{format_number(row['protocol'].get('num_real'))} / {format_number(row['protocol'].get('num_fake'))}",
            row["protocol"].get("features"),
            row.get("note") or "",
        )
        for row in rows
    ]
    named = [(row["measure"], row["protocol"]) for row in rows]
    told_apart = protocol_lines(named, leave_out=("num_real", "num_fake", "settings"))
    subject = rows[0].get("subject") or {}
    prior = f"Prior: {subject['prior']} {subject['prior_hash']}\n" if subject.get("prior_hash") else ""
    if len(told_apart) == 1:
        return f"{render_table(headers, cells)}\nProtocol: {told_apart[0][1]}\n{prior}"
    words = "".join(f"Protocol of {names}: {words}\n" for names, words in told_apart)
    return f"{render_table(headers, cells)}\n{words}{prior}"


def with_settings(measure: str, protocol: Mapping[str, Any]) -> str:
    """A measure's name with its settings: "precision (k=3)"."""
    settings = protocol.get("settings")
    return f"{measure} ({format_settings('settings', settings)})" if settings else measure


def protocol_lines(
    named: Iterable[tuple[str, Mapping[str, Any]]], *, leave_out: Collection[str]
) -> list[tuple[str, str]]:
    """Every protocol once: (the names it belongs to, joined by commas; its words without the keys of `leave_out`)."""
    found: dict[str, list[str]] = {}
    for name, protocol in named:
        words = protocol_words({key: value for key, value in protocol.items() if key not in leave_out})
        found.setdefault(words, []).append(name)
    return [(", ".join(dict.fromkeys(names)), words) for words, names in found.items()]
