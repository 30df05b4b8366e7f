"""The signatures of an exported model, as functions of tensors.

Every function is flat (its arguments are the signature's inputs) and batch-major: row i of every output depends on row
i of the inputs alone. Kernels for other batch sizes add in another order, so floats agree only to rounding however
rows are batched (`tolerances.py`), and a pixel at the border of two grey levels may differ. Decoding row by row would
give the same bits, in 2.4 to 5.1 times the time for a batch of 64 (`tools/bench_rows.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from kgen.images import to_uint8_tensor
from kgen.nn.layers import OneHot, labels_compared_with
from kgen.random import SEED_LIMIT
from kgen.sampling import Prior, StandardNormal
from kgen.sampling.slerp import slerp
from kgen.spec import number_list

DEFAULT = "serving_default"
PNG = "generate_png"
LARGEST_TEMPERATURE = 10.0


@dataclass(frozen=True)
class ExportSignature:
    """A function and its inputs.

    Attributes:
        call: takes tensors in the order of `inputs`, returns a dict of tensors.
        inputs: names, types and shapes, with the batch size.
    """

    call: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]

    def traced(self) -> tf.types.experimental.ConcreteFunction:
        return tf.function(self.call, autograph=False).get_concrete_function(*self.inputs)


def signatures(
    model, density: Prior, batch_size: int | None = None, *, look_up: bool = False
) -> dict[str, ExportSignature]:
    """The signatures of a model.

    Those of a conditional model also take `label` [B] int32, the numbers of classes (`DataSpec.class_numbers`), and
    refuse other numbers, see `class_positions`.

    Args:
        model: a GenerativeModel.
        density: the prior that z is sampled from with a seed.
        batch_size: fixed, as .tflite files have it, or None for any, as SavedModels have it.
        look_up: a fixed batch size looks labels up in tables too, for runtimes of integers alone.

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
    decoder, sample = (tf.function(call, autograph=False) for call in (model.generate, density.graph_sample))

    def split_label(arguments):
        """(label or None, the others)."""
        return (arguments[0], arguments[1:]) if label else (None, arguments)

    def generate(*arguments):
        label, (seed, *temperature) = split_label(arguments)
        (temperature,) = temperature or (tf.ones_like(seed, tf.float32),)
        return decoder(sample(seed, position(label), temperature), label)

    def position(label):
        """Of the class of a label, in the tables of a mixture; of a label that is none, where files have no Assert."""
        if label is None or batch_size is None or isinstance(density, StandardNormal):
            return label
        return class_positions(label, model.spec.class_numbers, other=0)[0]

    def pixels(*arguments):
        return to_uint8_tensor(generate(*arguments))

    def decode(z, label=None):
        return {"images": decoder(z, label)}

    def interpolate(z0, z1, *rest):
        label, (t,) = split_label(rest)
        return {"images": decoder(slerp(z0, z1, t), label)}

    def encode(images, label=None):
        mean, log_var = model.encode(images, label)
        return {"mean": mean, "log_var": log_var}

    found = {
        DEFAULT: ExportSignature(lambda *a: {"images": generate(*a)}, (*label, seed)),
        "generate": ExportSignature(lambda *a: {"images": generate(*a)}, (*label, seed, temperature)),
        "generate_u8": ExportSignature(lambda *a: {"images": pixels(*a)}, (*label, seed, temperature)),
        PNG: ExportSignature(lambda *a: {"png_bytes": tf.io.encode_png(pixels(*a))}, (*label, seed, temperature)),
        "decode": ExportSignature(decode, (spec("z", z), *label)),
        "interpolate": ExportSignature(interpolate, (spec("z0", z), spec("z1", z), *label, spec("t"))),
    }
    if model.has_encoder:
        found["encode"] = ExportSignature(encode, (spec("images", model.spec.image_shape), *label))
    if not model.conditional:
        return found
    return {name: _by_number(signature, model.spec.class_numbers, look_up) for name, signature in found.items()}


# Labels ---------------------------------------------------------------------------------------------------------------


def _by_number(signature: ExportSignature, numbers: Sequence[int], look_up: bool) -> ExportSignature:
    """A signature whose `label` is the number of a class, of one whose `label` is its position.

    In a SavedModel, Assert refuses other numbers. XLA, converters to other formats and LiteRT leave Assert out: there
    the outputs are NaN, and uint8 pixels 0. With `look_up` LiteRT fails in the look-up.
    """
    place = [tensor.name for tensor in signature.inputs].index("label")

    def call(*arguments):
        label, known = class_positions(arguments[place], numbers)
        message = f"label must be {number_list(numbers)}. Received:"
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(known), [message, arguments[place]])]):
            label = tf.identity(label)
        outputs = signature.call(*arguments[:place], label, *arguments[place + 1 :])
        return {name: _where(known, value) for name, value in outputs.items()}

    def compared(*arguments):
        with labels_compared_with(numbers):
            outputs = signature.call(*arguments)
        return {name: _times(arguments[place], numbers, value) for name, value in outputs.items()}

    def looked_up(*arguments):
        label, _ = class_positions(arguments[place], numbers)
        return signature.call(*arguments[:place], label, *arguments[place + 1 :])

    if signature.inputs[place].shape[0] is not None:
        call = looked_up if look_up else compared
    return ExportSignature(call, signature.inputs)


def class_positions(label: tf.Tensor, numbers: Sequence[int], other: int | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """The positions of class numbers, [B] int32, and whether they are of a class, [B] bool.

    Args:
        label: [B] int32, numbers of classes.
        numbers: of the classes, in the order of the positions.
        other: the position of a number of no class. None takes one that is none of 0 to K - 1: networks and priors look
            labels up in tables, which is an error then on a CPU.
    """
    count = len(numbers)
    if other is None and list(numbers) == list(range(count)):
        return label, (label >= 0) & (label < count)
    same = tf.equal(label[:, None], tf.constant(numbers, tf.int32))
    known = tf.reduce_any(same, axis=1)
    position = tf.argmax(tf.cast(same, tf.int32), axis=1, output_type=tf.int32)
    return tf.where(known, position, count if other is None else other), known


def _times(label: tf.Tensor, numbers: Sequence[int], values: tf.Tensor) -> tf.Tensor:
    """`_where` by products of floats: delegates of GPUs select no rows, nor is there a selection of bytes in LiteRT."""
    with labels_compared_with(numbers):
        one_hot = OneHot(len(numbers), dtype="float32")(label)
    known = tf.reshape(tf.reduce_sum(one_hot, axis=1), [-1] + [1] * (values.shape.rank - 1))
    if values.dtype.is_floating:
        return values * (known / known)
    return tf.cast(tf.cast(values, tf.float32) * known, values.dtype)


def _where(known: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """`values` in the rows that are known; NaN, or 0 where integers are, in the others; files as they are."""
    if values.dtype == tf.string:
        return values
    blank = tf.constant(float("nan") if values.dtype.is_floating else 0, values.dtype)
    return tf.where(tf.reshape(known, [-1] + [1] * (values.shape.rank - 1)), values, blank)


# Ranges ---------------------------------------------------------------------------------------------------------------


def ranges(spec) -> dict[str, list[float]]:
    """Name of an input -> [least, greatest] value; latent points have none, they may be any floats.

    Between the least and the greatest label there may be numbers of no class: see `DataSpec.class_numbers`.
    """
    numbers = spec.class_numbers
    labels = {"label": [min(numbers), max(numbers)]} if numbers else {}
    found: dict[str, Any] = {"seed": [0, SEED_LIMIT - 1], "temperature": [0, LARGEST_TEMPERATURE], "t": [0, 1]}
    return found | {"images": [0, 1]} | labels
