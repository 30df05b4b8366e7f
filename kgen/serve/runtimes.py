"""What runs the signatures of a version: a SavedModel of TensorFlow 2 or 1, or a .tflite file, as TF Serving does.

A SavedModel without the objects of TensorFlow 2 runs in a session; so do reference variables and graphs that a function
cannot hold. A folder without a SavedModel is run by LiteRT (TF Serving's --prefer_tflite_model).
"""

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2
from tensorflow.python.saved_model.loader_impl import SavedModelLoader

from kgen.sampling.exported import MODEL
from kgen.serve.validation import DEFAULT, invalid

INTERNAL_SIGNATURES = "__saved_model_"
"""Prefix of the signatures that TensorFlow adds, e.g. for initialization."""
PREDICT = "tensorflow/serving/predict"

Arrays = Mapping[str, np.ndarray]
Definitions = dict[str, meta_graph_pb2.SignatureDef]


def open_runtime(path: Path):
    """The runtime of a version: its `definitions` by name, and `call(name, inputs)`, which any thread may call.

    Raises:
        Exception: of any kind, for files of any content.
    """
    if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        if (path / MODEL).is_file():
            return TFLiteSignatures(path / MODEL)
        raise ValueError(f"there is no saved_model.pb and no {MODEL}")
    graph = _serving_graph(path)
    definitions = {k: v for k, v in graph.signature_def.items() if not k.startswith(INTERNAL_SIGNATURES)}
    return (FunctionSignatures if graph.object_graph_def.nodes else SessionSignatures)(path, definitions)


def _serving_graph(path: Path) -> meta_graph_pb2.MetaGraphDef:
    """The graph tagged "serve" and nothing else; another may be for "serve" on a GPU."""
    saved = saved_model_pb2.SavedModel()
    if (path / "saved_model.pb").is_file():
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    else:
        text_format.Parse((path / "saved_model.pbtxt").read_text(encoding="utf-8"), saved)
    for graph in saved.meta_graphs:
        if {*graph.meta_info_def.tags} == {tf.saved_model.SERVING}:
            return graph
    found = " or ".join(", ".join(sorted(graph.meta_info_def.tags)) for graph in saved.meta_graphs)
    raise ValueError(f"it has no graph with the tag '{tf.saved_model.SERVING}' alone (but {found or 'none'})")


class FunctionSignatures:
    """A SavedModel of TensorFlow 2."""

    def __init__(self, path: Path, definitions: Definitions):
        self._module = tf.saved_model.load(str(path))
        self.definitions = {name: d for name, d in definitions.items() if name in self._module.signatures}

    def call(self, name: str, inputs: Arrays) -> dict[str, np.ndarray]:
        types = self.definitions[name].inputs
        tensors = {key: tf.constant(values, types[key].dtype) for key, values in inputs.items()}
        return {key: np.asarray(tensor) for key, tensor in self._module.signatures[name](**tensors).items()}


class SessionSignatures:
    """A SavedModel of TensorFlow 1."""

    def __init__(self, path: Path, definitions: Definitions):
        self.definitions = definitions
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            SavedModelLoader(str(path)).load(self._session, [tf.saved_model.SERVING])
        # Session.run would refuse shapes other than those of the placeholders; TF Serving leaves them to the operations
        self._calls = {name: self._session._make_callable_from_options(_options(d)) for name, d in definitions.items()}

    def call(self, name: str, inputs: Arrays) -> dict[str, np.ndarray]:
        names = sorted(self.definitions[name].inputs)
        outputs = self._calls[name](*(inputs[key] for key in names))
        return dict(zip(sorted(self.definitions[name].outputs), map(_array, outputs), strict=True))


def _array(value) -> np.ndarray:
    """An output of a session; a single string comes as bytes."""
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def _options(definition: meta_graph_pb2.SignatureDef) -> config_pb2.CallableOptions:
    """Inputs and outputs of a signature, by their names in order."""
    feeds = [definition.inputs[name].name for name in sorted(definition.inputs)]
    fetches = [definition.outputs[name].name for name in sorted(definition.outputs)]
    return config_pb2.CallableOptions(feed=feeds, fetch=fetches)


class TFLiteSignatures:
    """A .tflite file; without signatures its inputs and outputs go by the names of their tensors."""

    def __init__(self, file: Path):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(file), num_threads=1)
        self._lock = threading.Lock()
        self._runners = {
            name: self._interpreter.get_signature_runner(name) for name in self._interpreter.get_signature_list()
        }
        if self._runners:
            details = {n: (r.get_input_details(), r.get_output_details()) for n, r in self._runners.items()}
        else:
            parts = (self._interpreter.get_input_details(), self._interpreter.get_output_details())
            details = {DEFAULT: tuple({tensor["name"]: tensor for tensor in part} for part in parts)}
        self.definitions = {name: _definition(*parts) for name, parts in details.items()}

    def call(self, name: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """A file for one row is called row by row; others get the shapes that arrive."""
        declared = self.definitions[name].inputs
        single = all(d.tensor_shape.dim and d.tensor_shape.dim[0].size == 1 for d in declared.values())
        sizes = {len(values) if values.ndim else 1 for values in inputs.values()}
        with self._lock:
            try:
                if single and len(sizes) == 1 and sizes != {1}:
                    rows = [self._run(name, {k: v[i : i + 1] for k, v in inputs.items()}) for i in range(*sizes)]
                    return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
                return self._run(name, inputs)
            except (ValueError, RuntimeError) as error:
                raise invalid(f"LiteRT cannot run signature '{name}' on these inputs: {error}") from error

    def _run(self, name: str, inputs: Arrays) -> dict[str, np.ndarray]:
        if self._runners:
            return {key: np.array(value) for key, value in self._runners[name](**inputs).items()}
        for tensor in self._interpreter.get_input_details():
            self._interpreter.resize_tensor_input(tensor["index"], inputs[tensor["name"]].shape)
        self._interpreter.allocate_tensors()
        for tensor in self._interpreter.get_input_details():
            self._interpreter.set_tensor(tensor["index"], inputs[tensor["name"]])
        self._interpreter.invoke()
        return {d["name"]: self._interpreter.get_tensor(d["index"]) for d in self._interpreter.get_output_details()}


def _definition(inputs: Mapping[str, dict], outputs: Mapping[str, dict]) -> meta_graph_pb2.SignatureDef:
    """From what LiteRT says of the tensors by name."""
    definition = meta_graph_pb2.SignatureDef(method_name=PREDICT)
    for infos, tensors in ((definition.inputs, inputs), (definition.outputs, outputs)):
        for name, tensor in tensors.items():
            infos[name].name = tensor["name"]
            infos[name].dtype = tf.as_dtype(tensor["dtype"]).as_datatype_enum
            sizes = tensor["shape_signature"] if len(tensor["shape_signature"]) else tensor["shape"]
            for size in sizes:
                infos[name].tensor_shape.dim.add(size=int(size))
    return definition
