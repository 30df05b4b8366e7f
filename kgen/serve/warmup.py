"""Replays a model's recorded requests before it serves: assets.extra/tf_serving_warmup_requests.

https://www.tensorflow.org/tfx/serving/saved_model_warmup: a TFRecord of PredictionLog; a failing record fails the load.
"""

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from kgen.serve.errors import Code, ServingError, graph_message, invalid
from kgen.serve.limits import Limits
from kgen.serve.loaded import LoadedModel
from kgen.serve.tensors_proto import to_array

FILE = "assets.extra/tf_serving_warmup_requests"
MOST_RECORDS = 1000


def warm_up(model: LoadedModel, limits: Limits) -> int:
    """Runs every recorded request; returns how many there were.

    Raises:
        ServingError: a record cannot be read, or its request fails.
    """
    path = model.path / FILE
    if not path.is_file():
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            count += 1
            if count > MOST_RECORDS:
                raise invalid(f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {path}")
            _run(model, record, limits)
    except tf.errors.DataLossError as error:
        what = f"{graph_message(error.message)}. Please verify your warmup data is in TFRecord format."
        raise ServingError(Code.DATA_LOSS, what) from error
    except tf.errors.OpError as error:
        what = f"warmup record {count} of {path}: {graph_message(error.message)}"
        raise ServingError(Code(error.error_code), what) from error
    except ServingError as error:
        raise ServingError(error.code, f"warmup record {count} of {path}: {error.message}") from error
    return count


def _run(model: LoadedModel, record: bytes, limits: Limits):
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid("Failed to parse warmup record") from error
    kind = log.WhichOneof("log_type")
    if kind != "predict_log":
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    request = log.predict_log.request
    signature = model.signature(request.model_spec.signature_name)
    if signature is None:
        name = request.model_spec.signature_name
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    signature.check_names(request.inputs)
    model.call(
        signature.name, {name: to_array(name, tensor, signature, limits) for name, tensor in request.inputs.items()}
    )
