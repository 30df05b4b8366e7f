"""The .onnx files of an export: a signature each, of any batch size, in float32."""

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from kgen.errors import ExportFailed, UserError
from kgen.export.signatures import ExportSignature
from kgen.sampling.exported import METADATA, ONNXRuntime

SIGNATURES = ("generate", "decode", "encode")
"""Those with a file: seed to image, latent point to image, and, where there is an encoder, image to latent point."""


def write_onnx(signatures: Mapping[str, ExportSignature], about: Mapping[str, Any], folder: Path, opset: int):
    """Writes generate.onnx, decode.onnx, and encode.onnx of a model with an encoder.

    Args:
        signatures: of any batch size, by name.
        about: metadata of each file, a JSON text under the key METADATA.
        folder: where they are written.
        opset: version of the operators.

    Raises:
        ExportFailed: a signature has an operator that tf2onnx does not convert.
    """
    chosen = [name for name in SIGNATURES if name in signatures]
    form = {"unit": "file", "delay": 2, "leave": False, "disable": None}
    for name in tqdm(chosen, desc="converting to ONNX", **form):
        inputs = {name: [tensor.name for tensor in signatures[name].inputs]}
        model = convert(signatures[name], opset)
        model.metadata_props.add(key=METADATA, value=json.dumps({**about, "signatures": inputs}))
        file = folder / f"{name}.onnx"
        file.write_bytes(model.SerializeToString())
        try:
            ONNXRuntime(file)
        except UserError as error:
            raise ExportFailed(
                f"--format onnx: tf2onnx does not convert all operators of this model ({error})"
            ) from error


def convert(signature: ExportSignature, opset: int):
    """A signature as an ONNX ModelProto, with the names of its inputs and outputs.

    Operators that tf2onnx does not convert stay in it, and no runtime loads it then.
    """
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # it logs a traceback for each

    function = tf.function(signature.call, autograph=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, _ = tf2onnx.convert.from_function(function, input_signature=signature.inputs, opset=opset)
    return model
