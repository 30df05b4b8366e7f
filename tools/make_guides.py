"""Fills the generated tables of README.md and of the guides, so that every name and number is typed in one place.

    python tools/make_guides.py            # writes the files that changed, and names them
    python tools/make_guides.py --check    # writes nothing; exit code 1 and their names when some are stale

A generated part stands between `<!-- NAME -->` and `<!-- end -->`; PARTS says what each NAME holds. The guide to the
recipes is generated whole (`python -m kgen.recipes`).
tests/test_guides.py fails when one is stale.
"""

import argparse
import ast
import functools
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDES = (ROOT / "README.md", ROOT / "tools" / "README.md", *sorted(ROOT.glob("kgen/*/*.md")))
RECIPES = ROOT / "kgen" / "recipes" / "README.md"
MARKED = re.compile(r"(<!-- (?P<name>[\w: ]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
HIGHLIGHTS = (
    ("binarized-mlp-vae", "nll"), ("binarized-conv-vae", "nll"), ("mnist-pixel-vae", "nll"),
    ("mnist-cvae", "label_agreement"), ("mnist-dcgan", "fid"), ("mnist-cdcgan", "fid"),
)  # fmt: skip
"""(recipe, metric) of the README's table of results."""


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def models() -> str:
    """Every name that --model takes."""
    from kgen.models.presets import PRESETS

    def linked(paper: str) -> str:
        return re.sub(r"(.*\S) \((https?://.*)\)", r"[\1](\2)", paper)

    rows = ((f"`{name}`", preset.summary, linked(preset.paper)) for name, preset in PRESETS.items())
    return table(("`--model`", "what it is", "paper"), rows)


def settings(section: str) -> str:
    """Every setting of a section of the configuration; see `kgen.config.SECTIONS`."""
    from kgen.config import settings_table

    return settings_table(section)


def metrics() -> str:
    """Every name that --metrics takes, and its values."""
    from kgen.evaluate.registry import METRICS

    arrow = {"lower": " ↓", "higher": " ↑", "": ""}
    rows = (
        (f"`{name}`", metric.help, ", ".join(f"{value}{arrow[v.better]}" for value, v in metric.values.items()))
        for name, metric in METRICS.items()
    )
    return table(("`--metrics`", "what it computes", "values"), rows)


def extractors() -> str:
    """Every name that --features takes."""
    from kgen.features import EXTRACTORS

    return table(("`--features`", "what images are compared by"), ((f"`{n}`", e.help) for n, e in EXTRACTORS.items()))


def pictures() -> str:
    """Every name that --what takes."""
    from kgen.explore.kinds import KINDS, PAGE, PAGE_HELP

    rows = [(f"`{name}`", kind.help, ", ".join(kind.needs).replace("_", " ")) for name, kind in KINDS.items()]
    return table(("`--what`", "what it shows", "needs"), [*rows, (f"`{PAGE}`", PAGE_HELP, "")])


def results() -> str:
    """HIGHLIGHTS of the recipes."""
    from kgen.recipes import load_recipe

    rows = []
    for name, metric in HIGHLIGHTS:
        recipe = load_recipe(name)
        reached = next(value for value in recipe.results if value.metric == metric)
        value = f"{metric} {reached.value:g} {reached.unit}".strip()
        rows.append((f"`{name}`", recipe.title, value, f"{reached.seconds:,.0f} s on {reached.hardware}"))
    return table(("recipe", "what it is", "result", "training"), rows)


CHOICES = (
    ("digits, letters, icons in gray, up to 32×32; a first result", "`--model vae`, `cvae`",
     "mnist-cvae", "60,000 of 28×28"),
    ("the same, sharp", "`--model dcgan`, `cdcgan`", "mnist-cdcgan", "60,000 of 28×28"),
    ("black and white, the best likelihood", "`--model pixel_vae`, `pixel_cvae` with `--binarize sample`",
     "mnist-pixel-vae", "50,000 of 28×28"),
    ("some hundred gray faces or objects, all framed alike", "`--recipe faces-conv-vae`", "faces-conv-vae",
     "400 of 64×64"),
    ("some thousand pictures in colour; a first result",
     "`--recipe images-conv-vae`, or `--model conv_vae`, `conv_cvae`", "images-conv-vae", "3,348 of 64×64"),
    ("the same, sharp; and a hundred pictures that are alike", "`--recipe own-pictures`; with labels `--model cdcgan`",
     "own-pictures", "3,348 of 64×64"),
    ("photographs of several kinds of things", "`--recipe imagenette-dcgan`; with labels `--model cdcgan`",
     "imagenette-dcgan", "10,000 of 64×64"),
)  # fmt: skip
"""(pictures, what to take, a recipe that was measured on such ones, its pictures) of the guide to the models."""


def choices() -> str:
    """CHOICES, with the minutes that the recipe took: of its first result, or as its note says."""
    from kgen.recipes import load_recipe

    rows = []
    for pictures, take, name, measured_on in CHOICES:
        recipe = load_recipe(name)
        if recipe.results:
            seconds, cores = recipe.results[0].seconds, recipe.results[0].hardware.split(" of ")[0]
        else:
            seconds, cores = re.search(r"after (\d+) seconds on (\w+ cores?)", recipe.note).groups()
        took = f"{round(float(seconds) / 60)} min on {cores}, {measured_on}"
        rows.append((pictures, take, f"[`{name}`](../recipes/README.md#{name}): {took}"))
    return table(("your pictures", "take", "measured"), rows)


def layers() -> str:
    """Who may import whom, as tests/test_layers.py checks it."""
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        from test_layers import LAYERS
    finally:
        sys.path.pop(0)
    return "".join(f"{i}. {', '.join(f'`{part}`' for part in parts)}\n" for i, parts in enumerate(LAYERS, 1))


def packages() -> str:
    """What each package and each module beside them is for: the first lines of their docstrings."""
    rows = []
    for path in [*sorted(ROOT.glob("kgen/*/__init__.py")), *sorted(ROOT.glob("kgen/[!_]*.py"))]:
        name = path.parent.name if path.stem == "__init__" else path.name
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        rows.append((f"`{name}`", docstring.split("\n\n")[0].replace("\n", " ")))
    return table(("in `kgen/`", "what it is for"), rows)


def tf_serving() -> str:
    """Where kgen-serve differs from TF Serving, as tests/serve/tf_serving_cases.py lists it."""
    sys.path.insert(0, str(ROOT / "tests" / "serve"))
    try:
        from tf_serving_cases import BEYOND, DIFFERS, all_cases
    finally:
        sys.path.pop(0)
    rows = [("<br>".join(f"`{name}`" for name in names), theirs, ours) for names, theirs, ours in DIFFERS]
    count = sum(len(names) for names, _, _ in DIFFERS)
    return (
        f"Of {len(all_cases())} cases of TF Serving's own tests {count} differ:\n\n"
        + table(("case", "TF Serving", "kgen-serve"), rows)
        + "\nBeyond them:\n\n"
        + table(("what", "TF Serving", "kgen-serve"), BEYOND)
    )


SECTIONS = ("data", "train", "eval", "explore", "serve", "limits")
PARTS = {
    "models": models,
    **{f"settings: {section}": functools.partial(settings, section) for section in SECTIONS},
    "metrics": metrics,
    "extractors": extractors,
    "pictures": pictures,
    "results": results,
    "choices": choices,
    "layers": layers,
    "packages": packages,
    "tf serving": tf_serving,
}
"""NAME of a generated part -> what makes it."""


def filled(path: Path) -> str:
    """What a guide should hold: its text with every generated part made again."""
    if path == RECIPES:
        from kgen.recipes import markdown

        return markdown()
    text = path.read_text(encoding="utf-8")
    return MARKED.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]().strip()}\n\n{part[4]}", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a part is stale")
    check = parser.parse_args().check
    stale = {}
    for path in GUIDES:
        if (wanted := filled(path)) != path.read_text(encoding="utf-8"):
            stale[path] = wanted
    for path, wanted in stale.items():
        print(f"{path.relative_to(ROOT)}: {'stale; python tools/make_guides.py' if check else 'written'}")
        if not check:
            path.write_text(wanted, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
