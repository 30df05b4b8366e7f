"""Other runtimes give the images of the model: ONNX Runtime and OpenVINO; pip install 'kgen[runtimes]'.

OpenVINO 2026.4 reads .tflite files by itself, but forgets the ReLU of their transposed convolutions; by way of ONNX it
does not.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kgen.export.golden import Golden

EXPORT = Path(__file__).parents[2] / "exports" / "cvae-mnist" / "1"
HOW = "pip install 'kgen[runtimes]'"
BOUND = 1e-5


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden.load(EXPORT)


@pytest.fixture(scope="module", params=["decode", "serving_default"])
def onnx_case(request, golden, tmp_path_factory):
    """(ONNX file of a signature, its golden inputs)."""
    pytest.importorskip("tf2onnx", reason=HOW)
    file = tmp_path_factory.mktemp("onnx") / "model.onnx"
    flags = ["--saved-model", str(EXPORT), "--signature_def", request.param, "--tag", "serve", "--opset", "18"]
    command = [sys.executable, "-m", "tf2onnx.convert", *flags, "--output", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    given = {"decode": {"z": golden.z}, "serving_default": {"seed": golden.seed}}[request.param]
    return file, {**given, "label": golden.label}


def test_onnx_runtime_draws_the_golden_images(onnx_case, golden):
    runtime = pytest.importorskip("onnxruntime", reason=HOW)
    file, inputs = onnx_case
    (images,) = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, inputs)
    np.testing.assert_allclose(images, golden.images, atol=BOUND, rtol=0)


def test_openvino_draws_the_golden_images(onnx_case, golden):
    openvino = pytest.importorskip("openvino", reason=HOW)
    file, inputs = onnx_case
    network = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (images,) = network(inputs).values()
    np.testing.assert_allclose(images, golden.images, atol=BOUND, rtol=0)


def test_openvino_reads_the_tflite_encoder(golden):
    openvino = pytest.importorskip("openvino", reason=HOW)
    file = str(EXPORT / "encoder.tflite")
    network = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for row in range(len(golden.mean)):
        outputs = network([golden.images[row : row + 1], golden.label[row : row + 1]])
        log_var, mean = (values[0] for values in outputs.values())  # OpenVINO keeps their order, not their names
        np.testing.assert_allclose(mean, golden.mean[row], atol=BOUND, rtol=0)
        np.testing.assert_allclose(log_var, golden.log_var[row], atol=BOUND, rtol=0)
