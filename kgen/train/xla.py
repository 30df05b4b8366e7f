"""Whether XLA works on this machine's GPU: a child process compiles and runs a small program first.

On a GPU that is newer than the toolkit that TensorFlow was built with, XLA aborts the process
(https://github.com/tensorflow/tensorflow/issues/111958), which no caller can catch. So the first training on a GPU runs
`python -m kgen.train.xla` on each of them; where that dies, or computes something else than it should, trainings do
without XLA. That it works is remembered in the cache, for these GPUs, driver, TensorFlow and NVIDIA's packages.
"""

import contextlib
import functools
import importlib.metadata
import os
import re
import sys
from pathlib import Path

import tensorflow as tf

from kgen import gpu
from kgen.cache import place
from kgen.config import RunConfig
from kgen.errors import said
from kgen.io import write_json
from kgen.run import is_run
from kgen.train import child

PROGRAM = "kgen.train.xla"
"""Module that runs the program and prints its results."""
EXPECTED = "248832 82944"
SECONDS = 180.0


def program(device: str = "/CPU:0") -> str:
    """Three rounds of a convolution and a matrix product of ones, and the gradient of the kernel, compiled by XLA.

    All numbers are integers that float32 and TF32 hold exactly. By hand: of 3x3 places and 4 channels, the convolution
    gives 36 at 6x6 places, 8 channels and 4 images; the product adds up 6 * 6 * 8 = 288 of those in each of 4 * 2
    places: 3 * 8 * 288 * 36 = 248832. The gradient of each of the kernel's 288 weights is 2 * 4 * 36 = 288: 82944.

    The ones of the product are functions of zeros that come from a library of NVIDIA's toolkit, libdevice, which is
    missing in some installations: exp(0) * 1^0 + tanh(0) + sin(0).
    """

    @tf.function(jit_compile=True, autograph=False)
    def compiled(images, kernel, zeros):
        weights = tf.exp(zeros) * tf.pow(zeros + 1.0, zeros) + tf.tanh(zeros) + tf.sin(zeros)

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

    with tf.device(device):
        results = compiled(tf.ones((4, 8, 8, 4)), tf.ones((3, 3, 4, 8)), tf.zeros((288, 2)))
    return " ".join(f"{float(result):.0f}" for result in results)


@functools.cache
def failure() -> str:
    """Why XLA cannot be used on the GPUs, in words; "" where it can, and where there is no GPU.

    To be called first before this process opens a GPU, as loading data does: it may then have all of its memory
    (TF_FORCE_GPU_ALLOW_GROWTH=false), or be the only one that may open it (nvidia-smi -c EXCLUSIVE_PROCESS).
    """
    if not (gpus := gpu.visible()):
        return ""
    remembered = place("xla", {"gpus": [_described(device) for device in gpus], "here": _around()}, ".json")
    with contextlib.suppress(OSError):  # a cache that may not be read
        if remembered.is_file():
            return ""
    reason = trial()
    if not reason:
        with contextlib.suppress(OSError):
            write_json(remembered, {"works": True})
    return reason


def try_early(config: RunConfig, run_dir: str | Path | None):
    """Calls `failure` where the training will: XLA is to be decided on, or was for a run that is there, perhaps on
    another machine.

    Args:
        config: of the training.
        run_dir: where to.
    """
    if config.train.jit_compile is None or (config.train.jit_compile and is_run(run_dir)):
        failure()


def trial() -> str:
    """What went wrong with the program in a child process; "" for nothing."""
    ended = child.run_module(PROGRAM, seconds=SECONDS)
    if ended.returncode:
        return f"a small program compiled with it ended with {child.how_it_ended(ended)}"
    if (result := "".join(ended.stdout.splitlines()[-1:])) != EXPECTED:
        return f"a small program compiled with it computed {result[:60] or 'nothing'}, not {EXPECTED}"
    return ""


def _described(device) -> list[str]:
    capability = tf.config.experimental.get_device_details(device).get("compute_capability")
    return [gpu.name_of(device) or device.name, str(capability)]


def _around() -> list[str]:
    """What else decides whether it works: TensorFlow, the driver, NVIDIA's packages, and variables."""
    driver = ""
    with contextlib.suppress(OSError):
        driver = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    names = ("XLA_FLAGS", "TF_XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
    return [tf.__version__, driver, *_nvidia_packages(), *(os.environ.get(name, "") for name in names)]


def _nvidia_packages() -> list[str]:
    """The versions of the packages that `tensorflow[and-cuda]` brings, in the order of its metadata."""
    found = []
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # TensorFlow of another name
        for requirement in importlib.metadata.requires("tensorflow") or ():
            if name := re.match(r"nvidia-[\w-]+", requirement):
                found.append(f"{name[0]} missing")
                with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                    found[-1] = f"{name[0]} {importlib.metadata.version(name[0])}"
    return found


def main() -> str:
    """The result of the program on the first device that computes another one than it should, or EXPECTED."""
    devices = [device.name for device in tf.config.list_logical_devices("GPU")] or ["/CPU:0"]
    return next((result for result in map(program, devices) if result != EXPECTED), EXPECTED)


if __name__ == "__main__":
    try:
        print(main())
    except Exception as error:  # the whole of it is many lines, of which the parent tells the last
        sys.exit(f"{type(error).__name__}: {said(error)}")
