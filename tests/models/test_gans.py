"""The adversarial models: the promises of every model, each with its own networks and losses."""

import pytest
from check_model import CHECKS, SLOW, Case, check_name
from check_model_training import check_sgd_step_equal_on_replicas

from kgen.errors import UserError
from kgen.models import build_model, resolve_model_args
from kgen.spec import DataSpec

COLOUR = DataSpec("colour", (12, 10, 3), num_classes=3)
MLP = {"hidden": [8], "latent_dim": 3}
CONV = {"filters": [4, 5], "latent_dim": 3}
CASES = {
    "gan": Case("gan", model_args=MLP | {"dropout": 0.0}),
    "cgan": Case("cgan", model_args=MLP),
    "dcgan": Case("dcgan", COLOUR, CONV),
    "cdcgan": Case("cdcgan", model_args=CONV),
    "cdcgan projection": Case("cdcgan", model_args=CONV | {"projection": True, "spectral_norm": True, "r1": 0.0}),
    "wgan": Case("wgan", model_args=CONV),
    "wgan_gp": Case("wgan_gp", model_args=CONV | {"critic_steps": 2}),
    "wcgan_gp": Case("wcgan_gp", model_args=CONV),
    "vae_gan": Case("vae_gan", model_args=MLP),
}
QUICK = [check for check in CHECKS if check not in SLOW]
WHOLE = ("gan", "dcgan", "wgan_gp")
"""One of each kind goes through the slow checks: dense, with R1 and batch normalization, of several critic steps."""
MASKS_DIFFER = (check_sgd_step_equal_on_replicas,)
"""What cannot hold with dropout: each replica leaves out units of its own."""


def checks_of(case: str):
    if case in WHOLE:
        return CHECKS
    return [check for check in QUICK if case != "cgan" or check not in MASKS_DIFFER]


@pytest.mark.parametrize(
    ("case", "check"),
    [pytest.param(case, check, id=f"{case}-{check_name(check)}") for case in CASES for check in checks_of(case)],
)
def test_checks(case, check):
    check(CASES[case])


@pytest.mark.parametrize("conditional, plain", [("cgan", "gan"), ("cdcgan", "dcgan"), ("wcgan_gp", "wgan_gp")])
def test_conditional_models_take_the_arguments_of_the_plain_ones(conditional, plain):
    assert resolve_model_args(conditional, {}) == resolve_model_args(plain, {})
    with pytest.raises(UserError, match=f"'{conditional}' needs labels, .* use --model {plain} or a labelled data set"):
        build_model(conditional, DataSpec("faces", (12, 10, 3)))


@pytest.mark.parametrize("side", [28, 32, 37, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_dcgan_takes_any_square(side, channels):
    model = build_model("dcgan", DataSpec("square", (side, side, channels)), filters=[2], latent_dim=2)
    assert model.generator.output_shape == (None, side, side, channels)


def test_the_64x64_network_is_that_of_the_paper():
    """Radford et al. 2016, Figure 1, at half its width: 4x4x512 -> 8x8x256 -> 16x16x128 -> 32x32x64 -> 64x64x3."""
    model = build_model("dcgan", DataSpec("colour", (64, 64, 3)))
    kernels = [tuple(w.shape) for w in model.generator.trainable_weights if "kernel" in w.path]
    assert kernels == [(100, 4 * 4 * 512), (4, 4, 256, 512), (4, 4, 128, 256), (4, 4, 64, 128), (4, 4, 3, 64)]
    kernels = [tuple(w.shape) for w in model.discriminator.trainable_weights if "kernel" in w.path]
    assert kernels == [(4, 4, 3, 64), (4, 4, 64, 128), (4, 4, 128, 256), (4, 4, 256, 512), (4 * 4 * 512, 1)]


def test_gan_is_the_dense_network_of_the_experiments():
    model = build_model("gan", DataSpec("digits", (28, 28, 1)))
    kernels = [tuple(w.shape) for w in model.generator.trainable_weights if "kernel" in w.path]
    assert kernels == [(100, 256), (256, 512), (512, 1024), (1024, 784)]
    kernels = [tuple(w.shape) for w in model.discriminator.trainable_weights if "kernel" in w.path]
    assert kernels == [(784, 1024), (1024, 512), (512, 256), (256, 1)]


def test_normalization_in_a_discriminator_begins_after_the_layer_that_sees_pixels():
    model = build_model("dcgan", DataSpec("gray", (32, 32, 1)), filters=[2], r1=0.0, discriminator_batch_norm=True)
    names = [layer.name for layer in model.discriminator.layers if layer.name.endswith("_norm")]
    assert names == ["encoder_conv_1_norm", "encoder_conv_2_norm"]
