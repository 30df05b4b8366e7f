"""Results of an evaluation in words and as a table."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from kgen.data.reference import WHOLE
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
"""The keys of a protocol in words, in this order."""

HASH_LETTERS = 12
"""Letters of a hash that are shown."""


def format_value(result: Mapping[str, Any]) -> str:
    """A result's value with its standard deviation over the repeats: "12.34 ± 0.050"."""
    value, spread = format_number(result.get("value")), format_number(result.get("stddev"), 2)
    return value if "-" in (value, spread) else f"{value} ± {spread}"


def format_interval(result: Mapping[str, Any]) -> str:
    """A result's 95 % interval, or "-"."""
    ends = result.get("interval")
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
    words = WORDS | ({"split": "the whole set"} if given.get("split") == WHOLE else {})
    return ", ".join(words.get(key, f"{key} {{}}").format(format_settings(key, given[key])) for key in keys)


def eval_table(results: Sequence[Mapping[str, Any]]) -> str:
    """The results of one target, and below them their protocol, and the prior if it was fitted.

    Args:
        results: of one target, at least one.
    """
    headers = ("metric", "value", "95 % interval", "baseline", "better", "N real / fake", "features", "note")
    cells = [
        (
            with_settings(result["metric"], result["protocol"]),
            format_value(result),
            format_interval(result),
            result.get("baseline"),
            result.get("better") or "-",
            " / ".join(format_number(result["protocol"].get(key)) for key in ("num_real", "num_fake")),
            result["protocol"].get("features"),
            result.get("note") or "",
        )
        for result in results
    ]
    named = [(result["metric"], result["protocol"]) for result in results]
    protocols = protocol_lines(named, leave_out=("num_real", "num_fake", "settings"))
    target = results[0].get("target") or {}
    about = f"Prior: {target['prior']} {target['prior_hash']}\n" if target.get("prior_hash") else ""
    if target.get("split"):
        about += f"Evaluated: the {target['split']} split of {target.get('path')}, the images of the reference\n"
    if target.get("made"):
        about += f"Evaluated: the images of {target.get('path')}, made {target['made']} as those of the reference are\n"
    if target.get("other_data"):
        about += f"Reference: other images than those of the training ({target['other_data']})\n"
    if all(result["protocol"].get("split") == WHOLE for result in results):
        about += "Baseline: none; the reference is the whole set, which leaves no other real images (see --split)\n"
    if len(protocols) == 1:
        return f"{render_table(headers, cells)}\nProtocol: {protocols[0][1]}\n{about}"
    words = "".join(f"Protocol of {names}: {words}\n" for names, words in protocols)
    return f"{render_table(headers, cells)}\n{words}{about}"


def with_settings(metric: str, protocol: Mapping[str, Any]) -> str:
    """A metric's name with its settings: "precision (k=3)"."""
    settings = protocol.get("settings")
    return f"{metric} ({format_settings('settings', settings)})" if settings else metric


def protocol_lines(
    named: Iterable[tuple[str, Mapping[str, Any]]], *, leave_out: Collection[str]
) -> list[tuple[str, str]]:
    """Every protocol once: (the names it belongs to, joined by commas; its words without the keys of `leave_out`)."""
    found: dict[str, list[str]] = {}
    for name, protocol in named:
        words = protocol_words({key: value for key, value in protocol.items() if key not in leave_out})
        found.setdefault(words, []).append(name)
    return [(", ".join(dict.fromkeys(names)), words) for words, names in found.items()]
