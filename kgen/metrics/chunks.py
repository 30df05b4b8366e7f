"""How much of a computation one call may hold, so that memory stays bounded whatever the model."""

BUDGET_BYTES = 2**29
"""A call may compute so much, were nothing freed before its end. With TensorFlow itself and the scratch of its kernels
a process stays under 2 GiB."""
MOST_ROWS = 5_000
"""A call of more rows is not faster."""


def graph_bytes(function, *signature) -> int:
    """The bytes of all tensors that a function computes for such arguments: an upper bound of what lives at a time.

    Args:
        function: of tensors.
        signature: a tf.TensorSpec, or None, for each of its arguments; every size known.
    """
    import tensorflow as tf

    operations = tf.function(function).get_concrete_function(*signature).graph.get_operations()
    tensors = [t for operation in operations for t in operation.outputs if t.dtype.size]
    known = [t.shape.num_elements() * t.dtype.size for t in tensors if t.shape.is_fully_defined()]
    return sum(known) + (len(tensors) - len(known)) * max(known)


def divided(count: int, most: int) -> int:
    """The size of chunks of `count` things: at most `most`; all alike, where chunks of half as many or more can be."""
    most = max(1, min(count, most))
    return next((size for size in range(most, most // 2, -1) if count % size == 0), most)
