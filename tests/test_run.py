"""Run directories."""

import json

import pytest

from kgen.config import RunConfig
from kgen.errors import UserError
from kgen.run import FORMAT, Run
from kgen.spec import DataSpec

SPEC = DataSpec("digits", (8, 8, 1), 10)


def test_create_then_open(tmp_path):
    config = RunConfig(model_args={"latent_dim": 3}, seed=7)
    made = Run.create(config, SPEC, runs_root=str(tmp_path / "runs"))
    found = Run.open(made.path)
    assert found.config == config and found.spec == SPEC and found.name == "00000-cvae-digits"


def test_the_next_number_is_above_all_others(tmp_path):
    (tmp_path / "00041-vae-mnist").mkdir()
    assert Run.create(RunConfig(), SPEC, runs_root=str(tmp_path)).name == "00042-cvae-digits"


def test_a_directory_in_use_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"--run_dir .* is not empty"):
        Run.create(RunConfig(), SPEC, run_dir=str(tmp_path))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_no_permission(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--runs_root .*file.*name a place that can be written"):
        Run.create(RunConfig(), SPEC, runs_root=str(tmp_path / "file" / "runs"))


def test_a_hash_that_was_changed_to_a_number_is_read_as_text(tmp_path):
    run = Run.create(RunConfig(), SPEC, data_hashes={"train": "abc"}, run_dir=str(tmp_path / "run"))
    path = run.path / "config.json"
    path.write_text(path.read_text().replace('"abc"', "1.5"))
    assert Run.open(run.path).data_hashes == {"train": "1.5"}


def test_where_it_was_trained_is_recorded_and_old_runs_say_nothing(tmp_path):
    run = Run.create(RunConfig(), SPEC, run_dir=str(tmp_path / "run"))
    (found,) = Run.open(run.path).environments
    assert found == run.environments[0] and found["processor"] and run.record_environment() == []
    path = run.path / "config.json"
    values = json.loads(path.read_text())
    assert Run.open(run.path).versions == values["versions"] != {}
    del values["environments"]
    path.write_text(json.dumps(values))
    old = Run.open(run.path)
    assert old.environments == [] and old.record_environment() == []  # nothing to compare with
    assert Run.open(run.path).environments == [found]
    path.write_text(json.dumps(values | {"versions": "x", "environments": [3, {"processor": 5, "blas": [1]}]}))
    edited = Run.open(run.path)
    assert edited.versions == {} and len(edited.environments) == 1
    assert edited.record_environment() and Run.open(run.path).environments[1:] == [found]
    edited.record_environment(from_start=True)
    assert Run.open(run.path).environments == [found]


def test_no_space(tmp_path, monkeypatch):
    from kgen import run

    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**20})())
    with pytest.raises(UserError, match=r"--run_dir.*no space left: 1 MiB"):
        Run.create(RunConfig(), SPEC, run_dir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [None, 1, 3, "two"])
def test_a_directory_of_another_format_is_refused(tmp_path, number):
    """Older ones have no number."""
    run = Run.create(RunConfig(), SPEC, run_dir=str(tmp_path / "run"))
    values = json.loads((run.path / "config.json").read_text())
    assert values["format"] == FORMAT
    del values["format"]
    values["versions"]["kgen"] = "0.0.9"
    (run.path / "config.json").write_text(json.dumps(values if number is None else values | {"format": number}))
    with pytest.raises(UserError) as caught:
        Run.open(run.path)
    message = str(caught.value)
    assert f"format {number or 1}," in message and f"format {FORMAT};" in message and "train again" in message
    assert f"version {values['versions']['kgen']}" in message and "\n" not in message


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "is no run directory"), ("{", "cannot be read"), ("{}", "cannot be read"), ("[]", "cannot be read")],
)
def test_what_is_no_run_is_said(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=message):
        Run.open(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        Run.open(tmp_path / "nowhere")


def test_a_missing_checkpoint_is_said(tmp_path):
    run = Run.create(RunConfig(), SPEC, run_dir=str(tmp_path / "run"))
    with pytest.raises(UserError, match=r"no checkpoint 'best'"):
        run.load_model()
    with pytest.raises(UserError, match=r"--checkpoint is one of best, last"):
        run.load_model("newest")
