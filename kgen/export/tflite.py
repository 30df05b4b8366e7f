"""Signatures as .tflite files: batch 1, builtin operators only.

The batch is fixed because a dynamic one is slower (up to 100 times, quantized) and not every runtime takes it. Weights
in float32 are shared by the signatures of one file; quantized ones are not, so that those get a file each.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kgen.errors import ExportFailed
from kgen.export.golden import Golden, one_by_one
from kgen.export.saved_model import write_saved_model
from kgen.export.signatures import PNG, ExportSignature
from kgen.export.verify import agreements
from kgen.sampling.exported import TFLiteRuntime, with_metadata

Examples = Callable[[], Iterable[Mapping[str, np.ndarray]]]


def convert(
    signatures: Mapping[str, ExportSignature],
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
        dense_per_channel: 8-bit weights of dense layers get a scale for each output (12 bytes per output), not for all.
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


# Tflite files ---------------------------------------------------------------------------------------------------------
# The .tflite files of a bundle: model.tflite and encoder.tflite in float32, and smaller ones of a signature each.


WORTH_IT = 0.9
"""Of the bytes of a file, below which a coarser one is worth its errors."""


def write_tflite(
    signatures: Mapping[str, ExportSignature],
    about: Mapping[str, Any],
    folder: Path,
    golden: Golden,
    quantize: Sequence[str],
    rows: Mapping[str, np.ndarray],
):
    """Writes them.

    Args:
        signatures: of batch 1.
        about: goes into each file.
        golden: what files are held to where there is a choice.
        quantize: of QUANTIZATIONS.
        rows: examples for "int8".
    """
    signatures = {name: found for name, found in signatures.items() if name != PNG}  # no builtin operator writes PNG

    def write(file: str, *names: str, **options) -> Path:
        chosen = {name: signatures[name] for name in names}
        told = {name: [tensor.name for tensor in found.inputs] for name, found in chosen.items()}
        content = with_metadata(convert(chosen, **options), {**about, "signatures": told})
        (folder / file).write_bytes(content)
        return folder / file

    write("model.tflite", *(name for name in signatures if name != "encode"))
    if "encode" in signatures:
        write("encoder.tflite", "encode")
    for kind in dict.fromkeys(quantize):
        for name, signature in signatures.items():
            if (kind, name) == ("int8", "interpolate"):  # of angles 8 bits keep too little; decode takes points between
                continue
            inputs = [tensor.name for tensor in signature.inputs]
            file = f"{name}-{kind}.tflite"
            written = write(file, name, quantize=kind, examples=lambda i=inputs: one_by_one(rows, i))
            if kind == "dynamic":
                coarser = write(f".{file}", name, quantize=kind, dense_per_channel=False)
                _take_smaller(written, coarser, kind, name, golden)


def _take_smaller(file: Path, coarser: Path, kind: str, signature: str, golden: Golden):
    """Puts the coarser file in the other's place if that saves something and it holds the bounds.

    A dense layer with few inputs needs more room for the scales of its outputs than for its weights.
    """
    try:
        if coarser.stat().st_size <= WORTH_IT * file.stat().st_size:
            call = TFLiteRuntime(coarser).call
            list(agreements(coarser.name, kind, call, signature, golden))  # raises where one is broken
            coarser.replace(file)
    except ExportFailed:
        pass
    finally:
        coarser.unlink(missing_ok=True)
