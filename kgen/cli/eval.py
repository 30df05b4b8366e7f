"""kgen-eval: evaluates a generator; every metric value is written with its protocol."""

from collections.abc import Sequence

from kgen.cli import flags
from kgen.cli.command import Command
from kgen.config import EvalConfig
from kgen.errors import UserError
from kgen.evaluate.registry import METRICS, parse_metrics
from kgen.features import EXTRACTORS, check_impartial, check_installed
from kgen.file_systems import is_address
from kgen.progress import width

EXAMPLES = (
    ("kgen-eval runs/00000-cvae-digits", "the default metrics, with baselines and intervals"),
    ("kgen-eval runs/00000-cvae-digits --metrics fid,kid,prdc --repeats 5", "chosen metrics, of five sets of samples"),
    ("kgen-eval runs/00000-vae-mnist --metrics elbo,nll", "log-likelihood: the bound, and by importance sampling"),
    ("kgen-eval exports/cvae/1/model.tflite --metrics fid", "the same metric of an exported file"),
    ("kgen-eval photos/ --dataset mnist", "any folder of images, compared with real ones"),
    ("kgen-eval http://localhost:8501/v1/models/cvae --dataset digits", "a served model"),
    ("kgen-eval runs/00000-cvae-digits --features inception --feature_weights inception.npz", "the usual FID"),
)


def command() -> Command:
    """The command line."""
    summary = "evaluate a run, an export, a .tflite or .onnx file, a served model or a folder of images."
    cmd = Command("kgen-eval", summary, EXAMPLES, ("PATH",))
    cmd.options(EvalConfig, "Protocol", names={"metrics": metric_names, "features": feature_names})
    flags.define_generator(cmd, "Generator")
    flags.define_real_images(cmd)
    cmd.flag(
        "Output",
        "string",
        "out",
        None,
        "A .jsonl file.",
        auto="in eval/ of the run or export, or of the current folder",
        metavar="FILE",
    )
    return cmd


def metric_names() -> dict[str, str]:
    """Name of a metric, with * where it is computed by default -> what it is."""
    return {f"{name}{'*' if metric.default else ''}": metric.help for name, metric in METRICS.items()}


def feature_names() -> dict[str, str]:
    """Name of an extractor of features -> what it is."""
    return {name: extractor.help for name, extractor in EXTRACTORS.items()}


def main(argv: Sequence[str] | None = None) -> int:
    cmd = command()

    def body(path: str):
        config = cmd.build(EvalConfig)
        named = {config.features, *(choice.features for choice in parse_metrics(config.metrics))} - {None}
        for name in named:
            check_installed(name)
        from kgen.run import Run, is_run

        if named and not config.anyway and not is_address(path) and is_run(path):
            check_impartial(named, Run.open(path).trained_with, path)
        settings = flags.data_settings(cmd)
        from kgen.evaluate import evaluate
        from kgen.evaluate.tables import eval_table

        results, out = evaluate(
            path, config, dataset=cmd["dataset"], data_settings=settings, out=cmd["out"], **flags.generator_choice(cmd)
        )
        print(eval_table(results, width(0) or None), end="")
        if out is not None:
            print(f"wrote {out}")
        if results and all(result.get("value") is None for result in results):
            notes = dict.fromkeys(result["note"] for result in results if result.get("note"))
            raise UserError("; ".join(["no value could be computed", *notes]))

    return cmd.run(body, argv)
