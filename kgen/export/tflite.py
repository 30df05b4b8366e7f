"""Signatures as .tflite files: batch 1, builtin operators only.

The batch is fixed because a dynamic one is slower (up to 100 times, quantized) and not every runtime takes it. Weights
in float32 are shared by the signatures of one file; quantized ones are not, so that those get a file each.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from kgen.export.saved_model import write_saved_model
from kgen.export.signatures import Signature

QUANTIZATIONS = ("float16", "dynamic", "int8")

Examples = Callable[[], Iterable[Mapping[str, np.ndarray]]]


def convert(
    signatures: Mapping[str, Signature],
    *,
    quantize: str | None = None,
    examples: Examples | None = None,
    dense_per_channel: bool = True,
) -> bytes:
    """Converts signatures into one .tflite file.

    Args:
        signatures: of batch 1; of those that are quantized only one.
        quantize: None keeps float32. "float16" halves the weights. "dynamic" stores them in 8 bits, and rounds what
            they meet while it runs. "int8" computes in 8 bits; inputs and outputs stay what they are.
        examples: rows for a signature's inputs, that "int8" takes its ranges from.
        dense_per_channel: 8-bit weights of dense layers get a scale for each output (12 bytes an output), not for all.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(signatures, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(signatures))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter._experimental_disable_per_channel_quantization_for_dense_layers = not dense_per_channel
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        elif quantize == "int8":
            (name,) = signatures
            converter.representative_dataset = lambda: ((name, dict(row)) for row in examples())
            converter.target_spec.supported_ops += [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its calibration says that tf.lite.Interpreter is old
            return converter.convert()
