"""kgen-divergence: divergences and densities from critics, where the answer is known and for samples of your own."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from kgen.cli.command import Command
from kgen.config import DivergenceConfig
from kgen.errors import UserError
from kgen.io import write_json
from kgen.options import options_of
from kgen.progress import Bar

EXAMPLES = (
    ("kgen-divergence", "both divergences of p = (0, Z) and q = (phi, Z), Z ~ U(0, 1), for 21 phi in [-1, 1]"),
    ("kgen-divergence --estimator jsd --optimizer sgd", "the same by plain gradient descent, to see it fall short"),
    ("kgen-divergence --estimator density --density bimodal", "a density from a discriminator, beside the truth"),
    ("kgen-divergence --p real.npy --q fake.npy", "between two sets of samples of your own, one sample per row"),
    ("kgen-divergence --estimator density --p samples.npy", "the density that samples of one number come from"),
)
DIVERGENCES = tuple(
    name for name in options_of(DivergenceConfig)["estimator"].choices if name not in ("both", "density")
)


def command() -> Command:
    """The command line."""
    cmd = Command(
        "kgen-divergence", "estimate divergences and densities with critics, beside the truth if it is known.", EXAMPLES
    )
    cmd.options(DivergenceConfig, "Training")
    cmd.flag("Estimate", "list", "phi", None, "Positions of q, e.g. 0,0.1,0.5.", auto="-1, -0.9, ... 1")
    cmd.flag("Samples of your own", "string", "p", None, "A .npy file, one sample per row.", metavar="FILE")
    cmd.flag("Samples of your own", "string", "q", None, "A .npy file, rows as long as those of p.", metavar="FILE")
    cmd.flag("Output", "string", "out", "divergence", "Folder for plots and results (.png, .json).", metavar="FOLDER")
    return cmd


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body():
        cmd.build(DivergenceConfig)  # checks the ranges
        refuse_contradictions(cmd)
        settings = {"estimator": cmd["estimator"], "seed": cmd["seed"]}
        started = time.monotonic()
        if cmd["estimator"] == "density":
            name, rows = of_density(cmd, settings)
        elif cmd["p"]:
            name, rows = "samples", of_samples(cmd, settings)
        else:
            name, rows = "results", of_lines(cmd, settings)
        settings["elapsed_seconds"] = round(time.monotonic() - started, 3)
        print(f"{settings['elapsed_seconds']:.1f} s, without importing TensorFlow")
        print(f"wrote {write_json(Path(cmd['out']) / f'{name}.json', {'settings': settings, 'rows': rows})}")

    return cmd.run(body, argv)


def refuse_contradictions(cmd: Command):
    """Raises UserError where one flag makes another one void."""
    density, samples = cmd["estimator"] == "density", cmd["p"] or cmd["q"]
    if cmd["q"] and not cmd["p"]:
        raise UserError(f"--q needs --p, the samples to compare with. Received: --q {cmd['q']} alone")
    if cmd["p"] and not cmd["q"] and not density:
        raise UserError(
            f"--p needs --q, the samples to compare with (or --estimator density). Received: --p {cmd['p']}"
        )
    void = {
        "phi": (density or samples, "--phi is of the toy distributions"),
        "density": (not density or samples, "--density is of --estimator density without --p"),
        "q": (density and cmd["q"], "--estimator density takes --p alone"),
        "optimizer": (density, "--estimator density is trained by adam"),
        "penalty": (density or cmd["estimator"] == "jsd", "--penalty is of --estimator wasserstein"),
    }
    for name, (is_void, reason) in void.items():
        if is_void and cmd.given(name):
            raise UserError(f"{reason}; leave --{name} out. Received: --{name} {cmd[name]}")


def phis_of(cmd: Command) -> Sequence[float]:
    """The values of --phi."""
    if not cmd["phi"]:
        from kgen.divergence.toy import PHIS

        return PHIS
    try:
        phis = [float(text) for text in cmd["phi"]]
    except ValueError as error:
        raise UserError(f"--phi takes numbers with commas between them. Received: {','.join(cmd['phi'])}") from error
    if not all(math.isfinite(phi) for phi in phis) or len(set(phis)) < len(phis):
        raise UserError(f"--phi takes different, finite numbers. Received: {','.join(cmd['phi'])}")
    return phis


def estimators_of(cmd: Command) -> Sequence[str]:
    return DIVERGENCES if cmd["estimator"] == "both" else (cmd["estimator"],)


def of_lines(cmd: Command, settings: dict) -> list[dict]:
    """Trains on the toy distributions, prints the table, plots; returns the results for results.json."""
    phis = phis_of(cmd)
    from kgen.divergence import estimate, plots  # imports TensorFlow

    steps, rows = cmd["steps"] or estimate.STEPS, []
    training = {name: cmd[name] for name in ("optimizer", "penalty", "seed")} | {"steps": steps}
    settings |= training | {"batch_size": estimate.BATCH_SIZE}
    for estimator in estimators_of(cmd):
        started = time.monotonic()
        with Bar(steps, estimator) as bar:
            found = estimate.estimate_lines(estimator, phis, **training, on_steps=bar.advance)
        print(f"{plots.TITLES[estimator]}, {plots.UNITS[estimator]}")
        print(f"{'phi':>6} {'truth':>10} {'estimate':>10} {'error':>10} {'stderr':>8}")
        for row in found:
            print(f"{row.phi:6.4g} {row.truth:10.6f} {row.estimate:10.6f} {row.error:+10.1e} {row.stderr:8.1e}")
        worst = max(found, key=lambda row: abs(row.error))
        seconds = time.monotonic() - started
        print(f"largest error {abs(worst.error):.2g} at phi = {worst.phi:g}; {len(found)} critics in {seconds:.1f} s")
        print(f"wrote {plots.plot_line_estimates(found, Path(cmd['out']) / f'{estimator}.png')}\n")
        rows += [asdict(row) | {"error": row.error} for row in found]
    return rows


def of_samples(cmd: Command, settings: dict) -> list[dict]:
    """Trains on the user's samples, prints, plots; returns the results for samples.json."""
    from kgen.divergence.files import check_pair, load_samples

    p, q = check_pair(load_samples(cmd["p"], "--p"), load_samples(cmd["q"], "--q"))
    from kgen.divergence import plots, samples  # imports TensorFlow

    steps, rows = cmd["steps"] or samples.SAMPLE_STEPS, []
    training = {name: cmd[name] for name in ("optimizer", "penalty", "seed")} | {"steps": steps}
    settings |= training | {"batch_size": samples.BATCH_SIZE, "p": cmd["p"], "q": cmd["q"], "dimension": p.shape[1]}
    for estimator in estimators_of(cmd):
        with Bar(steps, estimator) as bar:
            found = samples.estimate_samples(estimator, p, q, **training, on_steps=bar.advance)
        low, high = found.interval
        print(
            f"{plots.TITLES[estimator]}: {found.estimate:.5g} {plots.UNITS[estimator]}, "
            f"standard error {found.stderr:.2g}, 95 % [{low:.5g}, {high:.5g}]"
        )
        for name, (trained, chose, held) in found.counts.items():
            print(f"  {name}: {trained} samples trained, {chose} chose the weights, {held} held out for the estimate")
        if found.logits is not None:
            print(f"wrote {plots.plot_density_ratio(found, p, q, Path(cmd['out']) / 'density-ratio.png')}")
        shown = {"estimator": estimator, "estimate": found.estimate, "stderr": found.stderr}
        rows.append(shown | {"interval": [low, high], "train_choose_held_out": found.counts})
    return rows


def of_density(cmd: Command, settings: dict) -> tuple[str, list[dict]]:
    """Estimates a density, prints, plots; returns the name of the files and the results for density-*.json."""
    from kgen.divergence.files import check_column, load_samples

    p = check_column(load_samples(cmd["p"], "--p")) if cmd["p"] else None
    from kgen.divergence import density, plots  # imports TensorFlow

    steps = cmd["steps"] or density.DENSITY_STEPS
    settings |= {"steps": steps, "batch_size": density.DENSITY_BATCH_SIZE}
    name = "samples" if cmd["p"] else cmd["density"]
    with Bar(steps, "density") as bar:
        if p is None:
            found = density.estimate_density(name, steps=steps, seed=cmd["seed"], on_steps=bar.advance)
        else:
            found = density.estimate_density_of_samples(p, steps=steps, seed=cmd["seed"], on_steps=bar.advance)
    print(f"integral of the estimate: {found.mass:.5f}")
    row = {"density": name, "mass": found.mass}
    if found.truth is not None:
        row["total_variation"] = found.total_variation
        print(f"total variation to the truth: {found.total_variation:.5f}")
    if found.counts is not None:
        row["train_choose"] = found.counts
        print(f"{found.counts[0]} samples trained, {found.counts[1]} chose the weights")
    title = f"Density of {Path(cmd['p']).name if p is not None else name} from a discriminator"
    print(f"wrote {plots.plot_density(found, Path(cmd['out']) / f'density-{name}.png', title=title)}")
    return f"density-{name}", [row]
