"""The exports that come with the code: small, whole, and as good as when they were written."""

from pathlib import Path

import numpy as np
import pytest

from kgen import build_model, generate, open_sampler
from kgen.export import verify_export
from kgen.recipes import configure
from kgen.spec import DataSpec
from kgen.train.init_from import initialize_weights, with_architecture

EXPORTS = Path(__file__).parents[2] / "exports"
LARGEST_BYTES = {"cvae-mnist": 2 * 10**6, "emoji-dcgan": 8 * 10**6}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGEST_BYTES)
def test_it_is_small_and_agrees_with_its_golden_batch(name):
    version, measured = verify_export(EXPORTS / name)
    assert sum(file.stat().st_size for file in version.rglob("*") if file.is_file()) <= LARGEST_BYTES[name]
    assert {"saved_model generate_png", "model.tflite serving_default"} <= {*measured}
    assert ("encoder.tflite encode mean" in measured) == (name == "cvae-mnist")


@pytest.mark.slow
def test_it_draws_digits_of_the_class_that_is_asked_for():
    """A one is the digit with the least ink, a zero has none in its middle."""
    sampler = open_sampler(EXPORTS / "cvae-mnist")
    assert sampler.spec.class_names == tuple("0123456789")
    generated = generate(sampler, 200).images.reshape(20, 10, 28, 28)
    ink = generated.mean(axis=(0, 2, 3))
    assert int(np.argmin(ink)) == 1
    middle = generated[:, :, 12:16, 12:16].mean(axis=(0, 2, 3))
    assert int(np.argmin(middle)) == 0 and middle[1] > 0.5


def test_the_recipe_for_few_pictures_starts_from_the_shipped_generator_wherever_it_is_called(tmp_path, monkeypatch):
    """With its discriminator, and with the names of those who drew what it was trained on."""
    monkeypatch.chdir(tmp_path)
    config = with_architecture(configure("own-pictures-fine-tune", {"data.dataset": "photos"}))
    assert config.model_args["network"] == "upsampling" and config.model_args["augment"] == "auto"
    model = build_model(config.model, DataSpec("photos", (64, 64, 3)), **config.model_args)
    lines, recorded = initialize_weights(model, config)
    assert "generator 9 of 9 layers, discriminator 5 of 5 layers" in lines[0]
    assert open_sampler(EXPORTS / "emoji-dcgan").manifest["mirrored"]
    assert "Twemoji" in recorded["attribution"][0] and "CC BY 4.0" in recorded["attribution"][0]
    assert "where this model goes, name: Twemoji" in lines[1]
