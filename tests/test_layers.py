"""Who may import whom, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kgen

ROOT = Path(kgen.__file__).parent
LAYERS = (
    ("registry", "spec", "options", "config", "images", "random", "errors", "io", "progress", "imports", "provenance",
     "content_credentials",
     "cache", "file_systems", "mirror", "environment", "memory", "gpu", "graphs", "pretrained",
     "blas", "tfgan", "recipes", "web", "tables", "canvas", "checkpoints", "models.presets"),
    ("data", "nn", "losses", "metrics"),
    ("models", "divergence", "features"),
    ("run", "sampling"),
    ("train", "evaluate", "export", "serve"),
    ("explore", "report", "sweep"),
    ("cli",),
    ("__main__",),
)  # fmt: skip
LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}
WITHIN = {("nn", "losses"), ("sampling", "run")}  # beside the lowest layer, the only imports inside one


def part_of(module: str) -> str | None:
    """`kgen.nn.conv` -> `nn`; None for what is not kgen's, or is kgen itself. The presets are a part of their own."""
    if module.startswith("kgen.models.presets"):
        return "models.presets"
    return module.split(".")[1] if module.startswith("kgen.") else None


def imports(path: Path, *, late: bool = True):
    """(line, module) of every import of a file; without those inside functions if not `late`."""
    nodes = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: write the import in full"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        if late or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            nodes += ast.iter_child_nodes(node)


FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path):
    own = part_of(".".join(("kgen", *path.relative_to(ROOT).with_suffix("").parts)))
    assert own in LAYER, f"{own} has no layer: give it one"
    for line, module in imports(path):
        other = part_of(module)
        if other is None or other == own or other == "__version__":
            continue
        allowed = LAYER[other] < LAYER[own] or LAYER[other] == LAYER[own] == 0 or (own, other) in WITHIN
        if own == "serve":
            allowed = LAYER[other] == 0 or other == "sampling"
        assert allowed, f"{path}:{line}: {own} (layer {LAYER[own]}) must not import {other} (layer {LAYER[other]})"


HEAVY = ("tensorflow", "keras", "matplotlib", "sklearn", "scipy")
COMMANDS = sorted(path.stem for path in (ROOT / "cli").glob("*.py") if path.stem != "__init__")


def imported(program: str) -> set[str]:
    """Those of HEAVY that a program of its own has imported when it ends."""
    program = f"import sys\n{program}\nprint(*({{*{HEAVY}}} & {{*sys.modules}}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    return {*HEAVY} & {*done.stderr.split()}


def test_commands_parse_and_explain_themselves_before_they_import():
    """A module of the command line may import at its top what is cheap: the tables of names."""
    lines = [f"import kgen.cli.{name} as m\nif hasattr(m, 'command'): m.command().help()" for name in COMMANDS]
    assert imported("\n".join(lines)) == set()


def test_mistakes_are_found_before_tensorflow_is_imported():
    """It takes four seconds to import; a wrong name, number or path is answered in a quarter of one."""
    mistakes = [
        ("train", "--model", "cave"), ("train", "--dataset", "nowhere/"), ("train", "--metrics", "fdi"),
        ("train", "--set", "train.epoch=3"), ("train", "--set", "train.eval_features=none"), ("train", "--epochs", "0"),
        ("train", "--logger", "wand"),
        ("train", "--resume", "nowhere"), ("sample", "nowhere"), ("eval", "nowhere"), ("eval", "r", "--count", "1"),
        ("eval", "r", "--metrics", "fid@none"), ("explore", "nowhere"), ("explore", "r", "--what", "x"),
        ("explore", "r", "--steps", "1"), ("export", "nowhere", "--to", "e"),
        ("export", "r", "--to", "e", "--quantize", "x"),
        ("sweep", "--epochs", "3"), ("sweep", "--epochs", "3", "--vary", "lr=1,2"),
        ("data", "nowhere/"), ("serve", "nowhere"), ("report", "nowhere"), ("compare", "nowhere"),
    ]  # fmt: skip
    lines = [f"import kgen.cli.{name} as m\nassert m.main({args}) == 2, {args}" for name, *args in mistakes]
    assert "tensorflow" not in imported("\n".join(lines))


@pytest.mark.parametrize(
    "statement",
    [
        "import kgen",
        "import kgen.config, kgen.spec, kgen.images, kgen.random, kgen.registry, kgen.io",
        "import kgen.models.presets",
    ],
)
def test_importing_is_cheap(statement):
    assert imported(statement) == set()


def test_public_names_lead_somewhere():
    assert {*kgen.__all__} <= {*dir(kgen)}
    for name in kgen.__all__:
        assert getattr(kgen, name) is not None
    with pytest.raises(AttributeError, match=r"'kgen' has no attribute 'nonsense'"):
        _ = kgen.nonsense
