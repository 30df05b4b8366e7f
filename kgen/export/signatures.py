"""What an exported model can be asked: its signatures, as functions of tensors.

Every function is flat (the names of its arguments are those of the signature's inputs) and batch-major: row i of every
output is a function of row i of the inputs alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from kgen.images import to_uint8_tensor
from kgen.portable import SEED_LIMIT
from kgen.sampling import Prior
from kgen.sampling.great_circle import between

DEFAULT = "serving_default"
PNG = "generate_png"
LEAST_ROWS = 4
"""Matrix kernels for fewer rows (measured: 1 and 3) add in another order than those for more, and"""
VECTOR = 16
"""functions like a cosine round otherwise in what is left of an array after whole vectors of so many. Batches are
filled up, so that an image has the same pixels whatever it is asked for with."""
LARGEST_TEMPERATURE = 10.0


@dataclass(frozen=True)
class Signature:
    """A function and what it takes.

    Attributes:
        call: takes tensors in the order of `inputs`, returns a dict of tensors.
        inputs: with a batch of the size that was asked for.
    """

    call: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]

    def traced(self) -> tf.types.experimental.ConcreteFunction:
        return tf.function(self.call).get_concrete_function(*self.inputs)


def signatures(model, density: Prior, batch_size: int | None = None) -> dict[str, Signature]:
    """The signatures of a model.

    Where the model is conditional, all but those of no images take `label` [B] int32.

    Args:
        model: a GenerativeModel.
        density: what seeds draw z from.
        batch_size: fixed, or None for any.

    Returns:
        "serving_default": seed [B] int32 -> {"images": [B, H, W, C] float32 in [0, 1]};
        "generate", "generate_u8", "generate_png": seed, temperature [B] float32 -> {"images"}, {"images" uint8},
        {"png_bytes": [B] strings}; "decode": z [B, *latent_shape] -> {"images"}; "interpolate": z0, z1, t [B] ->
        {"images"}; "encode", where the model has an encoder: images -> {"mean", "log_var"}, each [B, *latent_shape].
    """

    def spec(name, shape=(), dtype=tf.float32):
        return tf.TensorSpec([batch_size, *shape], dtype, name=name)

    label = (spec("label", dtype=tf.int32),) if model.conditional else ()
    seed, temperature, z = spec("seed", dtype=tf.int32), spec("temperature"), model.latent_shape
    core, draw, path = model.generate, density.graph_draw, between
    if batch_size is None:
        core = filled(core, least=LEAST_ROWS)
        draw, path = (filled(function, multiple=VECTOR) for function in (draw, path))
    core, draw = tf.function(core), tf.function(draw)

    def given(arguments):
        """(label or None, the others)."""
        return (arguments[0], arguments[1:]) if label else (None, arguments)

    def drawn(*arguments):
        label, (seed, *temperature) = given(arguments)
        (temperature,) = temperature or (tf.ones_like(seed, tf.float32),)
        return core(draw(seed, label, temperature), label)

    def decode(z, label=None):
        return {"images": core(z, label)}

    def interpolate(z0, z1, *rest):
        label, (t,) = given(rest)
        return {"images": core(path(z0, z1, t), label)}

    def encode(images, label=None):
        mean, log_var = model.encode(images, label)
        return {"mean": mean, "log_var": log_var}

    found = {
        DEFAULT: Signature(lambda *a: {"images": drawn(*a)}, (*label, seed)),
        "generate": Signature(lambda *a: {"images": drawn(*a)}, (*label, seed, temperature)),
        "generate_u8": Signature(lambda *a: {"images": to_uint8_tensor(drawn(*a))}, (*label, seed, temperature)),
        PNG: Signature(
            lambda *a: {"png_bytes": tf.io.encode_png(to_uint8_tensor(drawn(*a)))}, (*label, seed, temperature)
        ),
        "decode": Signature(decode, (spec("z", z), *label)),
        "interpolate": Signature(interpolate, (spec("z0", z), spec("z1", z), *label, spec("t"))),
    }
    if hasattr(model, "encode"):
        found["encode"] = Signature(encode, (spec("images", model.spec.image_shape), *label))
    return found


def ranges(spec) -> dict[str, list[float]]:
    """Name of an input -> [least, greatest] value that it may have; latent points may have any that is finite."""
    found: dict[str, Any] = {"seed": [0, SEED_LIMIT - 1], "temperature": [0, LARGEST_TEMPERATURE], "t": [0, 1]}
    return found | {"images": [0, 1]} | ({"label": [0, spec.num_classes - 1]} if spec.num_classes else {})


def filled(function, *, least: int = 1, multiple: int = 1):
    """A function of rows that gets at least so many and a multiple of so many: the last is repeated as it takes.

    Args:
        function: of tensors (or None) with one first dimension, of at least one row; returns one such tensor.
    """

    def call(*tensors):
        count = tf.shape(tensors[0])[0]
        rows = -(-tf.maximum(count, least) // multiple) * multiple
        places = tf.minimum(tf.range(rows), count - 1)
        return function(*(x if x is None else tf.gather(x, places) for x in tensors))[:count]

    return call
