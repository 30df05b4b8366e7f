"""VAE: the bound, its warm-up and free bits, likelihoods and labels (what all models do: test_conformance_vae.py)."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_case import Case, train

from kgen.errors import UserError
from kgen.losses import elbo
from kgen.models import build_model
from kgen.models.vae import LOG_VAR_RANGE
from kgen.spec import DataSpec

GRAY = DataSpec("gray", (12, 10, 1), num_classes=3)
MLP = Case("vae", GRAY)


def test_kl_weight_rises_to_beta_and_is_whole_in_evaluation():
    model = build_model("vae", GRAY, hidden=[4], beta=4.0, kl_warmup_steps=8)
    weights = {}
    for step in (0, 2, 8, 100):
        model.step.assign(step)
        weights[step] = float(model.kl_weight(training=True))
        assert float(model.kl_weight(training=False)) == 4.0
    assert weights == {0: 0.0, 2: 1.0, 8: 4.0, 100: 4.0}  # beta * min(1, step / 8)


def test_loss_is_reconstruction_plus_beta_times_kl():
    model = build_model("vae", GRAY, hidden=[16], beta=4.0)
    terms = model.elbo_terms(*(tf.constant(part) for part in MLP.examples(5)), training=True)
    assert np.asarray(terms["kl"]).min() > 0
    np.testing.assert_allclose(terms["loss"], terms["reconstruction"] + 4.0 * terms["kl"], rtol=1e-6)


def test_warm_up_shows_in_the_loss_step_by_step():
    model = build_model("vae", GRAY, hidden=[4], kl_warmup_steps=2)
    model.compile({"elbo": keras.optimizers.SGD(0.0)})  # the weights stay: only the weight of the KL term changes
    images, labels = MLP.examples(4)
    shares = []
    for _ in range(3):
        model.reset_metrics()
        train(model, images, labels)
        loss, reconstruction, kl = (float(model.trackers[key].result()) for key in ("loss", "reconstruction", "kl"))
        shares.append((loss - reconstruction) / kl)
    np.testing.assert_allclose(shares, [0.0, 0.5, 1.0], atol=1e-4)


def test_reconstruction_is_of_the_likelihood_that_was_chosen():
    """With zero decoder weights the mean image is sigmoid(0) = 1/2 everywhere."""
    images, labels = (tf.constant(part) for part in MLP.examples(3))
    square = np.square(images.numpy() - 0.5).sum((1, 2, 3))
    expected = {
        "bernoulli": np.full(3, 120 * math.log(2)),  # 12 x 10 pixels of ln 2
        # 120 / 2 ln(2 pi s^2) + |x - m|^2 / 2 s^2 with s = 1/2
        "gaussian": 60 * math.log(2 * math.pi * 0.25) + square / 0.5,
    }
    expected["gaussian_learned"] = expected["gaussian"]  # before training
    for likelihood, reconstruction in expected.items():
        model = build_model("vae", GRAY, hidden=[4], likelihood=likelihood, stddev=0.5)
        for weight in model.decoder.trainable_variables:
            weight.assign(tf.zeros_like(weight))
        found = model.elbo_terms(images, labels)["reconstruction"]
        np.testing.assert_allclose(found, reconstruction, rtol=1e-5, err_msg=likelihood)


def test_learned_stddev_moves_toward_the_error():
    """Images of 0.5 are met at once, so the standard deviation must shrink; pure noise of stddev 0.3 makes it grow."""
    flat, noisy = np.full((8, 12, 10, 1), 0.5), np.random.default_rng(0).normal(0.5, 0.3, (8, 12, 10, 1))
    for images, sign in ((flat, -1), (noisy, 1)):
        model = build_model("vae", GRAY, hidden=[4], likelihood="gaussian_learned", stddev=0.1)
        model.compile({"elbo": keras.optimizers.Adam(0.01)})
        before = float(model.likelihood.log_var.numpy())
        assert before == pytest.approx(2 * math.log(0.1))
        for _ in range(3):
            train(model, images.astype(np.float32), np.zeros(8, np.int32), size=8)
        assert sign * (float(model.likelihood.log_var.numpy()) - before) > 0.01


@pytest.mark.parametrize("log_var", [-1000.0, 1000.0])
def test_the_posterior_stays_finite_whatever_the_encoder_gives(log_var):
    model = build_model("vae", GRAY, hidden=[4], latent_dim=2, likelihood="gaussian")
    model.encoder.get_layer("log_var").bias.assign([log_var, log_var])
    images, labels = (tf.constant(part) for part in MLP.examples(3))
    np.testing.assert_array_equal(model.posterior(images)[1], np.full((3, 2), np.clip(log_var, *LOG_VAR_RANGE)))
    terms = model.elbo_terms(images, labels, training=True)
    assert all(np.isfinite(term).all() for term in terms.values())


def test_reconstruction_is_the_mean_image_of_the_posterior_mean():
    model = build_model("vae", GRAY, hidden=[4])
    images, _ = MLP.examples(3)
    np.testing.assert_array_equal(model(images), model.generate(model.encode(images)[0]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1. Received: 0"),
        ({"beta": -1.0}, "beta must be at least 0. Received: -1"),
        ({"stddev": 0.0}, "stddev must be greater than 0"),
        ({"network": "cnn"}, "unknown network 'cnn': did you mean 'conv'"),
        ({"likelihood": "gausian"}, "unknown likelihood 'gausian': did you mean 'gaussian'"),
        ({"hidden": [8, 0]}, "hidden must be at least 1. Received: 0"),
        ({"activation": "rellu"}, "unknown model_args.activation 'rellu'"),
    ],
)
def test_impossible_arguments_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        build_model("vae", GRAY, **arguments)


def test_negative_elbo_of_a_linear_gaussian_model_is_its_negative_log_likelihood():
    """x = W z + b + s e: with the exact posterior the bound is tight, and its mean is -log N(x; b, W W' + s^2 I).

    The posterior must be axis-aligned for `standard_normal_kl`, so W has orthogonal columns: then
    q(z|x) = N(W'(x - b) / (|w_j|^2 + s^2), s^2 / (|w_j|^2 + s^2)), independently in each z_j.
    """
    from scipy.stats import multivariate_normal

    generator = np.random.default_rng(0)
    dimensions, latents, stddev, draws = 6, 2, 0.5, 20_000
    w = np.linalg.qr(generator.normal(size=(dimensions, latents)))[0] * [1.5, 0.7]
    b = generator.normal(size=dimensions)
    x = w @ generator.normal(size=latents) + b + stddev * generator.normal(size=dimensions)
    precision = (np.square(w).sum(0) + stddev**2) / stddev**2
    mean = np.broadcast_to(w.T @ (x - b) / stddev**2 / precision, (draws, latents))
    log_var = np.broadcast_to(-np.log(precision), (draws, latents))
    z = elbo.reparameterize(mean, log_var, generator.normal(size=(draws, latents)))
    reconstructions = (z @ w.T + b).numpy()[:, :, None, None]
    images = np.broadcast_to(x[:, None, None], reconstructions.shape)
    loss = elbo.gaussian_nll(images, reconstructions, 2 * math.log(stddev))
    loss += elbo.sum_per_example(elbo.standard_normal_kl(mean, log_var))
    exact = -multivariate_normal(b, w @ w.T + stddev**2 * np.eye(dimensions)).logpdf(x)
    standard_error = np.std(loss) / math.sqrt(draws)
    assert 0 < standard_error < 0.02
    assert np.mean(loss) == pytest.approx(exact, abs=4 * float(standard_error))


def test_labels_are_asked_for():
    model = build_model("cvae", GRAY, hidden=[4])
    with pytest.raises(UserError, match="model 'cvae' is conditional: give labels"):
        model.generate(np.zeros((2, 2), np.float32))
