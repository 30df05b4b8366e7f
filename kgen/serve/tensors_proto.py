"""TensorProto <-> NumPy, as gRPC clients send and read them."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from kgen.serve.errors import invalid
from kgen.serve.limits import Limits
from kgen.serve.signature import Signature

FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_STRING: "string_val",
}


def to_array(name: str, tensor: tensor_pb2.TensorProto, signature: Signature, limits: Limits) -> np.ndarray:
    """The values of an input; its form is checked before any memory is taken.

    Raises:
        ServingError: it does not fit the signature, or is no tensor.
    """
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    known = tensor.dtype in types_pb2.DataType.values()
    if not known or tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise invalid(f"tensor parsing error: {name}")
    signature.check_form(name, tensor.dtype, shape, limits.max_rows)
    if math.prod(shape) * signature.inputs[name].numpy_dtype.itemsize > limits.max_body_bytes:
        raise limits.body_too_large()
    try:
        return tf.make_ndarray(tensor).reshape(shape)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise invalid(f"tensor parsing error: {name}") from error


def to_proto(values: np.ndarray, dtype: int) -> tensor_pb2.TensorProto:
    """The values in the field of their type, as TF Serving answers (`float_val`, ...), not as raw content."""
    if dtype not in FIELDS:
        return tf.make_tensor_proto(values, dtype=dtype)
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, FIELDS[dtype]).extend(values.ravel().tolist())
    return tensor
