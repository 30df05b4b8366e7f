"""The decoder as a .tflite file: float32, batch 1, builtin operators only."""

import tempfile
from pathlib import Path

import tensorflow as tf

from kgen.export.saved_model import signatures, write_saved_model


def write_tflite(model, path: Path):
    """Converts `decode` of a model; conversion fails if an operator is not a TFLite builtin.

    The batch is fixed to 1: a dynamic one is slower and not every runtime takes it.
    """
    decode = signatures(model, batch_size=1)["decode"]
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model({"decode": decode}, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["decode"])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())
