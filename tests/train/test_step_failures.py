"""Errors of a training step that a setting avoids are one sentence that names it."""

import pytest
import tensorflow as tf

import kgen
from kgen.cli.train import main
from kgen.config import override
from kgen.models import GenerativeModel
from kgen.spec import DataSpec
from kgen.train.trainer import failure_of

DETERMINISM = "A deterministic GPU implementation of DepthwiseConvBackpropFilter is not available with this cuDNN."
LIBDEVICE = "libdevice not found at ./libdevice.10.bc"
SPEC = DataSpec("x", (28, 28, 1), examples={"train": 100})


def told(error, **settings) -> str:
    given = {"train.batch_size": 16, "train.jit_compile": False} | settings
    found = failure_of(error, override(kgen.RunConfig(model="vae"), given), SPEC)
    return str(found) if found else ""


def test_what_has_no_deterministic_kernel():
    error = tf.errors.UnimplementedError(None, None, DETERMINISM)
    assert DETERMINISM in told(error, **{"train.deterministic": True})
    assert told(error) == "" and told(ValueError(DETERMINISM), **{"train.deterministic": True}) == ""


@pytest.mark.parametrize(
    "said",
    [
        LIBDEVICE,
        "ptxas exited with non-zero error code 255, output: x",
        "Autotuning failed for HLO: %gemm",
        "Detected unsupported operations when trying to compile graph __inference_step_1[] on XLA_GPU_JIT: Unique",
    ],
)
def test_what_xla_cannot_compile(said):
    error = tf.errors.InternalError(None, None, f"Graph execution error:\n\nDetected at node A defined at\n{said}")
    assert f"({said}); --nojit_compile" in told(error, **{"train.jit_compile": True})
    assert told(error) == ""
    other = tf.errors.InvalidArgumentError(None, None, "Incompatible shapes: [3] vs. [4]")
    assert told(other, **{"train.jit_compile": True}) == ""
    lacking = tf.errors.InternalError(None, None, "Failed to load CUBIN: CUDA_ERROR_OUT_OF_MEMORY")
    assert told(lacking, **{"train.jit_compile": True}).startswith("out of memory")


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--deterministic"], ["--deterministic", "--dry_run"], ["--jit_compile"]])
def test_of_a_command(flags, tmp_path, monkeypatch, capsys):
    said, kind = (LIBDEVICE, tf.errors.InternalError) if "--jit_compile" in flags else (
        DETERMINISM, tf.errors.UnimplementedError)  # fmt: skip

    def fails(iterator):
        raise kind(None, None, said)

    def made(model, force=False):
        model.train_function = fails

    monkeypatch.setattr(GenerativeModel, "make_train_function", made)
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)  # stays on
    sizes = ["--limit", "64", "--epochs", "1", "--set", "model_args.hidden=[4]"]
    assert main(["--model", "vae", "--run_dir", str(tmp_path / "run"), *sizes, *flags]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("kgen-train: ") and f"({said}); " in message
    if "--dry_run" not in flags:
        assert said in (tmp_path / "run" / "FAILED").read_text()
