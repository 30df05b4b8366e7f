"""Results of an evaluation in words and as a table."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from kgen.tables import format_number, render_table

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
