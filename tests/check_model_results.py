"""What every model must be good for: saving, generating, export, a clear no to wrong use (see check_model)."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from model_case import BATCH, Case, assert_same_state, state_of, train, trained

from kgen import random
from kgen.errors import UserError
from kgen.models import PRESETS, build_model, model_class
from kgen.options import defaults_of, schema_of
from kgen.spec import DataSpec

# Saving ---------------------------------------------------------------------------------------------------------------


def check_resumes_exactly(case: Case):
    """2 steps, save, load into a new model, 2 steps more: not a bit different from 4 steps."""
    images, labels = case.examples(4 * BATCH)

    def steps(model, first: int, last: int):
        rows = slice(first * BATCH, last * BATCH)
        train(model, images[rows], labels[rows])

    whole, resumed = (case.compiled() for _ in range(2))
    steps(whole, 0, 2)
    half = state_of(whole)
    with tempfile.TemporaryDirectory() as folder:
        whole.save_weights(Path(folder) / "half.weights.h5")
        resumed.load_weights(Path(folder) / "half.weights.h5")
        sampler = case.build(seed=5)
        sampler.load_weights(Path(folder) / "half.weights.h5")
    assert_same_state(state_of(resumed), half, "a checkpoint does not bring back what was saved")
    z = case.latents(whole, 3)
    np.testing.assert_array_equal(
        sampler.generate(*z), whole.generate(*z), "a model that is not compiled loads other weights from a checkpoint"
    )
    steps(whole, 2, 4)
    steps(resumed, 2, 4)
    assert int(resumed.step.numpy()) == 4, "the step counter does not resume"
    assert_same_state(state_of(resumed), state_of(whole), "2 + 2 steps are not 4 steps")


def check_keras_file_round_trips(case: Case):
    """model.save -> load_model gives the same images, compiled or not."""
    for model in (trained(case), case.build(seed=3)):
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "model.keras")
            loaded = keras.saving.load_model(Path(folder) / "model.keras")
        assert type(loaded) is type(model) and loaded.spec == case.spec and loaded.seed == model.seed
        z = case.latents(model, 5)
        np.testing.assert_array_equal(loaded.generate(*z), model.generate(*z), "the .keras file makes other images")


def check_no_stray_optimizer(case: Case):
    """Keras adds an RMSprop of its own when compile is not told otherwise; it then lies in every checkpoint."""
    import h5py

    model = trained(case)
    assert model.optimizer is None, f"a stray {type(model.optimizer).__name__}: call super().compile(optimizer=None)"
    assert {*model.phase_optimizers} == {phase.name for phase in model.phases()}
    with tempfile.TemporaryDirectory() as folder:
        model.save_weights(Path(folder) / "all.weights.h5")
        names = []
        with h5py.File(Path(folder) / "all.weights.h5") as file:
            file.visit(names.append)
    assert not [n for n in names if "rmsprop" in n.lower()], "the checkpoint holds an RMSprop"
    kept = {n.split("/")[1] for n in names if n.startswith("phase_optimizers/")}
    assert len(kept) == len(model.phases()), f"the checkpoint holds the optimizers {kept}"


# Generating -----------------------------------------------------------------------------------------------------------


def check_generate_is_pure(case: Case):
    """The same z, the same images; a row is its own business; [0, 1], float32, the data's shape; no state changes."""
    model = trained(case)
    before = state_of(model)
    z = case.latents(model, 5)
    images = model.generate(*z).numpy()
    assert images.shape == (5, *case.spec.image_shape), f"generate gives {images.shape}"
    assert images.dtype == np.float32, f"generate gives {images.dtype}"
    assert images.min() >= 0 and images.max() <= 1, f"generate leaves [0, 1]: {images.min()} to {images.max()}"
    np.testing.assert_array_equal(model.generate(*z), images, "the same z gives other images")
    parts = [model.generate(*(part[rows] for part in z)) for rows in (slice(0, 2), slice(2, 5))]
    np.testing.assert_allclose(
        np.concatenate(parts), images, atol=1e-5, err_msg="an image depends on the others of its batch"
    )
    assert np.abs(images[0] - images[3]).max() > 1e-6, "generate does not look at z"  # 0 and 3 share a label
    assert_same_state(state_of(model), before, "generate changes the model")


def check_label_reaches_the_images(case: Case):
    """The same z under two labels gives two images if the model is conditional; an encoder, too, sees its label."""
    model = case.build()
    z = random.latents(
        1, 1, model.latent_shape
    )  # apart: the same row may differ by rounding at another place of a batch
    zero, one = (model.generate(z, np.array([label], np.int32)).numpy() for label in (0, 1))
    if not model.conditional:
        assert np.array_equal(zero, one), "the label reaches the images of a model that says it is unconditional"
        return
    assert np.abs(zero - one).max() > 1e-6, "the label does not reach the images"
    if model.has_encoder:
        images = np.repeat(case.examples(1)[0], 2, axis=0)
        means, _ = model.encode(images, np.array([0, 1], np.int32))
        assert np.abs(means[0] - means[1]).max() > 1e-6, "the label does not reach the encoder"


# Wrong use ------------------------------------------------------------------------------------------------------------


def check_wrong_use_is_explained(case: Case):
    """Unknown arguments name the nearest, wrong types the setting; labels are asked for."""
    schema, defaults = schema_of(model_class(case.name)), defaults_of(model_class(case.name))
    assert set(case.model_args) <= set(schema)
    assert {*case.build().model_args()} == {*schema}, (
        "model_args() and the signature of __init__ are not the same names"
    )
    for name in schema:
        with pytest.raises(UserError, match=rf"'model_args.{name}x'.*'{name}'"):
            build_model(case.name, case.spec, **{f"{name}x": defaults[name]})
        with pytest.raises(UserError, match=rf"'model_args.{name}'.*Received: {{'a'"):
            build_model(case.name, case.spec, **{name: {"a": object}})
    if PRESETS[case.name].conditional:
        with pytest.raises(UserError, match=f"'{case.name}'.*'plain'.*num_classes=0"):
            build_model(case.name, DataSpec("plain", case.spec.image_shape), **case.model_args)


# Export ---------------------------------------------------------------------------------------------------------------


def check_exports_agree(case: Case):
    """SavedModel and TFLite with built-in operations alone to 1e-5, from nothing but an endpoint."""
    model = trained(case)
    given = dict(zip(("z", "label"), case.latents(model, 3), strict=False))
    expected = model.generate(*given.values()).numpy()

    def endpoint(batch):
        specs = [
            tf.TensorSpec((batch, *model.latent_shape), tf.float32, "z"),
            tf.TensorSpec((batch,), tf.int32, "label"),
        ]
        if model.conditional:
            function = tf.function(lambda z, label: {"images": model.generate(z, label)}, input_signature=specs)
        else:
            function = tf.function(lambda z: {"images": model.generate(z)}, input_signature=specs[:1])
        function.get_concrete_function()
        return function

    with tempfile.TemporaryDirectory() as folder:
        archive = keras.export.ExportArchive()
        archive.add_endpoint("decode", endpoint(None))
        archive.add_endpoint("decode_one", endpoint(1))
        archive.write_out(folder, verbose=False)
        loaded = tf.saved_model.load(folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["decode_one"])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        flat = converter.convert()
    saved = loaded.signatures["decode"](**{k: tf.constant(v) for k, v in given.items()})["images"]
    np.testing.assert_allclose(saved, expected, atol=1e-5, err_msg="the SavedModel makes other images")
    lite = Interpreter(model_content=flat).get_signature_runner("decode_one")
    rows = [lite(**{k: v[i : i + 1] for k, v in given.items()})["images"] for i in range(3)]
    np.testing.assert_allclose(np.concatenate(rows), expected, atol=1e-5, err_msg="the TFLite file makes other images")
