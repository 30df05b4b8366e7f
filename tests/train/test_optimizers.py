"""The optimizers of phases: schedules that last the whole training, and what a model is registered with."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen.config import override
from kgen.models.optimizers import Adam, build_optimizer
from kgen.models.presets import PRESETS
from kgen.spec import DataSpec
from kgen.train import train

SPEC = DataSpec("toy", (28, 28, 1), num_classes=3)


@pytest.mark.slow
def test_a_cosine_lasts_as_long_for_a_critic_of_five_steps(tmp_path, monkeypatch):
    """At the end both rates are 0, though one optimizer has moved 20 times and the other 4; half way they are half."""
    seen = []
    compiled = kgen.models.GenerativeModel.compile

    def spy(model, optimizer, **arguments):
        seen.append(optimizer)
        return compiled(model, optimizer, **arguments)

    monkeypatch.setattr(kgen.models.GenerativeModel, "compile", spy)
    settings = {
        "model": "wgan_gp", "data.limit": 20, "model_args.network": "mlp", "model_args.hidden": [4],
        "model_args.latent_dim": 2, "model_args.batch_norm": False, "train.epochs": 2, "train.batch_size": 10,
        "train.schedule": "cosine", "train.learning_rate": 0.01, "train.jit_compile": False,
    }  # fmt: skip
    train(override(kgen.RunConfig(), settings), run_dir=str(tmp_path / "run"))
    ((critic, generator),) = ((found["discriminator"], found["generator"]) for found in seen)
    for optimizer, moves in ((critic, 20), (generator, 4)):
        assert int(optimizer.iterations) == moves
        assert float(optimizer.learning_rate) == pytest.approx(0, abs=1e-9)
        optimizer.iterations.assign(moves // 2)
        assert float(optimizer.learning_rate) == pytest.approx(0.005)


def test_rmsprop_is_that_of_pytorch():
    """v = 0.99 v + 0.01 g^2; w -= rate g / (sqrt(v) + 1e-8), also for gradients far below Keras' own floor of 3e-4."""
    gradients, w, v = [1e-6, 3e-6, 2e-6], 0.0, 0.0
    weight, optimizer = keras.Variable([0.0]), build_optimizer("rmsprop", 1e-3, beta_1=0.9, beta_2=0.999)
    for g in gradients:
        optimizer.apply([tf.constant([g])], [weight])
        v = 0.99 * v + 0.01 * g * g
        w -= 1e-3 * g / (np.sqrt(v) + 1e-8)
        assert float(weight[0]) == pytest.approx(w, rel=0.1)  # 1e-8 is a tenth of the first root
    assert abs(w) > 1e-4


@pytest.mark.parametrize("model, kind, settings", [
    ("wgan", keras.optimizers.RMSprop, {"rho": 0.99, "momentum": 0.0}),
    ("wgan_gp", Adam, {"beta_1": 0.0, "beta_2": 0.9}),
    ("dcgan", Adam, {"beta_1": 0.0, "beta_2": 0.99}),
    ("vae", Adam, {"beta_1": 0.9, "beta_2": 0.999}),
])  # fmt: skip
def test_compile_alone_takes_the_optimizers_of_the_registration(model, kind, settings):
    built = kgen.build_model(model, SPEC)
    built.compile()
    rates = PRESETS[model].learning_rates
    assert built.phase_optimizers.keys() == rates.keys()
    for phase, optimizer in built.phase_optimizers.items():
        assert type(optimizer) is kind and float(optimizer.learning_rate) == pytest.approx(rates[phase])
        assert {name: getattr(optimizer, name) for name in settings} == settings
