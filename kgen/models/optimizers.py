"""Optimizers by their names, and those that a model was registered with."""

import keras

from kgen.registry import Registry

DEFAULTS = {"optimizer": "adam", "beta_1": 0.9, "beta_2": 0.999}
"""Of models that are registered without an `optimizer` of their own."""


def build_optimizer(kind: str, learning_rate, *, beta_1: float, beta_2: float) -> keras.optimizers.Optimizer:
    """An optimizer: "adam" (which alone has the betas), "rmsprop" or "sgd".

    RMSprop is PyTorch's, with which Arjovsky et al. 2017 trained: it keeps 0.99 of the mean square, and divides by its
    root plus 1e-8. Keras adds its epsilon under the root: its 1e-7 would hold back gradients smaller than 3e-4.
    """
    if kind == "rmsprop":
        return keras.optimizers.RMSprop(learning_rate, rho=0.99, epsilon=1e-16)
    if kind == "sgd":
        return keras.optimizers.SGD(learning_rate)
    return keras.optimizers.Adam(learning_rate, beta_1=beta_1, beta_2=beta_2)


def registered_optimizers(models: Registry, name: str) -> dict[str, keras.optimizers.Optimizer]:
    """Phase -> the optimizer that the model of this name was registered with."""
    own = models.defaults(name)
    chosen = DEFAULTS | own.get("optimizer", {})
    betas = {key: chosen[key] for key in ("beta_1", "beta_2")}
    return {phase: build_optimizer(chosen["optimizer"], rate, **betas) for phase, rate in own["learning_rates"].items()}
