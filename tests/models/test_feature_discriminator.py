"""A feature discriminator beside the image discriminator: its features, its loss, and that it does not judge itself."""

import json
import sys
from dataclasses import replace

import frozen_network
import keras
import numpy as np
import pytest
import tensorflow as tf
from check_model import (
    check_generate_is_pure,
    check_keras_file_round_trips,
    check_metrics_exact_with_short_batch,
    check_mixed_precision_trains,
    check_name,
    check_phases_move_their_own_weights,
    check_resumes_exactly,
    check_same_seed_same_training,
    check_sgd_step_equal_on_replicas,
)
from check_model_gpu import check_steps_have_gpu_kernels
from evaluation_fixtures import blobs
from model_case import BATCH, Case, fit, train
from untrained import untrained_run

import kgen
from kgen.cli import eval as eval_command
from kgen.cli import train as train_command
from kgen.config import DataConfig, EvalConfig, RunConfig, override
from kgen.data.reference import load_reference
from kgen.errors import UserError
from kgen.evaluate import Evaluator, Monitor, evaluate
from kgen.evaluate.target import open_target
from kgen.export import export
from kgen.features import check_impartial, default_for_evaluation, installed
from kgen.models import build_model
from kgen.models.gan import FEATURE_LOSS, over_heads
from kgen.nn import efficientnet, projected_features
from kgen.nn.projected_features import ProjectedFeatures, build_heads, projection
from kgen.pretrained import PRETRAINED, Pretrained
from kgen.run import Run
from kgen.spec import DataSpec
from kgen.train import checks, init_from
from kgen.train.defaults import resolve_defaults
from kgen.train.diagnostics import PATIENCE, diagnose
from kgen.train.memory import step_memory
from kgen.train.terms import describe

(NAME,) = PRETRAINED
SPEC = DataSpec("colour", (16, 12, 3), num_classes=3)
SMALL = {"filters": [4, 5], "latent_dim": 3}
CASE = Case("dcgan", SPEC, SMALL | {"feature_discriminator": NAME, "augment": ["translation"]})
needs_weights = pytest.mark.skipif(not installed(NAME), reason="pip install 'kgen[features]'")

CHECKS = (
    check_phases_move_their_own_weights, check_same_seed_same_training, check_keras_file_round_trips,
    check_generate_is_pure,
)  # fmt: skip
SLOW_CHECKS = (
    check_resumes_exactly, check_sgd_step_equal_on_replicas, check_mixed_precision_trains,
    check_metrics_exact_with_short_batch,
)  # fmt: skip
LAZY = replace(CASE, model_args=CASE.model_args | {"feature_every": 2})
QUICK, QUICK_LAZY = (
    replace(case, model_args=case.model_args | {"feature_discriminator": frozen_network.NAME}) for case in (CASE, LAZY)
)


@pytest.fixture
def small_pretrained(monkeypatch):
    monkeypatch.setitem(PRETRAINED, frozen_network.NAME, Pretrained("numpy", frozen_network.__name__))


@pytest.mark.usefixtures("small_pretrained")
@pytest.mark.parametrize(
    ("case", "check"),
    [pytest.param(QUICK, check, id=check_name(check)) for check in CHECKS]
    + [pytest.param(QUICK_LAZY, check, id=check_name(check), marks=pytest.mark.slow) for check in SLOW_CHECKS],
)
def test_checks(case, check):
    check(case)


# Features -------------------------------------------------------------------------------------------------------------


@needs_weights
def test_the_maps_are_those_of_the_extractor():
    """Of uint8 images as it prepares them, and of the same images in [0, 1], at the last map of all."""
    from kgen.features.efficientnet import prepare

    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    whole = efficientnet.load(efficientnet.installed_weights())
    last = keras.Model(whole.inputs, whole.get_layer("_blocks.15._project_conv").output)
    maps, _ = efficientnet.load_maps((224, 224))
    found = maps(tf.constant(kgen.images.to_unit(pixels)))
    np.testing.assert_allclose(found[3], last(prepare(pixels)), atol=2e-4)
    assert [tuple(x.shape[1:]) for x in found] == efficientnet.map_shapes((224, 224))
    assert efficientnet.map_shapes((224, 224)) == [(56, 56, 24), (28, 28, 40), (14, 14, 112), (7, 7, 320)]


@needs_weights
def test_statistics_are_those_of_the_last_batch_normalizations():
    """Of the stage of one block its own; of two blocks, the second of which adds to the first, means and variances."""
    state = efficientnet.installed_weights()
    _, statistics = efficientnet.load_maps((32, 32))
    mean, stddev = statistics[3]
    np.testing.assert_allclose(mean, state["_blocks.15._bn2.bias"])
    np.testing.assert_allclose(stddev, np.abs(state["_blocks.15._bn2.weight"]))
    mean, stddev = statistics[0]
    np.testing.assert_allclose(mean, state["_blocks.1._bn2.bias"] + state["_blocks.2._bn2.bias"], rtol=1e-6)
    gains = np.stack([state[f"_blocks.{block}._bn2.weight"] for block in (1, 2)])
    np.testing.assert_allclose(stddev, np.sqrt((gains**2).sum(axis=0)), rtol=1e-6)
    assert all(stddev.min() > 1 for _, stddev in statistics)  # no channel is divided by next to nothing


def test_projections_standardize_and_rotate():
    """The mean becomes 0, lengths in units of standard deviations stay; each level and seed has its own rotation."""
    draw = np.random.default_rng(0)
    mean, stddev = draw.normal(size=5), draw.uniform(1, 9, 5)
    kernel, bias = projection(mean, stddev, seed=3, level=0)
    np.testing.assert_allclose(mean @ kernel + bias, np.zeros(5), atol=1e-12)
    x = mean + stddev * draw.normal(size=(10, 5))
    lengths = np.linalg.norm((x - mean) / stddev, axis=1)
    np.testing.assert_allclose(np.linalg.norm(x @ kernel + bias, axis=1), lengths)
    assert np.abs(kernel * stddev[:, None]).max() < 0.999  # no permutation
    np.testing.assert_array_equal(projection(mean, stddev, 3, 0)[0], kernel)
    for other in ((4, 0), (3, 1)):
        assert np.abs(projection(mean, stddev, *other)[0] - kernel).max() > 1e-3


@needs_weights
def test_gray_is_taken_as_colour():
    gray, colour = (ProjectedFeatures(NAME, (16, 16, channels), 0) for channels in (1, 3))
    x = np.random.default_rng(0).uniform(size=(2, 16, 16, 1)).astype(np.float32)
    for one, other in zip(gray(x), colour(np.repeat(x, 3, axis=3)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("size, sides", [((64, 64), [16, 8, 4, 2]), ((16, 12), [3, 2, 1, 1]), ((33, 70), [9, 5, 3, 2])])
def test_heads_of_images_of_any_size(size, sides):
    shapes = efficientnet.map_shapes(size)
    assert [min(shape[:2]) for shape in shapes] == sides
    outputs = build_heads(shapes, 0)([np.zeros((2, *shape), np.float32) for shape in shapes])
    assert all(x.shape[0] == 2 and 1 <= x.shape[1] <= 4 * projected_features.LEAST_SIDE for x in outputs)
    assert {x.shape[1] for x in outputs[:2]} == {16} or size != (64, 64)


def test_the_estimate_of_the_memory_counts_the_frozen_network():
    """Weights without slots; and of activations its stem alone gives 32x32x32 numbers, before and after ReLU6."""
    spec, needs = DataSpec("colour", (64, 64, 3), examples={"train": 100}), []
    for args in (SMALL, SMALL | {"feature_discriminator": NAME}):
        settings = {"train.batch_size": 8} | {f"model_args.{key}": value for key, value in args.items()}
        dataset = type("Images", (), {"spec": spec})()
        needs.append(step_memory(resolve_defaults(override(RunConfig("dcgan"), settings), dataset), spec))
    plain, features = needs
    heads = build_heads(efficientnet.map_shapes((64, 64)), 0).count_params()
    assert features.parameters == plain.parameters + heads
    frozen = (features.state_bytes - plain.state_bytes) / 4 - 3 * heads
    assert 2_500_000 < frozen < 3_500_000
    assert features.activation_bytes - plain.activation_bytes > 2 * 4 * 8 * 2 * 32**3


# The game -------------------------------------------------------------------------------------------------------------


def test_the_loss_by_hand():
    """Two heads, of two places and of one.

    D: (max(0, 1-0.5) + max(0, 1-2)) / 2 + (max(0, 1-3) + max(0, 1+0)) / 2 + (1+1) + (1+1) = 0.25 + 0.5 + 4 = 4.75.
    G: -(-3+0) / 2 - 1 = 0.5.
    """
    real, fake = [tf.constant([[0.5, 2.0]]), tf.constant([[-1.0]])], [tf.constant([[-3.0, 0.0]]), tf.constant([[1.0]])]
    loss = over_heads(lambda real, fake: FEATURE_LOSS.discriminator(real, fake, 0.0), real, fake)
    np.testing.assert_allclose(loss, [4.75])
    np.testing.assert_allclose(over_heads(lambda logits: FEATURE_LOSS.generator(None, logits), fake), [0.5])


@needs_weights
def test_the_terms_are_those_losses_of_the_heads_outputs():
    model = replace(CASE, model_args=SMALL | {"feature_discriminator": NAME, "feature_weight": 3.0}).build()
    images, labels = CASE.examples(BATCH)
    fake = model._generate_fake(labels, "discriminator", False)
    real_logits, fake_logits = (
        model.feature_heads(model.features(x)) for x in (tf.constant(images), model.to_unit(fake))
    )
    expected = sum(
        np.maximum(0, 1 - real.numpy()).mean(axis=1) + np.maximum(0, 1 + fake.numpy()).mean(axis=1)
        for real, fake in zip(real_logits, fake_logits, strict=True)
    )
    terms = model.discriminator_terms(images, labels)
    np.testing.assert_allclose(terms["features"], 3 * expected, rtol=1e-4)
    without = replace(CASE, model_args=SMALL).build()
    np.testing.assert_allclose(terms["loss"] - terms["features"], without.discriminator_terms(images, labels)["loss"],
                               rtol=1e-4)  # fmt: skip
    fake = model._generate_fake(labels, "generator", False)
    logits = model.feature_heads(model.features(model.to_unit(fake)))
    expected = -sum(x.numpy().mean(axis=1) for x in logits)
    np.testing.assert_allclose(model.generator_terms(images, labels)["features"], 3 * expected, rtol=1e-3, atol=1e-5)


@needs_weights
def test_features_every_other_step_are_twice_as_heavy():
    """Of even steps the double of what they are at every step, of odd ones nothing; in evaluations as always."""
    lazy, plain = LAZY.build(), CASE.build()
    images, labels = CASE.examples(BATCH)
    for step, factor in ((0, 2.0), (1, 0.0), (2, 2.0)):
        for model in (lazy, plain):
            model.step.assign(step)
        for phase in ("discriminator_terms", "generator_terms"):
            one, other = (getattr(model, phase)(images, labels, training=True) for model in (lazy, plain))
            np.testing.assert_allclose(one["features"], factor * other["features"].numpy(), rtol=1e-4)
            images_alone = [terms["loss"] - terms["features"] for terms in (one, other)]
            np.testing.assert_allclose(*images_alone, rtol=1e-3, atol=1e-4)
            lazy.set_weights(plain.get_weights())  # the directions of spectral normalization move in those steps alone
    for phase in ("discriminator_terms", "generator_terms"):
        one, other = (getattr(model, phase)(images, labels)["features"] for model in (lazy, plain))
        np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("small_pretrained")
@pytest.mark.parametrize(("case", "how"), [
    pytest.param(QUICK_LAZY, {"steps_per_execution": 3}, id="graph"),
    pytest.param(LAZY, {"jit_compile": True}, id="XLA", marks=needs_weights),
])  # fmt: skip
def test_three_steps_of_fit_are_three_steps(case, how):
    """One with features, one without, one with: in graphs, and compiled with XLA."""
    single, model = (case.compiled(optimizer=keras.optimizers.SGD, **options) for options in ({}, how))
    before = [w.numpy() for w in single.trainable_variables]
    train(single, *case.examples(3 * BATCH))
    fit(model, case.batches(3).unbatch().batch(BATCH, drop_remainder=True))
    for old, one, other in zip(before, single.trainable_variables, model.trainable_variables, strict=True):
        apart = np.abs(one.numpy() - other.numpy()).max()
        assert apart <= 1e-5 + 1e-3 * np.abs(one.numpy() - old).max(), other.path


@pytest.mark.slow
@needs_weights
def test_its_steps_have_gpu_kernels():
    check_steps_have_gpu_kernels(LAZY)


@needs_weights
def test_gradients_pass_through_weights_that_stay(monkeypatch):
    """Every weight of the generator gets a gradient of the heads' alone; the frozen network is bit for bit the same."""
    frozen, load = [], efficientnet.load
    monkeypatch.setattr(efficientnet, "load", lambda *args: frozen.append(load(*args)) or frozen[-1])
    model = CASE.compiled(1e-2)
    (network,) = frozen
    before = network.get_weights()
    images, labels = CASE.examples(2 * BATCH)
    weights = model.generator.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.generator_terms(images, labels, training=True)["features"])
    gradients = tape.gradient(loss, [w.value for w in weights])
    largest = {w.path: np.abs(gradient).max() for w, gradient in zip(weights, gradients, strict=True)}
    assert min(largest.values()) > 1e-9, largest
    train(model, images, labels)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@needs_weights
def test_nothing_that_is_saved_holds_the_frozen_weights():
    model = CASE.compiled()
    own = {id(w) for network in (model.generator, model.discriminator, model.feature_heads) for w in network.weights}
    others = {w.name for w in model.weights if id(w) not in own}
    assert others == {"step", "failed_step"}
    assert {*model.network_parameters} == {"decoder", "discriminator", "feature_heads"}
    variables = sum(np.prod(v.shape) for o in model.phase_optimizers.values() for v in o.variables)
    assert variables < 3 * model.parameters


def test_without_it_nothing_is_there():
    model = Case("dcgan", SPEC, SMALL).build()
    assert model.feature_heads is None and not hasattr(model, "features")
    assert model.phases()[0].networks == (model.discriminator,)
    assert [phase.reports for phase in model.phases()] == [("loss", "real", "fake", "penalty"), ("loss",)]


def test_without_the_package_it_is_built_and_not_trained(monkeypatch):
    """A run can be sampled where the weights are not; a training says how to get them, before it begins."""
    monkeypatch.setitem(sys.modules, PRETRAINED[NAME].package, None)  # find_spec: not there
    model = CASE.build()
    assert model.generate(*CASE.latents(model, 2)).shape == (2, *SPEC.image_shape)
    message = rf"model_args.feature_discriminator={NAME} needs a package that is not installed: pip install 'kgen\[fea"
    with pytest.raises(UserError, match=message):
        CASE.compiled()
    config = override(RunConfig("dcgan"), {"model_args.feature_discriminator": NAME})
    for check in (checks.checked, checks.check_pretrained):  # of a new training, and of one that resumes
        with pytest.raises(UserError, match=message):
            check(config)


@pytest.mark.parametrize("args, message", [
    ({"feature_discriminator": "efficientnet"}, f"unknown model_args.feature_discriminator '.*did you mean '{NAME}'"),
    ({"feature_every": 4}, f"model_args.feature_every=4 needs a model_args.feature_discriminator: {NAME}"),
    ({"feature_weight": 2.0}, "model_args.feature_weight=2.0 needs a model_args.feature_discriminator"),
    ({"feature_discriminator": NAME, "feature_every": 0}, "model_args.feature_every must be at least 1. Received: 0"),
    ({"feature_discriminator": NAME, "feature_weight": 0.0}, "model_args.feature_weight must be greater than 0. Rec"),
])  # fmt: skip
def test_wrong_arguments_of_features_are_explained(args, message):
    with pytest.raises(UserError, match=message):
        build_model("dcgan", SPEC, **SMALL | args)


def test_the_losses_in_figures_and_diagnoses():
    """The heads' hinge loss is no cross-entropy, and a discriminator that is too strong is one without their part."""
    args = {"loss": "non_saturating", "feature_discriminator": NAME}
    assert describe("discriminator_loss", {"loss": "non_saturating"}).balance is not None
    assert describe("discriminator_loss", args).balance is describe("generator_loss", args).balance is None
    assert {describe(f"{of}_{what}", args).unit for of in ("discriminator", "generator") for what in (
        "loss", "features")} == {"mean per image"}  # fmt: skip
    assert describe("discriminator_real", args).balance is not None
    row = {"step": 1000, "train_discriminator_loss": 0.02, "train_discriminator_real": 0.99,
           "train_discriminator_fake": 0.01}  # fmt: skip
    expected = ["discriminator too strong"]
    assert [found.name for found in diagnose([row] * PATIENCE)] == expected
    with_features = row | {"train_discriminator_loss": 7.02, "train_discriminator_features": 7.0}
    assert [found.name for found in diagnose([with_features] * PATIENCE)] == expected


# Judging --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path) -> str:
    """A data set of colour images without labels."""
    arrays = {f"x_{split}": blobs(count, side=16, channels=3, seed=count)[0] for split, count in (
        ("train", 60), ("test", 40))}  # fmt: skip
    np.savez(tmp_path / "pictures.npz", **arrays)
    return str(tmp_path / "pictures.npz")


def run_of(path, pictures: str, **model_args) -> Run:
    args = {f"model_args.{key}": value for key, value in (SMALL | model_args).items()}
    return untrained_run(path, **{"model": "dcgan", "data.dataset": pictures, "train.batch_size": 20, **args})


def test_the_default_is_another_extractor():
    assert default_for_evaluation(0, 3, [NAME]) == "random"
    assert default_for_evaluation(0, 3, ["pixels"]) == (NAME if installed(NAME) else "random")


def test_who_trained_a_generator_does_not_judge_it(pictures):
    """Any extractor: with `anyway` there is a note beside each of its values, and none beside others'."""
    check_impartial(["random"], [NAME], "a run")
    message = r"features 'pixels' do not judge a/run: it was trained with them .*--features \(classifier, random, eff"
    reference = load_reference(DataConfig(dataset=pictures))
    named = EvalConfig(("kid", "fid@random"), features="pixels", count=20, repeats=1)
    with pytest.raises(UserError, match=message + ".*, or add --anyway"):
        Evaluator(reference, named, trained_with=["pixels"], who="a/run")
    with pytest.raises(UserError, match="'random' do not judge"):
        Evaluator(reference, named, trained_with=["random"])
    evaluator = Evaluator(reference, replace(named, anyway=True), trained_with=["pixels"], who="a/run")
    kid, fid = evaluator._choices(None, labelled=False)
    value = type("Value", (), {"note": "few"})()
    assert evaluator._note(kid, value) == "few; trained with these features"
    assert evaluator._note(fid, value) == "few"


@needs_weights
@pytest.mark.slow
def test_a_run_and_what_starts_from_it_are_judged_by_others(tmp_path, pictures, capsys):
    run = run_of(tmp_path / "run", pictures, feature_discriminator=NAME)
    assert run.trained_with == open_target(run.path).trained_with == [NAME]
    given = [str(run.path), "--metrics", "kid", "--count", "20", "--repeats", "1"]
    assert eval_command.main([*given, "--features", NAME]) == 2
    assert f"features '{NAME}' do not judge {run.path}" in capsys.readouterr().err
    assert eval_command.main([*given, "--metrics", f"kid@{NAME}"]) == 2
    config = EvalConfig(("kid",), count=20, repeats=1)
    (result,), _ = evaluate(run.path, config)
    assert result["protocol"]["features"] == "random" and "trained with" not in result["note"]
    (result,), _ = evaluate(run.path, replace(config, features=NAME, anyway=True))
    assert result["protocol"]["features"] == NAME and "trained with these features" in result["note"]

    # a run that starts from it, without features of its own; and its source's heads are left where they are
    started = override(RunConfig("dcgan"), {"train.init_from": str(run.path), "data.dataset": pictures})
    started = init_from.with_architecture(started)
    assert "feature_discriminator" not in started.model_args
    model = build_model("dcgan", run.spec, **started.model_args)
    lines, initial = init_from.initialize_weights(model, started)
    assert initial["trained_with"] == [NAME] and "new" not in lines[0]
    other = Run.create(started, run.spec, initial_weights=initial, run_dir=str(tmp_path / "other"))
    assert other.trained_with == [NAME] and Run.open(other.path).trained_with == [NAME]

    # with features again: the heads come along
    again = override(started, {"model_args.feature_discriminator": NAME})
    lines, _ = init_from.initialize_weights(build_model("dcgan", run.spec, **again.model_args), again)
    assert "feature_heads 8 of 8 layers" in lines[0] and "new" not in lines[0]

    # features that come later: the heads are new, all else is taken
    plain = run_of(tmp_path / "plain", pictures)
    later = override(RunConfig("dcgan"), {"train.init_from": str(plain.path), "model_args.feature_discriminator": NAME})
    later = init_from.with_architecture(later)
    lines, initial = init_from.initialize_weights(build_model("dcgan", run.spec, **later.model_args), later)
    assert "new: the whole feature_heads" in lines[0] and "trained_with" not in initial


@needs_weights
@pytest.mark.slow
def test_an_export_is_judged_by_others(tmp_path, pictures, capsys):
    """It holds what the generator needs alone, and says what it was trained with; so do its files."""
    run = run_of(tmp_path / "run", pictures, feature_discriminator=NAME)
    version = export(run, tmp_path / "exports" / "toy")
    assert json.loads((version / "manifest.json").read_text())["trained_with"] == [NAME]
    generator = run.load_model("best").generator.count_params()
    assert sum(path.stat().st_size for path in (version / "variables").iterdir()) < 4 * generator + 20_000
    for path in (version, version / "model.tflite"):
        with pytest.raises(UserError, match=f"features '{NAME}' do not judge"):
            evaluate(path, EvalConfig(("kid",), features=NAME, count=20, repeats=1))
    assert init_from.TrainedModel.open(str(version)).trained_with == [NAME]
    # Nor does it judge, meanwhile, a model that starts from it.
    more = {"data.dataset": pictures, "train.init_from": str(version), "train.eval_every": 1, "train.metrics": ["kid"]}
    config = override(RunConfig("dcgan"), more | {"train.eval_count": 20, "train.eval_features": NAME})
    with pytest.raises(UserError, match=f"features '{NAME}' do not judge this model"):
        kgen.train.train(config, run_dir=str(tmp_path / "more"), monitor=Monitor)
    assert not (tmp_path / "more").exists()
    words = ["--model", "dcgan", "--dataset", pictures, "--init_from", str(version), "--features", NAME]
    assert train_command.main([*words, "--metrics", "kid", "--eval_every", "1"]) == 2
    assert "do not judge this model" in capsys.readouterr().err


def test_the_monitor_of_a_training_does_not_use_it(pictures, capsys):
    """Before TensorFlow is imported by the command, and in any case by the monitor; its default is another one."""
    settings = {
        "data.dataset": pictures, "train.eval_every": 1, "train.metrics": ["kid"], "train.eval_count": 20,
        "model_args.feature_discriminator": NAME,
    }  # fmt: skip
    config = override(RunConfig("dcgan"), settings)
    assert Monitor(config, kgen.data.load(config.data))._evaluator._features == "random"
    named = override(config, {"train.eval_features": NAME})
    with pytest.raises(UserError, match=f"features '{NAME}' do not judge this model.*"):
        Monitor(named, kgen.data.load(config.data))
    words = ["--model", "dcgan", "--dataset", pictures, f"--set=model_args.feature_discriminator={NAME}"]
    for flags in (["--features", NAME], ["--metrics", f"fid@{NAME}"]):
        assert train_command.main([*words, *flags]) == 2
        assert "do not judge this model" in capsys.readouterr().err


@needs_weights
@pytest.mark.slow
def test_a_training_reports_the_terms_and_its_checkpoint_is_small(tmp_path, pictures):
    """Three steps: the heads and their optimizer's state are in the checkpoint, the frozen weights are not."""
    settings = {
        "model": "dcgan", "data.dataset": pictures, "train.batch_size": 18, "train.epochs": 1, "train.logger": [],
        "model_args.feature_discriminator": NAME, **{f"model_args.{key}": value for key, value in SMALL.items()},
    }  # fmt: skip
    run = kgen.train.train(override(RunConfig(), settings), run_dir=str(tmp_path / "run"))
    (row,) = run.metrics()
    assert 0 < row["train_discriminator_features"] < row["train_discriminator_loss"]
    assert np.isfinite(row["train_generator_features"])
    model = run.load_model("last")
    trained = sum(np.prod(w.shape) for w in model.trainable_variables)
    with np.load(run.checkpoint("last")) as arrays:
        slots = sum(arrays[name].size for name in arrays.files if name.startswith("optimizer/"))
    assert 2 * trained <= slots < 2 * trained + 20  # of Adam, and counters
    assert run.checkpoint("last").stat().st_size < 4 * 4 * model.parameters + 200_000
