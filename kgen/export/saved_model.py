"""Writes signatures as a SavedModel that needs neither kgen nor Keras."""

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from kgen.export.signatures import ExportSignature


def write_saved_model(signatures: Mapping[str, ExportSignature], path: Path) -> dict[str, dict]:
    """Writes the signatures with the variables that they use, each variable once.

    Args:
        signatures: by name.
        path: the folder of the SavedModel.

    Returns:
        Name -> {"inputs", "outputs"}: name -> {"dtype", "shape"}, for the manifest.
    """
    functions = {name: signature.traced() for name, signature in signatures.items()}
    module = tf.Module()
    module.kept = list({id(v): v for function in functions.values() for v in function.variables}.values())
    tf.saved_model.save(module, str(path), signatures=functions)
    return {
        name: {
            "inputs": {t.name: _describe(t) for t in signatures[name].inputs},
            "outputs": {key: _describe(t) for key, t in function.structured_outputs.items()},
        }
        for name, function in functions.items()
    }


def _describe(tensor) -> dict:
    return {"dtype": tensor.dtype.name, "shape": tensor.shape.as_list()}
