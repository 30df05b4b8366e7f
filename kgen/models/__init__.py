"""The models. A new one is a file here and a line below."""

from kgen.models import gan, pixel_vae, vae, vae_gan  # noqa: F401  (they register themselves)
from kgen.models.base import MODELS, GenerativeModel, Phase
from kgen.spec import DataSpec

__all__ = ["MODELS", "GenerativeModel", "Phase", "build_model"]


def build_model(name: str, spec: DataSpec, *, seed: int = 0, **model_args) -> GenerativeModel:
    """A new model, not yet compiled.

    Args:
        name: a registered model, e.g. "cvae".
        spec: of the data.
        seed: root of the initial weights and the training noise.
        **model_args: the model's own arguments; see its class.

    Raises:
        UserError: an unknown name or argument, or a model that does not fit the data.
    """
    from kgen.config import resolve_model_args

    return MODELS[name](spec, seed=seed, **resolve_model_args(MODELS[name], model_args))
