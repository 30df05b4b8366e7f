"""A model's `decode` and `encode` as the signatures of a SavedModel that needs neither kgen nor Keras."""

from pathlib import Path

import tensorflow as tf


def signatures(model, batch_size: int | None = None) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """The model's pure functions, traced.

    Args:
        model: a GenerativeModel.
        batch_size: fixed, or None for any.

    Returns:
        "decode": z [B, *latent_shape] float32 (, label [B] int32) -> {"images": [B, H, W, C] float32 in [0, 1]};
        "encode" where the model has an encoder: images (, label) -> {"mean", "log_var"}.
    """
    z = tf.TensorSpec([batch_size, *model.latent_shape], tf.float32, name="z")
    images = tf.TensorSpec([batch_size, *model.spec.image_shape], tf.float32, name="images")
    label = [tf.TensorSpec([batch_size], tf.int32, name="label")] if model.conditional else []

    def decode(z, label=None):
        return {"images": model.generate(z, label)}

    def encode(images, label=None):
        mean, log_var = model.encode(images, label)
        return {"mean": mean, "log_var": log_var}

    traced = {"decode": tf.function(decode).get_concrete_function(z, *label)}
    if hasattr(model, "encode"):
        traced["encode"] = tf.function(encode).get_concrete_function(images, *label)
    return traced


def write_saved_model(functions: dict[str, tf.types.experimental.ConcreteFunction], path: Path):
    """Writes the signatures with the variables that they use, each once."""
    module = tf.Module()
    module.kept = list({id(v): v for function in functions.values() for v in function.variables}.values())
    tf.saved_model.save(module, str(path), signatures=functions)
