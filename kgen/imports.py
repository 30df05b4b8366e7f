"""The first import of TensorFlow and of LiteRT: without their remarks on standard error, and in a command short, too.

Their C++ sides write start-up remarks (CUDA not found, a delegate created) to file descriptor 2 before any log level
counts, so that is held back during the import, and written after all if the import fails. Later remarks obey
TF_CPP_MIN_LOG_LEVEL, which is set unless the user has set it: then nothing is held back. Errors are exceptions, and
stay.

`import kgen` installs this for whatever imports the libraries afterwards.
"""

import atexit
import base64
import contextlib
import functools
import gc
import importlib.abc
import importlib.machinery
import logging
import os
import platform
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from kgen import graphs
from kgen.progress import announce

NOT_NEEDED = ("sklearn", "matplotlib", "pandas", "IPython", "cv2")
"""Packages that Keras imports with itself if they are installed, and works without: scikit-learn and Matplotlib alone
are a third of the time that `import tensorflow` takes."""

NEGATION = zlib.decompress(
    base64.b64decode(
        "eNqTYGBgCHHzMWZg4GMQYRBg4GHgAIqwAHkMQB4DgwwQbwFiZiBmBGKILAhC+CA1PHCdLEASImYDxA5A7IKkjoGBCywPUscFNYsHKg/DDFj4TECs"
        "ALaXgeHd////WVDk2cDmsUHlkfVC3MbDwA1WB3GbNcRIawBf/gj9"
    )
)
"""A .tflite file of one operator, -x: LiteRT remarks on its delegate when it prepares the first one of a process."""


def quietly():
    """Makes the first import of TensorFlow and that of LiteRT, wherever they happen, write nothing.

    And TensorFlow takes memory of a GPU as it needs it, not all of it at once, unless the user has set
    TF_FORCE_GPU_ALLOW_GROWTH: other processes, among them kgen's own, find room there. What its graphs hold is free
    again when they end: see `kgen.graphs`.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if "tensorflow" in sys.modules:
        graphs.end_with_their_models()
    if not any(isinstance(finder, _FirstImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FirstImport())


def for_a_command():
    """Makes the first import of TensorFlow say so on standard error, and be short.

    It takes seconds: a command that finds a mistake before the first module that needs it answers at once.

    It computes by oneDNN unless the user has set TF_ENABLE_ONEDNN_OPTS. By itself TensorFlow does so only on CPUs with
    AVX-512 or matrix units; on others a WGAN-GP trains 1.4 times as fast by it, and a classifier twice.

    Its modules are half a million objects that stay until the end. Python's garbage collector walks through all of them
    again and again: while they are made, while graphs are traced, and at the exit. They are frozen (`gc.freeze`), and
    with all others at the exit, which saves two to three CPU seconds per command.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    quietly()
    if "tensorflow" not in sys.modules:
        if platform.machine() in ("x86_64", "AMD64"):
            os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        finder = next(finder for finder in sys.meta_path if isinstance(finder, _FirstImport))
        finder.short = True


class _FirstImport(importlib.abc.MetaPathFinder):
    """Finds TensorFlow (or Keras, which imports it) and LiteRT as Python does, and surrounds the execution of them.

    Attributes:
        short: the import of TensorFlow is that of a command; see `for_a_command`.
    """

    def __init__(self):
        self.short = False
        self.executes = {"tensorflow": self._tensorflow, "keras": self._tensorflow}
        self.executes["ai_edge_litert.interpreter"] = self._litert

    def find_spec(self, fullname, path, target=None):
        if fullname not in self.executes:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = functools.partial(self.executes[fullname], spec.loader.exec_module)
        return spec

    def _tensorflow(self, execute: Callable[[Any], None], module: Any):
        del self.executes["tensorflow"], self.executes["keras"]
        with _short() if self.short else contextlib.nullcontext(), _remarks_held_back("tensorflow"):
            execute(module)
        if "tensorflow" in sys.modules:  # Keras may have another backend
            graphs.end_with_their_models()

    def _litert(self, execute: Callable[[Any], None], module: Any):
        del self.executes["ai_edge_litert.interpreter"]
        with _remarks_held_back():
            execute(module)
            with contextlib.suppress(Exception):  # a LiteRT that does not take it
                module.Interpreter(model_content=NEGATION).allocate_tensors()


@contextlib.contextmanager
def _short() -> Iterator[None]:
    """Around the import of TensorFlow: see `for_a_command`."""
    announce("starting TensorFlow")
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        sys.meta_path.remove(hidden)
        gc.freeze()
        if collects:
            gc.enable()
    atexit.register(gc.freeze)


class _Hidden(importlib.abc.MetaPathFinder):
    """Answers that the packages of NOT_NEEDED are not installed."""

    def find_spec(self, fullname, path, target=None):
        if fullname in NOT_NEEDED:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextlib.contextmanager
def _remarks_held_back(logger: str = "") -> Iterator[None]:
    """Holds back what is written to file descriptor 2 meanwhile, and writes it if that raises.

    Args:
        logger: of Python, from which errors alone are shown from now on; "" for none.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        yield
        return
    if logger and logging.getLogger(logger).level == logging.NOTSET:
        logging.getLogger(logger).setLevel(logging.ERROR)
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        terminal = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with _aside() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except Exception:
            aside.seek(0)
            os.write(terminal, aside.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _aside() -> IO[bytes]:
    """A file without a name; a hole where nothing can be written."""
    import tempfile

    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.devnull, "w+b")
