"""Smaller forms of a float32 .tflite file, each made from the bytes of the file, without another conversion.

Weights are stored in 16 bits, or in 8 bits with a scale per output channel. `integer` computes in 8 bits as well, from
the first layer with weights to the last, with one scale per tensor. Three things would cost most of the quality, so
- what makes z of a seed before the first layer, and the sigmoid or tanh after the last, stay floats;
- ranges are clipped, above all that of logits, of which a step of 1/255 of the whole range is many grey levels;
- a batch normalization that the converter left beside its layer (a dense one whose outputs are reshaped to maps) is
  folded into it: it would multiply the rounding errors of channels of little variance, and the multipliers of all
  channels would share a scale.
"""

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

SMALLEST = 256
"""Constants of fewer numbers stay float32."""
FEW_INPUTS = 64
"""Dense layers of fewer inputs have a bias that is much of their weights in 8 bits: of 12 inputs a third."""
SAMPLED = 500
"""Values per tensor and calibration row from which ranges are chosen."""
SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Of the largest magnitude of a tensor, beyond which its values may be clipped."""

OPERATORS, TYPES = schema.BuiltinOperator, schema.TensorType
WEIGHTED = {
    OPERATORS.FULLY_CONNECTED: 0, OPERATORS.CONV_2D: 0, OPERATORS.TRANSPOSE_CONV: 0, OPERATORS.DEPTHWISE_CONV_2D: 3,
}  # fmt: skip
"""Operator with weights, its second input -> the axis of their output channels."""
ELEMENTWISE = (OPERATORS.ADD, OPERATORS.SUB, OPERATORS.MUL)
HYBRID_VERSIONS = {OPERATORS.FULLY_CONNECTED: 12, OPERATORS.CONV_2D: 5, OPERATORS.DEPTHWISE_CONV_2D: 6}
"""Versions of the operators whose weights have 8 bits, a scale per channel, and whose inputs are floats."""
ACTIVATIONS = {
    OPERATORS.LOGISTIC: lambda x: 1 / (1 + np.exp(-x)),
    OPERATORS.TANH: np.tanh,
    OPERATORS.ELU: lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}
"""Those that are nearly constant for a part of their inputs, which then needs no codes."""


@dataclass(frozen=True)
class Range:
    """The values of a tensor from `low` to `high` that 8 bits represent; others are clipped."""

    low: float
    high: float


class _Model:
    """A .tflite file as objects of the schema that can be changed.

    Attributes:
        content: the file.
        graph: the subgraph that methods work on; the only one in a file of one signature.
    """

    def __init__(self, content: bytes):
        self.content = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))
        self.graph = self.content.subgraphs[0]

    def kind(self, operator) -> int:
        """In `OPERATORS`."""
        code = self.content.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    def opcode(self, kind: int, version: int) -> int:
        """The index of an operator code."""
        for i, code in enumerate(self.content.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == kind:
                code.version = max(code.version, version)
                return i
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), version
        self.content.operatorCodes.append(code)
        return len(self.content.operatorCodes) - 1

    def constant(self, index: int, least: int = 1) -> np.ndarray | None:
        """The value of a float32 constant of at least so many numbers; None of other tensors."""
        if index < 0:
            return None
        tensor = self.graph.tensors[index]
        data = self.content.buffers[tensor.buffer].data
        if tensor.type != TYPES.FLOAT32 or data is None or len(data) < 4 * least:
            return None
        shape = () if tensor.shape is None else tuple(int(side) for side in tensor.shape)
        return np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.float32).reshape(shape)

    def store(self, index: int, values: np.ndarray, dtype: int, scales: np.ndarray | None = None, axis: int = 0):
        """Stores a constant in another type, in a buffer of its own."""
        tensor, buffer = self.graph.tensors[index], schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.content.buffers.append(buffer)
        tensor.type, tensor.buffer, tensor.quantization = dtype, len(self.content.buffers) - 1, None
        if scales is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = scales.astype(np.float32)
            tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
            tensor.quantization.quantizedDimension = axis

    def add(self, name: bytes, values: np.ndarray) -> int:
        """The index of a new float32 constant."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.hasRank = name, list(values.shape), True
        self.graph.tensors.append(tensor)
        self.store(len(self.graph.tensors) - 1, values.astype(np.float32), TYPES.FLOAT32)
        return len(self.graph.tensors) - 1

    def dequantize(self, index: int):
        """Lets all operators read a constant, which is stored in another type, by way of a DEQUANTIZE."""
        stored, tensor, operator = self.graph.tensors[index], schema.TensorT(), schema.OperatorT()
        tensor.name, tensor.shape, tensor.type = stored.name + b"/float", stored.shape, TYPES.FLOAT32
        tensor.hasRank = stored.hasRank
        self.graph.tensors.append(tensor)
        floats = len(self.graph.tensors) - 1
        for reader in self.graph.operators:
            reader.inputs = [floats if i == index else i for i in reader.inputs]
        per_channel = stored.quantization is not None and len(stored.quantization.scale) > 1
        operator.opcodeIndex = self.opcode(OPERATORS.DEQUANTIZE, 5 if per_channel else 3)
        operator.inputs, operator.outputs = [index], [floats]
        self.graph.operators.insert(0, operator)

    def pack(self) -> bytes:
        """The bytes of the file, without buffers and operator codes that nothing uses."""
        content, graphs = self.content, self.content.subgraphs
        for graph in graphs:
            read = {*graph.outputs, *(i for operator in graph.operators for i in operator.inputs)}
            for i, tensor in enumerate(graph.tensors):
                if i not in read or content.buffers[tensor.buffer].data is None:
                    tensor.buffer = 0
        holders = [*(tensor for graph in graphs for tensor in graph.tensors), *(content.metadata or [])]
        kept = sorted({0, *(holder.buffer for holder in holders)})
        for holder in holders:
            holder.buffer = kept.index(holder.buffer)
        content.buffers = [content.buffers[i] for i in kept]
        operators = [operator for graph in graphs for operator in graph.operators]
        codes = sorted({operator.opcodeIndex for operator in operators})
        for operator in operators:
            operator.opcodeIndex = codes.index(operator.opcodeIndex)
        content.operatorCodes = [content.operatorCodes[i] for i in codes]
        builder = flatbuffers.Builder(1024)
        builder.Finish(content.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def only(model: bytes, signature: str) -> bytes:
    """A .tflite file with one of the signatures of another, and its share of the weights."""
    found = _Model(model)
    (kept,) = (one for one in found.content.signatureDefs if one.signatureKey.decode() == signature)
    found.graph = found.content.subgraphs[kept.subgraphIndex]
    found.content.subgraphs, found.content.signatureDefs = [found.graph], [kept]
    kept.subgraphIndex = 0
    return found.pack()


def compact(model: bytes) -> bytes:
    """A file of one signature without what no runtime reads: names of tensors inside, ranges, what says nothing."""
    found = _Model(model)
    graph = found.graph
    for i, tensor in enumerate(graph.tensors):
        if i not in graph.inputs and i not in graph.outputs:
            tensor.name = None
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
        if tensor.shapeSignature is not None and -1 not in tensor.shapeSignature:
            tensor.shapeSignature = None
    for operator in graph.operators:
        for field in ("intermediates", "mutatingVariableInputs"):
            if getattr(operator, field) is not None and not any(getattr(operator, field)):
                setattr(operator, field, None)
    return found.pack()


# Weights --------------------------------------------------------------------------------------------------------------


def float16(model: bytes, *, biases: bool = True) -> bytes:
    """A file with its large constants in 16 bits, which are read as float32.

    Args:
        model: the file; what its signatures share they share afterwards.
        biases: those of layers too. (XNNPACK refuses such a bias beside weights of 8 bits.)
    """
    found, stored = _Model(model), {}
    for graph in found.content.subgraphs:
        found.graph = graph
        layers = [operator for operator in found.graph.operators if found.kind(operator) in WEIGHTED]
        kept = set() if biases else {index for operator in layers for index in operator.inputs[2:]}
        for index in range(len(found.graph.tensors)):
            values, tensor = found.constant(index, SMALLEST), found.graph.tensors[index]
            if values is not None and index not in kept:
                floats = tensor.buffer
                found.store(index, values.astype(np.float16), TYPES.FLOAT16)
                tensor.buffer = stored.setdefault(floats, tensor.buffer)
                found.dequantize(index)
    return found.pack()


def weights8(model: bytes, *, dynamic: bool, dense_per_channel: bool = True) -> bytes:
    """A file of one signature with the weights of its layers in 8 bits.

    Args:
        model: the file; weights that are not float32 stay as they are.
        dynamic: layers quantize their inputs at run time and compute in 8 bits; otherwise in floats. Large constants
            of other operators have 16 bits, the components of a mixture.
        dense_per_channel: dense layers get a scale per output (12 bytes each), not one per layer.
    """
    found = _Model(model)
    if dynamic:
        _add_biases(found)
    for operator in list(found.graph.operators):
        kind = found.kind(operator)
        values = found.constant(operator.inputs[1], SMALLEST) if kind in WEIGHTED else None
        if values is None:
            continue
        index, axis = operator.inputs[1], WEIGHTED[kind]
        whole = kind == OPERATORS.FULLY_CONNECTED and not dense_per_channel
        others = None if whole else tuple(i for i in range(values.ndim) if i != axis)
        largest = np.abs(values).max(axis=others, keepdims=True)
        scales = np.where(largest > 0, largest, 1) / 127
        codes = np.clip(np.round(values / scales), -127, 127).astype(np.int8)
        found.store(index, codes, TYPES.INT8, scales.reshape(-1), axis)
        if not dynamic:
            found.dequantize(index)
        elif kind in HYBRID_VERSIONS:
            found.opcode(kind, HYBRID_VERSIONS[kind])
            if kind == OPERATORS.FULLY_CONNECTED:
                operator.builtinOptions.asymmetricQuantizeInputs = True
    return float16(found.pack(), biases=False)


def _add_biases(found: _Model):
    """Gives the biases of dense layers of few inputs to an ADD each, where they may have 16 bits."""
    for place, operator in reversed([*enumerate(found.graph.operators)]):
        if found.kind(operator) != OPERATORS.FULLY_CONNECTED or len(operator.inputs) < 3:
            continue
        weights, bias = operator.inputs[1:3]
        kernel = found.constant(weights, SMALLEST)
        if kernel is None or kernel.shape[1] >= FEW_INPUTS or found.constant(bias, SMALLEST) is None:
            continue
        output, add = operator.outputs[0], schema.OperatorT()
        found.graph.tensors.append(copy.copy(found.graph.tensors[output]))
        product = len(found.graph.tensors) - 1
        add.opcodeIndex, add.inputs, add.outputs = found.opcode(OPERATORS.ADD, 1), [product, bias], [output]
        add.builtinOptionsType, add.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
        add.builtinOptions.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
        operator.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE
        operator.inputs, operator.outputs = [*operator.inputs[:2], -1], [product]
        found.graph.operators.insert(place + 1, add)


# Arithmetic in 8 bits -------------------------------------------------------------------------------------------------


def calibrate(model: bytes, rows: Iterable[Mapping[str, np.ndarray]]) -> dict[int, Range]:
    """The ranges of the float tensors of a file with one signature, by index.

    Values far out are clipped where that lessens the mean squared error; of inputs of one of ACTIVATIONS, that of its
    outputs.

    Args:
        model: the file.
        rows: inputs of the signature by name, each of batch 1.
    """
    found = _Model(model)
    inputs = {tensor.name.decode(): tensor.tensorIndex for tensor in found.content.signatureDefs[0].inputs}
    tensors = found.graph.tensors
    activations = [i for op in found.graph.operators for i in op.outputs if tensors[i].type == TYPES.FLOAT32]
    activations += [i for i in inputs.values() if tensors[i].type == TYPES.FLOAT32]
    interpreter = Interpreter(
        model_content=model,
        num_threads=1,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    sampled: dict[int, list[np.ndarray]] = {index: [] for index in activations}
    for row in rows:
        for name, index in inputs.items():
            interpreter.set_tensor(index, row[name])
        interpreter.invoke()
        for index in activations:
            values = interpreter.get_tensor(index).reshape(-1)
            step = max(1, len(values) // SAMPLED)
            sampled[index].append(np.concatenate([[values.min(), values.max()], values[::step]]))
    return {i: _best_range(np.concatenate(values), _activation_of(found, i)) for i, values in sampled.items()}


def _activation_of(found: _Model, index: int):
    """Which of ACTIVATIONS a tensor goes through, alone or reshaped; else the identity."""
    while True:
        readers = [operator for operator in found.graph.operators if index in operator.inputs]
        if len(readers) != 1:
            return lambda x: x
        kind = found.kind(readers[0])
        if kind in ACTIVATIONS:
            return ACTIVATIONS[kind]
        if kind not in (OPERATORS.RESHAPE, OPERATORS.STRIDED_SLICE):
            return lambda x: x
        (index,) = readers[0].outputs


def _best_range(values: np.ndarray, activation) -> Range:
    """The range with the least mean squared error of the activation of the values."""
    values = values.astype(np.float64)
    expected = activation(values)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)

    def error(low: float, high: float) -> float:
        if high <= low:
            return math.inf
        scale = (high - low) / 255
        rounded = np.round((np.clip(values, low, high) - low) / scale) * scale + low
        return float(np.mean(np.square(activation(rounded) - expected)))

    for _ in range(2):
        high = min((high * share for share in SHARES), key=lambda at: error(low, at))
        low = min((low * share for share in SHARES), key=lambda at: error(at, high))
    return Range(low, high)


def folded(model: bytes) -> bytes:
    """A file of one signature with multiplications and additions per channel folded into the layers before them."""
    found = _Model(model)
    operators = found.graph.operators

    def writer(index: int):
        return next((operator for operator in operators if index in operator.outputs), None)

    for add in [operator for operator in operators if found.kind(operator) == OPERATORS.ADD]:
        (outer, shift), multiply = _with_constant(found, add), None
        if shift is not None:
            multiply = writer(outer)
        if multiply is None or found.kind(multiply) != OPERATORS.MUL or multiply.builtinOptions.fusedActivationFunction:
            continue
        inner, scale = _with_constant(found, multiply)
        layer = reshape = None if scale is None else writer(inner)
        if layer is not None and found.kind(layer) == OPERATORS.RESHAPE:
            layer = writer(layer.inputs[0])
        if layer is None or found.kind(layer) not in WEIGHTED or layer.builtinOptions.fusedActivationFunction:
            continue
        between = {outer, inner, *layer.outputs}
        reads = [index for operator in operators for index in operator.inputs if index in between]
        if len(reads) != len(between) or between & {*found.graph.outputs}:
            continue  # something else reads them
        kernel = found.constant(layer.inputs[1])
        channels = int(found.graph.tensors[inner].shape[-1])
        if kernel is None or kernel.shape[WEIGHTED[found.kind(layer)]] % channels:
            continue
        axis = WEIGHTED[found.kind(layer)]
        count = kernel.shape[axis]
        scale, shift = (np.resize(np.broadcast_to(value.reshape(-1), channels), count) for value in (scale, shift))
        place = 3 if found.kind(layer) == OPERATORS.TRANSPOSE_CONV else 2
        bias = found.constant(layer.inputs[place]) if len(layer.inputs) > place else None
        shift = shift if bias is None else bias * scale + shift
        wide = [count if i == axis else 1 for i in range(kernel.ndim)]
        layer.inputs = [*layer.inputs[:place], found.add(b"folded/%d" % layer.inputs[1], shift)]
        layer.inputs[1] = found.add(b"folded/kernel/%d" % layer.inputs[1], kernel * scale.reshape(wide))
        layer.builtinOptions.fusedActivationFunction = add.builtinOptions.fusedActivationFunction
        reshape.outputs = add.outputs
        found.graph.operators = operators = [one for one in operators if one is not add and one is not multiply]
    return found.pack()


def _with_constant(found: _Model, operator) -> tuple[int, np.ndarray | None]:
    """(the other input, the float constant) of an elementwise operator; the constant is None where there is none."""
    values = [found.constant(index) for index in operator.inputs]
    if (values[0] is None) == (values[1] is None):
        return operator.inputs[0], None
    place = 0 if values[1] is None else 1
    return operator.inputs[1 - place], values[place]


def _annotate(found: _Model, ranges: Mapping[int, Range]):
    """Writes the ranges of tensors where the quantizer reads them."""
    for index, chosen in ranges.items():
        parameters = found.graph.tensors[index].quantization = schema.QuantizationParametersT()
        parameters.min, parameters.max = [chosen.low], [chosen.high]


def integers(model: bytes, ranges: Mapping[int, Range], *, dense_per_channel: bool = True) -> bytes:
    """A file of one signature that computes in 8 bits throughout, as its float inputs and outputs are stored.

    Args:
        model: the file.
        ranges: of its tensors, see `calibrate`; that of an input decides its scale and zero point. Outputs are images.
        dense_per_channel: as of `integer`.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    found = _Model(model)
    _annotate(found, {**ranges, **dict.fromkeys(found.graph.outputs, Range(0.0, 1.0))})
    return mlir_quantize(
        found.pack(), input_data_type=tf.int8, output_data_type=tf.int8,
        disable_per_channel_for_dense_layers=not dense_per_channel,
    )  # fmt: skip


def integer(
    model: bytes, ranges: Mapping[int, Range], *, float_layers: Iterable[int] = (), dense_per_channel: bool = True
) -> bytes:
    """A file of one signature that computes in 8 bits from its first layer with weights to its last.

    Args:
        model: the file.
        ranges: of its tensors, see `calibrate`.
        float_layers: numbers of layers with weights that compute in floats (their weights have 8 bits nevertheless);
            -1 is the last.
        dense_per_channel: dense layers get a scale per output (24 bytes each, with the bias's), not one per layer.
    """
    from tensorflow.lite.python.convert import mlir_quantize

    found = _Model(model)
    tensors, operators = found.graph.tensors, found.graph.operators
    layers = [i for i, operator in enumerate(operators) if found.kind(operator) in WEIGHTED]
    floats = {layers[i] for i in float_layers}
    # the quantizer leaves out named operators, but not transposed convolutions: those it leaves out without a range
    unknown = {j for i in floats if found.kind(operators[i]) == OPERATORS.TRANSPOSE_CONV for j in operators[i].outputs}
    _annotate(found, {index: chosen for index, chosen in ranges.items() if index not in unknown})
    body = [i for i in layers if i not in floats]
    kept, names, of_the_body = [], set(), set()
    for i, operator in enumerate(operators):
        if i in body or (of_the_body & {*operator.inputs}):
            of_the_body.update(operator.outputs)
        normalizes = found.kind(operator) in ELEMENTWISE and any(
            found.constant(index) is not None for index in operator.inputs
        )
        for index in operator.outputs:
            if tensors[index].name in names:
                tensors[index].name += b"/%d" % index  # a name keeps an operator in floats, so it is of one alone
            names.add(tensors[index].name)
            if normalizes or i in floats or index not in of_the_body or i > body[-1]:
                kept.append(tensors[index].name.decode())
    quantized = mlir_quantize(
        found.pack(), denylisted_nodes=kept, disable_per_channel_for_dense_layers=not dense_per_channel
    )
    return weights8(quantized, dynamic=False) if floats else float16(quantized, biases=False)
