"""Histograms of gradients and weights: what is written, and that the gradients are those of the game."""

import numpy as np
import pytest
import tensorflow as tf
from model_case import Case
from tensorboard.plugins.histogram.summary_v2 import histogram_pb

import kgen
from kgen import checkpoints
from kgen.config import override
from kgen.train import callbacks, train
from kgen.train.callbacks import MAX_HISTOGRAM_VALUES, gradients_of, thinned
from kgen.train.checkpointing import model_variables
from kgen.train.loggers.tensorboard import buckets

ARGS = {"hidden": [8], "latent_dim": 3, "dropout": 0.0}


def test_the_gradient_by_the_last_bias_is_the_mean_error_of_the_discriminator():
    """By the bias b of a logit the loss softplus(-D(x)) + softplus(D(G(z))) changes by -(1 - p(x)) + p(G(z))."""
    case = Case("gan", model_args=ARGS | {"label_smoothing": 0.0})
    model, (images, labels) = case.compiled(), case.examples(6)
    phase = model.phases()[0]
    found = dict(zip([w.path for w in phase.weights], gradients_of(model, phase, (images, labels)), strict=True))
    terms = phase.terms(images, labels, training=False)
    expected = np.mean(terms["fake"]) - np.mean(1 - terms["real"])
    # The mean of 6 sums of two terms below 1, each rounded some times to 2^-24 = 6e-8: 2 * 6e-8 * 4 = 5e-7.
    np.testing.assert_allclose(found["logit/bias"], [expected], rtol=0, atol=5e-7)


@pytest.mark.slow
@pytest.mark.figures
def test_every_weight_has_its_histograms(tmp_path):
    """In mixed precision, too."""
    settings = {"model": "gan", "data.limit": 64, "train.batch_size": 16, "train.epochs": 2, "train.jit_compile": False}
    settings |= {"train.precision": "mixed_bfloat16"}
    run = train(
        override(kgen.RunConfig(), settings | {f"model_args.{k}": v for k, v in ARGS.items()}),
        run_dir=str(tmp_path / "run"),
    )
    (file,) = (run.path / "tensorboard").iterdir()
    tags = [(event.step, value.tag) for record in tf.data.TFRecordDataset(str(file))
            for event in [tf.compat.v1.Event.FromString(record.numpy())] for value in event.summary.value
            if value.metadata.plugin_data.plugin_name == "histograms"]  # fmt: skip
    model = run.load_model("last")
    names = [f"{phase.name}/{weight.path}" for phase in model.phases() for weight in phase.weights]
    assert sorted(tags) == sorted(
        (epoch, f"{kind}/{name}") for epoch in (1, 2) for kind in ("weights", "gradients") for name in names
    )


@pytest.mark.parametrize("size", [1, 2, 30, 5000])
def test_buckets_are_those_of_tensorboard(size):
    random = np.random.default_rng(0).normal(size=size)
    for values in (random, np.float32(1e-6 * random), np.zeros(size), np.arange(size)):
        # Edges are min + i * width in both, of 3 roundings to 2^-53 = 1.1e-16 of the largest: 1e-15.
        atol = 1e-15 * max(1e-300, np.abs(values).max())
        expected = tf.make_ndarray(histogram_pb("tag", values).value[0].tensor)
        np.testing.assert_allclose(buckets(values), expected, rtol=0, atol=atol)


def test_large_weights_are_thinned_out():
    values = np.arange(3.5 * MAX_HISTOGRAM_VALUES).reshape(10, -1)
    thin = thinned(values)
    assert (
        len(thin) <= MAX_HISTOGRAM_VALUES
        and thin[0] == 0
        and (np.diff(thin) == 4).all()
        and thin[-1] > values.max() - 4
    )
    np.testing.assert_array_equal(thinned(values[:1, :7]), values[0, :7])


@pytest.mark.slow
def test_they_are_taken_at_the_trained_weights_and_not_at_their_averages(tmp_path, monkeypatch):
    seen = []

    def spy(model, phase, batch):
        tf.py_function(lambda: seen.append([weight.numpy() for weight in model_variables(model)]), [], [])
        return gradients_of(model, phase, batch)

    monkeypatch.setattr(callbacks, "gradients_of", spy)
    settings = {"model": "gan", "data.limit": 64, "train.batch_size": 16, "train.epochs": 1, "train.jit_compile": False}
    settings |= {f"model_args.{k}": v for k, v in ARGS.items()} | {"train.ema_halflife_images": 1e6}
    run = train(override(kgen.RunConfig(), settings), run_dir=str(tmp_path / "run"))
    arrays = checkpoints.read(run.checkpoint("last")).arrays
    assert len(seen) == 2  # phases
    for i, weight in enumerate(seen[0]):
        np.testing.assert_array_equal(weight, arrays[f"model/{i}"])
    assert any(np.any(arrays[name] != arrays[name.replace("average", "model")]) for name in arrays if "average" in name)
