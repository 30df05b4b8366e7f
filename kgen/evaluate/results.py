"""Evaluation results: one JSON object per value, a line each in eval/*.jsonl, and when two values may be compared.

A result holds "format", "metric" (the name of the value), "value", "stddev", "values" (of the repeats), "interval",
"baseline" and "baseline_count" (real images in place of generated ones), "better", "note", its "protocol" (how it was
computed), its "target" (what was evaluated), the "environment" (see `kgen.environment`) and "kgen" (the version).
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kgen.config import flatten
from kgen.errors import UserError
from kgen.io import write_text
from kgen.sampling import StandardNormal, latest_version

FORMAT = 2
"""Version of a line; files of another version are refused."""

COMPARED = (
    "features",
    "extractor_hash",
    "dimension",
    "resizer",
    "value_range",
    "data",
    "data_hash",
    "split",
    "num_real",
    "num_fake",
    "settings",
)
"""Keys of a protocol, in the order of messages. Any further key must agree as well, except NOT_COMPARED."""

NOT_COMPARED = ("seed", "repeats", "weights_hash", "prior")
"""Keys of a protocol that may differ between two comparable values: a prior is part of the target."""


def read_results(path: str | Path) -> list[dict[str, Any]]:
    """The results in one .jsonl file.

    Raises:
        UserError: a line is broken, no result, or of another format version; the message names the file and the line.
    """
    path, results = Path(path), []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            result = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number} is broken JSON ({error}); remove it, or evaluate again") from error
        _check_result(result, f"{path}, line {number}", line)
        results.append(result)
    return results


def _check_result(result: Any, place: str, line: str):
    version = result.get("format", 1) if isinstance(result, dict) and "protocol" in result else FORMAT
    if version != FORMAT:
        raise UserError(
            f"{place} is an evaluation result of format {version}, this kgen reads format {FORMAT}; "
            "delete the file and evaluate again with kgen-eval"
        )
    if not (isinstance(result, dict) and "metric" in result and isinstance(result.get("protocol"), dict)):
        raise UserError(
            f"{place} is no evaluation result (an object with 'metric' and 'protocol'). Received: {line[:80]}"
        )


def results_of(path: str | Path, *, required: bool = True) -> list[dict[str, Any]]:
    """The results of a run, of an export, of a folder with eval/ in it, or in a .jsonl file.

    Of several results of one metric with comparable protocols the last line of the newest file wins. Results of another
    checkpoint or prior of the run, or of another artefact of the export, are other results.

    Args:
        path: a run, exports/NAME (its latest version) or exports/NAME/N, another such folder, or a .jsonl file.
        required: whether it is an error that there are none.

    Returns:
        Results, oldest first; [] only if not `required`.

    Raises:
        UserError: there are none, or one cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; give a run, an export, a folder with eval/ in it, or a .jsonl file")
    is_file = path.is_file()
    if is_file and path.suffix != ".jsonl":
        raise UserError(f"{path} is no .jsonl file; give a run, an export, a folder with eval/ in it, or a .jsonl file")
    found: dict[tuple, dict[str, Any]] = {}
    for file in [path] if is_file else _files(path):
        for result in read_results(file):
            key = (result["metric"], protocol_key(result), *_target_key(result, with_path=is_file))
            found.pop(key, None)
            found[key] = result
    if required and not found:
        raise UserError(f"{path} has no evaluation results; compute them with: kgen-eval {path}")
    return list(found.values())


def merge_results(path: str | Path, results: Iterable[Mapping[str, Any]]) -> Path:
    """Writes results into a .jsonl file, whole: older results of the same thing are replaced, the others stay.

    Two results are of the same thing when metric, target and whole protocol (seed, repeats and weights included) agree.

    Raises:
        UserError: the existing file has a line that cannot be read; it is left as it is.
    """
    path, merged = Path(path), {}
    for result in [*(read_results(path) if path.exists() else []), *results]:
        protocol = json.dumps(_flat(result["protocol"]), sort_keys=True)
        key = (result["metric"], protocol, *_target_key(result, with_path=True))
        merged.pop(key, None)
        merged[key] = result
    return write_text(path, "".join(json.dumps(result, ensure_ascii=False) + "\n" for result in merged.values()))


def protocol_key(result: Mapping[str, Any]) -> str:
    """Equal for two results with comparable protocols."""
    compared = {key: value for key, value in _flat(result["protocol"]).items() if key not in NOT_COMPARED}
    return json.dumps(compared, sort_keys=True)


def difference(protocol_a: Mapping[str, Any], protocol_b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Where two protocols differ so that their values cannot be compared.

    Returns:
        (key, value in a, value in b), in the order of COMPARED; a setting's key is "settings.NAME". A key that one
        of them lacks has the value None there.
    """
    a, b = _flat(protocol_a), _flat(protocol_b)
    order = {key: number for number, key in enumerate(COMPARED)}
    keys = sorted({*a, *b} - {*NOT_COMPARED}, key=lambda key: (order.get(key.split(".")[0], len(order)), key))
    return [(key, a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)]


def _files(folder: Path) -> list[Path]:
    """The .jsonl files of a folder's eval/, or of the latest version's of an export; the newest last."""
    files = [*(folder / "eval").glob("*.jsonl")]
    if not files and (version := latest_version(folder)):
        files = [*(version / "eval").glob("*.jsonl")]
    return sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name))


def _target_key(result: Mapping[str, Any], *, with_path: bool) -> tuple:
    """Identifies a target; without the path where all lie in one folder, which may have been renamed."""
    path = (result.get("target") or {}).get("path")
    return (*generator_of(result), *([path] if with_path else []))


def generator_of(result: Mapping[str, Any]) -> tuple[str | None, str | None, str]:
    """(kind, checkpoint, prior) of a result's target: identifies the generators of one run or export."""
    target = result.get("target") or {}
    return target.get("kind"), target.get("checkpoint"), target.get("prior") or StandardNormal.name


def _flat(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """{"settings": {"k": 3}} -> {"settings.k": 3}; a key whose value is None counts as missing."""
    return {key: value for key, value in flatten(protocol).items() if value is not None}
