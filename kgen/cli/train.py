"""kgen-train: trains a model and leaves a run directory."""

import atexit
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgen.cli import flags
from kgen.cli.command import WIDTH, Command
from kgen.cli.supervise import is_supervised, supervise
from kgen.config import DataConfig, RunConfig, TrainConfig, override, parse_sets
from kgen.errors import UserError, WorkerLost
from kgen.evaluate.registry import parse_metrics
from kgen.features import check_for_training, check_impartial
from kgen.file_systems import is_address
from kgen.models.presets import PRESETS
from kgen.options import check_names
from kgen.progress import fitted, show, width
from kgen.recipes import configure, load_recipe, stand_in_note

if TYPE_CHECKING:
    from kgen.run import Run

EXAMPLES = (
    ("kgen-train --model cvae", "on the embedded digits, all settings chosen; about a minute"),
    ("kgen-train --model vae --dataset mnist --epochs 20", "a TFDS image set by its name"),
    ("kgen-train --recipe mnist-mlp-vae --seed 1", "a named experiment; --list_recipes shows them all"),
    (
        "kgen-train --model vae --dataset photos/ --image_size 64 --set model_args.network=conv",
        "a folder of your own",
    ),
    ("kgen-train --resume runs/00000-cvae-digits", "continue after an interruption; the result is the same"),
    (
        "kgen-train --model cvae --eval_every 5 --metrics fid,prdc --best_by fid",
        "metrics on the way; the best by FID",
    ),
    (
        "kgen-train --model vae --dataset mnist --binarize sample --set model_args.hidden=[400] "
        "--set model_args.latent_dim=2 --set model_args.batch_norm=true",
        "layers 784-400-2: two latent dimensions",
    ),
)

OF_A_NEW_RUN = ("recipe", "config", "run_dir", "runs_root")
"""Flags of this command that do not go with `--resume`, besides those of the data."""


def command() -> Command:
    """The command line."""
    summary = "train an image generator; write a run directory with its checkpoints, samples, curves and report."
    cmd = Command("kgen-train", summary, EXAMPLES)
    define_settings(cmd)
    cmd.flag("Model", "boolean", "list_recipes", False, "List the recipes: what each reproduces, and its results.")
    cmd.flag(
        "Output", "string", "run_dir", None,
        "Run directory, or an address, gs://bucket/NAME. An interrupted run in it is resumed.",
        auto="the next number in --runs_root", metavar="FOLDER",
    )  # fmt: skip
    cmd.flag("Output", "string", "runs_root", "runs", "Folder of numbered runs.", metavar="FOLDER")
    cmd.flag("Output", "boolean", "print_config", False, "Print the settings as JSON, as --config reads them.")
    cmd.flag("Output", "boolean", "dry_run", False, "Run a few steps, estimate size and duration, write nothing.")
    cmd.flag(
        "Resuming", "string", "resume", None,
        "Run of an interrupted training, which continues exactly. Only --epochs, --patience, --samples_every, the "
        "flags of this group, --dataset with the place that its data were moved to, and how they are read (--remote, "
        "--cache, --cache_gib) may go with it.",
        metavar="RUN",
    )  # fmt: skip
    cmd.flag(
        "Resuming", "integer", "more_epochs", None, "With --resume: so many epochs more than the run was to have.",
        lower_bound=1,
    )  # fmt: skip
    cmd.flag(
        "Resuming", "integer", "restarts", 0,
        "Start again, so often, when the process is killed or another worker is gone; needs --run_dir or --resume.",
        lower_bound=0,
    )  # fmt: skip
    cmd.options(TrainConfig, "Training", names={"logger": logger_names})
    return cmd


def define_settings(cmd: Command):
    """Defines the flags of what is trained on which images; those of TrainConfig apart."""
    cmd.options(RunConfig, "Model", only=("model",), names={"model": model_names})
    cmd.flag(
        "Model", "string", "recipe", None, "Named experiment to start from; other flags and --set change it.",
        metavar="NAME",
    )  # fmt: skip
    cmd.flag(
        "Model", "string", "config", None,
        "Settings to start from, .json or .yaml: the config.json of a run, or what --print_config prints; other flags "
        "and --set change it.",
        metavar="FILE",
    )  # fmt: skip
    cmd.flag(
        "Model", "multi_string", "set", [],
        "Any setting, e.g. model_args.latent_dim=2; may be repeated. A wrong name lists the right ones.",
        metavar="SETTING=VALUE",
    )  # fmt: skip
    flags.define_data(cmd)
    cmd.options(RunConfig, "Training", only=("seed",))


def config_of(cmd: Command) -> RunConfig:
    """The configuration that the flags and `--set` ask for; `--set` wins over flags, and both over the recipe."""
    if cmd["config"] is not None:
        if cmd["recipe"] is not None:
            raise UserError("--recipe and --config are both where the settings start: give one of them")
        return override(read_config(Path(cmd["config"])), given_settings(cmd))
    if cmd["recipe"] is not None:
        if cmd.given("model"):
            raise UserError(
                f"--recipe {cmd['recipe']} names its model: leave --model out, or "
                f"change it on purpose with --set model={cmd['model']}"
            )
        return configure(cmd["recipe"], given_settings(cmd), open_source=open_source)
    given = given_settings(cmd)
    if given.get("train.init_from") and "model" not in given:
        from kgen.train.init_from import TrainedModel

        given["model"] = TrainedModel.open(given["train.init_from"]).model
    return override(RunConfig(), given)


def read_config(path: Path) -> RunConfig:
    """The settings in a file of JSON or YAML; what a run's config.json holds beside them is left out.

    Raises:
        UserError: it cannot be read, or holds an unknown setting.
    """
    from kgen.run import OF_A_RUN

    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix in (".yaml", ".yml"):
            try:
                import yaml
            except ModuleNotFoundError:
                raise UserError(f"--config {path} needs PyYAML: pip install pyyaml, or give a .json file") from None
            values = yaml.safe_load(text)
        else:
            values = json.loads(text)
    except UserError:
        raise
    except Exception as error:  # of a parser
        raise UserError(f"--config {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"--config {path} does not hold settings by their names")
    return RunConfig.from_json({key: value for key, value in values.items() if key not in OF_A_RUN})


def given_settings(cmd: Command) -> dict[str, Any]:
    """The dotted settings that the user gave, by flags or `--set`.

    Raises:
        UserError: two settings that contradict each other.
    """
    given = cmd.given_settings(RunConfig) | flags.data_settings(cmd) | cmd.given_settings(TrainConfig, "train.")
    given |= parse_sets(cmd["set"])
    if given.get("train.minutes") is None:
        return given
    if given.get("train.epochs") is not None:
        raise UserError("--epochs and --minutes both say how long a training is; give one of them")
    return given | {"train.epochs": None}  # also where a recipe has some


def changes_of(cmd: Command, epochs: int) -> dict[str, Any]:
    """The settings that are given together with `--resume`.

    Args:
        cmd: parsed.
        epochs: that the run was to have.

    Raises:
        UserError: a flag that names another training.
    """
    from kgen.train.checks import MAY_CHANGE

    others = [f"--{flag}" for flag in OF_A_NEW_RUN if cmd.given(flag)]
    others += [f"--{key.removeprefix('data.')}" for key in flags.data_settings(cmd) if key not in MAY_CHANGE]
    if others:
        raise UserError(f"{others[0]} does not go with --resume, which continues the run as it was; leave it out")
    settings, more = given_settings(cmd), cmd["more_epochs"]
    if more and "train.epochs" in settings:
        raise UserError(
            "--epochs is the number of all epochs, and --more_epochs that of further ones; give one of them"
        )
    return settings | ({"train.epochs": epochs + more} if more else {})


def check_tables(config: RunConfig):
    """Raises UserError for a setting that is no name of its table, or features that are to judge what they train."""
    check_names(config)
    check_names(config.train)
    from kgen.run import trained_with

    choices = parse_metrics(config.train.metrics)
    named = dict.fromkeys(filter(None, [config.train.eval_features, *(choice.features for choice in choices)]))
    check_for_training(named)
    check_impartial(list(named), trained_with(config.model_args))


def model_names() -> dict[str, str]:
    """Name of a model -> what it is."""
    return {name: preset.summary for name, preset in PRESETS.items()}


def logger_names() -> dict[str, str]:
    """Name of a logger -> what it writes, and where."""
    from kgen.train.loggers import LOGGERS

    return {name: entry.help for name, entry in LOGGERS.items()}


def open_source(data: DataConfig):
    """`kgen.data.sources.resolve.open_source`, imported late."""
    from kgen.data.sources.resolve import open_source

    return open_source(data)


def print_recipes():
    """The recipes, as wide as the terminal; as the help where it goes to a file or a pipe."""
    from kgen.recipes.recipe import render_recipes

    print(render_recipes(width(WIDTH)), end="")


def write_report(run: "Run") -> Path | None:
    """Writes report.html of a run, also to its address; a failure is one warning, and the training is not lost."""
    try:
        from kgen.report import write_report

        written = write_report(run.reopened())
        if run.mirror:
            run.mirror.finish()
        return written
    except Exception as error:
        again = shlex.join(["kgen-report", run.place])
        words = f"kgen-train: the report could not be written ({error}); try again with: {again}"
        print(fitted(words, sys.stderr), file=sys.stderr)
        return None


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body():
        if cmd["list_recipes"]:
            return print_recipes()
        if cmd["restarts"] and cmd["run_dir"] is None and cmd["resume"] is None:
            raise UserError("--restarts goes on with a run: name it, with --run_dir or --resume")
        if cmd["restarts"] and cmd.given("more_epochs"):
            raise UserError("--restarts gives the same command again: --more_epochs would add up, give --epochs")
        if cmd["resume"] is not None:
            from kgen.run import Run

            run = Run.open(cmd["resume"])
            changes = changes_of(cmd, run.config.train.epochs)
            config = run.config_with(changes)
        else:
            if cmd.given("more_epochs"):
                raise UserError("--more_epochs continues a run: add --resume RUN, or give --epochs for a new one")
            config = config_of(cmd)
        check_tables(config)
        from kgen.data.sources.resolve import check_name
        from kgen.train import checks
        from kgen.train.loggers import check_loggers

        if cmd["print_config"]:
            return print(json.dumps(config.to_json(), indent=2))
        check_name(config.data.dataset.strip())
        if is_address(cmd["run_dir"]):
            from kgen.mirror import Mirror

            Mirror(cmd["run_dir"])  # whether a run can be there
        if cmd["resume"] is not None:
            checks.check_early_stopping(config)
            check_loggers(config.train.logger)
            checks.check_pretrained(config)
            checks.check_settings(run, config)
        else:
            checks.checked(config, cmd["run_dir"])
            if not cmd["dry_run"] and config.train.strategy != "multi_worker":  # where the chief alone creates the run
                checks.check_run_dir(cmd["run_dir"], cmd["runs_root"])
        if cmd["restarts"] and not is_supervised():
            words, several = sys.argv[1:] if argv is None else argv, config.train.strategy == "multi_worker"
            return supervise("kgen-train", "kgen.cli.train", words, cmd["restarts"], several=several)
        from kgen.train import resume, train  # imports TensorFlow
        from kgen.train.dry_run import dry_run

        monitor = None
        if config.train.measures_samples or PRESETS[config.model].adversarial:
            from kgen.evaluate import Monitor as monitor

        if cmd["dry_run"]:
            return show(str(dry_run(config, run_dir=cmd["resume"] or cmd["run_dir"], monitor=monitor)))
        runs = []
        try:
            if cmd["resume"] is not None:
                run = resume(cmd["resume"], changes, monitor=monitor, on_start=runs.append)
            else:
                places = {name: cmd[name] for name in ("run_dir", "runs_root")}
                run = train(config, **places, monitor=monitor, on_start=runs.append)
        except WorkerLost:
            raise  # at once, so that all can be started again
        except BaseException:
            for begun in runs:
                if written := write_report(begun):
                    print(f"\nreport:   {written}", flush=True)
            raise
        if not runs:
            return  # the chief of several workers prints
        from kgen.report.commands import next_commands

        written = write_report(run)
        if config.recipe and (words := stand_in_note(load_recipe(config.recipe), config.data.dataset)):
            show(f"\nrecipe {config.recipe}: {words}")
        plots = sorted(path.name for path in (run.path / "plots").glob("*.png"))
        if run.mirror:
            print(f"\nrun:      {run.place}, and a copy on this machine", end="")
        print(f"\npictures: {run.path / 'samples' / 'final.png'}")
        print(f"plots:    {run.path / 'plots'} ({', '.join(plots)})")
        if written:
            print(f"report:   {written}")
        lines = [line for _, line in next_commands(run)[:4]]
        print("next:     " + "\n          ".join(lines))

    code = cmd.run(body, argv)
    if code == WorkerLost.exit_code:
        _exit_at_once(code)
    return code


def _exit_at_once(code: int):
    """Ends the process without TensorFlow's own end, which waits up to 20 s for a worker that is gone."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
