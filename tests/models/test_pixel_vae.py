"""PixelVAE: its levels, its latent and its conditions (test_conformance_vae.py: what every model does)."""

import numpy as np
import pytest
import tensorflow as tf
from model_case import Case

from kgen import random
from kgen.errors import UserError
from kgen.models import build_model
from kgen.nn import pixelcnn
from kgen.spec import DataSpec

SMALL = {
    "latent_dim": 2, "network": "mlp", "hidden": [8], "width": 4, "layers": 3, "conditioned_layers": 2, "condition": 3,
}  # fmt: skip
GRAY, COLOUR = DataSpec("gray", (8, 6, 1), num_classes=3), DataSpec("colour", (5, 4, 3), num_classes=2)
PLAIN = Case("pixel_vae", GRAY, SMALL)
CONDITIONAL = Case("pixel_cvae", COLOUR, {**SMALL, "levels": 4, "layers": 2})


def test_z_is_the_code_and_the_noise_of_every_pixel():
    model = build_model("pixel_vae", GRAY, **SMALL)
    assert model.latent_shape == (2 + 48,) and model.code_dim == 2
    mean, log_var = model.encode(PLAIN.examples(3)[0])
    assert mean.shape == log_var.shape == (3, 50)
    assert np.abs(mean[:, :2]).max() > 0
    np.testing.assert_array_equal(mean[:, 2:], 0)  # the noise is as likely as before: a posterior equal to the prior
    np.testing.assert_array_equal(log_var[:, 2:], 0)


def test_samples_are_draws_of_what_nll_scores():
    """The share of white at the first pixel is its probability, and of the second given the first."""
    model = build_model("pixel_vae", DataSpec("two", (1, 2, 1)), **{**SMALL, "layers": 2})
    for weight in model.pixel_cnn.trainable_variables:
        weight.assign(weight.numpy() + 0.5 * np.random.default_rng(len(weight.shape)).normal(size=weight.shape))
    draws, code = 20_000, np.array([[0.7, -0.3]], np.float32)
    z = np.concatenate([np.repeat(code, draws, axis=0), random.latents(0, draws, (2,))], axis=1)
    drawn = model.generate(z).numpy().reshape(-1, 2)
    for image in ((0, 0), (0, 1), (1, 0), (1, 1)):
        nll = model.nll(np.reshape(np.array(image, np.float32), (1, 1, 2, 1)), code)
        share, expected = (drawn == image).all(axis=1).mean(), float(np.exp(-nll[0]))
        assert share == pytest.approx(expected, abs=4 * np.sqrt(expected / draws))


def test_grey_images_are_rounded_to_the_levels():
    model = build_model("pixel_vae", GRAY, **SMALL)
    images, code = PLAIN.examples(2)[0], random.latents(0, 2, (2,))
    np.testing.assert_array_equal(model.nll(images, code), model.nll(np.round(images), code))
    assert np.abs(images - np.round(images)).max() > 0.1


def test_nll_of_many_codes_is_that_of_each():
    model = build_model("pixel_cvae", COLOUR, **CONDITIONAL.model_args)
    (images, labels), codes = CONDITIONAL.examples(3), random.latents(0, 12, (2,)).reshape(4, 3, 2)
    each = [model.nll(images, code, labels) for code in codes]
    np.testing.assert_allclose(model.nll_many(images, codes, labels), each, rtol=1e-5)


def test_free_bits_leave_a_rate_that_costs_nothing():
    """Two dimensions far below 1000 free nats each cost 2000 in training; an evaluation knows no free nats."""
    model = build_model("pixel_vae", GRAY, **SMALL, free_bits=1e3)
    images, labels = (tf.constant(part) for part in PLAIN.examples(4))
    terms = model.elbo_terms(images, labels, training=True)
    np.testing.assert_allclose(terms["loss"] - terms["reconstruction"], 2e3, rtol=1e-6)  # two dimensions, all free
    assert np.asarray(terms["kl"]).max() < 1e3
    evaluated = model.elbo_terms(images, labels, training=False)
    np.testing.assert_allclose(evaluated["loss"], evaluated["reconstruction"] + evaluated["kl"], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"levels": 1}, "levels must be at least 2. Received: 1"),
        ({"levels": 257}, "levels must be at most 256"),
        ({"conditioned_layers": 9}, "conditioned_layers at most model_args.layers"),
        ({"width": 0}, "width must be at least 1"),
    ],
)
def test_impossible_arguments_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        build_model("pixel_vae", GRAY, **{**SMALL, **arguments})


def test_uniform_noise_is_the_normal_noise_of_z():
    """Noise far down draws white wherever it may, far up black."""
    model = build_model("pixel_vae", GRAY, **SMALL)
    z = np.zeros((2, 50), np.float32)
    z[0, 2:], z[1, 2:] = -8, 8
    assert float(pixelcnn.normal_cdf(-8.0)) < 1e-6 and float(pixelcnn.normal_cdf(8.0)) > 1 - 1e-6
    white, black = model.generate(z).numpy()
    assert (white == 1).all() and (black == 0).all()
