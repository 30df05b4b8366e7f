"""One loaded SavedModel: its signatures, and calls of them."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

from kgen.serve.errors import Code, ServingError
from kgen.serve.signature import DEFAULT, Signature, TensorInfo

HIDDEN = "__saved_model_"  # signatures of TensorFlow's own, e.g. of its initialisation


class LoadedModel:
    """A SavedModel in memory; made and called in threads.

    Args:
        path: exports/NAME/VERSION.

    Raises:
        ServingError: it cannot be loaded, or its manifest states ranges that are none.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self.signature_defs = _signature_defs(path)
            self._module = tf.saved_model.load(str(path))
        except Exception as error:  # files of any content
            raise ServingError(Code.NOT_FOUND, f"no SavedModel can be loaded from {path}: {error}") from error
        ranges = stated_ranges(path)
        self.signatures = {
            name: Signature(
                name,
                definition.method_name,
                {key: TensorInfo.of(info) for key, info in definition.inputs.items()},
                {key: TensorInfo.of(info) for key, info in definition.outputs.items()},
                ranges,
            )
            for name, definition in self.signature_defs.items()
            if name in self._module.signatures
        }

    def signature(self, name: str) -> Signature | None:
        """The signature of a name; "" names the default."""
        return self.signatures.get(name or DEFAULT)

    def call(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on inputs that fit it."""
        types = self.signatures[name].inputs
        tensors = {key: tf.constant(values, types[key].dtype) for key, values in inputs.items()}
        return {key: np.asarray(tensor) for key, tensor in self._module.signatures[name](**tensors).items()}


def _signature_defs(path: Path) -> dict:
    """The SignatureDefs of the graph tagged "serve"."""
    saved = saved_model_pb2.SavedModel()
    if (path / "saved_model.pb").is_file():
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    else:
        text_format.Parse((path / "saved_model.pbtxt").read_text(encoding="utf-8"), saved)
    for graph in saved.meta_graphs:
        if tf.saved_model.SERVING in graph.meta_info_def.tags:
            return {k: v for k, v in graph.signature_def.items() if not k.startswith(HIDDEN)}
    raise ValueError(f"it has no graph with the tag '{tf.saved_model.SERVING}'")


def stated_ranges(path: Path) -> dict[str, tuple[float, float]]:
    """What the manifest of a kgen export says of input values; empty if there is none.

    Raises:
        ServingError: the ranges are not of the form {"label": [0, 9]}.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        ranges = manifest.get("ranges", {})
        return {name: (low + 0, high + 0) for name, (low, high) in ranges.items()}  # numbers, whole or not
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        what = f'{path / "manifest.json"}: "ranges" must be like {{"label": [0, 9]}} ({error}); export anew'
        raise ServingError(Code.FAILED_PRECONDITION, what) from error
