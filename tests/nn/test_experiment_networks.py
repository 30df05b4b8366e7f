"""The networks of named experiments: their parameters by hand; what is computed in a faster way is the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.errors import UserError
from kgen.models import resolve_model_args
from kgen.nn import NETWORKS, NetworkOptions
from kgen.nn.mlp import mlp_decoder
from kgen.spec import DataSpec


def options(image_shape, **given) -> NetworkOptions:
    return NetworkOptions(DataSpec("toy", image_shape, num_classes=3), **given)


def own(network: str, image_shape, latent_dim: int) -> NetworkOptions:
    """Options with the network's own defaults."""
    return options(image_shape, latent_dim=latent_dim, **NETWORKS.defaults(network)["model_args"])


def parameters(network: str, given: NetworkOptions) -> tuple[int, int]:
    return NETWORKS[network].encoder(given).count_params(), NETWORKS[network].decoder(given).count_params()


def test_conv_mlp():
    """conv_mlp: nothing is halved before the dense layer."""
    encoder, decoder = parameters("conv_mlp", options((12, 10, 3), latent_dim=2, hidden=(8,), filters=(4, 6)))
    # 3x3 from 3 to 4 and from 4 to 6 channels; 12 x 10 x 6 features to 8; two heads of 2.
    assert encoder == (9 * 3 * 4 + 4) + (9 * 4 * 6 + 6) + (720 * 8 + 8) + 2 * (8 * 2 + 2)
    assert decoder == (2 * 8 + 8) + (8 * 360 + 360)
    layers = NETWORKS["conv_mlp"].encoder(own("conv_mlp", (28, 28, 1), 2)).layers
    assert [x.output.shape[1:] for x in layers if isinstance(x, keras.layers.Conv2D)] == [(28, 28, 16), (28, 28, 32)]


def test_pooled_at_the_size_of_its_experiment():
    encoder, decoder = parameters("pooled", own("pooled", (64, 64, 1), latent_dim=64))
    norm = 4  # gamma, beta, moving mean, moving variance of a channel; the layer before has no bias
    convolutions = (9 * 1 * 16 + norm * 16) + (9 * 16 * 32 + norm * 32) + (9 * 32 * 64 + norm * 64)
    assert encoder == convolutions + 8 * 8 * 64 * 128 + 128  # 64 -> 32 -> 16 -> 8; one dense layer of 128 = 2 x 64
    mirrored = (9 * 64 * 32 + norm * 32) + (9 * 32 * 16 + norm * 16) + (9 * 16 * 1 + 1)
    assert decoder == 64 * 8 * 8 * 64 + norm * 64 + mirrored


def test_pooled_without_batch_norm_has_biases():
    given = {"latent_dim": 2, "filters": (4,), "hidden": ()}
    assert parameters("pooled", options((8, 6, 1), batch_norm=True, **given)) == (
        36 + 16 + 2 * (4 * 3 * 4 * 2 + 2),
        2 * 48 + 16 + 37,
    )
    assert parameters("pooled", options((8, 6, 1), batch_norm=False, **given)) == (
        36 + 4 + 2 * (4 * 3 * 4 * 2 + 2),
        2 * 48 + 48 + 37,
    )


def test_bilinear():
    encoder, decoder = parameters("bilinear", own("bilinear", (28, 28, 1), latent_dim=100))
    convolutions = (9 * 1 * 32 + 32) + (9 * 32 * 64 + 64) + (25 * 64 * 256 + 256)
    assert encoder == convolutions + 2 * (256 * 100 + 100)
    first = (100 * 256 + 256) + (256 * 25 * 64 + 25 * 64)  # a bias a pixel, where the convolution has one per channel
    assert decoder == first + (9 * 64 * 32 + 32) + (9 * 32 * 16 + 16) + (9 * 16 * 1 + 1)


def test_widening_mlp_and_a_generator_like_it():
    given = own("widening_mlp", (4, 4, 1), latent_dim=10)
    encoder, decoder = parameters("widening_mlp", given)
    inner = 128 * 256 + 256 * 512 + 512 * 1024 + 1024 * 2048
    biases = 128 + 256 + 512 + 1024 + 2048
    assert decoder == (10 * 128 + inner + biases) + 2048 * 16 + 16
    assert encoder == 16 * 2048 + inner + biases + 2 * (128 * 10 + 10)
    generator = mlp_decoder(given, name="generator")
    assert generator.name == "generator" and generator.count_params() == decoder
    assert generator(np.zeros((2, 10), np.float32)).shape == (2, 4, 4, 1)


def test_conv_at_the_size_of_the_colour_experiment():
    encoder, decoder = parameters("conv", options((64, 64, 3), latent_dim=6))
    convolutions = [9 * a * b for a, b in ((3, 32), (32, 64), (64, 128), (128, 256))]
    dense = 4 * 4 * 256 * 400 + 400 + 2 * (400 * 6 + 6)  # 64 -> 32 -> 16 -> 8 -> 4
    assert encoder == sum(convolutions) + 32 + 64 + 128 + 256 + dense
    back = [9 * a * b + b for a, b in ((256, 128), (128, 64), (64, 32), (32, 32), (32, 3))]
    assert decoder == 6 * 400 + 400 + 400 * 4096 + 4096 + sum(back)


# The experiment's network, written out step by step -------------------------------------------------------------------


def shaken(network):
    """Random numbers for every weight, biases included."""
    generator = np.random.default_rng(0)
    for weight in network.weights:
        weight.assign(
            generator.normal(0, 0.3 if weight.ndim == 1 else 1 / np.sqrt(np.prod(weight.shape[:-1])), weight.shape)
        )
    return network


def weights_of(network) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in network.layers}


def valid(x, kernel, bias, padding: int = 0):
    """A convolution after so many rows and columns of zeros on each side."""
    around = [padding, padding]
    return tf.nn.conv2d(tf.pad(x, [[0, 0], around, around, [0, 0]]), kernel, 1, "VALID") + bias


def test_bilinear_encoder_is_the_literal_one():
    encoder = shaken(NETWORKS["bilinear"].encoder(own("bilinear", (28, 28, 1), latent_dim=5)))
    weights = weights_of(encoder)
    x = images = np.random.default_rng(1).uniform(size=(2, 28, 28, 1)).astype(np.float32)
    for name in ("encoder_conv_0", "encoder_conv_1"):
        x = tf.nn.avg_pool2d(tf.nn.elu(valid(x, *weights[name])), 2, 2, "VALID")
    kernel, bias = weights["encoder_conv_2"]
    x = tf.nn.elu(valid(x, kernel.reshape(5, 5, 64, 256), bias))
    assert x.shape == (2, 1, 1, 256)
    for found, head in zip(encoder(images), ("mean", "log_var"), strict=True):
        kernel, bias = weights[head]
        np.testing.assert_allclose(found, x[:, 0, 0] @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_bilinear_decoder_is_the_literal_one():
    decoder = shaken(NETWORKS["bilinear"].decoder(own("bilinear", (28, 28, 1), latent_dim=5)))
    bias = decoder.get_layer("decoder_conv_0").bias
    bias.assign(np.tile(bias[:64], 25))  # one number per channel, as a convolution has it
    weights = weights_of(decoder)
    z = np.random.default_rng(1).normal(size=(2, 5)).astype(np.float32)
    x = tf.nn.elu(z @ weights["decoder_features"][0] + weights["decoder_features"][1])[:, None, None]
    # With a padding of 4, tap (a, b) of a 5x5 kernel meets the only pixel when the output is pixel (4 - a, 4 - b).
    dense = weights["decoder_conv_0"][0].reshape(256, 5, 5, 64)
    x = tf.nn.elu(valid(x, dense[:, ::-1, ::-1].transpose(1, 2, 0, 3), weights["decoder_conv_0"][1][:64], padding=4))
    for name, side in (("decoder_conv_1", 10), ("decoder_conv_2", 24)):
        assert x.shape[1:3] == (side // 2, side // 2)
        x = tf.raw_ops.ResizeBilinear(images=x, size=(side, side), align_corners=True)
        x = tf.nn.elu(valid(x, *weights[name], padding=2))
    transposed, bias = weights["logits"]  # [3, 3, to, from]: what a convolution has, turned by half a turn
    x = valid(x, transposed[::-1, ::-1].transpose(0, 1, 3, 2), bias, padding=2)
    np.testing.assert_allclose(decoder(z), x, rtol=1e-4, atol=1e-4)


# What does not fit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "image_shape", "filters", "words"),
    [
        ("pooled", (28, 28, 1), (16, 32, 64), r"divisible by 8, but data set 'toy' has 28x28; give --image_size 32x32"),
        ("pooled", (64, 50, 3), (4, 4), r"each of its filters, \[4, 4\]: .* 64x50; give --image_size 64x52"),
        (
            "bilinear",
            (32, 32, 1),
            (32, 64, 256),
            r"made for 28x28 images, but data set 'toy' has 32x32; give --image_size 28",
        ),
        (
            "bilinear",
            (28, 28, 1),
            (32, 64),
            r"model_args.filters three numbers, e.g. \[32, 64, 256\]. Received: \[32, 64\]",
        ),
    ],
)
def test_images_and_filters_that_do_not_fit_are_refused(network, image_shape, filters, words):
    given = options(image_shape, latent_dim=2, filters=filters)
    for part in (NETWORKS[network].encoder, NETWORKS[network].decoder):
        with pytest.raises(UserError, match=words):
            part(given)


def test_a_network_brings_its_own_defaults_and_what_is_given_stays():
    plain = resolve_model_args("cvae", {})
    for network in NETWORKS:
        brought = NETWORKS.defaults(network).get("model_args", {})
        assert resolve_model_args("cvae", {"network": network}) == plain | {"network": network} | brought
    args = resolve_model_args("vae", {"network": "pooled", "batch_norm": False, "hidden": [8]})
    assert (args["batch_norm"], args["hidden"], args["filters"]) == (False, (8,), (16, 32, 64))
    assert resolve_model_args("vae", {"network": "bilinear"})["activation"] == "elu"
