"""Edits an export a thousand times at random: `kgen-export --verify` must notice every edit, with one message.

    python tools/fuzz_exports.py [EXPORT] [--count 1000] [--seed 0] [--bytes]

Half of the edits are of the manifest (bytes, values, keys, white space), half of files: changed, cut, swapped, emptied,
removed, added, renamed. --bytes also changes every single byte of the manifest, one at a time. Each edit is a function
of (seed, number). Files are compared only, not run. tests/export/test_integrity.py does some.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from ending import exit_code_of
from file_damage import damaged_json

from kgen.errors import ExportFailed, UserError
from kgen.export.integrity import check_files
from kgen.sampling.manifest import MANIFEST, is_older

SAMPLE = Path(__file__).parents[1] / "exports" / "cvae-mnist" / "1"


def noticed(folder: Path) -> bool:
    """Whether --verify refuses a version with a message, before it runs a file; another exception passes through."""
    try:
        return is_older(check_files(folder))  # it says that there is no digest
    except (UserError, ExportFailed) as error:
        return bool(str(error).strip())


# Edits: each takes a folder and a generator, and changes something ----------------------------------------------------


def _manifest_bytes(change):
    def edit(folder: Path, generator: np.random.Generator):
        content = bytearray((folder / MANIFEST).read_bytes())
        change(content, int(generator.integers(len(content))), generator)
        (folder / MANIFEST).write_bytes(content)

    return edit


def _flip(content: bytearray, place: int, generator: np.random.Generator):
    content[place] = (content[place] + int(generator.integers(1, 256))) % 256


def _insert(content: bytearray, place: int, generator: np.random.Generator):
    content.insert(place, int(generator.integers(256)))


def _remove(content: bytearray, place: int, _):
    del content[place]


def _cut(content: bytearray, place: int, _):
    del content[place:]


def _space(content: bytearray, *_):
    place = content.index(b"\n  ")
    content[place : place + 3] = b"\n\t"


def _value(folder: Path, generator: np.random.Generator):
    file = folder / MANIFEST
    file.write_bytes(damaged_json(file.read_bytes(), generator))


def _named_value(folder: Path, generator: np.random.Generator):
    """A change that means something, in the form in which kgen writes."""
    values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    name = str(
        generator.choice([name for name in ("ranges", "class_names", "weights_hash", "files") if name in values])
    )
    if name == "files" or generator.random() < 0.3:
        del values[name]
    else:
        values[name] = {"ranges": {"seed": [0, 9]}, "class_names": ["<b>0</b>"], "weights_hash": "0"}[name]
    _write(folder, values)


def _order(folder: Path, generator: np.random.Generator):
    values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    first, *others = values
    _write(folder, {name: values[name] for name in (*others, first)})


def _write(folder: Path, values):
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_bytes(text.encode("utf-8", "backslashreplace"))


def _chosen(folder: Path, generator: np.random.Generator, count: int = 1) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return [files[i] for i in generator.permutation(len(files))[:count]]


def _file_byte(folder: Path, generator: np.random.Generator):
    (file,) = _chosen(folder, generator)
    content = bytearray(file.read_bytes())
    _flip(content, int(generator.integers(len(content))), generator)
    file.write_bytes(content)


def _file_cut(folder: Path, generator: np.random.Generator):
    (file,) = _chosen(folder, generator)
    file.write_bytes(file.read_bytes()[: int(generator.integers(file.stat().st_size))])


def _file_longer(folder: Path, generator: np.random.Generator):
    (file,) = _chosen(folder, generator)
    file.write_bytes(file.read_bytes() + generator.bytes(1))


def _files_swapped(folder: Path, generator: np.random.Generator):
    a, b = _chosen(folder, generator, 2)
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)


def _file_removed(folder: Path, generator: np.random.Generator):
    _chosen(folder, generator)[0].unlink()


def _file_renamed(folder: Path, generator: np.random.Generator):
    (file,) = _chosen(folder, generator)
    file.rename(file.with_name(f"{file.name}.old"))


def _file_added(folder: Path, generator: np.random.Generator):
    name = str(generator.choice(["extra.tflite", ".hidden", "assets.extra/more", "assets/vocabulary.txt"]))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(generator.bytes(int(generator.integers(9))))


def _link_added(folder: Path, generator: np.random.Generator):
    (folder / "more").symlink_to(folder.parent)


EDITS = {
    "manifest": {
        "byte": _manifest_bytes(_flip), "byte inserted": _manifest_bytes(_insert),
        "byte removed": _manifest_bytes(_remove), "cut": _manifest_bytes(_cut), "white space": _manifest_bytes(_space),
        "value": _value, "ranges, names, hash or list": _named_value, "order": _order,
    },
    "files": {
        "byte": _file_byte, "cut": _file_cut, "longer": _file_longer, "swapped": _files_swapped,
        "removed": _file_removed, "renamed": _file_renamed, "added": _file_added, "link added": _link_added,
    },
}  # fmt: skip


def edited(whole: Path, folder: Path, seed: int, number: int) -> str:
    """Makes `folder` a copy of a version with one edit, a function of (seed, number); returns what was edited."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    generator = np.random.default_rng([seed, number])
    where = ("manifest", "files")[number % 2]
    what = str(generator.choice([*EDITS[where]]))
    EDITS[where][what](folder, generator)
    return f"{where}: {what}"


def missed_bytes(whole: Path, folder: Path) -> int:
    """The number of single bytes of the manifest whose change is not noticed."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    content, missed = bytearray((whole / MANIFEST).read_bytes()), 0
    for place in range(len(content)):
        content[place] ^= 1
        (folder / MANIFEST).write_bytes(content)
        missed += not noticed(folder)
        content[place] ^= 1
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", nargs="?", type=Path, default=SAMPLE, help="exports/NAME/VERSION")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bytes", action="store_true", help="every single byte of the manifest as well")
    args = parser.parse_args()
    check_files(args.export)
    edits, missed = Counter(), Counter()
    with tempfile.TemporaryDirectory() as root:
        for number in range(args.count):
            what = edited(args.export, Path(root) / "1", args.seed, number)
            edits[what] += 1
            missed[what] += not noticed(Path(root) / "1")
        for what in sorted(edits):
            print(f"{what:38} {edits[what]:5} edits, {missed[what]} not noticed")
        total = sum(missed.values())
        print(f"{args.count} edits, {total} not noticed")
        if args.bytes:
            bytes_missed = missed_bytes(args.export, Path(root) / "1")
            total += bytes_missed
            size = (args.export / MANIFEST).stat().st_size
            print(f"{size} single bytes of the manifest changed, {bytes_missed} not noticed")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
