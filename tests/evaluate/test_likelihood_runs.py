"""Likelihoods of runs: nothing is done that they do not need, and values of two binarizations never share a column."""

import numpy as np
import pytest
from evaluation_fixtures import blobs
from untrained import untrained_run

import kgen
from kgen.data.reference import load_reference
from kgen.errors import UserError
from kgen.evaluate import EvalConfig, Evaluator, evaluate, results
from kgen.evaluate.compare import compare, open_targets
from kgen.evaluate.target import Target, open_target

QUICK = EvalConfig(("elbo", "nll", "active_units"), nll_samples=20, nll_images=10)
FIGURES = [
    "neg_elbo", "reconstruction", "kl", "elbo_bits_per_dim", "nll", "nll_bits_per_dim", "neg_elbo_same_images",
    "effective_samples", "active_units",
]  # fmt: skip


def a_run(folder, **settings) -> kgen.run.Run:
    """An untrained VAE of noisy blobs, 8 x 8, binarized as `settings` say."""
    path = folder / "blobs.npz"
    if not path.exists():
        (x, y), (x_test, y_test) = blobs(80, seed=1), blobs(40, seed=2)
        np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    small = {"model_args.hidden": [8], "model_args.latent_dim": 2}
    return untrained_run(folder / "run", **{"model": "vae", "data.dataset": str(path)} | small | settings)


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory):
    return a_run(tmp_path_factory.mktemp("dynamic"), **{"data.binarize": "sample"})


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """Data that are black and white themselves, and have no labels."""
    folder = tmp_path_factory.mktemp("fixed")
    black_white = {
        f"x_{split}": 255 * (blobs(n, seed=s)[0] > 99) for split, n, s in (("train", 80, 1), ("test", 40, 2))
    }
    np.savez(folder / "blobs.npz", **{name: x.astype(np.uint8) for name, x in black_white.items()})
    return a_run(folder)


def by_name(found) -> dict[str, dict]:
    return {row["metric"]: row for row in found}


@pytest.mark.slow
def test_a_likelihood_needs_no_samples_and_no_features(dynamic, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("not needed")

    monkeypatch.setattr(Target, "sample", fail)
    monkeypatch.setattr("kgen.evaluate.evaluator.open_extractor", fail)
    found, path = evaluate(dynamic.path, QUICK, out=tmp_path / "rows.jsonl")
    assert [row["metric"] for row in found] == FIGURES and results.read_results(path) == found
    model = dynamic.load_model()
    for name, row in by_name(found).items():
        protocol = row["protocol"]
        count = 10 if name in FIGURES[4:-1] else 40
        assert (protocol["num_real"], protocol["num_fake"], protocol["repeats"]) == (count, 0, 1)
        assert (protocol["features"], protocol["extractor_hash"], protocol["split"]) == ("none", None, "test")
        assert (protocol["prior"], protocol["weights_hash"]) == ("standard_normal", model.weights_hash())
        assert protocol["data_hash"] == load_reference(dynamic.config.data).real.hash
        assert row["baseline"] is None and row["value"] is not None
        if name != "active_units":
            assert protocol["settings"]["binarization"] == "dynamic"
    nll = by_name(found)["nll"]
    assert nll["protocol"]["settings"] == {"binarization": "dynamic", "base_measure": "counting", "samples": 20}
    assert nll["value"] < by_name(found)["neg_elbo_same_images"]["value"]
    assert nll["interval"][0] < nll["value"] < nll["interval"][1] and nll["better"] == "lower"
    assert (tmp_path / "rows-kls.png").is_file()
    assert evaluate(dynamic.path, QUICK, out=tmp_path / "again.jsonl")[0] == found


@pytest.mark.slow
def test_the_bound_belongs_to_what_is_measured_by_default(fixed, tmp_path):
    config = EvalConfig(features="pixels", count=20, repeats=2)
    found = by_name(evaluate(fixed.path, config, out=tmp_path / "rows.jsonl")[0])
    assert {"neg_elbo", "active_units", "fid", "reconstruction_mse"} <= {*found} and "nll" not in found
    assert found["neg_elbo"]["protocol"]["settings"]["binarization"] == "fixed"
    assert len(found["neg_elbo"]["values"]) == 1 and len(found["kid"]["values"]) == 2
    assert found["kid"]["protocol"]["prior"] is None
    # Images of both splits are the same here: that is said, and the others are measured.
    assert found["copies"]["value"] is None and "test images are training images" in found["copies"]["note"]


def test_grey_data_have_no_bound_by_default(trained_vae):
    """Digits: grey. They are measured when they are made black and white."""
    sampler = open_target(trained_vae.path).sampler
    for binarize, expected in (("none", False), ("sample", True), ("threshold", True)):
        reference = load_reference(kgen.DataConfig(binarize=binarize))
        assert reference.binarization == {"none": "none: grey", "sample": "dynamic"}.get(binarize, binarize)
        evaluator = Evaluator(reference, EvalConfig(features="pixels"))
        names = [choice.name for choice in evaluator._choices(sampler, labelled=False)]
        assert ("elbo" in names, "active_units" in names, "nll" in names) == (expected, True, False)


@pytest.mark.slow
def test_fixed_and_dynamic_binarization_are_kept_apart(fixed, dynamic, tmp_path):
    for run, name in ((fixed, "fixed"), (dynamic, "dynamic")):
        evaluate(run.path, QUICK, out=tmp_path / f"{name}.jsonl")
    evaluate(dynamic.path, QUICK, data_settings={"data.binarize": "threshold"}, out=tmp_path / "threshold.jsonl")
    for one, other in (("fixed", "dynamic"), ("dynamic", "threshold"), ("fixed", "threshold")):
        targets = open_targets([tmp_path / f"{one}.jsonl", tmp_path / f"{other}.jsonl"])
        with pytest.raises(UserError, match="was not computed in the same way") as error:
            compare(targets, metrics=["neg_elbo", "nll"])
        assert f"settings.binarization is {one} against {other}" in str(error.value)
        columns = compare(targets, metrics=["neg_elbo", "nll"], anyway=True).metrics
        assert [column.key for column in columns] == ["neg_elbo", "neg_elbo", "nll", "nll"]
        assert all(len(column.cells) == 1 and not column.marks for column in columns)


@pytest.mark.slow
def test_likelihoods_by_two_priors_compare(dynamic, tmp_path):
    """A prior is part of the generative model, as the decoder is: its likelihood is of the same images."""
    normal, mixture = (
        evaluate(dynamic.path, QUICK, prior=prior, out=tmp_path / f"{prior}.jsonl")[0]
        for prior in ("standard_normal", "gaussian_mixture")
    )
    a, b = by_name(normal), by_name(mixture)
    assert (a["nll"]["protocol"]["prior"], b["nll"]["protocol"]["prior"]) == ("standard_normal", "gaussian_mixture")
    assert (
        a["neg_elbo"]["value"] != b["neg_elbo"]["value"]
        and a["reconstruction"]["value"] == b["reconstruction"]["value"]
    )
    targets = open_targets([tmp_path / "standard_normal.jsonl", tmp_path / "gaussian_mixture.jsonl"])
    (column,) = compare(targets, metrics=["nll"]).metrics
    assert len(column.cells) == 2


def test_the_bound_can_be_followed_while_a_model_trains(dynamic):
    reference = load_reference(dynamic.config.data)
    evaluator = Evaluator(reference, EvalConfig(("elbo",)))
    found = evaluator.values(kgen.open_sampler(dynamic.path), seed=0)
    assert {*found} == {"neg_elbo", "reconstruction", "kl", "elbo_bits_per_dim"}
    assert found["neg_elbo"] == pytest.approx(found["reconstruction"] + found["kl"])


def test_more_samples_are_closer_to_the_likelihood(dynamic, tmp_path):
    """The same images: L_1 is the bound, L_200 lies above it."""
    values = []
    for samples in (1, 200):
        config = EvalConfig(("nll",), nll_samples=samples, nll_images=40)
        (first, *_) = evaluate(dynamic.path, config, out=tmp_path / "rows.jsonl")[0]
        values.append(first["value"])
    assert values[1] < values[0] and len(results.read_results(tmp_path / "rows.jsonl")) == 8  # other K, other results
