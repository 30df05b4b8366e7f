"""kgen-train: trains a model and leaves a run directory."""

import shlex
from collections.abc import Sequence
from typing import Any

from kgen.cli.command import Command
from kgen.config import DataConfig, RunConfig, TrainConfig, override, parse_sets
from kgen.errors import UserError

EXAMPLES = (
    ("kgen-train --model cvae", "the embedded digits, every choice made; about a minute"),
    ("kgen-train --model vae --dataset mnist --epochs 20", "a TFDS image set, by its name"),
    ("kgen-train --model vae --dataset photos/ --image_size 64 --set model_args.network=conv", "a folder of one's own"),
    (
        "kgen-train --model vae --dataset mnist --binarize sample --set model_args.hidden=[400] "
        "--set model_args.latent_dim=2 --set model_args.batch_norm=true",
        "the 784-400-2 network of the literature",
    ),
)

SETTINGS = {
    "dataset": "data.dataset", "image_size": "data.image_size", "fit": "data.fit", "grayscale": "data.grayscale",
    "binarize": "data.binarize", "limit": "data.limit", "validation_fraction": "data.validation_fraction",
    "strict": "data.strict", "cache": "data.cache", "mat_key": "data.mat_key",
    "mat_orientation": "data.mat_orientation", "mat_image_shape": "data.mat_image_shape",
    "model": "model", "seed": "seed", "epochs": "train.epochs", "batch_size": "train.batch_size",
    "learning_rate": "train.learning_rate", "precision": "train.precision", "jit_compile": "train.jit_compile",
    "samples_every": "train.samples_every",
}  # fmt: skip
"""Flag -> the setting of RunConfig that it stands for."""


def command() -> Command:
    """The command line."""
    cmd = Command("kgen-train", "train an image generator and leave a run directory with all that came out.", EXAMPLES)
    data, train = DataConfig(), TrainConfig()
    cmd.flag("Model", "string", "model", RunConfig().model, "vae, cvae.")
    cmd.flag(
        "Model",
        "multi_string",
        "set",
        [],
        "Any setting, e.g. model_args.latent_dim=2; may be repeated; a wrong name lists the right ones.",
    )
    cmd.flag("Data", "string", "dataset", data.dataset,
             "digits (embedded), a TFDS name (mnist, tfds:NAME), or a path: folder, .zip, .mat, .npz.")  # fmt: skip
    cmd.flag("Data", "string", "image_size", None, "Pixels a side, 64, or height x width, 48x64; else the data's own.")
    cmd.flag("Data", "enum", "fit", data.fit, "When the aspect ratio changes: crop the centre, or pad with white.",
             enum_values=["crop", "pad"])  # fmt: skip
    cmd.flag("Data", "boolean", "grayscale", data.grayscale, "One channel.")
    cmd.flag("Data", "enum", "binarize", data.binarize, "Black and white: at 0.5, or drawn anew every time.",
             enum_values=["none", "threshold", "sample"])  # fmt: skip
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
    cmd.flag("Training", "integer", "epochs", None, "Passes over the images; else as many as make about 4000 steps.")
    cmd.flag("Training", "integer", "batch_size", None, "Images a step; else 128, and fewer for small sets.")
    cmd.flag("Training", "float", "learning_rate", None, "Of Adam; else the model's own (VAEs: 0.001).")
    cmd.flag("Training", "integer", "seed", RunConfig().seed, "Root of every random stream.")
    cmd.flag("Training", "enum", "precision", train.precision, "Of the arithmetic.",
             enum_values=["float32", "mixed_float16", "mixed_bfloat16"])  # fmt: skip
    cmd.flag(
        "Training", "boolean", "jit_compile", None, "XLA; --nojit_compile for none; else where it was measured to help."
    )
    cmd.flag("Output", "string", "run_dir", None, "The run directory; else the next number under --runs_root.")
    cmd.flag("Output", "string", "runs_root", "runs", "Where numbered runs live.")
    cmd.flag("Output", "integer", "samples_every", None, "Epochs between two sample grids; else about four of them.")
    return cmd


def config_of(cmd: Command) -> RunConfig:
    """The configuration that the flags and `--set` ask for; `--set` wins."""
    given = {setting: _value(name, cmd[name]) for name, setting in SETTINGS.items() if cmd.given(name)}
    return override(RunConfig(), {**given, **parse_sets(cmd["set"])})


def _value(name: str, value: Any) -> Any:
    if name not in ("image_size", "mat_image_shape"):
        return value
    try:
        sides = [int(side) for side in value.lower().split("x")]
    except ValueError:
        raise UserError(f"--{name} takes pixels, 64 or 48x64. Received: {value!r}") from None
    return sides * 2 if len(sides) == 1 else sides


def next_commands(run) -> tuple[str, str]:
    """What to type after a training, quoted for the shell."""
    from kgen.models import MODELS

    label = []
    if MODELS[run.config.model].conditional:
        label = ["--label", run.spec.class_names[-1] if run.spec.class_names else "0"]
    sample = ["kgen-sample", str(run.path), "--count", "64", *label, "--seed", "1"]
    export = ["kgen-export", str(run.path), "--to", f"exports/{run.config.model}"]
    return shlex.join(sample), shlex.join(export)


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body():
        config = config_of(cmd)
        from kgen.train import train

        run = train(config, run_dir=cmd["run_dir"], runs_root=cmd["runs_root"])
        print(f"\npictures: {run.path / 'samples'} (final.png), {run.path / 'plots' / 'curves.png'}")
        sample, export = next_commands(run)
        print(f"next:     {sample}\n          {export}")

    return cmd.run(body, argv)
