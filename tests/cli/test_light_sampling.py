"""kgen-sample with the packages of the minimal installation alone: no other can be imported."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXPORTS = Path(__file__).parents[2] / "exports" / "cvae-mnist"
PACKAGES = ("numpy", "PIL", "absl", "flatbuffers", "ai_edge_litert")
"""What the guide has the user install ("Sample without TensorFlow" in kgen/export/README.md)."""
LIGHT = f"""
import importlib.machinery, sys

class Light:
    def find_spec(self, name, path=None, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        installed = spec is not None and "site-packages" in str(spec.origin)
        if installed and name.partition(".")[0] not in {("kgen", *PACKAGES)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Light())
"""


def sample(arguments, *, light: bool) -> subprocess.CompletedProcess:
    code = (LIGHT if light else "") + "import sys; from kgen.cli.sample import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize("path", [EXPORTS / "1" / "model.tflite", EXPORTS], ids=["file", "export"])
def test_the_same_png_as_with_all_packages(path, tmp_path):
    """An export by its certified file, which the output names."""
    whole, light = tmp_path / "whole.png", tmp_path / "light.png"
    assert sample([EXPORTS / "1" / "model.tflite", "--count", 20, "--out", whole], light=False).returncode == 0
    done = sample([path, "--count", 20, "--out", light], light=True)
    assert done.returncode == 0, done.stderr
    assert light.read_bytes() == whole.read_bytes() and Image.open(light).size == (19 + 2 * 58 + 2, 582)
    model = EXPORTS / "1" / "model.tflite"
    assert done.stdout == f"wrote {light}: 20 samples of {model}, all classes in turn, seed 0\n"


def test_what_needs_tensorflow_says_what_to_install(tmp_path):
    done = sample([EXPORTS / "1", "--out", tmp_path / "a.png"], light=True)  # the SavedModel
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "needs tensorflow, which is not installed here" in done.stderr and "pip install" in done.stderr
