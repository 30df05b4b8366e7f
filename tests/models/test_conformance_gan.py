"""The adversarial models keep the promises of every model: all of them once per kind of game."""

import pytest
from check_model import CHECKS, NETWORK, QUICK, Case, parameters
from check_model_gpu import check_steps_have_gpu_kernels
from check_model_training import check_sgd_step_equal_on_replicas

from kgen.nn.augment import AUGMENTATIONS
from kgen.spec import DataSpec

COLOUR = DataSpec("colour", (12, 10, 3), num_classes=3)
MLP = {"hidden": [8], "latent_dim": 3}
CONV = {"filters": [4, 5], "latent_dim": 3}
LAZY = {"r2": 1.0, "penalty_every": 2, "augment": ["translation"], "augment_target": 0.1}
WITH_DROPOUT = [check for check in QUICK if check is not check_sgd_step_equal_on_replicas]
"""Each replica leaves out units of its own, so replicas do not make the step of one."""
TABLE = {
    "gan": (Case("gan", model_args=MLP | {"dropout": 0.0}), CHECKS),  # dense
    "dcgan": (Case("dcgan", COLOUR, CONV), CHECKS),  # R1 and batch normalization
    "wgan_gp": (Case("wgan_gp", model_args=CONV | {"critic_steps": 2}), CHECKS),  # several critic steps, a penalty
    "vae_gan": (Case("vae_gan", model_args=MLP), QUICK),
    "cgan": (Case("cgan", model_args=MLP), WITH_DROPOUT),
    "cdcgan": (Case("cdcgan", model_args=CONV), NETWORK),
    "cdcgan projection": (
        Case("cdcgan", model_args=CONV | {"projection": True, "spectral_norm": True, "r1": 0.0}),
        QUICK,
    ),
    "wgan": (Case("wgan", model_args=CONV | {"critic_steps": 2}), NETWORK),  # clipped weights
    "cdcgan upsampling": (
        Case("cdcgan", COLOUR, CONV | {"network": "upsampling", "loss": "relativistic_pair"} | LAZY),
        NETWORK,
    ),
    "wcgan_gp": (Case("wcgan_gp", model_args=CONV | {"critic_steps": 2}), NETWORK),
    "dcgan, every change": (
        Case("dcgan", COLOUR, CONV | {"network": "residual", "batch_norm": False, "augment": [*AUGMENTATIONS]}),
        [check_steps_have_gpu_kernels],
    ),
}


@pytest.mark.parametrize(("case", "check"), parameters(TABLE))
def test_checks(case, check):
    check(case)
