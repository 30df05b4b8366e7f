"""A name is typed in one place: the names of a table do not stand as a list in a second file."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

import kgen
from kgen.config import DataConfig, PriorName, TrainConfig
from kgen.evaluate.registry import METRICS
from kgen.explore.kinds import KINDS
from kgen.export import QUANTIZATIONS
from kgen.features import EXTRACTORS
from kgen.losses.adversarial import LOSSES
from kgen.models.presets import FAMILIES, PRESETS
from kgen.nn import NETWORKS
from kgen.nn.likelihoods import LIKELIHOODS
from kgen.options import options_of
from kgen.sampling import PRIORS

ROOT = Path(kgen.__file__).parent
TABLES = {
    "models": (PRESETS, "models/presets.py"),
    "model classes": (FAMILIES, "models/presets.py"),
    "metrics": (METRICS, "evaluate/registry.py"),
    "features": (EXTRACTORS, "features/__init__.py"),
    "pictures": (KINDS, "explore/kinds.py"),
    "quantizations": (QUANTIZATIONS, "export/tolerances.py"),
    "networks": (NETWORKS, ""),
    "likelihoods": (LIKELIHOODS, ""),
    "losses": (LOSSES, "losses/adversarial.py"),
    "priors": (get_args(PriorName), "config.py"),
} | {
    f"{config.__name__}.{name}": (option.choices, "config.py")
    for config in (DataConfig, TrainConfig)
    for name, option in options_of(config).items()
    if option.choices and not option.table
}
"""What is named -> (the names, the file that they are typed in; "": each where it is registered)."""

WORDS = {"pictures", "features", "DataConfig.mat_orientation", "DataConfig.cache"}
"""Tables whose names are plain words, which may stand side by side in prose."""

SEPARATOR = r"""["'`]?(?:,|;|\||/|,? or|,? and)\s+["'`]?|["'`]?[|,/]["'`]?"""


@cache
def strings(path: Path) -> list[tuple[int, str]]:
    """(line, text) of the strings of a file, docstrings too; of an f-string its parts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [(n.lineno, n.value) for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


@cache
def collections(path: Path) -> list[tuple[int, list[str]]]:
    """(line, strings) of every tuple, list, set, dict (its keys) and Literal of a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        found.append((getattr(node, "lineno", 0), [i.value for i in items if isinstance(i, ast.Constant)]))
    return [(line, items) for line, items in found if len(items) > 1]


def lists_of(names, path: Path, *, prose: bool = True):
    """(line, names) wherever two or more of these names stand in one list, of Python or of `prose`."""
    names = {*names}
    for line, items in collections(path):
        if len(names.intersection(i for i in items if isinstance(i, str))) > 1:
            yield line, items
    if not prose:
        return
    one = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    pair = re.compile(rf"(?<![\w-])({one})(?:{SEPARATOR})({one})(?![\w-])")
    for line, text in strings(path):
        if "kgen-" not in text:  # an example of a command line
            yield from ((line, match[0]) for match in pair.finditer(text) if match[1] != match[2])


@pytest.mark.parametrize("table", TABLES)
def test_names_are_typed_in_one_place(table):
    names, home = TABLES[table]
    found = {
        f"{path.relative_to(ROOT)}:{line}": what
        for path in sorted(ROOT.rglob("*.py"))
        if str(path.relative_to(ROOT)) != home
        for line, what in lists_of(names, path, prose=table not in WORDS)
    }
    assert not found, f"{table}: take these from {home or 'the registry'}"


def test_a_second_list_is_found(tmp_path):
    for text in (
        "A = ('vae', 'gan')", "B = {'vae': 1, 'gan': 2}", "C = 'one of vae, cvae or gan'", "D = Literal['vae', 'gan']",
        "def f():\n    '''One of \"vae\", \"gan\".'''", "E = 'vae|gan'",
    ):  # fmt: skip
        path = tmp_path / f"{len(text)}{text[:1]}.py"
        path.write_text(text)
        assert [*lists_of(["vae", "gan", "cvae"], path)], text
    path = tmp_path / "fine.py"
    path.write_text("A = 'e.g. vae'\nB = 'kgen-compare vae,gan'\nC = 'vae_gan and vae2, gan'\n")
    assert not [*lists_of(["vae", "gan", "cvae"], path)]


def test_every_declared_name_is_registered():
    assert {*PRIORS} == {*get_args(PriorName)}


def test_no_two_classes_have_one_name():
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def test_no_two_test_files_have_one_name():
    """pytest imports a file by its name alone: of two with one name it would refuse the second."""
    names = [path.name for path in sorted(Path(__file__).parent.rglob("test_*.py"))]
    assert [name for name in names if names.count(name) > 1] == []
