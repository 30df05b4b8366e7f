"""A GAN that starts from a trained VAE: the same images at first, and a clear no where it cannot."""

import keras
import numpy as np
import pytest
from evaluation_fixtures import blobs

import kgen
from kgen.config import override
from kgen.errors import UserError
from kgen.spec import DataSpec
from kgen.train import init_from, train
from kgen.train.diagnostics import HealthMetrics

SMALL = {
    "train.epochs": 1, "train.batch_size": 25, "train.jit_compile": False, "model_args.hidden": [8],
    "model_args.latent_dim": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    (x, y), (x_test, y_test) = blobs(100, seed=1), blobs(40, seed=2)
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return path


@pytest.fixture(scope="module")
def vae(dataset, tmp_path_factory):
    config = override(kgen.RunConfig(model="vae"), SMALL | {"data.dataset": str(dataset)})
    return train(config, run_dir=str(tmp_path_factory.mktemp("runs") / "vae"))


def config_of(vae, **settings):
    given = {"data.dataset": vae.config.data.dataset, "train.init_from": str(vae.path), "train.epochs": 1,
             "train.batch_size": 25, "train.jit_compile": False}  # fmt: skip
    return override(kgen.RunConfig(model="vae_gan"), given | settings)


@pytest.mark.slow
def test_generator_and_discriminator_start_as_decoder_and_encoder(vae):
    config = init_from.with_architecture(config_of(vae, **{"train.init_discriminator": True}))
    model = kgen.build_model("vae_gan", vae.spec, seed=3, **config.model_args)
    (line,) = init_from.initialize_weights(model, config)
    assert "the generator and the discriminator" in line and str(vae.path) in line
    source, z = vae.load_model(), np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(model.generate(z), source.generate(z))
    for ours, theirs in (("encoder_0", "encoder_0"),):
        for a, b in zip(
            model.discriminator.get_layer(ours).weights, source.encoder.get_layer(theirs).weights, strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_a_discriminator_without_the_encoders_batch_normalization_does_the_same(tmp_path):
    """R1 forbids batch normalization: each layer takes it on, with the statistics that an evaluation goes by."""
    spec = DataSpec("toy", (20, 16, 1))
    given = {"network": "dcgan", "filters": [3, 4], "latent_dim": 2, "hidden": [5], "batch_norm": True}
    vae = kgen.build_model("conv_vae", spec, **given)
    generator = np.random.default_rng(0)
    for weight in vae.encoder.weights:
        weight.assign(generator.uniform(0.2, 1.5, size=weight.shape))
    gan = kgen.build_model("vae_gan", spec, discriminator_activation="relu", **given)
    init_from._copy(vae.encoder, gan.discriminator, "runs/vae", new=("logit",))
    x = generator.uniform(size=(6, 20, 16, 1)).astype(np.float32)
    features = [
        keras.Model(network.input, network.get_layer("encoder_dense_0_relu").output)(x)
        for network in (vae.encoder, gan.discriminator)
    ]
    np.testing.assert_allclose(features[0], features[1], rtol=1e-4)
    assert np.ptp(features[0], axis=0).min() > 0


@pytest.mark.slow
def test_a_run_starts_from_the_vae_and_goes_on(vae, tmp_path):
    run = train(config_of(vae), run_dir=str(tmp_path / "run"))
    assert list(run.config.model_args["hidden"]) == [8] and run.config.model_args["latent_dim"] == 3
    assert f"weights of the generator are those of {vae.path}" in (run.path / "log.txt").read_text()
    z = np.zeros((1, 3), np.float32)
    moved = np.abs(run.load_model("last").generate(z) - vae.load_model().generate(z)).max()
    assert 0 < moved < 0.5


def test_cold_and_warm_differ_in_the_generator_alone(vae, tmp_path):
    warm = init_from.with_architecture(config_of(vae))
    models = [kgen.build_model("vae_gan", vae.spec, **warm.model_args) for _ in range(2)]
    init_from.initialize_weights(models[1], warm)
    for a, b in zip(models[0].discriminator.weights, models[1].discriminator.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    data = kgen.data.load(warm.data)
    cold, started = (HealthMetrics(model, data, seed=0).measure() for model in models)
    assert cold != started


@pytest.mark.parametrize("model, settings, message", [
    ("dcgan", {}, "train.init_from starts a vae_gan; 'dcgan' cannot start from a run"),
    ("vae_gan", {"model_args.hidden": [9]}, r"model_args.hidden=\[9\] is not what the run .* has \(\[8\]\); leave it"),
    ("vae_gan", {"train.init_from": "nowhere"}, "nowhere does not exist"),
    ("vae_gan", {"train.init_from": None, "train.init_discriminator": True}, "names; name one"),
])  # fmt: skip
def test_what_cannot_start_is_explained(vae, model, settings, message):
    config = override(config_of(vae), {"model": model} | settings)
    with pytest.raises(UserError, match=message):
        init_from.with_architecture(config)


def test_images_of_another_size_are_refused_before_training(vae, tmp_path):
    config = config_of(vae, **{"data.image_size": [10, 10]})
    with pytest.raises(UserError, match=r"layer 'logits' of its decoder has weights of .* train on images of the size"):
        train(config, run_dir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
