"""Writes signatures as a SavedModel that needs neither kgen nor Keras."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from kgen.export.signatures import DEFAULT, ExportSignature

SERVE = "serve"
"""The endpoint that `keras.layers.TFSMLayer` calls by default."""


def write_saved_model(
    signatures: Mapping[str, ExportSignature], path: Path, *, endpoints: bool = True
) -> dict[str, dict]:
    """Writes the signatures with the variables that they use, each variable once.

    With endpoints, each is also an attribute of what `tf.saved_model.load` gives: a function of one argument, a dict of
    tensors, which returns the single output, or a dict of several. `keras.layers.TFSMLayer` passes a single argument.

    Args:
        signatures: by name.
        path: the folder of the SavedModel.
        endpoints: of a SavedModel with them, TensorFlow Lite's converter takes only one signature at a time.

    Returns:
        Name -> {"inputs", "outputs"}: name -> {"dtype", "shape"}, for the manifest.
    """
    functions = {name: signature.traced() for name, signature in signatures.items()}
    module = tf.Module()
    module.kept = list({id(v): v for function in functions.values() for v in function.variables}.values())
    for name, function in functions.items() if endpoints else ():
        setattr(module, endpoint(name), _of_one_argument(function, signatures[name].inputs))
    tf.saved_model.save(module, str(path), signatures=functions)
    return {
        name: {
            "inputs": {t.name: _describe(t) for t in signatures[name].inputs},
            "outputs": {key: _describe(t) for key, t in function.structured_outputs.items()},
        }
        for name, function in functions.items()
    }


def endpoint(signature: str) -> str:
    """The name that `keras.layers.TFSMLayer` calls a signature by."""
    return SERVE if signature == DEFAULT else f"{SERVE}_{signature}"


def _of_one_argument(function, specs: Sequence[tf.TensorSpec]) -> tf.types.experimental.GenericFunction:
    """A traced signature as a function of a dict of its inputs."""

    def call(inputs):
        outputs = function(*(inputs[spec.name] for spec in specs))
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    return tf.function(call, input_signature=[{spec.name: spec for spec in specs}], autograph=False)


def _describe(tensor) -> dict:
    return {"dtype": tensor.dtype.name, "shape": tensor.shape.as_list()}
