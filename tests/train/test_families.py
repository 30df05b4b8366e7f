"""One tiny training of each family of models, from the digits to a run directory that is sampled again."""

import math

import numpy as np
import pytest

from kgen.config import RunConfig, override
from kgen.sampling import generate, open_run
from kgen.train import train

FAMILIES = {
    "vae": {"model_args.hidden": [8], "model_args.latent_dim": 2},
    "pixel_vae": {"model_args.filters": [4], "model_args.width": 4, "model_args.layers": 1,
                  "model_args.conditioned_layers": 1, "model_args.condition": 2, "data.image_size": [8, 8]},
    "gan": {"model_args.hidden": [8], "model_args.latent_dim": 2},
    "vae_gan": {"model_args.hidden": [8], "model_args.latent_dim": 2},
}  # fmt: skip
"""The first preset of each family, and settings that keep it small."""


def test_they_are_all_there():
    from kgen.models.presets import PRESETS

    assert {PRESETS[name].family for name in FAMILIES} == {preset.family for preset in PRESETS.values()}


@pytest.mark.figures
@pytest.mark.parametrize("model", FAMILIES)
def test_a_tiny_training(model, tmp_path):
    settings = {"model": model, "data.limit": 32, "train.epochs": 1, "train.jit_compile": False, **FAMILIES[model]}
    run = train(override(RunConfig(), settings), run_dir=str(tmp_path / "run"))
    assert (run.path / "DONE").is_file() and not (run.path / "priors").exists()
    (row,) = run.metrics()
    assert row["epoch"] == 1 and all(math.isfinite(value) for value in row.values() if value is not None)
    pixels = generate(open_run(run), 3, seed=7).pixels
    assert pixels.shape == (3, *run.spec.image_shape) and np.isfinite(pixels).all() and np.ptp(pixels) > 0
