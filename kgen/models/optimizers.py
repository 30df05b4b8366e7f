"""Optimizers by their names, and those of a preset."""

import keras

from kgen.models.presets import PRESETS
from kgen.nn.cpu_kernels import Adam


def build_optimizer(kind: str, learning_rate, *, beta_1: float, beta_2: float) -> keras.optimizers.Optimizer:
    """An optimizer by its name in TrainConfig; only Adam has the betas.

    RMSprop is PyTorch's, with which Arjovsky et al. 2017 trained: its mean square decays by 0.99, and it divides by its
    root plus 1e-8. Keras adds its epsilon under the root: its 1e-7 would hold back gradients smaller than 3e-4.
    """
    if kind == "rmsprop":
        return keras.optimizers.RMSprop(learning_rate, rho=0.99, epsilon=1e-16)
    if kind == "sgd":
        return keras.optimizers.SGD(learning_rate)
    return Adam(learning_rate, beta_1=beta_1, beta_2=beta_2)


def preset_optimizers(name: str) -> dict[str, keras.optimizers.Optimizer]:
    """Phase -> the optimizer of a preset; an unknown name raises UserError."""
    preset = PRESETS[name]
    betas = {"beta_1": preset.beta_1, "beta_2": preset.beta_2}
    return {phase: build_optimizer(preset.optimizer, rate, **betas) for phase, rate in preset.learning_rates.items()}
