"""Whether XLA works on this machine's GPU: a child process compiles and runs a small program first.

On a GPU that is newer than the toolkit that TensorFlow was built with, XLA aborts the process
(https://github.com/tensorflow/tensorflow/issues/111958), which no caller can catch. So the first training on a GPU runs
`python -m kgen.train.xla`; where that dies, or computes something else than it should, trainings do without XLA. That
it works is remembered in the cache, for this GPU, driver and TensorFlow.
"""

import contextlib
import functools
import os
from pathlib import Path

import tensorflow as tf

from kgen.cache import place
from kgen.io import write_json
from kgen.train import child

PROGRAM = "kgen.train.xla"
"""Module that runs the program and prints its results."""
EXPECTED = "248832 82944"
SECONDS = 180.0


def program() -> str:
    """Three rounds of a convolution and a matrix product of ones, and the gradient of the kernel, compiled by XLA.

    All numbers are integers that float32 and TF32 hold exactly. By hand: of 3x3 places and 4 channels, the convolution
    gives 36 at 6x6 places, 8 channels and 4 images; the product adds up 6 * 6 * 8 = 288 of those in each of 4 * 2
    places: 3 * 8 * 288 * 36 = 248832. The gradient of each of the kernel's 288 weights is 2 * 4 * 36 = 288: 82944.
    """

    @tf.function(jit_compile=True, autograph=False)
    def compiled(images, kernel, weights):
        def loss():
            maps = tf.nn.conv2d(images, kernel, 1, "VALID")
            return tf.reduce_sum(tf.matmul(tf.reshape(maps, (4, 288)), weights))

        def body(i, total):
            return i + 1, total + loss()

        total = tf.while_loop(lambda i, _: i < 3, body, (tf.constant(0), tf.constant(0.0)))[1]
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            value = loss()
        return total, tf.reduce_sum(tape.gradient(value, kernel))

    with tf.device("/GPU:0" if tf.config.list_physical_devices("GPU") else "/CPU:0"):
        results = compiled(tf.ones((4, 8, 8, 4)), tf.ones((3, 3, 4, 8)), tf.ones((288, 2)))
    return " ".join(f"{float(result):.0f}" for result in results)


@functools.cache
def failure() -> str:
    """Why XLA cannot be used on the GPU, in words; "" where it can, and where there is no GPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return ""
    remembered = place("xla", {"gpus": [_described(gpu) for gpu in gpus], "here": _around()}, ".json")
    if remembered.is_file():
        return ""
    reason = trial()
    if not reason:
        with contextlib.suppress(OSError):
            write_json(remembered, {"works": True})
    return reason


def trial() -> str:
    """What went wrong with the program in a child process; "" for nothing."""
    ended = child.run_module(PROGRAM, seconds=SECONDS)
    if ended.returncode:
        return f"a small program compiled with it ended with {child.how_it_ended(ended)}"
    if (result := "".join(ended.stdout.splitlines()[-1:])) != EXPECTED:
        return f"a small program compiled with it computed {result[:60] or 'nothing'}, not {EXPECTED}"
    return ""


def _described(gpu) -> list[str]:
    details = tf.config.experimental.get_device_details(gpu)
    return [str(details.get("device_name", gpu.name)), str(details.get("compute_capability"))]


def _around() -> list[str]:
    """What else decides whether it works: TensorFlow, the driver, and flags."""
    driver = ""
    with contextlib.suppress(OSError):
        driver = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    flags = [os.environ.get(name, "") for name in ("XLA_FLAGS", "TF_XLA_FLAGS", "CUDA_VISIBLE_DEVICES")]
    return [tf.__version__, driver, *flags]


if __name__ == "__main__":
    print(program())
