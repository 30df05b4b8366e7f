"""What reads a SavedModel takes the exported one: Keras' TFSMLayer and TensorFlow's saved_model_cli."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.export.saved_model import write_saved_model
from kgen.export.signatures import signatures
from kgen.models import build_model
from kgen.sampling import StandardNormal
from kgen.spec import DataSpec

SEED, LABEL = np.int32([7, 8, 9]), np.int32([10, 3, 5])


@pytest.fixture(scope="module", params=["cvae", "vae"])
def saved(request, tmp_path_factory):
    """(folder of a SavedModel with and without labels, inputs of `serve`, the images of its serving_default)."""
    spec = DataSpec("numbers", (4, 5, 1), 3, ("3", "5", "10"))
    model = build_model(request.param, spec, seed=3, network="mlp", hidden=[4], latent_dim=2)
    folder = tmp_path_factory.mktemp(request.param)
    write_saved_model(signatures(model, StandardNormal(model.latent_shape)), folder)
    inputs = {"seed": SEED} | ({"label": LABEL} if model.conditional else {})
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return folder, inputs, signature(**{name: tf.constant(value) for name, value in inputs.items()})["images"].numpy()


def test_a_layer_of_keras_calls_it(saved):
    folder, inputs, expected = saved
    layer = keras.layers.TFSMLayer(str(folder), call_endpoint="serve")
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-6)
    encoded = keras.layers.TFSMLayer(str(folder), call_endpoint="serve_encode")(
        {**{name: inputs[name] for name in inputs if name == "label"}, "images": expected}
    )
    assert {name: tuple(value.shape) for name, value in encoded.items()} == {"mean": (3, 2), "log_var": (3, 2)}


def test_a_functional_model_holds_it(saved):
    folder, inputs, expected = saved
    given = {name: keras.Input((), dtype="int32", name=name) for name in inputs}
    images = keras.layers.TFSMLayer(str(folder), call_endpoint="serve")(given)
    model = keras.Model(given, keras.layers.Rescaling(2.0)(images))
    assert model.output_shape == (None, 4, 5, 1)
    np.testing.assert_allclose(model(inputs), 2 * expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), 2 * expected, atol=1e-6)


def test_a_class_that_is_none_is_refused_there_too(saved):
    folder, inputs, _ = saved
    if "label" not in inputs:
        return
    layer = keras.layers.TFSMLayer(str(folder), call_endpoint="serve")
    with pytest.raises(tf.errors.InvalidArgumentError, match="label must be one of the numbers 3, 5, 10"):
        layer(inputs | {"label": np.int32([3, 4, 5])})


def test_the_command_line_of_tensorflow_runs_it(saved, tmp_path):
    """What `saved_model_cli run --input_exprs "seed=[7];label=[3]"` does after it has parsed its flags."""
    from tensorflow.python.tools import saved_model_cli

    folder, inputs, expected = saved
    values = ";".join(f"{name}={value.tolist()}" for name, value in inputs.items())
    given = saved_model_cli.load_inputs_from_input_arg_string("", values, "")
    saved_model_cli.run_saved_model_with_feed_dict(
        str(folder), "serve", "serving_default", given, str(tmp_path), overwrite_flag=True
    )
    np.testing.assert_allclose(np.load(tmp_path / "images.npy"), expected, atol=1e-6)


@pytest.mark.slow
def test_the_converter_of_tensorflow_lite_takes_a_signature(saved):
    """One at a time: of several it would keep the first alone, as of every SavedModel that has functions besides."""
    from ai_edge_litert.interpreter import Interpreter

    content = tf.lite.TFLiteConverter.from_saved_model(str(saved[0]), signature_keys=["decode"]).convert()
    assert [*Interpreter(model_content=content).get_signature_list()] == ["decode"]


def test_the_variables_are_stored_once(saved):
    folder, _, _ = saved
    (variables,) = (folder / "variables").glob("*.data-*")
    weights = tf.train.list_variables(str(folder / "variables" / "variables"))
    floats = sum(int(np.prod(shape)) for name, shape in weights if not name.startswith("_CHECKPOINTABLE"))
    assert 4 * floats <= variables.stat().st_size <= 4 * floats + 4096
    assert len({name.split("/.")[0] for name, _ in weights}) == len(weights)
