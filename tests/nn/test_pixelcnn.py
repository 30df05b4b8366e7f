"""The gated PixelCNN: what a logit may see, probabilities that sum to 1, and a sampler that recomputes nothing."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from model_case import float64

from kgen.nn import NetworkOptions, pixelcnn
from kgen.nn.pixelcnn import PixelCNN, sample_pixels
from kgen.spec import DataSpec

CONDITION = 2


def pixel_cnn(image_shape, levels: int = 2, **arguments) -> PixelCNN:
    """A network whose every weight, biases too, has a say."""
    arguments = {"width": 4, "layers": 3, "conditioned": 2, **arguments}
    options = NetworkOptions(DataSpec("toy", image_shape), latent_dim=1)
    network = PixelCNN(options, condition=CONDITION, outputs=1 if levels == 2 else levels, **arguments)
    generator = np.random.default_rng(0)
    for weight in network.trainable_variables:
        weight.assign(weight.numpy() + 0.3 * generator.normal(size=weight.shape))
    return network


def conditions(image_shape, count: int):
    return tf.constant(np.random.default_rng(1).normal(size=(count, *image_shape[:2], CONDITION)), tf.float32)


@pytest.mark.parametrize("image_shape", [(6, 5, 1), (4, 4, 3)], ids=["gray", "colour"])
def test_a_logit_sees_every_earlier_pixel_and_no_other(image_shape):
    """Each value in turn moves: logits up to its own stay, all after it move (so no blind spot)."""
    values = int(np.prod(image_shape))
    image = np.random.default_rng(2).uniform(-1, 1, values).astype(np.float32)
    moved = np.tile(image, (values, 1))
    moved[np.arange(values), np.arange(values)] += 0.5
    both = np.concatenate([np.tile(image, (values, 1)), moved]).reshape(-1, *image_shape)
    with float64():  # where other places of a batch round otherwise by 1e-16, and not by 1e-7
        network = pixel_cnn(image_shape, width=12)
        logits = network(tf.constant(both), tf.repeat(conditions(image_shape, 1), 2 * values, axis=0))
    before, after = np.split(logits.numpy().reshape(2 * values, values), 2)
    changed = np.abs(before - after) > 1e-11  # [which value moved, which logit]
    np.testing.assert_array_equal(changed, np.triu(np.ones((values, values), bool), k=1))


def test_the_first_layer_alone_sees_three_rows_and_columns():
    """Rows i - 3 to i - 1, columns j - 3 to j + 3, and j - 3 to j - 1 of its own row; one gated layer adds one each."""
    side = 9
    centre = 5 * side + 4
    image = np.random.default_rng(2).uniform(-1, 1, side * side).astype(np.float32)
    moved = np.tile(image, (side * side + 1, 1))
    moved[np.arange(side * side), np.arange(side * side)] += 0.5
    many = tf.repeat(conditions((side, side, 1), 1), len(moved), axis=0)
    with float64():
        network = pixel_cnn((side, side, 1), layers=1, conditioned=1, width=12)
        logits = network(tf.constant(moved.reshape(-1, side, side, 1)), many).numpy().reshape(len(moved), -1)[:, centre]
    seen = (np.abs(logits[:-1] - logits[-1]) > 1e-11).reshape(side, side)
    expected = np.zeros((side, side), bool)
    expected[1:5, :] = (
        True  # rows 1 to 4: three above of the first layer and one of the gated one; columns 4 -+ (3 + 1)
    )
    expected[5, 0:4] = True
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize(
    ("image_shape", "levels"), [((3, 3, 1), 2), ((1, 2, 3), 2), ((2, 2, 1), 3)], ids=["gray", "colour", "three levels"]
)
def test_probabilities_of_all_images_sum_to_one(image_shape, levels):
    """2^9, 2^6 and 3^4 images."""
    network, values = pixel_cnn(image_shape, levels), int(np.prod(image_shape))
    images = np.array([*itertools.product(range(levels), repeat=values)], np.float32).reshape(-1, *image_shape)
    condition = tf.repeat(conditions(image_shape, 1), len(images), axis=0)
    nll = pixelcnn.pixel_nll(tf.constant(images), network(pixelcnn.signed(tf.constant(images), levels), condition))
    assert np.exp(-nll.numpy().astype(np.float64)).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image_shape", "levels"), [((7, 6, 1), 2), ((4, 5, 3), 2), ((3, 4, 3), 5)], ids=["gray", "colour", "five levels"]
)
def test_sampler_equals_a_full_pass_for_every_pixel(image_shape, levels):
    network, count = pixel_cnn(image_shape, levels), 9
    condition, noise = conditions(image_shape, count), np.random.default_rng(3).uniform(size=(count, *image_shape))
    expected = tf.zeros((count, *image_shape))
    for place in np.ndindex(image_shape):
        logits = network(pixelcnn.signed(expected, levels), condition)[(slice(None), *place)]
        drawn = pixelcnn.sample_levels(logits, tf.constant(noise[(slice(None), *place)], tf.float32))
        expected += np.eye(int(np.prod(image_shape)), dtype=np.float32)[
            np.ravel_multi_index(place, image_shape)
        ].reshape(image_shape) * tf.reshape(drawn, (-1, 1, 1, 1))
    drawn = sample_pixels(network, condition, tf.constant(noise, tf.float32), levels).numpy()
    np.testing.assert_array_equal(drawn, expected)
    assert len(np.unique(drawn)) == levels and len(np.unique(drawn, axis=0)) == count


def test_condition_joins_the_last_layers_alone():
    network = pixel_cnn((5, 5, 1), layers=3, conditioned=1)
    assert [layer.condition is not None for layer in network.gated] == [False, False, True]
    image = tf.constant(np.random.default_rng(4).uniform(-1, 1, (1, 5, 5, 1)), tf.float32)
    first, other = (network(image, c).numpy() for c in (conditions((5, 5, 1), 1), -conditions((5, 5, 1), 1)))
    assert (first != other).all()
    seen = network.image_features(image)
    np.testing.assert_array_equal(network.logits(seen, conditions((5, 5, 1), 1), image), first)


def test_normal_cdf_is_scipys():
    from scipy.stats import norm

    x = np.linspace(-8, 8, 4001, dtype=np.float32)
    np.testing.assert_allclose(pixelcnn.normal_cdf(tf.constant(x)), norm.cdf(x.astype(np.float64)), atol=3e-7)


def test_draw_picks_levels_as_often_as_their_probability():
    """A grid of 10,000 uniform numbers: each level gets its share to one in 10,000 and rounding."""
    uniform = tf.constant((np.arange(10_000) + 0.5) / 10_000, tf.float32)
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    drawn = pixelcnn.sample_levels(tf.tile(tf.constant(np.log(shares), tf.float32)[None], (10_000, 1)), uniform).numpy()
    np.testing.assert_allclose(np.bincount(drawn.astype(int)) / 10_000, shares, atol=2e-4)
    on = pixelcnn.sample_levels(tf.fill((10_000, 1), float(np.log(0.3 / 0.7))), uniform).numpy()
    assert on.mean() == pytest.approx(0.3, abs=2e-4)


def test_levels_are_rounded_and_signed():
    images = tf.constant([0.0, 0.2, 0.3, 0.5001, 1.0])
    np.testing.assert_array_equal(pixelcnn.to_levels(images, 2), [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(pixelcnn.to_levels(images, 5), [0, 1, 1, 2, 4])  # 0, 0.8, 1.2, 2.0004, 4
    np.testing.assert_allclose(pixelcnn.signed(pixelcnn.to_levels(images, 5), 5), [-1, -0.5, -0.5, 0, 1])


def test_nll_is_a_cross_entropy():
    """Two levels: ln(1 + e^l) - x l; four: minus the logarithm of the softmax."""
    x, logits = np.array([0.0, 1.0, 1.0], np.float32), np.array([0.5, 0.5, -2.0])
    expected = (np.log1p(np.exp(logits)) - x * logits).sum()
    found = pixelcnn.pixel_nll(
        tf.constant(x.reshape(1, 3, 1, 1)), tf.constant(logits.reshape(1, 3, 1, 1, 1), tf.float32)
    )
    assert float(found[0]) == pytest.approx(expected, rel=1e-6)
    many = np.random.default_rng(0).normal(size=(1, 3, 1, 1, 4))
    expected = -sum(
        np.log(np.exp(row[k]) / np.exp(row).sum()) for row, k in zip(many.reshape(3, 4), (0, 3, 1), strict=True)
    )
    found = pixelcnn.pixel_nll(tf.constant([0.0, 3.0, 1.0], shape=(1, 3, 1, 1)), tf.constant(many, tf.float32))
    assert float(found[0]) == pytest.approx(expected, rel=1e-6)
