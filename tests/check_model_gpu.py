"""What a GPU would make of a model's steps, asked of TensorFlow's register of kernels: no GPU is needed."""

import collections
import functools

import keras
import pytest
import tensorflow as tf
from model_case import BATCH, Case
from tensorflow.python.framework import kernels

IN_EVERY_GRAPH = {"NoOp", "Placeholder", "_Arg", "_Retval", "PartitionedCall", "StatefulPartitionedCall"}
"""Operations that stand for arguments, results and calls: they run nowhere."""
OF_CONTROL_FLOW = {
    "If", "StatelessIf", "While", "StatelessWhile", "Case", "StatelessCase", "OptionalFromValue", "OptionalGetValue",
    "OptionalNone",
}  # fmt: skip
"""XLA compiles them as a whole, and has no kernel of that name for them."""
REFUSED = {
    "AdjustContrast", "AdjustContrastv2", "Bincount", "CropAndResizeGradBoxes", "CropAndResizeGradImage",
    "DenseBincount", "Dilation2DBackpropFilter", "Dilation2DBackpropInput", "FakeQuantWithMinMaxVarsGradient",
    "FakeQuantWithMinMaxVarsPerChannelGradient", "MaxPoolGrad", "MaxPoolGradWithArgmax", "ResizeNearestNeighborGrad",
    "SparseTensorDenseMatMul", "Svd", "Timestamp",
}  # fmt: skip
"""Operations that raise on a GPU with --deterministic (MaxPoolGrad: by XLA): TensorFlow 2.21 has no deterministic
kernel for them there."""


def check_steps_have_gpu_kernels(case: Case):
    """Each operation of a training step, in every precision, of a test step and of `generate` has a kernel for GPUs and
    one for XLA there, and none is refused with --deterministic."""
    for policy in ("float32", "mixed_float16", "mixed_bfloat16"):
        keras.mixed_precision.set_global_policy(policy)
        try:
            model = case.compiled()
            count = BATCH * max(phase.repeats for phase in model.phases())
            images = tf.TensorSpec((count, *case.spec.image_shape), tf.uint8)
            labels = tf.TensorSpec((count,), tf.int32)
            found = {"train_step": troubles(lambda *batch, m=model: m.train_step(batch), images, labels)}
            if policy == "float32":
                latents = (tf.TensorSpec(part.shape, part.dtype) for part in case.latents(model, BATCH))
                found["test_step"] = troubles(lambda *batch, m=model: m.test_step(batch), images, labels)
                found["generate"] = troubles(model.generate, *latents)
        finally:
            keras.mixed_precision.set_global_policy("float32")
        assert not any(found.values()), f"on a GPU, {policy}: {found}"


def troubles(step, *specs) -> list[str]:
    """What a GPU cannot do of a function of tensors, in words; sorted."""
    found = set()
    for node in nodes_of(tf.function(step, autograph=False).get_concrete_function(*specs)):
        if node.op in IN_EVERY_GRAPH:
            continue
        of = f"{node.op} of {', '.join(sorted(tf.as_dtype(dtype).name for dtype in types_of(node)))}"
        for device, without in (("GPU", set()), ("XLA_GPU_JIT", OF_CONTROL_FLOW)):
            if node.op not in without and not any(fits(kernel, node) for kernel in registered(device)[node.op]):
                found.add(f"no {device} kernel for {of}")
        untrained = node.op.startswith("FusedBatchNormGrad") and not node.attr["is_training"].b
        if node.op in REFUSED or untrained:
            found.add(f"no deterministic {node.op}")
    return sorted(found)


def nodes_of(function):
    """Those of a concrete function and of all that it calls."""
    graph = function.graph.as_graph_def()
    yield from graph.node
    for called in graph.library.function:
        yield from called.node_def


def types_of(node) -> list[int]:
    """Values of its attributes that are types."""
    return [dtype for name in node.attr for dtype in types_in(node, name)]


def types_in(node, name: str) -> list[int]:
    """Those of one attribute: a type, a list of types, or none where it is no type."""
    value = node.attr[name]
    return [*value.list.type] or ([value.type] if value.WhichOneof("value") == "type" else [])


def fits(kernel, node) -> bool:
    """Whether a kernel takes the types of a node."""
    return all({*types_in(node, rule.name)} <= {*rule.allowed_values.list.type} for rule in kernel.constraint)


@functools.cache
def registered(device: str) -> dict[str, list]:
    """Operation -> its kernels on a kind of device; TensorFlow brings those for GPUs along where there is none."""
    if not tf.test.is_built_with_cuda():
        pytest.skip("this TensorFlow is built without kernels for GPUs")
    tf.function(lambda: tf.constant(0), jit_compile=True)()  # XLA's are registered when it is first used
    devices, kernel_of = ("GPU", "DEFAULT") if device == "GPU" else (device,), collections.defaultdict(list)
    for kernel in kernels.get_all_registered_kernels().kernel:
        if kernel.device_type in devices:
            kernel_of[kernel.op].append(kernel)
    return kernel_of
