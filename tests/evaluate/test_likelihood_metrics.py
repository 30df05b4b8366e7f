"""ELBO, NLL and active units as metrics: their settings, and what is no likelihood."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from kgen.data.reference import RealImages
from kgen.evaluate.compute import Inputs, LikelihoodInputs, kls_picture
from kgen.evaluate.registry import METRICS
from kgen.images import to_unit
from kgen.metrics import likelihood
from kgen.metrics.likelihood import Estimate, elbo, log_likelihood
from kgen.models import build_model
from kgen.sampling import StandardNormal
from kgen.spec import DataSpec

SPEC = DataSpec("toy", (4, 5, 1), num_classes=3)
PIXEL_CNN = {"network": "mlp", "hidden": [4], "width": 4, "layers": 2, "conditioned_layers": 1, "condition": 2}
COUNT = 40


def modelled(name: str = "vae", binarization: str = "fixed", **options) -> LikelihoodInputs:
    """A model with random weights, and images that are black and white unless they are grey."""
    arguments = {"latent_dim": 2} | (PIXEL_CNN if name == "pixel_vae" else {"hidden": [8]})
    model = build_model(name, SPEC, **(arguments | options.pop("model_args", {})))
    draw = np.random.default_rng(0)
    grey = binarization == "none: grey"
    pixels = draw.integers(0, 256, (COUNT, 4, 5, 1)) if grey else 255 * draw.integers(0, 2, (COUNT, 4, 5, 1))
    real = RealImages(pixels.astype(np.uint8), (np.arange(COUNT) % 3).astype(np.int32), "test", "h")
    return LikelihoodInputs(
        model, StandardNormal((2,)), real, binarization, **({"samples": 20, "images": 15} | options)
    )


def compute(name: str, given: LikelihoodInputs, **options):
    inputs = Inputs(None, None, None, likelihood=given, **options)
    return METRICS[name](inputs), inputs


def test_the_bound_is_the_sum_of_its_terms():
    given = modelled()
    values, _ = compute("elbo", given, seed=5)
    found = elbo(given.model, given.prior, given.unit_images, None, seed=5)
    for name, terms in (
        ("neg_elbo", found.reconstruction + found.kl), ("reconstruction", found.reconstruction), ("kl", found.kl),
    ):  # fmt: skip
        assert values[name].value == pytest.approx(terms.mean(), rel=1e-12)
        half = 1.96 * terms.std(ddof=1) / math.sqrt(COUNT)
        low, high = values[name].interval
        assert (low, high) == pytest.approx((terms.mean() - half, terms.mean() + half), rel=1e-9)
        assert values[name].count is None and not values[name].note
    bits, nats = values["elbo_bits_per_dim"], values["neg_elbo"]
    assert bits.value == pytest.approx(nats.value / 20 / math.log(2), rel=1e-12)  # 4 x 5 pixels
    assert bits.interval == pytest.approx([end / 20 / math.log(2) for end in nats.interval], rel=1e-12)


def test_nll_is_of_some_images_and_says_of_how_many_samples():
    given = modelled()
    values, _ = compute("nll", given, seed=2)
    some = given.real.some(15)
    found = log_likelihood(given.model, given.prior, to_unit(some.pixels), None, samples=20, seed=2)
    assert values["nll"].value == pytest.approx(-found.log_likelihood.mean(), rel=1e-12)
    half = 1.96 * found.log_likelihood.std(ddof=1) / math.sqrt(15)
    assert values["nll"].interval == pytest.approx((values["nll"].value - half, values["nll"].value + half))
    assert values["nll_bits_per_dim"].value == pytest.approx(values["nll"].value / 20 / math.log(2))
    assert values["effective_samples"].value == np.median(found.effective_samples) <= 20
    settings = {"binarization": "fixed", "base_measure": "counting", "samples": 20}
    assert all(one.count == 15 and one.settings == settings for one in values.values())
    assert values["nll"].value < compute("elbo", given)[0]["neg_elbo"].interval[1]


@pytest.mark.parametrize(
    ("effective", "note"), [(4.94, "loose: median effective sample size 4.9 is below 5"), (5.0, "")]
)
def test_an_estimate_of_few_effective_samples_is_called_loose(effective, note, monkeypatch):
    estimate = Estimate(np.arange(-15.0, 0.0), np.arange(-16.0, -1.0), np.full(15, effective))
    monkeypatch.setattr(likelihood, "log_likelihood", lambda *given, **options: estimate)
    values, _ = compute("nll", modelled())
    assert (values["nll"].value, values["nll"].note) == (8.0, note)
    assert values["effective_samples"].value == effective


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "binarization", "expected"),
    [
        ("vae", {}, "fixed", {"base_measure": "counting"}),
        ("vae", {}, "dynamic", {"base_measure": "counting"}),
        ("cvae", {}, "threshold", {"base_measure": "counting", "given": "label"}),
        ("vae", {"likelihood": "gaussian"}, "none: grey", {"base_measure": "Lebesgue on [0,1]^D"}),
        ("vae", {"likelihood": "gaussian_learned"}, "none: grey", {"base_measure": "Lebesgue on [0,1]^D"}),
        ("pixel_vae", {}, "fixed", {"base_measure": "counting"}),
        ("pixel_vae", {"levels": 4}, "none: grey", {"base_measure": "counting of 4 levels"}),
        # It rounds grey pixels to black and white, which is a threshold at 0.5.
        ("pixel_vae", {}, "none: grey", {"base_measure": "counting", "binarization": "threshold"}),
    ],
)
def test_a_likelihood_says_of_what_it_is(name, arguments, binarization, expected):
    given = modelled(name, binarization, model_args=arguments)
    values, _ = compute("elbo", given)
    expected = {"binarization": binarization} | expected
    assert all(one.settings == expected and one.value is not None for one in values.values())
    assert (given.is_likelihood, values["neg_elbo"].note) == (True, "")


def test_bits_of_a_density_are_of_256_grey_levels():
    given = modelled(binarization="none: grey", model_args={"likelihood": "gaussian", "stddev": 0.3})
    values, _ = compute("elbo", given)
    nats, bits = values["neg_elbo"].value, values["elbo_bits_per_dim"]
    assert bits.value == pytest.approx(nats / 20 / math.log(2) + 8) and "not dequantized" in bits.note


def test_a_density_of_black_and_white_pixels_is_told_with_a_warning():
    given = modelled(model_args={"likelihood": "gaussian"})
    values, _ = compute("elbo", given)
    assert values["neg_elbo"].value is not None and "no upper bound" in values["neg_elbo"].note
    assert values["elbo_bits_per_dim"].value is None


@pytest.mark.parametrize("name", ["elbo", "nll"])
def test_grey_pixels_have_no_bernoulli_likelihood(name):
    given = modelled(binarization="none: grey")
    assert not given.is_likelihood
    values, _ = compute(name, given)
    assert {*values} == {*METRICS[name].values}
    for one in values.values():
        assert one.value is None and one.interval is None
        assert "--binarize sample" in one.note and "likelihood=gaussian_learned" in one.note
    anyway, _ = compute(name, given, anyway=True)
    first = next(iter(anyway.values()))
    assert first.value > 0 and first.note.startswith("no likelihood: grey pixels")
    assert first.settings["base_measure"] == "none: cross-entropy" and first.settings["binarization"] == "none: grey"
    assert anyway[f"{name}_bits_per_dim"].value is None


def test_weights_that_are_not_finite_give_no_value():
    given = modelled()
    given.model.decoder.trainable_variables[-1].assign(np.full(20, np.nan, np.float32))
    for name in ("elbo", "nll"):
        values, _ = compute(name, given)
        first = next(iter(values.values()))
        assert (first.value, first.interval, first.note) == (None, None, "the model's likelihood is not finite")


class Known:
    """Of a posterior with known means: one dimension varies by more than 0.1 (variance 0.01), one by less, one not."""

    conditional, code_dim = False, 3

    def posterior(self, images, labels=None):
        import tensorflow as tf

        step = tf.reshape(images, (-1, 20))[:, :1] * 2 - 1  # -1 or 1: its variance is 1 (40 / 39 of 40)
        mean = step * [[0.11, 0.09, 0.0]] + [[0.0, 0.0, 7.0]]
        return mean, tf.zeros_like(mean)


def test_active_units_are_those_whose_mean_varies():
    pixels = np.zeros((COUNT, 4, 5, 1), np.uint8)
    pixels[::2] = 255
    real = RealImages(pixels, np.zeros(COUNT, np.int32), "test", "h")
    values, inputs = compute("active_units", LikelihoodInputs(Known(), StandardNormal((3,)), real, "none: grey"))
    found = values["active_units"]
    assert (found.value, found.note, found.settings) == (1.0, "of 3", {"variance_above": 0.01})
    assert inputs.pictures["kls"].dtype == np.uint8 and inputs.pictures["kls"].shape[2] == 3


def test_the_picture_shows_the_kls_in_order(monkeypatch):
    import matplotlib.axes

    bars = []
    monkeypatch.setattr(
        matplotlib.axes.Axes, "bar", lambda axes, x, height, **options: bars.append((x, height, options["label"]))
    )
    monkeypatch.setattr(matplotlib.axes.Axes, "legend", lambda axes: None)
    picture = kls_picture(np.array([0.1, 2.0, 0.0, 3.0]), np.array([0, 1, 0, 1], bool))
    (places, heights, label), (dead_places, dead_heights, dead_label) = bars
    assert places.tolist() == [0, 1] and heights.tolist() == [3.0, 2.0] and label == "2 active"
    assert dead_places.tolist() == [2, 3] and dead_heights.tolist() == [0.1, 0.0] and dead_label == "2 not active"
    assert picture.ndim == 3 and len(np.unique(picture)) > 2


def test_the_posterior_is_computed_once():
    calls = []
    known = Known()
    model = SimpleNamespace(conditional=False, posterior=lambda *given: calls.append(given) or known.posterior(*given))
    real = RealImages(np.zeros((3, 4, 5, 1), np.uint8), np.zeros(3, np.int32), "test", "h")
    given = LikelihoodInputs(model, StandardNormal((3,)), real, "fixed")
    assert given.posterior is given.posterior and given.labels is None
    traced = len(calls)
    compute("active_units", given)
    assert len(calls) == traced
