"""kgen-train: trains a model and leaves a run directory."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from kgen.cli import data_flags
from kgen.cli.command import Command, import_tensorflow_quietly
from kgen.config import DataConfig, PriorName, RunConfig, TrainConfig, override, parse_sets
from kgen.errors import UserError
from kgen.recipes import configure, load_recipe, stand_in_note

EXAMPLES = (
    ("kgen-train --model cvae", "the embedded digits, every choice made; about a minute"),
    ("kgen-train --model vae --dataset mnist --epochs 20", "a TFDS image set, by its name"),
    ("kgen-train --recipe mnist-mlp-vae --seed 1", "a named experiment; --list_recipes shows them all"),
    ("kgen-train --model vae --dataset photos/ --image_size 64 --set model_args.network=conv", "a folder of one's own"),
    ("kgen-train --resume runs/00000-cvae-digits", "goes on after an interruption, as if there had been none"),
    ("kgen-train --model cvae --eval_every 5 --metrics fid,prdc --best_by fid", "curves of quality; the best by FID"),
    (
        "kgen-train --model vae --dataset mnist --binarize sample --set model_args.hidden=[400] "
        "--set model_args.latent_dim=2 --set model_args.batch_norm=true",
        "784-400-2: two numbers per digit",
    ),
)

SETTINGS = {
    **data_flags.SETTINGS,
    "model": "model", "seed": "seed", "epochs": "train.epochs", "batch_size": "train.batch_size",
    "learning_rate": "train.learning_rate", "schedule": "train.schedule",
    "discriminator_learning_rate": "train.discriminator_learning_rate", "optimizer": "train.optimizer",
    "beta_1": "train.beta_1", "beta_2": "train.beta_2",
    "ema_halflife_images": "train.ema_halflife_images", "precision": "train.precision",
    "strategy": "train.strategy",
    "jit_compile": "train.jit_compile",
    "validate_every": "train.validate_every", "patience": "train.patience",
    "samples_every": "train.samples_every", "eval_every": "train.eval_every", "metrics": "train.metrics",
    "features": "train.eval_features", "eval_count": "train.eval_count", "best_by": "train.best_by",
    "checkpoint_seconds": "train.checkpoint_seconds", "checkpoint_steps": "train.checkpoint_steps",
    "keep": "train.keep", "profile": "train.profile", "on_nan": "train.on_nan", "deterministic": "train.deterministic",
    "init_from": "train.init_from", "init_discriminator": "train.init_discriminator", "prior": "train.prior",
}  # fmt: skip
"""Flag -> the setting of RunConfig that it stands for."""


def command() -> Command:
    """The command line."""
    summary = "train an image generator and leave a run directory with all that came out."
    cmd = Command("kgen-train", summary, EXAMPLES, tensorflow=False)  # imported in main: the list of recipes needs none
    train = TrainConfig()
    cmd.flag(
        "Model",
        "string",
        "model",
        RunConfig().model,
        "vae, conv_vae, cvae, conv_cvae, pixel_vae, "
        "pixel_cvae; gan, cgan, dcgan, cdcgan, wgan, wgan_gp, wcgan_gp, vae_gan.",
    )
    cmd.flag("Model", "string", "recipe", None, "A named experiment; other flags and --set change it.")
    cmd.flag("Model", "boolean", "list_recipes", False, "Show the recipes: what each reproduces, what it reached.")
    cmd.flag(
        "Model",
        "multi_string",
        "set",
        [],
        "Any setting, e.g. model_args.latent_dim=2; may be repeated; a wrong name lists the right ones.",
    )
    cmd.flag("Model", "string", "init_from", None, "A run to start from: its architecture and weights (vae_gan).")
    cmd.flag("Model", "boolean", "init_discriminator", False, "Start the discriminator from that run's encoder, too.")
    data_flags.define(cmd)
    cmd.flag("Training", "integer", "epochs", None, "Passes over the images; else as many as make about 4000 steps.")
    cmd.flag("Training", "integer", "batch_size", None, "Images a step; else 128, and fewer for small sets.")
    cmd.flag("Training", "float", "learning_rate", None, "Else the model's own (VAEs: 0.001).")
    cmd.flag("Training", "float", "discriminator_learning_rate", None, "Of an adversarial model's discriminator; else "
             "in its own ratio to the generator's.")  # fmt: skip
    cmd.flag("Training", "enum", "optimizer", None, "Of every network; else the model's own, mostly adam.",
             enum_values=["adam", "rmsprop", "sgd"])  # fmt: skip
    cmd.flag("Training", "float", "beta_1", None, "Of Adam: decay of the mean gradient; else the model's own.")
    cmd.flag("Training", "float", "beta_2", None, "Of Adam: decay of the mean square; else the model's own.")
    cmd.flag("Training", "enum", "schedule", train.schedule, "Of the learning rate; cosine ends at 0.",
             enum_values=["constant", "cosine"])  # fmt: skip
    cmd.flag("Training", "float", "ema_halflife_images", None, "Average the weights: images after which the influence "
             "of one halves; 0 for no average; else of adversarial models 1/20 of the training, at most "
             "50000.")  # fmt: skip
    cmd.flag("Training", "integer", "validate_every", None, "Epochs between two evaluations of the loss; else each, in "
             "long trainings about 200.")  # fmt: skip
    cmd.flag("Training", "integer", "patience", train.patience, "Stop early when the validation loss, or the figure of "
             "--best_by, has not become better so many times in a row; 0 never stops early.")  # fmt: skip
    cmd.flag("Training", "integer", "seed", RunConfig().seed, "Root of every random stream.")
    cmd.flag("Training", "enum", "precision", train.precision, "Of the arithmetic.",
             enum_values=["float32", "mixed_float16", "mixed_bfloat16"])  # fmt: skip
    cmd.flag("Training", "enum", "strategy", train.strategy, "The devices that share each batch: all GPUs of this "
             "machine, else one device; or multi_worker, all machines of TF_CONFIG.",
             enum_values=["auto", "one", "mirrored", "multi_worker", "tpu"])  # fmt: skip
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
    cmd.flag("Sampling", "enum", "prior", train.prior, "What z is drawn from after training; gaussian_mixture is "
             "fitted to the encodings, where the model has an encoder.", enum_values=get_args(PriorName))  # fmt: skip
    cmd.flag("Going on", "string", "resume", None, "A run that was interrupted: goes on as if it had not been. With it "
             "only --epochs, --patience, --samples_every and the flags of this group.")  # fmt: skip
    cmd.flag("Going on", "float", "checkpoint_seconds", train.checkpoint_seconds, "Between two checkpoints to go on "
             "from, also inside an epoch.")  # fmt: skip
    cmd.flag("Going on", "integer", "checkpoint_steps", None, "The same in steps; else by time alone.")
    cmd.flag("Going on", "integer", "keep", train.keep, "How many of them stay, at least 2.")
    cmd.flag("Going on", "enum", "on_nan", train.on_nan, "A loss that is not finite stops the training, or takes it "
             "back once, with half the learning rate.", enum_values=["stop", "rollback"])  # fmt: skip
    cmd.flag("Going on", "boolean", "deterministic", train.deterministic, "The same bits in every run of the same "
             "command, also where TensorFlow is faster without; on a CPU they mostly are.")  # fmt: skip
    cmd.flag("Output", "string", "run_dir", None, "The run directory; else the next number under --runs_root. A run "
             "that is there goes on where it was interrupted.")  # fmt: skip
    cmd.flag("Output", "boolean", "profile", train.profile, "Trace some steps for TensorBoard.")
    cmd.flag("Output", "boolean", "dry_run", False, "Take a few steps, say how large and how long the training would "
             "be, and write nothing.")  # fmt: skip
    cmd.flag("Output", "string", "runs_root", "runs", "Where numbered runs live.")
    cmd.flag("Output", "integer", "samples_every", None, "Epochs between two sample grids; else about twenty of them.")
    return cmd


def config_of(cmd: Command) -> RunConfig:
    """The configuration that the flags and `--set` ask for; `--set` wins over flags, and both over the recipe."""
    own = {flag: setting for flag, setting in SETTINGS.items() if flag not in data_flags.SETTINGS}
    given = data_flags.settings(cmd) | {setting: cmd[flag] for flag, setting in own.items() if cmd.given(flag)}
    given |= parse_sets(cmd["set"])
    if cmd["recipe"] is not None:
        return configure(cmd["recipe"], given, open_source=open_source)
    return override(RunConfig(), given)


def changes_of(cmd: Command) -> dict[str, Any]:
    """The settings that are given together with `--resume`.

    Raises:
        UserError: a flag that names another training.
    """
    own = {flag: setting for flag, setting in SETTINGS.items() if flag not in data_flags.SETTINGS}
    others = [flag for flag in ("recipe", "run_dir", "runs_root") if cmd.given(flag)]
    others += [flag for flag in data_flags.SETTINGS if cmd.given(flag)]
    if others:
        raise UserError(f"--{others[0]} does not go with --resume, which goes on with the run as it was; leave it away")
    return {setting: cmd[flag] for flag, setting in own.items() if cmd.given(flag)} | parse_sets(cmd["set"])


def open_source(data: DataConfig):
    """`kgen.data.sources.resolve.open_source`, imported late."""
    import_tensorflow_quietly()
    from kgen.data.sources.resolve import open_source

    return open_source(data)


def print_recipes():
    """The table of recipes, as wide as the terminal; not wrapped where it goes to a file or a pipe."""
    from kgen.recipes.recipe import render_recipes

    print(render_recipes(shutil.get_terminal_size().columns if sys.stdout.isatty() else None), end="")


def next_commands(run) -> list[str]:
    """The first four commands to run after a training."""
    from kgen.models.presets import PRESETS
    from kgen.report.commands import next_commands

    label = None
    if PRESETS[run.config.model].conditional:
        label = run.spec.class_names[-1] if run.spec.class_names else "0"
    return [line for _, line in next_commands(run, label=label)[:4]]


def write_report(path: Path) -> Path | None:
    """Writes report.html of a run; if it cannot be written that is one warning, and the training is not lost."""
    try:
        from kgen.report import write_report
        from kgen.run import Run

        return write_report(Run.open(path))
    except Exception as error:
        again = shlex.join(["kgen-report", str(path)])
        print(f"kgen-train: the report could not be written ({error}); try again with: {again}", file=sys.stderr)
        return None


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body():
        if cmd["list_recipes"]:
            return print_recipes()
        if cmd["resume"] is not None:
            from kgen.run import Run

            changes = changes_of(cmd)
            config = override(Run.open(cmd["resume"]).config, changes)
        else:
            config = config_of(cmd)
        import_tensorflow_quietly()
        from kgen.models.presets import PRESETS
        from kgen.train import resume, train
        from kgen.train.dry_run import dry_run

        if cmd["dry_run"]:
            return print(dry_run(config))
        monitor = None
        if config.train.eval_every or PRESETS[config.model].adversarial:
            from kgen.evaluate import Monitor as monitor

        runs = []
        try:
            if cmd["resume"] is not None:
                run = resume(cmd["resume"], changes, monitor=monitor, on_start=runs.append)
            else:
                places = {name: cmd[name] for name in ("run_dir", "runs_root")}
                run = train(config, **places, monitor=monitor, on_start=runs.append)
        except BaseException:
            for begun in runs:
                if written := write_report(begun.path):
                    print(f"\nreport:   {written}", flush=True)
            raise
        if not runs:
            return  # the chief of several workers tells
        written = write_report(run.path)
        if config.recipe and (words := stand_in_note(load_recipe(config.recipe), config.data.dataset)):
            print(f"\nrecipe {config.recipe}: {words}")
        print(f"\npictures: {run.path / 'samples'} (final.png), {run.path / 'plots' / 'curves.png'}")
        if written:
            print(f"report:   {written}")
        print("next:     " + "\n          ".join(next_commands(run)))

    return cmd.run(body, argv)
