"""A lower bound of the time of a training step: its matrix products and convolutions, without anything else.

They are taken from the step that kgen traces: the same operations on tensors of the same shapes, by the faster one of a
plain graph (oneDNN's kernels) and XLA. Each has its own random inputs, so that none is optimized away. XLA may merge or
leave out products of a whole step, e.g. of a gradient penalty, so that a step can come below this bound.
"""

import time

import tensorflow as tf

CONVOLUTIONS = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter")
CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def products(step) -> list:
    """The matrix products and convolutions of a concrete function on which its outputs or its variables depend.

    Args:
        step: a ConcreteFunction of fixed shapes.

    Returns:
        operations of its graph, and of the functions that it calls.
    """
    graph = step.graph
    open_, seen = [t.op for t in graph.outputs] + list(graph.control_outputs), set()
    while open_:
        operation = open_.pop()
        if operation not in seen:
            seen.add(operation)
            open_ += [t.op for t in operation.inputs] + list(operation.control_inputs)
    found = []
    for operation in graph.get_operations():
        if operation not in seen:
            continue
        if operation.type == "MatMul" or operation.type in CONVOLUTIONS:
            found.append(operation)
        elif operation.type in CALLS:
            found += products(graph._get_function(operation.get_attr("f").name))
    return found


def lower_bound(operations: list, one_value):
    """A function without arguments that runs the operations; its result is the sum of `one_value` of each result."""
    numbers = [[_numbers(operation, t) for t in operation.inputs] for operation in operations]

    def run():
        results = [_again(operation, *given) for operation, given in zip(operations, numbers, strict=True)]
        return tf.add_n([one_value(result) for result in results])

    return run


def _numbers(operation, tensor):
    if tensor.dtype == tf.int32:  # the shape of what comes out
        return tf.constant(operation.outputs[0].shape.as_list())
    return tf.Variable(tf.random.normal(tensor.shape))


def _again(operation, first, second, third=None):
    if operation.type == "MatMul":
        transposed = {key: operation.get_attr(key) for key in ("transpose_a", "transpose_b")}
        return tf.raw_ops.MatMul(a=first, b=second, **transposed)
    strides, padding = operation.get_attr("strides"), operation.get_attr("padding").decode()
    common = {"strides": strides, "padding": padding}
    if operation.type == "Conv2D":
        return tf.raw_ops.Conv2D(input=first, filter=second, **common)
    if operation.type == "Conv2DBackpropInput":
        return tf.raw_ops.Conv2DBackpropInput(input_sizes=first, filter=second, out_backprop=third, **common)
    return tf.raw_ops.Conv2DBackpropFilter(input=first, filter_sizes=second, out_backprop=third, **common)


def turns(model, batch: tuple, steps: int):
    """A generator that runs the lower bound of a compiled model's training step `steps` times for each item.

    Args:
        model: a GenerativeModel, compiled.
        batch: TensorSpecs of images and labels.

    Returns:
        Items are the name of the program that is run, the faster one.
    """

    def step(images, labels):
        model.train_step((images, labels))

    operations = products(tf.function(step).get_concrete_function(*batch))
    programs = {
        "plain graph": _repeated(lower_bound(operations, lambda x: tf.reshape(x, [-1])[0])),
        # Of a product of which one value is wanted, XLA would compute one value.
        "XLA": _repeated(tf.function(lower_bound(operations, tf.reduce_max), jit_compile=True)),
    }
    seconds = {}
    for _ in range(3):  # the first call compiles
        for name, program in programs.items():
            started = time.perf_counter()
            program(1)
            seconds[name] = time.perf_counter() - started
    faster = min(seconds, key=seconds.get)
    while True:
        programs[faster](steps)
        yield faster


def _repeated(run):
    @tf.function
    def program(steps):
        total = tf.constant(0.0)
        for _ in tf.range(steps):
            total += run()
        return total

    return lambda steps: float(program(tf.constant(steps)))
