"""Graphs of TensorFlow that end with what they were traced for, and free the weights that they hold.

`tf.custom_gradient`, with which Keras' optimizers add up gradients too, registers a function for each call in a graph,
for the life of the process. The function holds tensors of the graph, and so all of it, and the weights, their moments
and the constants that the graph captured: a process that trains one model after the other, a sweep or a notebook, loses
the memory of all of them. Here the graph holds the function, and TensorFlow's register finds it there while the graph
is.
"""

import contextlib
import functools
import weakref

HELD = "kgen/gradients"
"""Collection of a graph with its functions."""
GENERATED = "CustomGradient-"
"""With it begin the names under which `tf.custom_gradient` registers."""


@functools.cache
def end_with_their_models():
    """Installs this for all graphs that are traced from now on; needs TensorFlow to be imported, or imports it."""
    import tensorflow as tf
    from tensorflow.python.framework import func_graph, ops

    class RegisterGradient(ops.RegisterGradient):
        def __call__(self, function):
            name, graph = getattr(self, "_op_type", ""), tf.compat.v1.get_default_graph()
            if not name.startswith(GENERATED) or not isinstance(graph, func_graph.FuncGraph):
                return super().__call__(function)
            graph.get_collection_ref(HELD).append(function)
            held = weakref.ref(function)

            @tf.autograph.experimental.do_not_convert
            def gradient(op, *upstream):
                return held()(op, *upstream)

            super().__call__(gradient)
            with contextlib.suppress(AttributeError):  # the name stays, which is little
                weakref.finalize(graph, ops.gradient_registry._registry.pop, name, None).atexit = False
            return function

    ops.RegisterGradient = RegisterGradient
