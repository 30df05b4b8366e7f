"""The variational autoencoders keep the promises of every model: all of them once per class and kind of network."""

import pytest
from check_model import CHECKS, NETWORK, QUICK, Case, parameters
from check_model_training import check_fit_equals_eager_steps, check_sgd_fit_equal_on_replicas

from kgen.spec import DataSpec

GRAY, COLOUR = DataSpec("gray", (12, 10, 1), num_classes=3), DataSpec("colour", (12, 10, 3), num_classes=3)
PIXEL = {
    "latent_dim": 2, "network": "mlp", "hidden": [8], "width": 4, "layers": 2, "conditioned_layers": 1, "condition": 3,
}  # fmt: skip
MLP = {"hidden": [8], "latent_dim": 2}
TABLE = {
    "vae": (Case("vae", GRAY, MLP | {"likelihood": "gaussian_learned"}), CHECKS),
    "conv_cvae": (
        Case(
            "conv_cvae",
            DataSpec("gray", (10, 9, 1), num_classes=3),
            {"hidden": [6], "filters": [4], "batch_norm": True},
        ),
        (*QUICK, check_fit_equals_eager_steps, check_sgd_fit_equal_on_replicas),
    ),
    "pixel_vae": (Case("pixel_vae", DataSpec("gray", (5, 4, 1), num_classes=3), PIXEL), CHECKS),
    "pixel_cvae": (
        Case(
            "pixel_cvae", DataSpec("colour", (5, 4, 3), num_classes=2), PIXEL | {"levels": 4, "conditioned_layers": 2}
        ),
        QUICK,
    ),
    "cvae": (Case("cvae", COLOUR, MLP | {"batch_norm": True, "kl_warmup_steps": 5}), NETWORK),
    "conv_vae": (
        Case("conv_vae", DataSpec("colour", (9, 8, 3)), {"hidden": [6], "filters": [4], "latent_dim": 2}),
        NETWORK,
    ),
    "conv_mlp": (
        Case("conv_cvae", GRAY, {"network": "conv_mlp", "hidden": [6], "filters": [4, 3]}),
        NETWORK,
    ),
    "pooled": (
        Case("conv_vae", DataSpec("colour", (8, 4, 3)), {"network": "pooled", "filters": [4, 3], "latent_dim": 2}),
        NETWORK,
    ),
    "bilinear": (
        Case("conv_vae", DataSpec("gray", (28, 28, 1)), {"network": "bilinear", "filters": [4, 3, 5], "latent_dim": 2}),
        NETWORK,
    ),
}


@pytest.mark.parametrize(("case", "check"), parameters(TABLE))
def test_checks(case, check):
    check(case)
