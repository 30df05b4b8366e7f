"""The `kgen-train` command that fits a data set: what kgen-data ends with."""

import shlex

from kgen.cli.command import Command, flag_words
from kgen.config import DataConfig
from kgen.data.audit.report import AuditReport
from kgen.models.presets import PRESETS
from kgen.options import options_of

LARGEST_SIDE = 64
"""Pixels of the longer side that a first training has, whatever the pictures have."""
DENSE_SIDE = 32
"""Gray pictures up to this side are small enough for dense layers, which train in a minute."""
ENOUGH_FOR_A_GAN, ENOUGH_WITH_LABELS = 80, 2_000
"""Training images from which on an adversarial model is proposed. Of 90 drawn faces, and of 360 photographed ones, it
made others and no copies within ten minutes; with labels nothing was measured below the second number."""
ADVERSARIAL_RECIPE = "own-pictures"
"""Trains the unconditional adversarial model better than `--model` alone, and the conditional one by projection."""
MAX_CLASSES, ENOUGH_PER_CLASS = 100, 10
"""A conditional model is worth it up to so many classes, of which the smallest has at least so many training images."""

UNEQUAL_CLASSES = 50
"""Times as many training images as the smallest class has: where the largest has so many, a conditional model is to
draw all classes equally often. Measured at 56 times; from twice as many on the report names the flag."""


def training_command(cmd: Command, dataset: str, report: AuditReport) -> str:
    """The command line of a first training on a data set that was examined.

    Args:
        cmd: of kgen-data; the settings that the user gave go on to the training.
        dataset: as the user named it.
        report: of its audit.

    Returns:
        A command line, quoted for the shell.
    """
    model = model_for(report)
    preset, how = PRESETS[model], ["--model", model]
    if preset.adversarial:
        how = ["--recipe", ADVERSARIAL_RECIPE]
        how += ["--set", f"model={model}", "--set", "model_args.projection=true"] if preset.conditional else []
    if preset.conditional and are_unequal(report) and report.any_order:
        how += ["--class_balance", "1"]
    words = ["kgen-train", *how, "--dataset", dataset, *given_flags(cmd)]
    if not cmd.given("image_size") and (size := size_for(report, always=preset.adversarial)):
        words += ["--image_size", size]
    if report.gray_in_colour and not cmd.given("grayscale"):
        words.append("--grayscale")
    return shlex.join(words)


def model_for(report: AuditReport) -> str:
    """The name of the model to begin with."""
    height, width, channels = report.image_shape
    train = report.splits[0]
    counts = [count for count in train.classes if count]
    labelled = 2 <= len(counts) <= MAX_CLASSES and min(counts) >= ENOUGH_PER_CLASS
    if max(height, width) <= DENSE_SIDE and (channels == 1 or report.gray_in_colour):
        return "cvae" if labelled else "vae"
    if train.images < (ENOUGH_WITH_LABELS if labelled else ENOUGH_FOR_A_GAN):
        return "conv_cvae" if labelled else "conv_vae"
    return "cdcgan" if labelled else "dcgan"


def are_unequal(report: AuditReport) -> bool:
    """Whether the largest class has UNEQUAL_CLASSES times the training images of the smallest that has some."""
    counts = [count for count in report.splits[0].classes if count]
    return max(counts) >= UNEQUAL_CLASSES * min(counts)


def size_for(report: AuditReport, *, always: bool = False) -> str:
    """What `--image_size` is given; "" where the pictures have one size that a first training can have too.

    Args:
        report: of the pictures.
        always: then it is given, too: a recipe has a size of its own.
    """
    height, width, _ = report.image_shape
    stored = {(h, w) for h, w, _ in report.sizes}
    if max(height, width) <= LARGEST_SIDE and len(stored) <= 1 and not always:
        return ""
    shrink = min(1.0, LARGEST_SIDE / max(height, width))
    height, width = (max(1, round(side * shrink)) for side in (height, width))
    return str(height) if height == width else f"{height}x{width}"


def given_flags(cmd: Command) -> list[str]:
    """The flags of the data that the user gave, and `--seed`, as words of a command line."""
    words = []
    for option in options_of(DataConfig).values():
        if option.flag and option.name != "dataset" and cmd.given(option.flag):
            words += flag_words(option.flag, cmd[option.flag])
    return words + (flag_words("seed", cmd["seed"]) if cmd.given("seed") else [])
