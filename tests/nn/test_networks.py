"""Networks sized from a DataSpec: shapes, parameters, labels."""

import keras
import numpy as np
import pytest

from kgen.nn import NETWORKS, NetworkOptions
from kgen.nn.conv import halvings
from kgen.nn.layers import LabelMaps, OneHot
from kgen.spec import DataSpec


def both(network: str, image_shape, **options):
    options = NetworkOptions(DataSpec("toy", image_shape, num_classes=3), **options)
    return NETWORKS[network].encoder(options), NETWORKS[network].decoder(options)


def small(network: str, **options):
    """Encoder and decoder for 12x10 images, or for the only size that there is."""
    image_shape, filters = ((28, 28, 1), (4, 5, 6)) if network == "bilinear" else ((12, 10, 1), (4,))
    return both(network, image_shape, **{"hidden": (8,), "filters": filters, "latent_dim": 2} | options)


ALL = sorted(NETWORKS)
CONVOLUTIONAL = sorted({*ALL} - {"mlp", "widening_mlp"})


def test_parameters_of_the_classic_mlp():
    encoder, decoder = both("mlp", (28, 28, 1), latent_dim=20, hidden=(400,))
    # 784 x 400 + 400 to the hidden layer; 400 x 20 + 20 for the mean, and as many for the log-variance.
    assert encoder.count_params() == 784 * 400 + 400 + 2 * (400 * 20 + 20) == 330_040
    # Back: 20 x 400 + 400, and 400 x 784 + 784.
    assert decoder.count_params() == 20 * 400 + 400 + 400 * 784 + 784 == 322_784


def test_parameters_of_a_conditional_conv_with_batch_norm():
    encoder, decoder = both(
        "conv", (28, 28, 1), latent_dim=2, conditional=True, hidden=(16,), filters=(4, 8), batch_norm=True
    )
    norm = 4  # gamma, beta, moving mean, moving variance; the layer before it has no bias
    # 3x3 from 1 + 3 channels to 4, 28 -> 14; from 4 to 8, 14 -> 7; 7 x 7 x 8 = 392 features to 16; two heads of 2.
    convolutions = 9 * 4 * 4 + norm * 4 + 9 * 4 * 8 + norm * 8
    assert encoder.count_params() == convolutions + 392 * 16 + norm * 16 + 2 * (16 * 2 + 2)
    # 2 + 3 inputs to 16 to 392; 7 -> 14 from 8 to 4; 14 -> 28 from 4 to 4; 3x3 from 4 to 1 with a bias.
    dense = 5 * 16 + norm * 16 + 16 * 392 + norm * 392
    assert decoder.count_params() == dense + 9 * 8 * 4 + norm * 4 + 9 * 4 * 4 + norm * 4 + 9 * 4 * 1 + 1


@pytest.mark.parametrize("side", [28, 32, 50, 64, 100, 128, (8, 8), (20, 33), (45, 17), (64, 48)])
@pytest.mark.parametrize("channels", [1, 3])
def test_conv_gives_back_the_size_of_the_image(side, channels):
    height, width = side if isinstance(side, tuple) else (side, side)
    encoder, decoder = both("conv", (height, width, channels), latent_dim=3, hidden=(), filters=(2,))
    assert encoder.output_shape == [(None, 3), (None, 3)]
    assert decoder.output_shape == (None, height, width, channels)


@pytest.mark.parametrize(("network", "sizes"), [("conv_mlp", [(9, 17), (8, 8)]), ("pooled", [(8, 8), (24, 16)])])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_sizes_than_those_of_the_experiment(network, sizes, channels):
    for size in sizes:
        encoder, decoder = both(network, (*size, channels), latent_dim=3, hidden=(), filters=(2, 2, 2))
        mean, log_var = encoder(np.ones((2, *size, channels), np.float32))
        assert mean.shape == log_var.shape == (2, 3)
        assert decoder(mean).shape == (2, *size, channels)


def test_conv_computes_at_odd_sizes():
    encoder, decoder = both("conv", (9, 17, 3), latent_dim=3, hidden=(4,), filters=(2,))
    mean, _ = encoder(np.ones((2, 9, 17, 3), np.float32))
    assert decoder(mean).shape == (2, 9, 17, 3)


def test_halvings_stop_at_seven():
    assert halvings(28, 28) == [(28, 28), (14, 14), (7, 7)]
    assert halvings(64, 48) == [(64, 48), (32, 24), (16, 12), (8, 6)]
    assert halvings(50, 50) == [(50, 50), (25, 25), (13, 13), (7, 7)]


def test_a_label_map_is_one_constant_channel():
    maps = LabelMaps(3, 4, 5)(np.array([2, 0], np.int32)).numpy()
    expected = np.zeros((2, 4, 5, 3))
    expected[0, :, :, 2] = 1  # everywhere in one channel, not in some rows of all
    expected[1, :, :, 0] = 1
    np.testing.assert_array_equal(maps, expected)


def test_one_hot_is_one_at_the_label():
    np.testing.assert_array_equal(OneHot(3)(np.array([2, 0])), [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("layer", [OneHot(3), LabelMaps(3, 4, 5)], ids=lambda layer: type(layer).__name__)
def test_label_layers_come_back_from_their_configuration(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    labels = np.array([1, 2], np.int32)
    np.testing.assert_array_equal(again(labels), layer(labels))


@pytest.mark.parametrize("network", ALL)
def test_the_label_reaches_every_output(network):
    encoder, decoder = small(network, conditional=True)
    labels = np.array([0, 1, 2], np.int32)
    mean, log_var = encoder([np.full((3, *encoder.input_shape[0][1:]), 0.5, np.float32), labels])
    logits = decoder([np.ones((3, 2), np.float32), labels])
    for output in (mean, log_var, logits):
        rows = np.reshape(output, (3, -1))
        assert min(np.abs(rows[i] - rows[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-4


@pytest.mark.parametrize("network", CONVOLUTIONAL)
def test_the_first_convolution_sees_the_label_everywhere_alike(network):
    """A black image: inside, the first convolution says bias + the kernel's sum over the channel of the label."""
    encoder, decoder = small(network, conditional=True)
    first = next(layer for layer in encoder.layers if isinstance(layer, keras.layers.Conv2D))
    assert first.kernel.shape[2] == 1 + 3  # gray, and a map for each of three classes
    labels = np.array([2, 0, 1], np.int32)
    black = np.zeros((3, *encoder.input_shape[0][1:]), np.float32)
    found = keras.Model(encoder.inputs, first.output)([black, labels]).numpy()[:, 1:-1, 1:-1]
    sums = first.kernel.numpy().sum((0, 1))[1:][labels] + first.bias.numpy()
    np.testing.assert_allclose(found, np.broadcast_to(sums[:, None, None], found.shape), atol=1e-6)
    dense = next(layer for layer in decoder.layers if isinstance(layer, keras.layers.Dense))
    assert dense.kernel.shape[0] == 2 + 3  # z, and one of three
    plain, back = small(network)
    assert next(layer for layer in plain.layers if layer.weights).kernel.shape[2] == 1
    assert next(layer for layer in back.layers if layer.weights).kernel.shape[0] == 2


@pytest.mark.parametrize("network", ALL)
def test_layers_have_weights_of_their_own(network):
    """Two layers of one shape must not start equal, but at 0; the same seed starts them as before, another not."""
    networks = [small(network, latent_dim=4, hidden=(8, 8), seed=seed) for seed in (0, 0, 1)]
    first, again, other = ([w.numpy() for n in pair for w in n.weights if w.ndim > 1] for pair in networks)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    first, other = ([w for w in weights if w.any()] for weights in (first, other))
    assert not any((a == b).all() for a, b in zip(first, other, strict=True))
    for i, one in enumerate(first):
        assert not any(one.shape == two.shape and (one == two).all() for two in first[:i])


def test_batch_norm_is_in_every_hidden_layer_and_in_no_output():
    for network in ALL:
        for part in small(network, batch_norm=True):
            names = [layer.name for layer in part.layers]
            hidden = [n for n in names if n.endswith("_relu")]
            assert len(hidden) == len([n for n in names if n.endswith("_norm")]) > 0
            assert not {"mean_norm", "log_var_norm", "logits_norm"} & {*names}
