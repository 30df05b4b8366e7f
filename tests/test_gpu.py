"""GPUs without one: what is sampled and measured is computed in full float32."""

import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen import gpu
from kgen.evaluate.evaluator import Evaluator
from kgen.evaluate.target import Target
from kgen.export import verify
from kgen.export.bundle import export
from kgen.features.extractors import Extractor
from kgen.models import train_function
from kgen.sampling import ModelSampler
from kgen.sampling.exported import SavedModelRuntime
from kgen.serve import server


def rounded() -> bool:
    """Whether TensorFlow may use TensorFloat-32."""
    return tf.config.experimental.tensor_float_32_execution_enabled()


class Seen(Exception):
    """What a call was made with."""


def look(*args, **kwargs):
    raise Seen(rounded())


@pytest.fixture(params=[True, False], ids=["tf32", "float32"])
def setting(request):
    """TensorFlow's default, and what a user can set: it is there again afterwards."""
    before = rounded()
    tf.config.experimental.enable_tensor_float_32_execution(request.param)
    yield
    assert rounded() == request.param
    tf.config.experimental.enable_tensor_float_32_execution(before)


def vae():
    spec = kgen.DataSpec("x", (8, 8, 1), examples={"train": 4})
    model = kgen.build_model("vae", spec, hidden=[4], latent_dim=2)
    model.compile()
    return model


def test_it_is_a_context_and_a_decorator(setting):
    with gpu.full_float32():
        assert not rounded()
    assert gpu.full_float32()(rounded)() is False


def test_of_two_threads_the_last_that_leaves_puts_the_switch_back(setting):
    first, second = gpu.full_float32(), gpu.full_float32()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not rounded()
    second.__exit__(None, None, None)


@pytest.mark.parametrize("what", ["decode", "encode", "reconstruct"])
def test_a_sampler_of_a_model(setting, what):
    sampler = ModelSampler(vae())
    sampler._generate = sampler._encode = look
    rows = np.zeros((3, 2) if what == "decode" else (3, 8, 8, 1), np.float32)
    with pytest.raises(Seen, match="False"):
        getattr(sampler, what)(rows)


def test_a_saved_model_features_and_the_loss_on_validation_images(setting):
    runtime = SavedModelRuntime.__new__(SavedModelRuntime)
    runtime._constant = look
    with pytest.raises(Seen, match="False"):
        runtime.call("decode", z=np.zeros((1, 2)))
    extractor = Extractor()
    extractor.name, extractor.batch = "x", look
    with pytest.raises(Seen, match="False"):
        extractor(np.zeros((3, 8, 8, 1), np.uint8))
    model = vae()
    evaluate = train_function.evaluation_function(model, tf.data.Dataset.range(1), 1)
    model.evaluation_step = look
    with pytest.raises(Seen, match="False"):
        evaluate()


def test_an_evaluation_an_export_its_verification_and_a_server(setting, monkeypatch, tmp_path):
    evaluator = Evaluator.__new__(Evaluator)
    evaluator.config = evaluator.reference = None
    target = Target("", "run", None, None, 0, tmp_path)
    for place, call in (
        ("kgen.evaluate.evaluator.Target.check_classes", lambda: evaluator.results(target)),
        ("kgen.evaluate.evaluator.Target.__init__", lambda: evaluator.values(None, 0)),
        ("kgen.export.bundle.Run.open", lambda: export("run", tmp_path / "x")),
        ("kgen.export.verify.runtimes", lambda: verify.verify_files(tmp_path, None)),
        ("kgen.serve.server.asyncio.run", lambda: server.serve(tmp_path, None, None)),
    ):  # fmt: skip
        with monkeypatch.context() as patch, pytest.raises(Seen, match="False"):
            patch.setattr(place, look)
            patch.setattr(server, "_serve", lambda *arguments: None)
            patch.setattr(server.gc, "set_threshold", lambda count: None)
            call()
