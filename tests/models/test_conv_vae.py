"""ConvVAE: the promises of every model; and the networks of the experiments in a VAE."""

import pytest
from check_model import CHECKS, SLOW, Case, check_name

from kgen.models import resolve_model_args
from kgen.spec import DataSpec

QUICK = [check for check in CHECKS if check not in SLOW]
CASES = {
    "conv": Case("conv_vae", DataSpec("colour", (9, 8, 3)), {"hidden": [6], "filters": [4], "latent_dim": 2}),
    "pooled": Case(
        "conv_vae", DataSpec("colour", (8, 4, 3)), {"network": "pooled", "filters": [4, 3], "latent_dim": 2}
    ),
    "bilinear": Case(
        "conv_vae", DataSpec("gray", (28, 28, 1)), {"network": "bilinear", "filters": [4, 3, 5], "latent_dim": 2}
    ),
}


@pytest.mark.parametrize("check", QUICK, ids=check_name)
@pytest.mark.parametrize("network", CASES)
def test_checks(network, check):
    check(CASES[network])


def test_arguments_are_those_of_the_vae_with_another_network():
    vae, conv_vae = (resolve_model_args(name, {}) for name in ("vae", "conv_vae"))
    assert conv_vae == vae | {"network": "conv"}
