"""Flags that several commands share: which images, and which generator."""

from collections.abc import Mapping
from typing import Any

from kgen.cli.command import Command
from kgen.config import DataConfig, RunConfig, TrainConfig, override
from kgen.options import options_of


def define_data(cmd: Command, *, dataset: bool = True, choice: bool = True):
    """Defines the group "Data": how images are read and brought to one shape.

    Args:
        cmd: gets the flags.
        dataset: `--dataset` too; not where the data set is an argument.
        choice: also which images are used for what, `--limit` and `--validation_fraction`.
    """
    wanted = {"dataset": dataset, "limit": choice, "validation_fraction": choice}
    cmd.options(DataConfig, "Data", leave_out=[name for name in wanted if not wanted[name]])


def define_real_images(cmd: Command):
    """Defines the group "Data" of commands that compare a generator with real images."""
    cmd.flag(
        "Data", "string", "dataset", None,
        "Real images: the test split of data that have splits of their own, all images of others. For a run whose data "
        "were moved, where they are now.",
        auto="those of the run", metavar="DATASET",
    )  # fmt: skip
    define_data(cmd, dataset=False, choice=False)


def define_generator(cmd: Command, group: str):
    """Defines `--prior` and `--checkpoint`: which generator of a run or of an export."""
    cmd.flag(
        group,
        "enum",
        "prior",
        None,
        "What z is sampled from. The mixture of a run is fitted when it is needed for the first time.",
        auto="as trained or exported",
        enum_values=options_of(TrainConfig)["prior"].choices,
    )
    cmd.flag(group, "enum", "checkpoint", "best", "Checkpoint of a run.", enum_values=["best", "last"])


def define_moved_data(cmd: Command, group: str):
    """Defines `--dataset` of commands that need the training images of a run alone."""
    text = "Where the images that the run was trained on are now, if they were moved."
    cmd.flag(group, "string", "dataset", None, text, auto="where they were", metavar="DATASET")


def data_settings(cmd: Command) -> dict[str, Any]:
    """The settings of `data` that the user gave, by their dotted names; see `kgen.config.override`."""
    return cmd.given_settings(DataConfig, "data.")


def generator_choice(cmd: Command) -> Mapping[str, Any]:
    """The keyword arguments `checkpoint` and `prior` of whatever opens a generator."""
    return {name: cmd[name] for name in ("checkpoint", "prior")}


def data_config(cmd: Command, base: DataConfig) -> DataConfig:
    """`base` with the settings that the user gave."""
    return override(RunConfig(data=base), data_settings(cmd)).data
