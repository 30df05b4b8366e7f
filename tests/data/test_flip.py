"""Mirrored training images, and which sets may be mirrored."""

import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen.config import DataConfig, override
from kgen.data import load
from kgen.data.transforms import can_be_mirrored, flip_at_random, mirror_distance
from kgen.train.defaults import resolve_defaults


def test_half_of_the_images_are_mirrored(noise):
    pixels, key = noise(400, 6, 5, 3), tf.constant([1, 2], tf.int64)
    found = flip_at_random(pixels, key).numpy()
    mirrored = (found == pixels[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (found == pixels).all(axis=(1, 2, 3))).all()
    assert abs(mirrored.mean() - 0.5) < 0.1  # 4 standard deviations
    np.testing.assert_array_equal(flip_at_random(pixels, key), found)
    assert (flip_at_random(pixels, key + 1).numpy() != found).any()


def test_batches_are_a_function_of_seed_epoch_and_step():
    """Also where a training goes on in the middle of an epoch; evaluation shows images as they are."""
    dataset = load(DataConfig(limit=60))
    arguments = {"batch_size": 20, "repeat": True, "as_uint8": True, "flip": True}
    whole = [images.numpy() for images, _ in dataset.batches("train", **arguments).take(5)]
    later = [images.numpy() for images, _ in dataset.batches("train", start_epoch=1, start_step=1, **arguments).take(1)]
    steps = dataset.spec.examples["train"] // 20
    np.testing.assert_array_equal(later[0], whole[steps + 1])
    plain = [images.numpy() for images, _ in dataset.batches("train", **arguments | {"flip": False}).take(5)]
    assert all((a != b).any() for a, b in zip(whole, plain, strict=True))
    shown = next(iter(dataset.batches("train", batch_size=20, training=False, as_uint8=True, flip=True)))[0]
    np.testing.assert_array_equal(shown, dataset.arrays("train")[0][:20])


def blobs(count, centre):
    """A bright square of 4 pixels on noise, at a place that is normal about the centre of 32 columns."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 60, (count, 32, 32, 1))
    for image, column in zip(pixels, np.clip(draw.normal(centre, 4, count), 0, 27).round().astype(int), strict=True):
        image[14:18, column : column + 4] += 150
    return pixels.astype(np.uint8)


@pytest.mark.parametrize(("centre", "expected"), [(14, True), (6, False)])
@pytest.mark.parametrize("count", [100, 600])
def test_what_can_be_mirrored(count, centre, expected):
    assert can_be_mirrored(blobs(count, centre)) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 10, 20, 50])
def test_few_digits_are_not_mirrored(count):
    """Not even where so few cannot tell."""
    pixels, _ = load(DataConfig()).view("train")
    draw = np.random.default_rng(0)
    found = [can_be_mirrored(pixels[np.sort(draw.permutation(len(pixels))[:count])]) for _ in range(20)]
    assert sum(found) <= 1


def test_few_symmetric_images_are(noise):
    pixels = noise(20, 32, 32, 3) // 2
    assert can_be_mirrored(pixels + pixels[:, :, ::-1])


def test_the_distance_has_the_standard_deviation_of_random_mirroring():
    """Half of the images, chosen at random, mirrored: the distance's mean is 0, and its spread as computed."""
    pixels = blobs(40, 6)
    draw, found = np.random.default_rng(0), []
    for _ in range(400):
        turned = np.where(draw.random(40)[:, None, None, None] < 0.5, pixels[:, :, ::-1], pixels)
        found.append(mirror_distance(turned))
    distances, spreads = zip(*found, strict=True)
    assert abs(np.mean(distances)) < 4 * np.std(distances) / 20
    assert np.mean(spreads) == pytest.approx(np.std(distances), rel=0.15)  # 4 standard errors of 400 draws


def test_auto_asks_the_data(tmp_path):
    def decided(**settings):
        config = override(kgen.RunConfig(), {"model": "vae", "train.flip": "auto"} | settings)
        return resolve_defaults(config, load(config.data)).train.flip

    assert decided() == "off"  # digits
    np.savez(tmp_path / "blobs.npz", images=blobs(200, 14))
    assert decided(**{"data.dataset": str(tmp_path / "blobs.npz")}) == "on"
