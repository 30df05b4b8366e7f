"""ConvCVAE: the promises of every model, and what is its own."""

import pytest
from check_model import CHECKS, SLOW, Case, check_name

from kgen.errors import UserError
from kgen.models import build_model, resolve_model_args
from kgen.spec import DataSpec

QUICK = [check for check in CHECKS if check not in SLOW]
GRAY = DataSpec("gray", (10, 9, 1), num_classes=3)
CASES = {
    "conv": Case("conv_cvae", GRAY, {"hidden": [6], "filters": [4], "batch_norm": True}),
    "conv_mlp": Case("conv_cvae", GRAY, {"network": "conv_mlp", "hidden": [6], "filters": [4, 3]}),
}


@pytest.mark.parametrize("check", QUICK, ids=check_name)
@pytest.mark.parametrize("network", CASES)
def test_checks(network, check):
    check(CASES[network])


def test_arguments_are_those_of_the_cvae_with_another_network():
    cvae, conv_cvae = (resolve_model_args(name, {}) for name in ("cvae", "conv_cvae"))
    assert conv_cvae == cvae | {"network": "conv"}
    assert conv_cvae["latent_dim"] == 2


def test_unlabelled_data_are_refused_with_the_name_of_the_model_that_takes_them():
    with pytest.raises(UserError, match=r"'conv_cvae' needs labels, .* use --model conv_vae or a labelled data set"):
        build_model("conv_cvae", DataSpec("faces", (12, 10, 3)))
