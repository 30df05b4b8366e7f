"""kgen-compare as typed: its table, its page, its refusals."""

import base64
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from evaluate.test_compare import a_run
from evaluate.test_results import a_result

from kgen.cli import compare
from kgen.images import save_png

ROOT = Path(__file__).parents[2]
VOID = ("meta", "img")


class Page(HTMLParser):
    """Reads a page: (tag, attributes, text) of every element; fails where tags do not match."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        element = [tag, dict(attrs), ""]
        self.found.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, tag: str) -> list:
        return [element for element in self.found if element[0] == tag]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs, the second with the better FID and a grid of samples."""
    monkeypatch.chdir(tmp_path)
    one = a_run("runs", a_result("fid", 12.34, stddev=0.05, interval=[12.2, 12.5], baseline=0.61), a_result("kid", 0.5))
    two = a_run("runs", a_result("fid", 2.5, baseline=0.61), a_result("kid", 0.5), model="cvae")
    save_png(two.path / "samples" / "final.png", np.zeros((4, 4, 1)))
    return [str(one.path), str(two.path)]


def test_the_table_marks_the_best_and_tells_the_protocol(runs, capsys):
    assert compare.main([*runs, "--out="]) == 0
    said = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("|")] for line in said]
    assert cells[0] == ["measure", "00000-vae-mnist", "00001-cvae-mnist", "baseline"]
    assert ["fid", "12.34 ± 0.050", "* 2.500", "0.6100"] in cells
    assert ["kid", "0.5000", "0.5000", "-"] in cells  # equal: none is the best
    assert "00001-cvae-mnist is better in 1 of 2 measures, 00000-vae-mnist in none; " in "\n".join(said)
    assert "* best of its measure" in "\n".join(said)
    assert said[-1].startswith("Protocol of fid (k=3), kid (k=3): classifier features, extractor 9f3c9f3c9f3c")
    assert "seed" not in said[-1] and not Path("compare").exists()


def test_a_narrow_terminal_has_letters_for_long_names(runs, capsys, monkeypatch):
    monkeypatch.setattr(compare, "width", lambda otherwise: 60)
    assert compare.main([*runs, "--out="]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["A: 00000-vae-mnist", "B: 00001-cvae-mnist", ""]
    assert [cell.strip() for cell in lines[3].split("|")] == ["measure", "A", "B", "baseline"]
    assert max(map(len, lines)) <= 60


def test_the_page_is_one_accessible_file(runs, capsys, tmp_path):
    assert compare.main(runs) == 0
    assert capsys.readouterr().out.endswith("wrote compare/compare.csv\nwrote compare/compare.html\n")
    text = (tmp_path / "compare" / "compare.html").read_text(encoding="utf-8")
    assert "http:" not in text and "https:" not in text and "url(" not in text and "<script" not in text
    page = Page(text)
    assert page.all("html")[0][1] == {"lang": "en"} and len(page.all("caption")) == len(page.all("table")) == 1
    heads = page.all("th")
    names = ["00000-vae-mnist", "00001-cvae-mnist", "baseline"]
    assert [h[2] for h in heads if h[1]["scope"] == "col"] == ["measure", *names]
    assert [h[2] for h in heads if h[1]["scope"] == "row"][-2:] == ["fid", "kid"]
    assert [cell[1]["data-label"] for cell in page.all("td")] == names * (len(heads) - 4)
    verdict = next(p[2] for p in page.all("p") if p[1].get("class") == "verdict")
    assert verdict.startswith("00001-cvae-mnist is better in 1 of 2 measures")
    best = [cell[2] for cell in page.all("td") if cell[1].get("class") == "best"]
    assert best.count("2.500 * best") == 1 and not best.count("0.5000 * best")
    (picture,) = page.all("img")
    assert picture[1]["alt"] == "Samples of 00001-cvae-mnist"
    kind, data = picture[1]["src"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == (tmp_path / runs[1] / "samples" / "final.png").read_bytes()


def test_the_page_escapes_what_others_wrote(runs, tmp_path):
    from kgen.evaluate.results import merge_results

    row = a_result("<b>&fid", 1.0, note="<script>alert(1)</script>", target={"path": 'a"<i>x', "model": "<u>"})
    file = merge_results(tmp_path / "all.jsonl", [row])
    assert compare.main([str(file), "--out", "page"]) == 0
    text = (tmp_path / "page" / "compare.html").read_text(encoding="utf-8")
    assert not {"b", "script", "i", "u"} & {element[0] for element in Page(text).found}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "&lt;u&gt;" in text


def test_unlike_figures_end_with_2_and_write_nothing_unless_told(runs, capsys, tmp_path):
    other = a_run("runs", a_result("fid", 1.0, protocol={"split": "train"}))
    assert compare.main([*runs, str(other.path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith(f"kgen-compare: fid of {runs[0]} and {other.path} was not computed in the same way: ")
    assert "split is test against train" in said.err and "--anyway" in said.err
    assert not (tmp_path / "compare").exists()
    assert compare.main([*runs, str(other.path), "--anyway"]) == 0
    assert "fid (split=test)" in capsys.readouterr().out
    assert "fid (split=train)" in (tmp_path / "compare" / "compare.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "takes PATH [PATH ...]. Received: nothing"),
        (["nowhere"], "nowhere does not exist"),
        (["."], "has no evaluation results"),
        (["runs/00000-vae-mnist", "--metrics", "fid,kdi"], "--metrics kdi"),
        (["runs/00000-vae-mnist", "--sort", "speed"], "--sort speed"),
        (["runs/00000-vae-mnist", "--out", "file"], "file"),
    ],
)
def test_mistakes_are_one_message(runs, capsys, tmp_path, arguments, words):
    (tmp_path / "file").write_text("")
    assert compare.main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said and said.startswith("kgen-compare: ") and said.count("\n") == 1


def test_measures_and_sort(runs, capsys):
    assert compare.main([*runs, "--metrics", "fid", "--sort", "fid", "--out="]) == 0
    said = capsys.readouterr().out
    assert "kid" not in said and said.index("00001-cvae-mnist") < said.index("00000-vae-mnist")


def test_a_comparison_does_without_tensorflow(runs):
    paths = [str(Path(run).absolute()) for run in runs]
    code = (  # in a terminal that has no "±" either
        "import sys; from kgen.cli import compare\n"
        f"assert compare.main({[*paths, '--out=']!r}) == 0\n"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, cwd=ROOT, env=ascii_only)
