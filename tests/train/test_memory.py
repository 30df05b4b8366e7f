"""The estimate of a training's memory, and what is refused by it."""

import math
import sys
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen import gpu
from kgen.cli.train import main
from kgen.config import override
from kgen.errors import TrainingFailed, UserError
from kgen.models import build_model
from kgen.models.presets import PRESETS
from kgen.spec import DataSpec
from kgen.train import memory
from kgen.train.defaults import convolutional_counterpart
from kgen.train.memory import check_memory, step_memory


def spec(side=28, channels=1, classes=10):
    names = tuple(map(str, range(classes)))
    return DataSpec("x", (side, side, channels), num_classes=classes, class_names=names, examples={"train": 100})


def config(model, of=None, **settings):
    given = {"model": model, "train.batch_size": 10} | settings
    dataset = type("Images", (), {"spec": of or spec()})()
    return kgen.train.resolve_defaults(override(kgen.RunConfig(), given), dataset)


@pytest.mark.parametrize("name", PRESETS)
def test_the_parameters_are_those_of_the_model(name):
    """The estimate is first: what is built after it is what is built without it."""
    need = step_memory(config(name), spec())
    model = build_model(name, spec(), seed=0)
    assert need.parameters == sum(int(np.prod(w.shape)) for network in model.networks for w in network.weights)
    step_memory(config(name), spec())
    again = build_model(name, spec(), seed=0)
    assert model.weights_hash() == again.weights_hash()
    assert all(np.isfinite(weight.numpy()).all() for weight in again.weights)


def test_the_state_by_hand():
    """Dense layers 784-8-2 and back, and mean and log-variance: Adam keeps two numbers per weight."""
    made = config("vae", **{"model_args.hidden": [8], "model_args.latent_dim": 2})
    weights = (784 * 8 + 8) + 2 * (8 * 2 + 2) + (2 * 8 + 8) + (8 * 784 + 784)
    need = step_memory(made, spec())
    assert need.parameters == weights and need.state_bytes == 3 * 4 * weights and need.gradient_bytes == 4 * weights
    averaged = config("vae", **{"model_args.hidden": [8], "model_args.latent_dim": 2, "train.ema_halflife_images": 9})
    assert step_memory(averaged, spec()).state_bytes == 4 * 4 * weights
    plain = config("vae", **{"model_args.hidden": [8], "model_args.latent_dim": 2, "train.optimizer": "sgd"})
    assert step_memory(plain, spec()).state_bytes == 4 * weights


def test_activations_grow_with_the_batch_and_are_shared_by_replicas():
    one, ten = (step_memory(config("conv_vae", **{"train.batch_size": size}), spec()) for size in (1, 10))
    assert ten.activation_bytes == pytest.approx(10 * one.activation_bytes, rel=1e-6)
    shared = step_memory(config("conv_vae", **{"train.batch_size": 10}), spec(), replicas=10)
    assert shared.activation_bytes == one.activation_bytes


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "sgd"])
def test_the_slots_of_an_optimizer(kind):
    expected = {"adam": 2, "rmsprop": 1, "sgd": 0}[kind]
    need = step_memory(config("vae", **{"train.optimizer": kind}), spec())
    assert need.state_bytes == 4 * need.parameters * (1 + expected)


@pytest.mark.parametrize("name", PRESETS)
def test_images_of_2048_pixels_are_refused_in_one_sentence(name, monkeypatch):
    monkeypatch.setattr(memory, "device_memory", lambda: (24 * 2**30, 20 * 2**30))
    large = spec(2048, 3)
    with pytest.raises(UserError, match=r"2048x2048x3.*parameters.*24\.0 GiB here.*--image_size"):
        check_memory(config(name, large, **{"train.batch_size": 64}), large)


def test_the_remedy_is_what_helps(monkeypatch):
    monkeypatch.setattr(memory, "device_memory", lambda: (24 * 2**30, 20 * 2**30))
    large = spec(2048, 3)
    for name, remedy in (("vae", "model_args.network=conv"), ("gan", "model_args.network=dcgan")):
        with pytest.raises(UserError, match=remedy):
            check_memory(config(name, large), large)
    with pytest.raises(UserError, match=r"a smaller --batch_size, or a smaller --image_size"):
        check_memory(config("conv_vae", large, **{"train.batch_size": 64}), large)
    with pytest.raises(UserError, match=r"model_args.hidden is \[1000000, 100000\]"):
        check_memory(config("vae", **{"model_args.hidden": [1000000, 100000]}), spec())


def test_what_is_scarce_is_noted_and_what_fits_is_not(monkeypatch):
    monkeypatch.setattr(memory, "device_memory", lambda: (24 * 2**30, 5 * 2**20))
    assert "5 MiB are available" in check_memory(config("vae"), spec())[1]
    monkeypatch.setattr(memory, "device_memory", lambda: (24 * 2**30, 20 * 2**30))
    assert check_memory(config("vae"), spec())[1] == ""


def test_the_command_refuses_before_it_builds(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "device_memory", lambda: (24 * 2**30, 20 * 2**30))
    kgen.images.save_pngs(tmp_path / "big", np.zeros((4, 1024, 1024, 3), np.uint8), list("abcd"))
    for more in (["--dry_run"], ["--run_dir", str(tmp_path / "run")]):
        assert main(["--model", "vae", "--dataset", str(tmp_path / "big"), "--batch_size", "2", *more]) == 2
        message = capsys.readouterr().err
        assert "1024x1024x3" in message and "--image_size" in message and len(message.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_memory_that_runs_out_while_training_is_one_sentence(tmp_path, monkeypatch, capsys):
    from kgen.train import trainer

    def fails(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(trainer, "_fit_or_roll_back", fails)
    arguments = ["--model", "vae", "--batch_size", "7", "--epochs", "1", "--run_dir", str(tmp_path / "run")]
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert "out of memory" in message and "--batch_size 7" in message and "28x28x1" in message
    assert "--batch_size 3 should fit, or let --batch_size auto try" in message and len(message.splitlines()) == 1
    assert "out of memory" in (tmp_path / "run" / "FAILED").read_text()


@pytest.mark.slow
def test_a_model_that_was_measured_is_gone_when_the_training_begins(monkeypatch):
    from kgen.train import distribution, dry_run, trainer

    kept = []

    def built(*args, **kwargs):
        model = build_model(*args, **kwargs)
        kept.extend(weakref.ref(thing) for thing in (model, *(weight.value for weight in model.weights)))
        return model

    monkeypatch.setattr(dry_run, "build_model", built)
    monkeypatch.setattr(dry_run, "SECONDS", 0.01)
    given = {"model": "vae", "model_args.hidden": [4], "train.minutes": 0.1, "train.batch_size": 16, "data.limit": 64}
    asked = override(kgen.RunConfig(), given)
    trainer._within_minutes(asked, kgen.data.load(asked.data), distribution.devices_of("one"))
    assert kept and not any(thing() for thing in kept)


def test_sheets_of_large_images_hold_fewer():
    from kgen.train import plots

    def shown(side, rows, columns):
        return plots._fitting(type("S", (), {"spec": spec(side, 3)})(), rows, columns)

    assert shown(64, 8, 8) == (8, 8) and shown(512, 10, 10) == (9, 9)  # 2^26 / (3 * 512^2) = 85.3 images
    assert shown(2048, 8, 8) == (2, 2) and shown(2048, 6, 10) == (2, 2)
    assert shown(8192, 8, 8) == (1, 1)


def test_the_batch_size_that_is_named_fits_by_the_estimate(monkeypatch):
    made = override(config("conv_vae"), {"train.batch_size": 1024})
    need = {size: step_memory(override(made, {"train.batch_size": size}), spec()).bytes for size in (64, 128)}
    monkeypatch.setattr(memory, "device_memory", lambda: ((need[64] + need[128]) / 2 / memory.ROOM, 0))
    said = str(memory.out_of_memory(tf.errors.ResourceExhaustedError(None, None, "OOM"), made, spec()))
    assert "--batch_size 64 should fit" in said and "--batch_size 1024 on images" in said
    error = tf.errors.ResourceExhaustedError(None, None, "OOM")
    assert "--batch_size 512 should fit" in str(memory.out_of_memory(error, made, spec(), replicas=8))
    monkeypatch.setattr(memory, "device_memory", lambda: (1000, 0))
    said = str(memory.out_of_memory(MemoryError(), made, spec()))
    assert "should fit" not in said and said.endswith("use a smaller --image_size or a smaller model")


def test_smaller_batches_are_multiples_of_the_critics_steps():
    assert memory.smaller_sizes(config("wgan", **{"train.batch_size": 40})) == [40, 20, 10, 5]
    assert memory.smaller_sizes(config("vae", **{"train.batch_size": 1})) == [1]


SMI = """
import sys
assert sys.argv[1].startswith("--query-gpu=name,mig.mode.current,memory.total,memory.free")
print({lines!r})
"""


@pytest.mark.parametrize(
    ("used", "lines", "mebibytes"),
    [
        (["A"], ["A, [N/A], 8000, 7000", "Display, [N/A], 2000, 1000"], (8000, 7000)),  # a card that TensorFlow leaves
        (["A"], ["A, Disabled, 8000, 10", "A, Disabled, 8000, 7000"], (8000, 7000)),  # one of two is visible
        (["A", "B"], ["A, [N/A], 8000, 7000", "B, [N/A], 4000, 3000"], (4000, 3000)),
        (["A MIG 1g.5gb"], ["A, Enabled, 40000, 39000"], None),  # a slice: the card has more
        (["A"], ["A, Enabled, 40000, 39000"], None),
        (["A"], ["A, [N/A], [N/A], [N/A]"], None),  # memory that the processor shares
        ([""], ["A, [N/A], 8000, 7000"], None),
        (["A"], [], None),
    ],
)
def test_the_memory_is_that_of_the_gpus_in_use(used, lines, mebibytes, tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text(f"#!{sys.executable}" + SMI.format(lines="\n".join(lines)))
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpu, "visible", lambda: used)
    monkeypatch.setattr(gpu, "name_of", lambda name: name)
    expected = [number * 2**20 for number in mebibytes] if mebibytes else [math.inf] * 2
    assert [*memory.device_memory()] == expected


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    assert memory.out_of_memory(ValueError("x"), config("vae"), spec()) is None
    assert not memory.lacks_memory(tf.errors.InternalError(None, None, "Blas xGEMM launch failed"))
    assert not memory.lacks_memory(tf.errors.ResourceExhaustedError(None, None, "/a/b; No space left on device"))
    assert memory.lacks_memory(tf.errors.InternalError(None, None, "CUBLAS_STATUS_ALLOC_FAILED"))
    assert isinstance(memory.out_of_memory(MemoryError(), config("vae"), spec()), TrainingFailed)


@pytest.mark.parametrize(
    "error",
    [
        (tf.errors.ResourceExhaustedError, "Out of memory allocating 4096 bytes."),  # XLA, into TensorFlow's allocator
        (tf.errors.InternalError, "RESOURCE_EXHAUSTED: Failed to allocate request for 1.0GiB (1B) on device ordinal 0"),
        (tf.errors.InternalError, "Failed to load in-memory CUBIN: CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
        (tf.errors.InternalError, "Failed copying input tensor to GPU:0: Dst tensor is not initialized."),
        (tf.errors.NotFoundError, "No algorithm worked!  Error messages:\n  CUDNN_STATUS_ALLOC_FAILED"),
        (tf.errors.UnknownError, "CUDNN failed to allocate the scratch space for the runner or to find another."),
        (tf.errors.FailedPreconditionError, "cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY"),
    ],
    ids=lambda error: error[1][:20],
)  # fmt: skip
def test_what_a_gpu_says_of_too_little_memory(error):
    """Messages in the binaries of TensorFlow 2.21, and of reports of its users."""
    kind, said = error
    assert memory.lacks_memory(kind(None, None, said))


def test_what_keras_makes_of_a_lack_of_memory_in_a_layer():
    class Layer(keras.layers.Layer):
        def call(self, x):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[9] on GPU:0")

    with pytest.raises(tf.errors.OpError, match="Exception encountered when calling") as found:
        Layer()(tf.zeros((1, 1)))
    assert memory.lacks_memory(found.value)


def test_a_failure_that_was_told_is_not_told_again():
    assert memory.out_of_memory(TrainingFailed("out of memory: ..."), config("vae"), spec()) is None


def test_a_model_that_cannot_be_built_without_values_has_no_estimate(monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("needs values")

    monkeypatch.setattr(memory, "build_model", fails)
    assert check_memory(config("vae"), spec()) == (None, "")


@pytest.mark.parametrize(
    ("model", "side", "channels", "suits"),
    [
        ("gan", 64, 3, "dcgan"),
        ("cgan", 64, 3, "cdcgan"),
        ("vae", 64, 3, "conv_vae"),
        ("gan", 28, 1, None),
        ("dcgan", 64, 3, None),
        ("pixel_vae", 64, 3, None),
    ],
)
def test_dense_layers_for_large_pictures_have_a_convolutional_counterpart(model, side, channels, suits):
    of = spec(side, channels)
    found = convolutional_counterpart(config(model, of), of)
    assert (found and found.model) == suits
