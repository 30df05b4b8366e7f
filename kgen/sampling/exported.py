"""Samplers over what kgen-export wrote (a SavedModel, .tflite and .onnx files), and runtimes that call its signatures.

A version of an export is a folder with manifest.json (`manifest.py`); a .tflite file carries the same values in itself,
as a JSON text in a Metadata buffer. That buffer changes no output, and any reader of the format finds it by its name.
An .onnx file has the same text in its metadata properties.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kgen.errors import UserError
from kgen.gpu import full_float32
from kgen.sampling.manifest import read_manifest
from kgen.sampling.priors import PRIORS, GaussianMixture, Prior, StandardNormal
from kgen.sampling.sampler import ReadableRepr, halves, in_chunks
from kgen.spec import DataSpec, numbers_at

MODEL = "model.tflite"
METADATA = "kgen"
"""Name of the Metadata buffer of a .tflite file, and of the metadata property of an .onnx file."""
DISCRIMINATOR = "discriminator.npz"
"""File of a version with the weights of the discriminator, LAYER/WEIGHT -> float16: of `--with_discriminator`."""
LARGEST_VERSION = 2**63 - 1
"""TF Serving's version numbers are int64."""


def version_number(name: str) -> int | None:
    """The version that a folder's name is the number of; None for other names, and for numbers beyond int64."""
    if not (name.isascii() and name.isdigit() and len(name) <= 255):  # int() refuses longer ones
        return None
    number = int(name)
    return number if number <= LARGEST_VERSION else None


class _ExportSampler(ReadableRepr):
    """Base of the samplers over exported files.

    Args:
        runtime: of the files.
        values: of the manifest, or of the metadata of a file.
        folder: of the version, with its fitted priors.
        prior: the prior that z is sampled from, a name in PRIORS; None takes that of the export.
    """

    def __init__(self, runtime: Runtime, values: dict[str, Any], folder: Path, prior: str | None):
        self.runtime, self.manifest = runtime, values
        self.spec, self.latent_shape = DataSpec.from_json(values["spec"]), tuple(values["latent_shape"])
        self.density = self._density(folder, prior or values["prior"])
        self.prior, self.conditional = self.density.name, values["conditional"]
        self.parameters, self.weights_hash = values.get("parameters"), values.get("weights_hash")
        self._numbers = class_numbers_of(values)

    def call(self, signature: str, labels: np.ndarray | None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of a signature; with labels (positions of classes) if they are not None."""
        given = {} if labels is None else {"label": numbers_at(labels, self._numbers)}
        return self.runtime.call(signature, **inputs, **given)

    def _density(self, folder: Path, name: str) -> Prior:
        if PRIORS[name] is StandardNormal:
            return StandardNormal(self.latent_shape)
        file = prior_file(folder, name)
        if not file.is_file():
            raise UserError(
                f"{folder} holds no prior {name!r} ({file.name} is missing); export {self.manifest['run']} again with: "
                f"kgen-export RUN --to {folder.parent} --prior {name}"
            )
        density = GaussianMixture.load(file)
        if density.hash != self.manifest.get("priors", {}).get(name):
            raise UserError(f"{file} is not the file that {folder} was exported with (its manifest has another hash)")
        return density


class SavedModelSampler(_ExportSampler):
    """Samples from the `decode` signature of an exported SavedModel, and reconstructs with its `encode`."""

    def __init__(self, path: Path, prior: str | None = None):
        super().__init__(SavedModelRuntime(path), read_manifest(path), path, prior)
        self.encodes = "encode" in self.runtime.signatures

    def decode(self, z, labels=None):
        return in_chunks(lambda z, labels=None: self.call("decode", labels, z=z)["images"], z, labels, self.spec)

    def encode(self, images, labels=None):
        def both(images, labels=None):
            found = self.call("encode", labels, images=images)
            return np.stack([found["mean"], found["log_var"]], 1)

        return halves(in_chunks(both, images, labels if self.conditional else None, self.spec))

    def reconstruct(self, images, labels=None):
        labels = labels if self.conditional else None
        return self.decode(self.encode(images, labels)[0], labels)


class TFLiteSampler(_ExportSampler):
    """Samples from the `decode` signature of a .tflite file; no other file is needed."""

    encodes = False

    def __init__(self, path: Path, prior: str | None = None):
        runtime = TFLiteRuntime(path)
        if "decode" not in runtime.signatures:
            raise UserError(
                f"{path} has no signature 'decode' (but {', '.join(runtime.signatures) or 'none'}); give "
                "model.tflite, or a file decode-*.tflite"
            )
        super().__init__(runtime, read_metadata(path), path.parent, prior)

    def decode(self, z, labels=None):
        return self.call("decode", labels, z=z)["images"]


class ONNXSampler(_ExportSampler):
    """Samples from decode.onnx in ONNX Runtime; no other file is needed."""

    encodes = False

    def __init__(self, path: Path, prior: str | None = None):
        runtime = ONNXRuntime(path)
        if "decode" not in runtime.signatures:
            raise UserError(f"{path} has no signature 'decode' (but {', '.join(runtime.signatures)}); give decode.onnx")
        super().__init__(runtime, runtime.metadata, path.parent, prior)

    def decode(self, z, labels=None):
        return in_chunks(lambda z, labels=None: self.call("decode", labels, z=z)["images"], z, labels, self.spec)


# Runtimes -------------------------------------------------------------------------------------------------------------


class Runtime(Protocol):
    """Runs the signatures of an exported file.

    Attributes:
        signatures: their names.
    """

    signatures: tuple[str, ...]

    def call(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name, each [B, ...], of inputs by name, each [B, ...]."""
        ...


class SavedModelRuntime:
    """A SavedModel in TensorFlow.

    Args:
        folder: with saved_model.pb.
    """

    def __init__(self, folder: Path):
        import tensorflow as tf

        self._constant, self._loaded = tf.constant, tf.saved_model.load(str(folder))
        self.signatures = tuple(self._loaded.signatures)

    @full_float32()
    def call(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        given = {name: self._constant(value) for name, value in inputs.items()}
        return {name: value.numpy() for name, value in self._loaded.signatures[signature](**given).items()}


class TFLiteRuntime:
    """A .tflite file in LiteRT, on one thread: row by row, or in the batches that the file is made for.

    Args:
        file: a .tflite file.

    Attributes:
        batch_size: of all its signatures; None if they take any.

    Raises:
        UserError: it cannot be read.
    """

    def __init__(self, file: Path):
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_path=str(file), num_threads=1)
        except ValueError as error:
            raise UserError(f"{file} cannot be read as a .tflite file ({error}); export the run again") from error
        self._runners = {}
        self.signatures = tuple(self._interpreter.get_signature_list())
        self.batch_size = self._batch_size()

    def _batch_size(self) -> int | None:
        first = self._interpreter.get_signature_runner(self.signatures[0]) if self.signatures else None
        shapes = [tensor["shape_signature"] for tensor in first.get_input_details().values()] if first else []
        size = int(shapes[0][0]) if shapes and len(shapes[0]) else 1
        return None if size < 0 else size

    def call(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        if self.batch_size is None:
            return self.run(signature, **inputs)
        if self.batch_size == 1:
            return row_by_row(self.run, signature, **inputs)
        count, size = len(next(iter(inputs.values()))), self.batch_size
        places = np.minimum(np.arange(-(-count // size) * size), count - 1).reshape(-1, size)  # the last row fills up
        parts = [self.run(signature, **{name: value[i] for name, value in inputs.items()}) for i in places]
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}

    def run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs for inputs of exactly the shapes in the file; floats also where the file has 8-bit integers."""
        if signature not in self._runners:
            self._runners[signature] = self._interpreter.get_signature_runner(signature)
        runner = self._runners[signature]
        stored = {name: _stored(inputs[name], tensor) for name, tensor in runner.get_input_details().items()}
        of_outputs = runner.get_output_details()
        return {name: _values(value, of_outputs[name]) for name, value in runner(**stored).items()}


def _stored(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Values as a tensor of a .tflite file stores them; those out of its range are clipped."""
    if tensor["dtype"] != np.int8:
        return values
    scale, zero_point = tensor["quantization"]
    return np.clip(np.round(values / scale) + zero_point, -128, 127).astype(np.int8)


def _values(stored: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """The values that a tensor of a .tflite file stores."""
    if tensor["dtype"] != np.int8:
        return stored
    scale, zero_point = tensor["quantization"]
    return np.float32(scale) * (stored.astype(np.float32) - zero_point)


class ONNXRuntime:
    """An .onnx file of one signature in ONNX Runtime; one of `generate` also answers `serving_default`.

    Args:
        file: an .onnx file of kgen-export.

    Attributes:
        metadata: of the file; see `kgen.export.onnx.write_onnx`.

    Raises:
        UserError: it cannot be read, or has no metadata of kgen; or onnxruntime is not installed.
    """

    def __init__(self, file: Path):
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise UserError(f"{file} needs onnxruntime; install it with: pip install 'kgen[onnx]'") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
            self.metadata = json.loads(self._session.get_modelmeta().custom_metadata_map[METADATA])
        except KeyError as error:
            raise UserError(f"{file} has no metadata of kgen: kgen-export did not write it") from error
        except Exception as error:  # of ONNX Runtime, for a file of any content
            raise UserError(f"{file} cannot be read as an .onnx file ({error}); export the run again") from error
        (self._signature,) = self.metadata["signatures"]
        self.signatures = (self._signature, *(("serving_default",) if self._signature == "generate" else ()))

    def call(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        if signature != self._signature:
            inputs = {**inputs, "temperature": np.ones(len(inputs["seed"]), np.float32)}
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, inputs), strict=True))


def row_by_row(call: Callable[..., dict[str, np.ndarray]], signature: str, **inputs: np.ndarray):
    """The outputs of `Runtime.call` with one row at a time, concatenated."""
    count = len(next(iter(inputs.values())))
    rows = [call(signature, **{name: value[i : i + 1] for name, value in inputs.items()}) for i in range(count)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


# Files ----------------------------------------------------------------------------------------------------------------


def class_numbers_of(values: dict[str, Any]) -> list[int]:
    """The numbers that `label` takes, in the order of the classes, of a manifest or of the metadata of a file.

    An export that does not state them takes positions.
    """
    return list(values.get("class_numbers", range(values["spec"]["num_classes"])))


def prior_file(folder: Path, name: str) -> Path:
    """The file of a fitted prior in a version of an export."""
    return folder / f"prior-{name}.npz"


def with_metadata(model: bytes, values: dict[str, Any]) -> bytes:
    """A .tflite file with `values` as metadata."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(model), 0))
    buffer, metadata = schema.BufferT(), schema.MetadataT()
    buffer.data = list(json.dumps(values, ensure_ascii=False).encode())
    content.buffers.append(buffer)
    metadata.name, metadata.buffer = METADATA, len(content.buffers) - 1
    content.metadata = [*(content.metadata or []), metadata]
    builder = flatbuffers.Builder(len(model) + len(buffer.data))
    builder.Finish(content.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a .tflite file; see `with_metadata`.

    Raises:
        UserError: the file has none.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(bytearray(Path(path).read_bytes()), 0)
    for i in range(model.MetadataLength()):
        metadata = model.Metadata(i)
        if metadata.Name() == METADATA.encode():
            return json.loads(model.Buffers(metadata.Buffer()).DataAsNumpy().tobytes())
    raise UserError(f"{path} has no metadata of kgen: kgen-export did not write it; give a .tflite file of kgen-export")
