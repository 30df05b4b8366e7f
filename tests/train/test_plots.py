"""Figures of a training: units, whole epochs, constants, values in balance; read from the figures, not from pixels."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kgen.losses.adversarial import LOSSES
from kgen.train.plots import curves_canvas, norms_canvas, quality_canvas
from kgen.train.terms import describe

GAN = {"loss": "non_saturating", "label_smoothing": 0.0}


def panels(canvas) -> dict:
    """Title -> panel."""
    canvas.to_array()  # draws, so that marks have their places
    return {axes.get_title(): axes for axes in canvas.figure.axes}


def rows_of(**values):
    """Rows of so many epochs, KEY -> values."""
    count = max(map(len, values.values()))
    return [{"epoch": i + 1} | {key: v[i] for key, v in values.items() if i < len(v)} for i in range(count)]


def marks(axis) -> list[str]:
    low, high = axis.get_view_interval()
    return [t.get_text() for t, place in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
            if low <= place <= high]  # fmt: skip


def test_axes_have_units_and_whole_epochs_and_no_text_is_cut_off():
    for epochs in (1, 2, 3):
        rows = rows_of(train_loss=[3e5, 2e5, 1e5][:epochs], train_kl=[1e-7, 2e-7, 3e-7][:epochs], validation_loss=[3.0])
        canvas = curves_canvas(rows, title="a run", model_args={"latent_dim": 2})
        found = panels(canvas)
        assert [*found] == ["loss", "KL"] and found["KL"].get_ylabel() == "nats per image"
        assert marks(found["loss"].xaxis) == [str(n + 1) for n in range(epochs)]
        full = canvas.figure.bbox
        texts = [t for axes in found.values() for t in (axes.title, axes.xaxis.label, axes.yaxis.label)]
        for text in texts:
            box = text.get_window_extent()
            assert min(box.x0, box.y0) >= 0 and box.x1 <= full.x1 and box.y1 <= full.y1
        assert [t.get_text() for t in canvas.figure.legends[0].get_texts()] == ["train", "validation"]


def test_metrics_of_samples_relative_to_training_images_are_no_terms():
    rows = rows_of(train_loss=[2.0, 1.0], health_diversity=[0.9, 0.9], train_kid=[0.2, 0.1], train_copies=[None, None])
    found = panels(curves_canvas(rows, title="", model_args=GAN, leave_out=("kid", "copies")))
    assert [*found] == ["loss", "diversity"]


def test_rounding_is_drawn_as_a_constant_and_a_share_on_its_whole_range():
    rows = rows_of(train_loss=[300.0, 300.0 + 1e-4, 300.0], health_saturated=[0.0] * 3, train_kl=[0.5, 0.50005, 0.5])
    found = panels(curves_canvas(rows, title="", model_args={}))
    assert found["loss"].get_ylim() == pytest.approx((150, 450), abs=0.01)
    zero = panels(curves_canvas(rows_of(train_loss=[0.0, 0.0]), title="", model_args={}))
    assert zero["loss"].get_ylim() == (-0.04, 1.0)
    assert found["saturated"].get_ylim() == (-0.04, 1.04) and found["saturated"].get_ylabel() == "share of the pixels"
    assert found["KL"].yaxis.get_offset_text().get_text() == "" and "0.50005" in marks(found["KL"].yaxis)
    rows = rows_of(train_generator_gradient=[1e-3, 1.0, 1e3], train_loss=[math.nan, math.inf, 1.0])
    found = panels(curves_canvas(rows, title="", model_args=GAN))
    assert found["generator gradient"].get_yscale() == "log" and found["loss"].get_yscale() == "linear"


def test_values_in_balance_are_drawn_and_named():
    rows = rows_of(**{f"train_discriminator_{name}": [0.7, 0.8] for name in ("loss", "real", "fake", "gradient")})
    found = panels(curves_canvas(rows, title="", model_args=GAN))
    for name, value, words in (("loss", math.log(4), "log 4"), ("real", 0.5, "0.5"), ("fake", 0.5, "0.5")):
        axes = found[f"discriminator {name}"]
        assert axes.lines[-1].get_ydata()[0] == pytest.approx(value) and axes.get_ylim()[1] > value
        assert [t.get_text() for t in axes.get_legend().get_texts()] == [f"balance: {words}"]
    assert found["discriminator gradient"].get_legend() is None
    assert found["discriminator real"].get_ylabel() == "probability of being real"


@pytest.mark.parametrize(("loss", "smoothing"), [*((name, 0.0) for name in LOSSES), ("non_saturating", 0.2)])
def test_values_in_balance_are_those_of_the_losses(loss, smoothing):
    """The same images real and generated: over D's constant output, D's loss is least at its balance."""
    args = {"loss": loss, "label_smoothing": smoothing}
    outputs = np.linspace(-2, 2, 4001, dtype=np.float32)  # D's one output; logits of 0 are in the middle
    discriminator = np.asarray(LOSSES[loss].discriminator(tf.constant(outputs), tf.constant(outputs), smoothing))
    if loss == "relativistic":  # a mean over the batch
        discriminator = np.full(4001, float(discriminator.mean()))
        discriminator[:] = LOSSES[loss].discriminator(tf.zeros(1), tf.zeros(1), 0.0).numpy()
    best = int(discriminator.argmin())
    value, _ = describe("discriminator_loss", args).balance
    assert value == pytest.approx(discriminator.min(), abs=1e-6)
    fake = outputs[best : best + 1]
    if (generator := describe("generator_loss", args).balance) is not None:
        expected = LOSSES[loss].generator(tf.constant(fake), tf.constant(fake))
        assert generator[0] == pytest.approx(float(expected[0]), abs=1e-3)
    if (real := describe("discriminator_real", args).balance) is not None:
        output = float(tf.sigmoid(fake)[0]) if LOSSES[loss].smooths else float(fake[0])
        assert real[0] == pytest.approx(output, abs=1e-3)


def test_quality_names_the_best_epoch_and_norms_the_epochs():
    rows = rows_of(validation_fid=[5.0, 3.0, None, 4.0], validation_classes_covered=[10, 10, 10, 10])
    canvas = quality_canvas(rows, {"fid": "lower", "classes_covered": "higher"}, "validation", title="")
    found = panels(canvas)
    assert [t.get_text() for t in found["FID (validation)"].get_legend().get_texts()] == ["best: 3, epoch 2"]
    assert found["classes covered (validation)"].get_ylim() == (5, 15)
    axes = norms_canvas({"elbo/a/kernel": [1.0] * 12}, list(range(1, 13)), title="a run").figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "3", "5", "7", "9", "11"]
