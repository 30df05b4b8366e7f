"""GPUs: those that this process may use, the precision of their float32, and errors that say that one cannot be used.

Importing this imports no TensorFlow.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

UNUSABLE = (
    "cudasetdevice() on gpu", "busy or unavailable", "failed to create stream executor for device",
    "dnn library initialization failed", "no dnn support", "dnn is not supported", "failed to initialize blas",
    "failed to create cublas", "no blas support", "without blas support", "cudnn_status_not_initialized",
    "cublas_status_not_initialized", "no kernel image is available", "no_binary_for_gpu", "unsupported_ptx_version",
    "invalid_ptx", "invalid ptx",
)  # fmt: skip
"""What TensorFlow says where a GPU or one of its libraries does not start: another process has it alone or fills its
memory, the libraries are missing or of other versions, or the card is newer than they are."""
REMEDY = "nvidia-smi shows what else uses the GPU; CUDA_VISIBLE_DEVICES=-1 computes on the CPU"


def visible() -> list[Any]:
    """The GPUs (`tf.config.PhysicalDevice`) that TensorFlow may use; starts none of them.

    They are those of CUDA_VISIBLE_DEVICES that `tf.config.set_visible_devices` has left.
    """
    import tensorflow as tf

    return tf.config.get_visible_devices("GPU")


def name_of(device: Any) -> str:
    """The name of one of `visible`, as its driver gives it; "" where it is not known."""
    import tensorflow as tf

    return str(tf.config.experimental.get_device_details(device).get("device_name", ""))


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """GPUs compute float32 with all of its 23 bits meanwhile; also a decorator.

    TensorFlow lets cards from Ampere on (compute capability 8.0) round the factors of convolutions and matrix products
    to the 10 bits of TensorFloat-32: a relative error of 5e-4, where float32 has 6e-8. The steps of a training are left
    so; what is sampled, measured, and compared to 1e-5 is not. TensorFlow reads the switch when an operation starts,
    and XLA when it compiles; but a convolution whose shapes this process has computed before keeps its algorithm.

    The switch is that of the process: of several threads, the last one that leaves puts it back.
    """
    import tensorflow as tf

    switch = tf.config.experimental.enable_tensor_float_32_execution
    with _inside.lock:
        if not _inside.count:
            _inside.before = tf.config.experimental.tensor_float_32_execution_enabled()
            switch(False)
        _inside.count += 1
    try:
        yield
    finally:
        with _inside.lock:
            _inside.count -= 1
            if not _inside.count:
                switch(_inside.before)


_inside = SimpleNamespace(lock=threading.Lock(), count=0, before=True)
"""How many are inside `full_float32`, and how the switch was before the first."""


def cannot_be_used(error: BaseException) -> bool:
    """Whether an error says that a GPU, or one of its libraries, does not start. Imports no TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return False
    return says_unusable(str(error))


def says_unusable(text: str) -> bool:
    """Whether a message, or what a process wrote, says that a GPU or one of its libraries does not start."""
    text = text.lower()
    return any(words in text for words in UNUSABLE)
