"""The flags that say which images, and how they come to one shape: the same for every command that reads data."""

from typing import Any

from kgen.cli.command import Command
from kgen.config import DataConfig, RunConfig, override
from kgen.errors import UserError

SETTINGS = {
    "dataset": "data.dataset", "image_size": "data.image_size", "fit": "data.fit", "grayscale": "data.grayscale",
    "binarize": "data.binarize", "limit": "data.limit", "validation_fraction": "data.validation_fraction",
    "strict": "data.strict", "cache": "data.cache", "mat_key": "data.mat_key",
    "mat_orientation": "data.mat_orientation", "mat_image_shape": "data.mat_image_shape",
}  # fmt: skip
"""Flag -> the setting of RunConfig that it stands for."""


def define(cmd: Command, *, dataset: bool = True, choice: bool = True):
    """Defines the group "Data".

    Args:
        cmd: gets the flags.
        dataset: `--dataset` too; not where the data set is an argument.
        choice: also which images are used for what, `--limit` and `--validation_fraction`.
    """
    data = DataConfig()
    if dataset:
        cmd.flag("Data", "string", "dataset", data.dataset,
                 "digits (embedded), a TFDS name (mnist, tfds:NAME), or a path: folder, .zip, .mat, .npz.")  # fmt: skip
    cmd.flag("Data", "string", "image_size", None, "Pixels a side, 64, or height x width, 48x64; else the data's own.")
    cmd.flag("Data", "enum", "fit", data.fit, "When the aspect ratio changes: crop the centre, or pad with white.",
             enum_values=["crop", "pad"])  # fmt: skip
    cmd.flag("Data", "boolean", "grayscale", data.grayscale, "One channel.")
    cmd.flag("Data", "enum", "binarize", data.binarize, "Black and white: at 0.5, or drawn anew every time.",
             enum_values=["none", "threshold", "sample"])  # fmt: skip
    if choice:
        cmd.flag("Data", "integer", "limit", None, "At most so many images of each split.")
        cmd.flag("Data", "float", "validation_fraction", data.validation_fraction,
                 "Share of the training images set aside when the data bring no validation split.")  # fmt: skip
    cmd.flag("Data", "boolean", "strict", data.strict, "Refuse data with an unreadable image; else it is left out.")
    cmd.flag("Data", "enum", "cache", data.cache, "Where decoded images stay.",
             enum_values=["auto", "memory", "disk", "none"])  # fmt: skip
    cmd.flag("Data", "string", "mat_key", None, "The variable of a .mat file that holds the images; else found.")
    cmd.flag("Data", "enum", "mat_orientation", data.mat_orientation, "One flattened image a column or a row.",
             enum_values=["auto", "columns", "rows"])  # fmt: skip
    cmd.flag("Data", "string", "mat_image_shape", None, "Shape of a flattened image, 64x64 or 64x64x3; else a square.")


def settings(cmd: Command) -> dict[str, Any]:
    """The settings that the user gave, for `kgen.config.override`.

    Raises:
        UserError: a size that is no size.
    """
    flags = [flag for flag in cmd.groups["Data"] if flag in SETTINGS and cmd.given(flag)]
    return {SETTINGS[flag]: _value(flag, cmd[flag]) for flag in flags}


def data_config(cmd: Command, base: DataConfig | None = None) -> DataConfig:
    """`base` (else the defaults) with the settings that the user gave."""
    return override(RunConfig(data=base or DataConfig()), settings(cmd)).data


def _value(name: str, value: Any) -> Any:
    if name not in ("image_size", "mat_image_shape"):
        return value
    try:
        sides = [int(side) for side in value.lower().split("x")]
    except ValueError:
        raise UserError(f"--{name} takes pixels, 64 or 48x64. Received: {value!r}") from None
    return sides * 2 if len(sides) == 1 else sides
