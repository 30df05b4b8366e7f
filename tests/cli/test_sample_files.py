"""Files of kgen-sample: nothing of another request is lost, nothing stale is left, and all say what they are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kgen.cli import sample
from kgen.provenance import read_tag

EXPORT = Path(__file__).parents[2] / "exports" / "cvae-mnist"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(line: str, code: int = 0) -> str:
        assert sample.main(line.replace("EXPORT", str(EXPORT)).split()) == code, capsys.readouterr().err
        said = capsys.readouterr()
        return said.err if code else said.out

    return call


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_names_state_model_class_and_seed(run, tmp_path):
    said = run("EXPORT --count 2") + run("EXPORT --count 2 --label 7 --seed 1") + run("EXPORT --count 2 --label 3")
    run("EXPORT --count 2 --temperature 0.5")
    run("EXPORT --count 2 --format npz")
    names = ["label3-seed0.png", "label7-seed1.png", "seed0-temperature0.5.png", "seed0.npz", "seed0.png"]
    assert files(tmp_path) == [f"samples-cvae-mnist-1-{name}" for name in names]
    model = EXPORT / "1" / "model.tflite"
    assert f"wrote samples-cvae-mnist-1-label7-seed1.png: 2 samples of {model}, class 7, seed 1\n" in said


def test_another_model_of_the_same_name_and_foreign_files_are_kept(run, tmp_path):
    name = "samples-cvae-mnist-1-seed0"
    other = run("EXPORT --count 2") and (tmp_path / f"{name}.png")
    with Image.open(other) as picture:
        picture.save(other)  # as another program saves it: without what made it
    kept = other.read_bytes()
    assert f"wrote {name}-2.png" in run("EXPORT --count 2") and f"wrote {name}-2.png" in run("EXPORT --count 4")
    assert other.read_bytes() == kept and read_tag(f"{name}-2.png")["count"] == 4


def test_fewer_files_leave_none_of_the_earlier_ones(run, tmp_path):
    run("EXPORT --format png-files --count 5 --label 7 --out sevens")
    (tmp_path / "sevens" / "notes.txt").write_text("of the user")
    said = run("EXPORT --format png-files --count 2 --label 7 --out sevens")
    assert files(tmp_path / "sevens") == ["00000-label7.png", "00001-label7.png", "notes.txt"]
    assert "removed 3 files of an earlier, larger count" in said
    for other in ("--label 8", "--label 7 --seed 1", "", "--label 7 --temperature 2"):
        assert "sevens holds samples of another model" in run(f"EXPORT --format png-files --out sevens {other}", 2)
    assert len(files(tmp_path / "sevens")) == 3


def test_scale(run):
    for scale in (1, 3):
        run(f"EXPORT --count 1 --label 7 --format png-files --scale {scale} --out s{scale}")
        run(f"EXPORT --count 1 --label 7 --scale {scale} --out {scale}.png")
    small, large = (np.asarray(Image.open(f"s{scale}/00000-label7.png")) for scale in (1, 3))
    np.testing.assert_array_equal(large, small.repeat(3, 0).repeat(3, 1))
    np.testing.assert_array_equal(np.asarray(Image.open("3.png"))[2:-2, 2:-2], large)
    assert "--scale enlarges pictures" in run("EXPORT --format npz --scale 2", 2)


@pytest.mark.parametrize("flags", ["--count 13", "--count 5 --label 7 --seed 3 --temperature 0.7 --scale 1"])
def test_again(run, flags):
    """A grid, and one picture of many, which is drawn alone."""
    run(f"EXPORT {flags} --out grid.png")
    run(f"EXPORT {flags} --format png-files --out files")
    last = sorted(Path("files").iterdir())[-1]
    assert "all pixels are equal" in run("--again grid.png")
    assert "all pixels are equal" in run(f"--again {last} EXPORT --out again.png")
    assert Path("again.png").read_bytes() == last.read_bytes()


def test_again_of_arrays(run):
    run("EXPORT --count 13 --seed 3 --format npz --out a.npz")
    run("EXPORT --count 13 --label 7 --format npz --out b.npz")
    assert "count: 13\n" in run("--describe a.npz")
    assert "all pixels are equal" in run("--again a.npz") and "all pixels are equal" in run("--again b.npz EXPORT")
    with np.load("a.npz") as one, np.load("b.npz") as other:
        np.savez("mixed.npz", **{**other, "made": one["made"]})
    assert "values, by at most" in run("--again mixed.npz")
    np.savez("plain.npz", images=np.zeros([1, 28, 28, 1], np.uint8))
    assert "plain.npz does not say what made it" in run("--describe plain.npz", 2)
    assert "--out keeps a picture" in run("--again a.npz --out again.npz", 2)


def test_again_tells_what_differs(run, tmp_path):
    run("EXPORT --count 1 --label 7 --scale 1 --out a.png")
    run("EXPORT --count 1 --label 8 --scale 1 --out b.png")
    made = run("--describe a.png")
    assert "label: 7\n" in made and "weights_hash: 390c30034a62cecf\n" in made and "seed: 0\n" in made
    content = bytearray(Path("b.png").read_bytes())
    start, end = content.index(b"IDAT") - 4, content.index(b"IEND") - 4
    header = Path("a.png").read_bytes()
    header = header[: header.index(b"IDAT") - 4]
    Path("mixed.png").write_bytes(header + content[start:end] + content[end:])  # the pixels of b as those of a
    assert "values, by at most" in run("--again mixed.png")
    Path("none.png").write_bytes(b"")
    assert "none.png does not say what made it" in run("--describe none.png", 2)
    assert "missing.png does not exist" in run("--again missing.png", 2)


def test_other_weights_are_named(run, monkeypatch):
    run("EXPORT --count 1 --out a.png")
    from kgen.sampling import TFLiteSampler

    original = TFLiteSampler.__init__

    def changed(self, *arguments):
        original(self, *arguments)
        self.weights_hash = "0123456789abcdef"

    monkeypatch.setattr(TFLiteSampler, "__init__", changed)
    said = run("--again a.png EXPORT", 2)
    assert "was drawn with weights 390c30034a62cecf, and" in said and "has 0123456789abcdef" in said
