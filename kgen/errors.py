"""The two ways in which kgen stops on purpose: a user's mistake, and a training that went wrong."""


class UserError(ValueError):
    """Something that the user can put right: commands print its one message and end with exit code 2.

    The message names the setting, shows what arrived, and says what to do.
    """


class DataMissing(UserError):
    """A data set that is not here and cannot be fetched."""


class TrainingFailed(RuntimeError):
    """Training stopped itself (a loss that is not finite): commands print the message and end with exit code 1."""


class ExportFailed(RuntimeError):
    """An export that does not agree with the trained model: nothing is left behind; commands end with exit code 1."""
