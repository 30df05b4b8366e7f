"""`--help` of every command is a golden text: tests/help/COMMAND.txt.

If a change is intended: python tests/cli/test_help.py
"""

import importlib
import shlex
from pathlib import Path

import pytest

from kgen.cli import main

COMMANDS = (*main.COMMANDS, "main")
HELP = Path(__file__).parents[1] / "help"


def program(name: str) -> str:
    return "kgen" if name == "main" else f"kgen-{name}"


def text_of(name: str, *width: int) -> str:
    return importlib.import_module(f"kgen.cli.{name}").command().help(*width)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_as_agreed(name):
    assert text_of(name) == (HELP / f"{program(name)}.txt").read_text(), "if intended: python tests/cli/test_help.py"
    for width in (80, 40):  # but for examples, and for words that are longer
        lines = [line for line in text_of(name, width).split("Examples:")[0].splitlines() if len(line.split()) > 2]
        assert max(map(len, lines)) <= width


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_examples_that_parse(name, capsys):
    module = importlib.import_module(f"kgen.cli.{name}")
    assert module.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown == text_of(name)
    examples = shown.split("Examples:\n")[1]
    lines = [shlex.split(line) for line in examples.splitlines() if line.startswith(f"  {program(name)}")]
    assert len(lines) == sum(line.startswith("kgen") for line, _ in module.EXAMPLES) >= 2
    for line in lines:
        module.command().parse(line[1:])


if __name__ == "__main__":
    for name in COMMANDS:
        (HELP / f"{program(name)}.txt").write_text(text_of(name))
