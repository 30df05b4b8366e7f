"""TensorFlow-GAN beside TensorFlow 2.21 and Keras 3: what of it runs, and what is said when it is not there."""

import importlib.util
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from kgen import tfgan
from kgen.errors import UserError


@pytest.fixture
def fresh():
    """No module of TensorFlow-GAN is imported; what was is put back afterwards."""

    def take():
        return {name: sys.modules.pop(name) for name in [*sys.modules] if name.split(".")[0] == "tensorflow_gan"}

    before = take()
    yield
    take()
    sys.modules.update(before)


def test_losses_run_under_xla():
    real, fake = tf.constant([1.0, 3.0]), tf.constant([5.0, 4.0])
    critic = tf.function(tfgan.losses.wargs.wasserstein_discriminator_loss, jit_compile=True)
    assert critic(real, fake).numpy() == 2.5  # mean(5, 4) - mean(1, 3)
    squares = tf.function(tfgan.losses.wargs.least_squares_generator_loss, jit_compile=True)
    assert squares(real).numpy() == 1.0  # half the mean of (1 - 1)^2 and (3 - 1)^2
    penalty = tfgan.module("losses.losses_impl").wasserstein_gradient_penalty
    slope_three = tf.function(
        lambda: penalty(real[:, None], fake[:, None], None, lambda x, _: 3.0 * x, "critic"), jit_compile=True
    )
    np.testing.assert_allclose(slope_three(), 4.0, rtol=1e-6)  # (3 - 1)^2 wherever the points are drawn


def test_features_run():
    tensor = tf.constant(np.arange(32, dtype=np.float32).reshape(2, 2, 2, 4))
    scaled = tfgan.features.group_norm(tensor, groups=2).numpy().reshape(2, 4, 2, 2)
    # Of each image, every group of two channels has mean 0 and variance 1.
    np.testing.assert_allclose(scaled.mean(axis=(1, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.var(axis=(1, 3)), 1, rtol=1e-4)


def test_frechet_distance_of_shifted_activations():
    draw = np.random.default_rng(0)
    real = draw.standard_normal((50, 4))
    distance = tfgan.module("eval.classifier_metrics").frechet_classifier_distance_from_activations
    # Equal covariances, means 3 apart in each of 4 dimensions: 4 * 3^2.
    np.testing.assert_allclose(distance(tf.constant(real), tf.constant(real + 3)), 36, rtol=1e-12)


def test_its_own_front_still_fails(fresh):
    # The day this test fails, `kgen.tfgan` is needed no longer.
    with pytest.raises(AttributeError, match="estimator"):
        importlib.import_module("tensorflow_gan")
    assert tfgan.losses.wargs.wasserstein_generator_loss(tf.constant([2.0])).numpy() == -2.0


def test_an_imported_package_is_used(fresh, tmp_path):
    (tmp_path / "losses.py").write_text("origin = 'imported before'")
    for name in ("tensorflow_gan", "tensorflow_gan.python"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(tmp_path)]
    assert tfgan.losses.origin == "imported before"


def test_no_package(fresh, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="TensorFlow-GAN is not installed: pip install tensorflow-gan"):
        tfgan.module("losses")


def test_no_probability(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_probability", None)
    with pytest.raises(UserError, match=r"'eval' cannot be imported.*tensorflow_probability.*pip install"):
        tfgan.module("eval")


def test_no_such_module():
    with pytest.raises(AttributeError, match=r"'kgen.tfgan' has no attribute 'estimator'"):
        _ = tfgan.estimator
    with pytest.raises(UserError, match=r"'eval.nonsense' cannot be imported"):
        tfgan.module("eval.nonsense")


def test_importing_it_imports_no_tensorflow():
    program = "import sys, kgen.tfgan; print(*({'tensorflow', 'tensorflow_gan', 'tensorflow_hub'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
