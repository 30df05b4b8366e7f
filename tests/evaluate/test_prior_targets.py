"""A generator under another prior is another generator: its results are apart, with the prior in them."""

import csv
import io
import json
import shutil

import pytest

from kgen.errors import UserError
from kgen.evaluate import EvalConfig, evaluate
from kgen.evaluate.compare import compare, open_targets
from kgen.evaluate.compare_page import to_csv
from kgen.evaluate.results import read_results
from kgen.evaluate.target import open_target
from kgen.run import Run

QUICK = EvalConfig(("swd",), features="pixels", count=60, repeats=1)
MIXTURE = "gaussian_mixture"


@pytest.fixture(scope="module")
def measured(trained_vae, tmp_path_factory):
    """A run, its rows under the standard normal, and those under the mixture; both are kept with it."""
    path = shutil.copytree(trained_vae.path, tmp_path_factory.mktemp("measured") / "run")
    return path, *(evaluate(path, QUICK, prior=prior)[0] for prior in (None, MIXTURE))


@pytest.fixture
def run(measured, tmp_path):
    """A copy of it."""
    return Run.open(shutil.copytree(measured[0], tmp_path / "run"))


@pytest.mark.slow
def test_figures_of_two_priors_are_kept_apart(run, measured):
    _, (normal,), (mixture,) = measured
    assert normal["value"] != mixture["value"] and normal["protocol"] == mixture["protocol"]
    assert (normal["target"]["prior"], normal["target"]["prior_hash"]) == ("standard_normal", None)
    assert mixture["target"]["prior_hash"] == open_target(run.path, prior=MIXTURE).sampler.density.hash
    files = {file.name for file in (run.path / "eval").iterdir()}
    assert files == {"best.jsonl", "best-gaussian_mixture.jsonl"}
    out = run.path / "eval" / "both.jsonl"
    for prior in (None, MIXTURE):
        evaluate(run.path, QUICK, prior=prior, out=out)
    assert [row["target"]["prior"] for row in read_results(out)] == ["standard_normal", MIXTURE]


def test_they_are_two_targets_of_a_comparison(run, measured):
    targets = open_targets([run.path])
    assert [target.name for target in targets] == ["run (run, best)", "run (run, best, gaussian_mixture)"]
    assert [list(target.results) for target in targets] == [*measured[1:]]
    prior_hash = measured[2][0]["target"]["prior_hash"]
    assert targets[1].notes[0] == (
        f"its samples are from the prior gaussian_mixture ({prior_hash}), fitted to its encodings"
    )
    assert not any("prior" in note for note in targets[0].notes)
    assert [target.grid is None for target in targets] == [False, True]  # the run's own picture shows the normal
    table = list(csv.DictReader(io.StringIO(to_csv(compare(targets)))))
    assert [line["prior"] for line in table] == ["standard_normal", MIXTURE]


def test_rows_from_before_there_was_a_choice_are_of_the_standard_normal(run):
    file = run.path / "eval" / "best.jsonl"
    (row,) = read_results(file)
    older = {key: value for key, value in row["target"].items() if not key.startswith("prior")}
    (run.path / "eval" / "older.jsonl").write_text(json.dumps(row | {"metric": "kid", "target": older}) + "\n")
    names = {target.name: len(target.results) for target in open_targets([run.path])}
    assert names == {"run (run, best)": 2, "run (run, best, gaussian_mixture)": 1}


def test_figures_of_two_fits_are_noted(run):
    file = run.path / "eval" / "best-gaussian_mixture.jsonl"
    (row,) = read_results(file)
    other = row | {"metric": "kid", "target": row["target"] | {"prior_hash": "0" * 16}}
    file.write_text(file.read_text() + json.dumps(other) + "\n")
    notes = open_targets([run.path])[1].notes
    assert any("its values are of different fits of the prior; evaluate all of them again" in note for note in notes)


def test_a_folder_of_images_has_no_prior(tmp_path):
    with pytest.raises(UserError, match=r"--prior gaussian_mixture.*Received"):
        open_target(tmp_path, prior=MIXTURE)
