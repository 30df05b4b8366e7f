"""What README.md and the guides show is true: commands parse, Python runs, links lead somewhere, tables are whole.

Generated tables: python tools/make_guides.py
"""

import importlib
import re
import shlex
from pathlib import Path

import make_guides
import pytest
from make_guides import GUIDES, ROOT

TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in GUIDES}
README = TEXTS["README.md"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = ("train", "sweep", "sample", "export", "eval", "explore", "compare", "report", "data", "divergence", "serve")
FLAGS_OF_OTHERS = {"--app", "--cov", "--nodes", "--ntasks-per-node", "--logdir"}
guides = pytest.mark.parametrize("guide", TEXTS)


def blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of a language."""
    return [body for kind, body in FENCED.findall(text) if kind == language]


def code_spans(text: str) -> list[str]:
    """What stands between single backticks, outside fenced blocks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCED.sub("", text))]


def command_lines(text: str) -> list[str]:
    """Every command line of kgen that a text shows, in blocks and between backticks."""
    lines = [line for block in blocks(text) for line in block.replace("\\\n", " ").splitlines()]
    lines += [span for span in code_spans(text) if re.match(r"(KGEN_\w+=\S+ )?kgen-\w+ \S", span)]
    found = (re.search(r"(?:^|&& |-- |^KGEN_\w+=\S+ |^ +)(kgen-[a-z]+(?: .*)?$)", line) for line in lines)
    return sorted({match[1].removesuffix("'") for match in found if match})


def section(guide: str, heading: str) -> str:
    """What stands under a heading, down to the next one."""
    return re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", TEXTS[guide], re.MULTILINE | re.DOTALL)[1]


def first_cells(text: str) -> set[str]:
    """The names between backticks in the first column of the tables of a text."""
    rows = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    return {name for cell in rows for name in re.findall(r"`(\w[^`]*)`", cell)}


def slugs(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a text."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("guide", "line"), [(guide, line) for guide in TEXTS for line in command_lines(TEXTS[guide])])
def test_command_lines_parse(guide, line):
    name, *arguments = shlex.split(line, comments=True)
    command = importlib.import_module(f"kgen.cli.{name.removeprefix('kgen-')}").command()
    command.parse(arguments)


@guides
def test_settings_of_set_are_known(guide):
    from kgen.config import RunConfig, override, parse_sets

    pairs = re.findall(r"--set\s+'?((?:data|train|model_args)\.\w+=[^\s`']+)", TEXTS[guide])
    pairs = [pair for pair in pairs if not pair.endswith("=VALUE")]
    settings = override(RunConfig(), parse_sets(pairs))
    assert {*settings.model_args} <= arguments_of_models()


@guides
def test_flags_exist(guide):
    known = " ".join(importlib.import_module(f"kgen.cli.{name}").command().help() for name in (*COMMANDS, "main"))
    known += " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "tools").glob("*.*") if path.suffix != ".md")
    known = FLAGS_OF_OTHERS | {*re.findall(r"--\w+", known)} | {"--help"}
    shown = {flag for span in code_spans(TEXTS[guide]) for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", span)}
    assert shown <= known | {flag.replace("--no", "--", 1) for flag in known}, shown - known


@guides
def test_tools_exist(guide):
    shown = re.findall(r"(?:python|bash) ((?:tools|tests)/\S+?\.(?:py|sh))", TEXTS[guide])
    for path in shown:
        assert (ROOT / path).is_file(), path


@guides
def test_paths_exist(guide):
    for span in code_spans(TEXTS[guide]):
        for path in re.findall(r"(?:^|\s)((?:kgen|tests|tools|exports/cvae-mnist)/[\w./*-]*)(?:$|\s)", span):
            assert any(ROOT.glob(path.rstrip("/"))), f"{guide} names {path}"


@guides
def test_links_and_pictures_lead_somewhere(guide):
    here = (ROOT / guide).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", TEXTS[guide])):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (here / file).resolve() if file else ROOT / guide
        assert path.is_file() and path.is_relative_to(ROOT), f"{guide}: {target}"
        assert not anchor or anchor in slugs(path.read_text(encoding="utf-8")), f"{guide}: {target} has no such heading"


@guides
def test_quoted_messages_are_those_of_the_code(guide):
    headings = [title for title in ("What goes wrong", "When training goes wrong") if f"## {title}\n" in TEXTS[guide]]
    source = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "kgen").rglob("*.py")))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # literals of several lines
    for message in (text for title in headings for text in re.findall(r'"([^"]+)"', section(guide, title))):
        for part in message.split("…"):
            assert part.strip() in source, message


@guides
def test_generated_parts_are_fresh(guide):
    assert make_guides.filled(ROOT / guide) == TEXTS[guide], "python tools/make_guides.py"


@guides
def test_tables_of_contents_are_whole(guide):
    listed = re.findall(r"^- \[(.*)\]\(#.*\)$", TEXTS[guide], re.MULTILINE)
    headings = re.findall(r"^## (.*)$", FENCED.sub("", TEXTS[guide]), re.MULTILINE)
    assert not listed or listed == headings


@guides
def test_python_of_guides_names_what_exists(guide):
    for block in blocks(TEXTS[guide], "python"):
        compile(block, guide, "exec")
        for name in re.findall(r"\bkgen(?:\.\w+)+", block):
            value = importlib.import_module("kgen")
            for part in name.split(".")[1:]:
                value = getattr(value, part)


def test_the_readme_is_short_and_names_every_guide_and_command():
    assert len(README.splitlines()) <= 160
    for path in GUIDES[1:]:
        assert f"]({path.relative_to(ROOT)})" in README
    assert {"kgen", *(f"kgen-{name}" for name in COMMANDS)} == first_cells(section("README.md", "Commands"))


def test_the_container_runs_the_commands_of_the_readme():
    lines = (ROOT / "tools" / "docker" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    commands = [line.split(" ", 1)[1] for line in lines if line.startswith(("RUN ", "CMD "))]
    assert " && ".join(commands) == blocks(section("README.md", "Install"))[0].strip()
    image = next(line for line in lines if line.startswith("FROM "))
    assert image.removeprefix("FROM python:").split("-")[0] == re.search(r"Python (3\.\d+) on Linux", README)[1]


@pytest.mark.slow
def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = blocks(README, "python")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    quick = 'kgen.RunConfig(model="cvae", train=kgen.TrainConfig(epochs=1))'
    code = code.replace('kgen.RunConfig(model="cvae")', quick).replace("epochs=20", "epochs=1")
    assert quick in code and "epochs=20" not in code
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["sevens"].pixels.shape == (64, 28, 28, 1) and set(names["sevens"].labels) == {7}
    assert (tmp_path / "runs" / "00000-cvae-digits" / "DONE").is_file()


# Tables that name all of something ------------------------------------------------------------------------------------


def arguments_of_models() -> set[str]:
    from kgen.models import PRESETS, resolve_model_args

    return {name for model in PRESETS for name in resolve_model_args(model, {})}


def test_the_arguments_of_the_models_are_those_of_the_tables():
    guide = "kgen/models/README.md"
    families = "autoencoders", "adversarial models"
    named = set().union(*(first_cells(section(guide, f"Arguments of the {family}")) for family in families))
    assert named == arguments_of_models()


def test_every_network_is_explained():
    from kgen.nn import NETWORKS

    assert first_cells(section("kgen/models/README.md", "Networks")) == {*NETWORKS}


def test_every_loss_likelihood_prior_and_augmentation_is_named():
    from kgen.losses.adversarial import LOSSES
    from kgen.nn.augment import AUGMENTATIONS
    from kgen.nn.likelihoods import LIKELIHOODS
    from kgen.sampling.priors import PRIORS

    text = TEXTS["kgen/models/README.md"] + TEXTS["kgen/train/README.md"]
    for name in (*LOSSES, *AUGMENTATIONS, *LIKELIHOODS, *PRIORS):
        assert re.search(rf"\b{name}\b", text), name


def test_every_curve_and_picture_is_explained():
    from kgen.explore.kinds import KINDS
    from kgen.report.panels import NOTES

    assert {*NOTES, *KINDS} - {"curves"} <= first_cells(section("kgen/explore/README.md", "Reading the figures"))


def test_every_diagnosis_is_explained():
    from kgen.train import diagnostics

    source = Path(diagnostics.__file__).read_text(encoding="utf-8")
    names = {*re.findall(r'Diagnosis\(\s*"([^"]+)"', source)}
    text = section("kgen/train/README.md", "Diagnostics of adversarial models")
    assert names and names <= {row.split("|")[1].strip() for row in text.splitlines() if row.startswith("| ")}
