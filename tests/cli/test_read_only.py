"""Places that cannot be written: results are shown all the same, and what only writes says so before it computes.

A file stands where a folder should be: that stops every user, also the one that may write everywhere.
"""

import shutil

import numpy as np
import pytest
from evaluation_fixtures import blobs

from kgen.cli import compare, explore, report, sample, train
from kgen.cli import data as kgen_data
from kgen.cli import eval as kgen_eval
from kgen.errors import UserError
from kgen.io import check_writable

QUICK = ["--metrics", "kid", "--features", "random", "--repeats", "1", "--count", "20"]


@pytest.fixture
def blocked(tmp_path):
    """A path below a file."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "folder"


@pytest.fixture
def run(trained_vae, tmp_path):
    """A run whose eval/, explore/ and priors/ cannot be made."""
    folder = shutil.copytree(trained_vae.path, tmp_path / "run")
    for name in ("eval", "explore", "priors"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).write_text("")
    return folder


def test_a_place_that_can_be_written_is_left_as_it_is(tmp_path):
    check_writable(tmp_path / "a" / "b", "the results")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot(blocked):
    with pytest.raises(UserError, match=r"^the results cannot be written: .*file: .*--out$"):
        check_writable(blocked, "the results")


def test_results_are_printed_where_they_cannot_be_stored(tmp_path, monkeypatch, capsys, blocked):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eval").write_text("")
    for name, seed in (("one", 1), ("two", 2)):
        np.savez(tmp_path / f"{name}.npz", images=blobs(30, seed=seed)[0])
    assert kgen_eval.main(["one.npz", "--dataset", "two.npz", *QUICK]) == 0
    printed = capsys.readouterr()
    assert "kid" in printed.out and "wrote" not in printed.out
    (warning,) = [line for line in printed.err.splitlines() if "warning" in line]
    assert "not stored" in warning and "eval" in warning and "--out" in warning
    assert kgen_eval.main(["one.npz", "--dataset", "two.npz", *QUICK, "--out", str(blocked / "x.jsonl")]) == 2
    printed = capsys.readouterr()
    assert "--out" in printed.err and "cannot be written" in printed.err and not printed.out


@pytest.mark.slow
def test_a_run_that_cannot_be_written(run, blocked, capsys, monkeypatch):
    assert kgen_eval.main([str(run), *QUICK]) == 0
    assert "not stored" in capsys.readouterr().err
    assert explore.main([str(run), "--what", "samples"]) == 2
    assert "--out" in capsys.readouterr().err
    assert sample.main([str(run), "--prior", "gaussian_mixture", "--count", "4", "--out", str(run / "x.png")]) == 0
    assert "not stored" in capsys.readouterr().err and (run / "x.png").is_file()
    for main, arguments in (
        (explore.main, ["--what", "samples"]), (explore.main, ["--what", "page"]), (report.main, []),
        (sample.main, ["--count", "4"]), (sample.main, ["--count", "4", "--format", "png-files"]), (compare.main, []),
    ):  # fmt: skip
        assert main([str(run), *arguments, "--out", str(blocked / "x")]) == 2
        message = capsys.readouterr().err
        assert "cannot be written" in message and "--out" in message and len(message.splitlines()) == 1


def test_the_report_of_a_data_set(blocked, capsys):
    assert kgen_data.main(["digits", "--out", str(blocked)]) == 2
    printed = capsys.readouterr()
    assert f"--out {blocked} cannot be written" in printed.err and not printed.out


def test_the_report_of_a_data_set_in_a_folder_that_cannot(tmp_path, monkeypatch, capsys):
    """It is printed; then the message says what to do."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data-digits").write_text("")
    assert kgen_data.main(["digits", "--limit", "20", "--near", "0"]) == 2
    captured = capsys.readouterr()
    assert "content hash" in captured.out
    assert f"the report and the pictures cannot be written: {tmp_path / 'data-digits'}: " in captured.err
    assert captured.err.endswith("; name another place with --out\n")


def test_a_cache(tmp_path, blocked, capsys, monkeypatch):
    monkeypatch.setenv("KGEN_CACHE_DIR", str(blocked))
    assert kgen_data.main(["digits", "--cache", "disk", "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "KGEN_CACHE_DIR" in message and len(message.splitlines()) == 1


def test_a_run_to_resume(trained_vae, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert train.main(["--resume", str(trained_vae.path), "--epochs", "9"]) == 2
    message = capsys.readouterr().err
    assert "cannot be written" in message and "copy it" in message and len(message.splitlines()) == 1
