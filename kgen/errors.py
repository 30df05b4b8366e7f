"""The errors that kgen raises on purpose: a mistake of the user, and a training or an export that failed."""

import re


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
