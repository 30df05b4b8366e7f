"""report.html: what it tells of a run, whatever the run lacks."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from html import escape, unescape
from types import SimpleNamespace

import numpy as np
import pytest
from report_case import FIGURE, NASTY, PETS, draw, evaluated, made_run, row

from kgen import images
from kgen.cli import report as command
from kgen.cli import train
from kgen.config import RunConfig, TrainConfig, override
from kgen.report import pictures, run_files, to_html, write_report
from kgen.report.commands import FAILED, next_commands, train_again
from kgen.report.panels import panels_of
from kgen.report.report import _checkpoint
from kgen.run import Run
from kgen.spec import DataSpec


@pytest.fixture
def run(tmp_path):
    return made_run(tmp_path / "my run")


def words_of(page: str) -> str:
    """What one reads: without style, scripts, pictures and tags."""
    page = re.sub(r"<(style|script)\b.*?</\1>|<wbr>", "", page, flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page)))


def frames_of(page: str) -> list[dict]:
    return json.loads(re.search(r'id="frames">(.*?)</script>', page, re.S)[1])


def test_a_best_checkpoint_by_training_images_has_its_value():
    state = {"epoch": 3, "step": 30, "train_kid": 0.25, "train_generator_loss": 1.0}
    for best_by, words in (("kid", "epoch 3, step 30, train kid 0.25"), ("loss", "epoch 3, step 30")):
        run = SimpleNamespace(config=RunConfig(train=TrainConfig(best_by=best_by)))
        assert _checkpoint(SimpleNamespace(run=run, checkpoints={"best": state}), "best") == words


def test_the_page_tells_what_the_run_holds(run):
    evaluated(run)
    run.log("diagnostics, epoch 3: collapse: two samples are alike. Try --set model_args.r1=1", show=False)
    run.log("diagnostics, at the end: collapse", show=False)
    page = write_report(run).read_text()
    assert (run.path / "report.html").read_text() == page
    told = words_of(page)
    for words in (
        "my run done", "cvae on pets", "4 of 4 epochs, 40 steps", "1 min 23 s", "12,345",
        "epoch 2, step 20, validation loss 152.2",  # the best checkpoint
        "collapse (epoch 3): two samples are alike. Try --set model_args.r1=1", "At the end: collapse.",
        "latent_dim 2", "learning_rate 0.002", "seed 5", "tensorflow",
        "6×5, color", "train 100 0123456789ab", "validation 10 -",
        "precision (k=3) 0.6250 ± 0.0040 0.6100 to 0.6400 0.8750 higher 20 / 2,000 few images",
        f"Measured {time.strftime('%Y-%m-%d')}.",
        "random features, extractor abababababab, reference pets, test split, seed 0, repeats 3",
        "30 values", str([400] * 30),  # folded
    ):  # fmt: skip
        assert words in told, words
    assert "0123456789abc" not in told.replace("content hash", "")


def test_nothing_of_the_run_can_become_a_part_of_the_page(run):
    run.log(f"data {NASTY}", show=False)
    evaluated(run, FIGURE | {"note": NASTY, "metric": NASTY})
    page = to_html(run)
    assert NASTY not in page and page.count("<script") == 2  # the frames and the one that runs
    assert page.count(NASTY.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;")) >= 4


def test_it_reaches_for_nothing(run):
    page = to_html(run).replace('"http://www.w3.org/2000/svg"', "")  # a name
    assert not re.search(r"https?:|@import|<link|style=|\son\w+=", page)
    assert {*re.findall(r'src="(\w+:)', page)} == {"data:"}
    assert "default-src 'none'; img-src data:" in page and "unsafe-inline" not in page


def test_every_grid_is_in_the_film(run):
    paths = np.zeros((8, 8, 1), np.uint8)
    images.save_png(run.path / "samples" / "interpolation-0004.png", paths)
    page = to_html(run)
    frames = frames_of(page)
    assert [frame["words"] for frame in frames] == [
        "before training",
        "epoch 1 of 4: train loss 150",
        "epoch 2 of 4: validation loss 152.2",
        "epoch 3 of 4: train loss 116.7",
        "epoch 4 of 4: validation loss 139.8",
        "at the end: the best checkpoint, epoch 2 of 4, z from the standard normal prior: validation loss 152.2",
    ]
    assert len({frame.get("src") for frame in frames}) == 6
    assert 'max="5"' in page and "Paths between latent points" in words_of(page)
    assert f"<span>cat</span><span>{escape(NASTY)}</span>" in page and "A row is a class." in words_of(page)
    shutil.copy(run.path / "samples" / "epoch-0004.png", run.path / "samples" / "final.png")
    assert len(frames_of(to_html(run))) == 5  # the grid of the last epoch is the final one
    images.save_png(run.path / "samples" / "final.png", paths)  # laid out in a way that is not known
    assert "A row is a class, from the top: cat, </script>" in words_of(to_html(run))
    assert f"--label {shlex.quote(NASTY)}" in words_of(page)


def test_a_model_without_labels_is_not_asked_for_one(tmp_path):
    spec = DataSpec("pets", (6, 5, 3), 2)
    run = made_run(tmp_path / "run", spec=spec, model="vae")
    for path in run.path.glob("samples/*.png"):
        images.save_png(path, images.grid(np.zeros((64, 6, 5, 3), np.uint8), 8))
    told = words_of(to_html(run))
    assert "--label" not in told and "A row is a class" not in told


@pytest.mark.slow
def test_a_page_of_many_large_grids_stays_below_ten_megabytes(tmp_path):
    run = made_run(tmp_path / "run", epochs=8)
    noise = np.random.default_rng(0)
    for epoch in range(1, 200):
        path = run.path / "samples" / f"epoch-{epoch:04d}.png"
        images.save_png(path, noise.integers(0, 256, (300, 300, 3), np.uint8))  # 270 kB each: 50 MB
    images.save_png(run.path / "explore" / "manifold.png", noise.integers(0, 256, (1500, 1500, 3), np.uint8))
    images.save_png(run.path / "plots" / "layers.png", noise.integers(0, 256, (1500, 1500, 3), np.uint8))
    out = write_report(run)
    assert 3e6 < out.stat().st_size < 10e6
    page = out.read_text()
    frames = frames_of(page)
    assert frames[0]["words"] == "before training" and frames[-2]["words"].startswith("epoch ")
    assert 20 <= len(frames) <= 80
    told = words_of(page)
    assert f"{len(frames)} of 201 grids are shown" in told and "manifold" in told


def test_small_pictures_have_room_beside_large_animations(run, monkeypatch):
    from PIL import Image

    (run.path / "explore").mkdir(exist_ok=True)
    frames = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (200, 200, 3), np.uint8)) for i in range(3)]
    frames[0].save(run.path / "explore" / "a.gif", save_all=True, append_images=frames[1:])
    images.save_png(run.path / "explore" / "z.png", np.zeros((8, 8, 1), np.uint8))
    monkeypatch.setattr(pictures, "STILLS_BYTES", 50_000)
    parts = pictures.Pictures(run_files.read(run))
    assert [picture.path.name for picture in parts.groups["explore"]] == ["z.png"]
    assert any("a.gif found no room left on this page" in problem for problem in parts.problems)


def test_pictures_of_the_run_are_shown_or_named(run):
    from PIL import Image

    images.save_png(run.path / "explore" / "traversal.png", np.zeros((8, 8, 1), np.uint8))
    walk = [Image.new("L", (8, 8), grey) for grey in (0, 255)]
    walk[0].save(run.path / "explore" / "walk.gif", save_all=True, append_images=walk[1:])
    for name in ("layers", "quality"):
        images.save_png(run.path / "plots" / f"{name}.png", np.zeros((8, 8, 1), np.uint8))
    (run.path / "explore" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    page = to_html(run)
    told = words_of(page)
    assert "traversal" in told and "walk, animated" in told and "layers" in told and "data:image/gif" in page
    assert 'alt="layers"' in page and 'alt="quality"' not in page  # the curves of the page show it
    assert "broken.png is no picture" in told


@pytest.mark.parametrize("lost", ["samples", "metrics.jsonl", "log.txt", "checkpoints", "DONE"])
def test_a_run_that_lacks_something_has_a_page(run, lost):
    path = run.path / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    told = words_of(to_html(run))
    assert "cvae on pets" in told
    said = {
        "samples": "No sample grid was written yet.",
        "metrics.jsonl": "No epoch was recorded yet.",
        "DONE": "no end recorded",
    }
    assert said.get(lost, "done") in told


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    run = Run.create(RunConfig(), DataSpec("digits", (8, 8, 1)), run_dir=str(tmp_path / "run"))
    told = words_of(to_html(run))
    assert "still training, or its process was killed" in told and "kgen-sample" not in told and "kgen-report" in told


def test_broken_lines_are_left_out_and_told(run):
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 5, "train_lo')
    evaluated(run)
    with open(run.path / "eval" / "best.jsonl", "a") as file:
        file.write('{"metric"')
    told = words_of(to_html(run))
    assert "metrics.jsonl, line 5: broken JSON" in told and "4 of 4 epochs" in told
    assert "line 2 is broken JSON" in told and "Not evaluated yet" in told


def test_a_training_that_was_interrupted_did_not_fail(run):
    (run.path / "DONE").unlink()
    run.fail("interrupted by the user")
    told = words_of(to_html(run))
    assert "my run interrupted" in told and "It was interrupted by the user" in told and "failed" not in told
    assert "kgen-train --resume" in told


def test_a_failed_run_says_why_and_what_to_try(run):
    (run.path / "DONE").unlink()
    run.fail("the loss was not finite at step 7. Try a smaller --learning_rate (it was 0.002)")
    told = words_of(to_html(run))
    assert "my run failed" in told and "Try a smaller --learning_rate (it was 0.002)" in told
    reason = (run.path / "FAILED").read_text()
    purpose, line = next_commands(run, state=FAILED, reason=reason)[0]
    assert "0.1 times the learning rate" in purpose and "train.learning_rate=0.0002" in line


def test_the_commands_parse_and_the_same_training_is_the_same(run):
    import importlib

    lines = [line for _, line in next_commands(run)]
    names = [line.split()[0].removeprefix("kgen-") for line in lines]
    assert names == ["sample", "explore", "eval", "export", "explore", "serve", "compare"]
    for name, line in zip(names, lines, strict=True):
        arguments = importlib.import_module(f"kgen.cli.{name}").command().parse(shlex.split(line)[1:])
        where = {"serve": "exports/", "compare": str(run.path.parent)}.get(name, str(run.path))
        assert arguments == [where]
    cmd = train.command()
    cmd.parse(shlex.split(train_again(run.config))[1:])
    assert train.config_of(cmd).to_json() == run.config.to_json()


def test_the_same_training_as_one_of_minutes_has_its_epochs(run):
    timed = override(run.config, {"train.minutes": 60.0})
    cmd = train.command()
    cmd.parse(shlex.split(train_again(timed))[1:])
    assert train.config_of(cmd).to_json() == run.config.to_json()


def test_the_page_to_play_with_is_linked_or_its_command_is_there(run, tmp_path):
    assert words_of(to_html(run)).count("--what page") == 2  # below the samples, and among the commands
    page = run.path / "explore" / "a b.html"
    page.parent.mkdir(exist_ok=True)
    page.write_text("")
    assert '<a href="explore/a%20b.html">explore/a b.html</a>' in to_html(run)
    assert f'<a href="{page.as_uri()}">' in write_report(run, tmp_path / "elsewhere.html").read_text()


def test_panels_of_terms_health_and_quality():
    nothing = {"epoch": 3, "validation_fid": None, "health_alive": float("nan")}
    rows = [
        row(1) | {"validation_fid": 3.0, "health_alive": 1.0},
        row(2) | {"validation_fid": 2.0},
        nothing,
    ]
    groups = dict(panels_of(rows, ("fid",)))
    assert list(groups) == ["Quality of samples", "Terms", "Health metrics"]
    (fid,) = groups["Quality of samples"]
    assert fid.lines[0].points == [(1, 3.0), (2, 2.0)] and fid.lines[0].best == (2, 2.0)
    loss, kl = groups["Terms"]
    assert [line.name for line in loss.lines] == ["train", "validation", "test"]
    assert loss.lines[1].points == [(1, 177.25), (2, 152.25)] and kl.lines[0].points == [(1, 3.5), (2, 3.5)]
    assert len(groups["Health metrics"][0].lines[0].points) == 2
    beside_training = dict(panels_of([{"epoch": 1, "train_loss": 1.0, "train_fid": 2.0}], ("fid",)))
    assert [panel.title for panel in beside_training["Quality of samples"]] == ["fid"]
    (recall,) = dict(panels_of([{"epoch": 1, "validation_recall@pixels": 0.0}], ("prdc",)))["Quality of samples"]
    assert (recall.unit, recall.share) == ("share of the real images", True)


def test_thousands_of_epochs_make_a_page_of_moderate_size(tmp_path):
    run = made_run(tmp_path / "run")
    rows = [row(epoch) | {f"train_term{i}": epoch % 97 / 7 for i in range(20)} for epoch in range(1, 5001)]
    (run.path / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    assert len(to_html(run)) < 1_500_000


def test_the_command_writes_where_it_is_told_without_tensorflow(run, tmp_path):
    out = tmp_path / "pages" / "pets.html"
    code = (
        "import sys; from kgen.cli.report import main; code = main(sys.argv[1:])\n"
        "assert not {'tensorflow', 'keras', 'matplotlib', 'sklearn', 'scipy'} & {*sys.modules}; sys.exit(code)"
    )
    arguments = [sys.executable, "-c", code, str(run.path), "--out", str(out)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert done.stdout == f"wrote {out} ({out.stat().st_size / 1e6:.2f} MB)\n"
    assert not (run.path / "report.html").exists() and [*out.parent.iterdir()] == [out]


def test_mistakes(capsys, tmp_path):
    assert command.main([str(tmp_path)]) == 2
    assert "is no run directory" in capsys.readouterr().err
    assert command.main([str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_training_writes_it(default_job):
    run, out, _ = default_job
    told = words_of((run.path / "report.html").read_text())
    epochs = run.config.train.epochs
    assert f"report:   {run.path / 'report.html'}" in out
    assert f"{epochs} of {epochs} epochs" in told and "00000-cvae-digits done" in told
    assert "at the end: the best checkpoint" in told


@pytest.mark.slow
def test_a_failed_training_writes_it(capsys, tmp_path):
    arguments = ["--limit", "64", "--nojit_compile", "--set", "model_args.hidden=[8]", "--learning_rate", "1e30"]
    (tmp_path / "runs" / "other").mkdir(parents=True)
    (tmp_path / "runs" / "other" / "FAILED").write_text("long ago")
    assert train.main([*arguments, "--epochs", "9", "--runs_root", str(tmp_path / "runs")]) == 1
    said = capsys.readouterr()
    (page,) = (tmp_path / "runs").glob("*/report.html")
    assert f"report:   {page}" in said.out and "not finite" in said.err
    assert "the loss was not finite at step" in words_of(page.read_text())


def test_a_report_that_cannot_be_written_is_one_warning(capsys, run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kgen.report.write_report", full)
    assert train.write_report(run) is None
    said = capsys.readouterr().err
    assert "could not be written" in said and f"kgen-report {shlex.quote(str(run.path))}" in said
    assert said.count("\n") == 1


def test_a_picture_of_the_wrong_name_is_no_grid(run):
    draw(run, 3, 0)
    images.save_png(run.path / "samples" / "epoch-last.png", np.zeros((8, 8, 1), np.uint8))
    assert len(frames_of(to_html(run))) == 6
    assert PETS.class_names[0] in words_of(to_html(run))
