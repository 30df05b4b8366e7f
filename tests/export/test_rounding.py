"""The rounding of a model's own arithmetic, and what it means for the bound of its files."""

import keras
import numpy as np
import pytest

from kgen import build_model
from kgen.export.golden import Golden
from kgen.export.rounding import exact_decoder
from kgen.export.tolerances import TOLERANCES
from kgen.sampling import ModelSampler
from kgen.spec import DataSpec

SMALL = {"latent_dim": 3, "hidden": [6], "filters": [3, 4]}


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("cdcgan", {"network": "upsampling"}),
        ("conv_cvae", {"likelihood": "gaussian_learned"}),
        ("vae_gan", {"network": "dcgan"}),
    ],
)
def test_float64_agrees_to_the_rounding_of_float32(name, args):
    model = build_model(name, DataSpec("toy", (16, 16, 3), 3), **SMALL | args)
    z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    labels = np.array([0, 1, 2, 1, 0], np.int32) if model.conditional else None
    images = exact_decoder(name, model)(z, labels)
    assert images.dtype == np.float64 and keras.config.floatx() == "float32"
    assert keras.mixed_precision.global_policy().name == "float32"
    assert 0 < np.abs(images - ModelSampler(model).decode(z, labels)).max() < 1e-6


def test_pixel_by_pixel_there_is_no_such_thing():
    args = {"latent_dim": 2, "hidden": [], "filters": [2], "width": 2, "layers": 1, "conditioned_layers": 1}
    assert exact_decoder("pixel_vae", build_model("pixel_vae", DataSpec("toy", (4, 4, 1)), **args)) is None


@pytest.mark.parametrize(("rounding", "bound"), [(None, 1e-5), (2e-6, 1e-5), (5e-6, 2e-5)])
def test_the_bound_of_a_sharp_model_is_four_times_its_own_rounding(rounding, bound, tmp_path):
    one = np.zeros((1, 2), np.float32)
    Golden(one, None, *[one] * 6, rounding=None if rounding is None else np.float64(rounding)).save(tmp_path)
    golden = Golden.load(tmp_path)
    for kind in ("saved_model", "float32", "onnx"):
        assert golden.tolerance(kind).max_abs_difference == pytest.approx(bound)
    assert golden.tolerance("float16") == TOLERANCES["float16"]
