"""The prior of a run: fitted once for its weights, stored, exported, and chosen by name."""

import json
import shutil

import numpy as np
import pytest
from copied_files import copies_files_of
from PIL import Image
from same_images import assert_same_images
from untrained import untrained_run

import kgen
from kgen import checkpoints, generate, images, open_sampler
from kgen.cli import eval as evaluate
from kgen.cli import export as export_command
from kgen.cli import sample
from kgen.cli import train as train_command
from kgen.config import DataConfig, RunConfig, TrainConfig, override
from kgen.errors import UserError
from kgen.export import export
from kgen.models.presets import PRESETS, Preset
from kgen.run import Run
from kgen.sampling import GaussianMixture, StandardNormal, check_prior, priors
from kgen.sampling.exported import prior_file
from kgen.sampling.manifest import unsealed
from kgen.train.plots import sample_sheet

SMALL = {
    "data.limit": 200, "train.epochs": 2, "train.jit_compile": False, "model_args.hidden": [8],
    "model_args.latent_dim": 3,
}  # fmt: skip
MIXTURE = GaussianMixture.name


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A VAE with a mixture as prior, and the first images of its data as a file."""
    folder = tmp_path_factory.mktemp("priors")
    pixels, labels = kgen.data.load(DataConfig(limit=200)).arrays("train")
    np.savez(folder / "made.npz", images=pixels, labels=labels)
    config = override(RunConfig("vae"), {**SMALL, "train.prior": MIXTURE, "data.dataset": str(folder / "made.npz")})
    return kgen.train.train(config, run_dir=str(folder / "run"))


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the run, with the data where they were."""
    shutil.copytree(trained.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


@pytest.fixture
def no_fitting(monkeypatch):
    def refuse(*given):
        raise AssertionError("a prior was fitted")

    monkeypatch.setattr(priors, "fit_gaussian_mixture", refuse)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    return export(trained, tmp_path_factory.mktemp("exports") / "vae")


# A run ----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_training_fits_it_and_shows_it(trained, no_fitting):
    file = trained.path / "priors" / "gaussian_mixture-best.npz"
    sampler = open_sampler(trained.path)
    assert sampler.prior == MIXTURE and sampler.density.hash == GaussianMixture.load(file).hash
    assert sampler.density.weights_hash == sampler.weights_hash
    sheet = sample_sheet(sampler, trained.config.seed)
    images.save_png(trained.path / "sheet.png", sheet)
    shown = [np.asarray(Image.open(trained.path / name)) for name in ("sheet.png", "samples/final.png")]
    np.testing.assert_array_equal(*shown)
    output = [line for line in (trained.path / "log.txt").read_text().splitlines() if " prior " in line]
    assert len(output) == 1 and f"stored as {file}" in output[0]
    assert "6 components, fitted to the encodings of 180 training images" in output[0]  # 180 images / (10 * 3)


def test_the_name_chooses(trained, no_fitting):
    normal, mixture = (open_sampler(trained.path, prior=name) for name in ("standard_normal", MIXTURE))
    assert (normal.prior, normal.density.hash) == ("standard_normal", None)
    found = generate(normal, 9, seed=4)
    np.testing.assert_array_equal(found.z, kgen.random.latents(4, 9, (3,)))
    np.testing.assert_array_equal(generate(mixture, 9, seed=4).z, mixture.density.sample(4, 9))
    assert not np.array_equal(generate(mixture, 9, seed=4).pixels, found.pixels)


def test_it_is_fitted_anew_for_other_weights_alone(run, capsys):
    file = run.path / "priors" / "gaussian_mixture-best.npz"
    before = GaussianMixture.load(file)
    assert open_sampler(run.path).density.hash == before.hash and not capsys.readouterr().out
    model = run.load_model()
    model.encoder.weights[0].assign_add(0.1 * np.ones(model.encoder.weights[0].shape, np.float32))
    weights = {f"model/{i}": np.asarray(weight) for i, weight in enumerate(model.weights)}
    checkpoints.write(run.checkpoint(), weights, {"epoch": 1, "step": 1, "metrics": {}})
    after = open_sampler(run.path).density
    assert "prior gaussian_mixture of checkpoint 'best': 6 components" in capsys.readouterr().out
    assert after.weights_hash == model.weights_hash() != before.weights_hash and after.hash != before.hash
    assert open_sampler(run.path).density.hash == after.hash and not capsys.readouterr().out


def test_the_last_checkpoint_has_its_own(run, capsys):
    assert not (run.path / "priors" / "gaussian_mixture-last.npz").exists()
    found = open_sampler(run.path, checkpoint="last").density
    assert "of checkpoint 'last'" in capsys.readouterr().out
    assert GaussianMixture.load(run.path / "priors" / "gaussian_mixture-last.npz").hash == found.hash


def test_without_its_training_images(run, tmp_path):
    """They are asked for only when a mixture has to be fitted; other images are not taken for them."""
    config = json.loads((run.path / "config.json").read_text())
    shutil.copy(config["data"]["dataset"], tmp_path / "own.npz")
    config["data"]["dataset"] = str(tmp_path / "own.npz")
    (run.path / "config.json").write_text(json.dumps(config))
    assert open_sampler(run.path, checkpoint="last").prior == MIXTURE
    arrays = dict(np.load(tmp_path / "own.npz"))
    arrays["images"] = 255 - arrays["images"]
    np.savez(tmp_path / "own.npz", **arrays)
    assert open_sampler(run.path, checkpoint="last").prior == MIXTURE
    shutil.rmtree(run.path / "priors")
    with pytest.raises(UserError, match=r"own\.npz' does not hold the images of run .*'train' has the content hash"):
        open_sampler(run.path)
    (tmp_path / "own.npz").unlink()
    with pytest.raises(UserError, match=r"training images of .*run, which cannot be loaded: .*own\.npz"):
        open_sampler(run.path)
    assert open_sampler(run.path, prior="standard_normal").prior == "standard_normal"


def test_a_model_without_an_encoder_is_refused_before_any_data_are_read(monkeypatch, tmp_path):
    monkeypatch.setitem(PRESETS, "blind", Preset("GAN", "a model without an encoder", learning_rates={}))
    config = RunConfig("blind", data=DataConfig(dataset="nowhere/"), train=TrainConfig(prior=MIXTURE))
    with pytest.raises(UserError, match=r"'blind'.*--prior.*standard_n"):
        kgen.train.train(config, run_dir=str(tmp_path / "run"))
    check_prior("standard_normal", "blind")
    check_prior(MIXTURE, "cvae")


@pytest.mark.slow
def test_a_conditional_run_has_a_mixture_a_class(tmp_path, capsys):
    run = untrained_run(tmp_path / "run", model="cvae", **SMALL)
    sampler = open_sampler(run.path, prior=MIXTURE)
    assert "1 component per class" in capsys.readouterr().out  # 18 images each
    assert sampler.density.means.shape == (10, 1, 3)
    found = generate(sampler, 20, seed=1)
    np.testing.assert_array_equal(found.z, sampler.density.sample(1, 20, np.arange(20) % 10))
    np.testing.assert_array_equal(generate(sampler, 5, labels=1, seed=1).z[1], found.z[1])
    assert not np.array_equal(generate(sampler, 5, labels=2, seed=1).z[1], found.z[1])


class Echo:
    """A conditional sampler whose images are its latent points."""

    spec, latent_shape, conditional = kgen.DataSpec("d", (1, 2, 1), 3), (2,), True
    density = StandardNormal((2,))

    def decode(self, z, labels):
        return np.clip(z.reshape(-1, 1, 2, 1), 0, 1)


def test_every_row_of_a_sheet_has_the_same_noise():
    """Under the standard normal the rows show the same latent points; a mixture moves them by the row's class."""
    z, echo = kgen.random.latents(5, 4, (2,)), Echo()
    sheet = {"columns": 4, "names": ("0", "1", "2"), "scale": 24}  # 1x2 pixels to 48
    expected = images.grid(images.to_uint8(echo.decode(np.tile(z, (3, 1)), None)), **sheet)
    np.testing.assert_array_equal(sample_sheet(echo, 5, columns=4), expected)
    means = np.array([[[0.0, 0.0]], [[9.0, 0.0]], [[0.0, 9.0]]])
    echo.density = GaussianMixture(np.ones((3, 1)), means, np.ones((3, 1, 2)), latent_shape=(2,))
    moved = np.concatenate([z + mean for mean in means[:, 0]])
    expected = images.grid(images.to_uint8(echo.decode(moved, None)), **sheet)
    np.testing.assert_array_equal(sample_sheet(echo, 5, columns=4), expected)


# An export ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_export_gives_the_pixels_of_the_run(trained, exported):
    own = generate(open_sampler(trained.path), 70, seed=2)
    saved, lite = (generate(open_sampler(p), 70, seed=2) for p in (exported, exported / "model.tflite"))
    for found in (saved, lite):
        np.testing.assert_array_equal(found.z, own.z)
    assert_same_images(saved.images, own.images)
    assert_same_images(lite.images, own.images)
    normal = generate(open_sampler(exported, prior="standard_normal"), 70, seed=2)
    assert_same_images(normal.images, generate(open_sampler(trained.path, prior="standard_normal"), 70, seed=2).images)
    assert not np.array_equal(normal.pixels, own.pixels)


@pytest.mark.slow
def test_the_manifest_names_the_priors(trained, exported, tmp_path, monkeypatch, no_fitting):
    manifest = json.loads((exported / "manifest.json").read_text())
    known = {"standard_normal": None, MIXTURE: open_sampler(trained.path).density.hash}
    assert (manifest["prior"], manifest["priors"]) == (MIXTURE, known)
    copies_files_of(exported, monkeypatch)
    other = export(trained, tmp_path / "vae", prior="standard_normal")  # what is stored goes along all the same
    manifest = json.loads((other / "manifest.json").read_text())
    assert (manifest["prior"], manifest["priors"]) == ("standard_normal", known)
    assert open_sampler(other).prior == "standard_normal" and open_sampler(other, prior=MIXTURE).prior == MIXTURE


@pytest.mark.slow
def test_an_export_without_the_prior(trained, tmp_path, monkeypatch):
    run = shutil.copytree(trained.path, tmp_path / "run")
    shutil.rmtree(run / "priors")
    version = export(run, tmp_path / "vae", prior="standard_normal")
    assert not prior_file(version, MIXTURE).exists()
    for path in (version, version.parent, version / "model.tflite"):
        with pytest.raises(UserError, match=rf"kgen-export RUN --to {version.parent} --prior gaussian_mixture"):
            open_sampler(path, prior=MIXTURE)
    copies_files_of(version, monkeypatch)
    assert prior_file(export(run, tmp_path / "vae", prior=MIXTURE), MIXTURE).is_file()  # fits it


def test_an_export_with_another_prior_than_it_was_made_with(exported, tmp_path):
    version = shutil.copytree(exported, tmp_path / "vae" / "1")
    prior = GaussianMixture.load(prior_file(version, MIXTURE))
    prior.means += 1
    prior.save(prior_file(version, MIXTURE))
    with pytest.raises(UserError, match=r"prior-gaussian_mixture.npz is not the file that .* was exported with"):
        open_sampler(version)
    manifest = json.loads((version / "manifest.json").read_text())
    del manifest["priors"]  # as before there was a choice
    (version / "manifest.json").write_text(json.dumps(unsealed(manifest) | {"prior": "standard_normal"}))
    assert open_sampler(version).prior == "standard_normal"


def test_a_server_knows_the_standard_normal_alone():
    with pytest.raises(UserError, match="--prior gaussian_mixture: a server"):
        open_sampler("http://127.0.0.1:1/v1/models/vae", prior=MIXTURE)


# Commands -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_commands_take_the_prior(capsys, run, exported, tmp_path, monkeypatch):
    copies_files_of(exported, monkeypatch)
    shutil.rmtree(run.path / "priors")
    for name, expected in (("a", 1), ("b", 0)):  # fitted, and logged, once
        assert sample.main([str(run.path), "--prior", MIXTURE, "--out", str(tmp_path / f"{name}.png")]) == 0
        assert capsys.readouterr().out.count("prior gaussian_mixture") == expected
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert export_command.main([str(run.path), "--to", str(tmp_path / "vae")]) == 0
    assert "prior-gaussian_mixture.npz" in capsys.readouterr().out.partition("\n")[0]
    metrics = ["--metrics", "swd", "--features", "pixels", "--count", "40", "--repeats", "1"]
    assert evaluate.main([str(run.path), *metrics]) == 0
    output = capsys.readouterr().out
    assert f"Prior: gaussian_mixture {open_sampler(run.path).density.hash}\n" in output
    assert f"wrote {run.path / 'eval' / 'best-gaussian_mixture.jsonl'}" in output


@pytest.mark.parametrize("main", [sample.main, evaluate.main, export_command.main, train_command.main])
def test_a_wrong_name_is_one_message(main, capsys):
    assert main(["--prior", "gaussian"]) == 2
    output = capsys.readouterr().err
    assert "--prior has no value 'gaussian': did you mean 'gaussian_mixture'?" in output
    assert "gaussian_mixture, standard_normal" in output and output.count("\n") == 1


def test_a_wrong_name_from_python():
    with pytest.raises(UserError, match=r"'gaussian'.*'gaussian_mixture'"):
        open_sampler("runs/anything", prior="gaussian")
    with pytest.raises(UserError, match=r"'train.prior'.*standard_normal.*gaussian_mixture"):
        override(RunConfig(), {"train.prior": "gaussian"})
