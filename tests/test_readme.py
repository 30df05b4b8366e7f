"""What the README shows is true: its Python runs, its commands exist, its paths are there."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    quick = 'kgen.RunConfig(model="cvae", train=kgen.TrainConfig(epochs=1))'
    code = code.replace('kgen.RunConfig(model="cvae")', quick).replace("epochs=20", "epochs=1")
    assert quick in code and "epochs=20" not in code
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["sevens"].pixels.shape == (64, 28, 28, 1) and set(names["sevens"].labels) == {7}
    assert (tmp_path / "runs" / "00000-cvae-digits" / "DONE").is_file()


@pytest.mark.parametrize(
    "line", sorted(set(re.findall(r"^(?:pip install \. && )?(kgen-\w+ .*?)(?:  #.*)?$", README, re.M)))
)
def test_the_commands_parse(line):
    import importlib

    name, *arguments = line.split()
    command = importlib.import_module(f"kgen.cli.{name.removeprefix('kgen-')}").command()
    command.parse(arguments)


def test_the_arguments_of_the_models_are_those_of_the_table():
    from kgen.models import PRESETS, resolve_model_args

    table = README.split("## Models")[1].split("```")[0]
    named = set(
        re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `")))
    )
    arguments = {name for model in PRESETS for name in resolve_model_args(model, {})}
    assert named <= arguments
    assert arguments - named == {"stddev"}  # named beside `likelihood`
