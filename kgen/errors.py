"""The two ways in which kgen stops on purpose: a user's mistake, and a training that went wrong."""

import re


class UserError(ValueError):
    """Something that the user can put right: commands print its one message and end with exit code 2.

    The message names the setting, shows what arrived, and says what to do.
    """


class DataMissing(UserError):
    """A data set that is not here and cannot be fetched."""


class ImageLost(UserError):
    """An image that could be read when the data set was opened, and cannot be read any more."""


class TrainingFailed(RuntimeError):
    """Training stopped itself (a loss that is not finite): commands print the message and end with exit code 1."""


class ExportFailed(RuntimeError):
    """An export that does not agree with the trained model: nothing is left behind; commands end with exit code 1."""


def image_lost(error: BaseException) -> ImageLost | None:
    """The ImageLost that an input pipeline raised; TensorFlow passes on its words alone."""
    found = re.search(rf"{ImageLost.__name__}: (.+)", str(error))
    return ImageLost(found[1].strip()) if found else None
