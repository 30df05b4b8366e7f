"""`--help` of every command is a golden text: tests/help/COMMAND.txt.

If a change is intended: python tests/cli/test_help.py
"""

import importlib
from pathlib import Path

import pytest

COMMANDS = ("train", "sweep", "sample", "export", "eval", "explore", "compare", "report", "data", "divergence", "serve")
HELP = Path(__file__).parents[1] / "help"


def text_of(name: str) -> str:
    return importlib.import_module(f"kgen.cli.{name}").command().help()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_as_agreed(name):
    assert text_of(name) == (HELP / f"kgen-{name}.txt").read_text(), "if intended: python tests/cli/test_help.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_examples_that_parse(name, capsys):
    module = importlib.import_module(f"kgen.cli.{name}")
    assert module.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown == text_of(name)
    examples = shown.split("Examples:\n")[1]
    lines = [line.split() for line in examples.splitlines() if line.startswith(f"  kgen-{name}")]
    assert len(lines) == len(module.EXAMPLES) >= 2
    for line in lines:
        module.command().parse(line[1:])


if __name__ == "__main__":
    for name in COMMANDS:
        (HELP / f"kgen-{name}.txt").write_text(text_of(name))
