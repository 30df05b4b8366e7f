"""A signature of a SavedModel: what goes in and out, and the check of a request against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from kgen.serve.errors import invalid

DEFAULT = "serving_default"


@dataclass(frozen=True)
class TensorInfo:
    """One input or output.

    Args:
        dtype: the number of a TensorFlow type, e.g. types_pb2.DT_FLOAT.
        shape: with None for an unknown size; None if the rank is unknown.
    """

    dtype: int
    shape: tuple[int | None, ...] | None

    @classmethod
    def of(cls, info) -> "TensorInfo":
        """From a TensorInfo message."""
        shape = info.tensor_shape
        sizes = None if shape.unknown_rank else tuple(d.size if d.size >= 0 else None for d in shape.dim)
        return cls(info.dtype, sizes)

    @property
    def type_name(self) -> str:
        return type_name(self.dtype)

    @property
    def numpy_dtype(self) -> np.dtype:
        return np.dtype(tf.as_dtype(self.dtype).as_numpy_dtype)

    @property
    def batched(self) -> bool:
        """Whether the first dimension is free."""
        return bool(self.shape) and self.shape[0] is None

    def fits(self, shape: Sequence[int]) -> bool:
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            own in (None, size) for own, size in zip(self.shape, shape, strict=True)
        )


def type_name(dtype: int) -> str:
    """As TF Serving's messages write it: float, int32, half, ..."""
    return types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()


def sizes(shape: Sequence[int | None] | None) -> str:
    """A shape as TF Serving's messages write it: [-1,28,28,1]."""
    return "[?]" if shape is None else f"[{','.join(str(-1 if size is None else size) for size in shape)}]"


@dataclass(frozen=True)
class Signature:
    """A signature by its name.

    Args:
        ranges: of input values, both ends included; inputs that are not named may have any finite value.
    """

    name: str
    method_name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def batchable(self) -> bool:
        """Whether rows of several requests may go through one call."""
        out = self.outputs.values()
        return (
            bool(self.inputs)
            and all(info.batched for info in self.inputs.values())
            and all(info.shape is None or info.batched for info in out)
        )

    def check_names(self, names):
        """The message of predict_util.cc."""
        sent, wanted = sorted(names), sorted(self.inputs)
        if sent != wanted:
            extra, missing = sorted({*sent} - {*wanted}), sorted({*wanted} - {*sent})
            raise invalid(
                f"input size does not match signature: {len(sent)}!={len(wanted)} len({{{','.join(sent)}}}) != "
                f"len({{{','.join(wanted)}}}). Sent extra: {{{','.join(extra)}}}. "
                f"Missing but required: {{{','.join(missing)}}}."
            )

    def check_form(self, name: str, dtype: int, shape: Sequence[int], max_rows: int):
        """Type, shape and number of rows of an input; needs no values."""
        info = self.inputs[name]
        if dtype != info.dtype:  # the message of TensorFlow's session
            position = sorted(self.inputs).index(name)
            raise invalid(f"Expects arg[{position}] to be {info.type_name} but {type_name(dtype)} is provided")
        if not info.fits(shape):
            raise invalid(f"{self._input(name)} must have shape {sizes(info.shape)}. Received: {sizes(shape)}")
        if shape and (info.shape is None or info.batched) and shape[0] > max_rows:
            raise invalid(f"{self._input(name)} may have at most {max_rows} rows (--max_rows). Received: {shape[0]}")

    def check_values(self, name: str, values: np.ndarray):
        """Finite, and in the range that the export states."""
        if np.issubdtype(values.dtype, np.inexact) and not np.isfinite(values).all():
            wrong = values[~np.isfinite(values)].flat[0]
            raise invalid(f"{self._input(name)} must be finite. Received: {wrong}")
        low, high = self.ranges.get(name, (None, None))
        if low is not None and values.size and values.dtype != object:
            outside = values[(values < low) | (values > high)]
            if outside.size:
                raise invalid(f"{self._input(name)} must lie in [{low}, {high}]. Received: {outside.flat[0]}")

    def rows(self, inputs: Mapping[str, np.ndarray]) -> int | None:
        """How many rows a request has, if all its inputs have the same number; else None."""
        counts = {len(values) if values.ndim else None for values in inputs.values()}
        return counts.pop() if len(counts) == 1 else None

    def _input(self, name: str) -> str:
        return f"input '{name}' of signature '{self.name}'"
