"""A training that starts from another one: the same images at first, what fits and what does not, and a clear no."""

import json
import shutil

import keras
import numpy as np
import pytest
from evaluation_fixtures import blobs

import kgen
from kgen import checkpoints
from kgen.cli.train import command, config_of, main
from kgen.config import override
from kgen.errors import UserError
from kgen.export import export
from kgen.export.bundle import attributions
from kgen.export.integrity import check_files
from kgen.models import PRESETS, resolve_model_args
from kgen.models.presets import ADVERSARIAL, ARCHITECTURE
from kgen.nn import DiscriminatorOptions
from kgen.recipes import configure
from kgen.run import Run
from kgen.sampling.manifest import read_manifest, write_manifest
from kgen.spec import DataSpec
from kgen.train import init_from, resume, train
from kgen.train.diagnostics import HealthMetrics
from kgen.train.dry_run import dry_run

SPEC = DataSpec("toy", (8, 8, 1), 3, ("a", "b", "c"))
SMALL = {
    "train.epochs": 1, "train.batch_size": 25, "train.jit_compile": False, "model_args.hidden": [8],
    "model_args.latent_dim": 3,
}  # fmt: skip
ARGS = {
    "VAE": {"latent_dim": 3, "hidden": [6], "filters": [2, 3], "likelihood": "gaussian_learned"},
    "PixelVAE": {"latent_dim": 2, "hidden": [], "filters": [2, 3], "width": 2, "layers": 2, "conditioned_layers": 1},
    "GAN": {"latent_dim": 3, "hidden": [6], "discriminator_hidden": [5], "filters": [2, 3]},
    "VAEGAN": {"latent_dim": 3, "hidden": [6]},
}
"""Family -> arguments that are nobody's defaults."""


def made(path, model="gan", spec=SPEC, **model_args) -> Run:
    """A run as a training leaves it, without the training: every weight of its best checkpoint is a random number."""
    args = resolve_model_args(model, ARGS[PRESETS[model].family] | model_args)
    run = Run.create(override(kgen.RunConfig(model=model), {f"model_args.{k}": v for k, v in args.items()}), spec,
                     run_dir=str(path))  # fmt: skip
    generator, weights = np.random.default_rng(1), run.build_model().weights
    values = [generator.uniform(0.1, 0.9, w.shape) * ("float" in w.dtype) for w in weights]
    arrays = {f"model/{i}": x.astype(w.dtype) for i, (x, w) in enumerate(zip(values, weights, strict=True))}
    (path / "checkpoints").mkdir()
    checkpoints.write(run.checkpoint("best"), arrays, {"epoch": 1, "step": 1, "metrics": {}})
    return run


def started(source, model, spec=SPEC, **settings):
    """(the model that starts from a source, the lines for the log, its configuration)."""
    config = override(kgen.RunConfig(model=model), {"train.init_from": str(source)} | settings)
    config = init_from.with_architecture(config)
    built = kgen.build_model(model, spec, seed=7, **config.model_args)
    lines, _ = init_from.initialize_weights(built, config)
    return built, lines, config


def images(model, labels=(0, 1, 2)):
    z = np.random.default_rng(0).normal(size=(3, *model.latent_shape)).astype(np.float32)
    return np.asarray(model.generate(z, np.array(labels, np.int32) if model.conditional else None))


def weights(network) -> dict[str, np.ndarray]:
    return {w.path: np.array(w) for w in network.weights}


@pytest.mark.parametrize("name", ["cvae", "conv_vae", "pixel_cvae", "gan", "cdcgan", "wgan_gp", "vae_gan"])
def test_every_model_starts_where_its_own_kind_ended(name, tmp_path):
    side = 4 if PRESETS[name].family == "PixelVAE" else 8  # which samples pixel by pixel
    spec = DataSpec("toy", (side, side, 1), 3 if PRESETS[name].conditional else 0)
    run = made(tmp_path / "run", name, spec)
    model, (line,), _ = started(run.path, name, spec)
    source = run.load_model()
    assert (
        model.weights_hash()
        == source.weights_hash()
        != kgen.build_model(name, spec, **model.model_args()).weights_hash()
    )
    np.testing.assert_array_equal(images(model), images(source))
    assert f"weights from {run.path} (a {name}, checkpoint best)" in line and "new" not in line


def test_every_option_of_a_network_comes_from_the_source_or_is_the_trainings_own():
    options = set(DiscriminatorOptions.__dataclass_fields__)
    own = {"spec", "conditional", "seed", "outputs", "initial_stddev", "dropout", "clip", "bias"}
    assert options - own <= {*ADVERSARIAL}
    for family, names in ARCHITECTURE.items():
        preset = next(name for name, preset in PRESETS.items() if preset.family == family)
        assert {*names} <= {*resolve_model_args(preset, {})}


# Classes and sizes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one, other", [("vae", "cvae"), ("gan", "cgan"), ("dcgan", "cdcgan"), ("vae", "vae_gan")])
def test_a_conditional_model_starts_as_the_unconditional_one_for_every_class(one, other, tmp_path):
    run = made(tmp_path / "run", one)
    model, _, _ = started(run.path, other)
    np.testing.assert_allclose(images(model), images(run.load_model()), atol=1e-6)
    if one in ("gan", "dcgan"):
        x, labels = np.random.default_rng(0).uniform(size=(3, 8, 8, 1)).astype(np.float32), np.arange(3, dtype=np.int32)
        np.testing.assert_allclose(model((x, labels)), run.load_model()((x, None)), rtol=1e-5)


@pytest.mark.parametrize("model, layer", [("cgan", "decoder_0"), ("cdcgan", "decoder_features")])
def test_another_number_of_classes_takes_the_part_of_z_and_of_the_image(model, layer, tmp_path):
    """3 classes to 5: 3 rows of z stay, and each of the 5 others is the mean of the 3 that followed them."""
    run = made(tmp_path / "run", model, hidden=[6] if model == "cgan" else [])
    source = run.load_model()
    five, (line,), _ = started(run.path, model, DataSpec("five", (8, 8, 1), 5))
    theirs, ours = (np.asarray(one.generator.get_layer(layer).kernel) for one in (source, five))
    np.testing.assert_array_equal(ours[:3], theirs[:3])
    np.testing.assert_allclose(ours[3:], np.tile(theirs[3:].mean(0), (5, 1)), rtol=1e-6)
    first = next(iter(weights(five.discriminator)))
    theirs, ours = (weights(one.discriminator)[first] for one in (source, five))
    image = 64 if model == "cgan" else 1  # inputs of a dense layer, or channels of a convolution
    np.testing.assert_array_equal(ours[..., :image, :], theirs[..., :image, :])
    assert f"in part: {layer} (without its 3 classes), {first.partition('/')[0]} (without its 3 classes)" in line

    none, (line,), _ = started(run.path, PRESETS[model].unconditional, DataSpec("none", (8, 8, 1)))
    np.testing.assert_array_equal(none.generator.get_layer(layer).kernel, source.generator.get_layer(layer).kernel[:3])
    assert "generator" in line and "new" not in line


def test_labels_by_projection_go_on_where_the_classes_are_the_same(tmp_path):
    run = made(tmp_path / "run", "cdcgan", projection=True)
    model, (line,), config = started(run.path, "cdcgan")
    assert config.model_args["projection"] and model.weights_hash() == run.load_model().weights_hash()
    _, (line,), _ = started(run.path, "cdcgan", DataSpec("five", (8, 8, 1), 5))
    assert "new: label_product (5×" in line
    _, (line,), config = started(run.path, "dcgan")
    assert "projection" not in config.model_args and "new" not in line


def test_another_size_takes_the_layers_that_fit_and_lists_the_others(tmp_path):
    """16x16 has maps of 8 and 4, 32x32 of 16, 8 and 4: one convolution more, and other filters before it."""
    run = made(tmp_path / "run", "dcgan", DataSpec("toy", (16, 16, 1)), hidden=[], discriminator_hidden=None)
    model, (line, note), _ = started(run.path, "dcgan", DataSpec("toy", (32, 32, 1)))
    assert "generator 5 of 7 layers" in line and "decoder_conv_2 (not in the source)" in line
    assert "decoder_conv_2_norm (not in the source)" in line
    assert f"note: {run.path} was trained on images of 16x16; these are of 32x32" in note
    ours, theirs = weights(model.generator), weights(run.load_model().generator)
    for name in ("decoder_conv_1/kernel", "decoder_conv_1_norm/moving_variance", "logits/kernel"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    fresh = weights(kgen.build_model("dcgan", model.spec, seed=7, **model.model_args()).generator)
    np.testing.assert_array_equal(ours["decoder_conv_2/kernel"], fresh["decoder_conv_2/kernel"])


def test_what_is_given_wins_over_the_source(tmp_path):
    run = made(tmp_path / "run", "gan")
    model, (line,), config = started(run.path, "gan", **{"model_args.discriminator_hidden": [4], "model_args.r1": 2.0})
    assert config.model_args["discriminator_hidden"] == [4] and config.model_args["hidden"] == [6]
    assert "generator 2 of 2 layers, discriminator 0 of 2 layers; new: encoder_0 (64×4, in the source 64×5), " in line
    np.testing.assert_array_equal(images(model), images(run.load_model()))

    run = made(tmp_path / "normalized", "gan", batch_norm=True)
    _, (line,), _ = started(run.path, "gan", **{"model_args.latent_dim": 4})
    assert "new: decoder_0 (4×6, in the source 3×6), decoder_0_norm (its layer decoder_0 is new)" in line


def test_batch_normalization_that_is_left_out_is_taken_on_by_the_layers(tmp_path):
    """A dense layer to maps, transposed convolutions: the generator makes the same images without it."""
    spec = DataSpec("toy", (16, 16, 1))
    run = made(tmp_path / "run", "dcgan", spec, r1=0.0, discriminator_batch_norm=True, hidden=[])
    model, (line,), config = started(run.path, "dcgan", spec, **{"model_args.batch_norm": False})
    assert "discriminator_batch_norm" not in config.model_args and "new" not in line
    np.testing.assert_allclose(images(model), images(run.load_model()), rtol=1e-4)
    x = np.random.default_rng(0).uniform(size=(3, 16, 16, 1)).astype(np.float32)
    np.testing.assert_allclose(model((x, None)), run.load_model()((x, None)), rtol=1e-3)


@pytest.mark.parametrize("model, settings, message", [
    ("vae", {}, "'vae' cannot start from .*, a gan: train.init_from takes a run or an export of vae, cvae, conv_vae"),
    ("gan", {"model_args.hidden": [9], "model_args.discriminator_hidden": [9]},
     r"nothing of it fits: .*decoder_0 \(3×9, in the source 3×6\)"),
    ("gan", {"train.init_from": "nowhere"}, "nowhere does not exist"),
    ("gan", {"train.init_from": "http://localhost:8501/v1/models/a"}, "gives images and no weights; name the run"),
    ("gan", {"train.init_from": None, "train.freeze_layers": 1}, "name a run or an export"),
    ("vae", {"train.freeze_layers": 1}, "'vae' has no discriminator"),
    ("gan", {"train.init_discriminator": True}, "whose discriminator is taken anyway"),
])  # fmt: skip
def test_what_cannot_start_is_explained(model, settings, message, tmp_path):
    run = made(tmp_path / "run", "gan")
    with pytest.raises(UserError, match=message):
        started(run.path, model, **settings)


def test_what_is_neither_a_run_nor_an_export_is_told_what_it_is(tmp_path):
    run = made(tmp_path / "runs" / "faces", "gan")
    (tmp_path / "photos").mkdir()
    for path, message in {
        tmp_path / "photos": "photos is neither a run .* nor an export .*; kgen-train writes runs",
        tmp_path / "runs": f"runs is neither a run .*; it holds {run.path}$",
        run.path / "config.json": "config.json is a file; name a run that kgen-train wrote, or an export",
    }.items():
        with pytest.raises(UserError, match=f"^train.init_from=.*{message}"):
            started(path, "gan")


def test_gray_and_colour_do_not_mix(tmp_path):
    run = made(tmp_path / "run", "gan")
    with pytest.raises(UserError, match="trained on gray images, and data set 'rgb' has colour ones: add --grayscale"):
        started(run.path, "gan", DataSpec("rgb", (8, 8, 3)))


def test_a_dry_run_says_that_gray_and_colour_do_not_mix(tmp_path):
    run = made(tmp_path / "run", "gan", DataSpec("rgb", (28, 28, 3)))
    config = override(kgen.RunConfig(model="gan"), {"train.init_from": str(run.path), "data.limit": 30})
    with pytest.raises(UserError, match="was trained on colour images, and data set 'digits' has gray ones"):
        dry_run(config)


@pytest.mark.parametrize("settings, message", [
    ({"model_args.hidden": [9], "model_args.discriminator_hidden": [9]}, "nothing of it fits: .*decoder_0"),
    ({"model_args.hidden": [6], "model_args.discriminator_hidden": [9], "train.freeze_layers": 1},
     "it has no encoder_0 that fits; freeze fewer"),
])  # fmt: skip
def test_a_dry_run_says_what_of_the_source_does_not_fit(settings, message, tmp_path, monkeypatch):
    """As the training does, before a step is taken."""
    monkeypatch.setattr("kgen.train.dry_run.compile_model", lambda *_: pytest.fail("steps are prepared"))
    run = made(tmp_path / "run", "gan", DataSpec("digits", (28, 28, 1)))
    settings = SMALL | settings | {"data.limit": 30, "train.init_from": str(run.path)}
    config = override(kgen.RunConfig(model="gan"), settings)
    said = []
    for attempt in (lambda: dry_run(config), lambda: train(config, run_dir=str(tmp_path / "new"))):
        with pytest.raises(UserError, match=message) as error:
            attempt()
        said.append(str(error.value))
    assert said[0] == said[1]


@pytest.mark.slow
def test_a_dry_run_of_a_run_that_resumes_needs_no_source(tmp_path, monkeypatch, capsys):
    """As the training."""
    source = made(tmp_path / "source", "gan", DataSpec("digits", (28, 28, 1)))
    monkeypatch.setattr("kgen.train.dry_run.SECONDS", 0.01)
    run_dir = str(tmp_path / "run")
    config = SMALL | {"data.limit": 50, "train.init_from": str(source.path), "train.freeze_layers": 1}
    config = override(kgen.RunConfig(model="gan"), config | {"model_args.hidden": [6]})
    train(config, run_dir=run_dir)
    shutil.rmtree(source.path)
    assert main(["--resume", run_dir, "--more_epochs", "1", "--dry_run"]) == 0
    assert "2 epochs of 2, 4 in all" in capsys.readouterr().out


def test_the_command_line_takes_the_model_of_the_source(tmp_path):
    run = made(tmp_path / "run", "wgan_gp")
    cmd = command()
    cmd.parse([f"--init_from={run.path}"])
    assert config_of(cmd).model == "wgan_gp"


# From a VAE to an adversarial model -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    (x, y), (x_test, y_test) = blobs(100, seed=1), blobs(40, seed=2)
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return path


def test_generator_and_discriminator_start_as_decoder_and_encoder(tmp_path):
    run = made(tmp_path / "vae", "vae")
    model, (line,), config = started(run.path, "vae_gan", **{"train.init_discriminator": True})
    source = run.load_model()
    assert "generator 2 of 2 layers, discriminator 1 of 2 layers; new: logit (not in the source)" in line
    assert config.model_args["discriminator_activation"] == "relu"
    np.testing.assert_array_equal(images(model), images(source))
    ours, theirs = weights(model.discriminator), weights(source.encoder)
    for name in ("encoder_0/kernel", "encoder_0/bias"):
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_a_discriminator_without_the_encoders_batch_normalization_does_the_same(tmp_path):
    """R1 forbids batch normalization: each layer takes it on, with the statistics that an evaluation goes by."""
    spec = DataSpec("toy", (20, 16, 1))
    given = {"network": "dcgan", "filters": [3, 4], "latent_dim": 2, "hidden": [5], "batch_norm": True}
    vae = kgen.build_model("conv_vae", spec, **given)
    generator = np.random.default_rng(0)
    for weight in vae.encoder.weights:
        weight.assign(generator.uniform(0.2, 1.5, size=weight.shape))
    gan = kgen.build_model("vae_gan", spec, discriminator_activation="relu", **given)
    assert init_from._copy(vae.encoder, gan.discriminator, "discriminator").new == {"logit": "not in the source"}
    x = generator.uniform(size=(6, 20, 16, 1)).astype(np.float32)
    features = [
        keras.Model(network.input, network.get_layer("encoder_dense_0_relu").output)(x)
        for network in (vae.encoder, gan.discriminator)
    ]
    np.testing.assert_allclose(features[0], features[1], rtol=1e-4)
    assert np.ptp(features[0], axis=0).min() > 0


def test_cold_and_warm_differ_in_the_generator_alone(dataset, tmp_path):
    run = made(tmp_path / "vae", "vae")
    warm, (line,), config = started(run.path, "vae_gan", **{"data.dataset": str(dataset)})
    cold = kgen.build_model("vae_gan", SPEC, seed=7, **config.model_args)
    for a, b in zip(cold.discriminator.weights, warm.discriminator.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert "generator 2 of 2 layers; new: the whole discriminator" in line
    data = kgen.data.load(config.data)
    measured = [HealthMetrics(model, data, seed=0).measure() for model in (cold, warm)]
    assert measured[0] != measured[1]


def test_images_of_another_channel_count_are_refused_before_a_run_is_made(dataset, tmp_path):
    run = made(tmp_path / "vae", "vae", DataSpec("rgb", (8, 8, 3)))
    given = {"data.dataset": str(dataset), "train.init_from": str(run.path)} | SMALL
    given = {key: value for key, value in given.items() if not key.startswith("model_args")}
    with pytest.raises(UserError, match="trained on colour images, and data set 'blobs' has gray ones"):
        train(override(kgen.RunConfig(model="vae_gan"), given), run_dir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"or take another recipe than own-pictures-fine-tune$"):
        train(configure("own-pictures-fine-tune", {"data.dataset": str(dataset), "train.epochs": 1}))


# Trainings ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_frozen_layers_stay_and_resuming_is_exact_without_the_source(dataset, tmp_path):
    """Spectral normalization and batch normalization have weights that no optimizer moves: they stay, too."""
    source = made(tmp_path / "source", "gan", DataSpec("blobs", (8, 8, 1)), discriminator_hidden=[5, 4],
                  discriminator_batch_norm=True, spectral_norm=True)  # fmt: skip
    config = override(kgen.RunConfig(model="gan"), {
        "data.dataset": str(dataset), "train.epochs": 2, "train.batch_size": 25, "train.jit_compile": False,
        "train.init_from": str(source.path), "train.freeze_layers": 1, "train.ema_halflife_images": 50.0,
    })  # fmt: skip
    before = source.load_model()
    whole = train(config, run_dir=str(tmp_path / "whole"))
    train(config, run_dir=str(tmp_path / "parts"), pause_after=1)
    shutil.rmtree(source.path)
    parts = train(config, run_dir=str(tmp_path / "parts"))

    last = whole.load_model("last")
    assert parts.load_model("last").weights_hash() == last.weights_hash()
    assert (parts.path / "metrics.jsonl").read_text().count("\n") == 2
    ours, theirs = weights(last.discriminator), weights(before.discriminator)
    for name, value in theirs.items():
        if name.startswith(("encoder_0/", "encoder_0_norm/")):
            np.testing.assert_array_equal(ours[name], value, err_msg=name)
        elif not name.endswith("calls"):
            assert np.any(ours[name] != value), name
    assert {"encoder_0/direction", "encoder_0_norm/moving_mean"} <= {*theirs}
    recorded = json.loads((whole.path / "config.json").read_text())
    assert recorded["initial_weights"] == {"model": "gan", "weights_hash": before.weights_hash()}
    assert recorded["train"]["freeze_layers"] == 1 and resume(whole.path).path == whole.path


def test_freezing_takes_layers_that_came_and_leaves_one(tmp_path):
    run = made(tmp_path / "run", "gan")
    with pytest.raises(UserError, match="and it has no encoder_0 that fits; freeze fewer layers"):
        started(run.path, "gan", **{"model_args.discriminator_hidden": [4], "train.freeze_layers": 1})
    model, _, _ = started(run.path, "gan", **{"train.freeze_layers": 1})
    init_from.freeze_layers(model, 1)
    init_from.freeze_layers(model, 1)  # again, as a training that is rolled back does
    model.compile(ema_momentum=0.9)
    assert [w.path for w in model.phases()[0].weights] == ["logit/kernel", "logit/bias"]
    assert all(np.array_equal(weight, average) for weight, average in model.averages.pairs)
    with pytest.raises(UserError, match=r"has 2 layers with weights \(encoder_0, logit\), and at least one must"):
        init_from.freeze_layers(model, 2)


@pytest.mark.parametrize("classes", [0, 2], ids=["without labels", "of other classes"])
def test_a_frozen_layer_that_takes_other_classes_would_be_blind(tmp_path, classes):
    """It would give the same for each label, and the generator would never hear of them; a projection comes later."""
    run = made(tmp_path / "run", "cdcgan" if classes else "dcgan", DataSpec("toy", (8, 8, 1), classes), hidden=[])
    with pytest.raises(UserError, match=r"keeps encoder_conv_0, which takes the labels.*projection=true"):
        started(run.path, "cdcgan", **{"train.freeze_layers": 1})
    started(run.path, "cdcgan")
    started(run.path, "dcgan", **{"train.freeze_layers": 1})  # which takes none
    if not classes:
        started(run.path, "cdcgan", **{"train.freeze_layers": 1, "model_args.projection": True})


@pytest.mark.slow
def test_an_export_brings_the_generator_and_if_asked_the_discriminator(tmp_path):
    run = made(tmp_path / "run", "cdcgan", spectral_norm=True, hidden=[], dropout=0.1)
    source = run.load_model()
    version = export(run, tmp_path / "exports" / "toy", with_discriminator=True, attribution="Toys, CC BY 4.0")
    assert check_files(version)["files"]["discriminator.npz"]["bytes"] > 0
    model, (line, note), config = started(version.parent, "cdcgan")
    np.testing.assert_array_equal(images(model), images(source))
    assert "(a cdcgan, exported): generator 3 of 3 layers, discriminator 3 of 3 layers" in line and "new" not in line
    ours, theirs = weights(model.discriminator), weights(source.discriminator)
    assert all(np.allclose(ours[name], theirs[name], rtol=2**-11) for name in ours)  # the precision of float16
    recorded = init_from.initialize_weights(model, config)[1]
    assert recorded == {"model": "cdcgan", "weights_hash": source.weights_hash(), "attribution": ["Toys, CC BY 4.0"]}
    assert note == "note: where this model goes, name: Toys, CC BY 4.0"
    tuned = Run.create(config, SPEC, run_dir=str(tmp_path / "tuned"), initial_weights=recorded)
    assert init_from.TrainedModel.open(str(tuned.path)).attribution == ["Toys, CC BY 4.0"]
    assert attributions(tuned, "Photos, mine") == {"attribution": ["Photos, mine", "Toys, CC BY 4.0"]}
    assert attributions(run, None) == {}

    (version / "discriminator.npz").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"discriminator.npz has changed since the export was written\); bring its"):
        started(version, "cdcgan")

    (version / "discriminator.npz").unlink()
    manifest = read_manifest(version)
    del manifest["files"]["discriminator.npz"]
    write_manifest(version, manifest)
    model, (line, note, _), _ = started(version, "cdcgan")
    np.testing.assert_array_equal(images(model), images(source))
    assert line.endswith("(a cdcgan, exported): generator 3 of 3 layers; new: the whole discriminator")
    assert "holds no discriminator; kgen-export --with_discriminator writes it" in note


def test_a_damaged_or_other_source_is_named(tmp_path):
    run = made(tmp_path / "run", "gan")
    run.initial_weights = {"model": "gan", "weights_hash": "0123"}
    with pytest.raises(UserError, match=r"started from weights 0123, and .* now holds 4567; bring those back"):
        init_from.check_same(run, {"model": "gan", "weights_hash": "4567"})
    run.checkpoint("best").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"best.npz cannot be read as weights of this gan"):
        started(run.path, "gan")
