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


SIGNATURES = ("decode", "serving_default")
CONVERT = """
import sys
from tf2onnx.convert import main
folder, saved_model, *signatures = sys.argv[1:]
for signature in signatures:
    flags = ["--saved-model", saved_model, "--signature_def", signature, "--tag", "serve", "--opset", "18"]
    sys.argv[1:] = [*flags, "--output", f"{folder}/{signature}.onnx"]
    main()
"""
"""As `python -m tf2onnx.convert` does, one after the other in one process."""


@pytest.fixture(scope="module")
def onnx_files(tmp_path_factory) -> Path:
    """A folder with an ONNX file of each signature."""
    pytest.importorskip("tf2onnx", reason=HOW)
    folder = tmp_path_factory.mktemp("onnx")
    command = [sys.executable, "-c", CONVERT, str(folder), str(EXPORT), *SIGNATURES]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module", params=SIGNATURES)
def onnx_case(request, golden, onnx_files):
    """(ONNX file of a signature, its golden inputs)."""
    given = {"decode": {"z": golden.z}, "serving_default": {"seed": golden.seed}}[request.param]
    return onnx_files / f"{request.param}.onnx", {**given, "label": golden.label}


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
