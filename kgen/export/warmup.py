"""Warm-up records: TF Serving calls every signature with them before a version answers, so that nobody waits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from kgen.export.certify import inputs_of
from kgen.export.golden import Golden

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
BATCH_SIZES = (1, 8)


def write_warmup(folder: Path, model_name: str, signatures: Sequence[str], golden: Golden):
    """Writes a record for every signature and batch size."""
    from tensorflow_serving.apis import prediction_log_pb2

    (folder / FILE).parent.mkdir()
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for signature in signatures:
            for size in BATCH_SIZES:
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name, request.model_spec.signature_name = model_name, signature
                for name, value in inputs_of(golden, signature).items():
                    request.inputs[name].CopyFrom(tf.make_tensor_proto(np.ascontiguousarray(value[:size])))
                writer.write(log.SerializeToString())
