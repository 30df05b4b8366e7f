"""tools/first_look.ipynb runs from top to bottom, as in Jupyter: without Jupyter, and stored without outputs."""

import ast
import json
from pathlib import Path

import numpy as np

NOTEBOOK = Path(__file__).parents[1] / "tools" / "first_look.ipynb"


def run(source: str, names: dict):
    """Runs a cell; the value of its last line, where that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NOTEBOOK.name, "exec"), names)
    return last and eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)


def test_the_notebook_runs(monkeypatch):
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert notebook["nbformat"] == 4 and all(not cell["outputs"] and not cell["execution_count"] for cell in cells)
    monkeypatch.chdir(NOTEBOOK.parent)
    names = {}
    values = [run("".join(cell["source"]), names) for cell in cells]
    pictures = [value for value in values if hasattr(value, "_repr_png_")]
    assert len(pictures) == 5 and all(value._repr_png_().startswith(b"\x89PNG") for value in pictures)
    assert names["sevens"].pixels.shape == (32, 28, 28, 1) and {*names["sevens"].labels} == {7}
    assert np.ptp(names["threes"].reshape(144, -1), axis=0).max() > 0.5  # the plane is not one picture
