"""The runtimes of exported files: call a signature of a SavedModel or of a .tflite file with NumPy arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from kgen.errors import UserError


class Runtime(Protocol):
    """What has signatures.

    Attributes:
        signatures: their names.
    """

    signatures: tuple[str, ...]

    def call(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Inputs by name, each [B, ...] -> outputs by name, each [B, ...]."""
        ...


class SavedModelRuntime:
    """A SavedModel in TensorFlow.

    Args:
        folder: that holds saved_model.pb.
    """

    def __init__(self, folder: Path):
        import tensorflow as tf

        self._constant, self._loaded = tf.constant, tf.saved_model.load(str(folder))
        self.signatures = tuple(self._loaded.signatures)

    def call(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        given = {name: self._constant(value) for name, value in inputs.items()}
        return {name: value.numpy() for name, value in self._loaded.signatures[signature](**given).items()}


class TFLiteRuntime:
    """A .tflite file of batch 1 in LiteRT, a row at a time, on one thread.

    Args:
        file: that ends in .tflite.
    """

    def __init__(self, file: Path):
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_path=str(file), num_threads=1)
        except ValueError as error:
            raise UserError(f"{file} cannot be read as a .tflite file ({error}); export the run again") from error
        self._runners = {}
        self.signatures = tuple(self._interpreter.get_signature_list())

    def call(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        return row_by_row(self.run, signature, **inputs)

    def run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """One run with inputs of the shapes that the file has."""
        if signature not in self._runners:
            self._runners[signature] = self._interpreter.get_signature_runner(signature)
        return self._runners[signature](**inputs)


def row_by_row(call: Callable[..., dict[str, np.ndarray]], signature: str, **inputs: np.ndarray):
    """What a call per row returns, as one batch; arguments as of `Runtime.call`."""
    count = len(next(iter(inputs.values())))
    rows = [call(signature, **{name: value[i : i + 1] for name, value in inputs.items()}) for i in range(count)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
