"""How exact a trained model itself is in float32: its images beside those of the same weights in float64.

A sharp generator amplifies the rounding of its sums more than a smooth one. Where its own images are off by 4e-6, those
of another runtime, which adds the same numbers in another order, cannot be held to within 1e-5 of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import numpy as np

from kgen.models import GenerativeModel, build_model
from kgen.sampling import ModelSampler


def exact_decoder(name: str, model: GenerativeModel) -> Callable[[np.ndarray, np.ndarray | None], np.ndarray] | None:
    """(z, labels as classes) -> images [N, H, W, C] float64, by the weights of a model.

    None for a model that samples pixel by pixel, where rounding changes whole images.

    Args:
        name: of the model's preset.
        model: in float32.
    """
    if model.code_dim != model.latent_shape[0]:
        return None
    with _float64():
        exact = build_model(name, model.spec, **model.model_args())
        for ours, theirs in zip(exact.networks, model.networks, strict=True):
            for weight, value in zip(ours.weights, theirs.weights, strict=True):
                weight.assign(np.asarray(value).astype(weight.dtype))

    def decode(z, labels):
        with _float64():
            return ModelSampler(exact).decode(z.astype(np.float64), labels)

    return decode


@contextmanager
def _float64() -> Iterator[None]:
    """Keras computes in float64 meanwhile."""
    floatx, policy = keras.config.floatx(), keras.mixed_precision.global_policy()
    keras.config.set_floatx("float64")
    keras.mixed_precision.set_global_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.mixed_precision.set_global_policy(policy)
