"""Evaluation rows: one JSON object a figure, a line each in eval/*.jsonl, and when two figures may be compared.

A row holds "measure", "value", "stddev", "values", "interval", "floor" and "floor_count" (real images in place of
generated ones), "better", "note", its "protocol" (how it was measured), its "subject" (what was measured) and the
"environment" that it was measured in (see `kgen.environment`).
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kgen.config import flatten
from kgen.errors import UserError
from kgen.io import write_text
from kgen.sampling import StandardNormal, latest_version

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
"""Keys of a protocol in the order in which they are told. Any further key must agree as well, except NOT_COMPARED."""

NOT_COMPARED = ("seed", "repeats", "weights_hash", "prior")
"""Keys of a protocol that may differ between two figures that compare: a prior is part of what is measured."""


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of one .jsonl file.

    Raises:
        UserError: a line is no row; the message names the file and the line.
    """
    path, rows = Path(path), []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number} is broken JSON ({error}); remove it, or evaluate again") from error
        if not (isinstance(row, dict) and "measure" in row and isinstance(row.get("protocol"), dict)):
            raise UserError(
                f"{path}, line {number} is no evaluation row (an object with 'measure' and 'protocol'). "
                f"Received: {line[:80]}"
            )
        rows.append(row)
    return rows


def rows_of(path: str | Path, *, required: bool = True) -> list[dict[str, Any]]:
    """What was measured of a run, an export, a folder with an eval/ folder in it, or what a .jsonl file holds.

    Where a figure was measured again with a protocol that compares, the newest file and its last line win. Figures of
    another checkpoint or prior of the run, or of another artefact of the export, are other figures.

    Args:
        path: a run, exports/NAME (its latest version) or exports/NAME/N, another such folder, or a .jsonl file.
        required: whether no rows are an error.

    Returns:
        Rows, oldest first; [] only if not `required`.

    Raises:
        UserError: there are no rows, or one is broken.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; give a run, an export, a folder with eval/ in it, or a .jsonl file")
    is_file = path.is_file()
    if is_file and path.suffix != ".jsonl":
        raise UserError(f"{path} is no .jsonl file; give a run, an export, a folder with eval/ in it, or a .jsonl file")
    found: dict[tuple, dict[str, Any]] = {}
    for file in [path] if is_file else _files(path):
        for row in read_rows(file):
            key = (row["measure"], protocol_key(row), *_subject_key(row, with_path=is_file))
            found.pop(key, None)
            found[key] = row
    if required and not found:
        raise UserError(f"{path} has no evaluation rows; write them with: kgen-eval {path}")
    return list(found.values())


def merge_rows(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Writes rows into a .jsonl file, whole: the rows that they measure again are replaced, the others stay.

    A row measures another again when measure, subject and whole protocol (seed, repeats and weights included) agree.

    Raises:
        UserError: the file that is there has a broken line; it is left as it is.
    """
    path, merged = Path(path), {}
    for row in [*(read_rows(path) if path.exists() else []), *rows]:
        key = (row["measure"], json.dumps(_flat(row["protocol"]), sort_keys=True), *_subject_key(row, with_path=True))
        merged.pop(key, None)
        merged[key] = row
    return write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in merged.values()))


def protocol_key(row: Mapping[str, Any]) -> str:
    """Equal for two rows whose protocols compare."""
    compared = {key: value for key, value in _flat(row["protocol"]).items() if key not in NOT_COMPARED}
    return json.dumps(compared, sort_keys=True)


def difference(protocol_a: Mapping[str, Any], protocol_b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Where two protocols differ so that their figures do not compare.

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


def _subject_key(row: Mapping[str, Any], *, with_path: bool) -> tuple:
    """Tells subjects apart; without the path where they all lie in one folder, which may have been renamed."""
    path = (row.get("subject") or {}).get("path")
    return (*generator_of(row), *([path] if with_path else []))


def generator_of(row: Mapping[str, Any]) -> tuple[str | None, str | None, str]:
    """(kind, checkpoint, prior) of a row's subject: what tells apart the generators of one run or export."""
    subject = row.get("subject") or {}
    return subject.get("kind"), subject.get("checkpoint"), subject.get("prior") or StandardNormal.name


def _flat(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """{"settings": {"k": 3}} -> {"settings.k": 3}; a key whose value is None counts as missing."""
    return {key: value for key, value in flatten(protocol).items() if value is not None}
