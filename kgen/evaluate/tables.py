"""Results of an evaluation in words and as a table."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from kgen.data.reference import WHOLE
from kgen.tables import format_number, render_table, wrapped

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

COUNTS = ("num_real", "num_fake")
"""Keys of the numbers of images."""

FRECHET = "fid"
"""How the names of Fréchet distances begin, whatever their features; the published FID has those of inception."""

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


def eval_table(results: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """The results of one target, a row each; below them what they were computed of and how.

    Args:
        results: of one target, at least one.
        width: characters per line; None for lines of any length.
    """
    headers = ("metric", "value", "95 % interval", "baseline", "better")
    extractors = {result["protocol"].get("features") or "none" for result in results} - {"none"}
    names = [
        f"{result['metric']}@{result['protocol'].get('features')}"
        if len(extractors) > 1 and (result["protocol"].get("features") or "none") != "none"
        else result["metric"]
        for result in results
    ]
    cells = [
        (
            name,
            format_number(result.get("value")) if result.get("interval") else format_value(result),
            format_interval(result),
            result.get("baseline"),
            result.get("better") or "-",
        )
        for name, result in zip(names, results, strict=True)
    ]
    lines = [
        f"Note on {name}: {result['note']}" for name, result in zip(names, results, strict=True) if result.get("note")
    ]
    if others := sorted(
        {
            r["protocol"]["features"]
            for r in results
            if r["metric"].startswith(FRECHET) and not _published(r["protocol"])
        }
    ):
        lines.append(f"{FRECHET}: the Fréchet distance of {' and '.join(others)} features, which is no published FID")
    counts: dict[tuple, list[str]] = {}
    for name, result in zip(names, results, strict=True):
        counts.setdefault(tuple(result["protocol"].get(key) for key in COUNTS), []).append(name)
    for (real, fake), of in counts.items():
        generated = f" and {format_number(fake)} generated" if fake else ""
        lines.append(f"Images{_of(of, counts)}: {format_number(real)} real{generated}")
    if settings := [with_settings(n, r["protocol"]) for n, r in zip(names, results, strict=True) if _has_settings(r)]:
        lines.append(f"Settings: {', '.join(settings)}")
    protocols = protocol_lines(
        [(name, result["protocol"]) for name, result in zip(names, results, strict=True)],
        leave_out=(*COUNTS, "settings"),
    )
    lines += [f"Protocol{_of([of], protocols)}: {words}" for of, words in protocols]
    target = results[0].get("target") or {}
    if target.get("prior_hash"):
        lines.append(f"Prior: {target['prior']} {target['prior_hash']}")
    if target.get("split"):
        lines.append(f"Evaluated: the {target['split']} split of {target.get('path')}, the images of the reference")
    if target.get("made"):
        lines.append(
            f"Evaluated: the images of {target.get('path')}, made {target['made']} as those of the reference are"
        )
    if target.get("other_data"):
        lines.append(f"Reference: other images than those of the training ({target['other_data']})")
    if all(result["protocol"].get("split") == WHOLE for result in results):
        lines.append("Baseline: none; the reference is the whole set, which leaves no other real images (see --split)")
    return f"{render_table(headers, cells, width=width)}\n{wrapped(lines, width)}"


def _published(protocol: Mapping[str, Any]) -> bool:
    """Whether features are those that FID was published with; an unknown extractor counts as that."""
    return protocol.get("features") in (None, "inception")


def _of(names: Sequence[str], groups: Collection) -> str:
    """The names that a line is about; "" where all lines of its kind are one."""
    return f" of {', '.join(names)}" if len(groups) > 1 else ""


def _has_settings(result: Mapping[str, Any]) -> bool:
    return bool(result["protocol"].get("settings"))


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
