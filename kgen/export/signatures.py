"""What an exported model can be asked: its signatures, as functions of tensors.

Every function is flat (the names of its arguments are those of the signature's inputs) and batch-major: row i of every
output depends on row i of the inputs alone. Kernels for other numbers of rows add in another order, so floats agree
only to rounding however rows are batched (`agreement.py`), and a pixel at the border of two grey levels may differ.
Decoding row by row would give the same bits, in 2.4 to 5.1 times the time for a batch of 64 (`tools/bench_rows.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from kgen.images import to_uint8_tensor
from kgen.random import SEED_LIMIT
from kgen.sampling import Prior
from kgen.sampling.slerp import slerp

DEFAULT = "serving_default"
PNG = "generate_png"
LARGEST_TEMPERATURE = 10.0


@dataclass(frozen=True)
class ExportSignature:
    """A function and what it takes.

    Attributes:
        call: takes tensors in the order of `inputs`, returns a dict of tensors.
        inputs: with a batch of the size that was asked for.
    """

    call: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]

    def traced(self) -> tf.types.experimental.ConcreteFunction:
        return tf.function(self.call).get_concrete_function(*self.inputs)


def signatures(model, density: Prior, batch_size: int | None = None) -> dict[str, ExportSignature]:
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
    core, draw = tf.function(model.generate), tf.function(density.graph_sample)

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
        return {"images": core(slerp(z0, z1, t), label)}

    def encode(images, label=None):
        mean, log_var = model.encode(images, label)
        return {"mean": mean, "log_var": log_var}

    found = {
        DEFAULT: ExportSignature(lambda *a: {"images": drawn(*a)}, (*label, seed)),
        "generate": ExportSignature(lambda *a: {"images": drawn(*a)}, (*label, seed, temperature)),
        "generate_u8": ExportSignature(lambda *a: {"images": to_uint8_tensor(drawn(*a))}, (*label, seed, temperature)),
        PNG: ExportSignature(
            lambda *a: {"png_bytes": tf.io.encode_png(to_uint8_tensor(drawn(*a)))}, (*label, seed, temperature)
        ),
        "decode": ExportSignature(decode, (spec("z", z), *label)),
        "interpolate": ExportSignature(interpolate, (spec("z0", z), spec("z1", z), *label, spec("t"))),
    }
    if model.has_encoder:
        found["encode"] = ExportSignature(encode, (spec("images", model.spec.image_shape), *label))
    return found


def ranges(spec) -> dict[str, list[float]]:
    """Name of an input -> [least, greatest] value that it may have; latent points may have any that is finite."""
    found: dict[str, Any] = {"seed": [0, SEED_LIMIT - 1], "temperature": [0, LARGEST_TEMPERATURE], "t": [0, 1]}
    return found | {"images": [0, 1]} | ({"label": [0, spec.num_classes - 1]} if spec.num_classes else {})
