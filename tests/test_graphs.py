"""Graphs that were traced for a model end with it, and with them the memory of its weights."""

import gc
import subprocess
import sys
import weakref

import pytest
import tensorflow as tf
from model_case import Case, fit
from tensorflow.python.framework import func_graph, ops

from kgen import graphs
from kgen.spec import DataSpec

COLOUR = DataSpec("colour", (12, 10, 3), num_classes=3)


def alive() -> set[int]:
    """Ids of the graphs that are there."""
    gc.collect()
    return {id(o) for o in gc.get_objects() if isinstance(o, func_graph.FuncGraph)}


def registered() -> int:
    """How many functions of custom gradients TensorFlow knows."""
    return sum(name.startswith(graphs.GENERATED) for name in ops.gradient_registry.list())


@tf.custom_gradient
def tripled(x):
    return 1.0 * x, lambda upstream: 3.0 * upstream * tf.ones_like(x)


@pytest.mark.parametrize("case", [
    Case("vae", model_args={"hidden": [8], "latent_dim": 3}),
    pytest.param(Case("dcgan", COLOUR, {"filters": [4, 5], "latent_dim": 3}), marks=pytest.mark.slow),
], ids=["vae", "dcgan"])  # fmt: skip
def test_a_model_that_has_trained_leaves_no_graph(case):
    before, names = alive(), registered()
    model = case.compiled()
    fit(model, case.batches(2))
    assert alive() - before and registered() > names, "nothing was traced"
    gone = [
        weakref.ref(held)
        for held in (model, *model.weights, *(v for o in model.phase_optimizers.values() for v in o.variables))
    ]
    del model
    assert not alive() - before and registered() == names
    assert not [held() for held in gone if held() is not None]


def test_a_gradient_is_that_of_its_function_while_its_graph_is():
    """Looked up when an inner function is differentiated, by a tape inside of a function, and by one outside."""
    inner = tf.function(lambda x: tf.reduce_sum(tripled(x)))

    @tf.function
    def outer(x):
        gc.collect()
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = inner(x) + tf.cond(x[0] > 0, lambda: tripled(x)[0], lambda: 0.0)
        return tape.gradient(total, x)

    x = tf.constant([1.0, 2.0])
    assert outer(x).numpy().tolist() == [6.0, 3.0]
    gc.collect()
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = inner(x)
    assert tape.gradient(total, x).numpy().tolist() == [3.0, 3.0]


def test_a_saved_function_has_its_gradient(tmp_path):
    module = tf.Module()
    module.call = tf.function(lambda x: tripled(x), input_signature=[tf.TensorSpec((2,), tf.float32)])
    tf.saved_model.save(module, tmp_path, options=tf.saved_model.SaveOptions(experimental_custom_gradients=True))
    del module
    gc.collect()
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(tf.saved_model.load(str(tmp_path)).call(x))
    assert tape.gradient(total, x).numpy().tolist() == [3.0, 3.0]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["tensorflow", "keras", "kgen"])
def test_whatever_is_imported_first(first):
    code = f"import {first}, kgen, tensorflow; from tensorflow.python.framework import ops; print(ops.RegisterGradient)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "kgen.graphs" in done.stdout
