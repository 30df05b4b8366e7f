"""Formats beside SavedModel and model.tflite: .onnx files, and .tflite files for batches."""

import json
import re
from importlib.util import find_spec

import numpy as np
import pytest
from copied_files import copies_files_of
from same_images import assert_same_images

from kgen import generate, open_sampler
from kgen.cli import export as export_command
from kgen.cli import sample as sample_command
from kgen.errors import UserError
from kgen.export import export, formats, verify_export
from kgen.export.formats import batch_size, check_formats
from kgen.export.signatures import signatures
from kgen.export.tflite import convert
from kgen.images import to_uint8
from kgen.models import build_model
from kgen.sampling import StandardNormal
from kgen.sampling.exported import ONNXRuntime, TFLiteRuntime
from kgen.sampling.priors import GaussianMixture
from kgen.spec import DataSpec

HAS_ONNX = all(find_spec(package) for package in formats.NEEDED["onnx"])
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="pip install 'kgen[onnx]'")
OPSET = 17


@pytest.fixture(scope="module")
def version(default_job, default_export, make_once):
    """exports/cvae/1 of the default run with a file for batches of 8, and .onnx files where they can be written."""

    def write(folder):
        chosen = ["onnx"] if HAS_ONNX else []
        with pytest.MonkeyPatch.context() as patch:
            copies_files_of(default_export, patch, measured=False)
            export(default_job[0], folder / "cvae", formats=chosen, opset=OPSET, tflite_batch="8")

    return make_once("formats_export", write) / "cvae" / "1"


def test_batches_on_the_device(version):
    """20 rows are two batches and a half."""
    runtime = TFLiteRuntime(version / "model-batch8.tflite")
    assert runtime.batch_size == 8 and TFLiteRuntime(version / "model.tflite").batch_size == 1
    expected = generate(open_sampler(version), 20, seed=2).images
    np.testing.assert_allclose(
        generate(open_sampler(version / "model-batch8.tflite"), 20, seed=2).images, expected, atol=1e-5
    )
    measured = json.loads((version / "manifest.json").read_text())["measured"]
    assert measured["model-batch8.tflite decode"]["values"] == 64 * 28 * 28
    assert {n.partition(" ")[2] for n in measured if "batch8" in n} == {
        n.partition(" ")[2] for n in measured if n.startswith("model.tflite")
    }


@pytest.mark.slow
def test_any_batch(tmp_path):
    model = build_model("cvae", DataSpec("d", (4, 5, 1), 3, ("3", "5", "10")), seed=3, hidden=[4], latent_dim=2)
    found = signatures(model, StandardNormal(model.latent_shape), formats.batch_size("dynamic"))
    file = tmp_path / formats.batched_file("dynamic")
    file.write_bytes(convert({name: found[name] for name in ("generate", "decode")}))
    runtime, z = TFLiteRuntime(file), np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    assert runtime.batch_size is None
    expected = np.asarray(model.generate(z, np.int32([0, 1, 2, 0, 1])))
    label = np.int32([3, 5, 10, 3, 5])
    for rows in (1, 5, 3):
        got = runtime.call("decode", z=z[:rows], label=label[:rows])["images"]
        np.testing.assert_allclose(got, expected[:rows], atol=1e-5)


def test_batch_sizes_that_are_none():
    assert (batch_size("2"), batch_size("dynamic")) == (2, None)
    for text in ("1", "0", "-8", "many", "", "5000", "٣"):
        with pytest.raises(UserError, match=r"--tflite_batch takes 2 to 4096 or dynamic"):
            batch_size(text)


def test_formats_that_are_none(monkeypatch, capsys):
    """Both are said before anything is opened."""
    monkeypatch.setattr(formats, "find_spec", lambda package: None)
    with pytest.raises(UserError, match=r"--format onnx needs tf2onnx and onnxruntime; .*kgen\[onnx\]"):
        check_formats(["onnx"])
    assert export_command.main(["runs/none", "--to=exports/x", "--format=tensorrt"]) == 2
    assert "unknown format 'tensorrt'" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"--format tflite: every export holds a SavedModel and model.tflite"):
        check_formats(["tflite"])


@needs_onnx
def test_onnx_files_are_certified(version):
    """Of all golden rows, seeds too, to 1e-6: the bound of an export is larger for models that amplify rounding."""
    manifest = json.loads((version / "manifest.json").read_text())
    measured = {name: found for name, found in manifest["measured"].items() if ".onnx" in name}
    assert {*measured} == {
        "generate.onnx generate", "generate.onnx serving_default", "decode.onnx decode",
        "encode.onnx encode mean", "encode.onnx encode log_var",
    }  # fmt: skip
    assert max(found["max_abs_difference"] for found in measured.values()) <= 1e-6
    assert measured["generate.onnx serving_default"]["values"] == 64 * 28 * 28
    assert "row_by_row" in measured["decode.onnx decode"] and manifest["bytes"]["decode.onnx"] > 0
    assert measured.keys() <= verify_export(version)[1].keys()


@needs_onnx
def test_an_onnx_file_says_what_it_is(version):
    """To a reader that knows nothing of kgen."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(version / "generate.onnx"), providers=["CPUExecutionProvider"])
    assert {i.name: (i.type, len(i.shape)) for i in session.get_inputs()} == {
        "label": ("tensor(int32)", 1), "seed": ("tensor(int32)", 1), "temperature": ("tensor(float)", 1),
    }  # fmt: skip
    assert [(output.name, output.shape[1:]) for output in session.get_outputs()] == [("images", [28, 28, 1])]
    values = json.loads(session.get_modelmeta().custom_metadata_map["kgen"])
    assert values["class_names"] == list("0123456789") and values["signatures"] == {
        "generate": ["label", "seed", "temperature"]
    }
    model = pytest.importorskip("onnx").load(version / "generate.onnx")
    assert [opset.version for opset in model.opset_import if not opset.domain] == [OPSET]


@needs_onnx
def test_kgen_sample_takes_an_onnx_file(version, tmp_path, capsys):
    file = version / "decode.onnx"
    samples = generate(open_sampler(file), 20, seed=2, labels="7")
    assert_same_images(samples.images, generate(open_sampler(version), 20, seed=2, labels="7").images)
    assert sample_command.main([str(file), "--count=2", "--label=7", "--out", str(tmp_path / "two.png")]) == 0
    assert sample_command.main([str(file), "--label=eleven"]) == 2
    assert "label 'eleven' is no class" in capsys.readouterr().err
    assert sample_command.main([str(version / "generate.onnx")]) == 2
    assert "give decode.onnx" in capsys.readouterr().err
    (tmp_path / "half.onnx").write_bytes(file.read_bytes()[:1000])
    assert sample_command.main([str(tmp_path / "half.onnx")]) == 2
    assert "cannot be read as an .onnx file" in capsys.readouterr().err


@needs_onnx
def test_a_class_that_is_none_is_refused(version):
    """By the look-up of the label in a table."""
    runtime = ONNXRuntime(version / "decode.onnx")
    with pytest.raises(Exception, match="indices element out of data bounds"):
        runtime.call("decode", z=np.zeros((2, 2), np.float32), label=np.int32([3, 10]))


OF_A_GPU = {
    "ADD", "CAST", "CONCATENATION", "CONV_2D", "DIV", "FULLY_CONNECTED", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL",
    "NOT_EQUAL", "RELU", "RESHAPE", "STRIDED_SLICE", "SUB", "SUM", "TILE", "TRANSPOSE_CONV",
}  # fmt: skip
"""Of conditional decoders and encoders. GATHER and ONE_HOT are not among them: older delegates have neither."""


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_a_gpu_delegate_takes_conditional_networks_whole(capfd, network):
    """As TensorFlow Lite's analyzer says; and as its source does, a cast of a comparison has one reader."""
    import tensorflow as tf

    spec, sizes = DataSpec("d", (8, 8, 1), 3, ("3", "5", "10")), {"mlp": {}, "conv": {"filters": [4]}}
    model = build_model("cvae", spec, seed=3, network=network, hidden=[4], latent_dim=2, **sizes[network])
    found = signatures(model, StandardNormal(model.latent_shape), batch_size=1)
    for name in ("decode", "encode"):
        tf.lite.experimental.Analyzer.analyze(model_content=convert({name: found[name]}), gpu_compatibility=True)
        told = capfd.readouterr().out
        assert "looks compatible with GPU delegate" in told and "GPU COMPATIBILITY WARNING" not in told
        operators = re.findall(r"Op#\d+ (\w+)\((.*?)\) -> \[(.*?)\]", told)
        assert {kind for kind, *_ in operators} <= OF_A_GPU
        (cast,) = (written for kind, _, written in operators if kind == "CAST")
        assert sum(read.split(", ").count(cast) for _, read, _ in operators) == 1


@pytest.mark.parametrize("names", [("0", "1", "2"), ("3", "5", "10")])
def test_labels_of_a_tflite_file(tmp_path, names):
    """Numbers of classes are compared; others give NaN, and 0 as uint8, in the file of a mixture too."""
    model = build_model("cvae", DataSpec("d", (4, 5, 1), 3, names), seed=3, hidden=[4], latent_dim=2)
    means = np.arange(6.0).reshape(3, 1, 2)
    mixture = GaussianMixture(np.ones((3, 1)), means, np.ones((3, 1, 2)), latent_shape=model.latent_shape)
    found = signatures(model, mixture, batch_size=1)
    file, numbers = tmp_path / "labels.tflite", [*map(int, names)]
    file.write_bytes(convert({name: found[name] for name in ("decode", "generate", "generate_u8", "encode")}))
    runtime, label = TFLiteRuntime(file), np.int32([*numbers, 11, -1])
    z = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    given = {
        "decode": {"z": z}, "encode": {"images": np.full((5, 4, 5, 1), 0.5, np.float32)},
        "generate": {"seed": np.arange(5, dtype=np.int32), "temperature": np.zeros(5, np.float32)},
    }  # fmt: skip
    got = {name: runtime.call(name, label=label, **inputs) for name, inputs in given.items()}
    pixels = runtime.call("generate_u8", label=label, **given["generate"])["images"]
    positions = np.arange(3, dtype=np.int32)
    expected = np.asarray(model.generate(z[:3], positions))
    np.testing.assert_allclose(got["decode"]["images"][:3], expected, atol=1e-6)
    expected = np.asarray(model.generate(means[:, 0].astype(np.float32), positions))  # at temperature 0
    np.testing.assert_allclose(got["generate"]["images"][:3], expected, atol=1e-6)
    np.testing.assert_array_equal(pixels, to_uint8(np.nan_to_num(got["generate"]["images"])))
    for outputs in got.values():
        for values in outputs.values():
            assert np.isnan(values[3:]).all() and np.isfinite(values[:3]).all()
