"""kgen-train: trains a model and leaves a run directory."""

import shlex
from collections.abc import Sequence

from kgen.cli import data_flags
from kgen.cli.command import Command
from kgen.config import RunConfig, TrainConfig, override, parse_sets

EXAMPLES = (
    ("kgen-train --model cvae", "the embedded digits, every choice made; about a minute"),
    ("kgen-train --model vae --dataset mnist --epochs 20", "a TFDS image set, by its name"),
    ("kgen-train --model vae --dataset photos/ --image_size 64 --set model_args.network=conv", "a folder of one's own"),
    ("kgen-train --model cvae --eval_every 5 --metrics fid,prdc --best_by fid", "curves of quality; the best by FID"),
    (
        "kgen-train --model vae --dataset mnist --binarize sample --set model_args.hidden=[400] "
        "--set model_args.latent_dim=2 --set model_args.batch_norm=true",
        "the 784-400-2 network of the literature",
    ),
)

SETTINGS = {
    **data_flags.SETTINGS,
    "model": "model", "seed": "seed", "epochs": "train.epochs", "batch_size": "train.batch_size",
    "learning_rate": "train.learning_rate", "precision": "train.precision", "jit_compile": "train.jit_compile",
    "samples_every": "train.samples_every", "eval_every": "train.eval_every", "metrics": "train.metrics",
    "features": "train.eval_features", "eval_count": "train.eval_count", "best_by": "train.best_by",
}  # fmt: skip
"""Flag -> the setting of RunConfig that it stands for."""


def command() -> Command:
    """The command line."""
    cmd = Command("kgen-train", "train an image generator and leave a run directory with all that came out.", EXAMPLES)
    train = TrainConfig()
    cmd.flag("Model", "string", "model", RunConfig().model, "vae, cvae.")
    cmd.flag(
        "Model",
        "multi_string",
        "set",
        [],
        "Any setting, e.g. model_args.latent_dim=2; may be repeated; a wrong name lists the right ones.",
    )
    data_flags.define(cmd)
    cmd.flag("Training", "integer", "epochs", None, "Passes over the images; else as many as make about 4000 steps.")
    cmd.flag("Training", "integer", "batch_size", None, "Images a step; else 128, and fewer for small sets.")
    cmd.flag("Training", "float", "learning_rate", None, "Of Adam; else the model's own (VAEs: 0.001).")
    cmd.flag("Training", "integer", "seed", RunConfig().seed, "Root of every random stream.")
    cmd.flag("Training", "enum", "precision", train.precision, "Of the arithmetic.",
             enum_values=["float32", "mixed_float16", "mixed_bfloat16"])  # fmt: skip
    cmd.flag(
        "Training", "boolean", "jit_compile", None, "XLA; --nojit_compile for none; else where it was measured to help."
    )
    cmd.flag("Quality", "integer", "eval_every", None, "Epochs between two measurements of samples; else none is made.")
    cmd.flag("Quality", "list", "metrics", list(train.metrics), "What is measured then, as in kgen-eval.")
    cmd.flag("Quality", "enum", "features", None, "What samples are compared by; as in kgen-eval.",
             enum_values=["classifier", "random", "pixels", "inception"])  # fmt: skip
    cmd.flag("Quality", "integer", "eval_count", train.eval_count, "Samples a measurement.")
    cmd.flag("Quality", "string", "best_by", train.best_by, "What the best checkpoint is chosen by: loss, or a figure "
             "of --metrics such as fid; on validation images, never on test images.")  # fmt: skip
    cmd.flag("Output", "string", "run_dir", None, "The run directory; else the next number under --runs_root.")
    cmd.flag("Output", "string", "runs_root", "runs", "Where numbered runs live.")
    cmd.flag("Output", "integer", "samples_every", None, "Epochs between two sample grids; else about four of them.")
    return cmd


def config_of(cmd: Command) -> RunConfig:
    """The configuration that the flags and `--set` ask for; `--set` wins."""
    own = {flag: setting for flag, setting in SETTINGS.items() if flag not in data_flags.SETTINGS}
    given = data_flags.settings(cmd) | {setting: cmd[flag] for flag, setting in own.items() if cmd.given(flag)}
    return override(RunConfig(), {**given, **parse_sets(cmd["set"])})


def next_commands(run) -> list[str]:
    """What to type after a training, quoted for the shell."""
    from kgen.models import MODELS

    label = []
    if MODELS[run.config.model].conditional:
        label = ["--label", run.spec.class_names[-1] if run.spec.class_names else "0"]
    sample = ["kgen-sample", str(run.path), "--count", "64", *label, "--seed", "1"]
    export = ["kgen-export", str(run.path), "--to", f"exports/{run.config.model}"]
    return [shlex.join(command) for command in (sample, ["kgen-eval", str(run.path)], export)]


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body():
        config = config_of(cmd)
        from kgen.train import train

        watch = None
        if config.train.eval_every:
            from kgen.evaluate import Watch as watch

        run = train(config, run_dir=cmd["run_dir"], runs_root=cmd["runs_root"], watch=watch)
        print(f"\npictures: {run.path / 'samples'} (final.png), {run.path / 'plots' / 'curves.png'}")
        print("next:     " + "\n          ".join(next_commands(run)))

    return cmd.run(body, argv)
