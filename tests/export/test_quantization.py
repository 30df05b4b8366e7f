"""Smaller forms of .tflite files: what is stored in how many bits, and what must stay a float."""

import json

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from kgen.cli.export import quantized_table
from kgen.export import quantization, tflite
from kgen.export.golden import Golden
from kgen.export.quantization import (
    ACTIVATIONS,
    Range,
    _best_range,
    calibrate,
    float16,
    folded,
    integer,
    integers,
    only,
    weights8,
)
from kgen.export.signatures import ExportSignature
from kgen.export.tflite import convert, integer_tensors, write_tflite
from kgen.export.tolerances import TOLERANCES, Tolerance
from kgen.sampling.exported import TFLiteRuntime, read_metadata

LATENT, SIDE, CHANNELS = 16, 4, 64
OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def generator(*, spread=1.0, contrast=1.0):
    """z [B, 16] -> images [B, 8, 8, 1]: a dense layer, normalization, ReLU, a transposed convolution, a sigmoid.

    Args:
        spread: of the dense layer's outputs, for the 64 channels; the normalization divides by it.
        contrast: multiplies the logits.
    """
    rng = np.random.default_rng(0)
    spread = np.broadcast_to(np.float32(spread), CHANNELS)
    kernel = rng.normal(size=(LATENT, SIDE, SIDE, CHANNELS)).astype(np.float32) / 4 * spread
    dense, scale = tf.constant(kernel.reshape(LATENT, -1)), tf.constant(2 / spread)
    kernel = tf.constant(contrast * rng.normal(size=(4, 4, 1, CHANNELS)).astype(np.float32) / 16)
    shift = tf.constant(rng.normal(size=CHANNELS).astype(np.float32))

    def decode(z):
        x = tf.reshape(z @ dense, (-1, SIDE, SIDE, CHANNELS))
        x = tf.nn.relu(x * scale + shift)
        x = tf.nn.conv2d_transpose(x, kernel, (1, 2 * SIDE, 2 * SIDE, 1), 2)
        return tf.sigmoid(x)

    return decode


def exported(decode):
    """A .tflite file with `decode` and `twice` of a generator."""
    inputs = (tf.TensorSpec([1, LATENT], name="z"),)
    calls = {"decode": decode, "twice": lambda z: 2 * decode(z)}
    return convert({name: ExportSignature(lambda z, c=call: {"images": c(z)}, inputs) for name, call in calls.items()})


@pytest.fixture(scope="module")
def made():
    """(file of a generator, z [32, 16], its images)."""
    return of_generator()


def of_generator(**options):
    decode = generator(**options)
    z = np.random.default_rng(1).normal(size=(32, LATENT)).astype(np.float32)
    return exported(decode), z, np.concatenate([decode(z[i : i + 1]) for i in range(32)])


def images(content, folder, z):
    (folder / "some.tflite").write_bytes(content)
    runtime = TFLiteRuntime(folder / "some.tflite")
    assert runtime.signatures == ("decode",)
    return runtime.call("decode", z=z)["images"]


def decibels(content, folder, z, expected):
    return -10 * np.log10(np.mean(np.square(images(content, folder, z) - expected)))


def operators(content):
    """(name, type of the first input) of each."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))
    kinds = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    (graph,) = model.subgraphs
    types = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    return [(OPERATORS[kinds[op.opcodeIndex]], types[graph.tensors[op.inputs[0]].type]) for op in graph.operators]


def test_one_signature_of_a_file(made, tmp_path):
    content, z, expected = made
    alone = only(content, "decode")
    assert len(alone) < len(content)
    np.testing.assert_allclose(images(alone, tmp_path, z), expected, atol=1e-6)


def test_weights_in_16_and_8_bits(made, tmp_path):
    content, z, expected = made
    alone = only(content, "decode")
    sizes = {"float16": len(float16(alone)) / len(alone)}
    assert decibels(float16(alone), tmp_path, z, expected) > 70
    for dynamic in (False, True):
        small = weights8(alone, dynamic=dynamic)
        sizes[f"dynamic={dynamic}"] = len(small) / len(alone)
        # 12 bytes for the scale of an output of 16 weights of 4 bytes: 3/16 more than a quarter
        assert decibels(small, tmp_path, z, expected) > 45
        coarse = weights8(alone, dynamic=dynamic, dense_per_channel=False)
        sizes[f"dynamic={dynamic}, coarse"] = len(coarse) / len(alone)
        assert decibels(coarse, tmp_path, z, expected) > 40
    assert all(size < bound for size, bound in zip(sizes.values(), (0.53, 0.46, 0.29, 0.46, 0.29), strict=True)), sizes
    kinds = [name for name, _ in operators(weights8(alone, dynamic=True))]
    assert "DEQUANTIZE" not in kinds  # the layers read 8 bits themselves
    assert [name for name, _ in operators(weights8(alone, dynamic=False))].count("DEQUANTIZE") == 2


@pytest.mark.parametrize("activation", [lambda x: x, tf.nn.relu])
def test_the_bias_of_a_dense_layer_of_few_inputs_has_16_bits(tmp_path, monkeypatch, activation):
    """Of 16 inputs, the bias in 32 bits would be a quarter of the weights in 8."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(LATENT, 1024)).astype(np.float32) / 8, rng.normal(size=1024).astype(np.float32)

    def decode(z):
        return {"images": activation(z @ tf.constant(kernel) + tf.constant(bias))}

    z = rng.normal(size=(8, LATENT)).astype(np.float32)
    model = convert({"decode": ExportSignature(decode, (tf.TensorSpec([1, LATENT], name="z"),))})
    small = weights8(model, dynamic=True)
    assert [name for name, _ in operators(small)] == ["DEQUANTIZE", "FULLY_CONNECTED", "ADD"]
    monkeypatch.setattr(quantization, "FEW_INPUTS", 0)
    large = weights8(model, dynamic=True)
    assert [name for name, _ in operators(large)] == ["FULLY_CONNECTED"]
    assert len(large) - len(small) > 1500  # of 2048, less two operators and a tensor
    expected = activation(z @ kernel + bias).numpy() if activation is tf.nn.relu else z @ kernel + bias
    first, second = (decibels(content, tmp_path, z, expected) for content in (small, large))
    assert first > 45 and first > second - 0.5


def test_a_channel_of_zeros_has_a_scale(tmp_path):
    kernel = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    kernel[:, 3] = 0
    call = ExportSignature(lambda z: {"images": z @ tf.constant(kernel)}, (tf.TensorSpec([1, 64], name="z"),))
    z = np.ones((1, 64), np.float32)
    got = images(weights8(convert({"decode": call}), dynamic=False), tmp_path, z)
    # each weight is off by at most half a scale, 1/254 of the largest of its channel
    bound = 64 * np.abs(kernel).max(axis=0) / 254
    assert got[0, 3] == 0 and np.all(np.abs(got - z @ kernel) <= bound + 1e-6)


@pytest.mark.parametrize(
    ("options", "bound"),
    [
        ({}, 45),
        # one scale for the dense layer's outputs would leave most channels fewer than 2 bits: 15 dB
        ({"spread": np.where(np.arange(CHANNELS) == 5, 100.0, 1.0)}, 45),
        # a step of logits from -60 to 60 is 0.5, up to an eighth of all grey levels
        ({"contrast": 10.0}, 32),
    ],
    ids=["plain", "spread", "contrast"],
)
def test_arithmetic_in_8_bits(tmp_path, options, bound):
    content, z, expected = of_generator(**options)
    alone = folded(only(content, "decode"))
    np.testing.assert_allclose(images(alone, tmp_path, z), expected, atol=1e-5)
    ranges = calibrate(alone, ({"z": z[i : i + 1]} for i in range(32)))
    small = integer(alone, ranges)
    assert decibels(small, tmp_path, z, expected) > bound
    assert operators(small) == [
        ("QUANTIZE", "FLOAT32"), ("FULLY_CONNECTED", "INT8"), ("RESHAPE", "INT8"), ("TRANSPOSE_CONV", "INT32"),
        ("DEQUANTIZE", "INT8"), ("LOGISTIC", "FLOAT32"),
    ]  # fmt: skip
    assert operators(integer(alone, ranges, float_layers=[-1])) == [
        ("QUANTIZE", "FLOAT32"), ("FULLY_CONNECTED", "INT8"), ("DEQUANTIZE", "INT8"), ("RESHAPE", "FLOAT32"),
        ("TRANSPOSE_CONV", "INT32"), ("LOGISTIC", "FLOAT32"),
    ]  # fmt: skip
    exact = integer(alone, ranges, float_layers=[0, -1])
    assert decibels(exact, tmp_path, z, expected) >= decibels(small, tmp_path, z, expected)
    assert len(exact) < 1.05 * len(small)


def test_integers_from_the_input_to_the_output(made, tmp_path):
    content, z, expected = made
    alone = folded(only(content, "decode"))
    small = integers(alone, calibrate(alone, ({"z": z[i : i + 1]} for i in range(32))))
    assert decibels(small, tmp_path, z, expected) > 42  # of floats that are stored as the file has them
    assert {kind for _, kind in operators(small)} == {"INT8", "INT32"}  # INT32: the shape of a transposed convolution
    tensors = integer_tensors(small)
    (given, made_of) = tensors["inputs"]["z"], tensors["outputs"]["images"]
    low, high = given["range"]
    assert -4 < low < -2 and 2 < high < 4 and high - low == pytest.approx(255 * given["scale"], abs=1e-5)
    assert made_of == {"scale": 1 / 256, "zero_point": -128, "range": [0, 0.996094]}
    by_hand = Interpreter(model_content=small).get_signature_runner()
    stored = np.clip(np.round(z[:1] / given["scale"]) + given["zero_point"], -128, 127).astype(np.int8)
    pixels = by_hand(z=stored)["images"]
    assert pixels.dtype == np.int8
    np.testing.assert_array_equal((pixels.astype(np.float32) + 128) / 256, images(small, tmp_path, z[:1]))


def test_ranges_are_clipped_where_that_is_nearer():
    # one of a million values, 3 among those in [-1, 1]: squared error 4e-6 each if it is clipped, and rounding has
    # (2 / 255)^2 / 12 = 5e-6; else rounding has (4 / 255)^2 / 12 = 2e-5
    found = _best_range(np.append(np.linspace(-1, 1, 1_000_000), 3.0), lambda x: x)
    assert found.low == -1 and found.high < 1.5
    logits = np.linspace(-60, 60, 1001)
    sigmoid = _best_range(logits, lambda x: 1 / (1 + np.exp(-x)))
    assert -20 <= sigmoid.low <= -6 and 6 <= sigmoid.high <= 20  # 1 - sigmoid(6) = 0.0025, a half of a grey level
    elu = _best_range(np.linspace(-60, 4, 1001), ACTIVATIONS[schema.BuiltinOperator.ELU])
    assert -10 <= elu.low <= -3 and elu.high > 3.5  # elu(-3) = -0.95, and -1 is as near as it gets
    assert _best_range(np.array([1.0, 2.0]), lambda x: x) == Range(0.0, 2.0)  # 8 bits have a zero


def test_files_that_hold_are_kept_and_others_refused(made, tmp_path, monkeypatch):
    _, z, expected = made
    seed, few = np.arange(32, dtype=np.int32), slice(8)
    golden = Golden(seed, None, z, expected, np.ones(8, np.float32), expected[few], seed[few], expected[few])
    decode = generator()
    call = ExportSignature(lambda z: {"images": decode(z)}, (tf.TensorSpec([1, LATENT], name="z"),))
    monkeypatch.setitem(TOLERANCES, "dynamic", Tolerance(1.0, 30.0))
    monkeypatch.setitem(TOLERANCES, "int8", Tolerance(1.0, 99.0))
    tried = []
    monkeypatch.setattr(tflite, "integer", lambda *args, **kwargs: tried.append(kwargs) or integer(*args, **kwargs))
    found = write_tflite({"decode": call}, {"model": "m"}, tmp_path, golden, ["dynamic", "int8", "dynamic"], {"z": z})
    assert [one["file"] for one in found] == ["decode-dynamic.tflite", "decode-int8.tflite"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["decode-dynamic.tflite", "model.tflite"]
    dynamic, int8 = found
    assert dynamic["refused"] is None and dynamic["form"].startswith("weights, one scale per dense layer")
    assert dynamic["bytes"] == (tmp_path / "decode-dynamic.tflite").stat().st_size
    assert 0.25 < dynamic["share_of_float32"] < 0.4
    assert "PSNR" in int8["refused"] and "at least 99" in int8["refused"] and int8["psnr_db"] < 99
    assert len(tried) >= 2  # and the forms after the first were tried
    assert read_metadata(tmp_path / "decode-dynamic.tflite") == {"model": "m", "signatures": {"decode": ["z"]}}
    lines = quantized_table(json.loads(json.dumps(found))).splitlines()
    assert lines[2].endswith("kept") and lines[3].endswith("refused") and f"{int8['psnr_db']:.1f}" in lines[3]
    assert f"refused decode-int8.tflite: {int8['refused']}" in lines
