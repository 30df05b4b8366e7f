"""The errors that kgen raises on purpose: a mistake of the user, and a training or an export that failed. And what an
error of TensorFlow says: in one line, and whether memory or room for files was not enough."""

import re
import sys


class UserError(ValueError):
    """A mistake that the user can correct: commands print its one message and end with exit code 2.

    The message names the setting, shows what arrived, and says what to do.
    """


class DataMissing(UserError):
    """A data set that is not here and cannot be fetched."""


class ImageLost(UserError):
    """An image that could be read when the data set was opened, and cannot be read any more."""


class TrainingFailed(RuntimeError):
    """A training that cannot continue (a loss that is not finite): commands print it and end with exit code 1."""

    exit_code = 1


class WorkerLost(TrainingFailed):
    """Another worker of this training is gone: it goes on when all are started again. Commands end with EX_TEMPFAIL."""

    exit_code = 75


class TrainingPaused(Exception):
    """Not an error: a training has stopped where it was asked to pause, with a checkpoint to resume from."""


class ExportFailed(RuntimeError):
    """An export that differs from the trained model: nothing is written; commands end with exit code 1."""

    exit_code = 1


def image_lost(error: BaseException) -> ImageLost | None:
    """The ImageLost that an input pipeline raised, of which only the text passes through TensorFlow."""
    found = re.search(rf"{ImageLost.__name__}: (.+)", str(error))
    return ImageLost(found[1].strip()) if found else None


HEADINGS = (
    "Exception encountered when calling", "Graph execution error", "Detected at node", "<stack traces unavailable>",
    'File "', "[[{{", "Hint: ", "Arguments received by",
)  # fmt: skip
"""With these begin the lines that Keras and TensorFlow write around what an operation said."""


def said(error: BaseException, length: int = 200) -> str:
    """What an error of TensorFlow says, in one line of at most `length` characters: no headings or stack traces."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(HEADINGS) and "root error(s) found" not in line]
    line = re.sub(r"^\{\{.*?\}\} | \[Op:.*$", "", lines[0]) if lines else type(error).__name__
    return line[:length]


LACK = (
    "resource_exhausted", "oom when allocating", "out of memory", "out_of_memory", "out of gpu memory", "alloc_failed",
    "failed to allocate memory", "failed to allocate request", "failed to allocate the scratch space",
    "dst tensor is not initialized", "bad_alloc",
)  # fmt: skip
"""What TensorFlow, XLA and the libraries of a GPU say where memory was not enough, in errors of many kinds.

cuDNN's lack is a NotFoundError ("No algorithm worked!  Error messages: ... CUDNN_STATUS_ALLOC_FAILED"), that of a copy
to the GPU an InternalError ("Dst tensor is not initialized.").
"""

OF_FILES = ("no space left on device", "disk quota exceeded", "too many open files")
"""Of these TensorFlow says RESOURCE_EXHAUSTED, too."""


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough. Imports no TensorFlow, whose errors it knows by their words."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return isinstance(error, MemoryError)
    if lacks_files(error):
        return False
    return isinstance(error, tensorflow.errors.ResourceExhaustedError) or says_lack(str(error))


def lacks_files(error: BaseException) -> bool:
    """Whether an error of TensorFlow says that the disk is full, or that too many files are open."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return False
    return any(words in str(error).lower() for words in OF_FILES)


def says_lack(text: str) -> bool:
    """Whether a message, or what a process wrote, says that memory was not enough."""
    text = text.lower()
    return any(words in text for words in LACK)
