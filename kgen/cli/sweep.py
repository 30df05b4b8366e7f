"""kgen-sweep: trains several settings, of which the best train on."""

import importlib.util
import json
import shlex
import sys
from collections.abc import Sequence

from kgen.cli import train
from kgen.cli.command import Command
from kgen.config import RunConfig, TrainConfig
from kgen.errors import TrainingFailed, UserError
from kgen.progress import fitted, show, width

EXAMPLES = (
    (
        "kgen-sweep --model cvae --vary model_args.latent_dim=2,8,16 --epochs 20",
        "a grid of one setting; the best third of the trials trains on",
    ),
    (
        "kgen-sweep --model cvae --vary learning_rate=1e-4..1e-2:log --vary model_args.latent_dim=2..32 --epochs 20 "
        "--trials 12",
        "a random choice of two; the same command goes on after Ctrl-C",
    ),
    (
        "kgen-sweep --model dcgan --dataset photos/ --image_size 64 --epochs 90 --eval_every 5 --metrics fid "
        "--best_by fid --vary learning_rate=1e-4..1e-3:log",
        "an adversarial model is compared by a metric of its samples",
    ),
)
OWN = ("vary", "trials", "reduction_factor", "sweep_dir", "dry_run")
"""Flags that kgen-train does not have, or that mean something else there."""
COLUMNS = 80


def command() -> Command:
    """The command line."""
    summary = "train several settings for a few epochs, and the best of them on; find the settings that work."
    cmd = Command("kgen-sweep", summary, EXAMPLES)
    cmd.flag(
        "Sweep", "multi_string", "vary", [],
        "Setting to vary, and its values or its range: learning_rate=1e-4..1e-2:log, batch_size=16,64, "
        "model_args.latent_dim=2..32; may be repeated. Names are those of flags of kgen-train, or as --set takes them.",
        metavar="SETTING=VALUES",
    )  # fmt: skip
    cmd.flag(
        "Sweep", "integer", "trials", None, "Trainings to begin: chosen at random by --seed, where there are more.",
        auto="all combinations of values; 12 with a range", lower_bound=1,
    )  # fmt: skip
    cmd.flag(
        "Sweep", "integer", "reduction_factor", 3,
        "Successive halving: all trials train for a few epochs, the best 1/N of them for N times as many, and so on, "
        "up to --epochs. 1: all trials train to the end.",
        lower_bound=1,
    )  # fmt: skip
    cmd.flag(
        "Sweep", "string", "sweep_dir", None, "Folder of the trials and of sweep.html.",
        auto="that of the same command before, else the next number in sweeps/", metavar="FOLDER",
    )  # fmt: skip
    cmd.flag("Sweep", "boolean", "dry_run", False, "Print the trials and how long each trains; write nothing.")
    train.define_settings(cmd)
    cmd.options(TrainConfig, "Training", names={"logger": train.logger_names})
    return cmd


def check(config: RunConfig):
    """Raises UserError for a configuration that cannot be trained, as far as that shows without TensorFlow."""
    from kgen.data.sources.resolve import check_name
    from kgen.train import checks

    train.check_tables(config)
    check_name(config.data.dataset.strip())
    checks.checked(config)


def table_text(sweep) -> str:
    """The table of the trials, for the terminal."""
    from kgen.sweep.sweep import table
    from kgen.tables import render_table

    headers, rows = table(sweep)
    return render_table(headers, rows, width=width(COLUMNS))


def winner_command(cmd: Command, settings: dict) -> str:
    """The command line of kgen-train that trains a trial again."""
    values = (value if isinstance(value, str) else json.dumps(value) for value in settings.values())
    sets = [word for name, value in zip(settings, values, strict=True) for word in ("--set", f"{name}={value}")]
    return shlex.join(["kgen-train", *cmd.given_words(OWN), *sets])


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body():
        from kgen.sweep.plan import Plan

        plan = Plan.of(train.config_of(cmd), cmd["vary"], cmd["trials"], cmd["reduction_factor"])
        check(plan.base)
        if importlib.util.find_spec("optuna") is None:
            raise UserError("needs optuna; install it with: pip install 'kgen[sweep]'")
        from kgen.sweep.sweep import Sweep, folder_of, summary

        drawn = Sweep(plan, None)
        for trial in drawn.trials():
            check(plan.config_of(trial.params))
        if cmd["dry_run"]:
            show(f"{summary(drawn)}\n")
            return print(table_text(drawn), end="")
        sweep = Sweep(plan, folder_of(plan, cmd["sweep_dir"]))
        show(f"sweep {sweep.folder}: {summary(sweep)}")
        finish(cmd, sweep)

    return cmd.run(body, argv)


def finish(cmd: Command, sweep):
    """Trains what is left, and prints and writes what came out."""
    from kgen.run import Run
    from kgen.sweep.page import write_page
    from kgen.sweep.study import REASON

    def page():
        again = winner_command(cmd, sweep.settings(sweep.winner)) if sweep.winner else ""
        return write_page(sweep, again), again

    if sweep.running:
        try:
            sweep.run(on_rung=page)
        except KeyboardInterrupt:
            page()
            show(f"\ninterrupted; the same command goes on; so far: {sweep.folder / 'sweep.html'}")
            raise
    path, again = page()
    print(f"\n{table_text(sweep)}", flush=True)
    for trial in sweep.trials():
        if REASON in trial.user_attrs:
            words = f"trial {trial.number} failed: {trial.user_attrs[REASON]}"
            print(fitted(words, sys.stderr), file=sys.stderr)
    if sweep.winner is None:
        which = "every trial" if all(REASON in t.user_attrs for t in sweep.trials()) else "every trial that trained on"
        raise TrainingFailed(f"{which} failed; see {path}")
    run = Run.open(sweep.path(sweep.winner))
    train.write_report(run)
    print(f"best:     trial {sweep.winner.number}, {run.path}")
    print(f"page:     {path}")
    print(f"again:    {again}")
    print(f"next:     {shlex.join(['kgen-eval', str(run.path)])}")
    print(f"          {shlex.join(['kgen-compare', str(sweep.folder)])}")
