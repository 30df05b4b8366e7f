"""JSON as TF Serving reads it (json_tensor.cc, json_tensor_test.cc), without a server."""

import gzip
import json
import math

import numpy as np
import pytest
from tensorflow.core.framework import tensor_pb2, types_pb2

from kgen.config import RequestLimits
from kgen.serve.codec import decode_json, decode_query, decompress, encode_json, encode_proto, parse_json
from kgen.serve.validation import ServingError, Signature, TensorInfo

LIMITS = RequestLimits()
FLOAT, INT = TensorInfo(types_pb2.DT_FLOAT, (None,)), TensorInfo(types_pb2.DT_INT32, (None,))
ONE = Signature("one", "predict", {"x": FLOAT}, {})
GENERATE = Signature(
    "generate_png",
    "predict",
    {"label": INT, "seed": INT, "temperature": FLOAT},
    {},
    {"label": (0, 9), "seed": (0, 2**31 - 1), "temperature": (0.0, 2.0)},
)


def read(text: str | bytes, signature=ONE):
    body = text if isinstance(text, bytes) else text.encode()
    return decode_json(parse_json(body, LIMITS), signature, LIMITS)[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1435774380", np.float32(1435774380.0)),  # FloatTensorWithPrecisionLoss
        ("1435774380.0", np.float32(1435774380.0)),
        ("16777217", np.float32(16777216)),  # 2^24 + 1 has no float
        ("1.79769e+308", math.inf),  # FloatTensorThatExceedsMaxReturnsInf
        ("-1.79769e+308", -math.inf),
        ("1.8e308", math.inf),
        ("-1.8e308", -math.inf),
        ("2.22507e-308", 0.0),
        ("1e39", math.inf),
        ("NaN", math.nan),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
    ],
)
def test_floats(text, value):
    for body in ('{"instances": [%s]}', '{"inputs": {"x": [%s]}}'):
        found = read(body % text)["x"]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.float32([value]))


@pytest.mark.parametrize("text", ["1e999", "1" + "0" * 400, "nan", "1.", "01", "'a'", "1e", "--1"])
def test_what_is_no_number(text):
    with pytest.raises(ServingError):
        read(f'{{"instances": [{text}]}}')


def test_a_byte_order_mark():
    assert read(b"\xef\xbb\xbf" + b'{"instances": [1]}')["x"].tolist() == [1]


def test_surrogates_are_no_text():
    text = Signature("text", "predict", {"x": TensorInfo(types_pb2.DT_STRING, (None,))}, {})
    with pytest.raises(ServingError, match="string"):
        read('{"instances": ["\\ud800"], "NaN": NaN}', text)


def test_the_misfit_is_named_by_its_place():
    grid = Signature("grid", "predict", {"x": TensorInfo(types_pb2.DT_INT32, (None, 2, 2))}, {})
    with pytest.raises(ServingError, match=r"at \[1\]\[0\]\[1\]: \"a\""):
        read('{"inputs": [[[1, 2], [3, 4]], [[5, "a"], [7, 8]]]}', grid)
    with pytest.raises(ServingError, match=r"at \[1\]\[1\]: \[7\]"):
        read('{"inputs": [[[1, 2], [3, 4]], [[5, 6], [7]]]}', grid)
    with pytest.raises(ServingError, match=r"at \[1\]: 2147483648"):
        read('{"inputs": [1, 2147483648]}', Signature("int", "predict", {"x": INT}, {}))


def test_a_message_shows_the_start_of_what_it_is_about():
    with pytest.raises(ServingError) as raised:
        read(json.dumps({"instances": ["a" * 10**6]}))
    assert len(raised.value.message) < 500


def test_gzip():
    packed = gzip.compress(b"a" * 100) + gzip.compress(b"b" * 100)
    assert decompress(packed, "gzip", 200) == b"a" * 100 + b"b" * 100
    for body, encoding, status in (
        (packed, "gzip", 413),
        (gzip.compress(bytes(10**8)), "gzip", 413),
        (packed[:-5], "gzip", 413),
        (b"{}", "gzip", 400),
        (gzip.compress(b"a")[:-3], "gzip", 400),
        (b"{}", "br", 415),
    ):
        with pytest.raises(ServingError) as raised:
            decompress(body, encoding, 199)
        assert raised.value.http_status == status


def test_ranges_hold_for_nan_and_infinity():
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ServingError, match=r"'temperature'.*\[0\.0, 2\.0\].*(nan|inf)"):
            GENERATE.check_values("temperature", np.float32([1, value]))
        ONE.check_values("x", np.float32([1, value]))  # states no range


def test_rows_of_an_export():
    rows = {"label": np.int32([1, 2]), "seed": np.int32([1]), "temperature": np.float32([1, 1])}
    with pytest.raises(ServingError, match=r"same number of rows.*2 of 'label', 1 of 'seed', 2 of 'temperature'"):
        GENERATE.check_batch(rows)
    with pytest.raises(ServingError, match=r"at least one.*0 of 'label'"):
        GENERATE.check_batch({name: values[:0] for name, values in rows.items()})
    ONE.check_batch({"x": np.float32([])})  # another model may mean something by it


def test_queries():
    found = decode_query("label=3&seed=1", GENERATE)
    assert {name: values.tolist() for name, values in found.items()} == {"label": [3], "seed": [1], "temperature": [1]}
    assert decode_query("label=3&temperature=0.5", GENERATE)["temperature"].tolist() == [0.5]
    for query, message in (
        ("seed=1", "'label'.*missing"),
        ("label=3&label=4", "once"),
        ("label=3&x=1", "once"),
        ("label=cat", "'label'.*number.*cat"),
        ("label=3.5", "'label'.*int32"),
        ("label=true", "'label'.*number"),
        ("label=[3]", "'label'.*number"),
        ("label=", "'label'.*number"),
        ("&".join(["label=3"] * 1000), "once|query"),
    ):
        with pytest.raises(ServingError, match=message):
            decode_query(query, GENERATE)


def test_answers_are_written_in_pieces():
    many = np.arange(3 * 70_000, dtype=np.float32).reshape(3, 70_000)
    assert json.loads(encode_json({"y": many}, True))["predictions"] == many.tolist()
    assert json.loads(encode_json({"y": many.T}, False))["outputs"] == many.T.tolist()
    both = json.loads(encode_json({"a": many, "b": np.arange(3)}, True))["predictions"]
    assert [(row["a"], row["b"]) for row in both] == [(many[i].tolist(), i) for i in range(3)]


def test_answers_that_are_not_finite():
    outputs = {"a": np.float32([0.1, np.nan]), "b": np.int32([1, 2]), "c": np.float32([[np.inf], [-np.inf]])}
    text = encode_json(outputs, True).decode()
    assert text == '{"predictions":[{"a":0.1,"b":1,"c":[Infinity]},{"a":NaN,"b":2,"c":[-Infinity]}]}'


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.int8, np.uint8, np.int64, np.uint64, np.bool_, np.float16]
)
@pytest.mark.parametrize("size", [0, 1, 5])
def test_tensors_are_read_as_tensorflow_reads_them(dtype, size):
    import tensorflow as tf

    from kgen.serve.codec import _values_of

    for values in (np.arange(size).astype(dtype), np.full(size, 1, dtype)):  # the second is stored as one value
        for proto in (tf.make_tensor_proto(values), encode_proto(values, tf.as_dtype(dtype).as_datatype_enum)):
            found = _values_of(proto, size)
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, tf.make_ndarray(proto))


def test_a_tensor_of_few_values_repeats_the_last():
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_INT32, int_val=[1, 2])
    from kgen.serve.codec import _values_of

    assert _values_of(proto, 4).tolist() == [1, 2, 2, 2]
