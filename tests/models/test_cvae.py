"""CVAE: the promises of every model, and what is its own."""

import numpy as np
import pytest
from check_model import CHECKS, SLOW, Case, check_name
from check_model_training import check_fit_equals_eager_steps, check_sgd_fit_equal_on_replicas

from kgen.errors import UserError
from kgen.models import build_model, resolve_model_args
from kgen.spec import DataSpec

GRAY, COLOUR = DataSpec("gray", (12, 10, 1), num_classes=3), DataSpec("colour", (12, 10, 3), num_classes=3)
MLP = Case("cvae", COLOUR, {"hidden": [8], "latent_dim": 2, "batch_norm": True, "kl_warmup_steps": 5})
CONV = Case("cvae", GRAY, {"network": "conv", "hidden": [], "filters": [4], "latent_dim": 2})


TRACED = (check_fit_equals_eager_steps, check_sgd_fit_equal_on_replicas)


@pytest.mark.parametrize("check", [c for c in CHECKS if c in TRACED or c not in SLOW], ids=check_name)
def test_conv(check):
    check(CONV)


@pytest.mark.parametrize("check", [c for c in CHECKS if c not in SLOW], ids=check_name)
def test_mlp_with_batch_norm(check):
    check(MLP)


def test_arguments_are_those_of_the_vae_with_a_smaller_latent():
    vae, cvae = (resolve_model_args(name, {}) for name in ("vae", "cvae"))
    assert cvae == vae | {"latent_dim": 2}


def test_labels_are_asked_for():
    model = build_model("cvae", GRAY, hidden=[4])
    with pytest.raises(UserError, match="model 'cvae' is conditional: give labels"):
        model.generate(np.zeros((2, 2), np.float32))


def test_unlabelled_data_are_refused():
    with pytest.raises(UserError, match="use --model vae or a labelled data set"):
        build_model("cvae", DataSpec("faces", (12, 10, 3)))
